"""What the theme leaves out for screen readers and keyboards."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

# Captions of the navigation are headings without a level.
CAPTION = re.compile(r'role="heading"(?! aria-level)')


def setup(app: Sphinx) -> None:
    """Complete the theme's HTML, after the theme has made it."""
    app.connect("html-page-context", _complete, priority=900)


def _complete(app: Sphinx, page: str, template: str, context: dict[str, Any], _: Any) -> None:
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = CAPTION.sub('role="heading" aria-level="2"', tree)
