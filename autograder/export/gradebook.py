"""Marks out: in our own columns, and in those that Canvas, Gradescope and Moodle document.

A book is a roster with one column for each assignment, and perhaps one for the course total.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from autograder.authoring.course import Assignment
from autograder.errors import CourseError
from autograder.marking import feedback
from autograder.marking.result_files import harmless
from autograder.marking.roster import Person, Roster
from autograder.marking.score import score
from autograder.model import Grade

TOTAL = "Course total"


@dataclass(frozen=True)
class Column:
    """One assignment's grades, or the total: what each person of the roster has.

    ``points``: student of the roster -> points after lateness, None for an ungraded student.
    Students who did not submit are not in it. ``worth`` is what full marks come to, None if no
    submission was run.
    """

    title: str
    worth: float | None
    points: Mapping[str, float | None]
    weight: float = 1
    grades: Mapping[str, Grade] = field(default_factory=dict)
    # Student of the roster -> what the top of the student's page says.
    summaries: Mapping[str, str] = field(default_factory=dict)

    def percent(self, student: str) -> float | None:
        """Points in per cent of full marks; None for a student without a score."""
        points = self.points.get(student)
        if points is None:
            return None
        return 100 * points / self.worth if self.worth else 0.0

    def cell(self, student: str) -> str:
        """Points, or nothing."""
        points = self.points.get(student)
        return "" if points is None else f"{round(points, 6):g}"


def column(assignment: Assignment, roster: Roster, grades: Mapping[str, Grade]) -> Column:
    """Everybody's points of one assignment; strangers' are left out.

    Raises CourseError where one person has marks under two names.
    """
    found: dict[str, Grade] = {}
    for student, grade in grades.items():
        for person in roster.owners(student, *names_of(grade)):
            if person.student in found:
                other = found[person.student].student
                raise CourseError(
                    f"{assignment.name}: {person.student} has marks under two names, {other} and "
                    f"{student}: delete the folder of the one that does not count"
                )
            found[person.student] = grade
    worths = [_worth(grade) for grade in grades.values() if grade.outcomes]
    worth = max(worths, default=None)
    points = {name: score(grade, worth or _worth(grade)).points for name, grade in found.items()}
    summaries = {
        name: feedback.headline(assignment, worth or _worth(grade), grade)
        for name, grade in found.items()
    }
    return Column(assignment.title, worth, points, assignment.weight, found, summaries)


def names_of(grade: Grade) -> tuple[str, ...]:
    """Other names that a learning platform has for the submission: numbers, e-mail addresses."""
    names = grade.provenance.get("known_as")
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _worth(grade: Grade) -> float:
    return sum(outcome.worth for outcome in grade.outcomes)


@dataclass(frozen=True)
class Total:
    """The course total, out of 100, and why some of it is empty or zero."""

    column: Column
    remarks: tuple[str, ...]


def total(roster: Roster, columns: Sequence[Column]) -> Total:
    """The weighted mean of the assignments that are marked, in per cent, after lateness.

    A student who did not submit a marked assignment has 0 for it. A student who is ungraded in one
    has no total. Raises CourseError if no marked assignment has a weight.
    """
    counted = [one for one in columns if one.weight > 0]
    weights = sum(one.weight for one in counted)
    if not weights:
        raise CourseError("no assignment that is marked has a weight in course.yml: nothing to add")
    points: dict[str, float | None] = {}
    open_, missing = [], []
    for person in roster.people:
        student = person.student
        ungraded = [one.title for one in counted if one.points.get(student, 0) is None]
        absent = [one.title for one in counted if student not in one.points]
        if ungraded:
            open_.append(f"{student} ({', '.join(ungraded)})")
            points[student] = None
        elif len(absent) < len(counted):
            parts = (one.weight * (one.percent(student) or 0) for one in counted)
            points[student] = round(sum(parts) / weights, 2)
        if absent:
            missing.append(f"{student} ({', '.join(absent)})")
    remarks = []
    if open_:
        remarks.append(f"no total, because something is ungraded: {'; '.join(open_)}")
    if missing:
        remarks.append(
            "not submitted, which counts as 0 in the total (nothing at all: an empty cell): "
            + "; ".join(missing)
        )
    return Total(Column(TOTAL, 100.0, points), tuple(remarks))


# -- columns ---------------------------------------------------------------------------------------


def plain(roster: Roster, columns: Sequence[Column]) -> str:
    """Our own columns: who it is, and per cent of each assignment."""
    rows = [["student", "name", "section", *(f"{one.title} (%)" for one in columns)]]
    for person in roster.people:
        percents = [one.percent(person.student) for one in columns]
        cells = ["" if percent is None else f"{percent:.2f}" for percent in percents]
        rows.append([person.student, _name(person), person.section, *cells])
    return _csv(rows)


def canvas(roster: Roster, columns: Sequence[Column]) -> str:
    """What Canvas imports: its five columns, and its row of points possible.

    If the roster is Canvas's own and has the assignment, its header is used as it is: Canvas knows
    the assignment by the number in it. An empty cell changes nothing there.
    """
    titles = [_canvas_title(one.title, roster.head) for one in columns]
    worths = ["" if one.worth is None else f"{one.worth:g}" for one in columns]
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *titles]]
    rows.append(["    Points Possible", "", "", "", "", *worths])
    for person in roster.people:
        login = person.login or person.student
        known = [_name(person), person.canvas, person.sid, login, person.section]
        rows.append([*known, *(one.cell(person.student) for one in columns)])
    return _csv(rows)


def _canvas_title(title: str, head: Sequence[str]) -> str:
    form = re.compile(rf"{re.escape(' '.join(title.split()))} \(\d+\)", re.IGNORECASE)
    same = [cell for cell in head if form.fullmatch(" ".join(cell.split()))]
    if len(same) > 1:
        raise CourseError(
            f"Canvas has several assignments called '{title}' ({', '.join(same)}): "
            "delete those that are not meant from the roster"
        )
    return same[0] if same else title


def gradescope(roster: Roster, columns: Sequence[Column]) -> str:
    """The columns of Gradescope's own grade export."""
    rows = [["First Name", "Last Name", "SID", "Email", "Sections"]]
    for one in columns:
        extra = ("Max Points", "Submission Time", "Lateness (H:M:S)")
        rows[0] += [one.title, *(f"{one.title} - {name}" for name in extra)]
    rows[0].append("Total Lateness (H:M:S)")
    for person in roster.people:
        row = [*_first_and_last(person), person.sid, person.email, person.section]
        seconds = 0
        for one in columns:
            grade = one.grades.get(person.student)
            late = _seconds_late(grade)
            worth = "" if one.worth is None else f"{one.worth:g}"
            received = (grade.provenance.get("received") or "") if grade else ""
            row += [one.cell(person.student), worth, received, _clock(late) if grade else ""]
            seconds += late
        rows.append([*row, _clock(seconds)])
    return _csv(rows)


