"""Which of several files is the one to mark, and what to say of the others."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from autograder.errors import SubmissionError
from autograder.marking.intake import archives, cells
from autograder.marking.intake.archives import Contents
from autograder.marking.intake.names import kind

TRASH = re.compile(r"^\s*(?:[!%]\s*\w+|get_ipython\(\)).*$", re.MULTILINE)


class Undecided(SubmissionError):
    """Only a person can say which of several files counts."""


@dataclass
class Chosen:
    """The files to mark, by the names that they are imported under, and remarks for the student."""

    files: dict[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What an assignment asks for: a file's name, and the starter's folder where there is one."""

    main: str
    starter: Path | None = None

    @property
    def module(self) -> str:
        """The name without .py."""
        return self.main.removesuffix(".py")

    def given(self) -> frozenset[str]:
        """The names of the starter's other files, which are not answers."""
        return _given(self.starter) - {self.main, f"{self.module}.ipynb"}

    def is_untouched(self, name: str, data: bytes) -> bool:
        """Every definition of the file is in the starter as it is."""
        known = _starter_s(self)
        if not known:
            return False
        mine = _definitions(name, data, self.main)
        return mine is not None and mine <= known


def read(name: str, data: bytes, wanted: Wanted) -> Chosen:
    """One file or notebook, under the name that the assignment asks for."""
    if kind(name)[1] == ".ipynb":
        made = cells.read(PurePosixPath(name).name, data, wanted.main)
        return Chosen({wanted.main: made.code} | made.files, made.notes)
    text, notes = _as_utf_8(name, data)
    return Chosen({wanted.main: text}, notes)


def choose(found: Contents, wanted: Wanted) -> Chosen:
    """The file that is asked for, or the only one that can be it, with its neighbours.

    Raises SubmissionError if there is none, or if there are several and none is plainly it.
    """
    names = [name for name in found.files if _base(name) not in wanted.given()]
    ranked = _ranked(names, wanted)
    if not ranked:
        raise SubmissionError(_missing(found, names, wanted))
    # With one file there is nothing to choose, and reading the starter takes time.
    several = ranked if len(ranked) > 1 else []
    idle = [name for name in several if wanted.is_untouched(name, found.files[name])]
    left = [name for name in ranked if name not in idle] or ranked[:1]
    first = left[0]
    same = [name for name in left if _rank(name, wanted) == _rank(first, wanted)]
    if len(same) > 1:
        shown, bases = ", ".join(same[:3]), {_base(name) for name in same}
        if len(bases) > 1:
            raise Undecided(f"{shown} may each be {wanted.main}: keep the one that counts")
        raise Undecided(
            f"{_base(first)} is there more than once ({shown}): keep the one that counts"
        )
    chosen = read(first, found.files[first], wanted)
    folder = PurePosixPath(first).parent
    beside = {
        str(PurePosixPath(name).relative_to(folder)): data
        for name, data in found.files.items()
        if PurePosixPath(name).is_relative_to(folder) and name.endswith(".py") and name != first
    }
    beside.pop(wanted.main, None)
    text = chosen.files[wanted.main]
    left = [name for name in left if name == first or not _is_used(name, text)]
    notes = (*_notes(first, left, idle), *chosen.notes)
    return Chosen(beside | chosen.files, notes)


def _base(name: str) -> str:
    return PurePosixPath(name).name


def _rank(name: str, wanted: Wanted) -> tuple[int, int]:
    """Sort key: first the file's name, then the notebook's, then similar ones; outermost first."""
    stem, suffix = kind(_base(name))
    exact = stem.lower() == wanted.module.lower()
    order = (0 if suffix == ".py" else 1) if exact else (2 if suffix == ".py" else 3)
    return order, name.count("/")


def _ranked(names: list[str], wanted: Wanted) -> list[str]:
    """The files that may be it, the likeliest first."""
    resembles = re.compile(rf"(?:^|[\W_]){re.escape(wanted.module)}(?:$|[\W_\d])", re.IGNORECASE)
    found = [name for name in names if resembles.search(kind(_base(name))[0])]
    outer = min((name.count("/") for name in found), default=0)
    exact = [name for name in found if _rank(name, wanted)[0] < 2]
    found = [name for name in found if name in exact or name.count("/") == outer]
    return sorted(found or (names if len(names) == 1 else []), key=lambda n: _rank(n, wanted))


