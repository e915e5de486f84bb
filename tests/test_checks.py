"""Every check: what passes, what fails, and what of the reason a student may read."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from autograder.errors import StudentError
from autograder.judging.checks import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_finite,
    assert_frequencies,
    assert_no_grad,
    assert_raises,
    assert_true,
    assert_unchanged,
)

NAN, INF = math.nan, math.inf


def failure(check, *args, **kwargs) -> CheckFailure:
    with pytest.raises(CheckFailure) as raised:
        check(*args, **kwargs)
    return raised.value


def finding(check, *args, **kwargs) -> str:
    return failure(check, *args, **kwargs).finding


# -- assert_close ----------------------------------------------------------------------------------

CLOSE = [
    (1.0, 1.0),
    (1, 1.0),  # an int is a fine float
    (1.0 + 1e-8, 1.0),
    (np.float64(0.5), 0.5),
    (np.float32(0.5), 0.5),
    (np.int64(3), 3),
    (NAN, NAN),
    (-INF, -INF),
    (np.zeros(3), np.zeros(3)),
    (np.zeros(3, np.float32), np.zeros(3)),
    (np.zeros((0, 2)), np.zeros((0, 2))),
    (np.array(1.0), np.array(1.0)),
    (np.array([NAN, INF, 1.0]), np.array([NAN, INF, 1.0])),
    (np.arange(3, dtype=np.int32), np.arange(3)),
    (np.array([1 + 2j]), np.array([1 + 2j])),
    (torch.ones(2, dtype=torch.float32), torch.ones(2, dtype=torch.float64)),
    (torch.ones(2, dtype=torch.bfloat16), torch.ones(2)),
    (torch.ones(2, requires_grad=True), torch.ones(2)),
    (torch.ones(2, 3).T, torch.ones(3, 2)),
    ([1.0, np.ones(2)], (1.0, np.ones(2))),
    ((1.0, [2.0]), [1.0, (2.0,)]),
    ([], []),
]


@pytest.mark.parametrize(("actual", "expected"), CLOSE)
def test_close_values_of_the_same_kind_pass(actual, expected):
    assert_close(actual, expected)


@pytest.mark.parametrize("kind", [bool, lambda b: np.array([b]), lambda b: torch.tensor([b])])
def test_bools_can_be_close_too(kind):
    assert_close(kind(True), kind(True))
    failure(assert_close, kind(True), kind(False))


WRONG_KIND = [
    (None, 1.0, "the result is None; a float was expected."),
    ("1.0", 1.0, "the result is a str; a float was expected."),
    (True, 1.0, "the result is a bool; a float was expected."),
    (1, True, "the result is an int; a bool was expected."),
    (1.0, True, "the result is a float; a bool was expected."),
    (1.0, 1, "the result holds numbers of type float64; integers were expected."),
    (np.ones(2), 1.0, "the result is an array; a float was expected."),
    (np.array(1.0), 1.0, "the result is an array; a float was expected."),
    (1.0, np.array(1.0), "the result is a float; an array was expected."),
    (1.0, np.ones(3), "the result is a float; an array was expected."),
    (1.0, torch.ones(3), "the result is a float; a tensor was expected."),
    (np.ones(2), torch.ones(2), "the result is an array; a tensor was expected."),
    (torch.ones(2), np.ones(2), "the result is a tensor; an array was expected."),
    (torch.tensor(1.0), 1.0, "the result is a tensor; a float was expected."),
    ([1.0, 1.0], np.ones(2), "the result is a list; an array was expected."),
    ({"a": 1.0}, np.ones(2), "the result is a dict; an array was expected."),
    (np.ones(2), [1.0, 1.0], "the result is an array; 2 values were expected."),
    ([1.0], [1.0, 1.0], "the result is 1 values; 2 values were expected."),
    ("ab", ["a", "b"], "the result is a str; 2 values were expected."),
    (np.ones(2), np.ones(3), "the result has shape (2,); (3,) was expected."),
    (np.ones((3, 1)), np.ones(3), "the result has shape (3, 1); (3,) was expected."),
    (np.ones(1), np.array(1.0), "the result has shape (1,); () was expected."),
    (torch.ones(1, 3), torch.ones(3), "the result has shape (1, 3); (3,) was expected."),
    (
        np.ones(2, int),
        np.ones(2),
        "the result holds numbers of type int64; floating-point numbers were expected.",
    ),
    (
        np.ones(2, bool),
        np.ones(2),
        "the result holds numbers of type bool; floating-point numbers were expected.",
    ),
    (
        np.ones(2, complex),
        np.ones(2),
        ("the result holds numbers of type complex128; floating-point numbers were expected."),
    ),
    (
        np.ones(2),
        np.ones(2, int),
        "the result holds numbers of type float64; integers were expected.",
    ),
    (
        np.ones(2, bool),
        np.ones(2, int),
        "the result holds numbers of type bool; integers were expected.",
    ),
    (
        np.ones(2, int),
        np.ones(2, bool),
        "the result holds numbers of type int64; bools were expected.",
    ),
    (
        torch.ones(2),
        torch.ones(2, dtype=torch.bool),
        "the result holds numbers of type float32; bools were expected.",
    ),
    (
        torch.ones(2, dtype=torch.int64),
        torch.ones(2),
        "the result holds numbers of type int64; floating-point numbers were expected.",
    ),
]


@pytest.mark.parametrize(("actual", "expected", "words"), WRONG_KIND)
def test_another_kind_shape_or_number_kind_fails_and_the_student_may_read_which(
    actual, expected, words
):
    assert finding(assert_close, actual, expected) == words
    assert finding(assert_equal, actual, expected) == words


@pytest.mark.parametrize(
    "vector", [np.ones(3), torch.ones(3), np.ones((2, 3)), np.ones(1), [1.0], (1.0, 1.0)]
)
@pytest.mark.parametrize("scalar", [1.0, 1, np.float64(1.0), np.array(1.0), torch.tensor(1.0)])
def test_a_scalar_never_stands_for_a_vector_nor_a_vector_for_a_scalar(scalar, vector):
    for check in (assert_close, assert_equal):
        failure(check, scalar, vector)
        failure(check, vector, scalar)


@pytest.mark.parametrize(
    ("kind", "expected"), [(float, 1.0), (np.array, np.ones(2)), (torch.tensor, torch.ones(2))]
)
def test_other_numbers_fail_and_the_student_reads_none_of_them(kind, expected):
    actual = kind([1.0, 1.5]) if kind is not float else 1.5
    found = failure(assert_close, actual, expected, what="the advantages")
    assert found.finding == ""
    assert str(found).startswith(
        "the advantages is not close to what is expected (largest difference 0.5; rtol "
        "1e-07, atol 1e-09)"
    )
    assert "1.5" in str(found)


def test_tolerances_are_absolute_plus_relative_to_what_is_expected():
    assert_close(100.0 + 1.09, 100.0, rtol=0.01, atol=0.1)
    failure(assert_close, 100.0 + 1.11, 100.0, rtol=0.01, atol=0.1)
    failure(assert_close, 1e-8, 0.0)
    # The tolerance is relative to the expected number, not to the student's.
    failure(assert_close, 1e30, 1.0, rtol=0.5)


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (NAN, 1.0, "it holds nan values where finite ones belong."),
        (INF, 1.0, "it holds infinite values where finite ones belong."),
        (np.array([NAN, INF]), np.ones(2), "it holds nan values where finite ones belong."),
        (
            torch.tensor([1.0, -INF]),
            torch.ones(2),
            "it holds infinite values where finite ones belong.",
        ),
        (1.0, NAN, "it is finite where it must not be, or the reverse."),
        (
            np.array([INF, 1.0]),
            np.array([1.0, INF]),
            "it is finite where it must not be, or the reverse.",
        ),
    ],
)
def test_numbers_that_are_not_finite_are_found_before_anything_is_compared(actual, expected, words):
    assert finding(assert_close, actual, expected, what="it", rtol=1e9) == words


@pytest.mark.parametrize(
    ("actual", "expected"),
    [(INF, -INF), (INF, NAN), (NAN, INF), (np.array([NAN]), np.array([INF]))],
)
def test_one_kind_of_infinity_is_not_another(actual, expected):
    assert "infinities differ" in str(failure(assert_close, actual, expected))


def test_the_place_in_a_list_is_named():
    assert str(
        failure(assert_close, [1.0, [2.0, 3.0]], [1.0, [2.0, 4.0]], what="pairs")
    ).startswith("pairs[1][1] is not close")


# -- assert_equal ----------------------------------------------------------------------------------

EQUAL = [
    (3, 3),
    (np.int32(3), 3),
    (True, True),
    ("up", "up"),
    (None, None),
    ([1, "a", None], (1, "a", None)),
    (np.array([1, 2]), np.array([1, 2])),
    (np.array([1, 2], np.uint8), np.array([1, 2])),
    (np.array([True]), np.array([True])),
    (torch.tensor([1, 2]), torch.tensor([1, 2])),
    (torch.tensor([True]), torch.tensor([True])),
]
UNEQUAL = [
    (3, 4),
    (False, True),
    ([1, 2], [1, 3]),
    (np.array([1, 2]), np.array([1, 3])),
    (torch.tensor([True, False]), torch.tensor([True, True])),
    (1.0 + 1e-12, 1.0),
    ("down", "up"),
]


@pytest.mark.parametrize(("actual", "expected"), EQUAL)
def test_equal_values_pass(actual, expected):
    assert_equal(actual, expected)


@pytest.mark.parametrize(("actual", "expected"), UNEQUAL)
def test_unequal_values_fail_and_the_student_reads_nothing_of_them(actual, expected):
    found = failure(assert_equal, actual, expected, "the answer")
    assert found.finding == ""
    assert str(found).startswith("the answer")


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (None, "up", "it is None; a str was expected."),
        (0, None, "it is an int; None was expected."),
        ("", None, "it is a str; None was expected."),
        (np.array(["up"]), "up", "it is an array; a str was expected."),
    ],
)
def test_strings_and_none_have_kinds_too(actual, expected, words):
    assert finding(assert_equal, actual, expected, "it") == words


@pytest.mark.parametrize("kind", [int, np.array, torch.tensor])
def test_large_integers_are_compared_exactly(kind):
    failure(assert_equal, kind(2**53 + 1), kind(2**53))


# -- handles ---------------------------------------------------------------------------------------

CHEAT = """
    class Cheat:
        def __eq__(self, other): return True
        __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __eq__
        __hash__ = None
        def __bool__(self): return True
        def __float__(self): return 1.0
        def __array__(self, *args): import numpy; return numpy.ones(3)
        def __len__(self): return 3
        def __iter__(self): return iter([1.0, 1.0, 1.0])
        def __getattr__(self, name): return self
