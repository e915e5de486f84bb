"""How much time each test of a submission gets, and how long the command waits for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from autograder.errors import Limit
from autograder.isolation.limits import Limits
from autograder.judging.evidence import Failure
from autograder.judging.hidden_test import HiddenTest
from autograder.marking import grader
from autograder.model import Mistake, Outcome, Verdict


@dataclass(frozen=True)
class Candidate:
    limits: Limits


class Key:
    def within_reach(self, called):
        return {}


@pytest.fixture
def given(monkeypatch):
    """CPU seconds that each test got; tests whose name begins with 'loops' run out of time."""
    got: dict[str, float] = {}

    def judge(test, candidate, seed, key, patience, alive, keep):
        got[test.name] = candidate.limits.call_seconds
        if test.name.startswith("loops"):
            limit = Limit.COMPUTING
            return Outcome(test.name, "", "", Verdict.FAILED, 1.0, limit=limit)
        error = "TimeoutError: my own" if test.name.startswith("raises") else ""
        return Outcome(test.name, "", "", Verdict.FAILED, 1.0, error=error)

    monkeypatch.setattr(grader, "judge", judge)

    def mark(*names: str, **limits: float) -> dict[str, float]:
        tests = [
            HiddenTest(name, "", 1.0, "", (), "", "learning" in name, lambda: None)
            for name in names
        ]
        given_limits = Limits(**limits)
        list(grader.outcomes(tests, Key(), Candidate(given_limits), given_limits, 0))
        return got

    return mark


def test_each_timeout_halves_what_comes_next_down_to_what_is_still_plenty(given):
    got = given("a", "loops1", "loops2", "b", "loops3", "loops4", "loops5", "c", call_seconds=10)
    assert got == {
        "a": 10,
        "loops1": 10,
        "loops2": 5,
        "b": 2.5,
        "loops3": 2.5,
        "loops4": 1.25,
        "loops5": 1,
        "c": 1,
    }


def test_a_loop_elsewhere_costs_a_learning_check_no_time(given):
    assert given("loops1", "loops2", "learning", "loops_learning", "b", call_seconds=10) == {
        "loops1": 10, "loops2": 5, "learning": 10, "loops_learning": 10, "b": 2.5,
    }  # fmt: skip


def test_an_exception_of_the_student_s_that_is_called_a_timeout_costs_no_time(given):
    assert given("raises1", "raises2", "b", call_seconds=10) == dict.fromkeys(
        ("raises1", "raises2", "b"), 10
    )


def test_a_submission_that_has_used_up_its_time_gets_little_everywhere(given):
    assert set(given("a", "learning", call_seconds=10, total_seconds=1e-9).values()) == {1.0}


def told_again(monkeypatch, name_mistakes):
    """The outcomes that are sent once more when all tests are done."""
    failure = Failure(None, 0, (("ok", 1.0, []),), 0, None, frozenset())

    def judge(test, candidate, seed, key, patience, alive, keep):
        keep(failure)
        return Outcome(test.name, "", "", Verdict.FAILED, 1.0)

    monkeypatch.setattr(grader, "judge", judge)
    monkeypatch.setattr(grader, "name_mistakes", name_mistakes)
    tests = [HiddenTest(name, "", 1.0, "", (), "", False, lambda: None) for name in "abc"]
    messages = list(grader.outcomes(tests, Key(), Candidate(Limits()), Limits(), 0))
    return [message["outcome"] for message in messages if "outcome" in message][3:]


def test_mistakes_are_named_when_all_tests_are_done(monkeypatch):
    mistake = Mistake("forgets-n", "n is forgotten.")

    def name_mistakes(key, tests, outcomes, failures, seconds, alive):
        assert len(tests) == len(outcomes) == len(failures) == 3
        return [replace(outcomes[0], mistakes=(mistake,)), *outcomes[1:]]

    (again,) = told_again(monkeypatch, name_mistakes)
    assert again["test"] == "a" and again["mistakes"][0]["bug"] == "forgets-n"


def test_a_diagnosis_that_breaks_costs_nothing(monkeypatch):
    def name_mistakes(*args):
        raise RecursionError("an answer within an answer")

    assert told_again(monkeypatch, name_mistakes) == []
