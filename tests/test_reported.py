"""Mistakes that people reported about other code, for our signatures: none is named falsely.

Each file of reported/NAME/ is put behind the solution, where its functions take the place of the
solution's. Its comments say what was reported, where, and which known mistakes are a true name.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from autograder.authoring.course import load_assignment
from autograder.judging import naming, plugin
from autograder.judging.diagnose import AnswerKey
from autograder.judging.hidden_test import HiddenTest
from autograder.model import Basis, Outcome, Verdict

HERE = Path(__file__).resolve().parent
REPORTED = sorted((HERE / "reported").glob("*/*.py"))
SEED = 5
# Diagnosing a wrong training takes up to half a minute: these are run by `make thorough`.
LONG = ("distributed_ppo", "dqn", "grpo", "ppo", "preference_optimization", "reinforce")
SHORT = [path for path in REPORTED if path.parent.name not in LONG]
CASES = [
    pytest.param(
        path,
        id=f"{path.parent.name}-{path.stem}",
        marks=[] if path in SHORT else [pytest.mark.slow],
    )
    for path in REPORTED
]
NAMED_AT_LEAST = 51  # of the 53 quick ones that have a true name


def about(path: Path, word: str) -> str:
    """What a comment of the file says."""
    found = re.search(rf"^# {word}: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{path} has no line '# {word}: ...'"
    return found[1]


def true_names(path: Path) -> set[str]:
    """The known mistakes that are a true name for it."""
    return set(about(path, "True").split(", ")) - {"none"}


@cache
def course(name: str) -> tuple[AnswerKey, list[HiddenTest]]:
    """The answer key and the exact tests of an assignment."""
    assignment = load_assignment(HERE.parent, name)
    tests = plugin.collect(assignment.hidden_tests)
    return AnswerKey(assignment), [test for test in tests if not test.learning]


@cache
def marked(path: Path) -> list[Outcome]:
    """What the hidden tests say about it."""
    key, tests = course(path.parent.name)
    text = f"{key.source.solution()}\n\n{path.read_text(encoding='utf-8')}"
    return naming.examine(key, tests, key.candidate(text), SEED)


def told(path: Path, *bases: Basis) -> set[str]:
    """The names that are told on one of these grounds."""
    return {m.bug for o in marked(path) if o.basis in bases for m in o.mistakes}


@pytest.mark.parametrize("path", CASES)
def test_a_reported_mistake_loses_marks_and_is_not_named_falsely(path):
    key, _ = course(path.parent.name)
    assert about(path, "Source").startswith("https://")
    assert true_names(path) <= key.texts.keys()
    failed = [one for one in marked(path) if one.verdict is not Verdict.PASSED]
    assert not any(one.verdict is Verdict.UNGRADED for one in failed)
    assert failed
    assert told(path, Basis.NAMED, Basis.FOLLOWS) <= true_names(path)


def test_many_reported_mistakes_are_named_truly():
    with_a_name = [path for path in SHORT if true_names(path)]
    named = [path for path in with_a_name if told(path, Basis.NAMED, Basis.FOLLOWS)]
    assert len(named) >= NAMED_AT_LEAST
