"""What takes too long for every change: `verify --thorough`."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from autograder.authoring.course import COURSE_FILE, Assignment, load_assignment
from autograder.authoring.markers import bug_of
from autograder.authoring.right import answers
from autograder.authoring.source import Source
from autograder.judging import hidden_test, naming
from autograder.judging.diagnose import AnswerKey
from autograder.judging.hidden_test import HiddenTest
from autograder.model import Verdict
from autograder.proof import wall

# Draws of the test data that `verify` does not use.
SEEDS = range(20, 30)
# How many bugs are marked in used and in fresh workers.
BUGS = 5
Say = Callable[[str], None]
Tests = Sequence[HiddenTest]


def check(
    assignment: Assignment, tests: Tests, say: Say, tell: Callable[[str], None], jobs: int = 1
) -> None:
    """All of it, with the exact ``tests`` of the assignment."""
    key = AnswerKey(assignment)
    tell("other styles on further draws")
    _other_styles(assignment, tests, key, say)
    tell("a known bug on both sides of the wall")
    _both_sides(assignment, tests, key, say)
    tell("the diagnosis of every bug")
    _diagnoses(tests, key, say)
    tell("fresh workers")
    _fresh_workers(assignment, say, jobs)


def _other_styles(assignment: Assignment, tests: Tests, key: AnswerKey, say: Say) -> None:
    """Right answers in other styles pass on further draws."""
    styles = {style: key.candidate(text) for style, text in answers(assignment).items()}
    for test, style, seed in itertools.product(tests, styles, SEEDS):
        if not hidden_test.run(test, styles[style], seed).passed:
            say(f"right/{style}.py fails {test.name} (seed {seed})")


def _both_sides(assignment: Assignment, tests: Tests, key: AnswerKey, say: Say) -> None:
    """A known bug passes and fails the same tests with and without the wall, and is named."""
    bugs = list(key.texts)
    if not bugs:
        return
    bug = bugs[len(bugs) // 2]
    there = wall.mark(assignment, {bug: key.source.broken(bug)})[bug]
    for test in tests:
        here = hidden_test.run(test, key.broken[bug], wall.SEED).passed
        if here != (there[test.name].verdict is Verdict.PASSED):
            say(f"'{bug}' has another outcome in {test.name} behind the wall")
    if bug_of(bug) not in {mistake.bug for outcome in there.values() for mistake in outcome.named}:
        say(f"'{bug}' is not named behind the wall")


def _diagnoses(tests: Tests, key: AnswerKey, say: Say) -> None:
    """A real diagnosis names every bug and no other.

    `verify` compares runs that it made side by side. In marking, results that differ from run to
    run would make the diagnosis impossible.
    """

    def named(bug: str, by: Tests) -> set[str]:
        outcomes = naming.examine(key, by, key.broken[bug], wall.SEED)
        return {mistake.bug for outcome in outcomes for mistake in outcome.mistakes}

    for bug in key.texts:
        # Its own tests first: they are quick, and mostly enough.
        own = [test for test in tests if bug_of(bug) in test.catches]
        found = named(bug, own) or named(bug, tests)
        if found != {bug_of(bug)}:
            say(f"the diagnosis of '{bug}' names {', '.join(sorted(found)) or 'nothing'}")


def _fresh_workers(assignment: Assignment, say: Say, jobs: int) -> None:
    """A fresh worker for every test changes no outcome."""
    source = Source(assignment.solution)
    texts = {"solution": source.solution(), "stub": source.stub(), **answers(assignment)}
    some = source.bugs[:: max(1, len(source.bugs) // BUGS)]
    texts |= {bug.name: source.broken(bug.name) for bug in some}
    used = wall.mark(assignment, texts, jobs)
    with tempfile.TemporaryDirectory() as folder:
        fresh = wall.mark(_with_fresh_workers(assignment, Path(folder)), texts, jobs)
    for name in texts:
        if used.get(name) != fresh.get(name):
            say(f"{name} gets other outcomes in fresh workers than in used ones")


def _with_fresh_workers(assignment: Assignment, folder: Path) -> Assignment:
    """A copy of the assignment in another course, whose limits ask for fresh workers."""
    places = [assignment.handout, assignment.solution.parent, assignment.hidden_tests.parent]
    given = assignment.handout.with_name("given")
    for place in [*places, *([given] if given.is_dir() else [])]:
        shutil.copytree(place, folder / place.relative_to(assignment.root))
    shutil.copy(assignment.root / COURSE_FILE, folder)
    path = folder / "assignments" / assignment.name / "assignment.yml"
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    said["limits"] = said.get("limits", {}) | {"fresh_workers": True}
    path.write_text(yaml.safe_dump(said), encoding="utf-8")
    return load_assignment(folder, assignment.name)
