"""Notebooks, in and out: the code of one that was handed in, and the cells of one that students
get."""

from __future__ import annotations

import ast
import itertools
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

import jupytext
import nbformat

from autograder.authoring.source import BEGIN, END
from autograder.errors import SubmissionError

RULER = re.compile(r"#\s*-{2,}\s*(.*?)\s*-{2,}")
TIMED = re.compile(
    r"\A\s*%%(?:time|capture|prun)\b.*\n"
)  # the rest of such a cell is Python, and counts if it defines something
DEFINES = re.compile(r"^(?:async def|def|class|@)\b", re.MULTILINE)
MAX_CELLS, MAX_CODE = 2000, 256 << 10  # code cells and characters of a notebook that was handed in
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

# -- in --------------------------------------------------------------------------------------------------------------

# What str.splitlines takes for line ends and Python does not: out of sight while jupytext looks for
# magics.
_HIDDEN = {
    ord(char): 0xE000 + number for number, char in enumerate("\v\f\x1c\x1d\x1e\x85\u2028\u2029")
}


def code_of(name: str, data: bytes) -> bytes:
    """Python text: a file as it is; of a notebook the definitions of its code cells, without
    magics, outputs and experiments."""
    if not name.endswith(".ipynb"):
        return data
    try:
        text = _code_cells(name, data.decode("utf-8"))
    except SubmissionError:
        raise
    except Exception as error:  # nbformat raises whatever its parsers raise
        raise SubmissionError(
            f"{name} cannot be read as a notebook ({type(error).__name__}): save it again, or hand in a .py file"
        ) from None
    return _definitions(text).encode("utf-8", "backslashreplace")


def _code_cells(name: str, document: str) -> str:
    """The code cells of a notebook as one text, magics commented out."""
    _refuse_too_much_code(name, json.loads(document))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats that are newer than the libraries
        parsed = nbformat.reads(document, as_version=4)  # type: ignore[no-untyped-call]
        parsed.cells = [cell for cell in parsed.cells if _is_the_student_s(cell)]
        for cell in parsed.cells:
            cell.pop("outputs", None)
            cell.source = TIMED.sub("", cell.source, count=1).translate(_HIDDEN)
        text: str = jupytext.writes(
            parsed, fmt={"extension": ".py", "format_name": "percent", "comment_magics": True}
        )
    return text.translate({new: old for old, new in _HIDDEN.items()})


def _refuse_too_much_code(name: str, notebook: Any) -> None:
    """Parsing takes 600 bytes and more of memory for each byte of code, and this process marks
    everybody. Outputs do not count."""
    sheets = [notebook, *notebook.get("worksheets", [])]  # before version 4 cells lay on sheets
    cells = [
        cell
        for sheet in sheets
        for cell in sheet.get("cells", [])
        if cell.get("cell_type") == "code"
    ]
    size = sum(len(part) for cell in cells for part in cell.get("source", cell.get("input", "")))
    if len(cells) > MAX_CELLS or size > MAX_CODE:
        raise SubmissionError(
            f"{name} holds more than {MAX_CELLS} code cells or {MAX_CODE >> 10} KiB of code: hand in only what the assignment asks for"
        )


def _is_the_student_s(cell: Any) -> bool:
    """Code, but no cell in another language and none that otter-grader or nbgrader put there to
    mark with."""
    source, marks = cell.source.lstrip(), cell.metadata.get("nbgrader", {})
    if (
        cell.cell_type != "code"
        or "otter.Notebook(" in source
        or (marks.get("grade") and not marks.get("solution"))
    ):
        return False
    return not source.startswith("%%") or bool(TIMED.match(source) and DEFINES.search(source))


def _definitions(text: str) -> str:
    """The text with the lines of top-level experiments (calls, loops, prints) emptied, so that line
    numbers stay.

    Imports from `__future__` may stand in any cell; in a file they must come first, so they take
    the line of jupytext's first comment.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return text  # the worker will say where
    keep = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, *DEFINITIONS)
    lines = text.split("\n")
    future: list[str] = []
    for node in tree.body:
        if early := isinstance(node, ast.ImportFrom) and node.module == "__future__":
            future += [alias.name for alias in node.names]
        if early or not isinstance(node, keep):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    if future:
        lines[0] = f"from __future__ import {', '.join(dict.fromkeys(future))}"
    return "\n".join(lines) + "\n"


# -- out -------------------------------------------------------------------------------------------------------------


def split(text: str) -> Iterator[tuple[str, str]]:
    """A Python file as (kind, source) of cells: the docstring and rulers as Markdown, each
    definition, each module-level solution block."""
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
            for number in range(after, len(lines) + 1):  # a comment at its end belongs to it
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
    document = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})  # type: ignore[no-untyped-call]
    return str(nbformat.writes(document)) + "\n"  # type: ignore[no-untyped-call]


def markdown(source: str) -> Any:
    """A cell of text."""
    return nbformat.v4.new_markdown_cell(source)  # type: ignore[no-untyped-call]


def code(source: str, **metadata: Any) -> Any:
    """A cell of code."""
    return nbformat.v4.new_code_cell(source, metadata=metadata)  # type: ignore[no-untyped-call]


def written(name: str, text: str) -> Any:
    """A folded cell that writes a file beside the notebook. Such a cell is never handed in."""
    return code(f"%%writefile {name}\n{text.rstrip()}", jupyter={"source_hidden": True})


def public_tests_and_plots(module: str, tests: str, report: str) -> list[Any]:
    """The last cells: the public tests and the plots, runnable on what stands above them."""
    return [
        markdown(
            "## Public tests\n\nWhat is not written yet says so. No points; run these two cells as "
            "often as you like."
        ),
        code(f"%%writefile test_local.py\n{tests.rstrip()}"),
        code(TESTS.format(module=module)),
        markdown("## Plots\n\nThe handout says what they should look like, and why."),
        written("report.py", report),
        code(PLOTS.format(module=module)),
    ]
