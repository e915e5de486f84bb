"""Rosters: who takes the course, by all the names that people and platforms know them by."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autograder.errors import CourseError
from autograder.marking.names import key
from autograder.marking.tables import read_table

# What each field may be called in a roster, in lower case: ours, Canvas's, Gradescope's, Moodle's.
NAMES = {
    "student": ("student",),
    "name": ("name", "full name"),
    "first": ("first name", "first"),
    "last": ("last name", "last", "surname"),
    "sid": ("sid", "student id", "sis user id", "id number"),
    "login": ("login", "sis login id", "username"),
    "email": ("email", "e-mail", "email address"),
    "canvas": ("id",),
    "section": ("section", "sections"),
    "late_days": ("late_days", "late days"),
    "role": ("role", "roles"),
}
MAX_LATE_DAYS = 366
# From the strongest to the weakest: a name of a weaker kind never takes another person's stronger.
KINDS = ("student", "login", "sid", "email", "local", "canvas", "name")
WORDS = {"local": "part before the @", "canvas": "Canvas ID", "sid": "SID", "email": "e-mail"}
_LATE_DAYS = re.compile(r"late[ _-]?days?|\bextensions?\b")
_TEST_STUDENTS = ("student, test", "test student")


@dataclass(frozen=True)
class Person:
    """One row of a roster.

    ``student`` is the name under which work is submitted. ``late_days`` is the number of calendar
    days by which this person's due date moves.
    """

    student: str
    name: str = ""
    first: str = ""
    last: str = ""
    sid: str = ""
    login: str = ""
    email: str = ""
    canvas: str = ""
    section: str = ""
    late_days: int = 0
    line: int = field(default=0, compare=False)

    def keys(self, kind: str) -> set[str]:
        """The normal forms of this person's names of one kind of ``KINDS``."""
        if kind == "local":
            names = {self.email.partition("@")[0]}
        elif kind == "name":
            names = {self.name, f"{self.first} {self.last}", f"{self.last}, {self.first}"}
            last, comma, first = self.name.partition(",")
            if not comma:
                first, _, last = self.name.rpartition(" ")
            names |= {f"{first.strip()} {last}", f"{last}, {first.strip()}"}
            # Canvas names files after people like this. It adds a number if two have the same name.
            joined = re.sub(r"[\W_]", "", f"{last or self.last}{first or self.first}")
            names |= {joined, f"{joined}_{self.canvas}" if self.canvas else ""}
        else:
            names = {getattr(self, kind)}
        return {key(name) for name in names if name.strip(" ,")}

    def __str__(self) -> str:
        name = self.name or f"{self.first} {self.last}".strip()
        return f"{name} ({self.student})" if name and name != self.student else self.student


