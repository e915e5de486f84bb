"""The student's own lines: around the one that a traceback names, and the functions of a part."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from autograder.authoring.course import Assignment
from autograder.authoring.markers import Markers
from autograder.isolation.cells import HEADER, MARK, OWN_LINE
from autograder.marking.submission import Submission

AROUND = 4  # lines above and below
LONGEST = 120  # lines of one function that are shown
# A line of a traceback as feedback quotes it: "gae.py:12 in f", or "cell 3, line 2 in f".
_FRAME = re.compile(r"^  \|   (?:(cell \d+), line |(\S.*?):)(\d+) in ", re.MULTILINE)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Excerpt:
    """Lines of one file or notebook cell: number, text and whether it is the one that is named."""

    where: str
    lines: tuple[tuple[int, str, bool], ...]


class Sources:
    """The submissions as they were marked, to quote from; none where they are not at hand.

    ``functions``: the qualified names of the functions that each part asks for. Nothing is quoted
    from a submission that has changed since: ``digest`` is that of what was marked.
    """

    def __init__(
        self,
        submissions: Mapping[str, Submission] | None = None,
        functions: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._submissions = submissions or {}
        self._functions = functions or {}

    def excerpt(self, student: str, digest: object, text: str) -> Excerpt | None:
        """The lines around the innermost one that ``text`` names."""
        frames = _FRAME.findall(text)
        if not frames:
            return None
        cell, file, number = frames[-1]
        for name, lines in self._files(student, digest):
            if cell or name.rpartition("/")[2] == file:
                places = _places(lines) if cell else {n: ("", n) for n in range(1, len(lines) + 1)}
                here = {n: lines[at - 1] for at, (where, n) in places.items() if where == cell}
                if int(number) in here:
                    return Excerpt(cell or file, _around(here, int(number)))
        return None

    def of_part(self, student: str, digest: object, part: str) -> tuple[Excerpt, ...]:
        """The student's functions of this part, in the order of the starter."""
        found: dict[str, Excerpt] = {}
        wanted = self._functions.get(part, ())
        for _, lines in self._files(student, digest) if wanted else ():
            found |= {name: one for name, one in _functions(lines) if name in wanted}
        return tuple(found[name] for name in wanted if name in found)

    def _files(self, student: str, digest: object) -> Iterator[tuple[str, list[str]]]:
        submission = self._submissions.get(student)
        if submission is not None and submission.digest == digest:
            for name, data in submission.files.items():
                yield name, data.decode("utf-8", "replace").split("\n")


def blanks(assignment: Assignment) -> dict[str, tuple[str, ...]]:
    """The functions that students complete, part by part, as the solution's markers have them."""
    markers = Markers(assignment.solution, assignment.solution.read_text(encoding="utf-8"))
    todos = [block.todo for block in markers.blocks if block.todo]
    parts = dict.fromkeys(todo.part for todo in todos)
    return {part: tuple(one.function for one in todos if one.part == part) for part in parts}


def _functions(lines: list[str]) -> Iterator[tuple[str, Excerpt]]:
    """Qualified name and lines of each function and method of a module or notebook."""
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    places = _places(lines)
    for name, node in _definitions(tree, ""):
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        last = min(node.end_lineno or first, first + LONGEST)
        shown = [(n, *places[n]) for n in range(first, last + 1) if n in places]
        text = tuple((number, _visible(lines[n - 1]), False) for n, _, number in shown)
        cell = shown[0][1] if shown else ""
        yield name, Excerpt(f"{name} in {cell}" if cell else name, text)


def _definitions(scope: ast.AST, prefix: str) -> Iterator[tuple[str, _Function]]:
    """Functions of a module and methods of its classes; not what is inside of functions."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, _Function):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.With | ast.If | ast.Try):
            yield from _definitions(node, prefix)


def _places(lines: list[str]) -> dict[int, tuple[str, int]]:
    """Line of the file -> its cell and number there; without lines that are not the student's.

    A module that was no notebook is one cell without a name.
    """
    if HEADER not in lines:
        return {number: ("", number) for number in range(1, len(lines) + 1)}
    places, cell, number = {}, "", 0
    for at, line in enumerate(lines, 1):
        if found := MARK.fullmatch(line):
            cell, number = f"cell {found[1]}", 0
        elif cell and not OWN_LINE.match(line):
            number += 1
            places[at] = (cell, number)
    return places


def _around(lines: Mapping[int, str], number: int) -> tuple[tuple[int, str, bool], ...]:
    return tuple(
        (one, _visible(text), one == number)
        for one, text in sorted(lines.items())
        if abs(one - number) <= AROUND
    )


def _visible(line: str) -> str:
    return "".join(c for c in line if c.isprintable() or c == "\t")