"""


@pytest.mark.parametrize(
    "expected", [1.0, 1, True, None, "up", np.ones(3), torch.ones(3), [1.0, 1.0, 1.0], (), [None]]
)
@pytest.mark.parametrize("check", [assert_close, assert_equal])
def test_an_object_that_stays_with_the_student_equals_nothing(reach, check, expected):
    cheat = reach(CHEAT).student.Cheat()
    failure(check, cheat, expected)
    if isinstance(expected, list):
        failure(check, [cheat] * len(expected), expected)


def test_a_student_reads_the_class_of_an_object_that_is_no_answer(reach):
    cheat = reach(CHEAT).student.Cheat()
    assert (
        finding(assert_close, cheat, 1.0)
        == "the result is an object of class Cheat; a float was expected."
    )
    assert (
        finding(assert_finite, cheat)
        == "the result is an object of class Cheat; numbers were expected."
    )
    assert (
        finding(assert_no_grad, cheat)
        == "the result is an object of class Cheat; a tensor was expected."
    )
    assert (
        finding(assert_unchanged, np.ones(3), cheat)
        == "an input is an object of class Cheat; numbers were expected."
    )
    with pytest.raises(TypeError, match="not an object of class Cheat"):
        assert_true(cheat, "it is true")


# -- the smaller checks ----------------------------------------------------------------------------


def test_a_statement_that_holds_passes_and_one_that_does_not_is_for_staff():
    assert_true(True, "all is well")
    assert_true(np.bool_(True), "all is well")
    found = failure(assert_true, np.bool_(False), "the greedy action is taken more often")
    assert (str(found), found.finding) == (
        "does not hold: the greedy action is taken more often",
        "",
    )


@pytest.mark.parametrize("condition", [1, 0, "yes", None, np.ones(2), torch.tensor(True)])
def test_a_statement_takes_nothing_but_a_bool(condition):
    with pytest.raises(TypeError, match="takes a bool that the test computed"):
        assert_true(condition, "it is true")


def test_finite_numbers_are_finite():
    for fine in (
        1.0,
        3,
        np.ones(2),
        torch.ones(2),
        np.ones(0),
        torch.ones(2, dtype=torch.bfloat16),
    ):
        assert_finite(fine)
    for bad in (NAN, -INF, np.array([1.0, NAN]), torch.tensor([INF])):
        assert finding(assert_finite, bad, "Q") == "Q holds nan or infinite values."
    assert finding(assert_finite, "many") == "the result is a str; numbers were expected."


@pytest.mark.parametrize("after", [np.array([1.0, 2.0]), torch.tensor([1.0, 2.0])])
def test_an_input_is_unchanged_bit_for_bit(after):
    before = after.copy() if isinstance(after, np.ndarray) else after.clone()
    assert_unchanged(before, after)
    after[0] = -0.0 if after[0] == 0 else 1.0 + 1e-6
    assert (
        finding(assert_unchanged, before, after, "rewards")
        == "rewards was changed in place: work on a copy."
    )


@pytest.mark.parametrize(
    "after", [np.zeros((1, 2)), np.zeros(2, np.float32), np.array([-0.0, 0.0])]
)
def test_shape_dtype_and_sign_of_zero_are_part_of_an_input(after):
    assert "was changed in place" in finding(assert_unchanged, np.zeros(2), after)


def test_nan_in_an_input_may_stay_there():
    assert_unchanged(np.array([NAN]), np.array([NAN]))


def test_a_tensor_without_gradient_passes_and_one_with_it_is_explained():
    assert_no_grad(torch.ones(2))
    leaf = torch.ones(2, requires_grad=True)
    for attached in (leaf, leaf * 2):
        assert finding(assert_no_grad, attached, "targets") == (
            "targets still requires grad: detach it, or compute it under torch.no_grad()."
        )
    assert finding(assert_no_grad, np.ones(2)) == "the result is an array; a tensor was expected."


REFUSING = """
    def refuse(text): raise ValueError(text)
    def todo(): raise NotImplementedError("TODO(x): write this")
    def look_up(): return {}["key"]
    def accept(): return None
