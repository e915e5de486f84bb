"""The commands for other platforms: export, autograde, gradebook."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.authoring.course import Assignment, Course
from autograder.cli.console import complain, explained, say, the_course
from autograder.cli.options import CourseOption
from autograder.errors import CourseError
from autograder.marking import feedback, result_files
from autograder.marking.received import times
from autograder.marking.roster import Roster, read_roster
from autograder.marking.score import score
from autograder.marking.submission import Submission

if TYPE_CHECKING:
    from autograder.export.gradebook import Column

Name = Annotated[str, typer.Argument(help="The assignment.")]
Out = Annotated[Path, typer.Option("--out", help="The folder to write to.")]


class Format(StrEnum):
    """Whose columns a gradebook has."""

    CANVAS = "canvas"
    GRADESCOPE = "gradescope"
    MOODLE = "moodle"
    PLAIN = "plain"


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


# -- export ----------------------------------------------------------------------------------------


def gradescope(name: Name, destination: Out = Path("exports"), course: CourseOption = None) -> None:
    """Write NAME-gradescope.zip: the autograder of a programming assignment, to be uploaded."""
    from autograder.export.gradescope import package

    found = the_course(course)
    data = package(found, found.assignment(name))
    destination.mkdir(parents=True, exist_ok=True)
    path = destination / f"{name}-gradescope.zip"
    path.write_bytes(data)
    say(
        f"wrote {path} ({len(data) >> 10} KiB): Gradescope, Configure Autograder, Zip file upload, "
        "a base image with Ubuntu 22.04 or newer"
    )
    say(
        "or as an image: docker build --target cpu "
        "--build-arg BASE_IMAGE=gradescope/autograder-base:ubuntu-22.04 "
        f"--build-arg ASSIGNMENT={name} -t YOU/{name} . && docker push YOU/{name}"
    )
    _without_secret(found)


def otter(name: Name, destination: Out = Path("exports"), course: CourseOption = None) -> None:
    """Write a master notebook for `otter assign`, with the files that it needs beside it."""
    from autograder.export.otter import files

    found = the_course(course)
    folder = _write_all(destination / f"{name}-otter", files(found.assignment(name)))
    say(f"wrote {folder}: otter assign {folder}/{name}.ipynb {folder}/dist")


def nbgrader(name: Name, destination: Out = Path("exports"), course: CourseOption = None) -> None:
    """Write an nbgrader course directory: source/NAME and nbgrader_config.py."""
    from autograder.export.nbgrader import files

    found = the_course(course)
    folder = _write_all(destination / "nbgrader", files(found, found.assignment(name)))
    say(f"wrote {folder}: cd {folder} && nbgrader generate_assignment {name}")


def _write_all(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _without_secret(course: Course) -> None:
    if not course.secret:
        complain(
            "No course secret is set, so hidden inputs can be foreseen: "
            "write one into course.secret and export again."
        )


# -- autograde -------------------------------------------------------------------------------------


def autograde(
    name: Name,
    folder: Annotated[
        Path, typer.Argument(help="Holds submission/; results/results.json is written there.")
    ] = Path("/autograder"),
    course: CourseOption = None,
) -> None:
    """Mark one submission laid out as on Gradescope and in the grading image.

    Exit code 1: it could not be graded.
    """
    from autograder.export.gradescope import autograde as mark

    if not name:
        raise CourseError("which assignment? Say so with -e ASSIGNMENT=gae")
    grade = mark(the_course(course), name, folder, say)
    worth = sum(outcome.worth for outcome in grade.outcomes)
    total = score(grade, worth)
    if total.points is None:
        complain(feedback.note(grade))
        raise typer.Exit(1)
    say(grade.problem or f"{name}: {total.points:g} of {worth:g} points")


# -- gradebook -------------------------------------------------------------------------------------


def gradebook(
    name: Annotated[str | None, typer.Argument(help="The assignment.")] = None,
    marks: Annotated[Path | None, typer.Argument(help="What `grade --out` was given.")] = None,
    roster: Annotated[
        Path | None,
        typer.Option(
            help="Who takes the course: a CSV with a column 'student', or Canvas's, Gradescope's "
            "or Moodle's own."
        ),
    ] = None,
    total: Annotated[
        Path | None,
        typer.Option(help="The course total over all assignments marked in this folder."),
    ] = None,
    format: Annotated[Format, typer.Option(help="Whose columns to write.")] = Format.CANVAS,
    destination: Annotated[
        Path | None,
        typer.Option("--out", help="The CSV to write (default: FORMAT.csv beside the marks)."),
    ] = None,
    course: CourseOption = None,
) -> None:
    """Write marks for Canvas, Gradescope or Moodle, or the course total.

    Students who are ungraded or did not submit get an empty cell.
    """
    if roster is None:
        raise CourseError("who takes the course? Say so with --roster FILE.csv")
    found, people = the_course(course), read_roster(roster)
    for line in people.remarks:
        complain(line)
    if total is not None:
        if name is not None:
            raise CourseError("--total MARKS adds up all assignments: leave their names out")
        _write_book(_totals(found, total, people, format), people, format, destination, total)
    elif name is not None and marks is not None:
        folder = marks / name
        columns = [_column(found.assignment(name), folder, people)]
        _write_book(columns, people, format, destination, folder)
    else:
        raise CourseError("gradebook NAME MARKS for one assignment, or gradebook --total MARKS")


def _write_book(
    columns: list[Column], people: Roster, format: Format, destination: Path | None, folder: Path
) -> None:
    from autograder.export import gradebook as books

    writers = {
        Format.CANVAS: books.canvas,
        Format.GRADESCOPE: books.gradescope,
        Format.MOODLE: books.moodle,
        Format.PLAIN: books.plain,
    }
    kind = "total-" if columns[-1].title == books.TOTAL else ""
    path = destination or folder / f"{kind}{format.value}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    result_files.write_atomically(path, writers[format](people, columns))
    points = [columns[-1].points.get(person.student) for person in people.people]
    with_points = sum(one is not None for one in points)
    say(f"wrote {path}: {len(people.people)} rows, {with_points} with points")


def _column(assignment: Assignment, folder: Path, people: Roster) -> Column:
    """One assignment's marks. Says who is not on the roster and who did not submit."""
    from autograder.export.gradebook import column, names_of

    students = [path.parent.name for path in sorted(folder.glob(f"*/{result_files.STAFF}"))]
    if not students:
        raise CourseError(
            f"{folder}: there are no marks here: "
            f"python -m autograder grade {assignment.name} SUBMISSIONS --out {folder.parent}"
        )
    read = {student: result_files.read_grade(folder, student) for student in students}
    for line in people.remarks_on(
        {name: names_of(one) if one else () for name, one in read.items()}
    ):
        complain(line)
    if unread := [student for student, grade in read.items() if grade is None]:
        complain(f"{folder}: no marks can be read for {', '.join(unread)}: grade them again")
    for student in result_files.gone(folder):
        complain(
            f"the marks of {student} are old: there was no such submission in the last run of"
            " 'grade'"
        )
    return column(assignment, people, {name: grade for name, grade in read.items() if grade})


