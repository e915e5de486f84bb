"""Right answers in other styles (grading/NAME/right/*.py), as overlays over the stub.

An overlay holds only what differs. Its definitions replace the stub's of the same name, in a class
method by method. New definitions and imports are added. The rest, the given code, is the stub's, so
it is written only once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from autograder.authoring.course import Assignment
from autograder.authoring.source import Source
from autograder.errors import SourceError

Import = ast.Import | ast.ImportFrom
Scope = ast.Module | ast.ClassDef
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def answers(assignment: Assignment) -> dict[str, str]:
    """The whole text of each right answer in another style, by the name of its file.

    Raises SourceError for an overlay that is not Python.
    """
    stub = Source(assignment.solution).stub()
    folder = assignment.hidden_tests.parent / "right"
    return {path.stem: _read(stub, path) for path in sorted(folder.glob("*.py"))}


def _read(stub: str, path: Path) -> str:
    try:
        return overlay(stub, path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise SourceError(f"{path}:{error.lineno}: this is not Python: {error.msg}") from None


def overlay(base: str, text: str) -> str:
    """``base`` with the definitions of ``text`` instead of its own. Raises SyntaxError."""
    merged = _Overlay(base, text)
    merged.lay(ast.parse(base), ast.parse(text))
    return merged.text()


class _Overlay:
    """Edits of the lines of ``base``: some are dropped, and others come before some."""

    def __init__(self, base: str, text: str) -> None:
        self._base = base.split("\n")
        self._new = text.split("\n")
        self._dropped: set[int] = set()
        self._before: dict[int, list[str]] = {}

    def text(self) -> str:
        """The lines after all edits."""
        lines: list[str] = []
        for number, line in enumerate([*self._base, ""], 1):
            lines += self._before.get(number, [])
            if number not in self._dropped:
                lines.append(line)
        return "\n".join(lines).rstrip() + "\n"

    def lay(self, base: Scope, new: Scope) -> None:
        """Lay one scope over another of the same kind."""
        theirs: dict[str, list[ast.stmt]] = {}
        for node in base.body:
            for name in _names(node):
                theirs.setdefault(name, []).append(node)
        # What is new comes before the next definition that is not.
        waiting: list[str] = []
        # The line after the latest definition that was replaced.
        after = self._after_imports(base)
        for node in new.body:
            twins = next((theirs[name] for name in _names(node) if name in theirs), [])
            if isinstance(node, Import):
                self._insert(self._after_imports(base), self._segment(node))
            elif _is_docstring(node):
                continue
            elif not twins:
                waiting += self._segment(node)
            elif isinstance(node, DEFINITION):
                self._insert(_first(twins[0]), waiting)
                self._replace(twins, node)
                waiting, after = [], (twins[-1].end_lineno or 0) + 1
            else:
                # An assignment's value may need what the overlay has defined so far.
                self._drop(twins)
                self._insert(after, waiting + self._segment(node))
                waiting = []
        self._insert((base.body[-1].end_lineno or 0) + 1, waiting)

    def _replace(self, twins: list[ast.stmt], node: ast.stmt) -> None:
        twin = twins[0]
        if (
            isinstance(twin, ast.ClassDef)
            and isinstance(node, ast.ClassDef)
            and _head(twin) == _head(node)
        ):
            self.lay(twin, node)
        else:
            self._drop(twins)
            self._insert(_first(twin), self._segment(node))

    def _drop(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            self._dropped |= set(range(_first(node), (node.end_lineno or 0) + 1))

    def _insert(self, line: int, lines: list[str]) -> None:
        self._before.setdefault(line, []).extend(lines)

    def _segment(self, node: ast.stmt) -> list[str]:
        """The lines of a statement with the comments and the blank lines above it."""
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return []
        first = _first(node)
        while first > 1 and self._new[first - 2].lstrip().startswith("#"):
            first -= 1
        apart = [""] * (2 if isinstance(node, DEFINITION) else 0)
        return self._new[first - 1 : node.end_lineno] + (
            apart if node.col_offset == 0 else apart[1:]
        )

    def _after_imports(self, base: Scope) -> int:
        rest = (n for n in base.body if not isinstance(n, Import) and not _is_docstring(n))
        return _first(next(rest))


def _names(node: ast.stmt) -> Iterator[str]:
    """What a statement defines; imports do not count."""
    if isinstance(node, DEFINITION):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def _head(node: ast.ClassDef) -> list[str]:
    """What makes two classes of one name the same kind of class."""
    return [ast.dump(part) for part in (*node.bases, *node.keywords, *node.decorator_list)]


def _first(node: ast.stmt) -> int:
    """The first line of a statement, decorators included."""
    decorators = node.decorator_list if isinstance(node, DEFINITION) else []
    return min([node.lineno, *(one.lineno for one in decorators)])


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
