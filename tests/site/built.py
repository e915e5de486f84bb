"""The built site, where pictures of it go, and what axe finds on a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
PICTURES = ROOT / "build" / "site-pictures"
AXE = ROOT / "site" / "node_modules" / "axe-core" / "axe.min.js"

# What the fixture ``opened`` is: path and settings of the browser's context -> the opened page.
Opens = Callable[..., Any]


def pages() -> list[str]:
    """Every page of the site, as a path below it."""
    return sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))


def findings(page: Any) -> list[str]:
    """What axe calls serious or critical."""
    page.add_script_tag(path=AXE)
    # Preloading would ask for style sheets again, which a browser refuses from a file.
    found = page.evaluate("axe.run({resultTypes: ['violations'], preload: false})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])} in all)"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
