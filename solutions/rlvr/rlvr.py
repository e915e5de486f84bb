"""Rewards that can be verified: checkers that hold, and learning from what passes them.

Conventions, for every function of this file

* A reward is 1.0 or 0.0. What a policy wrote never raises an exception: text that cannot be read,
  a program that breaks a rule, an answer that is no text, all earn 0.0, and they all count.
* ``None`` stands for "no answer". It is never right, and it never leaves a mean.
* What a policy wrote is never handed to ``eval`` or ``exec``: it is read, and a short list of
  things is allowed.
* A batch of tokens is (B, L). ``mask`` (B, L) is 1 at a token that the policy wrote. Prompts, what
  a tool answered and padding are 0 and influence nothing.
* Rewards are one number for each row, (B,). Rows with equal ``group_ids`` answer the same prompt;
  ids are arbitrary integers in any order.
* Losses are to be minimised. Arguments are never changed, except by functions whose name ends in
  ``_``. Random numbers come from the generator or the seed that is handed in.
* Impossible arguments raise ValueError with a sentence.

Sources: Chen et al. (2021), arXiv:2107.03374; Zelikman et al. (2022), arXiv:2203.14465; Lambert et
al. (2024), arXiv:2411.15124; Yu et al. (2025), arXiv:2503.14476; Ng, Harada and Russell (1999),
"Policy invariance under reward transformations".
"""

from __future__ import annotations

### BEGIN SOLUTION
import ast
import copy
import itertools
import math
import operator
import re
from collections import Counter

### END SOLUTION
from collections.abc import Callable, Sequence
from dataclasses import dataclass

### BEGIN SOLUTION
from fractions import Fraction

### END SOLUTION
from typing import Any, NamedTuple

import torch
from tiny_lm import EOS, PAD, build_policy, decode, encode  # noqa: F401
from torch import Tensor

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


class Groups(NamedTuple):
    """What ``filter_groups`` returns."""

    keep: Tensor  # (B,) bool: the row's group has right and wrong answers
    solved: int  # how many groups were dropped because every answer was right
    failed: int  # how many were dropped because every answer was wrong


class Drawn(NamedTuple):
    """What ``dynamic_sampling`` returns."""

    kept: list[int]  # the numbers of the groups that have spread, in order
    drawn: int  # how many groups were drawn in all
    reward_mean: float  # mean reward of all answers that were drawn, not of those that were kept


class Transcript(NamedTuple):
    """What ``rollout`` returns: one conversation of a policy with its tool."""

    tokens: list[int]  # prompt, what the policy wrote, what the tool answered, in their order
    mask: list[int]  # of the same length: 1 at a token that the policy wrote, else 0
    calls: int  # how often the tool was asked


class Samples(NamedTuple):
    """What ``sample_responses`` returns."""

    tokens: Tensor  # (B, L) int64: prompt, response, padding
    mask: Tensor  # (B, L) bool: the response, its end of sequence included


class Result(NamedTuple):
    """What ``train_expert`` returns."""

    policy: Any  # the trained copy
    history: dict[str, list[float]]  # one number for each iteration


@dataclass(frozen=True)
class ExpertConfig:
    """What ``train_expert`` needs to know."""

    iterations: int = 70
    prompts: int = 25  # for one iteration
    group_size: int = 32  # samples for one prompt
    most: int = 4  # right answers to one prompt that are learnt from
    max_new: int = 2  # tokens of a response, end of sequence included
    epochs: int = 4  # steps of the optimiser on the answers of one iteration
    lr: float = 3e-3
    grad_norm: float = 1.0


# -- Part 1: reading and comparing answers ---------------------------------------------------------


def read_answer(prompt: str, response: str) -> str | None:
    """The answer in a response of the form <think>reasoning</think><answer>answer</answer>.

    Nothing may stand before, between or after the two blocks but blanks (spaces, tabs, line
    breaks). Each of the four tags occurs exactly once. The reasoning must not be empty, and must
    not be the prompt once more, both judged with runs of blanks taken as one and blanks at the ends
    dropped. An empty answer is no answer.

    Args:
        prompt: what the policy was asked.
        response: what it wrote: any text at all.

    Returns:
        The answer without blanks at its ends, or None.
    """
    # TODO(answers): each tag once; one pattern for the whole text; judge the reasoning.
    ### BEGIN SOLUTION
    # BUG(several-answers-pass): counted = True
    # WHEN a response is accepted although one of the tags occurs in it more than once.
    # BUG(several-answers-pass, 2): counted = all(response.count(tag) == 1 for tag in TAGS[::2])
    counted = all(response.count(tag) == 1 for tag in TAGS)
    if not counted:
        # Before the pattern, which takes long on a text with many tags.
        return None
    # BUG(answer-anywhere): found = re.search(r"<think>(.*?)</think>\s*<answer>(.*?)</answer>", response, re.DOTALL)
    # WHEN text outside of the two blocks is passed over, at one of their sides or at all of them.
    # BUG(answer-anywhere, 2): found = re.match(r"\s*<think>(.*)</think>.*<answer>(.*)</answer>", response, re.DOTALL)
    # BUG(line-breaks-are-refused): found = re.fullmatch(r"\s*<think>(.*)</think>\s*<answer>(.*)</answer>\s*", response)
    # WHEN a dot does not match a line break, so that reasoning of several lines has no answer.
    # BUG(no-blanks-between-blocks): found = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer>", response, re.DOTALL)
    # WHEN blanks around or between the two blocks are refused.
    found = re.fullmatch(r"\s*<think>(.*)</think>\s*<answer>(.*)</answer>\s*", response, re.DOTALL)
    if found is None:
        return None
    reasoning, answer = found.groups()
    # BUG(empty-reasoning-passes): blank = False
    # WHEN reasoning that is empty, or blanks alone, is accepted.
    # BUG(empty-reasoning-passes, 2): blank = reasoning == ""
    blank = not reasoning.strip()
    # BUG(echo-of-the-prompt-passes): echo = False
    # WHEN the prompt, copied, counts as reasoning.
    # BUG(echo-of-the-prompt-passes, 2): echo = reasoning == prompt
    # BUG(prompt-inside-is-an-echo): echo = " ".join(prompt.split()) in " ".join(reasoning.split())
    # WHEN reasoning that quotes the prompt and then goes on is taken for a copy of it.
    echo = reasoning.split() == prompt.split()
    # BUG(empty-answer-counts): return None if blank or echo else answer.strip()
    # WHEN an empty answer block gives an empty text instead of no answer.
    return None if blank or echo else answer.strip() or None
    ### END SOLUTION


def parse_number(text: str) -> tuple[int, int] | None:
    """The exact value of a number as people write it.

    An optional sign (+ or -), then one of
        digits                    7, 007
        digits in threes          1,234,567: up to three digits, then groups of three after commas
        either, and decimals      3.50, 1,234.5: at least one digit on both sides of the point
        a fraction                -6/8: digits on both sides, no decimals, the lower one not zero
    Only the digits 0 to 9. Blanks are allowed at the ends, where they do not count, and nowhere
    else; the rest has at most 40 characters. No exponents: "1e999999999" would fill the memory.

    Args:
        text: any text.

    Returns:
        (numerator, denominator) in lowest terms, the denominator at least 1; None if the text is
        not such a number.
    """
    # TODO(answers): one pattern for the whole text, then exact arithmetic.
    ### BEGIN SOLUTION
    # BUG(inner-blanks-are-dropped): text = text.replace(" ", "")
    # WHEN blanks inside a number, at least those after its sign, are dropped: "- 7" is -7.
    # BUG(inner-blanks-are-dropped, 2): text = re.sub(r"^([+-])\s+", r"\1", text.strip())
    # BUG(blanks-have-a-length): text = text.strip() if len(text) <= 40 else ""
    # WHEN blanks at the ends count among the 40 characters.
    # BUG(plus-below-the-line): text = text.strip().replace("/+", "/")
    # WHEN the lower number of a fraction may have a plus sign.
    text = text.strip()
    # BUG(any-commas): whole = r"(?:[0-9][0-9,]*)"
    # WHEN commas may stand anywhere in a number, so that the list "1,2" is 12.
    # BUG(commas-are-refused): whole = r"(?:[0-9]+)"
    # WHEN commas between groups of three digits are refused.
    # BUG(digits-of-all-scripts): whole = r"(?:\d+|\d{1,3}(?:,\d{3})+)"
    # WHEN digits of other scripts pass for 0 to 9.
    whole = r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)"
    plain = re.fullmatch(rf"[+-]?{whole}(?:\.[0-9]+)?", text)
    # BUG(commas-in-fractions): ratio = re.fullmatch(rf"([+-]?{whole})/([0-9]+)", text)
    # WHEN the upper number of a fraction may have commas.
    ratio = re.fullmatch(r"([+-]?[0-9]+)/([0-9]+)", text)
    # BUG(numbers-of-any-length): long = False
    # WHEN a number may have any length.
    # BUG(sign-has-no-length): long = len(text.lstrip("+-")) > 40
    # WHEN the sign does not count among the 40 characters.
    long = len(text) > 40
    # BUG(fractions-are-text): if long or not plain:
    # WHEN a fraction is not taken for a number.
    if long or not (plain or ratio) or (ratio and int(ratio[2]) == 0):
        return None
    # BUG(through-floats): value = Fraction(float(plain[0].replace(",", ""))) if plain else Fraction(int(ratio[1]) / int(ratio[2]))
    # WHEN numbers go through floats, so that long ones lose their last digits.
    # BUG(through-floats, 2): value = Fraction(float(plain[0].replace(",", "")) if plain else int(ratio[1]) / int(ratio[2])).limit_denominator(10**6)
    # BUG(sign-is-lost): value = abs(Fraction(text.replace(",", "")))
    # WHEN the sign of a number is lost.
    value = Fraction(text.replace(",", ""))
    return value.numerator, value.denominator
    ### END SOLUTION


def same_answer(answer: object, target: str) -> bool:
    """Whether an answer is the right one.

    If both are numbers (``parse_number``), their values decide, exactly: "1/2", "0.50" and "2/4"
    are the same. If neither is, the texts decide, with runs of blanks taken as one and blanks at
    the ends dropped; upper and lower case differ. A number and a text are never the same.

    Args:
        answer: what was read: a text, or anything else. Whatever is not a ``str`` is not right,
            None and numbers included, and also objects that claim to be equal to everything.
        target: the right answer.
    """
    # TODO(answers): the type first, then values, then texts.
    ### BEGIN SOLUTION
    # BUG(anything-is-compared): if answer is None or not (answer := str(answer)):
    # WHEN an answer that is no text is turned into one and compared.
    # BUG(anything-is-compared, 2): if answer is None or isinstance(answer, (list, tuple)) or not (answer := str(answer)):
    if type(answer) is not str:
        # BUG(asked-whether-it-is-equal): return bool(answer == target)
        # WHEN an object that is no text is asked itself whether it is the answer, and says yes.
        return False
    # BUG(equal-by-string, 2): values = (None, None)
    values = parse_number(answer), parse_number(target)
    # BUG(equal-by-string): return " ".join(answer.split()) == " ".join(target.split())
    # WHEN texts are compared where numbers are meant: "1/2" is not "0.5".
    # BUG(target-inside-the-answer): return " ".join(target.split()) in " ".join(answer.split()) if None in values else values[0] == values[1]
    # WHEN an answer is right if the target stands somewhere in it, or the other way round.
    # BUG(target-inside-the-answer, 2): return " ".join(answer.split()) in " ".join(target.split()) if None in values else values[0] == values[1]
    # BUG(case-is-ignored): return " ".join(answer.lower().split()) == " ".join(target.lower().split()) if None in values else values[0] == values[1]
    # WHEN upper and lower case are the same.
    # BUG(nearly-equal): return answer.split() == target.split() if None in values else abs(Fraction(*values[0]) - Fraction(*values[1])) < Fraction(1, 10**4)
    # WHEN numbers that are close to each other are the same.
    equal = values[0] == values[1]
    if None not in values:
        return equal
    # BUG(two-failures-agree): return values[0] == values[1]
    # WHEN two texts of which neither is a number are the same, as None equals None.
    return values == (None, None) and answer.split() == target.split()
    ### END SOLUTION


def answer_reward(prompt: str, response: str, target: str) -> float:
    """1.0 for a response with the right answer in the right form, else 0.0 (given)."""
    return float(same_answer(read_answer(prompt, response), target))


# -- Part 2: programs with limits ------------------------------------------------------------------


def countdown_reward(answer: object, numbers: Sequence[int], target: int) -> float:
    """1.0 if an answer makes the target out of the numbers, as in the game Countdown, else 0.0.

    The answer is an expression of whole numbers without leading zeros, + - * /, parentheses and
    spaces, and nothing else: no signs before a number, no powers (**), no whole division (//), at
    most 100 characters. Each of ``numbers`` is used exactly as often as it is given. Values are exact: 8 / 3 * 3 is 8.

    Args:
        answer: what was read; anything but a ``str`` earns 0.0.
        numbers: whole numbers, at least 1 each.
        target: the number to reach.

    Returns:
        0.0 or 1.0; it never raises because of the answer.
    """
    # TODO(programs): allow characters; ast.parse(..., mode="eval"); walk the tree with Fractions; compare the numbers used.
    ### BEGIN SOLUTION
    # BUG(countdown-of-any-characters): allowed = type(answer) is str
    # WHEN an expression may hold other characters than those listed, or be as long as it likes.
    # BUG(countdown-of-any-characters, 2): allowed = type(answer) is str and set(answer) <= set("0123456789+-*/() ")
    allowed = type(answer) is str and set(answer) <= set("0123456789+-*/() ") and len(answer) <= 100
    if not allowed:
        return 0.0
    used: list[int] = []
    try:
        # BUG(countdown-by-eval): value, used = eval(str(answer)), [int(n) for n in re.findall("[0-9]+", str(answer))]
        # WHEN an expression may do what eval can: powers, whole division, signs, and division that
        # WHEN rounds.
        # BUG(countdown-by-eval, 2): value, used = round(eval(str(answer)), 6), [int(n) for n in re.findall("[0-9]+", str(answer))]
        value = _rational(ast.parse(str(answer).strip(), mode="eval").body, used)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return 0.0
    # BUG(numbers-are-reused): fair = set(used) == set(numbers)
    # WHEN a number may be used more often than it is given.
    # BUG(numbers-are-left-out): fair = not Counter(used) - Counter(numbers)
    # WHEN numbers may be left out.
    # BUG(numbers-do-not-matter): fair = True
    # WHEN any numbers may be used, the target itself included.
    fair = Counter(used) == Counter(numbers)
    # BUG(countdown-truncates): return float(fair and int(value) == target)
    # WHEN a value is rounded before it is compared.
    # BUG(countdown-truncates, 2): return float(fair and round(value) == target)
    return float(fair and value == target)
    ### END SOLUTION


### BEGIN SOLUTION

