"""The command for office hours: one hidden test of one submission, call by call."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.cli.console import explained, say, the_course
from autograder.cli.options import Assignment, CourseOption
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.marking.replay import Replay


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explained(replay))


def replay(
    name: Assignment,
    path: Annotated[Path, typer.Argument(help="One submission: a file, notebook, zip or folder.")],
    test: Annotated[
        str, typer.Argument(help="The hidden test (default: say which ones fail).")
    ] = "",
    debugger: Annotated[
        bool, typer.Option("--pdb", help="Open the debugger where the test has failed.")
    ] = False,
    course: CourseOption = None,
) -> None:
    """Run one hidden test once more, with the inputs of the marking, and show every call.

    The submission runs behind the wall, the solution beside it. What is shown holds answers: it is
    for staff.
    """
    from autograder.marking.grade import seed_of
    from autograder.marking.replay import Replayer
    from autograder.marking.submission import read_all

    found = the_course(course)
    assignment = found.assignment(name)
    (work,) = read_all(path, assignment.main, assignment.starter)[:1]
    if work.problem:
        raise CourseError(f"{path}: {work.problem}")
    replayer = Replayer(assignment, work, seed_of(found, assignment, work))
    try:
        tests = {one.name: one for one in replayer.tests if not one.gpu}
        if not test:
            return _say_what_fails(replayer.failing([t for t in tests.values() if not t.learning]))
        if test not in tests:
            near = difflib.get_close_matches(test, tests, n=1)
            guess = f": did you mean {near[0]}?" if near else ""
            raise CourseError(f"{name} has no hidden test '{test}'{guess}")
        done = replayer.replay(tests[test])
        _show(done)
        if debugger and done.error is not None:
            import pdb

            pdb.post_mortem(done.error.__traceback__)
    finally:
        replayer.close()


def _say_what_fails(failing: list[Replay]) -> None:
    for one in failing:
        say(f"{one.test.name}: {_reason(one).splitlines()[0]}")
    say(f"{len(failing)} tests fail; learning checks were not run. Name one to see its calls.")


def _show(done: Replay) -> None:
    say(f"{done.test.name}: {done.test.says}")
    for number, call in enumerate(done.calls, 1):
        say(f"\n{number}. {call.asked}")
        say(f"   submission: {call.answer}")
        if call.differs:
            say(f"   solution:   {call.right}")
    say(f"\n{_reason(done)}")


def _reason(done: Replay) -> str:
    from autograder.judging import hidden_test

    return "passed" if done.error is None else hidden_test.explain(done.error)
