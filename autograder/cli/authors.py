"""The commands for authors and students: check, starter, verify, show."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.authoring.course import Assignment, Course
from autograder.cli import options
from autograder.cli.console import err, explained, out, the_course
from autograder.cli.options import CourseOption
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.proof.prove import Orders, Proven

Names = Annotated[list[str] | None, typer.Argument(help="Assignments (default: all).")]
Name = Annotated[str, typer.Argument(help="The assignment.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (check, starter, verify, show):
        app.command()(explained(command))


def chosen(course: Course, names: Sequence[str] | None) -> list[Assignment]:
    """The assignments named, or all that exist; a draft need not be in course.yml yet."""
    return [course.assignment(name) for name in names] if names else list(course.catalogue)


# -- check and starter ----------------------------------------------------------------------------


def check(
    name: Name,
    path: Annotated[
        Path | None, typer.Argument(help="Your file, notebook or folder (default: here).")
    ] = None,
    course: CourseOption = None,
) -> None:
    """Run the public tests on my work, with my own rights. Exit code 1: some test failed."""
    from autograder.marking import feedback
    from autograder.marking.submission import read_all
    from autograder.proof import import_as_graded
    from autograder.proof.public import run_public_tests

    assignment = the_course(course).assignment(name)
    where = path or Path(assignment.main)
    (work,) = read_all(where, assignment.main, assignment.starter)[:1]
    if work.problem:
        raise CourseError(f"{where}: {work.problem}")
    imported = import_as_graded.trial(assignment, work.files)
    for note in feedback.remarks((*work.notes, *imported.left_out)):
        err.print(f"{note}.", markup=False, highlight=False, soft_wrap=True)
    out.print("Public tests, run on this machine without the wall that grading uses.", style="dim")
    code, text = run_public_tests(assignment, work.files)
    print(text)
    if imported.failure:
        print(imported.failure)
    raise typer.Exit(1 if code != 0 or imported.failure else 0)


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
    for assignment in chosen(the_course(course), names):
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


# -- verify ---------------------------------------------------------------------------------------


def verify(
    names: options.ToProve = None,
    course: CourseOption = None,
    stale: options.Stale = False,
    everything: options.Everything = False,
    since: options.Since = None,
    shard: options.Shard = None,
    compare: options.Compare = False,
    bars: options.Bars = False,
    mutants: options.Mutants = False,
    thorough: options.Thorough = False,
    jobs: options.ProofJobs = 0,
    draws: options.Draws = 0,
) -> None:
    """Prove assignments and write the proofs. Exit code 1: something falls short or is stale.

    An assignment is proven when its solution is full, lazy answers and the stub earn nothing, right
    answers in other styles are full, and every known bug is caught and named.
    """
    found = the_course(course)
    if not (names or stale or everything or since):
        return _report(found)
    from autograder.proof import choice
    from autograder.proof.prove import Orders

    assignments = chosen(found, names)
    if since and not names:
        assignments = choice.since(since, assignments, found.root)
    elif stale and not names:
        why = choice.stale(assignments)
        _say(choice.engine_news(assignments))
        assignments = [one for one in assignments if one.name in why]
    if shard:
        assignments = choice.share(assignments, shard)
    if not assignments:
        _say("No proof is stale.")
    if not _prove(assignments, Orders(draws, bars, thorough, compare, mutants), jobs):
        raise typer.Exit(1)
    if not compare:
        _bring_syllabus_up_to_date(found)


def _report(course: Course) -> None:
    """Say in about a second which proofs are stale, and how to renew them."""
    from autograder.proof import choice

    stale = choice.stale(course.catalogue)
    for name, why in stale.items():
        _say(f"the proof of {name} is stale ({why}): python -m autograder verify {name}")
    _say(choice.engine_news(course.catalogue))
    if stale:
        raise typer.Exit(1)


def _prove(assignments: Sequence[Assignment], orders: Orders, jobs: int) -> bool:
    """Prove them and print what was found. True if nothing falls short."""
    proven = True
    for one in _proofs(assignments, orders, jobs):
        print(one.summary, flush=True)
        for path in one.wrote:
            _say(f"wrote {path}")
        for shortcoming in one.shortcomings:
            _complain(f"- {shortcoming}", "red")
        for note in one.notes:
            _complain(f"- {note}", "yellow")
        proven = proven and not one.shortcomings
    return proven


def _bring_syllabus_up_to_date(course: Course) -> None:
    """Where the course keeps a syllabus; `make check` wants it fresh."""
    from autograder.authoring import syllabus
    from autograder.marking.result_files import write_atomically

    path = syllabus.path(course)
    if path.is_file() and syllabus.stale(course):
        write_atomically(path, syllabus.text(course))
        _say(f"wrote {path.relative_to(course.root)}")


def _proofs(assignments: Sequence[Assignment], orders: Orders, jobs: int) -> Iterator[Proven]:
    from autograder.proof.prove import prove, prove_each

    with err.status("proving ...") as status:
        if len(assignments) == 1:
            yield prove(assignments[0], orders, status.update)
        elif assignments:
            yield from prove_each(assignments, orders, jobs)


def _say(text: str) -> None:
    if text:
        out.print(text, markup=False, highlight=False, soft_wrap=True)


def _complain(text: str, style: str) -> None:
    err.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


# -- show -----------------------------------------------------------------------------------------


def show(
    name: Name,
    solution: Annotated[bool, typer.Option("--solution", help="The solution, unmarked.")] = False,
    stub: Annotated[bool, typer.Option("--stub", help="What students get.")] = False,
    bug: Annotated[
        str | None, typer.Option(metavar="BUG", help="The solution with this known bug.")
    ] = None,
    diff: Annotated[
        str | None, typer.Option(metavar="BUG", help="Only what this known bug changes.")
    ] = None,
    kills: Annotated[
        bool, typer.Option("--kills", help="Which tests catch which bug, from the proof.")
    ] = False,
    course: CourseOption = None,
) -> None:
    """Print one reading of a solution, or what its proof says."""
    from autograder.authoring.source import Source

    (assignment,) = chosen(the_course(course), [name])
    if sum([solution, stub, bug is not None, diff is not None, kills]) != 1:
        raise CourseError("show: give one of --solution, --stub, --bug, --diff and --kills")
    if kills:
        return print(_kills(assignment))
    source = Source(assignment.solution)
    if diff is not None:
        return print(_diff(source.solution(), source.broken(diff), assignment.main, diff))
    print(source.broken(bug) if bug else source.stub() if stub else source.solution(), end="")


def _diff(solution: str, broken: str, file: str, bug: str) -> str:
    lines = difflib.unified_diff(
        solution.splitlines(), broken.splitlines(), file, f"{file} with {bug}", lineterm=""
    )
    return "\n".join(lines)


def _kills(assignment: Assignment) -> str:
    """Each known bug, when it happens, and the tests that catch it, with their points."""
    from autograder.authoring.markers import bug_of
    from autograder.authoring.source import Source
    from autograder.proof import record

    proof = record.read(assignment)
    if proof is None:
        raise CourseError(
            f"{record.path_of(assignment)}: there is no proof yet: "
            f"python -m autograder verify {assignment.name}"
        )
    when = {bug.name: bug.when for bug in Source(assignment.solution).bugs}
    lines = []
    for bug, tests in proof["kills"].items():
        lines += [f"{bug}: {when.get(bug_of(bug), 'this bug is gone')}"]
        lines += [f"  {test} ({proof['tests'][test]['points']:g})" for test in tests]
    return "\n".join(lines)
