"""The markers of a solution file: its blocks, its known bugs, and what each bug replaces.

docs/AUTHORING.md describes them. They are read from comment tokens, so a marker inside a string is
text. Every mistake is a SourceError that begins with file:line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.authoring import lines
from autograder.errors import SourceError

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
# Between these is what only broken readings need.
BEGIN_BUGS, END_BUGS = "### BEGIN BUGS", "### END BUGS"
BUG = re.compile(r"# BUG\(([a-z0-9]+(?:-[a-z0-9]+)*)(?:, ([2-9]))?\): (\S.*)")
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
class Block:
    """Lines ``begin``..``end`` from 1, markers included; ``todo`` is None outside functions."""

    begin: int
    end: int
    todo: Todo | None

    @property
    def lines(self) -> dict[int, str | None]:
        """The edits that drop it."""
        return dict.fromkeys(range(self.begin, self.end + 1))


@dataclass(frozen=True)
class Corruption:
    """``spelling`` of a bug turns the logical line ``first``..``last`` into ``replacement``."""

    spelling: str
    replacement: str
    first: int
    last: int


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Markers:
    """The markers of one file. The constructor raises SourceError for a wrong one.

    blocks       the solution blocks, in file order
    helpers      the blocks of what only bugs need
    corruptions  what each spelling of a bug replaces
    texts        by a bug's name, when one makes it
    comments     line number -> a comment that is alone on its line
    tree         the file's syntax tree
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        # Python counts lines like this: a form feed does not end one.
        self._lines = text.split("\n")
        try:
            self.tree = ast.parse(text)
        except SyntaxError as error:
            raise self.mistake(error.lineno or 1, f"this is not Python: {error.msg}") from None
        self.comments = lines.comments(text)
        self._logical_lines = lines.logical(text)
        self._definitions = [node for node in ast.walk(self.tree) if isinstance(node, Definition)]
        found = list(self._find_blocks())
        self.blocks = [block for block in found if self.comments[block.begin] == BEGIN]
        self.helpers = [block for block in found if self.comments[block.begin] == BEGIN_BUGS]
        self.corruptions, self.texts = self._find_bugs()

    def indent(self, number: int) -> str:
        """The blanks that a line begins with."""
        line = self._lines[number - 1]
        return line[: len(line) - len(line.lstrip())]

    def mistake(self, line: int, finding: str) -> SourceError:
        """What is wrong, with file and line."""
        return SourceError(f"{self._path}:{line}: {finding}")

    # -- finding them ------------------------------------------------------------------------------

    def _find_blocks(self) -> Iterator[Block]:
        ends = {BEGIN: END, BEGIN_BUGS: END_BUGS}
        # The line and the kind of the block that is open; "" if none is.
        begin, kind = 0, ""
        filled: dict[int, int] = {}
        for number, text in self.comments.items():
            if text in ends:
                if kind:
                    raise self.mistake(
                        number, f"'{text}' begins inside the block of line {begin}: end that first"
                    )
                begin, kind = number, text
            elif text in ends.values():
                if text != ends.get(kind):
                    other = next(start for start, end in ends.items() if end == text)
                    raise self.mistake(number, f"'{text}' without a '{other}' before it")
                bugs = Block(begin, number, None)
                yield self._block(begin, number, filled) if kind == BEGIN else bugs
                kind = ""
            else:
                self._refuse_a_misspelt_marker(number, text)
        if kind:
            raise self.mistake(begin, f"this block is never ended: add '{ends[kind]}'")

    def _refuse_a_misspelt_marker(self, number: int, text: str) -> None:
        forms = (BUG, WHEN, TODO)
        if LOOKS_LIKE_A_MARKER.match(text) and not any(form.fullmatch(text) for form in forms):
            raise self.mistake(
                number,
                f"'{text}' looks like a marker but is not one: the forms are '{BEGIN}', '{END}', "
                f"'{BEGIN_BUGS}', '{END_BUGS}', '# BUG(kebab-name): line', '# WHEN text', "
                "'# TODO(part): text'",
            )

    def _block(self, begin: int, end: int, filled: dict[int, int]) -> Block:
        code = [first for first in self._logical_lines if begin < first < end]
        if not code:
            raise self.mistake(begin, "this solution block holds no code")
        if {self.indent(begin), self.indent(end)} != {self.indent(code[0])}:
            raise self.mistake(begin, "BEGIN, END and the code between them must be indented alike")
        owner = self._owner(begin, code[0])
        if owner is None or isinstance(owner, ast.ClassDef):
            return Block(begin, end, None)
        todo = TODO.fullmatch(self.comments.get(begin - 1, ""))
        if not todo:
            raise self.mistake(
                begin,
                "the line above a solution block in a function must be '# TODO(part): what to do'",
            )
        if owner.lineno in filled:
            raise self.mistake(
                begin,
                f"{owner.name} has a solution block already, at line {filled[owner.lineno]}: "
                "one block for each function",
            )
        filled[owner.lineno] = begin
        return Block(begin, end, Todo(todo[1], todo[2], owner.name))

    def _owner(self, begin: int, code: int) -> Definition | None:
        """The innermost function or class that begins before the block and holds its code."""
        owners = (
            node for node in self._definitions if node.lineno < begin and code <= _end_of(node)
        )
        return max(owners, key=lambda node: node.lineno, default=None)

    def _find_bugs(self) -> tuple[list[Corruption], dict[str, str]]:
        corruptions: list[Corruption] = []
        texts: dict[str, list[str]] = {}
        # The bug that a WHEN line explains, and the lines of its marker and of its latest text.
        name, marked, latest = "", 0, 0
        for number, text in self.comments.items():
            if bug := BUG.fullmatch(text):
                name, marked, latest = bug[1], number, number
                spelling = f"{name}, {bug[2]}" if bug[2] else name
                corruptions.append(self._corruption(number, spelling, bug[3]))
                texts.setdefault(name, [])
            elif when := WHEN.fullmatch(text):
                if not name or latest != number - 1:
                    raise self.mistake(number, "a '# WHEN' line must follow its '# BUG(...)' line")
                if latest == marked and texts[name]:
                    raise self.mistake(
                        number, f"the bug '{name}' is explained twice: keep one '# WHEN' text"
                    )
                texts[name].append(when[1])
                latest = number
        told = {name: " ".join(parts) for name, parts in texts.items()}
        self._refuse_what_is_not_whole(corruptions, told)
        return corruptions, told

    def _refuse_what_is_not_whole(
        self, corruptions: Sequence[Corruption], texts: Mapping[str, str]
    ) -> None:
        """Every bug has a text and a first spelling."""
        spelled = {corruption.spelling for corruption in corruptions}
        for corruption in corruptions:
            bug = bug_of(corruption.spelling)
            if not texts[bug].endswith("."):
                raise self.mistake(
                    corruption.first,
                    f"the bug '{bug}' needs one '# WHEN' text that ends with a "
                    "full stop: it completes 'These are the numbers one gets when ...'",
                )
            if bug not in spelled:
                raise self.mistake(
                    corruption.first,
                    f"'{corruption.spelling}' is a further spelling of a bug that has no first: "
                    f"write '# BUG({bug}): line' for one of them",
                )

    def _corruption(self, number: int, spelling: str, replacement: str) -> Corruption:
        first = number + 1
        while is_of_a_bug(self.comments.get(first, "")):
            first += 1
        if first not in self._logical_lines:
            raise self.mistake(
                number,
                f"the bug '{spelling}' must be directly above the statement that it corrupts",
            )
        if self.indent(first) != self.indent(number):
            raise self.mistake(
                number, f"the bug '{spelling}' must be indented like the statement below it"
            )
        return Corruption(spelling, replacement, first, self._logical_lines[first])


def bug_of(spelling: str) -> str:
    """The name of the bug: 'no-discount' of its further spelling 'no-discount, 2'."""
    return spelling.partition(", ")[0]


def is_of_a_bug(comment: str) -> bool:
    """Whether this is a BUG or a WHEN line."""
    return bool(BUG.fullmatch(comment) or WHEN.fullmatch(comment))


def _end_of(node: Definition) -> int:
    return node.end_lineno or 0
