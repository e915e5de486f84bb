"""Judging one test: the verdict, and which known mistake gives exactly these numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from toy import MAIN

from autograder.errors import IsolationError, StudentDied, StudentError, StudentTimeout
from autograder.isolation.codec import Fields
from autograder.judging import hidden_test, naming
from autograder.judging.answers import gives_the_numbers_of, same
from autograder.judging.diagnose import AnswerKey, judge
from autograder.judging.evidence import Failure, Fit
from autograder.judging.hidden_test import InProcess, Trace
from autograder.model import Mistake, Verdict

WEIGHTS = "gamma ** np.arange(float(len(rewards)))"  # how the toy's solution discounts
# The known mistake, written in another way.
NO_DISCOUNT = (WEIGHTS, "gamma * 0 + np.array([1.0] * len(rewards))")
LAST_WHOLE = (WEIGHTS, "np.array([gamma**k for k in range(len(rewards) - 1)] + [1.0])")
SEED = 3


@pytest.fixture
def key(toy):
    return AnswerKey(toy.assignment)


def outcomes_of(toy, key, *names, candidate):
    """The outcomes of some tests, diagnosed together."""
    return naming.examine(key, [toy.tests[name] for name in names], candidate, SEED)


# -- verdicts --------------------------------------------------------------------------------------


def test_a_correct_answer_passes_with_nothing_to_say(toy, key):
    for test in toy.tests.values():
        outcome = judge(test, toy.candidate(), SEED, key)
        assert (outcome.verdict, outcome.points, outcome.hint, outcome.detail) == (
            Verdict.PASSED,
            test.worth,
            "",
            "",
        )


def test_a_wrong_answer_fails_with_hint_and_detail(toy, key):
    outcome = judge(toy.tests["test_two_rewards"], toy.candidate(*NO_DISCOUNT), SEED, key)
    assert (outcome.verdict, outcome.points, outcome.worth, outcome.part) == (
        Verdict.FAILED,
        0.0,
        2.0,
        "sums",
    )
    assert outcome.says == "The second of two rewards is discounted once."
    assert outcome.hint == "The second reward counts gamma times."
    assert outcome.finding == "" and outcome.detail.startswith(
        "the sum is not close to what is expected"
    )


@pytest.mark.parametrize("candidate", [(), NO_DISCOUNT], ids=["right", "wrong"])
def test_a_recorded_training_goes_along_whatever_the_verdict(toy, key, candidate):
    toy.edit_hidden(
        "def test_two_rewards(student, rng):", "def test_two_rewards(student, lab, rng):"
    )
    toy.edit_hidden(
        "    rewards = rng.normal(size=2)\n",
        "    rewards = rng.normal(size=2)\n    lab.curve([1.0, 2.0])\n",
    )
    outcome = judge(toy.tests["test_two_rewards"], toy.candidate(*candidate), SEED, key)
    assert outcome.curve == (1.0, 2.0)
    assert judge(toy.tests["test_three_rewards"], toy.candidate(*candidate), SEED, key).curve == ()


def test_the_stub_is_not_written_yet(toy, key):
    stub = InProcess.of(toy.source.stub(), MAIN)
    for test in toy.tests.values():
        outcome = judge(test, stub, SEED, key)
        assert (outcome.verdict, outcome.points) == (Verdict.NOT_WRITTEN, 0.0)
        assert outcome.error.startswith(f"NotImplementedError: TODO({test.part}): ")


def test_a_kind_that_is_wrong_is_a_finding_for_the_student(toy, key):
    outcome = judge(
        toy.tests["test_two_rewards"],
        toy.candidate("return float(rewards @ weights)", "return rewards * weights"),
        SEED,
        key,
    )
    assert outcome.finding == "the sum is an array; a float was expected."


def test_an_error_of_the_student_s_is_shown_with_their_line(toy, key):
    outcome = judge(
        toy.tests["test_two_rewards"], toy.candidate(WEIGHTS, "rewards.nothing"), SEED, key
    )
    assert outcome.verdict is Verdict.FAILED
    assert (
        outcome.error.startswith("AttributeError: ")
        and "sequences.py:8 in discounted\n    weights = rewards.nothing" in outcome.error
    )


def test_a_result_that_breaks_the_test_is_explained_without_our_traceback(toy, key):
    toy.edit_hidden(
        "student.centred(numbers), numbers", 'student.centred(numbers)["mean"], numbers'
    )
    toy.edit_solution(
        "return numbers - numbers.mean()", 'return {"mean": numbers - numbers.mean()}'
    )
    key = AnswerKey(toy.assignment)
    outcome = judge(
        toy.tests["test_the_mean_is_gone"],
        toy.candidate('return {"mean": numbers - numbers.mean()}', "return 3.0"),
        SEED,
        key,
    )
    assert outcome.verdict is Verdict.FAILED
    assert outcome.finding == (
        "What came back could not be used as the handout describes it: check its type, "
        "shape and field names."
    )
    assert outcome.detail.startswith("TypeError: ")


def test_a_test_that_the_reference_fails_too_is_ungraded(toy, key):
    toy.edit_hidden("numbers - numbers.sum() / 7", "numbers - numbers.sum() / 6")
    outcome = judge(toy.tests["test_the_mean_is_gone"], toy.candidate(), SEED, key)
    assert outcome.verdict is Verdict.UNGRADED
    assert outcome.detail.startswith(
        "the reference solution fails this test on the same data: the result is not close"
    )
    assert outcome.suspects == ()


def test_a_test_of_ours_that_crashes_is_ungraded(toy, key):
    toy.edit_hidden("logits = rng.normal(size=4)", "logits = rng.normul(size=4)")
    outcome = judge(toy.tests["test_probabilities_sum_to_one"], toy.candidate(), SEED, key)
    assert outcome.verdict is Verdict.UNGRADED and "AttributeError" in outcome.detail


class Failing:
    """A candidate whose worker cannot be had, or ends at once."""

    def __init__(self, error):
        self.error = error

    def open(self, record, seconds):
        raise self.error


def test_a_worker_that_cannot_be_had_is_ungraded(toy, key):
    outcome = judge(
        toy.tests["test_two_rewards"], Failing(IsolationError("no uid is left")), SEED, key
    )
    assert (outcome.verdict, outcome.detail) == (Verdict.UNGRADED, "no uid is left")


@pytest.mark.parametrize(
    "error", [StudentTimeout("Timeout", "too long"), StudentDied("Ended", "exit code 3")]
)
def test_what_never_answers_fails_and_is_compared_with_nothing(toy, key, error, monkeypatch):
    monkeypatch.setattr(Failure, "of", lambda *args: pytest.fail("compared"))
    outcome = judge(toy.tests["test_two_rewards"], Failing(error), SEED, key)
    assert outcome.verdict is Verdict.FAILED and outcome.error == str(error)


def test_a_test_that_never_ends_is_ended(toy, key):
    toy.edit_hidden(
        "rewards = rng.normal(size=2)",
        "rewards = rng.normal(size=2)\n    import time; time.sleep(20)",
    )
    outcome = judge(toy.tests["test_two_rewards"], toy.candidate(), SEED, key, seconds=0.2)
    assert outcome.error == "Timeout: the test did not come to an end within 0.2 seconds of waiting"


def test_test_data_depend_on_the_seed_and_the_test_alone():
    draws = {
        (seed, name): hidden_test.generator(seed, name).normal()
        for seed in (1, 2)
        for name in ("test_a", "test_b")
    }
    assert len(set(draws.values())) == 4
    assert hidden_test.generator(1, "test_a").normal() == draws[1, "test_a"]


# -- diagnosis -------------------------------------------------------------------------------------


def test_the_one_bug_that_gives_the_student_s_numbers_is_named(toy, key):
    (outcome,) = outcomes_of(toy, key, "test_three_rewards", candidate=toy.candidate(*NO_DISCOUNT))
    assert outcome.suspects == ("no-discount",)
    assert outcome.mistakes == (Mistake("no-discount", "gamma is never used."),)


def test_two_bugs_that_give_the_same_numbers_are_both_suspects_and_none_is_named(toy, key):
    (outcome,) = outcomes_of(toy, key, "test_two_rewards", candidate=toy.candidate(*NO_DISCOUNT))
    assert set(outcome.suspects) == {"no-discount", "last-reward-whole"}
    assert outcome.mistakes == ()


@pytest.mark.parametrize(
    ("change", "when"),
    [(NO_DISCOUNT, "gamma is never used."), (LAST_WHOLE, "the last reward is not discounted.")],
)
def test_another_test_settles_between_two_suspects(toy, key, change, when):
    found = outcomes_of(
        toy, key, "test_two_rewards", "test_three_rewards", candidate=toy.candidate(*change)
    )
    assert [m.when for outcome in found for m in outcome.named] == [when] * 2


def test_a_test_about_something_else_settles_nothing(toy, key):
    wrong = toy.candidate(*NO_DISCOUNT)
    wrong = InProcess.of(
        wrong.files[MAIN].decode().replace("numbers.mean()", "np.median(numbers)"), MAIN
    )
    two, mean = outcomes_of(toy, key, "test_two_rewards", "test_the_mean_is_gone", candidate=wrong)
    assert two.mistakes == ()
    assert mean.named == (Mistake("median", "the median is subtracted in place of the mean."),)


class Watched:
    """A broken variant that notes that it was run."""

    def __init__(self, name, variant, tried):
        self.name, self.variant, self.tried = name, variant, tried

    def open(self, record, seconds):
        self.tried.append(self.name)
        return self.variant.open(record, seconds)


def test_a_mistake_that_explains_a_test_spares_the_others_their_run_in_the_next(
    toy, key, monkeypatch
):
    tried = []
    for name, variant in key.broken.items():
        monkeypatch.setitem(key.broken, name, Watched(name, variant, tried))
    names = ("test_three_rewards", "test_two_rewards")
    outcomes_of(toy, key, *names, candidate=toy.candidate(*NO_DISCOUNT))
    assert sorted(tried) == ["last-reward-whole", "no-discount", "no-discount"]


def test_an_unknown_mistake_has_no_diagnosis(toy, key):
    (outcome,) = outcomes_of(
        toy,
        key,
        "test_three_rewards",
        candidate=toy.candidate(WEIGHTS, "gamma + np.arange(len(rewards))"),
    )
    assert (outcome.verdict, outcome.suspects, outcome.mistakes) == (Verdict.FAILED, (), ())


def test_a_bug_beside_another_mistake_is_not_taken_for_the_whole(toy, key):
    (outcome,) = outcomes_of(
        toy,
        key,
        "test_three_rewards",
        candidate=toy.candidate(WEIGHTS, "1.5 * np.ones(len(rewards))"),
    )
    assert outcome.mistakes == ()


@pytest.mark.parametrize("precision", ["np.float32", "np.float16"])
def test_a_student_who_works_in_single_precision_is_recognised_and_one_in_half_is_not(
    toy, key, precision
):
    wrong = toy.candidate(
        "numbers - numbers.mean()",
        f"(numbers.astype({precision}) - np.median(numbers.astype({precision})))",
    )
    (outcome,) = outcomes_of(toy, key, "test_the_mean_is_gone", candidate=wrong)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.suspects == (("median",) if precision == "np.float32" else ())


def test_rounding_that_differs_is_the_same_mistake(toy, key):
    wrong = toy.candidate(
        "float(rewards @ weights)",
        "float(sum(reversed([float(x) for x in rewards])) * (1 + 1e-12))",
    )
    (outcome,) = outcomes_of(toy, key, "test_three_rewards", candidate=wrong)
    assert outcome.suspects == ("no-discount",)


def test_right_numbers_of_a_wrong_kind_are_no_bug(toy, key):
    (outcome,) = outcomes_of(
        toy,
        key,
        "test_two_rewards",
        candidate=toy.candidate("float(rewards @ weights)", "np.array([rewards @ weights])"),
    )
    assert outcome.suspects == () and outcome.mistakes == ()


def test_the_reference_s_own_numbers_up_to_rounding_are_no_bug_s(toy):
    toy.edit_hidden(", rtol=1e-5, atol=1e-5)", ")")
    toy.edit_solution(
        "# BUG(median): return numbers - np.median(numbers)",
        "# BUG(median): return (numbers - numbers.mean()) * (1 + 5e-7)",
    )
    single = toy.candidate(
        "return numbers - numbers.mean()", "return (numbers - numbers.mean()) / (1 - 5e-7)"
    )
    (outcome,) = outcomes_of(
        toy, AnswerKey(toy.assignment), "test_the_mean_is_gone", candidate=single
    )
    assert (outcome.verdict, outcome.suspects) == (Verdict.FAILED, ())


def test_a_bug_that_ends_the_test_sooner_than_the_student_is_another_mistake(toy):
    toy.edit_hidden(
        'what="the probabilities")',
        (
            'what="the probabilities")\n    assert_close(student.centred(logits), logits - '
            "logits.mean())"
        ),
    )
    toy.edit_solution(
        "# BUG(sums-to-n): return weights / weights.mean()",
        "# BUG(sums-to-n): return weights / weights.sum() * (1 + 5e-7)",
    )
    wrong = toy.candidate("return numbers - numbers.mean()", "return numbers * 3")
    (outcome,) = outcomes_of(
        toy, AnswerKey(toy.assignment), "test_probabilities_sum_to_one", candidate=wrong
    )
    assert (outcome.verdict, outcome.suspects) == (Verdict.FAILED, ())


def test_learning_checks_are_not_replayed(toy, key, monkeypatch):
    monkeypatch.setattr(Failure, "of", lambda *args: pytest.fail("replayed"))
    test = dataclasses.replace(toy.tests["test_three_rewards"], learning=True)
    outcome = judge(test, toy.candidate(*NO_DISCOUNT), SEED, key)
    assert (outcome.verdict, outcome.suspects) == (Verdict.FAILED, ())


def test_a_replay_is_given_up_at_the_first_answer_that_differs(toy, key):
    toy.edit_hidden(
        "assert_close(student.softmax(logits)",
        (
            "student.discounted(logits, 0.5), student.softmax(logits)\n"
            "    assert_close(student.softmax(logits)"
        ),
    )
    test, calls = toy.tests["test_probabilities_sum_to_one"], []
    wrong = toy.candidate("weights / weights.sum()", "weights")
    trace = hidden_test.run(test, wrong, SEED)
    broken = key.broken["no-discount"]

    class Counting:
        def open(self, record, seconds):
            def counted(event):
                calls.append(event)
                record(event)

            return broken.open(counted, seconds)

    right = hidden_test.run(test, key.reference, SEED)
    assert Failure.of(test, SEED, trace, right, ()).fit(Counting()) is Fit.CONTRADICTS
    assert len(calls) < len(trace.events)


# -- when two answers are the same -----------------------------------------------------------------


def record(**fields):
    return type("Point", (Fields,), {})(**fields)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 1.0 + 1e-9),
        (1, 1.0),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan])),
        (np.float32([1.0, 2.0]), np.array([1.0, 2.00005])),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2)),
        (np.array([1e-12, 1.0]), np.array([0.0, 1.0])),  # rounding on the scale of the whole
        ([1.0, (2.0,)], (1.0, [2.0])),
        ({"a": 1.0}, {"a": 1.0}),
        (record(x=1.0), record(x=1.0)),
        (np.random.default_rng(1), np.random.default_rng(2)),
        (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)),
        ({1, 2}, {2, 1}),
        ("a", "a"),
        (None, None),
    ],
)
def test_answers_up_to_rounding_and_container_are_thesame(one, other):
    assert same(one, other) and same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 1.0001),
        (np.array([1.0]), 1.0),
        (np.ones(2), np.ones(3)),
        (np.ones((2, 1)), np.ones(2)),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array([1.0, np.nan]), np.array([1.0, 0.0])),
        (np.float32([1.0, 2.0]), np.array([1.0, 2.1])),
        ([1.0], [1.0, 2.0]),
        ({"a": 1.0}, {"b": 1.0}),
        (record(x=1.0), record(x=2.0)),
        (torch.ones(1, requires_grad=True), torch.ones(1)),
        ("a", "b"),
        (None, 0.0),
        ("1.0", 1.0),
        (torch.Generator(), np.random.default_rng(1)),
    ],
)
def test_other_answers_are_not_thesame(one, other):
    assert not same(one, other) and not same(other, one)


def test_sets_are_the_same_when_they_hold_thesame():
    assert not same({1, 2}, {1, 3})


def test_handles_are_the_same_as_handles_alone(in_process):
    one, other = in_process("class A: pass").student.A(), in_process("class A: pass").student.A()
    assert same(one, other) and not same(one, 1.0) and not same(None, other)


NETWORK = """
import torch


