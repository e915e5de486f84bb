"""Rosters in, and marks out in the columns that Canvas and Gradescope document."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.authoring.course import Assignment
from autograder.errors import CourseError
from autograder.marking.result_files import harmless
from autograder.marking.score import score
from autograder.model import Grade

# What each field may be called in a roster, in lower case: ours, Canvas's, Gradescope's.
NAMES = {
    "student": ("student",),
    "name": ("name", "full name"),
    "first": ("first name", "first"),
    "last": ("last name", "last"),
    "sid": ("sid", "student id", "sis user id"),
    "login": ("login", "sis login id"),
    "email": ("email",),
    "canvas": ("id",),
    "section": ("section", "sections"),
    "late_days": ("late_days", "late days"),
}


@dataclass(frozen=True)
class Person:
    """One row of a roster. ``student`` is the name under which work is handed in; ``late_days`` move this person's due date."""

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

    @property
    def keys(self) -> set[str]:
        """All that a hand-in of this person may be named."""
        names = (self.student, self.login, self.sid, self.email, self.email.partition("@")[0])
        return {name.casefold() for name in names if name}


def read_roster(path: Path) -> list[Person]:
    """The people of a roster. Raises CourseError naming line, finding and remedy."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except FileNotFoundError:
        raise CourseError(f"{path}: there is no such file") from None
    except (UnicodeDecodeError, csv.Error):
        raise CourseError(f"{path}: this is no CSV in UTF-8: save it as CSV (UTF-8)") from None
    columns = _columns(path, rows[0] if rows else [])
    people: list[Person] = []
    taken: dict[str, int] = {}
    for number, row in enumerate(rows[1:], 2):
        cells = {name: row[at].strip() for name, at in columns.items() if at < len(row)}
        if not any(cells.values()) or row[0].strip() == "Points Possible":
            continue
        person = _person(path, number, cells)
        for key in person.keys & taken.keys():
            raise CourseError(
                f"{path}:{number}: '{key}' stands in line {taken[key]} already: keep one row for each student"
            )
        taken |= dict.fromkeys(person.keys, number)
        people.append(person)
    if not people:
        raise CourseError(f"{path}: there is nobody in this roster")
    return people


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Field -> column. Canvas's 'Student' is a name, and its login is what we call student."""
    heads = [head.strip().casefold() for head in header]
    columns = {
        name: heads.index(alias)
        for name, aliases in NAMES.items()
        for alias in aliases
        if alias in heads
    }
    if "sis login id" in heads and "student" in columns:
        columns["name"] = columns["student"]
        columns["student"] = heads.index("sis login id")
    if not columns.keys() & {"student", "login", "email", "sid"}:
        near = difflib.get_close_matches("student", heads, n=1)
        guess = f"; is '{near[0]}' it?" if near else f"; it has {', '.join(header) or 'no columns'}"
        raise CourseError(
            f"{path}:1: a roster needs a column 'student' (or email, sid, SIS Login ID){guess}"
        )
    return columns


def _person(path: Path, number: int, cells: dict[str, str]) -> Person:
    student = next(
        (cells[name] for name in ("student", "login", "email", "sid") if cells.get(name)), ""
    )
    if not student:
        raise CourseError(
            f"{path}:{number}: this row names no student: fill the cell, or delete the row"
        )
    text = cells.pop("late_days", "") or "0"
    if not text.isdecimal():
        raise CourseError(
            f"{path}:{number}: late_days is '{text}': a whole number of days is expected"
        )
    return Person(**cells | {"student": student}, late_days=int(text))


# -- roster and marks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One person with the grade, if there is one."""

    person: Person
    grade: Grade | None

    @property
    def points(self) -> float | None:
        """Points after lateness; None for who handed in nothing or is ungraded."""
        return None if self.grade is None else score(self.grade, _worth(self.grade)).points


@dataclass(frozen=True)
class Matched:
    """A roster and marks, put together."""

    entries: list[Entry]

    @property
    def worth(self) -> float:
        """What full marks come to: known from anybody whose work was run."""
        return max((_worth(one.grade) for one in self.entries if one.grade), default=0.0)


def remarks(people: Sequence[Person], students: Sequence[str], roster: Path) -> Iterator[str]:
    """One line for each stranger, one for all who handed in nothing."""
    known = [person.student for person in people]
    for student in students:
        if owner(people, student) is None:
            near = difflib.get_close_matches(student, known, n=1)
            yield f"{student} handed in and is not in {roster}" + (
                f"; is it {near[0]}?" if near else ""
            )
    there = {person.student for student in students if (person := owner(people, student))}
    if absent := [name for name in known if name not in there]:
        yield f"no hand-in from {', '.join(absent)}: their cells stay empty"


def owner(people: Sequence[Person], student: str) -> Person | None:
    """Whose hand-in this is."""
    return next((person for person in people if student.casefold() in person.keys), None)


def match(people: Sequence[Person], grades: Mapping[str, Grade]) -> Matched:
    """Everybody of the roster in its order, with the grade if there is one; strangers' are left out."""
    found: dict[str, Grade] = {}
    for student, grade in grades.items():
        person = owner(people, student)
        if person and person.student in found:
            other = found[person.student].student
            raise CourseError(
                f"{person.student} has marks under two names, {other} and {student}: delete one"
            )
        if person:
            found[person.student] = grade
    return Matched([Entry(person, found.get(person.student)) for person in people])


def _worth(grade: Grade) -> float:
    return sum(outcome.worth for outcome in grade.outcomes)


# -- Canvas and Gradescope -------------------------------------------------------------------------------------------


def canvas(assignment: Assignment, matched: Matched) -> str:
    """What Canvas imports: its five columns, the assignment, and its row of points possible. An empty cell changes nothing there."""
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment.title]]
    rows.append(["    Points Possible", "", "", "", "", f"{matched.worth:g}"])
    for one in matched.entries:
        person = one.person
        name = (
            person.name
            or ", ".join(part for part in (person.last, person.first) if part)
            or person.student
        )
        rows.append(
            [
                name,
                person.canvas,
                person.sid,
                person.login or person.student,
                person.section,
                _cell(one.points),
            ]
        )
    return _csv(rows)


def gradescope(assignment: Assignment, matched: Matched) -> str:
    """The columns of Gradescope's own grade export."""
    title = assignment.title
    extra = [f"{title} - Max Points", f"{title} - Submission Time", f"{title} - Lateness (H:M:S)"]
    rows = [
        [
            "First Name",
            "Last Name",
            "SID",
            "Email",
            "Sections",
            title,
            *extra,
            "Total Lateness (H:M:S)",
        ]
    ]
    for one in matched.entries:
        person = one.person
        first, last = _first_and_last(person)
        received = (one.grade.provenance.get("received") or "") if one.grade else ""
        late = f"{24 * one.grade.late_days if one.grade else 0:02d}:00:00"
        cells = [_cell(one.points), f"{matched.worth:g}", received, late, late]
        rows.append([first, last, person.sid, person.email, person.section, *cells])
    return _csv(rows)


def _first_and_last(person: Person) -> tuple[str, str]:
    if person.first or person.last or not person.name:
        return person.first or person.student, person.last
    last, comma, first = person.name.partition(", ")
    if comma:
        return first, last
    first, _, last = person.name.rpartition(" ")
    return (first, last) if first else (last, "")


def _cell(points: float | None) -> str:
    return "" if points is None else f"{points:g}"


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [harmless(cell) for cell in row] for row in rows
    )
    return text.getvalue()
