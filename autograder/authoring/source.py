"""One solution file, three readings: the solution, the stub that students get, one broken submission per known bug.

The markers are described in docs/AUTHORING.md. They are read from comment tokens, so a marker inside a string is
text, and every mistake is a SourceError that begins with file:line.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autograder.errors import SourceError

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
BUG = re.compile(r"# BUG\(([a-z0-9]+(?:-[a-z0-9]+)*)\): (\S.*)")
WHEN = re.compile(r"# WHEN (\S.*)")
TODO = re.compile(r"# TODO\(([a-z0-9_]+)\): (\S.*)")
LOOKS_LIKE_A_MARKER = re.compile(
    r"#+\s*(BEGIN\s+SOLUTION|END\s+SOLUTION|BUG\b|WHEN\b|TODO\b)", re.IGNORECASE
)


@dataclass(frozen=True)
class Bug:
    """A known mistake. ``when`` completes the sentence 'These are the numbers one gets when ...'."""

    name: str
    when: str


@dataclass(frozen=True)
class Todo:
    """A blank of the stub: the part it belongs to, what to do, and the function it stands in."""

    part: str
    text: str
    function: str


@dataclass(frozen=True)
class _Block:
    """Lines ``begin``..``end`` (1-based, markers included); ``todo`` is None at module or class level."""

    begin: int
    end: int
    todo: Todo | None


@dataclass(frozen=True)
class _Corruption:
    """``bug`` turns the logical line ``first``..``last`` into ``replacement``."""

    bug: str
    replacement: str
    first: int
    last: int


class Source:
    """A solution file and its readings. Raises SourceError for every marker mistake, on construction."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text
        self._lines = self.text.split("\n")  # as Python counts lines: form feeds end none
        try:
            self._tree = ast.parse(self.text)
        except SyntaxError as error:
            raise self._mistake(error.lineno or 1, f"this is not Python: {error.msg}") from None
        self._blocks = list(self._find_blocks())
        self._corruptions, self._texts = self._find_bugs()
        self._must_parse(None, self.stub())
        for bug in self.bugs:
            self._must_parse(bug.name, self.broken(bug.name))
        self._refuse_leaks()

    # -- readings ---------------------------------------------------------------------------------------------

    @property
    def bugs(self) -> tuple[Bug, ...]:
        """The known bugs, in the order in which they stand in the file."""
        return tuple(Bug(name, when) for name, when in self._texts.items())

    @property
    def todos(self) -> tuple[Todo, ...]:
        """The blanks, in file order."""
        return tuple(block.todo for block in self._blocks if block.todo)

    def solution(self) -> str:
        """The file without any marker: what is shown after the deadline."""
        return self._joined(dict.fromkeys(self._marker_lines))

    def marked(self) -> str:
        """The solution with its blocks and TODO lines still marked and the known bugs gone: what nbgrader and otter-grader cut up."""
        bugs = (
            n for n, text in self._comments.items() if BUG.fullmatch(text) or WHEN.fullmatch(text)
        )
        return self._joined(dict.fromkeys(bugs))

    def stub(self) -> str:
        """What students get: each blank raises NotImplementedError, solution-only helpers are gone."""
        edits: dict[int, str | None] = dict.fromkeys(self._marker_lines - self._todo_lines)
        for block in self._blocks:
            edits |= dict.fromkeys(range(block.begin, block.end + 1))
            if block.todo:
                indent = self._indent(block.begin)
                message = f"TODO({block.todo.part}): {block.todo.text}".replace(
                    "\\", "\\\\"
                ).replace('"', '\\"')
                edits[block.begin] = (
                    f'{indent}# YOUR CODE HERE\n{indent}raise NotImplementedError("{message}")'
                )
        return self._joined(edits)

    def broken(self, *bugs: str) -> str:
        """The solution with known bugs in it, mostly one.

        Raises KeyError for a name that the file does not have, and SourceError where two of the
        bugs change the same statement.
        """
        if strange := [bug for bug in bugs if bug not in self._texts]:
            raise KeyError(strange[0])
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

    # -- finding the markers ----------------------------------------------------------------------------------

    @cached_property
    def _comments(self) -> dict[int, str]:
        """Comments that stand alone on their line: line number -> text."""
        return {
            token.start[0]: token.string.rstrip()
            for token in self._tokens
            if token.type == tokenize.COMMENT and token.line.strip() == token.string.rstrip()
        }

    @cached_property
    def _tokens(self) -> list[tokenize.TokenInfo]:
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    @cached_property
    def _logical_lines(self) -> dict[int, int]:
        """First line -> last line of every logical line."""
        spans, first = {}, None
        silent = {
            tokenize.NL,
            tokenize.COMMENT,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.ENDMARKER,
        }
        for token in self._tokens:
            if first is None and token.type not in silent:
                first = token.start[0]
            if token.type == tokenize.NEWLINE and first is not None:
                spans[first], first = token.start[0], None
        return spans

    @cached_property
    def _todo_lines(self) -> set[int]:
        return {block.begin - 1 for block in self._blocks if block.todo}

    @cached_property
    def _marker_lines(self) -> set[int]:
        markers = {
            n for n, text in self._comments.items() if text in (BEGIN, END) or BUG.fullmatch(text)
        }
        return (
            markers
            | {n for n, text in self._comments.items() if WHEN.fullmatch(text)}
            | self._todo_lines
        )

    def _find_blocks(self) -> Iterator[_Block]:
        begin: int | None = None
        filled: dict[int, int] = {}
        for number, text in self._comments.items():
            if text == BEGIN:
                if begin is not None:
                    raise self._mistake(
                        number,
                        f"a solution block begins inside the one of line {begin}: end that first",
                    )
                begin = number
            elif text == END:
                if begin is None:
                    raise self._mistake(number, f"'{END}' without a '{BEGIN}' before it")
                yield self._block(begin, number, filled)
                begin = None
            elif LOOKS_LIKE_A_MARKER.match(text) and not any(
                p.fullmatch(text) for p in (BUG, WHEN, TODO)
            ):
                raise self._mistake(
                    number,
                    f"'{text}' looks like a marker but is none: the forms are '{BEGIN}', "
                    f"'{END}', '# BUG(kebab-name): line', '# WHEN text', '# TODO(part): text'",
                )
        if begin is not None:
            raise self._mistake(begin, f"this solution block is never ended: add '{END}'")

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
        bug_lines: set[int] = set()
        last: tuple[str, int] | None = None  # the marker that a WHEN line may follow: bug, line
        for number, text in self._comments.items():
            if bug := BUG.fullmatch(text):
                corruptions.append(self._corruption(number, bug[1], bug[2]))
                texts.setdefault(bug[1], [])
                bug_lines.add(number)
                last = (bug[1], number)
            elif when := WHEN.fullmatch(text):
                if last is None or last[1] != number - 1:
                    raise self._mistake(number, "a '# WHEN' line must follow its '# BUG(...)' line")
                if last[1] in bug_lines and texts[last[0]]:
                    raise self._mistake(
                        number, f"the bug '{last[0]}' is explained twice: keep one '# WHEN' text"
                    )
                texts[last[0]].append(when[1])
                last = (last[0], number)
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
        while BUG.fullmatch(self._comments.get(first, "")) or WHEN.fullmatch(
            self._comments.get(first, "")
        ):
            first += 1
        if first not in self._logical_lines:
            raise self._mistake(
                number, f"the bug '{bug}' must stand directly above the statement that it corrupts"
            )
        if self._indent(first) != self._indent(number):
            raise self._mistake(
                number, f"the bug '{bug}' must be indented like the statement below it"
            )
        return _Corruption(bug, replacement, first, self._logical_lines[first])

    # -- checks on the readings -------------------------------------------------------------------------------

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
        """A private helper or a from-import that only the solution uses would tell students what to write."""
        stub, solution = ast.parse(self.stub()), ast.parse(self.solution())
        for name in sorted(_private_or_imported(stub) - _used(stub)):
            if name in _used(solution):
                raise self._mistake(
                    self._line_of(name),
                    f"the stub would show '{name}', which only the solution uses: "
                    f"put it between '{BEGIN}' and '{END}'",
                )

    def _line_of(self, name: str) -> int:
        return next(
            (
                n
                for n, line in enumerate(self._lines, 1)
                if re.search(rf"\b{re.escape(name)}\b", line)
            ),
            1,
        )

    # -- small things -----------------------------------------------------------------------------------------

    def _indent(self, number: int) -> str:
        line = self._lines[number - 1]
        return line[: len(line) - len(line.lstrip())]

    def _joined(self, edits: dict[int, str | None]) -> str:
        """The file with some lines replaced (None: dropped), runs of blank lines cut down to two."""
        kept = (edits.get(number, line) for number, line in enumerate(self._lines, 1))
        text = "\n".join(line for line in kept if line is not None)
        return re.sub(r"\n{4,}", "\n\n\n", text).rstrip() + "\n"

    def _mistake(self, line: int, finding: str) -> SourceError:
        return SourceError(f"{self.path}:{line}: {finding}")


def _private_or_imported(tree: ast.Module) -> set[str]:
    """Names that a module defines at top level and that are no offer to its users: _private and from-imports."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ) and node.name.startswith("_"):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            bound = (
                n
                for n in ast.walk(node)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            )
            names |= {name.id for name in bound if name.id.startswith("_")}
    return names


def _used(tree: ast.Module) -> set[str]:
    """Names that are read somewhere, quoted annotations included."""
    names = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    quoted = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return names | {word for text in quoted for word in re.findall(r"\w+", text) if len(text) < 80}