def moodle(roster: Roster, columns: Sequence[Column]) -> str:
    """What Moodle's import maps: its names of people, and points with feedback beside them."""
    rows = [["First name", "Last name", "Username", "ID number", "Email address"]]
    for one in columns:
        rows[0] += [one.title, *([f"{one.title} (feedback)"] if one.summaries else [])]
    for person in roster.people:
        known = [person.login or person.student, person.sid, person.email]
        row = [*_first_and_last(person), *known]
        for one in columns:
            row.append(one.cell(person.student))
            row += [one.summaries.get(person.student, "")] if one.summaries else []
        rows.append(row)
    return _csv(rows)


def _seconds_late(grade: Grade | None) -> int:
    """From the due date on, if there were points to lose; the grace period is not lateness."""
    if grade is None or not grade.late_days:
        return 0
    try:
        found = grade.provenance
        received = datetime.fromisoformat(found["received"])
        due = datetime.fromisoformat(found["late"]["due"])
    except (KeyError, TypeError, ValueError):
        return 86400 * grade.late_days
    late = (received - due).total_seconds() - 86400 * (found.get("extension") or 0)
    return max(0, round(late))


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _name(person: Person) -> str:
    parts = [part for part in (person.last, person.first) if part]
    return person.name or ", ".join(parts) or person.student


def _first_and_last(person: Person) -> tuple[str, str]:
    if person.first or person.last or not person.name:
        return person.first or person.student, person.last
    last, comma, first = person.name.partition(", ")
    if comma:
        return first, last
    first, _, last = person.name.rpartition(" ")
    return (first, last) if first else (last, "")


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [harmless(cell) for cell in row] for row in rows
    )
    return text.getvalue()
