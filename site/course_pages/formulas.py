"""The math renderer of the pages: KaTeX's HTML instead of a script."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.fileutil import copy_asset

from course_pages import katex


def setup(app: Sphinx) -> None:
    """Register the renderer, and ship KaTeX's style sheet and fonts with the pages."""
    app.add_html_math_renderer("katex", (_inline, None), (_block, None))
    app.connect("build-finished", _copy_fonts)
    app.add_css_file("katex/katex.min.css")


def _html(node: Any, display: bool) -> str:
    try:
        return katex.html(node.astext().strip(), display)
    except katex.FormulaError as error:
        raise SphinxError(f"{node.source}: {error}") from error


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_html(node, display=False))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{_html(node, display=True)}</div>')
    raise nodes.SkipNode


def _copy_fonts(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        there = app.outdir / "_static" / "katex"
        copy_asset(katex.KATEX / "katex.min.css", there)
        # Browsers ask for the first of three formats, and all of them know it.
        copy_asset(katex.KATEX / "fonts", there / "fonts", lambda name: not name.endswith(".woff2"))
