"""What `grade` prints at the end: a table, or a line of JSON for each submission."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from autograder.authoring.course import Assignment, Course
from autograder.cli.console import out
from autograder.marking import feedback, result_files
from autograder.marking.score import earned, score
from autograder.model import Grade, Outcome, Verdict


def print_class(
    course: Course, assignment: Assignment, worth: float, grades: list[Grade], folder: Path
) -> None:
    """Print the table, and where the results are."""
    when = f"due {assignment.due:%Y-%m-%d %H:%M %Z}" if assignment.due else "no due date"
    table = Table(title=f"{assignment.title}, {worth:g} points, {when}", title_justify="left")
    for header, justify in (
        ("student", "left"),
        ("points", "right"),
        ("passed", "right"),
        ("what stands out", "left"),
    ):
        table.add_column(header, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for one in sorted(grades, key=lambda grade: grade.student):
        total = score(one, worth)
        passed = sum(outcome.verdict is Verdict.PASSED for outcome in one.outcomes)
        points = "ungraded" if total.points is None else f"{total.points:g}"
        points += f" ({one.late_days} d late)" if one.late_days else ""
        cells = (
            one.student,
            points,
            f"{passed}/{len(one.outcomes)}" if one.outcomes else "-",
            feedback.note(one),
        )
        table.add_row(*map(plain, cells))
    out.print(table)
    if not course.secret:
        out.print(
            "No course secret is set, so hidden inputs can be foreseen: "
            "write one into course.secret or $AUTOGRADER_SECRET.",
            style="yellow",
        )
    many = "submission" if len(grades) == 1 else "submissions"
    out.print(
        f"{len(grades)} {many}: {folder}/STUDENT/{result_files.RESULTS} "
        f"and {folder}/{result_files.GRADEBOOK}",
        soft_wrap=True,
    )


def line(folder: Path, worth: float, grade: Grade) -> dict[str, Any]:
    """What `grade --json` prints of one submission. Points of parts are those before lateness."""
    points = score(grade, worth).points
    parts: dict[str, list[Outcome]] = {}
    for outcome in grade.outcomes:
        parts.setdefault(outcome.part, []).append(outcome)
    return {
        "student": grade.student,
        "state": grade.state.value,
        "points": points,
        "worth": worth,
        "points_before_lateness": None if points is None else earned(grade.outcomes),
        "late_days": grade.late_days,
        "parts": {part: _part(outcomes) for part, outcomes in parts.items()},
        "note": feedback.note(grade),
        "results": str(folder / grade.student / result_files.RESULTS),
    }


def _part(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Points are None while a test of the part is open."""
    is_open = any(one.open for one in outcomes)
    worth = math.fsum(one.worth for one in outcomes)
    return {"points": None if is_open else earned(outcomes), "worth": worth}


def plain(text: str) -> Text:
    """A student's text without markup and control characters, which would style the terminal."""
    return Text("".join(c if c.isprintable() else " " for c in text)[:300])
