"""Scripts of pages: an element such as <rl-clip></rl-clip> brings its own."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import SphinxError

from course_pages.katex import SITE
from course_pages.live import TermError, with_live_formulas

ELEMENT = re.compile(r"<rl-(\w+)(?=[\s>])")
SCRIPT = re.compile(r' data-script="(\w+)"')


def setup(app: Sphinx) -> None:
    """Mark the elements, and load the scripts that a page needs and no others."""
    app.add_css_file("explorers.css")
    app.connect("html-page-context", _load)


def _load(app: Sphinx, page: str, template: str, context: dict[str, Any], _: Any) -> None:
    """build.sh has checked every explorer's numbers, so one that exists may be shown."""
    body = context.get("body", "")
    for name in dict.fromkeys(ELEMENT.findall(body)):
        if not (SITE / "explorers" / name / "index.js").is_file():
            raise SphinxError(f"{page}: there is no explorer '{name}' in site/explorers")
        app.add_js_file(f"explorers/{name}.js", loading_method="defer")
        body = _live(page, body, name)
    for name in dict.fromkeys(SCRIPT.findall(body)):
        app.add_js_file(f"scripts/{name}.js", loading_method="defer")
    context["body"] = ELEMENT.sub(r"<rl-\1 data-explorer", body)


def _live(page: str, body: str, explorer: str) -> str:
    try:
        return with_live_formulas(body, explorer)
    except TermError as error:
        raise SphinxError(f"{page}: {error}") from error
