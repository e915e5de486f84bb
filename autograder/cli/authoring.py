"""The commands for authors: new, syllabus."""

from __future__ import annotations

from typing import Annotated

import typer

from autograder.cli.console import complain, explained, say, the_course
from autograder.cli.options import CourseOption
from autograder.marking.result_files import write_atomically


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(explained(new))
    app.command()(explained(syllabus))


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
