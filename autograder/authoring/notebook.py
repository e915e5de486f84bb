"""The cells of the notebooks that students get (marking.intake.cells reads what they submit)."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from typing import Any

import nbformat

from autograder.authoring.markers import BEGIN, END

RULER = re.compile(r"#\s*-{2,}\s*(.*?)\s*-{2,}")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def split(text: str) -> Iterator[tuple[str, str]]:
    """A Python file as (kind, source) of cells.

    The docstring and rulers are Markdown; each definition is a cell, and each solution block at
    module level.
    """
    lines = text.split("\n")
    cuts = sorted(_cuts(text, lines) | {1, len(lines) + 1})
    for first, after in itertools.pairwise(cuts):
        source = "\n".join(lines[first - 1 : after - 1]).strip("\n")
        if ruler := RULER.fullmatch(source.strip()):
            yield "markdown", f"## {ruler[1]}"
        elif first == 1 and (docstring := ast.get_docstring(ast.parse(source))):
            yield "markdown", docstring
        elif source.strip():
            yield "code", source


def _cuts(text: str, lines: list[str]) -> set[int]:
    """The lines at which a cell begins."""
    tree, cuts = ast.parse(text), set()
    if ast.get_docstring(tree) is not None:
        cuts.add((tree.body[0].end_lineno or 1) + 1)
    for node in tree.body:
        if isinstance(node, DEFINITIONS):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            while (
                first > 1
                and lines[first - 2].startswith("#")
                and not RULER.fullmatch(lines[first - 2])
            ):
                first -= 1
            after = (node.end_lineno or first) + 1
            # A comment at the end of a definition belongs to it.
            for number in range(after, len(lines) + 1):
                if lines[number - 1].startswith((" ", "\t")):
                    after = number + 1
                elif lines[number - 1].strip():
                    break
            cuts |= {first, after}
    for number, line in enumerate(lines, 1):
        if RULER.fullmatch(line.rstrip()):
            cuts |= {number, number + 1}
    begins = [number for number, line in enumerate(lines, 1) if line.rstrip() == BEGIN]
    ends = [number for number, line in enumerate(lines, 1) if line.rstrip() == END]
    for begin, end in zip(begins, ends, strict=True):
        cuts = {cut for cut in cuts if not begin < cut <= end} | {begin, end + 1}
    return cuts


TESTS = '''def run_public_tests():
    """Run test_local.py on what this notebook defines; 0 when all is well."""
    import os
    import sys

    import pytest

    sys.modules["{module}"] = sys.modules["__main__"]  # `import {module}` means this notebook
    sys.modules.pop("test_local", None)
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."]
    return int(pytest.main([*options, "test_local.py"]))


run_public_tests()'''

PLOTS = '''def draw_plots():
    """Draw the handout's plots with what this notebook defines, and show them here."""
    import sys
    from pathlib import Path

    from IPython import get_ipython
    from IPython.display import Image, display

    sys.modules["{module}"] = sys.modules["__main__"]
    get_ipython().run_line_magic("run", "report.py --out plots")
    for path in sorted(Path("plots").glob("*.png")):
        display(Image(filename=str(path)))


draw_plots()'''


def new(cells: list[Any]) -> str:
    """A notebook's text. Ids are counted, so that the same cells give the same bytes."""
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = {"cells": cells, "metadata": {"kernelspec": kernel}}
    document = nbformat.v4.new_notebook(**made)  # type: ignore[no-untyped-call]
    return str(nbformat.writes(document)) + "\n"  # type: ignore[no-untyped-call]


def markdown(source: str) -> Any:
    """A cell of text."""
    return nbformat.v4.new_markdown_cell(source)  # type: ignore[no-untyped-call]


def code(source: str, **metadata: Any) -> Any:
    """A cell of code."""
    return nbformat.v4.new_code_cell(source, metadata=metadata)  # type: ignore[no-untyped-call]


def written(name: str, text: str) -> Any:
    """A folded cell that writes a file beside the notebook. Intake ignores such cells."""
    return code(f"%%writefile {name}\n{text.rstrip()}", jupyter={"source_hidden": True})


def public_tests_and_plots(module: str, tests: str, report: str) -> list[Any]:
    """The last cells: the public tests and the plots, which use the cells above them."""
    return [
        markdown(
            "## Public tests\n\nWhat is not written yet says so. No points; "
            "run these two cells as often as you like."
        ),
        code(f"%%writefile test_local.py\n{tests.rstrip()}"),
        code(TESTS.format(module=module)),
        markdown("## Plots\n\nThe handout says what they should look like, and why."),
        written("report.py", report),
        code(PLOTS.format(module=module)),
    ]
