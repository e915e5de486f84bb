"""The commands. With platforms.py, the only module that prints or exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from autograder.authoring.course import Assignment, Course, find_root, load_assignment
from autograder.cli import authoring, platforms
from autograder.cli.console import (
    CourseOption,
    end_as_on_ctrl_c,
    err,
    exit_code,
    explained,
    out,
    the_course,
)
from autograder.cli.watch import Watch, summary
from autograder.errors import CourseError
from autograder.judging.gpu_part import GpuState
from autograder.marking import feedback, result_files
from autograder.marking.score import score
from autograder.model import Grade, Verdict

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The course's autograder.",
)
platforms.add_to(app)
authoring.add_to(app)
AddressOption = Annotated[str, typer.Option(help="Where the Ray cluster is, for --engine ray.")]
Names = Annotated[list[str] | None, typer.Argument(help="Assignments (default: all).")]


def main() -> None:
    """The entry point."""
    end_as_on_ctrl_c()
    app()


def _chosen(course: Course, names: list[str] | None) -> list[Assignment]:
    """The assignments named, or all that exist; a draft need not be in course.yml yet."""
    return [course.assignment(name) for name in names] if names else list(course.catalogue)


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
    from autograder.marking.submission import read_all

    found = the_course(course)
    assignment = found.assignment(name)
    read = read_all(submissions, assignment.main)
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
        raise typer.Exit(exit_code(stopped)) from None
    finally:
        engine.close()
    if as_json:
        for one in grades:
            print(json.dumps(_line(one, grading.worth) | {"kept": one.student in grading.kept}))
    elif not quiet:
        _print_class(found, assignment, grading.worth, grades, grading.folder)
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


def _print_class(
    course: Course, assignment: Assignment, worth: float, grades: list[Grade], folder: Path
) -> None:
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
        table.add_row(*map(_plain, cells))
    out.print(table)
    if not course.secret:
        out.print(
            "No course secret is set, so hidden inputs can be foreseen: write one into course.secret or $AUTOGRADER_SECRET.",
            style="yellow",
        )
    out.print(
        f"{len(grades)} submissions: {folder}/STUDENT/{result_files.RESULTS} and {folder}/{result_files.GRADEBOOK}",
        soft_wrap=True,
    )


def _plain(text: str) -> Text:
    """A student's text styles no terminal: no markup, no control characters."""
    return Text("".join(c if c.isprintable() else " " for c in text)[:300])


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
    """Write results.html for the staff, and feedback.html beside each student's results."""
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


# -- check, starter, verify, doctor -----------------------------------------------------------------------------------


@app.command()
@explained
def check(
    name: Annotated[str, typer.Argument(help="The assignment.")],
    path: Annotated[
        Path | None, typer.Argument(help="Your file, notebook or folder (default: here).")
    ] = None,
    course: CourseOption = None,
) -> None:
    """Run the public tests on my work, in this process's own rights. Exit code 1: some test failed."""
    from autograder.marking.submission import read_all
    from autograder.proof.verify import run_public_tests

    assignment = the_course(course).assignment(name)
    where = path or Path(assignment.main)
    (work,) = read_all(where, assignment.main)[:1]
    if work.problem:
        raise CourseError(f"{where}: {work.problem}")
    out.print("Public tests, run on this machine without the wall that grading uses.", style="dim")
    code, text = run_public_tests(assignment, work.files)
    print(text)
    raise typer.Exit(0 if code == 0 else 1)


@app.command()
@explained
def starter(
    names: Names = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if something is stale.")
    ] = False,
    course: CourseOption = None,
) -> None:
    """Regenerate starter code from the solutions."""
    from autograder.authoring import starter as generator

    stale = False
    for assignment in _chosen(the_course(course), names):
        if only_check:
            changed = [assignment.starter / file for file in generator.stale(assignment)]
        else:
            changed = generator.write(assignment)
        stale = stale or bool(changed)
        for path in changed:
            out.print(
                f"{'stale' if only_check else 'wrote'} {path.relative_to(assignment.root)}",
                soft_wrap=True,
            )
    if only_check and stale:
        raise typer.Exit(1)


@app.command()
@explained
def verify(
    names: Names = None,
    course: CourseOption = None,
    jobs: Annotated[
        int, typer.Option(help="Assignments proven at a time (default: one for each core).")
    ] = 0,
    draws: Annotated[
        int,
        typer.Option(
            min=0, help="Ask on so many further draws of the test data whether the proof holds."
        ),
    ] = 0,
) -> None:
    """Prove assignments: solution full, lazy answers nothing, every known bug caught and named. Exit code 1: something fell short."""
    from autograder.proof.verify import Proof, prove_each

    found = the_course(course)
    chosen = _chosen(found, names)
    sections, fell_short = [], False
    with err.status("proving ...") as status:
        each = prove_each(chosen, jobs, draws)
        proofs = (
            each if len(chosen) > 1 else (Proof.of(one, status.update, draws) for one in chosen)
        )
        for proof in proofs:
            sections.append(proof.matrix)
            print(proof.matrix)
            print(proof.summary, flush=True)
            for shortcoming in proof.shortcomings:
                err.print(
                    f"- {shortcoming}", style="red", markup=False, highlight=False, soft_wrap=True
                )
            fell_short = fell_short or bool(proof.shortcomings)
    if not names and not fell_short:
        (found.root / "docs").mkdir(exist_ok=True)
        heading = "# Kill matrix\n\nGenerated by `python -m autograder verify`. X: caught as declared; x: caught besides.\n\n"
        result_files.write_atomically(
            found.root / "docs" / "kill_matrix.md", heading + "\n".join(sections)
        )
    if fell_short:
        raise typer.Exit(1)


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