class Net(torch.nn.Linear):
    def step_(self):
        with torch.no_grad():
            self.weight.add_(1.0)
"""


def test_parameters_are_remembered_as_they_were_when_asked_for():
    """Those of a test are live: what is compared later must not have moved with them."""
    events = []
    bridge = InProcess.of(NETWORK, MAIN).open(events.append, None)
    net = bridge.student.Net(1, 1)
    (name, weight), *_ = net.named_parameters()
    before = weight.detach().clone()
    net.step_()
    assert torch.equal(weight.detach(), before + 1)
    bridge.close()
    asked = next(answer for _, answer, *_ in events if isinstance(answer, (list, tuple)) and answer)
    assert asked[0][0] == name and torch.equal(asked[0][1].detach(), before)


def test_an_answer_too_few_is_not_the_same_run(key, toy):
    test = toy.tests["test_two_rewards"]
    whole = hidden_test.run(test, key.reference, SEED)
    assert gives_the_numbers_of(whole, Trace(whole.events[:-1]))
    assert not gives_the_numbers_of(Trace(whole.events[:-1]), whole)


def test_the_kinds_of_errors_are_told_apart():
    assert hidden_test.is_hopeless(StudentTimeout("Timeout", "")) and not hidden_test.is_hopeless(
        StudentError("ValueError", "")
    )
    assert not hidden_test.is_not_written(NotImplementedError("of the test, not of the student"))
    assert hidden_test.explain(KeyError("x")) == "KeyError: 'x'"
    assert hidden_test.finding_of(ValueError("x")) == hidden_test.story_of(ValueError("x")) == ""
