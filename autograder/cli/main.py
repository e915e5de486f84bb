"""The commands for graders. Nothing outside of this package prints or exits."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from autograder import __version__
from autograder.authoring.course import find_root
from autograder.cli import authoring, authors, console, office, options, platforms, reports
from autograder.cli.console import complain, err, explained, out, say, the_course
from autograder.cli.options import AddressOption, CourseOption
from autograder.cli.table import line, print_class
from autograder.cli.watch import Watch, summary
from autograder.marking.score import score
from autograder.model import GpuState, GpuStatus

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The course's autograder.",
)
authors.add_to(app)
platforms.add_to(app)
authoring.add_to(app)
reports.add_to(app)
office.add_to(app)


def _say_version(asked: bool) -> None:
    if asked:
        say(f"autograder {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which version this is.", callback=_say_version, is_eager=True
        ),
    ] = False,
) -> None:
    """What holds for every command."""


def main() -> None:
    """The entry point."""
    console.end_when_asked()
    app()


# -- grade -----------------------------------------------------------------------------------------


@app.command()
@explained
def grade(
    name: options.Assignment,
    submissions: options.Submissions,
    destination: options.Out,
    jobs: options.Jobs = 0,
    engine_name: options.EngineName = "local",
    address: AddressOption = "auto",
    fresh: options.Fresh = False,
    allow_weak: options.AllowWeak = False,
    only: options.Only = None,
    roster: options.Roster = None,
    layout: options.Layout = "auto",
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    course: CourseOption = None,
) -> None:
    """Mark submissions against the hidden tests. Exit code 1: somebody could not be graded."""
    from autograder.marking import engines
    from autograder.marking.grade import Grading
    from autograder.marking.submission import read_class

    found = the_course(course)
    assignment = found.assignment(name)
    read, passed_over = read_class(submissions, assignment.main, assignment.starter, layout)
    if passed_over:
        complain(f"Passed over, not submissions: {', '.join(passed_over)}.")
    read, extensions = platforms.look_up(read, submissions, only, roster)
    engine = engines.start(engine_name, assignment, jobs, address, complain)
    if engine.gpu.state is GpuState.NOT_RUN:
        complain(_without_a_gpu(engine.gpu, assignment.scale))
    try:
        grading = Grading(found, assignment, engine, destination, allow_weak, extensions)
        with Watch(err, quiet or as_json) as watch:
            grades = grading.run(read, fresh, watch.tell, only)
    except KeyboardInterrupt as stopped:
        complain(
            f"Stopped. What was finished is in {destination / name}; "
            "the same command goes on from there."
        )
        raise typer.Exit(console.exit_code(stopped)) from None
    finally:
        engine.close()
    if as_json:
        for one in grades:
            kept = {"kept": one.student in grading.kept}
            print(json.dumps(line(grading.folder, grading.worth, one) | kept))
    elif not quiet:
        print_class(found, assignment, grading.worth, grades, grading.folder)
        idle = len(grades) - len(grading.kept) - grading.reasons.total()
        say(summary(len(grading.kept), grading.reasons, grading.rescored, idle))
    if any(score(one, grading.worth).points is None for one in grades):
        raise typer.Exit(1)


def _without_a_gpu(status: GpuStatus, scale: str) -> str:
    optional = scale == "optional"
    means = "no score depends on it" if optional else "nobody can have a score"
    return f"The GPU part was {status}. As course.yml says 'scale: {scale}', {means}."


# -- doctor ----------------------------------------------------------------------------------------


@app.command()
@explained
def doctor(
    engine_name: Annotated[
        str, typer.Option("--engine", help="local: this machine; ray: every node of a cluster.")
    ] = "local",
    address: AddressOption = "auto",
    course: CourseOption = None,
) -> None:
    """Say what of the wall holds on this machine, and how to fix what does not.

    Exit code 1: grading would refuse.
    """
    from autograder.marking import engines

    fit = True
    with err.status("starting a worker and trying what student code could do, some seconds ..."):
        inspected = engines.inspect(engine_name, find_root(course), address)
    for place, findings in inspected.items():
        title = f"The wall on {place}"
        table = Table(
            "layer", "holds", "what was seen, and what to do", title=title, title_justify="left"
        )
        for finding in findings:
            table.add_row(finding.layer, "yes" if finding.holds else "NO", finding.text)
        out.print(table)
        fit = fit and all(finding.holds or not finding.needed for finding in findings)
    if not fit:
        raise typer.Exit(1)
