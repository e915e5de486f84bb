"""The commands for authors and for the year: new, syllabus, release, roll-over."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.console import complain, explained, say, the_course
from autograder.cli.options import CourseOption
from autograder.marking.result_files import write_atomically


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(explained(new))
    app.command()(explained(syllabus))
    app.command()(explained(release))
    app.command("roll-over")(explained(roll_over))


def new(
    name: Annotated[str, typer.Argument(help="Its name: a Python module's, as in td_prediction.")],
    title: Annotated[str, typer.Option(help="Its title (default: made from the name).")] = "",
    course: CourseOption = None,
) -> None:
    """Write a new assignment's skeleton, which `verify NAME` proves as it is."""
    from autograder.authoring.scaffold import write

    found = the_course(course)
    for path in write(found, name, title):
        say(f"wrote {path}")
    when = "week: 1" if any(one.due for one in found.assignments) else ""
    line = f"  {name}: {{{', '.join(part for part in ('weight: 1', when) if part)}}}"
    say("One line for course.yml, under 'assignments', in teaching order, once it is taught:")
    say(line)
    say(f"Prove it: python -m autograder verify {name}. Then docs/AUTHORING.md.")


def syllabus(
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if it is stale.")
    ] = False,
    course: CourseOption = None,
) -> None:
    """Write docs/SYLLABUS.md from course.yml and each assignment.yml, and check prerequisites."""
    from autograder.authoring import prerequisites
    from autograder.authoring import syllabus as generator

    found = the_course(course)
    for warning in prerequisites.check(found):
        complain(warning)
    path = generator.path(found)
    if not generator.stale(found):
        return
    if only_check:
        say(f"stale {path.relative_to(found.root)}: python -m autograder syllabus")
        raise typer.Exit(1)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, generator.text(found))
    say(f"wrote {path.relative_to(found.root)}")


def release(
    destination: Annotated[Path, typer.Argument(help="A folder, or a name that ends with .zip.")],
    course: CourseOption = None,
) -> None:
    """Write what students get: starters, syllabus, requirements. Nothing of a solution is in it."""
    from autograder.authoring.release import write

    found = the_course(course)
    count = write(found, destination)
    say(f"wrote {count} files for {len(found.assignments)} assignments to {destination}")


def roll_over(
    term: Annotated[str, typer.Argument(help="The next term's name, as in 'Spring 2028'.")],
    first_due: Annotated[
        datetime, typer.Argument(formats=["%Y-%m-%d"], help="The day of its first due date.")
    ],
    archive: Annotated[
        list[Path] | None,
        typer.Option(
            help="Of this term, what to archive: submissions, marks, the roster. May be repeated."
        ),
    ] = None,
    course: CourseOption = None,
) -> None:
    """Begin the next term: move all due dates, write a new secret, archive the old term."""
    from autograder.authoring.roll_over import roll_over as begin

    for line in begin(the_course(course), term, first_due.date(), archive or []):
        say(line)
    say("Next: python -m autograder syllabus, then docs/TERM.md, 'Before the term'.")
