"""A notebook's code, as the text of a Python file: the definitions of its code cells. Nothing of it is executed."""

from __future__ import annotations

import ast
import json
import warnings
from typing import Any

import jupytext
import nbformat

from autograder.errors import SubmissionError

MAX_CELLS, MAX_CODE = 2000, 256 << 10  # code cells and characters

# What str.splitlines takes for line ends and Python does not: out of sight while jupytext looks for magics.
_HIDDEN = {ord(char): 0xE000 + number for number, char in enumerate("\v\f\x1c\x1d\x1e\x85\u2028\u2029")}


def code(name: str, data: bytes) -> bytes:
    """Python text: a file as it is; of a notebook the definitions of its code cells, without magics, outputs and experiments."""
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
        parsed.cells = [
            cell
            for cell in parsed.cells
            if cell.cell_type == "code" and not cell.source.lstrip().startswith("%%")
        ]
        for cell in parsed.cells:
            cell.source = cell.source.translate(_HIDDEN)
            cell.pop("outputs", None)
        text: str = jupytext.writes(
            parsed, fmt={"extension": ".py", "format_name": "percent", "comment_magics": True}
        )
    return text.translate({new: old for old, new in _HIDDEN.items()})


def _refuse_too_much_code(name: str, notebook: Any) -> None:
    """Parsing takes 600 bytes and more of memory for each byte of code, and this process marks everybody. Outputs do not count."""
    sheets = [notebook, *notebook.get("worksheets", [])]  # before version 4 cells lay on sheets
    cells = [cell for sheet in sheets for cell in sheet.get("cells", []) if cell.get("cell_type") == "code"]
    size = sum(len(part) for cell in cells for part in cell.get("source", cell.get("input", "")))
    if len(cells) > MAX_CELLS or size > MAX_CODE:
        raise SubmissionError(
            f"{name} holds more than {MAX_CELLS} code cells or {MAX_CODE >> 10} KiB of code: hand in only what the assignment asks for"
        )


def _definitions(text: str) -> str:
    """The text with the lines of top-level experiments (calls, loops, prints) emptied, so that line numbers stay."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return text  # the worker will say where
    keep = (
        ast.Import,
        ast.ImportFrom,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Assign,
        ast.AnnAssign,
    )
    lines = text.split("\n")
    for node in tree.body:
        if not isinstance(node, keep):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(lines) + "\n"
