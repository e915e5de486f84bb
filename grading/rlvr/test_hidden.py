"""Hidden tests of `rlvr`: laws of verified rewards, on data drawn for each submission.

Programs are compared with what Python makes of them, estimators with lists of all subsets, losses
and updates with a separate forward pass in float64, shaping with the optimal values of small random
processes. An attack earns nothing.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch

from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_frequencies,
    assert_raises,
    assert_true,
)
from autograder.judging.plugin import points

VOCABULARY = "0123456789>rs$_"
EOS, PAD = 13, 14
TIGHT = {"rtol": 1e-5, "atol": 1e-6}  # results may have been stored in float32
SINGLE = {"rtol": 1e-4, "atol": 1e-5}  # float32 inside is a legitimate style


class Transcript(NamedTuple):
    """As the student's."""

    tokens: list
    mask: list
    calls: int


class Samples(NamedTuple):
    """As the student's."""

    tokens: torch.Tensor
    mask: torch.Tensor


def normal(rng, *shape, scale=1.0):
    return torch.tensor(rng.normal(scale=scale, size=shape))


# -- Part 1: reading and comparing answers ---------------------------------------------------------


def wrapped(reasoning, answer):
    return f"<think>{reasoning}</think><answer>{answer}</answer>"


def word(rng):
    return "".join(rng.choice(list("abcdefgh"), size=5))


@points(
    2,
    part="answers",
    catches=("line-breaks-are-refused", "no-blanks-between-blocks", "prompt-inside-is-an-echo"),
    hint="Blanks and line breaks around the blocks are allowed; a dot does not match a line break "
    "unless it is told to.",
)
def test_an_answer_is_read_out_of_its_form(student, rng):
    """The text of the answer block comes back without blanks at its ends, whatever blanks stand
    around the blocks, also after reasoning that quotes the prompt."""
    prompt, number = f"how many {word(rng)}?", str(int(rng.integers(10, 99)))
    for response, answer in (
        (wrapped("two and two", number), number),
        (wrapped(f"first line\n then {word(rng)}", f"\n {number} b\n"), f"{number} b"),
        (f" \n<think>so</think>\n\t <answer>{number}/7</answer>\n", f"{number}/7"),
        (wrapped(f"{prompt} I count them.", number), number),
        (wrapped("a < b, a > b", f"<{number}>"), f"<{number}>"),
    ):
        assert_equal(student.read_answer(prompt, response), answer, what="the answer")
    assert_equal(student.read_answer(prompt, number), None, what="an answer without its form")


@points(
    3,
    part="answers",
    catches=("several-answers-pass", "answer-anywhere"),
    hint="A pattern for the whole text, and each tag exactly once. `.*` may run over tags.",
)
def test_a_response_has_one_form_and_one_answer(student, rng):
    """Text around the blocks, blocks that come twice or in another order, and tags that are missing
    make a response without an answer."""
    number, other = str(int(rng.integers(10, 50))), str(int(rng.integers(50, 90)))
    good = wrapped(word(rng), number)
    assert_equal(student.read_answer("what?", good), number, what="the answer")
    for response in (
        f"{good} or so",
        f"Well: {good}",
        f"{good}<answer>{other}</answer>",
        f"<think>a</think>{good}",
        f"{good}{good}",
        wrapped("a", f"{number}</answer><answer>{other}"),
        wrapped("a</think><think>b", number),
        wrapped("the answer is <answer>", number),
        f"<think>a</think> that is <answer>{number}</answer>",
        f"<answer>{number}</answer><think>a</think>",
        f"<think>a<answer>{number}</answer></think>",
        f"<answer>{number}</answer>",
        f"<think>a</think><answer>{number}</answer></answer>",
        f"<think>a</think></think><answer>{number}</answer>",
        f"<think>a</think><answer>{number}",
        f"<Think>a</Think><Answer>{number}</Answer>",
        number,
        "",
    ):
        assert_equal(student.read_answer("what?", response), None, what="an answer of a wrong form")


@points(
    2,
    part="answers",
    catches=("empty-reasoning-passes", "echo-of-the-prompt-passes", "empty-answer-counts"),
    hint="Judge the reasoning with runs of blanks taken as one: blanks alone are nothing, and so is "
    "the prompt once more.",
)
def test_reasoning_and_answer_must_be_there(student, rng):
    """Empty reasoning, the prompt copied as reasoning, and an empty answer are no answer."""
    prompt, number = f"how many {word(rng)} are there?", str(int(rng.integers(10, 99)))
    good = student.read_answer(prompt, wrapped("three", number))
    assert_equal(good, number, what="the answer")
    for response in (
        wrapped("", number),
        wrapped(" \n\t", number),
        wrapped(prompt, number),
        wrapped(prompt.replace(" ", " \n "), number),
        wrapped(f"\n{prompt} ", number),
        wrapped("three", ""),
        wrapped("three", " \n"),
    ):
        assert_equal(student.read_answer(prompt, response), None, what="the answer of an attack")


def in_threes(digits):
    """Digits with a comma after each three, counted from the right."""
    return f"{int(digits):,}"


@points(
    2,
    part="answers",
    catches=("fractions-are-text", "through-floats", "sign-is-lost", "commas-are-refused"),
    hint="fractions.Fraction is exact. Through a float 0.1 becomes another number.",
)
def test_numbers_have_their_exact_values(student, rng):
    """Whole numbers, decimals, fractions, signs and commas between three digits are read as the
    exact value, in lowest terms."""
    a, b, c = (int(n) for n in rng.integers(11, 99, size=3))
    long = "".join(str(d) for d in rng.integers(1, 10, size=25))
    cases = (
        (str(a), Fraction(a)),
        (f"-{a}.{b}", -a - Fraction(b, 100)),
        (f"+{a}/{2 * a}", Fraction(1, 2)),
        (f"-{a * c}/{b * c}", Fraction(-a, b)),
        ("0.1", Fraction(1, 10)),
        (f"  00{b}.50 ", b + Fraction(1, 2)),
        (long, Fraction(int(long))),
        (f"0.{long}", Fraction(int(long), 10**25)),
        (f"{long}/7", Fraction(int(long), 7)),
        (f"{a},{100 + b},{900 - c}", Fraction(a * 10**6 + (100 + b) * 1000 + 900 - c)),
        (f"-{in_threes(long[:10])}.5", -int(long[:10]) - Fraction(1, 2)),
        ("-0", Fraction(0)),
    )
    for text, value in cases:
        expected = (value.numerator, value.denominator)
        found = student.parse_number(text)
        assert_true(found is not None, f"{text} is a number")
        assert_equal(
            [str(x) for x in found], [str(x) for x in expected], what=f"the value of {text}"
        )


@points(
    2,
    part="answers",
    catches=(
        "inner-blanks-are-dropped",
        "any-commas",
        "digits-of-all-scripts",
        "numbers-of-any-length",
        "blanks-have-a-length",
        "sign-has-no-length",
        "commas-in-fractions",
        "plus-below-the-line",
    ),
    hint="Write down what is allowed, as one pattern for the whole text; everything else is no "
    "number. `\\d` matches digits of all scripts.",
)
def test_what_is_no_number_is_none(student, rng):
    """Lists, blanks inside, exponents, digits of other scripts, too many characters, and what only
    looks like a number have no value."""
    a, b = (int(n) for n in rng.integers(11, 99, size=2))
    found = student.parse_number(f"{a}.{b}")
    assert_true(found is not None, "a decimal is a number")
    expected = Fraction(f"{a}.{b}")
    assert_equal(
        [int(x) for x in found], [expected.numerator, expected.denominator], what="a value"
    )
    assert_true(student.parse_number("7" * 40) is not None, "40 characters are a number")
    spaced = student.parse_number(" " * 30 + "7" * 30)
    assert_true(spaced is not None, "blanks at the ends do not count")
    strange = (
        f"{a} {b}", f"{a},{b}", f"{a}{b},", f"1{a}{b},{a}0", "7" * 41, "\N{ARABIC-INDIC DIGIT THREE}", "2\N{SUPERSCRIPT TWO}",
        f"{a}/0", f"{a}/-{b}", f"{a}.5/{b}", f"{a}/ {b}", f"{a}.", f".{b}", f"--{a}", f"{a}e{b}", "1e999999999", "nan", "inf",
        f"0x{a}", f"{a}_{b}", f"{a}%", f"{a}/{b}/2", "", "-", "one", f"{a}+{b}",
        "-" + "7" * 40, f"{a},000/{b}", f"- {a}", f"{a}/+{b}",
    )  # fmt: skip
    for text in strange:
        assert_equal(student.parse_number(text), None, what="the value of what is no number")


@points(
    2,
    part="answers",
    catches=("equal-by-string", "nearly-equal"),
    hint="Two numbers are compared by value, exactly: 1/2 is 0.50, and 0.3333 is not 1/3.",
)
def test_values_decide_between_numbers(student, rng):
    """Numbers that are written differently are the same answer, and numbers that are nearly equal
    are not."""
    a, b = (int(n) for n in rng.integers(11, 99, size=2))
    same = [
        ("1/2", "0.5"), (f"{3 * a}/{3 * b}", f"{a}/{b}"), (f"{a}.0", f"{a}"), (f"+{a}", f" {a} "),
        (f"1,0{a}", f"10{a}"), (f"-{a}.{b}0", f"-{a}.{b}"), ("-0", "0"),
    ]  # fmt: skip
    other = [
        ("0.33333333", "1/3"), (f"{a}.000001", f"{a}"), (f"-{a}", f"{a}"), (f"{a}/{b}", f"{b}/{a}00"),
        (f"{10**20 + a}", f"{10**20 + a + 1}"), (f"0.1000000000000000000{a}", "0.1"),
    ]  # fmt: skip
    found = [student.same_answer(one, two) for one, two in same + other]
    assert_equal(found, [True] * len(same) + [False] * len(other), what="the comparisons")


