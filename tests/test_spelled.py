"""Known mistakes in other words, and kinds of mistakes that numbers cannot name: all lose marks.

Each file of spelled/NAME/ is put behind the solution, as those of reported/ are. Its comments say
what is wrong, and which known mistakes are a true name. Where there is one, it is what is told.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from autograder.authoring.course import load_assignment
from autograder.judging import hidden_test, naming, plugin
from autograder.judging.diagnose import AnswerKey
from autograder.judging.hidden_test import HiddenTest, InProcess
from autograder.model import Basis

HERE = Path(__file__).resolve().parent
SPELLED = sorted((HERE / "spelled").glob("*/*.py"))
SEED = 5
# Of those that have a true name, these are told in words of the test alone, or not at all: their
# random numbers, or the places that have the mistake, are not those of the known one.
UNTOLD = {
    "agent_explores_without_the_best",
    "double_q_takes_the_first",
    "expected_sarsa_takes_the_first",
    "sarsa_draws_again_if_exploring",
    "sarsa_next_is_greedy",
    "sarsa_takes_the_first",
}


def true_names(path: Path) -> set[str]:
    """The known mistakes that are a true name for it."""
    found = re.search(r"^# True: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{path} has no line '# True: ...'"
    return set(found[1].split(", ")) - {"none"}


@cache
def course(name: str) -> tuple[AnswerKey, list[HiddenTest]]:
    """The answer key and the exact tests of an assignment."""
    assignment = load_assignment(HERE.parent, name)
    tests = plugin.collect(assignment.hidden_tests)
    return AnswerKey(assignment), [test for test in tests if not test.learning]


def candidate(path: Path) -> InProcess:
    """The solution with the mistake."""
    key, _ = course(path.parent.name)
    text = f"{key.source.solution()}\n\n{path.read_text(encoding='utf-8')}"
    return key.candidate(text)


@pytest.mark.parametrize("path", SPELLED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_spelling_loses_marks(path):
    key, tests = course(path.parent.name)
    assert true_names(path) <= key.texts.keys()
    work = candidate(path)
    assert any(not hidden_test.run(test, work, SEED).passed for test in tests)


@pytest.mark.parametrize(
    "path", list(filter(true_names, SPELLED)), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_spelling_of_a_known_mistake_is_named_truly(path):
    key, tests = course(path.parent.name)
    outcomes = naming.examine(key, tests, candidate(path), SEED)
    told = {
        mistake.bug
        for outcome in outcomes
        if outcome.basis in (Basis.NAMED, Basis.FOLLOWS)
        for mistake in outcome.mistakes
    }
    assert told <= true_names(path)
    assert told or path.stem in UNTOLD
