"""`verify` in this process: a toy without shortcomings, and each shortcoming that it would find."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from toy import MAIN, NAME, forget_hidden_tests

from autograder.errors import CourseError
from autograder.judging.hidden_test import InProcess
from autograder.judging.plugin import collect
from autograder.proof import verify as module
from autograder.proof.lazy import LAZY, Lazy
from autograder.proof.verify import verify

PUBLIC = f"assignments/{NAME}/test_local.py"


@pytest.fixture
def no_public_tests(monkeypatch):
    """Leave out what starts processes."""
    monkeypatch.setattr(module, "_check_public_tests", lambda *args: None)


def shortcomings(toy) -> list[str]:
    return verify(toy.assignment).shortcomings


# -- a whole assignment ----------------------------------------------------------------------------


@pytest.mark.wall
def test_an_assignment_without_shortcomings_is_proven(toy):
    told = []
    result = verify(toy.assignment, told.append)
    assert result.shortcomings == []
    assert told == ["solution", "stub and lazy answers", "known bugs", "public tests"]
    assert result.bugs == ["no-discount", "last-reward-whole", "median", "sums-to-n"]
    assert result.named == dict.fromkeys(result.bugs, True)
    assert {pair for pair, killed in result.kills.items() if killed} == {
        ("test_two_rewards", "no-discount"),
        ("test_two_rewards", "last-reward-whole"),
        ("test_three_rewards", "no-discount"),
        ("test_three_rewards", "last-reward-whole"),
        ("test_the_mean_is_gone", "median"),
        ("test_probabilities_sum_to_one", "sums-to-n"),
    }


# -- shortcomings ----------------------------------------------------------------------------------


@pytest.mark.wall
def test_public_tests_that_fail_on_the_solution_are_found(toy):
    toy.edit(PUBLIC, "== 2.0", "== 3.0")
    (found,) = shortcomings(toy)
    assert (
        found.startswith("the public tests fail on the solution:\n") and "test_discounted" in found
    )


@pytest.mark.wall
def test_public_tests_that_pass_on_the_stub_are_found(toy):
    toy.write(
        PUBLIC, "import sequences\n\n\ndef test_nothing():\n    assert sequences.discounted\n"
    )
    assert shortcomings(toy) == ["the public tests pass on the stub"]


SHORTCOMINGS = {
    "the solution fails": (
        lambda toy: toy.edit_hidden("numbers.sum() / 7", "numbers.sum() / 6"),
        [
            f"the solution fails test_the_mean_is_gone (seed {seed}): the result is not close"
            for seed in (0, 1, 2)
        ],
    ),
    "the solution fails for one seed": (
        lambda toy: toy.edit_hidden(
            "logits = rng.normal(size=4)", "logits = rng.normal(size=4)\n    assert logits[0] > 0.6"
        ),
        ["the solution fails test_probabilities_sum_to_one (seed 1): AssertionError"],
    ),
    "a further spelling that loses no points": (
        lambda toy: toy.edit_solution(
            "# WHEN the median is",
            "# BUG(median, 2): return numbers - numbers.sum() / numbers.size\n"
            "    # WHEN the median is",
        ),
        ["'median, 2' loses no points"],
    ),
    "a further spelling that is another bug": (
        lambda toy: toy.edit_solution(
            "# BUG(no-discount)",
            "# BUG(last-reward-whole, 2): weights = rewards**0.0\n    # BUG(no-discount)",
        ),
        [
            "'last-reward-whole, 2' is caught, but the diagnosis cannot name it: in "
            "test_two_rewards its answers are those of 'no-discount'"
        ],
    ),
    "a test without an anchor": (
        lambda toy: toy.edit_hidden(
            (
                "assert_close(student.centred(numbers), numbers - numbers.sum() / 7, rtol=1e-5, "
                "atol=1e-5)"
            ),
            "assert_close(float(student.centred(numbers).sum()), 0.0)",
        ),
        [
            "an answer of zeros passes test_the_mean_is_gone: it needs an anchor",
            (
                "an answer of zeros, with the inputs wiped passes test_the_mean_is_gone: it "
                "needs an anchor"
            ),
        ],
    ),
    "a test that the stub passes": (
        lambda toy: toy.edit_hidden(
            "    numbers = rng.normal(size=7)",
            (
                "    numbers = rng.normal(size=7)\n    try:\n        student.centred(numbers)\n"
                "    except NotImplementedError:\n        return"
            ),
        ),
        ["the stub passes test_the_mean_is_gone: it needs an anchor"],
    ),
    "a test that a wiped input satisfies": (
        lambda toy: (
            toy.edit_hidden(
                (
                    "    assert_close(student.centred(numbers), numbers - numbers.sum() / 7, "
                    "rtol=1e-5, atol=1e-5)"
                ),
                (
                    "    lent = numbers.copy()\n    result = student.centred_(lent)\n"
                    "    assert_close(result, lent - lent.sum() / 7, atol=1e-5)"
                ),
            )
            or toy.edit_solution(
                "def softmax",
                "def centred_(numbers):\n    return centred(numbers)\n\n\ndef softmax",
            )
        ),
        [
            (
                "an answer of zeros, with the inputs wiped passes test_the_mean_is_gone: it "
                "needs an anchor"
            )
        ],
    ),
    "a bug that is not caught": (
        lambda toy: toy.edit_hidden("numbers = rng.normal(size=7)", "numbers = np.arange(7.0)"),
        [
            "test_the_mean_is_gone says it catches 'median' and does not",
            "test_the_mean_is_gone fails for no bug",
            "'median' loses no points",
        ],
    ),
    "two bugs that cannot be told apart": (
        lambda toy: toy.edit_solution(
            "np.append(gamma ** np.arange(len(rewards) - 1.0), 1.0)", "np.ones(len(rewards), float)"
        ),
        [
            "'no-discount' is caught, but the diagnosis cannot name it: in test_two_rewards "
            "its answers are those of "
            "'last-reward-whole'; in test_three_rewards its answers are those of "
            "'last-reward-whole' (to 1e-06)",
            (
                "'last-reward-whole' is caught, but the diagnosis cannot name it: in "
                "test_two_rewards its answers are those of 'no-discount'; "
            ),
        ],
    ),
    "a bug that only raises": (
        lambda toy: toy.edit_solution(
            "# BUG(median): return numbers - np.median(numbers)",
            "# BUG(median): raise IndexError('nothing is left')",
        ),
        [
            "'median' is caught, but the diagnosis cannot name it: in test_the_mean_is_gone "
            "its answers are those of "
            "any code that raises the same exception (to 1e-06)"
        ],
    ),
    "a bug that needs no excuse": (
        lambda toy: toy.edit_hidden(
            '@points(2, part="means"', 'UNNAMED = ("median",)\n\n\n@points(2, part="means"'
        ),
        ["'median' is declared UNNAMED, and the diagnosis can name it"],
    ),
    "a bug that no test names": (
        lambda toy: toy.edit_hidden('catches="median", ', 'catches="sums-to-n", '),
        [
            "no test says that it catches 'median'",
            "test_the_mean_is_gone says it catches 'sums-to-n' and does not",
        ],
    ),
    "a bug that is not there": (
        lambda toy: toy.edit_hidden('catches="median", ', 'catches=("median", "mode"), '),
        ["test_the_mean_is_gone says it catches 'mode', which the solution does not have"],
    ),
    "a test that catches nothing": (
        lambda toy: toy.edit_hidden('catches="median", ', ""),
        [
            "test_the_mean_is_gone catches no bug: a test that cannot fail proves nothing",
            "no test says that it catches 'median'",
        ],
    ),
    "a part that is not there": (
        lambda toy: toy.edit(f"assignments/{NAME}/assignment.yml", "means:", "averages:"),
        [
            "centred: assignment.yml has no part 'means'",
            "softmax: assignment.yml has no part 'means'",
            "test_the_mean_is_gone: assignment.yml has no part 'means'",
            "test_probabilities_sum_to_one: assignment.yml has no part 'means'",
        ],
    ),
    "too much for learning": (
        lambda toy: toy.edit_hidden(
            'catches="sums-to-n", ', 'catches="sums-to-n", learning=True, '
        ),
        [
            "learning checks carry more than a quarter of the points",
            "no test says that it catches 'sums-to-n'",
            "'sums-to-n' loses no points",
        ],
    ),
}


@pytest.mark.parametrize("name", SHORTCOMINGS)
def test_a_shortcoming_is_found_and_nothing_else(toy, no_public_tests, name):
    change, expected = SHORTCOMINGS[name]
    change(toy)
    found = shortcomings(toy)
    assert len(found) == len(expected)
    for sentence in expected:
        assert any(line.startswith(sentence) for line in found), (sentence, found)


def test_further_draws_find_what_the_first_ones_cannot(toy, no_public_tests):
    assert verify(toy.assignment, draws=10).shortcomings == []
    numbers, logits = "    numbers = rng.normal(size=7)", "    logits = rng.normal(size=4)"
    # Here the median is the mean.
    toy.edit_hidden(
        numbers, f"{numbers}\n    numbers = np.arange(7.0) if numbers[0] > 1.0 else numbers"
    )
    toy.edit_hidden(logits, f"{logits}\n    assert logits[0] > 0.2")
    forget_hidden_tests()
    assert verify(toy.assignment, draws=10).shortcomings == [
        (
            "test_the_mean_is_gone says it catches 'median' and does not on 3 of 10 further "
            "draws (seed 4, 5, 10)"
        ),
        (
            "the solution fails test_probabilities_sum_to_one on 4 of 10 further draws (seed "
            "3, 5, 7, 12)"
        ),
    ]


def test_a_broken_variant_that_never_ends_is_ended(toy, no_public_tests, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.2)
    toy.edit_solution(
        "# BUG(median): return numbers - np.median(numbers)",
        "# BUG(median): __import__('time').sleep(30)",
    )
    result = verify(toy.assignment)
    assert result.kills["test_the_mean_is_gone", "median"]


# -- hidden tests that cannot be collected ---------------------------------------------------------


UNREADABLE = [
    ("import numpy as np", "import no_such_module", "No module named 'no_such_module'"),
    ("import numpy as np", "import numpy as np (", "SyntaxError"),
    (
        'hint="The mean of what comes back is zero."',
        "",
        "missing 1 required keyword-only argument: 'hint'",
    ),
]
INCOMPLETE = [
    (
        '    """The second of two rewards is discounted once."""\n',
        "",
        "test_two_rewards needs a docstring: the line that students read",
    ),
    (
        (
            '@points(2, part="means", catches="median", hint="The mean of what comes back is '
            'zero.")\n'
        ),
        "",
        "test_the_mean_is_gone needs @points(...)",
    ),
    (
        "def test_two_rewards(student, rng)",
        "def test_two_rewards(student, tmp_path)",
        "asks for tmp_path; hidden tests have student, lab, rng",
    ),
]


def reason(toy, old: str, new: str) -> str:
    toy.edit_hidden(old, new)
    with pytest.raises(CourseError) as raised:
        verify(toy.assignment)
    return str(raised.value)


@pytest.mark.parametrize(("old", "new", "words"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_hidden_tests_that_cannot_be_read_are_the_author_s_mistake(toy, old, new, words):
    found = reason(toy, old, new)
    assert (
        found.startswith(f"{toy.assignment.hidden_tests}: the hidden tests cannot be collected\n")
        and words in found
    )


@pytest.mark.parametrize(("old", "new", "words"), INCOMPLETE, ids=range(len(INCOMPLETE)))
def test_a_hidden_test_that_lacks_something_is_named_with_what_it_lacks(toy, old, new, words):
    found = reason(toy, old, new)
    assert "test_hidden.py" in found and words in found


def test_a_parametrised_test_is_a_test_for_each_parameter(toy):
    toy.edit_hidden(
        "def test_two_rewards(student, rng)", "def test_two_rewards(student, rng, gamma)"
    )
    toy.edit_hidden(
        '@points(2, part="sums"',
        'import pytest\n\n@pytest.mark.parametrize("gamma", [0.5, 0.25])\n@points(2, part="sums"',
    )
    assert [name for name in toy.tests if "two_rewards" in name] == [
        "test_two_rewards[0.5]",
        "test_two_rewards[0.25]",
    ]
    assert toy.tests["test_two_rewards[0.25]"].parameters == {"gamma": 0.25}


# -- lazy answers ----------------------------------------------------------------------------------

TRUE = """
import numpy as np
import torch
from typing import NamedTuple

