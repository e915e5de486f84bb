"""One colour per quantity: those of the handouts' pictures, as variables of the style sheet."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx


def setup(app: Sphinx, root: Path) -> None:
    """Write _static/colours.css."""
    app.add_css_file("colours.css")

    def write(app: Sphinx, error: Exception | None) -> None:
        if error is None:
            (app.outdir / "_static" / "colours.css").write_text(css(root), encoding="utf-8")

    app.connect("build-finished", write)


def css(root: Path) -> str:
    """The rules for light pages, and for dark ones: by choice, or because the system is dark."""
    sys.path.insert(0, str(root / "assignments"))
    from drawing import COLOURS

    light, dark = (
        "".join(f"--{name}:{pair[mode]};" for name, pair in COLOURS.items()) for mode in (0, 1)
    )
    chosen = f'body[data-theme="dark"]{{{dark}}}'
    by_system = f'body:not([data-theme="light"]){{{dark}}}'
    # Pages are printed on white.
    return (
        f"body{{{light}}}\n@media screen{{{chosen}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{{by_system}}}\n"
    )
