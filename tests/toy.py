"""A toy course in a folder of the test's own: one assignment, `sequences`, with everything that a
real one has.

Three functions, four known bugs, four hidden tests, ten points. Two of the bugs give the same
numbers where a sequence has two rewards, so that only the test with three rewards tells them apart.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from autograder.authoring import starter
from autograder.authoring.course import Assignment, Course, load_assignment, load_course
from autograder.authoring.source import Source
from autograder.judging.hidden_test import HiddenTest, InProcess
from autograder.judging.plugin import collect

NAME, MAIN = "sequences", "sequences.py"

COURSE = """\
title: A toy course
term: Spring 2027
late: {grace_minutes: 15, per_day: 0.1, max_days: 3}
assignments:
  sequences: {weight: 2, due: 2027-02-05T23:59:00+00:00}
"""

ASSIGNMENT = """\
title: Sequences
submit: [sequences.py]
parts:
  sums: Discounted sums
  means: Means and probabilities
libraries: [numpy]
requirements: [numpy>=1.26, pytest>=8]
limits: {call_seconds: 2, test_seconds: 20}
"""

SOLUTION = '''\
"""Tools for sequences of rewards."""

import numpy as np


def discounted(rewards, gamma):
    """The sum over k of gamma**k * rewards[k], a float."""
    # TODO(sums): weigh each reward by a power of gamma.
    ### BEGIN SOLUTION
    # BUG(no-discount): weights = np.ones(len(rewards))
    # WHEN gamma is never used.
    # BUG(last-reward-whole): weights = np.append(gamma ** np.arange(len(rewards) - 1.0), 1.0)
    # WHEN the last reward is not discounted.
    weights = gamma ** np.arange(float(len(rewards)))
    return float(rewards @ weights)
    ### END SOLUTION


def centred(numbers):
    """The numbers minus their mean, an array of their shape."""
    # TODO(means): subtract the mean.
    ### BEGIN SOLUTION
    # BUG(median): return numbers - np.median(numbers)
    # WHEN the median is subtracted in place of the mean.
    return numbers - numbers.mean()
    ### END SOLUTION


def softmax(logits):
    """Probabilities in proportion to exp(logits), an array of their shape."""
    # TODO(means): exponentiate and normalise.
    ### BEGIN SOLUTION
    weights = np.exp(logits - logits.max())
    # BUG(sums-to-n): return weights / weights.mean()
    # WHEN the weights are divided by their mean, so that they sum to how many they are.
    return weights / weights.sum()
    ### END SOLUTION
'''

HIDDEN = '''\
import numpy as np

from autograder.judging.checks import assert_close
from autograder.judging.plugin import points

BOTH = ("no-discount", "last-reward-whole")


@points(2, part="sums", catches=BOTH, hint="The second reward counts gamma times.")
def test_two_rewards(student, rng):
    """The second of two rewards is discounted once."""
    rewards = rng.normal(size=2)
    total = float(rewards[0] + 0.5 * rewards[1])
    assert_close(student.discounted(rewards, 0.5), total, what="the sum")


@points(3, part="sums", catches=BOTH, hint="Each step costs one more factor gamma.")
def test_three_rewards(student, rng):
    """Each reward is discounted once more than the one before it."""
    rewards = rng.normal(size=3)
    expected = float(rewards[0] + 0.5 * rewards[1] + 0.25 * rewards[2])
    assert_close(student.discounted(rewards, 0.5), expected, what="the sum")


@points(2, part="means", catches="median", hint="The mean of what comes back is zero.")
def test_the_mean_is_gone(student, rng):
    """Centred numbers have mean zero and keep their distances."""
    numbers = rng.normal(size=7)
    assert_close(student.centred(numbers), numbers - numbers.sum() / 7, rtol=1e-5, atol=1e-5)


@points(3, part="means", catches="sums-to-n", hint="Probabilities sum to one.")
def test_probabilities_sum_to_one(student, rng):
    """Softmax gives probabilities with the right odds."""
    logits = rng.normal(size=4)
    weights = np.exp(logits)
    assert_close(student.softmax(logits), weights / weights.sum(), what="the probabilities")
'''

PUBLIC = """\
import numpy as np
import sequences as work


def test_discounted():
    assert work.discounted(np.array([1.0, 2.0]), 0.5) == 2.0


def test_centred():
    assert work.centred(np.array([1.0, 3.0])).tolist() == [-1.0, 1.0]


def test_softmax():
    assert work.softmax(np.zeros(2)).tolist() == [0.5, 0.5]
"""

FILES = {
    "course.yml": COURSE,
    f"assignments/{NAME}/assignment.yml": ASSIGNMENT,
    f"assignments/{NAME}/README.md": "# Sequences\n",
    f"assignments/{NAME}/test_local.py": PUBLIC,
    f"assignments/{NAME}/report.py": "print('no plots')\n",
    f"solutions/{NAME}/{MAIN}": SOLUTION,
    f"grading/{NAME}/test_hidden.py": HIDDEN,
}


_collected: dict[tuple[Path, str], dict[str, HiddenTest]] = {}


def forget_hidden_tests() -> None:
    """Have pytest import hidden tests again: in one process it does so once for each name."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("grading", "test_hidden")]:
        del sys.modules[name]


@dataclass(frozen=True)
class Toy:
    """The toy course under ``root``."""

    root: Path

    @classmethod
    def build(cls, root: Path) -> Toy:
        """Write all files, the generated starter among them."""
        toy = cls(root)
        for name, text in FILES.items():
            toy.write(name, text)
        starter.write(toy.assignment)
        return toy

    @property
    def course(self) -> Course:
        return load_course(self.root)

    @property
    def assignment(self) -> Assignment:
        return load_assignment(self.root, NAME)

    @property
    def source(self) -> Source:
        return Source(self.assignment.solution)

    @property
    def tests(self) -> dict[str, HiddenTest]:
        """The hidden tests by name; read again when the file has changed."""
        path = self.assignment.hidden_tests
        key = (path, path.read_text(encoding="utf-8"))
        if key not in _collected:
            forget_hidden_tests()
            _collected[key] = {test.name: test for test in collect(path)}
        return _collected[key]

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old!r}"
        self.write(name, text.replace(old, new))

    def edit_solution(self, old: str, new: str) -> None:
        self.edit(f"solutions/{NAME}/{MAIN}", old, new)

    def edit_hidden(self, old: str, new: str) -> None:
        self.edit(f"grading/{NAME}/test_hidden.py", old, new)

    def submission(self, old: str = "", new: str = "") -> str:
        """The correct solution as a student might submit it, with one change."""
        text = self.source.solution()
        assert old in text, f"the solution does not hold {old!r}"
        return text.replace(old, new) if old else text

    def candidate(self, old: str = "", new: str = "") -> InProcess:
        """The same, ready to be run in this process."""
        return InProcess.of(self.submission(old, new), MAIN)