def _missing(found: Contents, names: list[str], wanted: Wanted) -> str:
    """The message: what the folder holds instead, and what to do."""
    main, other = wanted.main, [_base(name) for name in found.others]
    packed = [name for name in other if kind(name)[1] == ".zip"]
    if not names and packed:
        return f"{main} is missing (there is another zip inside, {packed[0]}): submit that one"
    shown = sorted({_base(name) for name in names})
    near = difflib.get_close_matches(main, shown, n=1)
    notebooks = [name for name in shown if kind(name)[1] == ".ipynb"]
    if near:
        return f"{main} is missing (the nearest name is {near[0]}): name the file {main}"
    held = shown or sorted({name for name in other if not name.startswith(".")})
    listed = ", ".join(held[:5]) or "nothing"
    if len(notebooks) > 1 and len(notebooks) == len(shown):
        remedy = f"keep one notebook, or name it {wanted.module}.ipynb"
    else:
        remedy = f"name the file {main}"
    none = "" if shown else "no Python file, only " if held else ""
    return f"{main} is missing (it holds {none}{listed}): {remedy}"


def _is_used(name: str, text: bytes) -> bool:
    """The file that is marked names this one: gae_tools.py, say."""
    stem, suffix = kind(_base(name))
    imported = rb"(?:import|from)\b[^\n]*\b" + re.escape(stem.encode()) + rb"\b"
    return suffix == ".py" and re.search(imported, text) is not None


def _notes(first: str, left: list[str], idle: list[str]) -> Iterable[str]:
    unread = [name for name in left if name != first]
    untouched = [name for name in idle if name != first]
    if untouched and first in left and first not in idle:
        yield f"{first} was marked; {' and '.join(untouched)} is the starter as it was given"
    if unread:
        yield f"{first} was marked; {' and '.join(unread)} was not: submit only what counts"


# -- the starter -----------------------------------------------------------------------------------


@cache
def _given(starter: Path | None) -> frozenset[str]:
    if starter is None or not starter.is_dir():
        return frozenset()
    return frozenset(path.name for path in starter.iterdir())


@cache
def _starter_s(wanted: Wanted) -> frozenset[str]:
    found = set[str]()
    for name in (wanted.main, f"{wanted.module}.ipynb"):
        path = wanted.starter / name if wanted.starter else None
        if path and path.is_file():
            data = archives.regular(path, name, archives.limit_of(name))
            found |= _definitions(name, data, wanted.main) or set()
    return frozenset(found)


def _definitions(name: str, data: bytes, main: str) -> set[str] | None:
    """Functions and classes as dumps without comments and layout; None if it cannot be read."""
    try:
        if kind(name)[1] == ".ipynb":
            data = cells.read(name, data, main).code
        tree = ast.parse(data)
    except (SubmissionError, *cells.NOT_PARSED):
        return None
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.With))]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {ast.dump(node) for body in bodies for node in body if isinstance(node, kinds)}


# -- text ------------------------------------------------------------------------------------------


def _as_utf_8(name: str, data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A file as Python reads it, with remarks on what Python cannot read."""
    base = _base(name)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            return data, ()
        return text.encode(), (f"{base} is UTF-16 text and was read as such: save it as UTF-8",)
    return data, tuple(_remarks(base, data))


def _remarks(name: str, data: bytes) -> Iterable[str]:
    """The lines that say why Python cannot read a file."""
    if not re.match(rb"(?:[^\n]*\n)?[ \t\f]*#.*?coding[:=]", data):
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                yield f"line {number} of {name} is not UTF-8 text: save the file as UTF-8"
                return
    try:
        ast.parse(data)
    except SyntaxError:
        text = data.decode("utf-8", "replace")
        if found := TRASH.search(text):
            number = text.count("\n", 0, found.start()) + 1
            shown = found[0].strip()[:60]
            yield f"line {number} of {name} is a notebook's (`{shown}`): delete it"
    except (ValueError, MemoryError, RecursionError):
        # Importing it will say so.
        pass