class Pair(NamedTuple):
    a: object
    b: object

class Box:
    def __init__(self, x): self.x = x; self.calls = 0
    def double(self): self.calls += 1; return self.x * 2
    def __len__(self): return 3

def array(x): return x + 1.0
def count(x): return 3
def flag(x): return True
def tensor(x): return torch.ones(2, requires_grad=True) * x
def pair(x): return Pair(x + 1, {"k": [2.5, 7]})
def nothing(x): return None
def refuse(x): raise ValueError("it must not be so")
def change_(x): x += 1
def inside(x): return float(array(x).sum())
"""


@pytest.fixture
def lazy():
    def reach(name: str):
        return Lazy(InProcess.of(TRUE, MAIN), LAZY[name]).open(lambda event: None, None).student

    return reach


def test_lazy_answers_have_the_right_kind_and_shape_and_no_content(lazy):
    student, x = lazy("zeros"), np.ones(2)
    assert (
        student.array(x).tolist() == [0.0, 0.0]
        and student.count(x) == 0
        and student.flag(x) is False
    )
    assert (
        torch.equal(student.tensor(1.0), torch.zeros(2)) and not student.tensor(1.0).requires_grad
    )
    pair = student.pair(x)
    assert (
        pair.a.tolist() == [0.0, 0.0]
        and pair.b == {"k": [0.0, 0]}
        and type(pair).__name__ == "Pair"
    )
    assert np.isnan(lazy("nan").array(x)).all() and lazy("nan").count(x) == 0
    assert lazy("None").array(x) is None and lazy("None").pair(x) == (None, {"k": [None, None]})
    assert lazy("the inputs").array(x) is x and lazy("the inputs").inside(x) is x


def test_lazy_answers_never_raise_and_leave_their_inputs_alone(lazy):
    x = np.ones(2)
    for name in ("zeros", "nan", "None", "the inputs"):
        student = lazy(name)
        student.refuse(x)
        student.change_(x)
        assert x.tolist() == [1.0, 1.0]
    lazy("zeros, with the inputs wiped").change_(x)
    assert x.tolist() == [0.0, 0.0]


def test_lazy_objects_answer_lazily_and_do_not_change(lazy):
    box = lazy("zeros").Box(5.0)
    assert box.double() == 0.0 and box.x == 0.0 and box.calls == 0 and len(box) == 0


def test_options_for_people_who_run_pytest_do_not_matter(toy, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "--durations=60 --no-such-option")
    assert len(collect(toy.assignment.hidden_tests)) == 4
    assert os.environ["PYTEST_ADDOPTS"]


def test_a_bug_that_only_raises_may_be_declared(toy, no_public_tests):
    toy.edit_solution(
        "# BUG(median): return numbers - np.median(numbers)",
        "# BUG(median): raise IndexError('nothing is left')",
    )
    toy.edit_hidden('@points(2, part="means"', 'UNNAMED = ("median",)\n\n\n@points(2, part="means"')
    assert shortcomings(toy) == []


def test_bugs_that_a_test_cannot_tell_apart_are_noted(toy, no_public_tests):
    both = 'catches=BOTH, hint="The second'
    toy.edit_hidden(both, 'catches="no-discount", hint="The second')
    assert verify(toy.assignment).notes == [
        "test_two_rewards catches 'no-discount' and cannot tell it from 'last-reward-whole', which"
        " it does not declare"
    ]
