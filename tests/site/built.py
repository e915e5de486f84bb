"""The built site, and where pictures of it go."""

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
