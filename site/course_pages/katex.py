"""Formulas become HTML while the site is built, by KaTeX in one Node process."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

SITE = Path(__file__).resolve().parents[1]
KATEX = SITE / "node_modules" / "katex" / "dist"


class FormulaError(Exception):
    """KaTeX cannot read a formula."""


@cache
def _node() -> subprocess.Popen[str]:
    """The Node process. It ends with this one, when its input is closed."""
    return subprocess.Popen(
        ["node", str(SITE / "katex.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


@cache
def html(tex: str, display: bool) -> str:
    """A formula as HTML with MathML beside it, for screen readers. Raises FormulaError."""
    node = _node()
    assert node.stdin
    assert node.stdout
    node.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
    node.stdin.flush()
    line = node.stdout.readline()
    if not line:
        raise FormulaError("node has ended: run `npm ci` in the folder site")
    answer = json.loads(line)
    if "error" in answer:
        raise FormulaError(f"{answer['error']} in: {tex}")
    return str(answer["html"])
