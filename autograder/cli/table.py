"""The table that `grade` prints at the end: a line for each submission."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from autograder.authoring.course import Assignment, Course
from autograder.cli.console import out
from autograder.marking import feedback, result_files
from autograder.marking.score import score
from autograder.model import Grade, Verdict


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
    out.print(
        f"{len(grades)} submissions: {folder}/STUDENT/{result_files.RESULTS} "
        f"and {folder}/{result_files.GRADEBOOK}",
        soft_wrap=True,
    )


def plain(text: str) -> Text:
    """A student's text without markup and control characters, which would style the terminal."""
    return Text("".join(c if c.isprintable() else " " for c in text)[:300])
