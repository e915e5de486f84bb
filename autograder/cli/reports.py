"""The commands that write pages and pack them: the class report and each student's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.authoring.course import Course, load_assignment
from autograder.cli.console import complain, explained, say, the_course
from autograder.cli.options import Assignment, CourseOption, Layout, Submissions
from autograder.errors import CourseError
from autograder.marking.roster import read_roster
from autograder.marking.submission import read_all

if TYPE_CHECKING:
    from autograder.reports.excerpt import Sources
    from autograder.reports.similar import Pair


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("report")(report)
    app.command("feedback")(feedback)


@explained
def report(
    folder: Annotated[
        Path, typer.Argument(help="The folder of 'grade --out', or one assignment's in it.")
    ],
    roster: Annotated[
        Path | None,
        typer.Option(help="Who takes the course: names, sections, and who submitted nothing."),
    ] = None,
    submissions: Annotated[
        Path | None,
        typer.Option(help="The folder that was marked: pages then quote the lines that failed."),
    ] = None,
    similar: Annotated[
        Path | None,
        typer.Option(help="List similar pairs among the submissions in this folder; no verdict."),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="With --similar: an earlier term's submissions; may be repeated."),
    ] = None,
    handouts: Annotated[
        str,
        typer.Option(help="Where students read a handout, with {name} for the assignment's name."),
    ] = "",
    site: Annotated[
        str,
        typer.Option(help="Where the course's site is: recognised mistakes then link to a board."),
    ] = "",
    course: CourseOption = None,
) -> None:
    """Write report.html for the staff, and feedback.html beside each student's results.

    What you write in STUDENT/remark.txt, beside results.json, is on that student's page.
    """
    # Templates take a moment to import, and no other command needs them.
    from autograder.reports import pages

    found = the_course(course)
    marked = pages.folders(folder)
    if len(marked) > 1 and (similar or submissions):
        option = "--similar" if similar else "--submissions"
        raise CourseError(f"{folder}: {option} wants one assignment's folder, as in {marked[0]}")
    if against and not similar:
        raise CourseError("--against wants --similar SUBMISSIONS, the ones of this term")
    people = read_roster(roster) if roster else None
    for remark in people.remarks if people else ():
        complain(remark)
    for one in marked:
        pairs = _pairs(found, one.name, similar, against or [])
        given = pages.Given(pairs, people, _sources(found, one.name, submissions), handouts, site)
        facts = pages.write(found, one, given)
        missing = f", nothing from {len(facts.people.missing)}" if people else ""
        listed = "" if pairs is None else f", {len(pairs)} similar pairs to look at"
        say(
            f"{one / pages.CLASS_PAGE}: {len(facts.rows)} students, {len(facts.ungraded)} ungraded"
            f"{missing}{listed}"
        )


def _pairs(
    course: Course, name: str, similar: Path | None, against: list[Path]
) -> list[Pair] | None:
    if similar is None:
        return None
    from autograder.reports.similar import of_class

    return of_class(load_assignment(course.root, name), similar, against)


def _sources(course: Course, name: str, submissions: Path | None) -> Sources:
    from autograder.reports.excerpt import Sources, blanks

    if submissions is None:
        return Sources()
    assignment = load_assignment(course.root, name)
    read = read_all(submissions, assignment.main, assignment.starter)
    return Sources({one.student: one for one in read}, blanks(assignment))


@explained
def feedback(
    name: Assignment,
    marks: Annotated[Path, typer.Argument(help="What `grade --out` was given.")],
    submissions: Submissions,
    layout: Layout = "auto",
    destination: Annotated[
        Path | None, typer.Option("--out", help="The zip (default: feedback.zip in the marks).")
    ] = None,
    course: CourseOption = None,
) -> None:
    """Pack the students' pages into one zip, which Canvas or Moodle gives to their students."""
    from autograder.export.feedback import package, pages

    folder = marks / name
    named, left = pages(the_course(course).assignment(name), folder, submissions, layout)
    path = destination or folder / "feedback.zip"
    path.write_bytes(package(named))
    for student in left:
        complain(f"{student} submitted no file, so no page can be given back")
    say(f"wrote {path}: {len(named)} pages, such as {min(named)}")