@points(
    2,
    part="answers",
    catches=("target-inside-the-answer", "case-is-ignored", "two-failures-agree"),
    hint="If neither is a number the whole texts decide. `in` is not equality, and None == None "
    "compares nothing.",
)
def test_texts_decide_where_there_is_no_number(student, rng):
    """Texts are the same up to blanks, and nothing that holds the target, or is held by it, is."""
    one, two = word(rng), word(rng) + "x"
    number = str(int(rng.integers(11, 99)))
    same = [(one, one), (f" {one}\n {two} ", f"{one} {two}"), (f"({number}, 2)", f"({number}, 2)")]
    other = [
        (two, one), (f"{one} {two}", one), (one, f"{one} {two}"), (one, f"{one}z"), (one.upper(), one), ("", one),
        (f"{one}{two}", f"{one} {two}"), (one, number), (number, one), (f"{number} or {one}", number), ("e", one[:1] + "e"),
        (f"{number},2", f"{number}2"),
    ]  # fmt: skip
    found = [student.same_answer(left, right) for left, right in same + other]
    assert_equal(found, [True] * len(same) + [False] * len(other), what="the comparisons")


@points(
    3,
    part="answers",
    catches=("anything-is-compared", "asked-whether-it-is-equal"),
    hint="Look at the type before anything else: type(answer) is str. Whoever asks an object whether "
    "it is equal leaves the verdict to the object.",
)
def test_what_is_no_text_is_never_right(student, lab, rng):
    """Numbers, None, lists, bytes, and an object that claims to be equal to everything are not
    right."""
    n = int(rng.integers(11, 99))
    yes = lab.make("unittest.mock._ANY")
    found = [
        student.same_answer(answer, str(n)) for answer in (str(n), yes, n, float(n), None, [str(n)])
    ]
    assert_equal(found, [True] + [False] * 5, what="the comparisons")
    found = [
        student.same_answer(answer, target)
        for answer, target in ((None, "None"), (True, "True"), (("a",), "('a',)"), (b"a", "b'a'"), (yes, ""), ([], "[]"))
    ]  # fmt: skip
    assert_equal(found, [False] * 6, what="the comparisons")


# -- Part 2: programs with limits ------------------------------------------------------------------


@points(
    2,
    part="programs",
    catches=("countdown-in-floats", "countdown-truncates", "countdown-by-eval"),
    hint="Work with fractions: 1/49*49 is 1, and 7/2 is not 3.",
)
def test_countdown_is_exact(student, rng):
    """An expression earns the reward if its exact value is the target, and not if a float or a
    rounded one is."""
    odd = [n for n in range(20, 400) if 1 / n * n != 1.0]
    n = int(rng.choice(odd))
    a, b, c = (int(x) for x in rng.choice(np.arange(2, 12), size=3, replace=False))
    cases = [
        (f"1/{n}*{n}", [n, 1, n], 1, 1.0),
        (f"{a}*({b}+{c})", [c, a, b], a * (b + c), 1.0),
        (f" {a} - ( {b} - {c} ) ", [a, b, c], a - b + c, 1.0),
        (f"(({a}))*{b}/{b}", [a, b, b], a, 1.0),
        (f"{2 * a + 1}/2+{b}", [2 * a + 1, 2, b], a + b, 0.0),
        (f"{7 * a - 1}/7+{b}", [7 * a - 1, 7, b], a + b, 0.0),
        (f"{a}+1/{10**9}", [a, 1, 10**9], a, 0.0),
        ("(10 + 23) * 4 - 56 / 7 - 89", [4, 7, 10, 23, 56, 89], 35, 1.0),
        (f"{a}+{b}", [a, b], a + b + 1, 0.0),
        (f"{a}**2", [a, 2], a * a, 0.0),
    ]
    found = [student.countdown_reward(text, numbers, goal) for text, numbers, goal, _ in cases]
    assert_close(found, [worth for *_, worth in cases], what="the rewards")


@points(
    2,
    part="programs",
    catches=("numbers-are-reused", "numbers-are-left-out", "numbers-do-not-matter"),
    hint="Count how often each number is used, and compare the counts.",
)
def test_countdown_uses_each_number_as_often_as_given(student, rng):
    """Numbers that are reused, left out or made up earn nothing."""
    a, b = (int(x) for x in rng.choice(np.arange(2, 9), size=2, replace=False))
    c = 20
    goal = a * b * c
    cases = [
        (f"{a}*{b}*{c}", [a, b, c], 1.0),
        (f"{a}*{a}*{b}*{c}/{a}", [a, a, b, c, a], 1.0),
        (f"{a}*{b}*{c}*{a}/{a}", [a, b, c], 0.0),
        (f"{a}*{b}*{c}+{b}-{b}", [a, b, c], 0.0),
        (f"{a}*{b}*{c}", [a, b, c, c], 0.0),
        (f"{a}*{b}*{c}", [a, b, c, 30], 0.0),
        (f"{goal}", [a, b, c], 0.0),
        (f"{goal - 1}+1", [a, b, c], 0.0),
        (f"{a * b}*{c}", [a, b, c], 0.0),
    ]
    found = [student.countdown_reward(text, numbers, goal) for text, numbers, _ in cases]
    assert_close(found, [worth for *_, worth in cases], what="the rewards")


@points(
    2,
    part="programs",
    catches=("countdown-by-eval", "countdown-of-any-characters"),
    hint="First the characters and the length, then the tree: four operations and whole numbers. "
    "What eval would make of the text does not matter.",
)
def test_attacks_on_countdown_earn_nothing(student, rng):
    """Powers, whole division, signs, other characters, long texts, and what is no expression or no
    text earn 0.0, and nothing raises."""
    a, b = (int(x) for x in rng.choice(np.arange(3, 9), size=2, replace=False))
    pair = f"{a}*{b}"
    found = [
        student.countdown_reward(pair.ljust(length), [a, b], a * b) for length in (3, 100, 101, 150)
    ]
    assert_close(found, [1.0, 1.0, 0.0, 0.0], what="rewards by length")
    cases = [
        (f"{a}**2", [a, 2], a * a), (f"{2 * a + 1}//2", [2 * a + 1, 2], a), (f"-{a}+{a + b}", [a, a + b], b),
        (f"+{a}*{b}", [a, b], a * b), (f"{pair}#", [a, b], a * b), (f"({a}*\n{b})", [a, b], a * b),
        (f"{a}\t*{b}", [a, b], a * b), (f"{a}*{b}.0", [a, b], a * b), (f"{a}*1_{b}", [a, 10 + b], a * (10 + b)), (f"0{pair}", [a, b], a * b),
        (f"{pair},", [a, b], a * b), (f"max({a},{b})", [a, b], max(a, b)), (f"{pair} if 1 else 0", [a, b, 1, 0], a * b),
        (f"{pair}=={a * b}", [a, b], 1), (f"{a}*({b}", [a, b], a * b), (f"{a}/({b}-{b})", [a, b, b], 0), ("", [], 0),
        ("()", [], 0), (f"__import__('os').getpid()*0+{pair}", [a, b], a * b), (None, [a, b], a * b),
        (a * b, [a, b], a * b), ([pair], [a, b], a * b), ("(" * 49 + pair, [a, b], a * b), (f"{a}**9**9**9", [a, 9, 9, 9], 1),
    ]  # fmt: skip
    for text, numbers, goal in cases:
        found = student.countdown_reward(text, numbers, goal)
        assert_close(found, 0.0, what="the reward of an attack")


def python_says(source, x):
    """What Python makes of a program of ours."""
    names = {"x": x}
    exec(source, names)
    return names["y"]


def block(*lines):
    return "\n".join(lines) + "\n"


@points(
    2,
    part="programs",
    catches=("division-towards-zero", "remainder-with-the-sign-of-the-left"),
    hint="Walk through the statements one by one; every operator means what it means in Python, with "
    "negative numbers too.",
)
def test_programs_do_what_python_does(student, rng):
    """Loops, branches, assignments and every operator give what they give in Python."""
    a, b, c = (int(n) for n in rng.integers(2, 9, size=3))
    programs = [
        block("y = 0", "n = x * x", "while n > 0:", "    y += n % 10", "    n //= 10"),
        block(f"y = (x - {a}) // {b} + (x - {a}) % {b} * 100"),
        block(f"y = -x ** 2 + (-x) ** 2 * {a} - -{b} + +{c} ** 3"),
        block(f"y = (x + {a}) // -{b} * 1000 + (x + {a}) % -{b}"),
        block(
            f"if x < {a - 5}:", "    y = 1", f"elif x <= {a}:", "    y = 2", f"elif x == {a + 1}:", "    y = 3",
            f"elif x >= {a + 3}:", "    y = 4", "else:", "    y = 5",
        ),
        block(
            "y = 1", f"n = {a + 2}", "while n != 0:", "    if n > 2:", "        y *= n", "    else:", "        y -= x",
            "    n -= 1",
        ),
        block("a = x + 40", f"b = {6 * b}", "while b > 0:", "    r = a % b", "    a = b", "    b = r", "y = a"),
        block(f"y = {a}", "y **= 3", f"y %= {10 * b + 1}", f"y //= {c}", "y -= x", "y *= 2"),
    ]  # fmt: skip
    inputs = (0, 1, 7, -3, -8, int(rng.integers(9, 30)), a + 1, a + 2)
    for source in programs:
        found = [student.run_program(source, x) for x in inputs]
        assert_equal(found, [python_says(source, x) for x in inputs], what="the results")