"""


def test_an_error_with_a_sentence_is_what_was_asked(reach):
    student = reach(REFUSING).student
    with assert_raises(ValueError):
        student.refuse("gamma must lie in [0, 1]")
    with assert_raises(TypeError, ValueError):
        student.refuse("gamma must lie in [0, 1]")


@pytest.mark.parametrize("text", ["", "no", "  wrong  "])
def test_an_error_without_a_sentence_is_not_enough(reach, text):
    student = reach(REFUSING).student
    with pytest.raises(CheckFailure) as raised, assert_raises(ValueError):
        student.refuse(text)
    assert (
        raised.value.finding == "ValueError was raised without a sentence that says what is wrong."
    )


def test_no_error_where_one_is_asked_fails(reach):
    student = reach(REFUSING).student
    with pytest.raises(CheckFailure) as raised, assert_raises(ValueError, TypeError):
        student.accept()
    assert (
        raised.value.finding == "no ValueError or TypeError was raised for an impossible argument."
    )


def test_other_errors_pass_through(reach):
    student = reach(REFUSING).student
    with pytest.raises(KeyError), assert_raises(ValueError):
        student.look_up()
    with pytest.raises(NotImplementedError), assert_raises(ValueError):
        student.todo()


def test_what_is_not_written_yet_is_no_answer_even_where_any_error_would_do(reach):
    student = reach(REFUSING).student
    with pytest.raises(NotImplementedError), assert_raises(Exception):
        student.todo()


def test_an_error_of_the_test_itself_is_not_the_student_s():
    with pytest.raises(ValueError, match="of the test"), assert_raises(ValueError):
        raise ValueError("a mistake of the test")
    with pytest.raises(StudentError), assert_raises(ValueError):
        raise StudentError("Odd", "some other error")


# -- assert_frequencies ----------------------------------------------------------------------------


def with_statistic(statistic: float, freedom: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts with this chi-square against equal probabilities (not whole numbers, which the check
    does not ask for)."""
    outcomes = freedom + 1
    direction = np.zeros(outcomes)
    direction[0], direction[1] = 1.0, -1.0
    expected = 1e6
    return expected + direction * math.sqrt(statistic * expected / 2), np.full(
        outcomes, 1 / outcomes
    )


