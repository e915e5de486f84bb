"""A browser that opens pages of the site. `make site-test` makes what is needed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # built.py is found from the tests beside it

from built import SITE, Opens

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session", autouse=True)
def _site_is_built() -> None:
    if not (SITE / "index.html").is_file():
        pytest.skip("there is no build/site: run `make site`")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as engine:
        # Tests may run as root, for whom Chromium has no sandbox. It opens our own pages only.
        started = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Opens:
    """Opens a page of the site from its file, and fails at the end if it complained.

    ``base``: where the site is served instead, as on any static host.
    """

    @contextmanager
    def open_page(
        path: str,
        width: int = 1280,
        scheme: str = "light",
        base: str = SITE.as_uri(),
        **options: Any,
    ) -> Any:
        view = {"width": width, "height": 900}
        context = browser.new_context(viewport=view, color_scheme=scheme, **options)
        page, complaints = context.new_page(), []
        page.on("console", lambda said: complaints.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda asked: complaints.extend(_off_the_machine(asked.url)))
        page.on("requestfailed", lambda asked: complaints.extend(_not_there(asked)))
        page.goto(f"{base}/{path}")
        yield page
        context.close()
        assert complaints == []

    return open_page


def _not_there(asked: Any) -> list[str]:
    # Who reloads a page ends what is still on its way.
    return [] if asked.failure == "net::ERR_ABORTED" else [f"not there: {asked.url}"]


def _off_the_machine(url: str) -> list[str]:
    here = ("file:", "data:", "blob:", "http://127.0.0.1:")
    return [] if url.startswith(here) else [f"request: {url}"]


@pytest.fixture
def served() -> Iterator[str]:
    """The address of the site on a plain web server of this machine."""
    handler = partial(Quiet, directory=SITE)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass
