"""A student's notebook -> one Python module, without running anything (see isolation.cells).

The module holds the code cells in order. A definition that cannot fail is kept as it is; every
other statement is in a block that leaves it out if it fails. A cell that is not Python is left
out here. Cells are counted as a student counts them: code cells only, from the top, from 1.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from autograder.errors import SubmissionError
from autograder.isolation.cells import GUARD, HEADER, SKIP

# Code cells and characters of a notebook.
MAX_CELLS, MAX_CODE = 2000, 256 << 10
PYTHON_CELL = re.compile(r"\A\s*%%(?:time|timeit|capture|prun)\b.*(?:\n|\Z)")
WRITES = re.compile(r"\A\s*%%(?:writefile|file)\s+(-a\s+|--append\s+)?['\"]?([^\s'\"]+)['\"]?\s*\n")
TIMED_LINE = re.compile(r"^(\s*)%time(?:it)?\s+(?![-])(.+)$")
BINDS = re.compile(r"^(?:(?:async )?def|class)\s+(\w+)|^(\w+)\s*(?::[^=\n]*)?=(?!=)", re.MULTILINE)
NOT_PARSED = (SyntaxError, ValueError, MemoryError, RecursionError)


@dataclass
class Notebook:
    """A notebook as the module's text, the files that its cells write, and remarks."""

    code: bytes
    files: dict[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(name: str, data: bytes, main: str) -> Notebook:
    """The notebook ``data`` as the module ``main``. Raises SubmissionError if it is not one."""
    try:
        sources = _code_cells(name, data.decode("utf-8-sig"))
        written, notes = _written(sources, main)
        if main in written:
            return Notebook(written.pop(main), written, notes)
        made = _Module()
        for number, source in enumerate(sources, 1):
            if source is not None and not WRITES.match(source):
                made.add(number, source)
        return Notebook(made.text().encode("utf-8", "backslashreplace"), written, tuple(made.notes))
    except SubmissionError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        # nbformat raises whatever its parsers raise.
        raise SubmissionError(
            f"{name} cannot be read as a notebook ({type(error).__name__}): "
            "save it again, or submit a .py file"
        ) from None


# -- cells ----------------------------------------------------------------------------------------


def _code_cells(name: str, document: str) -> list[str | None]:
    """The sources of the code cells; None for one that is not the student's, or not Python."""
    _refuse_too_much_code(name, json.loads(document))
    with warnings.catch_warnings():
        # These are about formats that are newer than the libraries.
        warnings.simplefilter("ignore")
        # Most submissions are not notebooks, and this takes a while.
        import nbformat

        parsed = nbformat.reads(document, as_version=4)  # type: ignore[no-untyped-call]
    cells = [cell for cell in parsed.cells if cell.cell_type == "code"]
    return [_source(cell) for cell in cells]


def _refuse_too_much_code(name: str, notebook: Any) -> None:
    """Refuse a notebook with too much code.

    Parsing takes 600 bytes of memory for a byte of code, and this process marks everybody.
    """
    # Before version 4, cells were on worksheets.
    sheets = [notebook, *notebook.get("worksheets", [])]
    cells = [
        cell
        for sheet in sheets
        for cell in sheet.get("cells", [])
        if cell.get("cell_type") == "code"
    ]
    size = sum(len(part) for cell in cells for part in cell.get("source", cell.get("input", "")))
    if len(cells) > MAX_CELLS or size > MAX_CODE:
        raise SubmissionError(
            f"{name} holds more than {MAX_CELLS} code cells or {MAX_CODE >> 10} KiB of code: "
            "submit only what the assignment asks for"
        )


def _source(cell: Any) -> str | None:
    """What to run of a cell; None for cells that otter-grader or nbgrader added for marking."""
    text: str = re.sub(r"\r\n?", "\n", cell.source)
    marks = cell.metadata.get("nbgrader", {})
    is_a_test = "otter.Notebook(" in text or (marks.get("grade") and not marks.get("solution"))
    if is_a_test:
        return None
    if PYTHON_CELL.match(text):
        return PYTHON_CELL.sub("#\n", text, count=1)
    if text.lstrip().startswith("%%") and not WRITES.match(text):
        return None
    return text


def _written(cells: list[str | None], main: str) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The Python files that cells write with %%writefile, and a remark if one is ``main``."""
    texts: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    for number, source in enumerate(cells, 1):
        if not (found := WRITES.match(source or "")):
            continue
        path = PurePosixPath(found[2])
        name = str(path)
        if path.is_absolute() or ".." in path.parts or path.suffix != ".py":
            continue
        text = (source or "")[found.end() :].rstrip("\n") + "\n"
        texts[name] = (texts.get(name, "") if found[1] else "") + text
        if name == main:
            notes = (f"cell {number} writes {main}: that text was marked, not the other cells",)
    return {name: text.encode("utf-8", "replace") for name, text in texts.items()}, notes


def without_magics(source: str) -> str:
    """The source with magics and shell commands made ``pass``, line by line; Python is kept."""
    lines = source.split("\n")
    timed = [TIMED_LINE.sub(r"\1\2", line) for line in lines]
    from jupytext.magics import comment_magic

    commented = comment_magic(list(timed))
    for number, (old, new) in enumerate(zip(timed, commented, strict=True)):
        if old != new:
            indent = new[: len(new) - len(new.lstrip())]
            continues = number and commented[number - 1].rstrip().endswith("\\")
            is_continuation = continues and timed[number - 1] != commented[number - 1]
            commented[number] = new if is_continuation else f"{indent}pass  {new.lstrip()}"
    return "\n".join(commented)


# -- the module -----------------------------------------------------------------------------------


class _Module:
    """The text as it grows."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._future: list[str] = []
        self.notes: list[str] = []

    def text(self) -> str:
        """The text; imports from ``__future__`` come first, wherever they were."""
        future = f"from __future__ import {', '.join(dict.fromkeys(self._future))}"
        return "\n".join([future if self._future else "#", HEADER, *self._lines]) + "\n"

    def add(self, number: int, source: str) -> None:
        """One cell."""
        self._lines.append(f"# %% cell {number}")
        tree = _parsed(source)
        if isinstance(tree, Exception):
            source = without_magics(source)
            tree = _parsed(source)
        if isinstance(tree, Exception):
            self._leave_out(number, 1, source.split("\n"), _why(tree))
            return
        lines, done = source.split("\n"), 0
        for first, last, nodes in _groups(tree):
            self._lines += lines[done : first - 1]
            done = last
            self._statement(number, first, lines[first - 1 : last], nodes)
        self._lines += lines[done:]

    def _statement(self, cell: int, first: int, lines: list[str], nodes: list[ast.stmt]) -> None:
        future = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
        if future:
            self._future += [alias.name for node in future for alias in node.names]
            lines = [""] * len(lines)
            nodes = [node for node in nodes if node not in future]
        if not all(_cannot_fail(node) for node in nodes):
            header = self._header(cell, first, lines, nodes)
            text = [header, *_indented(lines, nodes, first)]
        else:
            text = lines
        if error := _wrong("\n".join(text)):
            self._leave_out(cell, first, lines, _why(error))
        else:
            self._lines += text

    def _header(self, cell: int, first: int, lines: list[str], nodes: list[ast.stmt]) -> str:
        imports = all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes)
        try:
            names = tuple(dict.fromkeys(name for node in nodes for name in _bound(node)))
        except RecursionError:
            # For instance a chain of a hundred thousand attributes.
            names = ()
        last = ", True" if imports else ""
        return f"with {GUARD}(globals(), {cell}, {first}, {_shown(lines)!r}, {names!r}{last}):"

    def _leave_out(self, cell: int, first: int, lines: list[str], why: str) -> None:
        names = tuple(a or b for a, b in BINDS.findall("\n".join(lines)))
        shown = _shown(lines)
        call = f"{SKIP}(globals(), {cell}, {first}, {shown!r}, {names!r}, {why!r})"
        self._lines += [call, *(f"# {line}" for line in lines)]
        self.notes.append(f"cell {cell}: `{shown}` ({why})")


def _shown(lines: list[str]) -> str:
    """The first line that says something, shortened."""
    said = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    text = "".join(c if c.isprintable() else " " for c in (said or [""])[0]).replace("`", "'")
    return text if len(text) <= 60 else text[:57] + "..."


def _parsed(source: str) -> ast.Module | Exception:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except NOT_PARSED as error:
        return error


def _wrong(text: str) -> Exception | None:
    """Why a statement cannot be in the module (`return`, `await`), or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "cell", "exec", dont_inherit=True)
    except NOT_PARSED as error:
        return error
    return None


def _why(error: Exception) -> str:
    """The error in a student's words."""
    if isinstance(error, SyntaxError):
        return f"this is not Python: {error.msg}"
    return f"this cannot be read as Python: {type(error).__name__}"


def _groups(tree: ast.Module) -> Iterator[tuple[int, int, list[ast.stmt]]]:
    """First line, last line and nodes of the statements; those on the same line are together."""
    first, last, nodes = 0, 0, list[ast.stmt]()
    for node in tree.body:
        begin = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        if nodes and begin > last:
            yield first, last, nodes
            nodes = []
        first = first if nodes else begin
        last = max(last, node.end_lineno or begin)
        nodes.append(node)
    if nodes:
        yield first, last, nodes


def _cannot_fail(node: ast.stmt) -> bool:
    """A function without anything that is computed where it is defined, a constant, a text."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        a = node.args
        every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        computed = [node.returns, *(one.annotation for one in every), *node.decorator_list]
        defaults = [one for one in (*a.defaults, *a.kw_defaults) if one is not None]
        return all(isinstance(one, ast.Constant) for one in defaults) and not any(computed)
    if isinstance(node, ast.Assign):
        names = all(isinstance(target, ast.Name) for target in node.targets)
        return names and isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _indented(lines: list[str], nodes: list[ast.stmt], first: int) -> list[str]:
    """The lines, indented by four; the inside of a string of several lines stays as it is."""
    inside = set[int]()
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
        )
        if text and node.end_lineno is not None:  # type: ignore[attr-defined]
            inside |= set(range(node.lineno + 1, node.end_lineno + 1))  # type: ignore[attr-defined]
    return [
        line
        if number in inside
        # A form feed undoes indentation.
        else f"    {line.lstrip(chr(12))}"
        for number, line in enumerate(lines, first)
    ]


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement gives to the module."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name.split(".")[0]) for alias in node.names)
    elif isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Store):
            yield node.id
    elif not isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp)):
        for inner in ast.iter_child_nodes(node):
            yield from _bound(inner)