@points(
    3,
    part="programs",
    catches=(
        "executes-it",
        "booleans-are-numbers",
        "chains-are-cut",
        "numbers-are-conditions",
        "programs-of-any-length",
        "unset-names-are-zero",
        "returns-the-input",
        "negative-powers-are-rounded",
        "several-names-at-once",
        "lone-texts-are-skipped",
    ),
    hint="A short list of kinds of nodes is allowed; everything else is refused in one place, not "
    "case by case.",
)
def test_programs_speak_a_small_language(student, rng):
    """Everything that is not in the language gives None, and nothing raises."""
    n = int(rng.integers(2, 9))
    found = student.run_program(f"y = {n} * x", 5)
    assert_equal(found, 5 * n, what="the result of a right program")
    strange = [
        f"y = (lambda n: n)({n})", f"y = [{n}][0]", f"y = {n} if x > 0 else {n}", f"y = x and {n}", "y = True", f"y = False + {n}",
        block("if 1 < x < 3:", f"    y = {n}", "else:", "    y = 1"), block(f"if {n}:", "    y = 1", "else:", "    y = 2"),
        block("y = 0", f"while {n} - y:", "    y += 1"), f"y = z + {n}", f"z = {n}", "", f"y = {n}\ny = 2 ** -1", f"y = 2 ** -{n}",
        "y = 3 ** (0 - 2) * 9", f"y = {n} / 1", f"y = {n}.0", f"y = '{n}'", f"y = {n}j", f"y, z = {n}, 1", f"y = z = {n}", f"y: int = {n}", f"(y := {n})",
        f"x.y = {n}", f"y = x.real + {n}", f"y = int({n})", f"import os\ny = {n}", f"y = {n}\nopen('/dev/null', 'w')",
        f"def f():\n    pass\ny = {n}", f"class A:\n    pass\ny = {n}", f"for i in (1, 2):\n    y = {n}", f"y = {n}\nassert x > 0",
        f"y = {n}\npass", f"y = {n}\nx", f"y = {n}\nwhile x > 9:\n    y = 1\nelse:\n    y = 2", f"y = {n} << 1", f"y = {n} | 1",
        f"y = ~{n}", f"y = {n} @ 1", f"y = {n} > 1", f"y = (x > 1) + {n}", f"if x in (5, 6):\n    y = {n}", f"if x is x:\n    y = {n}",
        f"if not x > 9:\n    y = {n}", f"if x > 1 and x > 2:\n    y = {n}", f"y = {n} // (x - 5)", f"y = {n} % (x - 5)", f"y = {n}\nz = 0\nz += w",
        f"y = ({n}", f"y = {n}\x00", "return 1", f"del x\ny = {n}", f"try:\n    y = {n}\nexcept:\n    y = 1",
        f"y += {n}", f'"y"\ny = {n}', f"y = {n}\nwhile x > 0:\n    break", f"y = {n}\nwhile x > 0:\n    x -= 1\n    continue",
        f"with x:\n    y = {n}", f"global x\ny = {n}", "y = " + "+".join(["x"] * 199), None, n, ["y = 1"], b"y = 1",
    ]  # fmt: skip
    for source in strange:
        found = student.run_program(source, 5)
        assert_equal(found, None, what="the result of what is no program")
    longest = f"y =10{n}" + "+0" * 197
    found = [student.run_program(source, 5) for source in (longest, longest + "+0")]
    assert_equal(len(longest), 400, what="the length of the longest program")
    assert_equal(found, [100 + n, None], what="programs of 400 and 402 characters")


@points(
    3,
    part="programs",
    catches=("runs-too-long", "one-step-less", "conditions-cost-nothing"),
    hint="Each assignment and each look at a condition is one step: count down, and stop the program "
    "when nothing is left.",
)
def test_a_budget_of_steps_is_kept(student, rng):
    """A program that needs just its budget gives its result, one that needs a step more gives None,
    and one that never ends does too."""
    n = int(rng.integers(20, 60))
    loop = block("y = 0", f"while y < {n}:", "    y += 1")
    branch = block("y = 1", "if x > 3:", "    y = 2", "elif x > 2:", "    y = 3", "y += 5")
    cases = [
        (loop, 0, 2 * n + 2, n),
        (loop, 0, 2 * n + 1, None),
        (loop, 0, n, None),
        (loop, 0, 3 * n, n),
    ]
    cases += [(branch, 4, 4, 7), (branch, 4, 3, None), (branch, 3, 5, 8), (branch, 3, 4, None)]
    cases += [
        ("y = 7", 0, 1, 7),
        ("y = 7\nz = 8", 0, 1, None),
        ("y = 7 if x < 1 else 8", 0, 9, None),
    ]
    found = [student.run_program(source, x, steps=steps) for source, x, steps, _ in cases]
    assert_equal(found, [result for *_, result in cases], what="the results")
    forever = block("y = 1", "while 1 == 1:", "    y = 1 - y")
    slow = block("y = 0", "while y < 999:", "    y += 1")
    assert_equal(student.run_program(forever, 0), None, what="a program that never ends")
    assert_equal(student.run_program(slow, 0), 999, what="a program of just 2000 steps")
    assert_equal(student.run_program(slow.replace("999", "1000"), 0), None, what="2002 steps")
    with assert_raises(ValueError):
        student.run_program("y = 1", 0, steps=0)


@points(
    2,
    part="programs",
    catches=("numbers-grow", "bits-are-digits"),
    hint="int.bit_length of everything that appears. A power that is far too large must not be "
    "worked out first: look at base and exponent.",
)
def test_no_number_outgrows_its_bits(student, rng):
    """Results, steps on the way and constants of more than ``bits`` bits give None, and a huge
    power is not even worked out."""
    bits = int(rng.integers(18, 26))
    top = 2**bits - 1
    cases = [
        (f"y = {top}", top), (f"y = {top + 1}", None), (f"y = 2 ** {bits - 1}", 2 ** (bits - 1)), (f"y = 2 ** {bits}", None),
        (f"y = {top} + 1 - 1", None), (f"y = -{top}", -top), (f"y = -{top} - 1", None), (f"z = {top} + 1\ny = 1", None),
        (f"y = {top} * {top} * 0", None), ("y = 2\n" + "y *= y\n" * 7, None), ("y = 2\n" + "y *= y\n" * 9, None),
        ("y = 3 ** 5", 243), ("y = (-2) ** 5", -32), ("y = 0 ** 0", 1), ("y = 1 ** 300000", 1 if bits >= 19 else None), ("y = 7 if x > 0 else 8", None),
    ]  # fmt: skip
    found = [student.run_program(source, 1, bits=bits) for source, _ in cases]
    assert_equal(found, [result for _, result in cases], what="the results")
    largest = student.run_program("y = 2 ** 255", 1)
    assert_equal(str(largest), str(2**255), what="a number of 256 bits")
    for source in (
        "y = 2 ** 256",
        "y = 9 ** 9 ** 9 ** 9",
        "y = 1\nz = 3 ** 9 ** 9 * 0",
        "y = 9\nwhile y > 0:\n    y **= y",
    ):
        assert_equal(student.run_program(source, 1), None, what="the result of a huge power")
    with assert_raises(ValueError):
        student.run_program("y = 1", 0, bits=0)


@points(
    2,
    part="programs",
    catches=("some-case-is-enough", "broken-cases-are-skipped", "budget-for-all-cases"),
    hint="All cases must give the right number; a case that was stopped has not; each case has the "
    "whole budget.",
)
def test_a_program_passes_all_cases_or_none(student, rng):
    """The reward is 1.0 if every case is right, each run for itself with the whole budget."""
    a = int(rng.integers(3, 9))
    right = block("y = 0", "while x > 0:", f"    y += {a}", "    x -= 1")
    cases = [(x, a * x) for x in (0, 2, 5, 9)]
    sources = [
        right, right + f"y //= x + 9 - 9 + {a} // {a}", f"y = {a} * x", f"y = {a} * x + x // 9", f"y = {a}",
        f"if x < 9:\n    y = {a} * x", f"y = {a} * x + 0 // (9 - x)", f"y = {a} * x * (1 - 0 ** x)", f"if x == 0:\n    y = {a} * x\ny *= {a}",
    ]  # fmt: skip
    wanted = [float(all(run_safely(source, x) == y for x, y in cases)) for source in sources]
    assert_equal(sorted(set(wanted)), [0.0, 1.0], what="both kinds of programs")
    found = [student.program_reward(source, cases) for source in sources]
    assert_close(found, wanted, what="the rewards")
    # The longest run of `right` makes 1 assignment, then 10 conditions and 18 assignments.
    tight = [student.program_reward(right, cases, steps=steps) for steps in (29, 28, 115)]
    assert_close(tight, [1.0, 0.0, 1.0], what="rewards of a budget")
    small = [student.program_reward("y = 2 ** x", [(1, 2), (9, 512)], bits=n) for n in (10, 9)]
    assert_close(small, [1.0, 0.0], what="rewards of a limit on bits")
    with assert_raises(ValueError):
        student.program_reward(right, [])


def run_safely(source, x):
    """What Python makes of a program, None if it fails."""
    try:
        return python_says(source, x)
    except (ZeroDivisionError, NameError, KeyError):
        return None


@points(
    2,
    part="programs",
    catches=("executes-it", "broken-cases-are-skipped"),
    hint="Run none of it as Python. The language that you allow has no exit, no files, no classes.",
)
def test_the_attack_corpus_earns_nothing(student, rng):
    """An object that says yes, an exit, a file, an import, a loop without end, a huge power, and
    what looks at the grader earn 0.0."""
    n = int(rng.integers(2, 9))
    cases = [(1, n), (4, 4 * n)]
    assert_close(student.program_reward(f"y = {n} * x", cases), 1.0, what="an honest program")
    attacks = [
        f"y = (lambda a: {n} * a)(x)",
        block("class Yes:", "    def __eq__(self, other):", "        return True", "y = Yes()"),
        block("class Yes(int):", "    __eq__ = lambda self, other: True", "y = Yes()"),
        "from unittest.mock import ANY as y",
        block("import sys", f"y = {n} * x", "sys.exit(0)"),
        block(f"y = {n} * x", "raise SystemExit(0)"),
        block(f"y = {n} * x", "open('/dev/null', 'w').write('1.0')"),
        block("import inspect", "y = inspect.currentframe().f_back.f_locals['cases'][0][1]"),
        block(f"y = {n} * x", "while 1 == 1:", f"    y = {n} * 1 * x"),
        block(f"y = {n} * x", "z = 9 ** 9 ** 9 ** 9"),
        f"y = {n} * x #" + "x" * 400,
        f"y = {n} * " + "(" * 150 + "x" + ")" * 150,
        f"y = {n} * x\n" + "if x > 0:\n" * 3,
    ]
    for source in attacks[:-2]:
        worth = student.program_reward(source, cases)
        assert_close(worth, 0.0, what="the reward of an attack")
    for source in attacks[-2:]:
        # Deep nesting may be read or refused, but it must not raise.
        worth = student.program_reward(source, [(1, n + 1)])
        assert_close(worth, 0.0, what="the reward of a wrong program")


# -- Part 3: several tries -------------------------------------------------------------------------


@points(
    2,
    part="tries",
    catches=("tries-with-replacement", "tries-add-up", "all-must-be-right", "exactly-one"),
    hint="List all sets of k of the n answers, and count those that hold a right one.",
)
def test_pass_at_k_is_a_mean_over_subsets(student, rng):
    """pass@k is the share of all subsets of k answers that hold a right one."""
    for n in (1, 4, 7):
        for c in range(n + 1):
            right = rng.permutation([1] * c + [0] * (n - c)).tolist()
            for k in range(1, n + 1):
                expected = np.mean([max(chosen) for chosen in itertools.combinations(right, k)])
                found = student.pass_at_k(n, c, k)
                assert_close(found, float(expected), what="pass@k", **TIGHT)


