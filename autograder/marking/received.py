"""received.csv: when each student submitted. Its names are matched like the roster's."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autograder.authoring.dates import moment
from autograder.errors import CourseError
from autograder.marking.names import key
from autograder.marking.roster import Roster
from autograder.marking.tables import read_table

RECEIVED = "received.csv"
HEADS = ("student", "name", "login", "email", "sid")


@dataclass(frozen=True)
class Times:
    """When each student submitted, and what to tell the instructor about the file."""

    by_student: Mapping[str, datetime]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    line: int
    name: str
    time: datetime | None


def times(
    folder: Path, submitted: Mapping[str, Sequence[str]], roster: Roster | None = None
) -> Times:
    """Read ``folder``/received.csv, if there is one.

    ``submitted``: student -> further names that the submission is known by, its file's first. A row
    may have any of them, in any case and Unicode form, or, with a roster, whatever the roster knows
    the person by.
    Raises CourseError for a row whose time is not a time with a zone.
    """
    path = folder / RECEIVED
    if not path.is_file():
        return Times({})
    rows = list(_rows(path))
    finder = _Finder(submitted, roster, rows)
    found: dict[str, list[_Row]] = defaultdict(list)
    remarks = []
    for row in rows:
        students = finder.students(row.name)
        for student in students:
            found[student].append(row)
        if not students and row.time is not None:
            remarks.append(f"{path}:{row.line}: {finder.why_nobody(row.name)}")
    known = {}
    for student, own in found.items():
        dated = [row for row in own if row.time is not None]
        if dated:
            last = max(dated, key=lambda row: row.time or datetime.min)
            known[student] = last.time
        if len(dated) > 1:
            lines = " and ".join(str(row.line) for row in own)
            remarks.append(
                f"{path}: {student} is in lines {lines}: the latest time counts, {last.time}"
            )
    if without := [student for student in submitted if student not in known]:
        remarks.append(f"{path}: no time for {', '.join(without)}: they do not count as late")
    return Times({name: time for name, time in known.items() if time}, tuple(remarks))


def _rows(path: Path) -> Iterator[_Row]:
    rows = [(line, cells) for line, cells in read_table(path) if any(cells)]
    for number, (line, cells) in enumerate(rows):
        text = cells[1] if len(cells) > 1 else ""
        # This is a header: a time always has a digit.
        if number == 0 and (cells[0].casefold() in HEADS or (text and not re.search(r"\d", text))):
            continue
        try:
            yield _Row(line, cells[0], moment(text) if text else None)
        except ValueError as error:
            raise CourseError(
                f"{path}:{line}: 'student,2027-02-01T23:59:00+01:00' is expected ({error})"
            ) from None


class _Finder:
    """Finds whose submission a row means: first by the exact name, then by a similar one."""

    def __init__(
        self, submitted: Mapping[str, Sequence[str]], roster: Roster | None, rows: list[_Row]
    ) -> None:
        self._roster = roster
        # Of equal names, a file's own comes before what a platform says.
        self._exact: dict[str, str] = {}
        self._alike: dict[str, list[str]] = defaultdict(list)
        self._owned: dict[str, list[str]] = defaultdict(list)
        for student, names in submitted.items():
            for name in (*names[:1], student, *names[1:]):
                self._exact.setdefault(name, student)
            for name in {key(name) for name in (student, *names)}:
                self._alike[name].append(student)
            for person in roster.owners(student, *names) if roster else ():
                self._owned[person.student].append(student)
        parts = [key(row.name.partition("@")[0]) for row in rows if "@" in row.name]
        self._shared = {part for part in parts if parts.count(part) > 1}

    def students(self, name: str) -> list[str]:
        """Empty if nobody has this name; several if one person submitted under several names."""
        if name in self._exact:
            return [self._exact[name]]
        alike = self._alike.get(key(name), [])
        if len(alike) == 1:
            return alike
        if self._roster is not None and (person := self._roster.owner(name)):
            return self._owned[person.student]
        part = key(name.partition("@")[0])
        alone = self._alike.get(part, [])
        return alone if "@" in name and len(alone) == 1 and part not in self._shared else []

    def why_nobody(self, name: str) -> str:
        alike = self._alike.get(key(name), [])
        if len(alike) > 1:
            return f"'{name}' can be {' or '.join(alike)}: write the name exactly"
        near = difflib.get_close_matches(key(name), self._alike, n=1)
        guess = f"; is it {self._alike[near[0]][0]}?" if near else ""
        return f"'{name}' matches no submission, so its time is not used{guess}"