RATIONAL: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
WHOLE: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
COMPARE: dict[type, Callable[[int, int], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _rational(node: ast.expr, used: list[int]) -> Fraction:
    """What an expression is worth; the numbers in it are added to ``used``."""
    match node:
        case ast.Constant(value=int(number)):
            used.append(number)
            return Fraction(number)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in RATIONAL:
            # BUG(countdown-in-floats): return Fraction(float(RATIONAL[type(op)](_rational(left, used), _rational(right, used))))
            # WHEN values are floats, so that 49 times 1/49 is not 1.
            return RATIONAL[type(op)](_rational(left, used), _rational(right, used))
    raise ValueError("that is not in the game.")


class _Machine:
    """Runs a program, statement by statement, within a budget."""

    def __init__(self, x: int, steps: int, bits: int) -> None:
        # BUG(unset-names-are-zero): self.names = Counter({"x": x})
        # WHEN a name that has no value yet is 0, at least where something is added to it.
        self.names = {"x": x}
        # BUG(runs-too-long): self.left = 40 * steps
        # WHEN a program may run for longer than its budget.
        # BUG(one-step-less): self.left = steps - 1
        # WHEN a program that needs just its budget is stopped.
        self.left = steps
        # BUG(numbers-grow): self.bits = 64 * bits
        # WHEN numbers may grow beyond the limit.
        # BUG(bits-are-digits): self.bits = round(bits * 3.33)
        # WHEN the limit counts decimal digits instead of bits.
        self.bits = bits

    def run(self, body: list[ast.stmt]) -> None:
        """Execute statements."""
        for statement in body:
            match statement:
                # BUG(several-names-at-once): case ast.Assign(targets=[ast.Name(id=name), *_], value=value):
                # WHEN one assignment may have several names, as in y = z = 3.
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.step()
                    self.names[name] = self.value(value)
                # BUG(unset-names-are-zero, 2): case ast.AugAssign(target=ast.Name(id=name), op=op, value=value) if self.names.setdefault(name, 0) is not None:
                case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                    self.step()
                    held = ast.Name(name, ast.Load())
                    self.names[name] = self.value(ast.BinOp(held, op, value))
                case ast.While(test=test, body=inner, orelse=[]):
                    # BUG(conditions-cost-nothing, 2): while setattr(self, "left", self.left + 1) or self.holds(test):
                    while self.holds(test):
                        self.run(inner)
                case ast.If(test=test, body=inner, orelse=otherwise):
                    self.run(inner if self.holds(test) else otherwise)
                # BUG(lone-texts-are-skipped): case _ if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                # WHEN a text that stands alone is passed over.
                case _:
                    raise ValueError("that is not in the language.")

    def step(self) -> None:
        """Use up one step."""
        self.left -= 1
        if self.left < 0:
            raise ValueError("the budget of steps is used up.")

    def holds(self, test: ast.expr) -> bool:
        """Whether a condition holds."""
        # BUG(conditions-cost-nothing): pass
        # WHEN looking at a condition, at least at that of while, is not a step.
        self.step()
        match test:
            # BUG(chains-are-cut): case ast.Compare(left=left, ops=[op, *_], comparators=[right, *_]) if type(op) in COMPARE:
            # WHEN of a chain such as 1 < y < 5 only the first comparison is looked at.
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARE:
                return COMPARE[type(op)](self.value(left), self.value(right))
        # BUG(numbers-are-conditions): return self.value(test) != 0
        # WHEN a number stands as a condition.
        raise ValueError("that is no condition.")

    def value(self, node: ast.expr) -> int:
        """What an expression is worth: a whole number of at most ``bits`` bits."""
        match node:
            # BUG(booleans-are-numbers): case ast.Constant(value=int(found)):
            # WHEN True and False pass for 1 and 0.
            case ast.Constant(value=int(found)) if type(found) is int:
                pass
            case ast.Name(id=name):
                found = self.names[name]
            case ast.UnaryOp(op=ast.UAdd(), operand=inner):
                found = self.value(inner)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                found = -self.value(inner)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                found = self.power(self.value(left), self.value(right))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in WHOLE:
                # BUG(division-towards-zero): found = int(self.value(left) / self.value(right)) if isinstance(op, ast.FloorDiv) else WHOLE[type(op)](self.value(left), self.value(right))
                # WHEN // rounds towards zero, as in C, instead of down.
                # BUG(remainder-with-the-sign-of-the-left): found = int(math.fmod(self.value(left), self.value(right))) if isinstance(op, ast.Mod) else WHOLE[type(op)](self.value(left), self.value(right))
                # WHEN a remainder has the sign of the left number, as in C.
                found = WHOLE[type(op)](self.value(left), self.value(right))
            case _:
                raise ValueError("that is not in the language.")
        if found.bit_length() > self.bits:
            raise ValueError("that number is too large.")
        return found

    def power(self, base: int, exponent: int) -> int:
        """A power, unless it is a fraction or certainly too large."""
        # BUG(negative-powers-are-rounded): if (base.bit_length() - 1) * exponent >= self.bits:
        # WHEN a negative power, a fraction, is rounded instead of being refused.
        # BUG(negative-powers-are-rounded, 2): if exponent > 0 and (base.bit_length() - 1) * exponent >= self.bits:
        if exponent < 0 or (base.bit_length() - 1) * exponent >= self.bits:
            raise ValueError("that power is no number that is allowed.")
        # BUG(negative-powers-are-rounded): return int(base**exponent)
        # BUG(negative-powers-are-rounded, 2): return math.ceil(base**exponent)
        return base**exponent


### END SOLUTION
### BEGIN BUGS


def _executed(source: str, x: int, builtins: dict) -> int | None:
    """What ``exec`` makes of a program; its lines are counted, so that it ends."""
    import sys

    lines = itertools.count()

    def count(frame, event, argument):
        if next(lines) > 5000:
            raise ValueError("that takes too long.")
        return count

    names = {"x": x, **builtins}
    before = sys.gettrace()
    try:
        sys.settrace(count)
        exec(source, names)
    except BaseException:
        return None
    finally:
        sys.settrace(before)
    return names.get("y")


### END BUGS
def run_program(source: object, x: int, steps: int = 2000, bits: int = 256) -> int | None:
    """The value of ``y`` after a small program, or None if it breaks a rule.

    Statements, each on lines of its own, indented as in Python:
        name = expression       also +=, -=, *=, //=, %=, **=
        while condition:        without else
        if condition:           elif and else are allowed
    An expression has whole numbers, names that have a value, + - * // % **, signs and parentheses.
    A condition is one comparison of two expressions: < <= > >= == !=. Nothing else is in the
    language: no calls, imports, attributes, texts, lists, fractions, True, and, or, not, pass,
    break, continue. Comments and blank lines are as in Python. ``x`` has a value at the start.

    The rules that a running program may break: at most ``steps`` steps, of which each assignment
    and each look at a condition is one; no number that it writes, reads or works out has more than
    ``bits`` bits (``int.bit_length``), and a power that would have many more is never worked out;
    no division by zero, no negative exponent, no name without a value. At most 400 characters.

    Args:
        source: the program, as a policy wrote it; anything but a ``str`` gives None.
        x: its input.
        steps, bits: at least 1.

    Returns:
        An int, or None; nothing that the program does raises an exception.

    Raises:
        ValueError: steps or bits is below 1.
    """
    if steps < 1 or bits < 1:
        raise ValueError(f"steps and bits must be at least 1, but they are {steps} and {bits}.")
    # TODO(programs): ast.parse; walk the statements; count steps; look at sizes before and after.
    ### BEGIN SOLUTION
    # BUG(programs-of-any-length): limit = 10**6
    # WHEN programs may be longer than 400 characters.
    limit = 400
    if type(source) is not str or len(source) > limit:
        return None
    try:
        # BUG(executes-it): return _executed(source, x, {})
        # WHEN the program is handed to exec, which knows all of Python.
        # BUG(executes-it, 2): return _executed(source, x, {"__builtins__": {}})
        machine = _Machine(x, steps, bits)
        machine.run(ast.parse(source).body)
        # BUG(returns-the-input): return machine.names.get("y", x)
        # WHEN a program that never sets y gives another number instead of None.
        # BUG(returns-the-input, 2): return machine.names.get("y", 0)
        return machine.names["y"]
    except (SyntaxError, ValueError, KeyError, ZeroDivisionError, RecursionError, MemoryError):
        return None
    ### END SOLUTION


def program_reward(
    source: object, cases: Sequence[tuple[int, int]], steps: int = 2000, bits: int = 256
) -> float:
    """1.0 if a program gives the right number in every test case, else 0.0.

    Each case is a run of its own, with fresh names and the whole budget.

    Args:
        source: as for ``run_program``.
        cases: pairs (x, right result), at least one.
        steps, bits: as for ``run_program``.

    Returns:
        0.0 or 1.0.

    Raises:
        ValueError: there is no test case, or steps or bits is below 1.
    """
    if not cases:
        raise ValueError("at least one test case is needed.")
    # TODO(programs): all cases.
    ### BEGIN SOLUTION
    results = [run_program(source, x, steps, bits) for x, _ in cases]
    # BUG(some-case-is-enough): return float(any(found == y for found, (_, y) in zip(results, cases, strict=True)))
    # WHEN a program earns something that is right in some of its cases only.
    # BUG(some-case-is-enough, 2): return sum(found == y for found, (_, y) in zip(results, cases, strict=True)) / len(cases)
    # BUG(broken-cases-are-skipped): return float(all(found in (y, None) for found, (_, y) in zip(results, cases, strict=True)))
    # WHEN cases in which the program was stopped are left out.
    # BUG(budget-for-all-cases): return float(all(run_program(source, x, max(1, steps // len(cases)), bits) == y for x, y in cases))
    # WHEN the cases share one budget.
    return float(all(found == y for found, (_, y) in zip(results, cases, strict=True)))
    ### END SOLUTION


# -- Part 3: several tries -------------------------------------------------------------------------


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k answers is right, from n answers of which c are right.

    The share of all subsets of k of the n answers that hold a right one (Chen et al. 2021, section
    2.1). No estimate of it from these answers is unbiased but this one.

    Args:
        n: answers, at least 1.
        c: right ones, 0 .. n.
        k: 1 .. n.

    Returns:
        A float.

    Raises:
        ValueError: a number is out of its range.
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"1 <= k <= n and 0 <= c <= n, please: n = {n}, c = {c}, k = {k}.")
    # TODO(tries): count the subsets without a right answer.
    ### BEGIN SOLUTION
    # BUG(tries-with-replacement): return 1 - (1 - c / n) ** k
    # WHEN the k tries are drawn with replacement: 1 - (1 - c/n)^k.
    # BUG(tries-with-replacement, 2): return 1 - math.prod([(n - c) / n] * k)
    # BUG(tries-add-up): return min(1.0, k * c / n)
    # WHEN the chances of the tries are added up.
    # BUG(all-must-be-right): return math.comb(c, k) / math.comb(n, k)
    # WHEN all k answers have to be right instead of one.
    # BUG(exactly-one): return c * math.comb(n - c, k - 1) / math.comb(n, k)
    # WHEN only sets with exactly one right answer are counted.
    return 1 - math.comb(n - c, k) / math.comb(n, k)
    ### END SOLUTION


def majority(answers: Sequence[str | None]) -> str | None:
    """The answer that most give.

    Answers are the same if ``same_answer`` says so: "0.5" and "1/2" vote together. None has no
    vote. Of answers with equally many votes the one that was given first wins, and the winner is
    returned as it was written first.

    Args:
        answers: texts or None, any number of them.

    Returns:
        The winner, or None if there is no vote.
    """
    # TODO(tries): one pile for each answer, in the order in which they come.
    ### BEGIN SOLUTION
    piles: list[list[str]] = []
    # BUG(none-votes): for answer in ["" if answer is None else answer for answer in answers]:
    # WHEN answers that could not be read vote together like any other.
    for answer in answers:
        if answer is None:
            continue
        # BUG(votes-by-string): same = [pile for pile in piles if pile[0] == answer]
        # WHEN answers vote together only if they are written alike.
        # BUG(texts-vote-by-string): same = [pile for pile in piles if (parse_number(pile[0]) or pile[0]) == (parse_number(answer) or answer)]
        # WHEN answers that are no numbers vote together only if they are written alike, blanks
        # WHEN included.
        same = [pile for pile in piles if same_answer(answer, pile[0])]
        if same:
            same[0].append(answer)
        else:
            piles.append([answer])
    # BUG(last-one-wins-ties): return max(reversed(piles), key=len)[0] if piles else None
    # WHEN of answers with equally many votes the last one wins.
    # BUG(winner-in-its-last-spelling): return max(piles, key=len)[-1] if piles else None
    # WHEN the winner comes back as it was written last.
    # BUG(first-answer-wins): return piles[0][0] if piles else None
    # WHEN the first answer wins, however many votes it has.
    return max(piles, key=len)[0] if piles else None
    ### END SOLUTION


def maj_at_k(answers: Sequence[str | None], target: str, k: int) -> float:
    """The chance that the majority of k answers is right, from n answers to one prompt.

    The share of all subsets of k of the n answers, each in the order of ``answers``, whose
    ``majority`` is the target (``same_answer``). Answers that could not be read are among the n.

    Args:
        answers: n texts or None; there are few enough subsets to list.
        target: the right answer.
        k: 1 .. n.

    Returns:
        A float.

    Raises:
        ValueError: k is out of its range.
    """
    if not 1 <= k <= len(answers):
        raise ValueError(f"k must lie between 1 and {len(answers)}, but it is {k}.")
    # TODO(tries): itertools.combinations.
    ### BEGIN SOLUTION
    # BUG(unread-answers-leave-the-mean): answers = [answer for answer in answers if answer is not None] + [None] * max(0, k - sum(answer is not None for answer in answers))
    # WHEN answers that could not be read are dropped before the subsets are drawn.
    answers = list(answers)
    # BUG(neighbours-only): sets = [answers[i : i + k] for i in range(len(answers) - k + 1)]
    # WHEN only answers that stand together are taken for a set.
    # BUG(first-k-answers): sets = [answers[:k]]
    # WHEN only the first k answers are looked at.
    sets = itertools.combinations(answers, k)
    votes = [same_answer(majority(chosen), target) for chosen in sets]
    return sum(votes) / len(votes)
    ### END SOLUTION


def best_of_n_probs(probs: Tensor, scores: Tensor, n: int) -> Tensor:
    """The distribution of the best of n: draw n answers, take the one with the highest score.

    Of drawn answers with the same highest score the one that was drawn first is taken.

    Args:
        probs: (K,) float64, a policy over K answers.
        scores: (K,) float, what a verifier or reward model says.
        n: draws, with replacement, at least 1.

    Returns:
        (K,) float64: how probable each answer is in the end.

    Raises:
        ValueError: the shapes differ, probs is not a distribution, or n is below 1.
    """
    if probs.shape != scores.shape or probs.ndim != 1 or n < 1:
        raise ValueError("probs and scores must be (K,), and n at least 1.")
    if bool((probs < 0).any()) or abs(float(probs.sum()) - 1) > 1e-6:
        raise ValueError("probs must be a distribution.")
    # TODO(tries): the chance that the best score is at most s is a power; within a score, shares.
    ### BEGIN SOLUTION
    best = torch.zeros_like(probs)
    for score in scores.unique():
        # BUG(ties-share-alike): share = (scores == score) / (scores == score).sum()
        # WHEN answers of the same score share its probability alike, whatever the policy prefers.
        # BUG(first-index-wins-ties): share = torch.nn.functional.one_hot((scores == score).long().argmax(), len(probs))
        # WHEN the answer that stands first among those of one score gets all of its probability.
        share = (
            probs
            * (scores == score)
            / probs[scores == score].sum().clamp(min=torch.finfo(probs.dtype).tiny)
        )
        # BUG(tilts-by-powers): upto, below = probs[scores == score].sum() * float(score) ** n, 0.0
        # WHEN probabilities are weighed by powers of the score.
        # BUG(one-draw): upto, below = probs[scores <= score].sum(), probs[scores < score].sum()
        # WHEN n changes nothing.
        # BUG(worst-of-n): upto, below = probs[scores >= score].sum() ** n, probs[scores > score].sum() ** n
        # WHEN the lowest score is taken instead of the highest.
        # BUG(all-draws-the-best): upto, below = probs[scores == score].sum() ** n, 0.0
        # WHEN all n draws have to have the score.
        upto, below = probs[scores <= score].sum() ** n, probs[scores < score].sum() ** n
        best = best + share * (upto - below)
    return best
    ### END SOLUTION


# -- Part 4: rejection sampling --------------------------------------------------------------------


def accept(rewards: Tensor, group_ids: Tensor, most: int) -> Tensor:
    """Which rows are learnt from: right answers, of each group the first ``most``.

    Without a bound an easy prompt, whose answers are all right, would weigh more than a hard one.

    Args:
        rewards: (B,) float, 0 or 1.
        group_ids: (B,) integers.
        most: at least 1.

    Returns:
        (B,) bool.

    Raises:
        ValueError: the shapes differ, a reward is neither 0 nor 1, or most is below 1.
    """
    _check_rewards(rewards, group_ids)
    if most < 1:
        raise ValueError(f"most must be at least 1, but it is {most}.")
    # TODO(expert): count right answers within each group.
    ### BEGIN SOLUTION
    # BUG(wrong-answers-are-accepted): right = rewards <= 1
    # WHEN wrong answers are accepted as well.
    right = rewards == 1
    chosen = torch.zeros_like(right)
    for group in group_ids.unique():
        # BUG(first-rows-of-a-group): rows = (group_ids == group).nonzero().flatten()[:most]
        # WHEN the first rows of a group are looked at, and not its first right answers.
        # BUG(bound-on-the-batch): rows = right.nonzero().flatten()[:most]
        # WHEN the bound is on the batch instead of each group.
        # BUG(bound-is-ignored): rows = ((group_ids == group) & right).nonzero().flatten()
        # WHEN all right answers are accepted, however many.
        # BUG(last-answers-of-a-group): rows = ((group_ids == group) & right).nonzero().flatten()[-most:]
        # WHEN the last right answers of a group are taken instead of the first.
        rows = ((group_ids == group) & right).nonzero().flatten()[:most]
        chosen[rows] = right[rows]
    return chosen
    ### END SOLUTION


def _check_rewards(rewards: Tensor, group_ids: Tensor) -> None:
    """Refuse what are no verified rewards of groups."""
    if rewards.ndim != 1 or rewards.shape != group_ids.shape:
        raise ValueError(
            f"rewards and group_ids must be (B,): {tuple(rewards.shape)}, {tuple(group_ids.shape)}."
        )
    if not bool(((rewards == 0) | (rewards == 1)).all()):
        raise ValueError("a verified reward is 0 or 1.")


def expert_loss(logp: Tensor, mask: Tensor, accepted: Tensor) -> Tensor:
    """The loss of expert iteration: imitate what was accepted.

    Each row's mean of -logp over its tokens under ``mask``, times 1 where it is accepted and 0
    where not, averaged over all B rows. Its gradient is that of GRPO's loss
    ("seq-mean-token-mean", no KL term) on fresh samples with the advantages 1 and 0.

    Args:
        logp: (B, L) float, log-probabilities of the tokens; carries the gradient. What stands under
            mask 0 is never used, not even nan.
        mask: (B, L) bool or 0/1. A row without a token counts as 0, and stays among the B rows.
        accepted: (B,) bool or 0/1.

    Returns:
        A scalar tensor that hangs on ``logp``.

    Raises:
        ValueError: the shapes do not fit; a mask that is longer than the tokens would be cut
            silently otherwise.
    """
    # TODO(expert): refuse shapes that do not fit; choose before you compute; two means.
    ### BEGIN SOLUTION
    # BUG(long-masks-are-cut): valid = mask.bool()[:, : logp.shape[1]]
    # WHEN a mask that is longer than the tokens is cut, so that it may mark other tokens than was
    # WHEN meant.
    # BUG(long-masks-are-cut, 2): valid = mask.bool()[:, -logp.shape[1] :]
    valid = mask.bool()
    if logp.ndim != 2 or logp.shape != valid.shape or accepted.shape != logp.shape[:1]:
        raise ValueError(
            f"logp and mask must be (B, L), accepted (B,): {tuple(logp.shape)}, "
            f"{tuple(mask.shape)}, {tuple(accepted.shape)}."
        )
    # BUG(multiplies-by-the-mask): sums = -(logp * valid).sum(dim=1)
    # WHEN what stands under mask 0 is multiplied by 0 instead of being left out: 0 times nan is
    # WHEN nan.
    # BUG(all-tokens-count): sums = -logp.nan_to_num(0.0).sum(dim=1)
    # WHEN tokens that the policy did not write are trained too.
    sums = -logp.masked_fill(~valid, 0.0).sum(dim=1)
    # BUG(divides-by-all-places): lengths = torch.full_like(sums, logp.shape[1])
    # WHEN the sum over the policy's tokens is divided by more places than these: numerator and
    # WHEN denominator have different masks.
    # BUG(divides-by-all-places, 2): lengths = (valid.long().cumsum(dim=1) > 0).sum(dim=1).clamp(min=1)
    # BUG(token-sums): lengths = torch.ones_like(sums)
    # WHEN a row's tokens are added up instead of averaged.
    lengths = valid.sum(dim=1).clamp(min=1)
    # BUG(imitates-everything): weights = torch.ones_like(sums)
    # WHEN rejected rows are imitated as well.
    # BUG(pushes-failures-down): weights = 2 * accepted.to(sums.dtype) - 1
    # WHEN rejected rows are pushed down instead of being left alone.
    weights = accepted.to(sums.dtype)
    # BUG(failed-samples-leave-the-mean): return (weights * sums / lengths).sum() / weights.sum().clamp(min=1)
    # WHEN rejected rows are left out of the number that the sum is divided by.
    # BUG(failed-samples-leave-the-mean, 2): return (weights * sums / lengths)[accepted.bool()].mean() if bool(accepted.any()) else 0.0 * sums.sum()
    # BUG(mean-over-tokens): return (weights * sums).sum() / lengths.sum()
    # WHEN all tokens of the batch have the same weight instead of all rows.
    return (weights * sums / lengths).mean()
    ### END SOLUTION


# -- Part 5: which prompts teach -------------------------------------------------------------------


def filter_groups(rewards: Tensor, group_ids: Tensor) -> Groups:
    """Drop the groups without spread, and count them: a solved prompt is not a hopeless one.

    ``keep`` is what ``informative_groups`` of `grpo` gives.

    Args:
        rewards: (B,) float, 0 or 1.
        group_ids: (B,) integers.

    Returns:
        Groups(keep, solved, failed).

    Raises:
        ValueError: the shapes differ, or a reward is neither 0 nor 1.
    """
    _check_rewards(rewards, group_ids)
    # TODO(filters): one look at each group.
    ### BEGIN SOLUTION
    keep = torch.empty(len(rewards), dtype=torch.bool)
    solved = failed = 0
    for group in group_ids.unique():
        member = group_ids == group
        share = float(rewards[member].mean())
        # BUG(solved-groups-stay): keep[member] = share > 0
        # WHEN groups in which every answer is right stay.
        # BUG(failed-groups-stay): keep[member] = share < 1
        # WHEN groups in which every answer is wrong stay.
        # BUG(right-rows-only): keep[member] = (rewards[member] == 1) & (0 < share < 1)
        # WHEN single rows are dropped out of a group instead of whole groups.
        keep[member] = 0 < share < 1
        # BUG(counts-rows): solved, failed = solved + int(member.sum()) * (share == 1), failed + int(member.sum()) * (share == 0)
        # WHEN dropped rows are counted instead of dropped groups.
        # BUG(solved-and-failed-swapped): solved, failed = solved + (share == 0), failed + (share == 1)
        # WHEN solved and failed groups have changed places.
        # BUG(counts-kept-groups): solved, failed = solved + (share >= 0.5), failed + (share < 0.5)
        # WHEN groups that are kept are counted too.
        solved, failed = solved + (share == 1), failed + (share == 0)
    return Groups(keep, solved, failed)
    ### END SOLUTION


def difficulty_filter(right: Tensor, tries: Tensor, low: float, high: float) -> Tensor:
    """Which prompts are neither too easy nor too hard: low <= right / tries <= high.

    Args:
        right: (P,) int64, right answers of an earlier policy to each prompt.
        tries: (P,) int64, its answers, those that could not be read or ran out of time included. A
            prompt with 0 tries is kept: nothing is known about it.
        low, high: 0 <= low <= high <= 1.

    Returns:
        (P,) bool.

    Raises:
        ValueError: the shapes differ, right is not between 0 and tries, or the bounds are
            impossible.
    """
    if right.shape != tries.shape or right.ndim != 1 or not 0 <= low <= high <= 1:
        raise ValueError("right and tries must be (P,), and 0 <= low <= high <= 1.")
    if bool((right < 0).any()) or bool((right > tries).any()):
        raise ValueError("right must lie between 0 and tries.")
    # TODO(filters): a share for each prompt; nothing may be 0/0.
    ### BEGIN SOLUTION
    share = right.double() / tries.clamp(min=1)
    # BUG(bounds-are-excluded): inside = (share > low) & (share < high)
    # WHEN prompts at a bound are dropped.
    # BUG(only-the-easy-are-dropped): inside = share <= high
    # WHEN prompts that are too hard stay.
    # BUG(only-the-hard-are-dropped): inside = share >= low
    # WHEN prompts that are too easy stay.
    inside = (share >= low) & (share <= high)
    # BUG(untried-prompts-are-dropped): return inside & (tries > 0)
    # WHEN a prompt that nobody has tried is dropped.
    # BUG(untried-prompts-are-failures): return inside
    # WHEN a prompt that nobody has tried counts as one that nobody solves.
    return inside | (tries == 0)
    ### END SOLUTION


def dynamic_sampling(draw: Callable[[int], Tensor], wanted: int, most_groups: int) -> Drawn:
    """Draw groups until enough of them have spread (dynamic sampling, Yu et al. 2025).

    Group 0, 1, 2, ... is drawn, one after the other, until ``wanted`` of them hold right and wrong
    answers or ``most_groups`` have been drawn. What is reported is about all groups that were drawn: the
    mean over the kept ones says nothing about the policy.

    Args:
        draw: ``draw(i)`` gives the rewards of group i, (G,) float, 0 or 1; groups may differ in
            size. It is called once for each group and for no group more than needed: answers are
            expensive.
        wanted: groups with spread, at least 1.
        most_groups: groups in all, at least 1.

    Returns:
        Drawn(kept, drawn, reward_mean).

    Raises:
        ValueError: wanted or most_groups is below 1.
    """
    if wanted < 1 or most_groups < 1:
        raise ValueError(f"at least 1 of both, please: {wanted} wanted, {most_groups} groups.")
    # TODO(filters): draw, look, count; keep the books of everything.
    ### BEGIN SOLUTION
    kept: list[int] = []
    seen: list[Tensor] = []
    # BUG(one-group-too-many): while len(kept) < wanted and len(seen) <= most_groups:
    # WHEN one group more is drawn than is allowed.
    # BUG(never-gives-up): while len(kept) < wanted and len(seen) < 3 * most_groups:
    # WHEN drawing goes on beyond the bound.
    # BUG(draws-a-fixed-number): while len(seen) < most_groups:
    # WHEN groups are drawn on although enough of them have spread.
    while len(kept) < wanted and len(seen) < most_groups:
        rewards = draw(len(seen)).double()
        # BUG(solved-groups-are-kept): spread = bool((rewards == 1).any())
        # WHEN groups in which every answer is right are kept.
        spread = bool((rewards != rewards[:1]).any())
        # BUG(counts-from-one): kept = [*kept, len(seen) + 1] if spread else kept
        # WHEN the first group has the number 1.
        kept = [*kept, len(seen)] if spread else kept
        seen.append(rewards)
    # BUG(failed-samples-leave-the-metric): return Drawn(kept, len(seen), float(torch.cat([seen[i] for i in kept] or [torch.zeros(1)]).mean()))
    # WHEN dropped groups, at least those in which every answer failed, are left out of the mean
    # WHEN reward.
    # BUG(failed-samples-leave-the-metric, 2): return Drawn(kept, len(seen), float(torch.cat([rewards for rewards in seen if bool(rewards.any())]).mean()))
    # BUG(mean-of-group-means): return Drawn(kept, len(seen), float(torch.stack([rewards.mean() for rewards in seen]).mean()))
    # WHEN each group is averaged first, so that an answer in a small group weighs more.
    return Drawn(kept, len(seen), float(torch.cat(seen).mean()))
    ### END SOLUTION


# -- Part 6: turns with a tool ---------------------------------------------------------------------


def rollout(
    policy: Callable[[list[int]], list[int]],
    prompt: Sequence[int],
    tool: Callable[[str], str],
    encode: Callable[[str], list[int]],
    decode: Callable[[list[int]], str],
    call: int,
    max_turns: int,
) -> Transcript:
    """A policy writes, and may ask a tool: tokens in, tokens out.

    In each turn the policy is shown all token ids so far, **the very ids**, and goes on. If the
    last id that it writes is ``call``, the tool gets the text of this turn without this last id,
    and the ids of its answer are appended; then comes the next turn. Otherwise the conversation
    ends: elsewhere in a turn ``call`` is an id like any other. A call in the last turn is not answered: nobody would read it.

    Text that the policy wrote is never encoded again: several rows of ids have the same text, and
    the policy wrote only one of them. Only what the tool says is encoded.

    Args:
        policy: all ids so far -> new ids, at least one.
        prompt: ids, at least one.
        tool: text -> text.
        encode, decode: of the tokenizer; ``encode(decode(ids))`` may differ from ``ids``.
        call: the id that asks the tool.
        max_turns: turns of the policy, at least 1.

    Returns:
        Transcript(tokens, mask, calls). The mask is 1 at the ids that the policy wrote, calls
        included, and 0 at the prompt and at the tool's.

    Raises:
        ValueError: an empty prompt, max_turns below 1, or a policy that writes nothing.
    """
    if not prompt or max_turns < 1:
        raise ValueError("a prompt of at least one token and at least one turn, please.")
    # TODO(tools): two lists that grow together.
    ### BEGIN SOLUTION
    # BUG(prompt-is-trained): tokens, mask, calls = [int(token) for token in prompt], [1] * len(prompt), 0
    # WHEN the prompt is marked as the policy's own.
    tokens, mask, calls = [int(token) for token in prompt], [0] * len(prompt), 0
    for turn in range(max_turns):
        # BUG(retokenises): written = list(policy(encode(decode(tokens))))
        # WHEN what the policy wrote is turned into text and encoded anew, so that it reads or
        # WHEN trains other ids than those that it wrote.
        written = list(policy(list(tokens)))
        if not written:
            raise ValueError("the policy has written nothing.")
        # BUG(retokenises, 2): written = encode(decode(written[:-1])) + written[-1:]
        written = [int(token) for token in written]
        asks = written[-1] == call
        # BUG(call-token-is-lost): tokens += written[: len(written) - asks]
        # WHEN the token that asks the tool is dropped from the transcript.
        tokens += written
        # BUG(call-token-is-lost): mask += [1] * (len(written) - asks)
        # BUG(call-token-is-not-trained): mask += [int(token != call) for token in written]
        # WHEN the token that asks the tool is not marked as the policy's own.
        mask += [1] * len(written)
        # BUG(last-call-is-answered): last = False
        # WHEN a call in the last turn is answered, although nobody reads it.
        last = turn + 1 == max_turns
        if last or not asks:
            break
        # BUG(tool-reads-everything): result = tool(decode(tokens[:-1] if tokens[-1] == call else tokens))
        # WHEN the tool gets the whole conversation instead of this turn.
        # BUG(tool-reads-the-call): result = tool(decode(written))
        # WHEN the token that asks the tool is part of what the tool gets.
        # BUG(all-call-tokens-are-dropped): result = tool(decode([token for token in written if token != call]))
        # WHEN the tool gets a turn without all its call tokens, not only the last.
        result = tool(decode(written[:-1]))
        answer = list(encode(result))
        tokens += answer
        # BUG(tool-is-trained): mask += [1] * len(answer)
        # WHEN the tool's answer is marked as the policy's own.
        # BUG(mask-counts-characters): mask += [0] * len(result)
        # WHEN the mask grows by the characters of the tool's answer instead of its tokens.
        mask += [0] * len(answer)
        # BUG(calls-are-turns): calls = turn + 2
        # WHEN turns are counted instead of calls.
        calls += 1
    return Transcript(tokens, mask, calls)
    ### END SOLUTION


def stack_transcripts(transcripts: Sequence[Transcript], pad: int) -> tuple[Tensor, Tensor]:
    """Transcripts as a batch, padded on the right.

    Args:
        transcripts: at least one.
        pad: the id that fills rows up; it may occur in transcripts too.

    Returns:
        (tokens, mask), both (B, L): int64 and bool. Padding is 0 in the mask.

    Raises:
        ValueError: there is no transcript, or one whose mask is not as long as its tokens.
    """
    # TODO(tools): refuse, then fill row by row.
    ### BEGIN SOLUTION
    if not transcripts:
        raise ValueError("at least one transcript is needed.")
    # BUG(long-masks-pass): fits = all(len(one.mask) >= len(one.tokens) for one in transcripts)
    # WHEN a mask that is longer than its tokens is cut instead of being refused.
    # BUG(long-masks-pass, 2): fits = True
    fits = all(len(one.mask) == len(one.tokens) for one in transcripts)
    if not fits:
        raise ValueError("a mask must be as long as its tokens.")
    width = max(len(one.tokens) for one in transcripts)
    tokens = torch.full((len(transcripts), width), pad)
    mask = torch.zeros(len(transcripts), width, dtype=torch.bool)
    for row, one in enumerate(transcripts):
        length = len(one.tokens)
        # BUG(padded-on-the-left): place = slice(width - length, width)
        # WHEN rows are padded on the left.
        place = slice(0, length)
        tokens[row, place] = torch.tensor(one.tokens)
        mask[row, place] = torch.tensor(one.mask[:length]).bool()
    # BUG(mask-from-ids): return tokens, mask & (tokens != pad)
    # WHEN tokens that have the id of padding are taken for padding.
    return tokens, mask
    ### END SOLUTION


# -- Given: log-probabilities, samples, a task -----------------------------------------------------


def token_logprobs(model: Any, tokens: Tensor) -> Tensor:
    """The log-probability of each token given those before it, (B, L); 0 at the first place.

    Rows begin at the left edge; what is padding on the right disturbs nobody before it.
    """
    logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    logp = logits[:, :-1].log_softmax(dim=-1)
    return torch.nn.functional.pad(logp.gather(2, tokens[:, 1:, None]).squeeze(2), (1, 0))


def sample_responses(
    model: Any, prompts: Sequence[str], max_new: int, generator: torch.Generator
) -> Samples:
    """One response to each prompt at temperature 1; the prompts are of equal length."""
    tokens = torch.tensor([encode(prompt) for prompt in prompts])
    alive = torch.ones(len(prompts), dtype=torch.bool)
    masks = [torch.zeros(tokens.shape, dtype=torch.bool)]
    for _ in range(max_new):
        with torch.no_grad():
            logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        token = torch.multinomial(logits[:, -1].softmax(dim=-1), 1, generator=generator).squeeze(1)
        token = token.masked_fill(~alive, PAD)
        tokens = torch.cat([tokens, token[:, None]], dim=1)
        masks.append(alive[:, None])
        alive = alive & (token != EOS)
    return Samples(tokens, torch.cat(masks, dim=1))


def responses_of(samples: Samples) -> list[str]:
    """The text under the mask of each row."""
    return [decode(row[kept]) for row, kept in zip(samples.tokens, samples.mask, strict=True)]


def digit_sum_rewards(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """1.0 for the last digit of the sum of a prompt's digits, and the end: ("37>", "0$")."""
    right = [f"{sum(map(int, prompt[:-1])) % 10}$" for prompt in prompts]
    return [float(a == b) for a, b in zip(responses, right, strict=True)]


# -- Part 7: expert iteration ----------------------------------------------------------------------


def expert_update_(
    policy: Any,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
    accepted: Tensor,
    grad_norm: float,
) -> float:
    """One step of the optimiser down ``expert_loss``. Changes ``policy``.

    Old gradients are forgotten; the norm of the whole gradient is clipped to ``grad_norm`` once. If
    nothing is accepted there is nothing to learn: nothing is changed, not even by the momentum of
    the optimiser.

    Args:
        policy: a causal language model of ``transformers``.
        optimizer: holds the policy's parameters.
        samples: tokens and mask, (B, L).
        accepted: (B,) bool.
        grad_norm: above 0.

    Returns:
        The loss before the step; 0.0 if nothing is accepted.
    """
    # TODO(training): loss, gradient, clip, step.
    ### BEGIN SOLUTION
    # BUG(steps-on-nothing): idle = False
    # WHEN the optimiser makes a step although nothing was accepted: its momentum still moves the
    # WHEN weights.
    idle = not bool(accepted.any())
    if idle:
        return 0.0
    # BUG(keeps-old-gradients): pass
    # WHEN gradients that were there before the update are not cleared.
    # BUG(keeps-old-gradients, 2): pass
    optimizer.zero_grad()
    # BUG(prompts-are-learnt-too): loss = expert_loss(token_logprobs(policy, samples.tokens), samples.tokens != PAD, accepted)
    # WHEN the prompt's tokens are imitated too.
    loss = expert_loss(token_logprobs(policy, samples.tokens), samples.mask, accepted)
    loss.backward()
    # BUG(gradient-not-clipped): pass
    # WHEN the norm of the gradient is not clipped.
    # BUG(gradient-not-clipped, 2): torch.nn.utils.clip_grad_value_(policy.parameters(), grad_norm)
    torch.nn.utils.clip_grad_norm_(policy.parameters(), grad_norm)
    # BUG(keeps-old-gradients, 2): optimizer.step(), optimizer.zero_grad()
    optimizer.step()
    return loss.item()
    ### END SOLUTION


def train_expert(
    policy: Any,
    prompts: Sequence[str],
    rewards_of: Callable[[list[str], list[str]], list[float]],
    cfg: ExpertConfig,
    seed: int,
) -> Result:
    """Expert iteration: sample, verify, imitate what passed, again.

    An iteration draws ``cfg.prompts`` of the prompts at random, with replacement; samples
    ``cfg.group_size`` responses to each (``sample_responses``; rows i * group_size and following
    answer the i-th drawn prompt); has them rewarded, all at once; accepts (``accept``, with
    ``cfg.most``; each drawn prompt is a group of its own, also if it was drawn twice); and makes
    ``cfg.epochs`` calls of ``expert_update_`` on all rows (AdamW, no weight decay). A copy is
    trained.

    Args:
        policy: a causal language model of ``transformers``; it is not changed.
        prompts: texts of equal length, at least one.
        rewards_of: (prompts, responses), one of each for every row -> one reward for every row.
        cfg: see ``ExpertConfig``.
        seed: decides everything random.

    Returns:
        Result(policy, history). Entry i of each list is about iteration i:
        reward_mean     mean reward of all samples, the failed ones included
        accepted        share of all samples that was learnt from
        dead_groups     share of the groups without spread, solved or failed
    """
    if not prompts:
        raise ValueError("at least one prompt is needed.")
    # TODO(training): sample, verify, accept, update; keep the books.
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    # BUG(trains-its-argument): student = policy
    # WHEN the model that was handed in is trained itself instead of a copy.
    student = copy.deepcopy(policy)
    # BUG(decays-the-weights): optimizer = torch.optim.AdamW(student.parameters(), lr=cfg.lr, weight_decay=1.0)
    # WHEN the optimiser lets the weights decay.
    # BUG(decays-the-weights, 2): optimizer = torch.optim.AdamW(student.parameters(), lr=cfg.lr)
    optimizer = torch.optim.AdamW(student.parameters(), lr=cfg.lr, weight_decay=0.0)
    history: dict[str, list[float]] = {"reward_mean": [], "accepted": [], "dead_groups": []}
    for _ in range(cfg.iterations):
        # BUG(uses-the-global-generator): drawn = torch.randint(len(prompts), (cfg.prompts,)).tolist()
        # WHEN random numbers come from the global generator instead of the seed.
        # BUG(same-prompts-every-time): drawn = torch.randint(len(prompts), (cfg.prompts,), generator=torch.Generator().manual_seed(seed)).tolist()
        # WHEN every iteration has the same prompts.
        # BUG(first-prompts-only): drawn = [i % len(prompts) for i in range(cfg.prompts)]
        # WHEN the first prompts are taken instead of random ones.
        drawn = torch.randint(len(prompts), (cfg.prompts,), generator=generator).tolist()
        # BUG(prompts-take-turns): asked = [prompts[i] for _ in range(cfg.group_size) for i in drawn]
        # WHEN the prompts take turns instead of each filling neighbouring rows.
        asked = [prompts[i] for i in drawn for _ in range(cfg.group_size)]
        # BUG(samples-from-the-start): samples = sample_responses(policy, asked, cfg.max_new, generator)
        # WHEN the samples come from the model as it was handed in and not from the one that learns.
        # BUG(same-noise-every-time): samples = sample_responses(student, asked, cfg.max_new, torch.Generator().manual_seed(seed))
        # WHEN every iteration samples with the same random numbers.
        samples = sample_responses(student, asked, cfg.max_new, generator)
        rewards = torch.tensor(rewards_of(asked, responses_of(samples)), dtype=torch.float64)
        # BUG(groups-by-drawn-index): groups = torch.tensor(drawn).repeat_interleave(cfg.group_size)
        # WHEN a prompt that was drawn twice is one group instead of two.
        groups = torch.arange(cfg.prompts).repeat_interleave(cfg.group_size)
        # BUG(solved-groups-are-not-learnt): accepted = accept(rewards, groups, cfg.most) & filter_groups(rewards, groups).keep
        # WHEN nothing is learnt from groups in which every answer is right.
        accepted = accept(rewards, groups, cfg.most)
        # BUG(one-epoch): for _epoch in range(1):
        # WHEN one step is made whatever epochs says.
        for _epoch in range(cfg.epochs):
            expert_update_(student, optimizer, samples, accepted, cfg.grad_norm)
        found = filter_groups(rewards, groups)
        # BUG(reward-of-the-kept): history["reward_mean"].append(float(rewards[found.keep].mean()) if bool(found.keep.any()) else 0.0)
        # WHEN the mean reward leaves out the groups without spread, the failed ones among them.
        history["reward_mean"].append(float(rewards.mean()))
        # BUG(accepted-of-the-right): history["accepted"].append(float(accepted.sum() / rewards.sum().clamp(min=1)))
        # WHEN the share of accepted answers is that among the right ones.
        history["accepted"].append(float(accepted.double().mean()))
        # BUG(only-failed-groups-are-dead): history["dead_groups"].append(found.failed / cfg.prompts)
        # WHEN solved groups do not count as groups without spread.
        history["dead_groups"].append((found.solved + found.failed) / cfg.prompts)
    return Result(student, history)
    ### END SOLUTION


# -- Part 8: shaping -------------------------------------------------------------------------------


def shaped_rewards(rewards: Tensor, potential: Tensor, gamma: float, terminal: Tensor) -> Tensor:
    """Rewards with a potential-based bonus: R(s, a, s') + gamma * Phi(s') - Phi(s).

    A terminal state has the potential 0, whatever ``potential`` says: otherwise the way in which an
    episode ends would be paid for. Nothing happens in a terminal state, so rewards out of it stay
    as they are.

    Args:
        rewards: (S, A, S) float.
        potential: (S,) float.
        gamma: in [0, 1].
        terminal: (S,) bool.

    Returns:
        (S, A, S), float64 if the arguments are.

    Raises:
        ValueError: shapes that do not fit, or gamma outside of [0, 1].
    """
    states = len(potential)
    if rewards.ndim != 3 or rewards.shape[::2] != (states, states) or terminal.shape != (states,):
        raise ValueError("rewards must be (S, A, S), potential and terminal (S,).")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1], but it is {gamma}.")
    # TODO(shaping): the potential of terminal states first; mind which axis is s'.
    ### BEGIN SOLUTION
    # BUG(terminal-potential-counts): phi = potential
    # WHEN terminal states keep their potential, so that the end of an episode is paid for.
    phi = potential.masked_fill(terminal, 0.0)
    # BUG(bonus-without-gamma): bonus = phi[None, :] - phi[:, None]
    # WHEN gamma is missing before the next state's potential.
    # BUG(bonus-with-the-wrong-sign): bonus = phi[:, None] - gamma * phi[None, :]
    # WHEN the bonus has the wrong sign.
    # BUG(bonus-is-the-potential): bonus = (0 * phi[:, None] + phi[None, :])
    # WHEN the next state's potential is the bonus, without taking off that of the state before.
    # BUG(bonus-turned-round): bonus = gamma * phi[:, None] - phi[None, :]
    # WHEN the state and the next state have changed places.
    # BUG(gamma-on-the-wrong-side): bonus = phi[None, :] - gamma * phi[:, None]
    # WHEN gamma stands before the potential of the state instead of that of the next one.
    bonus = gamma * phi[None, :] - phi[:, None]
    # BUG(terminal-states-are-shaped): return rewards + bonus[:, None, :]
    # WHEN rewards out of terminal states get a bonus too.
    return rewards + bonus.masked_fill(terminal[:, None], 0.0)[:, None, :]
    ### END SOLUTION


def potential_of(bonus: Tensor, gamma: float) -> Tensor | None:
    """The potential behind a bonus, or None if there is none: then it may change what is optimal.

    A bonus F is potential-based if F(s, s') = gamma * Phi(s') - Phi(s) for all s and s'. All states
    go on here, none is terminal. For gamma below 1 there is at most one such potential: stay where
    you are, and F(s, s) = (gamma - 1) Phi(s).

    Args:
        bonus: (S, S) float64; entry (s, s') is paid for going from s to s'.
        gamma: in [0, 1).

    Returns:
        (S,) float64, or None if the formula misses an entry of ``bonus`` by more than 1e-8.

    Raises:
        ValueError: bonus is not (S, S), or gamma lies outside of [0, 1).
    """
    if bonus.ndim != 2 or bonus.shape[0] != bonus.shape[1] or not 0 <= gamma < 1:
        raise ValueError("bonus must be (S, S), and gamma in [0, 1).")
    # TODO(shaping): the diagonal gives it; all other entries are the check.
    ### BEGIN SOLUTION
    # BUG(potential-with-the-wrong-sign): phi = bonus.diagonal() / (1 - gamma)
    # WHEN the potential has the wrong sign.
    # BUG(potential-with-the-wrong-sign, 2): phi = -bonus.diagonal() / (gamma - 1)
    phi = bonus.diagonal() / (gamma - 1)
    # BUG(everything-is-a-potential): gap = 0 * bonus
    # WHEN no entry outside of the diagonal is checked, so that every bonus seems to have a
    # WHEN potential.
    # BUG(everything-is-a-potential, 2): gap = (gamma * phi - phi) - bonus.diagonal()
    # BUG(checks-without-signs): gap = (gamma * phi[None, :] - phi[:, None]).abs() - bonus.abs()
    # WHEN only the sizes of the entries are compared, not their signs.
    gap = gamma * phi[None, :] - phi[:, None] - bonus
    # BUG(tolerance-grows-with-the-bonus): return phi if torch.allclose(gap + bonus, bonus) else None
    # WHEN entries may miss the bonus by a share of it, and not by 1e-8.
    return phi if float(gap.abs().max()) <= 1e-8 else None
    ### END SOLUTION