@points(
    1,
    part="tries",
    catches=("tries-with-replacement", "all-must-be-right"),
    hint="With fewer than k wrong answers every set holds a right one; products of ratios or whole "
    "numbers do not overflow, factorials as floats do.",
)
def test_pass_at_k_at_its_ends(student, rng):
    """pass@1 is the share of right answers, no right answer gives 0 and too few wrong ones 1, also
    with thousands of answers; impossible numbers are refused."""
    n, c = int(rng.integers(5000, 9000)), int(rng.integers(10, 20))
    assert_close(student.pass_at_k(n, c, 1), c / n, what="pass@1", **TIGHT)
    log = sum(math.log1p(-c / (n - i)) for i in range(n // 40))
    assert_close(student.pass_at_k(n, c, n // 40), 1 - math.exp(log), what="pass@k", rtol=1e-4)
    ends = [student.pass_at_k(n, 0, 700), student.pass_at_k(n, c, n - c + 1)]
    assert_close(ends, [0.0, 1.0], what="pass@k at its ends", **TIGHT)
    for wrong in ((5, 2, 6), (5, 0, 6), (5, 6, 2), (5, -1, 2), (5, 2, 0)):
        with assert_raises(ValueError):
            student.pass_at_k(*wrong)


def plain_vote(answers, values):
    """The winner: ``values`` says which answers are the same."""
    piles = {}
    for answer in answers:
        if answer is not None:
            piles.setdefault(values[answer], []).append(answer)
    best = max((len(pile) for pile in piles.values()), default=0)
    return next((pile[0] for pile in piles.values() if len(pile) == best), None)


def ballot(rng):
    """Spellings of a few answers, and what each is worth."""
    a = int(rng.integers(2, 9))
    spellings = {
        "half": ["1/2", "0.5", "0.50"],
        "a": [str(a), f"{a}.0", f"{2 * a}/2"],
        "word": ["none", " none\n"],
        "b": [f"{a}1"],
    }
    return {text: value for value, texts in spellings.items() for text in texts}


@points(
    2,
    part="tries",
    catches=(
        "none-votes",
        "votes-by-string",
        "texts-vote-by-string",
        "equal-by-string",
        "last-one-wins-ties",
        "winner-in-its-last-spelling",
        "first-answer-wins",
    ),
    hint="One pile for each answer, found with same_answer; None is skipped; the earliest of the "
    "largest piles wins.",
)
def test_equal_values_vote_together(student, rng):
    """The largest pile of equal answers wins, the first of the largest at a tie, and comes back as
    it was written first; what could not be read has no vote."""
    values = ballot(rng)
    ballots = [
        ["7", "1/2", "0.5"], [None, None, "none"], ["none", "1/2", "0.50", "none"], ["1/2", "none", "none", "0.5"],
        [None, None], [], ["0.5", "1/2"], ["none", "0.50", None, "0.5", None, None],
        ["7", "none", " none\n"],
    ]  # fmt: skip
    ballots += [
        [None if rng.random() < 0.2 else str(rng.choice(list(values))) for _ in range(9)]
        for _ in range(6)
    ]
    values["7"] = "seven" if values.get("7") is None else values["7"]
    found = [student.majority(answers) for answers in ballots]
    assert_equal(found, [plain_vote(answers, values) for answers in ballots], what="the winners")


@points(
    2,
    part="tries",
    catches=("unread-answers-leave-the-mean", "neighbours-only", "first-k-answers"),
    hint="All subsets of k, each in the order of the list; an answer that could not be read is an "
    "answer all the same.",
)
def test_maj_at_k_is_a_mean_over_subsets(student, rng):
    """maj@k is the share of all subsets of k answers whose majority is right; unreadable answers
    stay among the n."""
    values = ballot(rng)
    texts = list(values)
    found, wanted = [], []
    for _ in range(3):
        answers = ["1/2", None, texts[-1], "0.5", None] + [str(rng.choice(texts)) for _ in range(3)]
        answers = [answers[i] for i in rng.permutation(len(answers))]
        for k in (1, 2, 3, 5, 8):
            sets = list(itertools.combinations(answers, k))
            votes = [plain_vote(chosen, values) for chosen in sets]
            right = [vote is not None and values[vote] == "half" for vote in votes]
            wanted.append(float(np.mean(right)))
            found.append(student.maj_at_k(answers, "0.500", k))
    assert_close(found, wanted, what="maj@k", **TIGHT)
    with assert_raises(ValueError):
        student.maj_at_k(["1", "2"], "1", 3)


BEST_BUGS = ("ties-share-alike", "first-index-wins-ties", "tilts-by-powers", "one-draw", "worst-of-n", "all-draws-the-best")  # fmt: skip


@points(
    2,
    part="tries",
    catches=BEST_BUGS,
    hint="The best score is at most s if all n draws are: a power. Within one score the policy's own "
    "proportions stay.",
)
def test_best_of_n_is_that_of_enumeration(student, rng):
    """The distribution of the best of n is that of listing all n draws, of equal scores the first
    drawn."""
    probs = rng.dirichlet(np.ones(4) * 3)
    for scores in (
        np.array([0.3, 1.7, 0.3, -2.0]),
        rng.normal(size=4),
        np.array([1.0, 0.0, 1.0, 0.0]),
    ):
        for n in (1, 2, 4):
            expected = np.zeros(4)
            for draws in itertools.product(range(4), repeat=n):
                best = max(draws, key=lambda i: scores[i])
                expected[best] += math.prod(probs[i] for i in draws)
            found = student.best_of_n_probs(torch.tensor(probs), torch.tensor(scores), n)
            assert_close(found, torch.tensor(expected), what="the distribution", **TIGHT)


@points(
    1,
    part="tries",
    catches=("ties-share-alike", "one-draw", "worst-of-n"),
    hint="With one draw nothing is chosen; with very many only the highest score that can be drawn is left.",
)
def test_best_of_n_between_its_ends(student, rng):
    """Best of 1 is the policy; a verified reward gives right answers the chance 1 - (1 - p)^n and
    keeps their proportions; what cannot be drawn is never the best."""
    probs = torch.tensor(rng.dirichlet(np.ones(5) * 2)) * 0.8
    probs = torch.cat([probs, torch.tensor([0.2, 0.0])]).double()
    right = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 2.0]).double()
    found = student.best_of_n_probs(probs, right, 1)
    assert_close(found, probs, what="best of one", **TIGHT)
    p = probs[right == 1].sum()
    for n in (3, 50):
        found = student.best_of_n_probs(probs, right, n)
        expected = probs / p * (1 - (1 - p) ** n) * (right == 1) + probs / (1 - p) * (
            1 - p
        ) ** n * (right == 0)
        assert_close(found, expected, what="best of n by a verifier", **TIGHT)
    with assert_raises(ValueError):
        student.best_of_n_probs(probs, right, 0)
    with assert_raises(ValueError):
        student.best_of_n_probs(probs * 1.1, right, 2)


# -- Part 4: rejection sampling --------------------------------------------------------------------


def scattered(rng, sizes=(4, 3, 5, 2)):
    """Group ids of groups of these sizes, in any order, and not 0, 1, 2, ..."""
    names = rng.choice(np.arange(-50, 50), size=len(sizes), replace=False)
    ids = np.repeat(names, sizes)
    return torch.tensor(rng.permutation(ids)), names.tolist()


@points(
    2,
    part="expert",
    catches=(
        "wrong-answers-are-accepted",
        "first-rows-of-a-group",
        "bound-on-the-batch",
        "bound-is-ignored",
        "last-answers-of-a-group",
    ),
    hint="Count right answers within each group, whatever the order of the rows; take the first.",
)
def test_the_first_right_answers_of_each_group_are_accepted(student, rng):
    """Of each group the first right answers are accepted, up to the bound, and no wrong one."""
    ids, names = scattered(rng, (6, 5, 7, 3))
    rewards = torch.zeros(len(ids)).double()
    for name, count in zip(names, (4, 1, 5, 0), strict=True):
        rows = (ids == name).nonzero().flatten()[1:]
        # The first row of each group is wrong.
        rewards[rows[torch.tensor(rng.permutation(len(rows))[:count])]] = 1.0
    for most in (1, 2, 3, 9):
        expected, seen = [], dict.fromkeys(names, 0)
        for name, reward in zip(ids.tolist(), rewards.tolist(), strict=True):
            seen[name] += int(reward)
            expected.append(reward == 1 and seen[name] <= most)
        found = student.accept(rewards, ids, most)
        assert_equal(found, torch.tensor(expected), what="what is accepted")
    for wrong in ((rewards, ids, 0), (rewards[:-1], ids, 2), (rewards * 0.7, ids, 2)):
        with assert_raises(ValueError):
            student.accept(*wrong)


def some_rows(rng, marks=("..xx.x", ".xxxx.", "......", "...x..", ".x.xxx")):
    """Log-probabilities and a mask with a token at each x."""
    mask = torch.tensor([[mark == "x" for mark in row] for row in marks])
    return -normal(rng, *mask.shape).abs() - 0.1, mask


def row_means(logp, mask):
    """The mean of each row over its tokens, 0 without any."""
    rows = [row[kept].mean() if bool(kept.any()) else 0.0 * row.sum() for row, kept in zip(logp, mask, strict=True)]  # fmt: skip
    return torch.stack(rows)


LOSS_BUGS = (
    "all-tokens-count",
    "divides-by-all-places",
    "token-sums",
    "imitates-everything",
    "pushes-failures-down",
    "failed-samples-leave-the-mean",
    "mean-over-tokens",
)


@points(
    3,
    part="expert",
    catches=LOSS_BUGS,
    hint="Two means: over the tokens of a row, under the same mask above and below the line; then "
    "over all rows, those that failed included.",
)
def test_the_loss_is_a_mean_over_all_rows(student, rng):
    """The loss adds up the accepted rows' mean of -logp and divides by the number of all rows."""
    logp, mask = some_rows(rng)
    for accepted in ([1, 0, 1, 1, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]):
        chosen = torch.tensor(accepted).bool()
        expected = -(row_means(logp, mask) * chosen).sum() / 5
        for kind in (torch.bool, torch.int64):
            found = student.expert_loss(logp, mask.to(kind), chosen.to(kind))
            assert_close(found, expected, what="the loss", **TIGHT)


@points(
    2,
    part="expert",
    catches=(
        "imitates-everything",
        "pushes-failures-down",
        "failed-samples-leave-the-mean",
        "token-sums",
    ),
    hint="On fresh samples each ratio is 1, and the gradient of min(ratio A, clip(ratio) A) is A "
    "times that of logp. Put A = 1 and A = 0.",
)
def test_expert_iteration_is_grpo_with_advantages_0_and_1(student, rng):
    """The gradient is that of GRPO's loss on fresh samples with the advantages 1 and 0, also if
    nothing is accepted."""
    logp, mask = some_rows(rng)
    for accepted in ([1, 0, 0, 1, 1], [0, 0, 0, 0, 0]):
        chosen = torch.tensor(accepted).bool()
        leaf = logp.clone().requires_grad_()
        (found,) = torch.autograd.grad(student.expert_loss(leaf, mask, chosen), leaf)
        leaf = logp.clone().requires_grad_()
        ratio = (leaf - logp).exp()
        adv = chosen.double()[:, None]
        surrogate = torch.minimum(ratio * adv, ratio.clamp(0.8, 1.2) * adv)
        (expected,) = torch.autograd.grad(-row_means(surrogate, mask).mean(), leaf)
        assert_close(found, expected, what="the gradient", **TIGHT)


@points(
    2,
    part="expert",
    catches=("multiplies-by-the-mask", "long-masks-are-cut"),
    hint="Choose before you compute: 0 times nan is nan. A mask of another length than the tokens "
    "is a mistake of somebody's: say so.",
)
def test_the_mask_fits_and_hides(student, rng):
    """What stands under mask 0 changes nothing, not even nan, and gets no gradient; a mask that is
    longer or shorter than the tokens is refused."""
    logp, mask = some_rows(rng)
    chosen = torch.tensor([True, False, True, True, True])
    expected = student.expert_loss(logp, mask, chosen)
    assert_close(expected, -(row_means(logp, mask) * chosen).mean(), what="the loss", **TIGHT)
    leaf = logp.masked_fill(~mask, torch.nan).requires_grad_()
    loss = student.expert_loss(leaf, mask, chosen)
    assert_close(loss.detach(), expected, what="the loss with nan under mask 0", **TIGHT)
    (found,) = torch.autograd.grad(loss, leaf)
    assert_close(
        found[~mask], torch.zeros(int((~mask).sum())).double(), what="gradients under mask 0"
    )
    wide = torch.cat([mask, torch.zeros(5, 1).bool()], dim=1)
    for wrong in ((logp, wide, chosen), (logp, mask[:, :-1], chosen), (logp, mask, chosen[:-1])):
        with assert_raises(ValueError):
            student.expert_loss(*wrong)


# -- Part 5: which prompts teach -------------------------------------------------------------------


@points(
    2,
    part="filters",
    catches=(
        "solved-groups-stay",
        "failed-groups-stay",
        "right-rows-only",
        "counts-rows",
        "solved-and-failed-swapped",
        "counts-kept-groups",
    ),
    hint="Each group is kept or dropped as a whole, and each dropped one is counted once, under "
    "solved or failed.",
)
def test_groups_without_spread_are_dropped_and_counted(student, rng):
    """Groups whose answers are all right or all wrong are dropped whole, and counted apart."""
    for counts in ((0, 3, 2, 2, 0, 1, 0), (4, 3, 0, 2, 1, 0, 2)):
        sizes = (4, 3, 5, 2, 1, 3, 4)
        ids, names = scattered(rng, sizes)
        rewards = torch.zeros(len(ids)).double()
        for name, count in zip(names, counts, strict=True):
            rows = (ids == name).nonzero().flatten()
            rewards[rows[torch.tensor(rng.permutation(len(rows))[:count]).long()]] = 1.0
        mixed = [n for n, c, size in zip(names, counts, sizes, strict=True) if 0 < c < size]
        found = student.filter_groups(rewards, ids)
        keep = torch.tensor([name in mixed for name in ids.tolist()])
        assert_equal(found.keep, keep, what="keep")
        solved = sum(c == size for c, size in zip(counts, sizes, strict=True))
        assert_equal(int(found.solved), solved, what="solved groups")
        assert_equal(int(found.failed), sum(c == 0 for c in counts), what="failed groups")
    with assert_raises(ValueError):
        student.filter_groups(rewards * 0.7, ids)


@points(
    2,
    part="filters",
    catches=(
        "bounds-are-excluded",
        "only-the-easy-are-dropped",
        "only-the-hard-are-dropped",
        "untried-prompts-are-dropped",
        "untried-prompts-are-failures",
    ),
    hint="Both bounds belong to what is kept. 0 right of 0 tries is no share at all.",
)
def test_prompts_between_the_bounds_are_kept(student, rng):
    """Prompts whose share of right answers lies between the bounds are kept, the bounds included,
    and so are prompts that nobody has tried."""
    right = torch.tensor([0, 1, 2, 4, 6, 7, 8, 0, 3, 16, 0, 1, 3])
    tries = torch.tensor([8, 8, 8, 8, 8, 8, 8, 0, 4, 16, 1, 1, 16])
    order = torch.tensor(rng.permutation(len(right)))
    right, tries = right[order], tries[order]
    bounds = ((0.25, 0.75), (0.0, 0.75), (0.125, 1.0), (0.0, 1.0), (0.5, 0.5))
    found = [student.difficulty_filter(right, tries, low, high) for low, high in bounds]
    counts = list(zip(right.tolist(), tries.tolist(), strict=True))
    for kept, (low, high) in zip(found, bounds, strict=True):
        expected = torch.tensor([n == 0 or low <= c / n <= high for c, n in counts])
        assert_equal(kept, expected, what="which prompts are kept")
    for wrong in (
        (tries + 1, tries, 0.0, 1.0),
        (right, tries, 0.75, 0.25),
        (right[1:], tries, 0.0, 1.0),
    ):
        with assert_raises(ValueError):
            student.difficulty_filter(*wrong)


def supply(kinds, rng):
    """A source of groups: "m" with spread, "s" solved, "f" failed; and the calls that it got. The
    mean of the groups' means is not the mean of all answers."""
    while True:
        groups = []
        for kind in kinds:
            size = int(rng.integers(2, 8))
            right = {"s": size, "f": 0, "m": int(rng.integers(1, size))}[kind]
            groups.append(torch.tensor(rng.permutation([1.0] * right + [0.0] * (size - right))))
        means = float(torch.stack([group.mean() for group in groups]).mean())
        if abs(means - float(torch.cat(groups).mean())) > 0.01:
            break
    asked = []

    def draw(number):
        asked.append(int(number))
        return groups[int(number) % len(groups)]

    return draw, asked, groups


@points(
    2,
    part="filters",
    catches=(
        "one-group-too-many",
        "never-gives-up",
        "draws-a-fixed-number",
        "solved-groups-are-kept",
        "counts-from-one",
    ),
    hint="Two conditions end the drawing, and each group is drawn once: look before you draw again.",
)
def test_drawing_stops_when_it_should(student, rng):
    """Groups are drawn one by one until enough have spread or the bound is reached, and no
    further."""
    kinds = "fsmsfmmfsm"
    for wanted, most, kept in (
        (2, 4, [2]),
        (2, 10, [2, 5]),
        (3, 10, [2, 5, 6]),
        (3, 6, [2, 5]),
        (1, 2, []),
        (5, 10, [2, 5, 6, 9]),
    ):
        draw, asked, _ = supply(kinds, rng)
        found = student.dynamic_sampling(draw, wanted, most)
        drawn = kept[-1] + 1 if len(kept) == wanted else most
        assert_equal(asked, list(range(drawn)), what="the groups that were drawn")
        assert_equal([int(i) for i in found.kept], kept, what="the groups that were kept")
        assert_equal(int(found.drawn), drawn, what="the number of groups drawn")
    draw, _, _ = supply(kinds, rng)
    for wrong in ((draw, 0, 3), (draw, 3, 0)):
        with assert_raises(ValueError):
            student.dynamic_sampling(*wrong)


@points(
    2,
    part="filters",
    catches=("failed-samples-leave-the-metric", "mean-of-group-means"),
    hint="A filter makes the batch better, not the policy. The mean is over every answer that was "
    "drawn.",
)
def test_the_mean_reward_is_that_of_everything_drawn(student, rng):
    """The mean reward is that of all answers of all groups that were drawn, the dropped included."""
    for kinds, wanted, most in (("fmsffm", 2, 6), ("ffmm", 2, 9), ("sffsf", 3, 5)):
        draw, asked, groups = supply(kinds, rng)
        found = student.dynamic_sampling(draw, wanted, most)
        everything = torch.cat([groups[i % len(groups)] for i in asked])
        assert_equal(len(asked), len(kinds), what="the number of groups drawn")
        assert_close(found.reward_mean, float(everything.mean()), what="the mean reward", **TIGHT)


# -- Part 6: turns with a tool ---------------------------------------------------------------------

# One id for each digit and letter, and one for each of these pairs: "12" is [1, 2] or [40].
PIECES = {**{i: str(i) for i in range(10)}, **{10 + i: c for i, c in enumerate("abcdefgh+=?!")}}
PIECES |= {40: "12", 41: "34", 42: "ab", 43: "=7", 44: "+3"}
CALL = next(i for i, piece in PIECES.items() if piece == "?")
END = next(i for i, piece in PIECES.items() if piece == "!")


def encode(text):
    """The longest piece first."""
    ids = []
    by_length = sorted(PIECES.items(), key=lambda item: -len(item[1]))
    while text:
        number, piece = next((i, piece) for i, piece in by_length if text.startswith(piece))
        ids.append(number)
        text = text[len(piece) :]
    return ids


def decode(ids):
    return "".join(PIECES[int(i)] for i in ids)


class Scene:
    """A policy that writes what it is told to, after the number of ids that it was shown; and a
    tool, which answers with the length of what it was asked. Both remember what they got."""

    def __init__(self, turns, answers):
        self.turns, self.answers = turns, answers
        self.shown, self.asked = [], []

    def policy(self, ids):
        self.shown.append([int(i) for i in ids])
        return self.written(len(self.shown) - 1, len(self.shown[-1]))

    def written(self, turn, shown):
        turn = self.turns[min(turn, len(self.turns) - 1)]
        return [shown // 10 % 10, shown % 10, *turn] if turn else []

    def tool(self, text):
        self.asked.append(str(text))
        return self.answered(len(self.asked) - 1, self.asked[-1])

    def answered(self, call, text):
        return f"{self.answers[min(call, len(self.answers) - 1)]}{len(text)}"


def played(student, turns, answers, prompt, max_turns):
    scene = Scene(turns, answers)
    policy, tool = scene.policy, scene.tool
    found = student.rollout(
        lambda ids: policy(ids), prompt, lambda text: tool(text), encode, decode, CALL, max_turns
    )
    return scene, found


def expected_play(turns, answers, prompt, max_turns):
    """What should come of it: what is shown, what is asked, tokens and mask."""
    scene, tokens, mask = Scene(turns, answers), list(prompt), [0] * len(prompt)
    shown, asked = [], []
    for turn in range(max_turns):
        shown.append(list(tokens))
        own = scene.written(turn, len(tokens))
        tokens, mask = tokens + own, mask + [1] * len(own)
        if own[-1] != CALL or turn + 1 == max_turns:
            break
        asked.append(decode(own[:-1]))
        said = encode(scene.answered(turn, asked[-1]))
        tokens, mask = tokens + said, mask + [0] * len(said)
    return shown, asked, tokens, mask


def a_conversation(rng):
    """A prompt and turns whose ids are not those of their text, and answers of the tool."""
    digit = int(rng.integers(5, 10))
    prompt = [11, 10, 1, 2, digit]
    turns = [[1, 2, digit, 18, CALL, 3, CALL], [10, 11, 3, 4, 1, CALL], [19, 7, 3, 4, END]]
    answers = [f"={digit}12ab", f"34=7{digit}+"]
    return prompt, turns, answers


@points(
    3,
    part="tools",
    catches=("retokenises", "call-token-is-lost"),
    hint="Tokens in, tokens out: hand the policy the ids that it wrote, never ids of their text.",
)
def test_what_was_written_is_never_encoded_again(student, rng):
    """In each turn the policy is shown the very ids of prompt, turns and answers so far, and the
    transcript holds them; only the tool's text is encoded."""
    prompt, turns, answers = a_conversation(rng)
    scene, found = played(student, turns, answers, prompt, 5)
    shown, _, tokens, _ = expected_play(turns, answers, prompt, 5)
    assert_equal(scene.shown, shown, what="what the policy was shown")
    assert_equal([int(i) for i in found.tokens], tokens, what="the tokens")


@points(
    2,
    part="tools",
    catches=(
        "prompt-is-trained",
        "tool-is-trained",
        "call-token-is-not-trained",
        "mask-counts-characters",
    ),
    hint="Two lists that grow together, by the same number of places each time.",
)
def test_the_mask_marks_what_the_policy_wrote(student, rng):
    """The mask is 1 at every id that the policy wrote, calls included, and 0 at the prompt's and
    the tool's; it is as long as the tokens."""
    prompt, turns, answers = a_conversation(rng)
    _, found = played(student, turns, answers, prompt, 5)
    mask = expected_play(turns, answers, prompt, 5)[-1]
    assert_equal([int(x) for x in found.mask], mask, what="the mask")


@points(
    2,
    part="tools",
    catches=(
        "last-call-is-answered",
        "tool-reads-everything",
        "tool-reads-the-call",
        "all-call-tokens-are-dropped",
        "calls-are-turns",
    ),
    hint="The tool gets the text of one turn, without the token that asks. Nobody reads an answer "
    "after the last turn.",
)
def test_the_tool_is_asked_with_one_turn(student, rng):
    """The tool gets this turn's text without the call token at its end; turns end without a call or at the
    bound, and a call in the last turn is not answered."""
    prompt, turns, answers = a_conversation(rng)
    for max_turns, calls in ((5, 2), (3, 2), (2, 1), (1, 0)):
        scene, found = played(student, turns, answers, prompt, max_turns)
        shown, asked, tokens, _ = expected_play(turns, answers, prompt, max_turns)
        assert_equal(scene.asked, asked, what="what the tool was asked")
        assert_equal(len(scene.shown), len(shown), what="the number of turns")
        assert_equal(int(found.calls), calls, what="the calls")
        assert_equal([int(i) for i in found.tokens], tokens, what="the tokens")
    scene, found = played(student, [[CALL, 1]], answers, prompt, 4)
    own = [*prompt, 0, len(prompt), CALL, 1]
    assert_equal([int(i) for i in found.tokens], own, what="a call that is not last")
    for turns, prompt, max_turns in (([[1]], [], 2), ([[1]], [2], 0), ([[]], [2], 2)):
        with assert_raises(ValueError):
            played(student, turns, answers, prompt, max_turns)


@points(
    2,
    part="tools",
    catches=("padded-on-the-left", "mask-from-ids", "long-masks-pass", "tool-is-trained"),
    hint="Padding is known by its place. A mask that is longer than its tokens was made for others.",
)
def test_transcripts_become_a_batch(student, rng):
    """Rows are filled up on the right, the mask is that of the transcripts whatever their ids, the
    tool's tokens get no gradient, and masks of another length are refused."""
    pad = 3
    rows = []
    for length in (4, 7, 2):
        tokens = rng.integers(0, 9, size=length).tolist()
        tokens[-1], mask = pad, [*rng.integers(0, 2, size=length - 2).tolist(), 0, 1]
        rows.append(Transcript(tokens, mask, 1))
    tokens, mask = student.stack_transcripts(rows, pad)
    assert_equal(
        tokens, torch.tensor([x.tokens + [pad] * (7 - len(x.tokens)) for x in rows]), what="tokens"
    )
    expected = torch.tensor([x.mask + [0] * (7 - len(x.mask)) for x in rows]).bool()
    assert_equal(mask, expected, what="the mask")
    prompt, turns, answers = a_conversation(rng)
    _, found = played(student, turns, answers, prompt, 5)
    tokens, mask = student.stack_transcripts([found, rows[0]], 0)
    written = torch.tensor(expected_play(turns, answers, prompt, 5)[-1]).bool()
    leaf = -normal(rng, *tokens.shape).abs().requires_grad_()
    loss = student.expert_loss(leaf, mask, torch.tensor([True, False]))
    (slope,) = torch.autograd.grad(loss, leaf)
    assert_equal(slope[0] != 0, written, what="where the loss has a gradient")
    long = Transcript([1, 2, 4], [0, 1, 1, 1], 0)
    for wrong in ([long, rows[1]], [*rows, Transcript([1, 2], [1], 0)], []):
        with assert_raises(ValueError):
            student.stack_transcripts(wrong, pad)


# -- a language model ------------------------------------------------------------------------------

WIDTH, HEADS, PLACES = 8, 2, 24


def weights(rng, width=WIDTH, scale=0.5):
    """Weights of a GPT-2 with one layer."""
    shapes = {
        "wte.weight": (15, width), "wpe.weight": (PLACES, width), "h.0.ln_1.weight": (width,), "h.0.ln_1.bias": (width,),
        "h.0.attn.c_attn.weight": (width, 3 * width), "h.0.attn.c_attn.bias": (3 * width,),
        "h.0.attn.c_proj.weight": (width, width), "h.0.attn.c_proj.bias": (width,), "h.0.ln_2.weight": (width,), "h.0.ln_2.bias": (width,),
        "h.0.mlp.c_fc.weight": (width, 4 * width), "h.0.mlp.c_fc.bias": (4 * width,),
        "h.0.mlp.c_proj.weight": (4 * width, width), "h.0.mlp.c_proj.bias": (width,), "ln_f.weight": (width,), "ln_f.bias": (width,),
    }  # fmt: skip
    state = {f"transformer.{name}": normal(rng, *s, scale=scale) for name, s in shapes.items()}
    return state | {"lm_head.weight": state["transformer.wte.weight"]}


def network(lab, state):
    """A GPT-2 of transformers on the student's side with these weights."""
    config = lab.make(
        "transformers.GPT2Config", vocab_size=15, n_positions=PLACES, n_embd=state["transformer.wte.weight"].shape[1],
        n_layer=1, n_head=HEADS, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=EOS, eos_token_id=EOS, pad_token_id=PAD, attn_implementation="eager",
    )  # fmt: skip
    model = lab.make("transformers.GPT2LMHeadModel", config)
    if state["transformer.wte.weight"].dtype == torch.float64:
        model.double()
    model.load_state_dict(state)
    return model.eval()


def forward(state, ids):
    """GPT-2 (Radford et al. 2019) with one layer over rows of equal length, (B, n) int64 -> logits
    (B, n, V): a separate forward pass."""
    get = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    rows, n = ids.shape
    x = get["wte.weight"][ids] + get["wpe.weight"][:n]

    def norm(x, name):
        x = x - x.mean(dim=-1, keepdim=True)
        deviation = (x.pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return x / deviation * get[f"{name}.weight"] + get[f"{name}.bias"]

    def linear(x, name):
        return x @ get[f"{name}.weight"] + get[f"{name}.bias"]

    q, k, v = (
        y.reshape(rows, n, HEADS, -1).transpose(1, 2)
        for y in linear(norm(x, "h.0.ln_1"), "h.0.attn.c_attn").chunk(3, dim=-1)
    )
    future = torch.ones(n, n).triu(1).bool()
    scores = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).masked_fill(future, -torch.inf)
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(rows, n, -1)
    x = x + linear(mixed, "h.0.attn.c_proj")
    hidden = linear(norm(x, "h.0.ln_2"), "h.0.mlp.c_fc")
    bent = torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3))
    x = x + linear(0.5 * hidden * (1 + bent), "h.0.mlp.c_proj")
    return norm(x, "ln_f") @ get["wte.weight"].T


def leaves_of(state):
    """Parameters that can learn. The head shares the embedding's weights."""
    return {
        name: tensor.clone().requires_grad_(True)
        for name, tensor in state.items()
        if name != "lm_head.weight"
    }


def slow_loss(leaves, samples, accepted):
    """The loss of expert iteration, by the separate forward pass."""
    logp = forward(leaves, samples.tokens)[:, :-1].log_softmax(dim=-1)
    logp = logp.gather(2, samples.tokens[:, 1:, None]).squeeze(2)
    return -(row_means(logp, samples.mask[:, 1:]) * accepted).mean()


def slow_step_(leaves, optimizer, samples, accepted, limit):
    """One step down that loss, with a clipped gradient; the loss before it."""
    loss = slow_loss(leaves, samples, accepted)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(leaves.values(), limit)
    optimizer.step()
    return float(loss.detach())


def assert_same_weights(found, expected, before):
    """The changes since ``before``, all as one vector."""
    names = sorted(expected)
    got = torch.cat([(found[name].double() - before[name]).flatten() for name in names])
    want = torch.cat([(expected[name].detach() - before[name]).flatten() for name in names])
    size = float(want.abs().max())
    assert_true(size > 0, "something is learnt")
    assert_close(got / size, want / size, what="the change of the weights", rtol=1e-3, atol=1e-3)


def some_samples(rng):
    """Prompts of two tokens, one of "3", then responses; padding may have been written."""
    marks = ("..xxx", "..xx.", "..x..", "..xxx", "...xx")
    mask = torch.tensor([[mark == "x" for mark in row] for row in marks])
    tokens = torch.tensor(rng.integers(0, 13, size=mask.shape))
    tokens[0, 3] = PAD
    return Samples(tokens.masked_fill(~mask & (torch.arange(5) > 2), PAD), mask)


# -- Part 7: expert iteration ----------------------------------------------------------------------


@points(
    2,
    part="training",
    catches=("prompts-are-learnt-too", "keeps-old-gradients", "gradient-not-clipped"),
    hint="The loss of the rows that you are given, the mask that you are given; clear, backward, "
    "clip the whole norm once, step.",
)
def test_an_update_is_one_clipped_step(student, lab, rng):
    """Two updates are two steps down the loss of the accepted rows, with the norm of the whole
    gradient clipped, whatever gradients are there before, and give the losses before the steps."""
    state, samples = weights(rng), some_samples(rng)
    accepted = torch.tensor([True, False, True, False, True])
    leaves = leaves_of(state)
    grads = torch.autograd.grad(slow_loss(leaves, samples, accepted), list(leaves.values()))
    # Half of the largest entry: clipping single entries would leave more than this norm.
    for limit in (max(float(g.abs().max()) for g in grads) / 2, 1e3):
        model, leaves = network(lab, state), leaves_of(state)
        optimizer = lab.make("torch.optim.SGD", lab.kept(model).parameters(), lr=0.02)
        own = torch.optim.SGD(leaves.values(), lr=0.02)
        seen = torch.ones_like(samples.tokens)
        lab.kept(model)(input_ids=samples.tokens, attention_mask=seen).logits.sum().backward()
        for _ in range(2):
            found = student.expert_update_(model, optimizer, samples, accepted, limit)
            expected = slow_step_(leaves, own, samples, accepted, limit)
            assert_close(found, expected, what="the loss", **SINGLE)
        assert_same_weights(model.state_dict(), leaves, state)


@points(
    1,
    part="training",
    catches="steps-on-nothing",
    hint="A gradient of zero still moves the weights when the optimiser has momentum.",
)
def test_nothing_accepted_changes_nothing(student, lab, rng):
    """An update in which nothing is accepted leaves the weights alone, also with an optimiser that
    has momentum."""
    state, samples = weights(rng), some_samples(rng)
    model = network(lab, state)
    optimizer = lab.make("torch.optim.Adam", lab.kept(model).parameters(), lr=0.02)
    some, none = torch.tensor([True, True, False, True, False]), torch.zeros(5).bool()
    first = student.expert_update_(model, optimizer, samples, some, 1.0)
    expected = float(slow_loss(leaves_of(state), samples, some).detach())
    assert_close(first, expected, what="the loss", **SINGLE)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moved = max(float((before[name] - tensor).abs().max()) for name, tensor in state.items())
    assert_true(moved > 1e-3, "the first update has changed something")
    found = student.expert_update_(model, optimizer, samples, none, 1.0)
    assert_close(found, 0.0, what="the loss of nothing")
    for name, tensor in model.state_dict().items():
        assert_close(tensor, before[name], rtol=0.0, atol=0.0, what="a weight after nothing")


class Judge:
    """A reward function that remembers: right is what begins with an even token."""

    def __init__(self):
        self.rounds = []

    def __call__(self, prompts, responses):
        prompts, responses = [str(x) for x in prompts], [str(x) for x in responses]
        rewards = [float(VOCABULARY.index(text[0]) % 2 == 0) for text in responses]
        self.rounds.append((prompts, responses, rewards))
        return rewards


ASKED = ("12>", "34>", "5r>", "s7>", "89>", "00>")


def first_token(state, asked):
    """The distribution of the first token after each prompt, (P, V)."""
    ids = torch.tensor([[VOCABULARY.index(c) for c in prompt] for prompt in asked])
    return forward(state, ids)[:, -1].softmax(dim=-1)


def trained(student, model, asked=ASKED, seed=5, **changes):
    """A short run of a model: the judge, and the result."""
    settings = {
        "iterations": 2, "prompts": 5, "group_size": 4, "most": 2, "max_new": 3, "epochs": 1, "lr": 0.01,
        "grad_norm": 1.0,
    } | changes  # fmt: skip
    judge = Judge()
    result = student.train_expert(
        model,
        list(asked),
        lambda prompts, said: judge(prompts, said),
        student.ExpertConfig(**settings),
        seed,
    )
    return judge, result


def bounded(rewards, size, most):
    """The first right answers of each group of ``size`` rows."""
    chosen, count = [], 0
    for row, reward in enumerate(rewards):
        count = 0 if row % size == 0 else count
        count += int(reward)
        chosen.append(reward == 1 and count <= most)
    return torch.tensor(chosen)


def as_samples(prompts, responses, max_new):
    """Tokens and mask of texts."""
    width = len(prompts[0]) + max_new
    rows = [[VOCABULARY.index(c) for c in prompt + said] for prompt, said in zip(prompts, responses, strict=True)]  # fmt: skip
    mask = torch.zeros(len(rows), width).bool()
    for row, (prompt, said) in enumerate(zip(prompts, responses, strict=True)):
        mask[row, len(prompt) : len(prompt) + len(said)] = True
    return Samples(torch.tensor([row + [PAD] * (width - len(row)) for row in rows]), mask)


@points(
    3,
    part="training",
    catches=(
        "decays-the-weights",
        "prompts-take-turns",
        "groups-by-drawn-index",
        "one-epoch",
        "solved-groups-are-not-learnt",
    ),
    hint="Replay it: what was sampled and how it was rewarded decides every step. A prompt that was "
    "drawn twice makes two groups.",
)
def test_training_imitates_what_was_accepted(student, lab, rng):
    """The weights at the end are those of AdamW without decay on the accepted rows of each
    iteration, with the bound in each group and all its epochs."""
    while True:
        state = weights(rng)
        passing = first_token(state, ASKED[:2])[:, ::2].sum(dim=1)
        # Some of 36 groups are solved, and some have a wrong answer.
        if float(passing.min()) > 0.45 and float(passing.max()) < 0.85:
            break
    cfg = {"iterations": 3, "prompts": 12, "group_size": 3, "most": 2, "epochs": 2}
    cfg["grad_norm"] = 0.3
    seed = int(rng.integers(1000))
    judge, result = trained(student, network(lab, state), ASKED[:2], seed, **cfg)
    leaves = leaves_of(state)
    own = torch.optim.AdamW(leaves.values(), lr=0.01, weight_decay=0.0)
    assert_equal(len(judge.rounds), 3, what="the number of iterations")
    for prompts, responses, rewards in judge.rounds:
        assert_equal(len(prompts), 36, what="the number of rows")
        first = [prompts[row - row % 3] for row in range(36)]
        assert_equal(prompts, first, what="the prompts of neighbouring rows")
        accepted = bounded(rewards, 3, 2)
        for _ in range(2):
            if bool(accepted.any()):
                samples = as_samples(prompts, responses, 3)
                slow_step_(leaves, own, samples, accepted, 0.3)
    last = float(np.mean(judge.rounds[-1][2]))
    assert_close(result.history["reward_mean"][-1], last, what="the last mean reward", **TIGHT)
    assert_same_weights(result.policy.state_dict(), leaves, state)


@points(
    2,
    part="training",
    catches="samples-from-the-start",
    hint="Each iteration samples from the model that has learnt from the one before.",
)
def test_what_passes_becomes_likely(student, lab, rng):
    """After some iterations nearly all samples pass that did so by chance at first."""
    state = weights(rng, scale=0.3)
    cfg = {
        "iterations": 15,
        "prompts": 6,
        "group_size": 8,
        "max_new": 1,
        "most": 8,
        "epochs": 3,
        "lr": 0.03,
    }
    judge, result = trained(student, network(lab, state), **cfg)
    last = float(np.mean(judge.rounds[-1][2]))
    assert_close(result.history["reward_mean"][-1], last, what="the last mean reward", **TIGHT)
    # In 40 runs of the reference all of the last 48 samples passed, and 40% of the first.
    late = judge.rounds[-1][2]
    assert_true(float(np.mean(late)) > 0.9, "nearly all of the last samples pass")
    learnt = {name: tensor.double() for name, tensor in result.policy.state_dict().items()}
    passing = first_token(learnt, ASKED)[:, ::2].sum(dim=1)
    assert_true(float(passing.min()) > 0.9, "right answers have become likely to every prompt")


@points(
    2,
    part="training",
    catches=("reward-of-the-kept", "accepted-of-the-right", "only-failed-groups-are-dead"),
    hint="All rows that were sampled are in the books: those that failed, and those of groups "
    "without spread.",
)
def test_the_books_count_every_sample(student, lab, rng):
    """The mean reward, the share of accepted rows and the share of groups without spread are those
    of all samples of an iteration."""
    state = weights(rng)
    cfg = {"iterations": 6, "prompts": 9, "group_size": 2, "most": 1, "lr": 0.03}
    judge, result = trained(student, network(lab, state), **cfg)
    wanted = {"reward_mean": [], "accepted": [], "dead_groups": []}
    for _, _, rewards in judge.rounds:
        pairs = np.array(rewards).reshape(9, 2)
        wanted["reward_mean"].append(float(pairs.mean()))
        wanted["accepted"].append(float(bounded(rewards, 2, 1).double().mean()))
        wanted["dead_groups"].append(float((pairs[:, 0] == pairs[:, 1]).mean()))
    for name, numbers in wanted.items():
        found = [float(x) for x in result.history[name]]
        assert_close(found, numbers, what=name, **TIGHT)


@points(
    2,
    part="training",
    catches=(
        "trains-its-argument",
        "uses-the-global-generator",
        "same-prompts-every-time",
        "first-prompts-only",
        "same-noise-every-time",
    ),
    hint="copy.deepcopy first; one generator, made once from the seed, for prompts and samples.",
)
def test_the_seed_decides_and_a_copy_learns(student, lab, rng):
    """The same seed gives the same samples and another one others, global generators and the model
    handed in stay as they were, prompts are drawn with replacement, all alike, and responses from
    the model, in each iteration anew."""
    state = weights(rng)
    model, runs, states = network(lab, state), [], []
    for count, seed in enumerate((3, 3, 4)):
        lab.seed(count + 1)
        states.append(lab.global_rng_state())
        judge, result = trained(student, model, seed=seed)
        states.append(lab.global_rng_state())
        runs.append(judge.rounds)
        mean = float(np.mean(judge.rounds[0][2]))
        assert_close(result.history["reward_mean"][0], mean, what="the first mean reward", **TIGHT)
        learnt = result.policy.state_dict()
        moved = max(float((learnt[name] - tensor).abs().max()) for name, tensor in state.items())
        assert_true(moved > 1e-3, "the copy has learnt something")
    seed = int(rng.integers(1000))
    # Nearly nothing is learnt, so that both iterations sample from the weights handed in.
    cfg = {"prompts": 900, "group_size": 1, "max_new": 1, "iterations": 2, "lr": 1e-9}
    judge, result = trained(student, model, seed=seed, **cfg)
    mean = float(np.mean(judge.rounds[1][2]))
    assert_close(result.history["reward_mean"][1], mean, what="the second mean reward", **TIGHT)
    for before, after in zip(states[::2], states[1::2], strict=True):
        assert_equal(after, before, what="the state of the global generators")
    for name, tensor in model.state_dict().items():
        assert_close(tensor, state[name], rtol=0.0, atol=0.0, what="the model handed in")
    assert_equal(runs[1] == runs[0], True, what="whether the same seed gives the same samples")
    assert_equal(runs[2] == runs[0], False, what="whether another seed gives the same samples")
    one, two = (np.array([ASKED.index(text) for text in asked]) for asked, _, _ in judge.rounds)
    probs = first_token(state, ASKED).numpy()
    even = probs[:, ::2].sum(axis=1)
    for place, passed in ((one, judge.rounds[0][2]), (two, judge.rounds[1][2])):
        right = np.bincount(place, weights=passed, minlength=6)
        counts = np.stack([right, np.bincount(place, minlength=6) - right])
        assert_frequencies(counts, np.stack([even, 1 - even]) / 6, what="responses that pass")
    same = one == two
    alike = [a == b for a, b in zip(judge.rounds[0][1], judge.rounds[1][1], strict=True)]
    equal, chance = np.array(alike)[same].sum(), (probs[one[same]] ** 2).sum(axis=1).mean()
    assert_frequencies(
        np.array([equal, same.sum() - equal]), np.array([chance, 1 - chance]),
        what="equal and other responses of two iterations to the same prompt",
    )  # fmt: skip
    counts = np.zeros((6, 6))
    np.add.at(counts, (one, two), 1)
    assert_frequencies(counts, np.full((6, 6), 1 / 36), what="prompts of two iterations")
    counts = np.zeros((6, 6))
    np.add.at(counts, (one[::2], one[1::2]), 1)
    assert_frequencies(counts, np.full((6, 6), 1 / 36), what="prompts that stand together")


# -- Part 8: shaping -------------------------------------------------------------------------------


def process(rng, states=5, actions=3):
    """A random process: P, R (S, A, S), gamma, and which state is terminal; P is 0 out of it."""
    terminal = torch.zeros(states).bool()
    terminal[int(rng.integers(states))] = True
    P = torch.tensor(rng.dirichlet(np.ones(states), size=(states, actions)))
    P[terminal] = 0.0
    return P, normal(rng, states, actions, states), float(rng.uniform(0.7, 0.9)), terminal


def optimal_values(P, R, gamma):
    """Q* by value iteration to the last digit; rows of P out of terminal states are 0."""
    q = torch.zeros(P.shape[:2]).double()
    for _ in range(600):
        q = (P * (R + gamma * q.max(dim=1).values)).sum(dim=2)
    return q


SHAPING_BUGS = (
    "terminal-potential-counts",
    "bonus-without-gamma",
    "bonus-with-the-wrong-sign",
    "bonus-is-the-potential",
    "bonus-turned-round",
    "gamma-on-the-wrong-side",
    "terminal-states-are-shaped",
)


@points(
    2,
    part="shaping",
    catches=SHAPING_BUGS,
    hint="gamma times the potential of where one arrives, minus that of where one was; terminal "
    "states have none.",
)
def test_the_bonus_is_a_difference_of_potentials(student, rng):
    """Each reward gets gamma Phi(s') - Phi(s), with a potential of 0 in terminal states, out of
    which nothing is changed."""
    _, R, gamma, terminal = process(rng)
    phi = normal(rng, 5, scale=3.0)
    expected = R.clone()
    for s, after in itertools.product(range(5), range(5)):
        if not terminal[s]:
            expected[s, :, after] += gamma * (0.0 if terminal[after] else phi[after]) - phi[s]
    found = student.shaped_rewards(R, phi, gamma, terminal)
    assert_close(found, expected, what="the rewards", **TIGHT)
    for wrong in (
        (R, phi[1:], gamma, terminal),
        (R, phi, 1.1, terminal),
        (R, phi, gamma, terminal[1:]),
    ):
        with assert_raises(ValueError):
            student.shaped_rewards(*wrong)


@points(
    2,
    part="shaping",
    catches=SHAPING_BUGS[:6],
    hint="Along an episode the potentials cancel, but for the first: Q* of the shaped process is "
    "Q* - Phi. If yours is not, look at the terminal state.",
)
def test_shaping_shifts_values_and_keeps_the_best_actions(student, rng):
    """With shaped rewards Q* is Q* - Phi in every state that goes on, so the same actions are
    best."""
    P, R, gamma, terminal = process(rng)
    phi = normal(rng, 5, scale=3.0)
    plain = optimal_values(P, R, gamma)
    shaped = optimal_values(P, student.shaped_rewards(R, phi, gamma, terminal).double(), gamma)
    expected = plain[~terminal] - phi[~terminal, None]
    assert_close(
        shaped[~terminal], expected, what="Q* of the shaped process", rtol=1e-10, atol=1e-10
    )


@points(
    2,
    part="shaping",
    catches=(
        "potential-with-the-wrong-sign",
        "everything-is-a-potential",
        "checks-without-signs",
        "tolerance-grows-with-the-bonus",
    ),
    hint="F(s, s) = (gamma - 1) Phi(s) leaves one candidate. Then every entry has to agree with it.",
)
def test_a_bonus_has_a_potential_or_none(student, rng):
    """The potential behind a bonus is found, whatever its constant, and a bonus that is changed in
    one entry, paid for arriving, or turned round has none."""
    phi, gamma = normal(rng, 4, scale=2.0), float(rng.uniform(0.6, 0.95))
    bonus = gamma * phi[None, :] - phi[:, None]
    for shift in (0.0, 3.7):
        found = student.potential_of(bonus + (gamma - 1) * shift, gamma)
        assert_close(found, phi + shift, what="the potential", **TIGHT)
    # The largest entry: a tolerance that grows with the bonus is widest there.
    far = (bonus - torch.diag(bonus.diagonal())).abs().argmax()
    one, two = divmod(int(far), 4)
    changed, flipped = bonus.clone(), bonus.clone()
    changed[one, two] += 1e-6
    flipped[one, two] *= -1
    others = (changed, flipped, bonus.T.clone(), phi.abs().expand(4, 4) + 1.0)
    found = [student.potential_of(other, gamma) for other in others]
    assert_equal(found, [None] * 4, what="the potentials of other bonuses")
    for wrong in ((bonus, 1.0), (bonus[1:], gamma)):
        with assert_raises(ValueError):
            student.potential_of(*wrong)


# -- learning --------------------------------------------------------------------------------------

# A prompt is two digits from 0 to 4, "34>"; right is their sum and the end, "7$". All 25 prompts are
# trained on, from random weights, by their rewards alone. What is measured is the share of prompts
# whose likeliest answer is right. A policy that answers all prompts with one digit has 0.2 at most,
# one that does not learn has 0. The proof has the figures of the reference in 30 runs. One of three
# runs is enough.
LEARNING_SEEDS = (21, 22, 23)
THRESHOLD = 0.7


def digit_sums(prompts, responses):
    """1.0 for the sum and the end."""
    return [
        float(said == f"{int(prompt[0]) + int(prompt[1])}$")
        for prompt, said in zip(prompts, responses, strict=True)
    ]


def solved(student, lab, seed):
    """How many prompts the trained policy answers rightly when it takes the likeliest tokens."""
    rng = np.random.default_rng(seed)
    state = {name: tensor.float() for name, tensor in weights(rng, 32, scale=0.1).items()}
    for name in state:
        if "ln_" in name and name.endswith("weight"):
            state[name] = torch.ones_like(state[name])
    state["lm_head.weight"] = state["transformer.wte.weight"]
    prompts = [f"{a}{b}>" for a, b in itertools.product(range(5), repeat=2)]
    cfg = student.ExpertConfig(
        iterations=70,
        prompts=25,
        group_size=32,
        most=4,
        max_new=2,
        epochs=4,
        lr=0.003,
        grad_norm=1.0,
    )
    result = student.train_expert(
        network(lab, state), prompts, lambda asked, said: digit_sums(asked, said), cfg, seed
    )
    found = {name: tensor.float() for name, tensor in result.policy.state_dict().items()}
    assert_equal(sorted(found), sorted(state), what="names of weights")
    for name, tensor in state.items():
        assert_equal(found[name].shape == tensor.shape, True, what="the shapes are those handed in")
    ids = torch.tensor([[VOCABULARY.index(c) for c in prompt] for prompt in prompts])
    with torch.no_grad():
        for _ in range(2):
            ids = torch.cat([ids, forward(found, ids)[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    right = ids[:, 0] + ids[:, 1]
    return float(((ids[:, 3] == right) & (ids[:, 4] == EOS)).double().mean())


@points(
    8,
    part="training",
    learning=True,
    seconds=300,
    hint="Look at report.py: does the mean reward rise, and is it the reward of all samples?",
)
def test_sums_are_learnt_from_rewards_alone(student, lab):
    """From random weights and rewards alone, training learns the sums of two small digits: at least
    70% of the likeliest answers are right, in one of three runs."""
    shares = []
    for seed in LEARNING_SEEDS:
        shares.append(solved(student, lab, seed))
        if shares[-1] >= THRESHOLD:
            return
    assert_true(max(shares) >= THRESHOLD, f"shares {shares} reach {THRESHOLD}")
