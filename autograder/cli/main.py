"""The commands for graders. With authors.py and platforms.py, the only modules that print or exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from autograder.authoring.course import find_root, load_assignment
from autograder.cli import authoring, authors, console, platforms
from autograder.cli.console import CourseOption, err, explained, out, the_course
from autograder.cli.table import print_class
from autograder.cli.watch import Watch, summary
from autograder.errors import CourseError
from autograder.judging.gpu_part import GpuState
from autograder.marking import feedback
from autograder.marking.score import score
from autograder.model import Grade

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The course's autograder.",
)
authors.add_to(app)
platforms.add_to(app)
authoring.add_to(app)
AddressOption = Annotated[str, typer.Option(help="Where the Ray cluster is, for --engine ray.")]


def main() -> None:
    """The entry point."""
    console.end_as_on_ctrl_c()
    app()


# -- grade ------------------------------------------------------------------------------------------------------------


@app.command()
@explained
def grade(
    name: Annotated[str, typer.Argument(help="The assignment.")],
    submissions: Annotated[
        Path,
        typer.Argument(
            help="A file, a zip, a notebook, or a folder with one of these or a folder for each student."
        ),
    ],
    destination: Annotated[
        Path, typer.Option("--out", help="Where results go: DIR/NAME/STUDENT/results.json.")
    ],
    jobs: Annotated[
        int,
        typer.Option(
            help="Submissions marked at a time on each machine (default: one for each core)."
        ),
    ] = 0,
    engine_name: Annotated[
        str, typer.Option("--engine", help="local, or ray: all nodes of a cluster.")
    ] = "local",
    address: AddressOption = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Mark again even what has not changed.")
    ] = False,
    allow_weak: Annotated[
        bool,
        typer.Option(
            "--allow-weak", help="Run student code without the full wall; results say so."
        ),
    ] = False,
    only: Annotated[
        str | None,
        typer.Option("--only", help="Mark this student again and keep everybody else's marks."),
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(help="Who takes the course; its late_days move a student's due date."),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            help="How the folder names things: plain, or canvas, moodle, gradescope (auto: seen)."
        ),
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no table.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One line of JSON for each submission instead of the table."),
    ] = False,
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
        _notice(f"Passed over, not submissions: {', '.join(passed_over)}.")
    read, extensions = platforms.look_up(read, submissions, only, roster)
    engine = engines.start(engine_name, assignment, jobs, address, _notice)
    if engine.gpu.state is GpuState.NOT_RUN:
        means = (
            "no score depends on it"
            if assignment.scale == "optional"
            else "nobody can have a score"
        )
        _notice(
            f"The GPU part was {engine.gpu}. As course.yml says 'scale: {assignment.scale}', {means}."
        )
    try:
        grading = Grading(found, assignment, engine, destination, allow_weak, extensions)
        with Watch(err, quiet or as_json) as watch:
            grades = grading.run(read, fresh, watch.tell, only)
    except KeyboardInterrupt as stopped:
        err.print(
            f"Stopped. What was finished is in {destination / name}; the same command goes on from there.",
            style="yellow",
        )
        raise typer.Exit(console.exit_code(stopped)) from None
    finally:
        engine.close()
    if as_json:
        for one in grades:
            print(json.dumps(_line(one, grading.worth) | {"kept": one.student in grading.kept}))
    elif not quiet:
        print_class(found, assignment, grading.worth, grades, grading.folder)
        told = summary(len(grading.kept), grading.reasons, grading.rescored)
        out.print(told, soft_wrap=True, highlight=False)
    if any(score(one, grading.worth).points is None for one in grades):
        raise typer.Exit(1)


def _line(grade: Grade, worth: float) -> dict[str, Any]:
    points = score(grade, worth).points
    return {
        "student": grade.student,
        "points": points,
        "worth": worth,
        "note": feedback.note(grade),
    }


def _notice(text: str) -> None:
    err.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


@app.command("report")
@explained
def report_class(
    folder: Annotated[
        Path, typer.Argument(help="The folder of 'grade --out', or one assignment's in it.")
    ],
    similar: Annotated[
        Path | None,
        typer.Option(help="List similar pairs among the submissions in this folder; no verdict."),
    ] = None,
    course: CourseOption = None,
) -> None:
    """Write report.html for the staff, and feedback.html beside each student's results."""
    from autograder.reports import pages
    from autograder.reports.similar import of_class

    found = the_course(course)
    marked = pages.folders(folder)
    if similar and len(marked) > 1:
        raise CourseError(f"{folder}: --similar wants one assignment's folder, as in {marked[0]}")
    for one in marked:
        pairs = of_class(load_assignment(found.root, one.name), similar) if similar else None
        facts = pages.write(found, one, pairs)
        out.print(
            f"{one / pages.CLASS_PAGE}: {len(facts.rows)} students, {len(facts.ungraded)} ungraded"
            + (f", {len(pairs)} similar pairs to look at" if pairs is not None else ""),
            soft_wrap=True,
            highlight=False,
        )


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
    """Say what of the wall holds on this machine, and how to mend what does not. Exit code 1: grading would refuse."""
    from autograder.marking import engines

    fit = True
    for place, findings in engines.inspect(engine_name, find_root(course), address).items():
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