def accepts(counts, probabilities) -> bool:
    try:
        assert_frequencies(counts, probabilities)
    except CheckFailure:
        return False
    return True


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 10, 30, 100])
def test_the_tail_is_that_of_chi_square(freedom):
    """Never stricter than 1e-6, so that fair solutions are safe, and within a factor of ten of it
    (of two from ten outcomes on)."""
    for tail in (1e-3, 1e-4, 1e-5, 1.02e-6):
        assert accepts(*with_statistic(stats.chi2.isf(tail, freedom), freedom))
    for tail in (1e-7 if freedom < 10 else 5e-7, 1e-9, 1e-30):
        assert not accepts(*with_statistic(stats.chi2.isf(tail, freedom), freedom))


def test_fair_draws_pass_and_unfair_ones_do_not():
    fair = np.random.default_rng(0).multinomial(10_000, [0.2, 0.3, 0.5])
    assert_frequencies(fair, [0.2, 0.3, 0.5])
    found = failure(assert_frequencies, fair, [0.3, 0.2, 0.5], "the actions")
    assert str(found).startswith(
        "the actions do not fit: counts "
    ) and "2 degrees of freedom" in str(found)
    assert found.finding == "the actions: [0] came too rarely, [1] came too often."
    names = ["the best arm", "a worse arm", "the worst arm"]
    told = finding(
        assert_frequencies, np.array([3, 2, 5]) * 1000, [0.2, 0.3, 0.5], "the arms", names
    )
    assert told == "the arms: the best arm came too often, a worse arm came too rarely."


