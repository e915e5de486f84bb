"""What is told about a mistake agrees with every test of the submission, or says otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from toy import MAIN, NAME, Toy

from autograder.errors import SourceError
from autograder.judging import hidden_test, naming
from autograder.judging.diagnose import AnswerKey
from autograder.judging.evidence import Failure, Failures, Fit, Telling, indistinguishable, telling
from autograder.judging.hidden_test import InProcess
from autograder.marking import feedback
from autograder.model import Basis, Verdict

SEED = 3
WEIGHTS = "gamma ** np.arange(float(len(rewards)))"
EQUAL = ("weights = " + WEIGHTS, "weights = np.array([1.0] * len(rewards))")

# A helper that two functions share, with its own known mistake.
SHARED = '''

### BEGIN SOLUTION
def _total(numbers):
    # BUG(doubled): return 2 * float(np.sum(numbers))
    # WHEN every sum is counted twice.
    return float(np.sum(numbers))


### END SOLUTION


def total(numbers):
    """The sum, a float. Raises ValueError for no numbers."""
    # TODO(means): refuse, then sum up.
    ### BEGIN SOLUTION
    if len(numbers) == 0:
        # BUG(takes-nothing): pass
        # WHEN a sum of no numbers is not refused.
        raise ValueError("There is nothing to sum up.")
    return _total(numbers)
    ### END SOLUTION
'''
SHARED_TESTS = '''

@points(1, part="means", catches="doubled", hint="Each number counts once.")
def test_total(student, rng):
    """A total counts each number once."""
    numbers = rng.normal(size=3)
    assert_close(student.total(numbers), float(numbers.sum()), what="the total")


@points(1, part="means", catches="takes-nothing", hint="Nothing has no sum.")
def test_nothing_is_refused(student, rng):
    """No numbers are refused."""
    with assert_raises(ValueError):
        student.total(np.zeros(0))
    assert_close(student.total(np.ones(1)), 1.0)
'''


@pytest.fixture
def shared(toy: Toy) -> Toy:
    """The toy course with the helper, which `discounted` calls as well."""
    path = f"solutions/{NAME}/{MAIN}"
    toy.write(path, (toy.root / path).read_text(encoding="utf-8") + SHARED)
    toy.edit_solution("return float(rewards @ weights)", "return _total(rewards * weights)")
    hidden = f"grading/{NAME}/test_hidden.py"
    toy.write(hidden, (toy.root / hidden).read_text(encoding="utf-8") + SHARED_TESTS)
    toy.edit_hidden("import assert_close", "import assert_close, assert_raises")
    return toy


def examined(toy, *changes):
    """The outcomes by test, of the solution with these replacements."""
    text = toy.source.solution()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    candidate = InProcess.of(text, MAIN)
    outcomes = naming.examine(AnswerKey(toy.assignment), list(toy.tests.values()), candidate, SEED)
    return {outcome.test: outcome for outcome in outcomes}


def failed(outcomes):
    return {name for name, one in outcomes.items() if one.verdict is not Verdict.PASSED}


def named(outcomes):
    return {mistake.bug for one in outcomes.values() for mistake in one.named}


def told(outcomes):
    return {mistake.bug for one in outcomes.values() for mistake in one.mistakes}


# -- consistency -----------------------------------------------------------------------------------


def test_a_bug_that_fails_a_test_which_the_submission_passes_is_not_named(toy):
    three_alone = "np.ones(len(rewards)) if len(rewards) == 3 else " + WEIGHTS
    outcomes = examined(toy, (WEIGHTS, three_alone))
    assert failed(outcomes) == {"test_three_rewards"}
    assert outcomes["test_three_rewards"].suspects == ("no-discount",)
    assert told(outcomes) == set()


def test_a_further_spelling_is_named_as_the_bug(toy):
    spelled = "weights = np.full(len(rewards), 1.5)"
    toy.edit_solution(
        "    # BUG(last-reward", f"    # BUG(no-discount, 2): {spelled}\n    # BUG(last-reward"
    )
    outcomes = examined(toy, (WEIGHTS, "3 / 2 * np.ones(len(rewards))"))
    assert failed(outcomes) == {"test_two_rewards", "test_three_rewards"}
    assert named(outcomes) == {"no-discount"}
    assert outcomes["test_two_rewards"].suspects == ("no-discount",)


def test_two_spellings_with_the_same_numbers_do_not_exclude_each_other(toy):
    toy.edit_solution(
        "    # BUG(last-reward",
        "    # BUG(no-discount, 2): weights = rewards**0.0\n    # BUG(last-reward",
    )
    assert named(examined(toy, (WEIGHTS, "np.ones(len(rewards))"))) == {"no-discount"}


@pytest.mark.parametrize(
    ("kills", "names"),
    [
        (None, {"last-reward-whole"}),
        (["test_two_rewards"], set()),
        # What the proof says is tried again: on this draw the bug passes that test.
        (["test_the_mean_is_gone"], {"last-reward-whole"}),
    ],
)
def test_a_proof_vetoes_as_well_once_it_is_confirmed(toy, kills, names):
    both = 'catches=BOTH, hint="The second'
    toy.edit_hidden(both, 'catches="no-discount", hint="The second')
    if kills:
        proof = {"kills": {"last-reward-whole": kills}}
        toy.write(f"grading/{NAME}/proof.json", json.dumps(proof))
    whole = "np.append(gamma ** np.arange(2.0), 1.0) if len(rewards) == 3 else " + WEIGHTS
    assert named(examined(toy, (WEIGHTS, whole))) == names


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kills": 3}', '{"kills": {"median": 3}}'])
def test_a_proof_that_cannot_be_read_says_nothing(toy, text):
    toy.write(f"grading/{NAME}/proof.json", text)
    assert AnswerKey(toy.assignment).kills == {}


def test_a_failed_test_with_other_numbers_contradicts(toy):
    other = "np.ones(len(rewards)) * (1.0 if len(rewards) == 3 else 2.0)"
    outcomes = examined(toy, (WEIGHTS, other))
    assert failed(outcomes) == {"test_two_rewards", "test_three_rewards"}
    assert named(outcomes) == set()
    three = outcomes["test_three_rewards"]
    assert three.basis is Basis.HERE_ALONE and told(outcomes) == {"no-discount"}
    text = feedback.student_text(three)
    assert "In this test your numbers are those that one gets when gamma is never used." in text
    assert "do not fit that" in text and f"Hint: {three.hint}" in text
    assert feedback.explanation(list(outcomes.values())) == []


def test_a_failed_test_that_does_not_call_what_the_bug_changes_has_no_say(toy):
    outcomes = examined(toy, EQUAL, ("numbers - numbers.mean()", "numbers * 7.0"))
    assert failed(outcomes) >= {"test_three_rewards", "test_the_mean_is_gone"}
    assert named(outcomes) == {"no-discount"}


def test_a_bug_that_leaves_more_unexplained_than_it_explains_is_told_with_reserve(shared):
    shared.edit_solution(
        "    return float(np.sum(numbers))\n",
        "    # BUG(empty-is-one): return float(np.sum(numbers)) if len(numbers) > 1 else 2.0\n"
        "    # WHEN a single number counts as two.\n"
        "    return float(np.sum(numbers))\n",
    )
    shared.edit_hidden('catches="takes-nothing"', 'catches=("takes-nothing", "empty-is-one")')
    wrong = "return float(np.sum(numbers)) + 5.0 if len(numbers) > 1 else 2.0"
    outcomes = examined(shared, ("return float(np.sum(numbers))", wrong))
    assert failed(outcomes) == {
        "test_two_rewards", "test_three_rewards", "test_total", "test_nothing_is_refused",
    }  # fmt: skip
    assert named(outcomes) == set() and told(outcomes) == {"empty-is-one"}


# -- exceptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["IndexError", "TypeError", "ValueError", "RuntimeError"])
def test_the_same_exception_is_no_evidence(toy, kind):
    toy.edit_solution(
        "# BUG(median): return numbers - np.median(numbers)",
        f"# BUG(median): raise {kind}('the median is nowhere')",
    )
    outcomes = examined(toy, ("numbers - numbers.mean()", f"exec('raise {kind}(1)')"))
    assert failed(outcomes) == {"test_the_mean_is_gone"}
    assert told(outcomes) == set()


def test_the_same_exception_in_one_test_is_no_contradiction_of_numbers_in_another(shared):
    shared.edit_solution(
        "return 2 * float(np.sum(numbers))",
        "return 2 * float(np.sum(numbers)) / bool(len(numbers) - 2)",
    )
    outcomes = examined(
        shared,
        ("return float(np.sum(numbers))", "return 2 * float(sum(numbers)) / (len(numbers) != 2)"),
    )
    assert "ZeroDivisionError" in outcomes["test_two_rewards"].error
    assert named(outcomes) == {"doubled"}


@pytest.mark.parametrize(("more", "names"), [("", {"takes-nothing"}), ("doubled", set())])
def test_an_answer_where_a_refusal_belongs_counts_if_every_known_test_fails(shared, more, names):
    if more:
        shared.edit_hidden('catches="doubled"', 'catches=("doubled", "takes-nothing")')
    outcomes = examined(shared, ("if len(numbers) == 0:", "if False:"))
    assert failed(outcomes) == {"test_nothing_is_refused"}
    assert named(outcomes) == names


def test_what_an_answer_tells(toy):
    def trace(*events):
        return hidden_test.Trace(list(events))

    fine, other = ("ok", 1.0, []), ("ok", 2.0, [])
    refused, crashed = ("raise", "ValueError"), ("raise", "IndexError")
    assert telling(trace(fine), trace(other)) is Telling.NUMBER
    assert telling(trace(crashed), trace(other)) is Telling.NUMBER
    assert telling(trace(refused), trace(other)) is Telling.REFUSAL
    assert telling(trace(fine), trace(refused)) is Telling.NOTHING
    assert telling(trace(fine), trace(fine)) is Telling.NOTHING
    assert telling(trace(fine), trace(fine, other)) is Telling.NUMBER


# -- several mistakes ------------------------------------------------------------------------------

DOUBLED = ("return float(np.sum(numbers))", "return sum(2.0 * float(x) for x in numbers)")


def test_two_mistakes_in_one_test_are_both_named(shared):
    outcomes = examined(shared, EQUAL, DOUBLED)
    assert failed(outcomes) == {
        "test_two_rewards", "test_three_rewards", "test_total", "test_nothing_is_refused",
    }  # fmt: skip
    assert named(outcomes) == {"no-discount", "doubled"}
    three = outcomes["test_three_rewards"]
    assert three.suspects == ()
    assert feedback.mistake_sentence(three) == (
        "Two mistakes at once give these numbers. First, every sum is counted twice. Second, gamma"
        " is never used."
    )
    assert {m.bug for m in outcomes["test_total"].named} == {"doubled"}


def test_a_pair_that_only_nearly_fits_is_not_named(shared):
    tripled = (DOUBLED[0], DOUBLED[1].replace("2.0", "(2.0 if len(numbers) != 2 else 3.0)"))
    outcomes = examined(shared, EQUAL, tripled)
    assert outcomes["test_two_rewards"].mistakes == outcomes["test_three_rewards"].mistakes == ()


def test_bugs_of_one_statement_are_no_pair(toy):
    key = AnswerKey(toy.assignment)
    with pytest.raises(SourceError, match="both change this"):
        toy.source.broken("no-discount", "last-reward-whole")
    assert key.variant(("no-discount", "last-reward-whole")) is None
    assert key.variant(("no-discount", "median")) is not None


def test_a_mistake_of_a_helper_is_named_once_with_its_consequences(shared):
    outcomes = examined(shared, DOUBLED)
    assert named(outcomes) == {"doubled"}
    assert outcomes["test_total"].basis is Basis.NAMED
    assert outcomes["test_three_rewards"].basis is Basis.FOLLOWS
    assert feedback.mistake_sentence(outcomes["test_three_rewards"]) == (
        "This follows from a mistake that another test is about: every sum is counted twice."
    )
    assert feedback.explanation(list(outcomes.values())) == [
        "One mistake explains your four failed tests:",
        "- Every sum is counted twice. (test 5; as a consequence tests 1, 2, 6)",
    ]


def test_beside_a_mistake_no_hint_of_another_idea_is_shown(shared):
    for outcome in examined(shared, DOUBLED).values():
        assert ("Hint:" in feedback.student_text(outcome)) is False


def test_two_mistakes_apart_are_told_apart(shared):
    outcomes = examined(shared, EQUAL, ("numbers - numbers.mean()", "numbers - np.median(numbers)"))
    assert feedback.explanation(list(outcomes.values())) == [
        "Two mistakes explain your three failed tests:",
        "- Gamma is never used. (tests 1, 2)",
        "- The median is subtracted in place of the mean. (test 3)",
    ]


def test_what_is_left_without_an_explanation_is_counted(shared):
    outcomes = examined(shared, EQUAL, ("numbers - numbers.mean()", "numbers * 7.0"))
    first, *_ = feedback.explanation(list(outcomes.values()))
    assert first == "One mistake explains two of your three failed tests:"


# -- a mistake in one place ------------------------------------------------------------------------


def test_a_bug_of_a_helper_that_one_function_alone_has_is_named(shared):
    """The known bug doubles in two functions; here `total` is right."""
    alone = ("return _total(rewards * weights)", "return float(2 * (rewards * weights).sum())")
    outcomes = examined(shared, alone)
    assert failed(outcomes) == {"test_two_rewards", "test_three_rewards"}
    assert named(outcomes) == {"doubled"}


def test_one_function_alone_has_what_it_calls_too(shared):
    key = AnswerKey(shared.assignment)
    there = key.variant(("doubled@total",))
    outcomes = naming.examine(key, list(shared.tests.values()), there, SEED)
    wrong = {one.test for one in outcomes if one.verdict is not Verdict.PASSED}
    assert wrong == {"test_total", "test_nothing_is_refused"}


# -- what is kept ----------------------------------------------------------------------------------


def failure(toy, candidate, test="test_three_rewards", seed=SEED):
    key = AnswerKey(toy.assignment)
    one = toy.tests[test]
    right = hidden_test.run(one, key.reference, seed)
    return key, Failure.of(one, seed, hidden_test.run(one, candidate, seed), right, {"discounted"})


def test_right_numbers_leave_nothing_to_compare(toy):
    assert failure(toy, toy.candidate())[1] is None


def test_a_failure_without_room_has_no_say(toy):
    _, one = failure(toy, toy.candidate(*EQUAL))
    few, enough = Failures(room=10), Failures()
    few.add(one)
    enough.add(one)
    assert (few.kept, enough.kept) == ([], [one])


def test_room_is_used_up():
    def big(number):
        return Failure(None, 0, (("ok", np.zeros(1000) + number, []),), 0, None, frozenset())

    kept = Failures(room=20_000)
    for number in range(5):
        kept.add(big(number))
    assert len(kept.kept) == 2


def test_a_variant_explains_contradicts_or_is_silent(toy):
    key, one = failure(toy, toy.candidate(*EQUAL))
    fits = {bug: one.fit(variant) for bug, variant in key.broken.items()}
    assert fits == {
        "no-discount": Fit.EXPLAINS,
        "last-reward-whole": Fit.CONTRADICTS,
        "median": Fit.SILENT,
        "sums-to-n": Fit.SILENT,
    }


# -- for authors -----------------------------------------------------------------------------------


def test_bugs_that_a_test_cannot_tell_apart_are_found_unless_it_declares_both(toy):
    key = AnswerKey(toy.assignment)

    def found():
        tests = toy.tests.values()
        traces = {
            (test.name, bug): hidden_test.run(test, variant, SEED)
            for test in tests
            for bug, variant in key.broken.items()
        }
        right = {test.name: hidden_test.run(test, key.reference, SEED) for test in tests}
        return indistinguishable(tests, right, traces)

    assert found() == []
    both = 'catches=BOTH, hint="The second'
    toy.edit_hidden(both, 'catches="no-discount", hint="The second')
    assert found() == [("test_two_rewards", "no-discount", "last-reward-whole")]
