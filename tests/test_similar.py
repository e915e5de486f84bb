"""Similar pairs: a copy with other names is found; what is given, or common, is not held against
anybody."""

from __future__ import annotations

import sys

import pytest
from toy import MAIN

from autograder.errors import CourseError
from autograder.marking.submission import Submission
from autograder.reports.similar import Pair, Passage, of_class, pairs

ORIGINAL = """
def discounted(rewards, gamma):
    total, factor = 0.0, 1.0
    for reward in rewards:
        total += factor * reward
        factor *= gamma
    while total > 1e9 and factor < 1e-9:
        total, factor = total / 2.0, factor * 3.0
    return total if factor >= 0 else sum(rewards[k] * gamma ** k for k in range(len(rewards)))
"""
RENAMED = "# all my own work\n\n" + ORIGINAL.replace("total", "summe").replace(
    "factor", "w"
).replace("reward", "r")
OTHERS = [
    "def discounted(rewards, gamma):\n"
    "    return float(rewards @ gamma ** np.arange(len(rewards)))\n",
    "def discounted(x, g):\n    if len(x) == 0:\n        return 0.0\n"
    "    return x[0] + g * discounted(x[1:], g)\n",
    "from functools import reduce\n\ndef discounted(x, g):\n"
    "    return reduce(lambda later, now: now + g * later, reversed(x), 0.0)\n",
]


def class_of(*texts: str) -> list[Submission]:
    return [Submission(f"s{number}", {MAIN: text.encode()}) for number, text in enumerate(texts)]


@pytest.fixture
def copydetect():
    pytest.importorskip(
        "copydetect", reason="copydetect is not installed: pip install -r requirements/similar.txt"
    )


def test_a_copy_with_other_names_and_comments_is_found(copydetect):
    (pair,) = pairs(class_of(ORIGINAL, *OTHERS, RENAMED), MAIN, "")
    assert (pair.first, pair.second) == ("s0", "s4") and pair.share > 0.9
    own, copied = pair.passages
    # The lines of the copy, below its comment.
    assert copied[0].first in (3, 4, 5) and copied[-1].last >= 11
    assert "summe" in copied[0].text and "total" in own[0].text
    assert 6 <= pair.lines <= 9


def test_independent_answers_are_no_pair(copydetect):
    assert pairs(class_of(*OTHERS), MAIN, "") == []


def test_the_starter_does_not_count(copydetect):
    given = ORIGINAL.replace("discounted", "given")
    texts = [given + text for text in OTHERS]
    assert pairs(class_of(*texts), MAIN, "") != []
    assert pairs(class_of(*texts), MAIN, given) == []


def test_what_half_of_the_class_wrote_does_not_count(copydetect):
    assert (
        pairs(class_of(*[ORIGINAL + "\n" * number for number in range(9)], *OTHERS), MAIN, "") == []
    )


def test_what_cannot_be_opened_or_is_empty_is_left_out(copydetect):
    unopened = Submission("zoe", {}, problem="it is encrypted")
    assert pairs([*class_of("", "x = (\n", ORIGINAL), unopened], MAIN, "") == []


def test_a_class_is_read_from_its_folder(copydetect, toy):
    toy.write("class/ada.py", ORIGINAL)
    toy.write("class/ben.py", RENAMED)
    (pair,) = of_class(toy.assignment, toy.root / "class")
    assert (pair.first, pair.second) == ("ada", "ben")


def test_most_lines_in_common_come_first(copydetect):
    short = (
        "def a(x, y):\n    while x < y and y > 1:\n        x, y = y * 3 - x, y / 2\n    return x\n"
    )
    found = pairs(class_of(short, ORIGINAL, short, RENAMED), MAIN, "")
    assert [(pair.first, pair.second) for pair in found] == [("s1", "s3"), ("s0", "s2")]
    assert found[0].lines > found[1].lines


def test_an_earlier_term_is_compared_and_its_students_are_not_with_each_other(copydetect):
    earlier = [Submission("s0", {MAIN: RENAMED.encode()}), *class_of(*2 * [OTHERS[0]])[1:]]
    (pair,) = pairs(class_of(ORIGINAL, *OTHERS[1:]), MAIN, "", {"2026": earlier})
    # The same login in two terms is two people.
    assert (pair.first, pair.second, pair.earlier) == ("s0", "s0", "2026")


def test_an_earlier_term_does_not_count_in_what_half_of_the_class_wrote(copydetect):
    now = class_of(ORIGINAL, *OTHERS, *4 * [""], *(f"x{n} = {n}\n" for n in range(4)))
    many = [Submission(f"old{n}", {MAIN: RENAMED.encode()}) for n in range(20)]
    assert len(pairs(now, MAIN, "", {"2026": many})) == 20


def test_lines_are_counted_without_the_empty_ones_and_in_the_one_with_fewer():
    pair = Pair("a", "b", (1, 1), ((Passage(3, "x\n\ny"),), (Passage(1, "x"), Passage(9, "y\nz"))))
    assert pair.lines == 2 and pair.passages[0][0].last == 5


def test_a_missing_library_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "copydetect", None)
    with pytest.raises(
        CourseError, match=r"--similar needs copydetect: pip install -r requirements/similar\.txt"
    ):
        pairs([], MAIN, "")
