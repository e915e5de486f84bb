"""What the test cells of the otter-grader and nbgrader lanes call: a hidden test, run in the
kernel's own process, without any wall."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from autograder.authoring.course import Assignment, load_assignment
from autograder.judging.hidden_test import HiddenTest, InProcess, run
from autograder.judging.plugin import collect

ROOT = Path(__file__).resolve().parents[2]


@cache
def _assignment(name: str) -> tuple[Assignment, dict[str, HiddenTest]]:
    assignment = load_assignment(ROOT, name)
    return assignment, {test.name: test for test in collect(assignment.hidden_tests)}


def check(assignment: str, test: str, source: str) -> None:
    """Run one hidden test against a text; raises what it raises."""
    found, tests = _assignment(assignment)
    trace = run(tests[test], InProcess.of(source, found.main), seed=1)
    if trace.error is not None:
        raise trace.error
