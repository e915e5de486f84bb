"""The commands for authors: new, syllabus."""

from __future__ import annotations

from typing import Annotated

import typer

from autograder.cli.console import CourseOption, complain, explained, say, the_course
from autograder.marking.result_files import write_atomically


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(explained(syllabus))


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