def test_of_many_wrong_frequencies_a_few_are_told():
    counts = np.where(np.arange(10) % 2, 2000, 1000)
    told = finding(assert_frequencies, counts, np.full(10, 0.1))
    assert told == (
        "the frequencies: [0] came too rarely, [1] came too often, [2] came too rarely, "
        "[3] came too often and others."
    )
    # Here each is off by little, and all together do not fit.
    shifted = 1000.0 + 95.0 * np.where(np.arange(100) % 2, 1, -1)
    told = finding(assert_frequencies, shifted, np.full(100, 0.01))
    assert told.startswith("the frequencies: [0] came too rarely") and "others." in told


def test_what_is_impossible_must_not_happen_once():
    found = failure(assert_frequencies, np.array([9999, 1, 0]), [1.0, 0.0, 0.0])
    assert "something impossible happened" in str(found)
    assert found.finding == "the frequencies: [1] came too often."
    assert_frequencies(np.array([10_000, 0, 0]), [1.0, 0.0, 0.0])
    assert_frequencies(np.array([500, 0, 500]), [0.5, 0.0, 0.5])


def test_counts_and_probabilities_have_one_shape():
    assert "counts (2,), probabilities (3,)" in str(
        failure(assert_frequencies, np.ones(2), np.ones(3) / 3)
    )


def test_counts_of_a_table_are_one_distribution():
    assert_frequencies(np.array([[250, 250], [250, 250]]), np.full((2, 2), 0.25))
    failure(assert_frequencies, np.array([[500, 500], [0, 0]]), np.full((2, 2), 0.25))


@pytest.mark.parametrize("counts", [[0, 0], [NAN, NAN], [NAN, 10]])
def test_counts_of_nothing_fit_nothing(counts):
    failure(assert_frequencies, np.array(counts), [0.5, 0.5])
