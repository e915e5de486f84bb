"""One solution file, three readings: the solution, the stub, and a broken variant per known bug."""

from __future__ import annotations

import ast
import difflib
import re
from functools import cached_property
from pathlib import Path

from autograder.authoring import leaks
from autograder.authoring.markers import (
    BEGIN,
    BEGIN_BUGS,
    END,
    END_BUGS,
    Bug,
    Corruption,
    Definition,
    Markers,
    Todo,
    is_of_a_bug,
)
from autograder.errors import SourceError


class Source:
    """A solution file and its readings. The constructor raises SourceError for a wrong marker."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text
        self._lines = self.text.split("\n")
        self._markers = Markers(path, self.text)
        self._stub_must_parse()
        for spelling in self.spellings:
            self._must_parse(spelling)
        self._refuse_leaks()

    # -- readings ----------------------------------------------------------------------------------

    @property
    def bugs(self) -> tuple[Bug, ...]:
        """The known bugs, in file order."""
        return tuple(Bug(name, when) for name, when in self._markers.texts.items())

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """What `broken` takes, in file order: "no-discount" and its spelling "no-discount, 2"."""
        return tuple(dict.fromkeys(one.spelling for one in self._markers.corruptions))

    @property
    def todos(self) -> tuple[Todo, ...]:
        """The blanks, in file order."""
        return tuple(block.todo for block in self._markers.blocks if block.todo)

    def solution(self) -> str:
        """What is shown after the deadline: no markers, and nothing that only bugs need."""
        return self._joined(dict.fromkeys(self._marker_lines) | self._helper_lines)

    def unbroken(self) -> str:
        """The solution with what bugs need: a broken reading differs from it by its bug alone."""
        return self._joined(dict.fromkeys(self._marker_lines))

    def marked(self) -> str:
        """The solution with its blocks and TODO lines still marked, but without the bugs."""
        comments = self._markers.comments.items()
        bugs = (number for number, text in comments if is_of_a_bug(text))
        return self._joined(dict.fromkeys(bugs) | self._helper_lines)

    def stub(self) -> str:
        """What students get: blanks raise NotImplementedError, the solution's helpers are gone."""
        edits: dict[int, str | None] = dict.fromkeys(self._marker_lines - self._todo_lines)
        edits |= self._helper_lines
        for block in self._markers.blocks:
            edits |= block.lines
            if block.todo:
                indent = self._markers.indent(block.begin)
                text = block.todo.text.replace("\\", "\\\\").replace('"', '\\"')
                edits[block.begin] = (
                    f"{indent}# YOUR CODE HERE\n"
                    f'{indent}raise NotImplementedError("TODO({block.todo.part}): {text}")'
                )
        return self._joined(edits)

    def broken(self, *spellings: str) -> str:
        """The solution with known bugs in it, mostly one, each in one of its spellings.

        Raises SourceError for any other name, and where two bugs change the same statement.
        """
        edits: dict[int, str | None] = dict.fromkeys(self._marker_lines)
        for spelling in spellings:
            self._must_be_known(spelling)
        changed: set[int] = set()
        for one in self._markers.corruptions:
            if one.spelling in spellings:
                if one.first in changed:
                    both = " and ".join(spellings)
                    raise self._markers.mistake(one.first, f"{both} both change this")
                changed.add(one.first)
                edits |= self._edits(one)
        return self._joined(edits)

    def changed(self, spelling: str) -> frozenset[str] | None:
        """Qualified names of the functions whose bodies a bug changes; None: something else too."""
        mine = [one for one in self._markers.corruptions if one.spelling == spelling]
        owners = {_owner(self._markers.tree, one.first) for one in mine}
        return None if None in owners else frozenset(name for name in owners if name is not None)

    def _must_be_known(self, spelling: str) -> None:
        if spelling not in self.spellings:
            near = difflib.get_close_matches(spelling, self.spellings, n=1)
            known = ", ".join(self._markers.texts)
            guess = f"did you mean '{near[0]}'?" if near else f"there are {known}"
            raise SourceError(f"{self.path}: no known bug is called '{spelling}'; {guess}")

    # -- which lines a reading drops or replaces ---------------------------------------------------

    @cached_property
    def _todo_lines(self) -> set[int]:
        return {block.begin - 1 for block in self._markers.blocks if block.todo}

    @cached_property
    def _marker_lines(self) -> set[int]:
        marks, comments = (BEGIN, END, BEGIN_BUGS, END_BUGS), self._markers.comments.items()
        markers = {number for number, text in comments if text in marks or is_of_a_bug(text)}
        return markers | self._todo_lines

    @cached_property
    def _helper_lines(self) -> dict[int, str | None]:
        """The edits that drop what only bugs need."""
        return {number: None for block in self._markers.helpers for number in block.lines}

    def _edits(self, one: Corruption) -> dict[int, str | None]:
        edits: dict[int, str | None] = dict.fromkeys(range(one.first, one.last + 1))
        return edits | {one.first: self._markers.indent(one.first) + one.replacement}

    def _joined(self, edits: dict[int, str | None]) -> str:
        """The file with some lines replaced (None: dropped); at most two blank lines in a row."""
        kept = (edits.get(number, line) for number, line in enumerate(self._lines, 1))
        text = "\n".join(line for line in kept if line is not None)
        return re.sub(r"\n{4,}", "\n\n\n", text).rstrip() + "\n"

    # -- checks on the readings --------------------------------------------------------------------

    def _stub_must_parse(self) -> None:
        try:
            ast.parse(self.stub())
        except SyntaxError as error:
            raise self._markers.mistake(
                1, f"the stub would not be Python (its line {error.lineno}: {error.msg})"
            ) from None

    def _must_parse(self, spelling: str) -> None:
        """Only the outermost statements that the bug changes are parsed: there are many bugs."""
        mine = [one for one in self._markers.corruptions if one.spelling == spelling]
        edits: dict[int, str | None] = {}
        for one in mine:
            edits |= self._edits(one)
        for first, last in {_outermost(self._markers.tree, one.first) for one in mine}:
            kept = (edits.get(n, self._lines[n - 1]) for n in range(first, last + 1))
            try:
                ast.parse("\n".join(line for line in kept if line is not None))
            except SyntaxError as error:
                said = f"with the bug '{spelling}' this would not be Python: {error.msg}"
                raise self._markers.mistake(mine[0].first, said) from None

    def _refuse_leaks(self) -> None:
        for name in leaks.names(self.stub(), self.solution(), self._given()):
            raise self._markers.mistake(
                self._line_of(name),
                f"the stub would show '{name}', which only the solution uses: "
                f"put it between '{BEGIN}' and '{END}'",
            )

    def _given(self) -> set[str]:
        """The names of the course's given modules; empty for a file outside a course."""
        folders = self.path.parents
        folder = folders[2] / "assignments" / "given" if len(folders) > 2 else None
        return {path.stem for path in folder.glob("*.py")} if folder else set()

    def _line_of(self, name: str) -> int:
        word = re.compile(rf"\b{re.escape(name)}\b")
        return next((n for n, line in enumerate(self._lines, 1) if word.search(line)), 1)


def _span(node: ast.stmt) -> tuple[int, int]:
    """First and last line, decorators included."""
    lines = [node.lineno]
    if isinstance(node, Definition):
        lines += [decorator.lineno for decorator in node.decorator_list]
    return min(lines), node.end_lineno or node.lineno


def _outermost(tree: ast.Module, line: int) -> tuple[int, int]:
    """The span of the statement of the module that holds this line."""
    return next(span for span in map(_span, tree.body) if span[0] <= line <= span[1])


def _owner(scope: ast.Module | ast.ClassDef, line: int) -> str | None:
    """The qualified name of the function or method whose body holds this line, if one does."""
    for node in scope.body:
        first, last = _span(node)
        if not first <= line <= last:
            continue
        if isinstance(node, ast.ClassDef):
            name = _owner(node, line)
            return f"{node.name}.{name}" if name else None
        if isinstance(node, ast.FunctionDef) and line >= node.body[0].lineno:
            return node.name
    return None