def _totals(course: Course, marks: Path, people: Roster, format: Format) -> list[Column]:
    """The columns of all marked assignments of the term, and the total; for Canvas that alone."""
    from autograder.export.gradebook import total

    marked = [
        one for one in course.assignments if any((marks / one.name).glob(f"*/{result_files.STAFF}"))
    ]
    if not marked:
        raise CourseError(
            f"{marks}: there are no marks of this term's assignments here: give the folder that "
            "`grade --out` was given"
        )
    columns = []
    for one in marked:
        say(f"{one.title}: weight {one.weight:g}")
        columns.append(_column(one, marks / one.name, people))
    if unmarked := [one.name for one in course.assignments if one not in marked]:
        complain(f"not marked yet and not in the total: {', '.join(unmarked)}")
    found = total(people, columns)
    for line in found.remarks:
        complain(line)
    return [found.column] if format is Format.CANVAS else [*columns, found.column]


def look_up(
    read: list[Submission], folder: Path, only: str | None, roster: Path | None
) -> tuple[list[Submission], dict[str, int]]:
    """For `grade`: times of receipt and late days, matched with the roster, if there is one.

    Says who is not on the roster, and which rows of received.csv match no submission. Raises
    CourseError if --only names no submission.
    """
    students = [one.student for one in read]
    if only is not None and only not in students:
        near = get_close_matches(only, students, n=1)
        guess = f"; did you mean '{near[0]}'?" if near else ""
        raise CourseError(f"--only {only}: nobody of this name submitted{guess}")
    people = read_roster(roster) if roster else None
    submitted = {one.student: one.known_as for one in read}
    found = times(folder, submitted, people)
    read = [replace(one, received=found.by_student.get(one.student, one.received)) for one in read]
    for line in found.remarks:
        complain(line)
    if people is None:
        return read, {}
    for line in (*people.remarks, *people.remarks_on(submitted)):
        complain(line)
    owners = {student: people.owner(student, *names) for student, names in submitted.items()}
    return read, {student: person.late_days for student, person in owners.items() if person}