class Roster:
    """The people of a roster file, in its order. ``remarks``: what was passed over or unclear."""

    def __init__(
        self, path: Path, people: Sequence[Person], head: Sequence[str], remarks: Sequence[str]
    ) -> None:
        self.path, self.people, self.head = path, tuple(people), tuple(head)
        self.remarks = list(remarks)
        self._owners: dict[str, Person] = {}
        for kind in KINDS:
            self._add(kind)

    def _add(self, kind: str) -> None:
        holders: dict[str, list[Person]] = defaultdict(list)
        for person in self.people:
            for name in person.keys(kind):
                holders[name].append(person)
        for name, people in holders.items():
            lines = [person.line for person in people]
            if len(people) == 1:
                self._owners.setdefault(name, people[0])
            elif kind == "student":
                raise CourseError(
                    f"{self.path}:{lines[1]}: '{name}' is in line {lines[0]} already: "
                    "keep one row for each student"
                )
            elif name not in self._owners and kind != "name":
                where = " and ".join(map(str, lines))
                self.remarks.append(
                    f"{self.path}: lines {where} share the {WORDS.get(kind, kind)} '{name}': "
                    "it names none of them"
                )

    def owner(self, *names: str) -> Person | None:
        """The person who has one of these names: the first that is known decides."""
        found = (self._owners.get(key(name)) for name in names)
        return next((person for person in found if person), None)

    def owners(self, *names: str) -> list[Person]:
        """The owner, and everybody else of a group whose e-mail address is among the names."""
        addresses = [self.owner(name) for name in names if "@" in name]
        people = [person for person in (self.owner(*names), *addresses) if person]
        return list(dict.fromkeys(people))

    def remarks_on(self, submitted: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """One line for each stranger among those who submitted, one for all who did not submit.

        ``submitted``: student -> all names that the submission is known by.
        """
        known = [person.student for person in self.people]
        there: set[str] = set()
        for student, names in submitted.items():
            owners = self.owners(student, *names)
            there |= {person.student for person in owners}
            if not owners:
                near = difflib.get_close_matches(student, known, n=1)
                guess = f"; is it {near[0]}?" if near else ""
                yield f"{student} submitted and is not in {self.path}{guess}"
        if absent := [str(person) for person in self.people if person.student not in there]:
            yield f"no submission from {', '.join(absent)}: their cells stay empty"


def read_roster(path: Path) -> Roster:
    """The people of a roster. Raises CourseError naming line, finding and remedy."""
    rows = [(line, cells) for line, cells in read_table(path) if any(cells)]
    head = rows[0][1] if rows else []
    columns = _columns(path, head)
    people, remarks, others = [], [], []
    for line, row in rows[1:]:
        cells = {name: row[at] for name, at in columns.items() if at < len(row)}
        if not any(cells.values()) or row[0] == "Points Possible":
            continue
        if why := _not_a_student(cells):
            others.append(f"line {line} ({why})")
        elif not _student(cells):
            remarks.append(
                f"{path}:{line}: this row names no student and is passed over: "
                "fill the cell, or delete the row"
            )
        else:
            people.append(_person(path, line, cells))
    if others:
        remarks.append(f"{path}: not students and passed over: {', '.join(others)}")
    if not people:
        raise CourseError(f"{path}: there is nobody in this roster")
    return Roster(path, people, head, remarks)


def _columns(path: Path, head: Sequence[str]) -> dict[str, int]:
    """Field -> column. Canvas's 'Student' is a name, and its login is what we call student."""
    heads = [cell.casefold() for cell in head]
    columns = {}
    for name, aliases in NAMES.items():
        there = [alias for alias in aliases if alias in heads]
        if there:
            columns[name] = heads.index(there[0])
            if heads.count(there[0]) > 1:
                raise CourseError(f"{path}:1: the column '{there[0]}' is there twice: keep one")
    if "sis login id" in heads and "student" in columns:
        columns["name"] = columns["student"]
        columns["student"] = heads.index("sis login id")
    if not columns.keys() & {"student", "login", "email", "sid"}:
        near = difflib.get_close_matches("student", heads, n=1)
        guess = f"; is '{near[0]}' it?" if near else f"; it has {', '.join(head) or 'no columns'}"
        raise CourseError(
            f"{path}:1: a roster needs a column 'student' (or email, sid, SIS Login ID){guess}"
        )
    for cell in heads:
        if cell not in NAMES["late_days"] and _LATE_DAYS.search(cell):
            raise CourseError(
                f"{path}:1: the column '{cell}' is not read: call it late_days if it says by how "
                "many days each due date moves, or delete it"
            )
    return columns


def _not_a_student(cells: dict[str, str]) -> str:
    """Why a row is not a student's: its role, or the test student of a platform; '' if it is."""
    role = cells.pop("role", "")
    if role and "student" not in role.casefold():
        return role
    full = f"{cells.get('first', '')} {cells.get('last', '')}"
    names = {" ".join(name.casefold().split()) for name in (cells.get("name", ""), full)}
    return "Test Student" if names & set(_TEST_STUDENTS) else ""


def _student(cells: dict[str, str]) -> str:
    return next(
        (cells[name] for name in ("student", "login", "email", "sid") if cells.get(name)), ""
    )


def _person(path: Path, line: int, cells: dict[str, str]) -> Person:
    text = cells.pop("late_days", "") or "0"
    shown = text[:20]
    if not re.fullmatch(r"\d+(\.0+)?", text):
        raise CourseError(
            f"{path}:{line}: late_days is '{shown}': a whole number of days is expected"
        )
    days = text.partition(".")[0].lstrip("0") or "0"
    if len(days) > 3 or int(days) > MAX_LATE_DAYS:
        raise CourseError(
            f"{path}:{line}: late_days is '{shown}': at most {MAX_LATE_DAYS} days are expected, "
            "by which this student's due dates move (it is a number of days, not a date)"
        )
    return Person(**cells | {"student": _student(cells)}, late_days=int(days), line=line)
