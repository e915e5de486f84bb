"""One solution file, three readings: the solution, the stub, and a broken variant per known bug.

docs/AUTHORING.md describes the markers. They are read from comment tokens, so a marker inside a
string is text. Every mistake is a SourceError that begins with file:line.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autograder.authoring import leaks, lines
from autograder.errors import SourceError

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
# Between these is what only broken readings need.
BEGIN_BUGS, END_BUGS = "### BEGIN BUGS", "### END BUGS"
BUG = re.compile(r"# BUG\(([a-z0-9]+(?:-[a-z0-9]+)*)\): (\S.*)")
WHEN = re.compile(r"# WHEN (\S.*)")
TODO = re.compile(r"# TODO\(([a-z0-9_]+)\): (\S.*)")
LOOKS_LIKE_A_MARKER = re.compile(
    r"#+\s*((BEGIN|END)\s+(SOLUTION|BUGS?)|BUG\b|WHEN\b|TODO\b)", re.IGNORECASE
)


@dataclass(frozen=True)
class Bug:
    """A known mistake; ``when`` completes 'These are the numbers one gets when ...'."""

    name: str
    when: str


@dataclass(frozen=True)
class Todo:
    """A blank of the stub: the part it belongs to, what to do, and the function it is in."""

    part: str
    text: str
    function: str


@dataclass(frozen=True)
class _Block:
    """Lines ``begin``..``end`` from 1, markers included; ``todo`` is None outside functions."""

    begin: int
    end: int
    todo: Todo | None

    @property
    def lines(self) -> dict[int, str | None]:
        """The edits that drop it."""
        return dict.fromkeys(range(self.begin, self.end + 1))


@dataclass(frozen=True)
class _Corruption:
    """``bug`` turns the logical line ``first``..``last`` into ``replacement``."""

    bug: str
    replacement: str
    first: int
    last: int


class Source:
    """A solution file and its readings. The constructor raises SourceError for a wrong marker."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text
        # Python counts lines like this: a form feed does not end one.
        self._lines = self.text.split("\n")
        try:
            self._tree = ast.parse(self.text)
        except SyntaxError as error:
            raise self._mistake(error.lineno or 1, f"this is not Python: {error.msg}") from None
        found = list(self._find_blocks())
        self._blocks = [block for block in found if self._comments[block.begin] == BEGIN]
        self._helpers = [block for block in found if self._comments[block.begin] == BEGIN_BUGS]
        self._corruptions, self._texts = self._find_bugs()
        self._must_parse(None, self.stub())
        for bug in self.bugs:
            self._must_parse(bug.name, self.broken(bug.name))
        self._refuse_leaks()

    # -- readings ----------------------------------------------------------------------------------

    @property
    def bugs(self) -> tuple[Bug, ...]:
        """The known bugs, in file order."""
        return tuple(Bug(name, when) for name, when in self._texts.items())

    @property
    def todos(self) -> tuple[Todo, ...]:
        """The blanks, in file order."""
        return tuple(block.todo for block in self._blocks if block.todo)

    def solution(self) -> str:
        """What is shown after the deadline: no markers, and nothing that only bugs need."""
        return self._joined(dict.fromkeys(self._marker_lines) | self._helper_lines)

    def unbroken(self) -> str:
        """The solution with what bugs need: a broken reading differs from it by its bug alone."""
        return self._joined(dict.fromkeys(self._marker_lines))

    def marked(self) -> str:
        """The solution with its blocks and TODO lines still marked, but without the bugs."""
        bugs = (number for number, text in self._comments.items() if _is_of_a_bug(text))
        return self._joined(dict.fromkeys(bugs) | self._helper_lines)

    def stub(self) -> str:
        """What students get: blanks raise NotImplementedError, the solution's helpers are gone."""
        edits: dict[int, str | None] = dict.fromkeys(self._marker_lines - self._todo_lines)
        edits |= self._helper_lines
        for block in self._blocks:
            edits |= block.lines
            if block.todo:
                indent = self._indent(block.begin)
                text = block.todo.text.replace("\\", "\\\\").replace('"', '\\"')
                edits[block.begin] = (
                    f"{indent}# YOUR CODE HERE\n"
                    f'{indent}raise NotImplementedError("TODO({block.todo.part}): {text}")'
                )
        return self._joined(edits)

    def broken(self, *bugs: str) -> str:
        """The solution with known bugs in it, mostly one.

        Raises SourceError for any other name, and where two bugs change the same statement.
        """
        for bug in bugs:
            self._must_be_known(bug)
        edits: dict[int, str | None] = dict.fromkeys(self._marker_lines)
        changed: set[int] = set()
        for corruption in self._corruptions:
            if corruption.bug in bugs:
                if corruption.first in changed:
                    raise self._mistake(corruption.first, f"{' and '.join(bugs)} both change this")
                changed.add(corruption.first)
                edits |= dict.fromkeys(range(corruption.first, corruption.last + 1))
                edits[corruption.first] = self._indent(corruption.first) + corruption.replacement
        return self._joined(edits)

    def _must_be_known(self, bug: str) -> None:
        if bug not in self._texts:
            near = difflib.get_close_matches(bug, self._texts, n=1)
            guess = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(self._texts)}"
            raise SourceError(f"{self.path}: no known bug is called '{bug}'; {guess}")

    # -- finding the markers -----------------------------------------------------------------------

    @cached_property
    def _comments(self) -> dict[int, str]:
        return lines.comments(self.text)

    @cached_property
    def _logical_lines(self) -> dict[int, int]:
        return lines.logical(self.text)

    @cached_property
    def _todo_lines(self) -> set[int]:
        return {block.begin - 1 for block in self._blocks if block.todo}

    @cached_property
    def _marker_lines(self) -> set[int]:
        marks, comments = (BEGIN, END, BEGIN_BUGS, END_BUGS), self._comments.items()
        markers = {number for number, text in comments if text in marks or _is_of_a_bug(text)}
        return markers | self._todo_lines

    @cached_property
    def _helper_lines(self) -> dict[int, str | None]:
        """The edits that drop what only bugs need."""
        return {number: None for block in self._helpers for number in block.lines}

    def _find_blocks(self) -> Iterator[_Block]:
        ends = {BEGIN: END, BEGIN_BUGS: END_BUGS}
        # The line and the kind of the block that is open; "" if none is.
        begin, kind = 0, ""
        filled: dict[int, int] = {}
        for number, text in self._comments.items():
            if text in ends:
                if kind:
                    raise self._mistake(
                        number, f"'{text}' begins inside the block of line {begin}: end that first"
                    )
                begin, kind = number, text
            elif text in ends.values():
                if text != ends.get(kind):
                    other = next(start for start, end in ends.items() if end == text)
                    raise self._mistake(number, f"'{text}' without a '{other}' before it")
                bugs = _Block(begin, number, None)
                yield self._block(begin, number, filled) if kind == BEGIN else bugs
                kind = ""
            else:
                self._refuse_a_misspelt_marker(number, text)
        if kind:
            raise self._mistake(begin, f"this block is never ended: add '{ends[kind]}'")

    def _refuse_a_misspelt_marker(self, number: int, text: str) -> None:
        forms = (BUG, WHEN, TODO)
        if LOOKS_LIKE_A_MARKER.match(text) and not any(form.fullmatch(text) for form in forms):
            raise self._mistake(
                number,
                f"'{text}' looks like a marker but is not one: the forms are '{BEGIN}', '{END}', "
                f"'{BEGIN_BUGS}', '{END_BUGS}', '# BUG(kebab-name): line', '# WHEN text', "
                "'# TODO(part): text'",
            )

    def _block(self, begin: int, end: int, filled: dict[int, int]) -> _Block:
        code = [first for first in self._logical_lines if begin < first < end]
        if not code:
            raise self._mistake(begin, "this solution block holds no code")
        if {self._indent(begin), self._indent(end)} != {self._indent(code[0])}:
            raise self._mistake(
                begin, "BEGIN, END and the code between them must be indented alike"
            )
        owner = self._owner(begin, code[0])
        if not isinstance(owner, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return _Block(begin, end, None)
        todo = TODO.fullmatch(self._comments.get(begin - 1, ""))
        if not todo:
            raise self._mistake(
                begin,
                "the line above a solution block in a function must be '# TODO(part): what to do'",
            )
        if owner.lineno in filled:
            raise self._mistake(
                begin,
                f"{owner.name} has a solution block already, at line {filled[owner.lineno]}: "
                "one block for each function",
            )
        filled[owner.lineno] = begin
        return _Block(begin, end, Todo(todo[1], todo[2], owner.name))

    def _owner(self, begin: int, code: int) -> ast.AST | None:
        """The innermost function or class that begins before the block and holds its code."""
        owners = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and node.lineno < begin
            and code <= (node.end_lineno or 0)
        ]
        return max(owners, key=lambda node: node.lineno, default=None)

    def _find_bugs(self) -> tuple[list[_Corruption], dict[str, str]]:
        corruptions: list[_Corruption] = []
        texts: dict[str, list[str]] = {}
        # The bug that a WHEN line explains, and the lines of its marker and of its latest text.
        name, marked, latest = "", 0, 0
        for number, text in self._comments.items():
            if bug := BUG.fullmatch(text):
                corruptions.append(self._corruption(number, bug[1], bug[2]))
                name, marked, latest = bug[1], number, number
                texts.setdefault(name, [])
            elif when := WHEN.fullmatch(text):
                if not name or latest != number - 1:
                    raise self._mistake(number, "a '# WHEN' line must follow its '# BUG(...)' line")
                if latest == marked and texts[name]:
                    raise self._mistake(
                        number, f"the bug '{name}' is explained twice: keep one '# WHEN' text"
                    )
                texts[name].append(when[1])
                latest = number
        for corruption in corruptions:
            told = " ".join(texts[corruption.bug])
            if not told.endswith("."):
                raise self._mistake(
                    corruption.first,
                    f"the bug '{corruption.bug}' needs one '# WHEN' text that ends with a "
                    "full stop: it completes 'These are the numbers one gets when ...'",
                )
        return corruptions, {name: " ".join(lines) for name, lines in texts.items()}

    def _corruption(self, number: int, bug: str, replacement: str) -> _Corruption:
        first = number + 1
        while _is_of_a_bug(self._comments.get(first, "")):
            first += 1
        if first not in self._logical_lines:
            raise self._mistake(
                number, f"the bug '{bug}' must be directly above the statement that it corrupts"
            )
        if self._indent(first) != self._indent(number):
            raise self._mistake(
                number, f"the bug '{bug}' must be indented like the statement below it"
            )
        return _Corruption(bug, replacement, first, self._logical_lines[first])

    # -- checks on the readings --------------------------------------------------------------------

    def _must_parse(self, bug: str | None, text: str) -> None:
        try:
            ast.parse(text)
        except SyntaxError as error:
            if bug is None:
                raise self._mistake(
                    1, f"the stub would not be Python (its line {error.lineno}: {error.msg})"
                ) from None
            line = next(c.first for c in self._corruptions if c.bug == bug)
            raise self._mistake(
                line, f"with the bug '{bug}' this would not be Python: {error.msg}"
            ) from None

    def _refuse_leaks(self) -> None:
        for name in leaks.names(self.stub(), self.solution(), self._given()):
            raise self._mistake(
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

    # -- small things ------------------------------------------------------------------------------

    def _indent(self, number: int) -> str:
        line = self._lines[number - 1]
        return line[: len(line) - len(line.lstrip())]

    def _joined(self, edits: dict[int, str | None]) -> str:
        """The file with some lines replaced (None: dropped); at most two blank lines in a row."""
        kept = (edits.get(number, line) for number, line in enumerate(self._lines, 1))
        text = "\n".join(line for line in kept if line is not None)
        return re.sub(r"\n{4,}", "\n\n\n", text).rstrip() + "\n"

    def _mistake(self, line: int, finding: str) -> SourceError:
        return SourceError(f"{self.path}:{line}: {finding}")


def _is_of_a_bug(comment: str) -> bool:
    return bool(BUG.fullmatch(comment) or WHEN.fullmatch(comment))
