"""The commands for other platforms: export, autograde, gradebook."""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from autograder.authoring.course import Course
from autograder.cli.console import CourseOption, err, explained, out, the_course
from autograder.errors import CourseError
from autograder.marking import feedback, result_files
from autograder.marking.score import score
from autograder.model import Grade

Name = Annotated[str, typer.Argument(help="The assignment.")]
Out = Annotated[Path, typer.Option("--out", help="The folder to write to.")]


class Format(StrEnum):
    """Whose columns a gradebook has."""

    CANVAS = "canvas"
    GRADESCOPE = "gradescope"


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    exports = typer.Typer(
        no_args_is_help=True, help="Write an assignment for Gradescope, otter-grader or nbgrader."
    )
    for command in (gradescope, otter, nbgrader):
        exports.command()(explained(command))
    app.add_typer(exports, name="export")
    app.command()(explained(autograde))
    app.command()(explained(gradebook))


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _complain(text: str) -> None:
    err.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


# -- export ----------------------------------------------------------------------------------------------------------


def gradescope(name: Name, destination: Out = Path("exports"), course: CourseOption = None) -> None:
    """Write NAME-gradescope.zip, to be uploaded as the autograder of a programming assignment."""
    from autograder.export.gradescope import package

    found = the_course(course)
    data = package(found, found.assignment(name))
    destination.mkdir(parents=True, exist_ok=True)
    path = destination / f"{name}-gradescope.zip"
    path.write_bytes(data)
    _say(
        f"wrote {path} ({len(data) >> 10} KiB): Gradescope, Configure Autograder, Zip file upload, a base image with Ubuntu 22.04 or newer"
    )
    _say(
        "or as an image: docker build --target cpu --build-arg BASE_IMAGE=gradescope/autograder-base:ubuntu-22.04 "
        f"--build-arg ASSIGNMENT={name} -t YOU/{name} . && docker push YOU/{name}"
    )
    _without_secret(found)


def otter(name: Name, destination: Out = Path("exports"), course: CourseOption = None) -> None:
    """Write a master notebook for `otter assign`, with the files that it needs beside it."""
    from autograder.export.otter import files

    found = the_course(course)
    folder = _write_all(destination / f"{name}-otter", files(found.assignment(name)))
    _say(f"wrote {folder}: otter assign {folder}/{name}.ipynb {folder}/dist")


def nbgrader(name: Name, destination: Out = Path("exports"), course: CourseOption = None) -> None:
    """Write an nbgrader course directory: source/NAME and nbgrader_config.py."""
    from autograder.export.nbgrader import files

    found = the_course(course)
    folder = _write_all(destination / "nbgrader", files(found, found.assignment(name)))
    _say(f"wrote {folder}: cd {folder} && nbgrader generate_assignment {name}")


def _write_all(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _without_secret(course: Course) -> None:
    if not course.secret:
        _complain(
            "No course secret is set, so hidden inputs can be foreseen: write one into course.secret and export again."
        )


# -- autograde -------------------------------------------------------------------------------------------------------


def autograde(
    name: Name,
    folder: Annotated[
        Path, typer.Argument(help="Holds submission/; results/results.json is written there.")
    ] = Path("/autograder"),
    course: CourseOption = None,
) -> None:
    """Mark one hand-in laid out as on Gradescope and in the grading image. Exit code 1: it could not be graded."""
    from autograder.export.gradescope import autograde as mark

    if not name:
        raise CourseError("which assignment? Say so with -e ASSIGNMENT=gae")
    grade = mark(the_course(course), name, folder)
    worth = sum(outcome.worth for outcome in grade.outcomes)
    total = score(grade, worth)
    if total.points is None:
        _complain(feedback.note(grade))
        raise typer.Exit(1)
    _say(grade.problem or f"{name}: {total.points:g} of {worth:g} points")


# -- gradebook -------------------------------------------------------------------------------------------------------


def gradebook(
    name: Name,
    marks: Annotated[Path, typer.Argument(help="What `grade --out` was given.")],
    roster: Annotated[
        Path,
        typer.Option(
            help="Who takes the course: a CSV with a column 'student', or Canvas's or Gradescope's own."
        ),
    ],
    format: Annotated[Format, typer.Option(help="Whose columns to write.")] = Format.CANVAS,
    destination: Annotated[
        Path | None,
        typer.Option("--out", help="The CSV to write (default: MARKS/NAME/FORMAT.csv)."),
    ] = None,
    course: CourseOption = None,
) -> None:
    """Write marks for Canvas or Gradescope. Who is ungraded, or handed in nothing, gets an empty cell."""
    from autograder.export import gradebook as books

    assignment = the_course(course).assignment(name)
    people = books.read_roster(roster)
    folder = marks / name
    students = [path.parent.name for path in sorted(folder.glob(f"*/{result_files.STAFF}"))]
    if not students:
        raise CourseError(
            f"{folder}: there are no marks here: python -m autograder grade {name} SUBMISSIONS --out {marks}"
        )
    grades: dict[str, Grade] = {
        s: grade for s in students if (grade := result_files.read_grade(folder, s))
    }
    matched = books.match(people, grades)
    for line in books.remarks(people, students, roster):
        _complain(line)
    for student in result_files.gone(folder):
        _complain(
            f"the marks of {student} are old: there was no such submission in the last run of"
            " 'grade'"
        )
    text = (books.canvas if format is Format.CANVAS else books.gradescope)(assignment, matched)
    path = destination or folder / f"{format.value}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    result_files.write_atomically(path, text)
    _say(
        f"wrote {path}: {len(people)} rows, {sum(one.points is not None for one in matched.entries)} with points"
    )


def look_up(students: list[str], only: str | None, roster: Path | None) -> dict[str, int]:
    """For `grade`: refuse an unknown --only, say who is a stranger to the roster, and return its late days by student."""
    from autograder.export import gradebook as books

    if only is not None and only not in students:
        near = get_close_matches(only, students, n=1)
        guess = f"; did you mean '{near[0]}'?" if near else ""
        raise CourseError(f"--only {only}: nobody of this name handed in{guess}")
    if roster is None:
        return {}
    people = books.read_roster(roster)
    for line in books.remarks(people, students, roster):
        _complain(line)
    owners = {student: books.owner(people, student) for student in students}
    return {student: person.late_days for student, person in owners.items() if person}
