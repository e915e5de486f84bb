"""What a failed test says about a known mistake: it explains, contradicts, or is silent.

The failed test is run again, with the same data, with a broken variant (trusted code, in this
process). Its answers are compared, call by call, with those of the submission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from autograder.authoring.markers import bug_of
from autograder.errors import StudentTimeout
from autograder.isolation.codec import Fields, torch_module
from autograder.judging import alarm, hidden_test
from autograder.judging.answers import same
from autograder.judging.hidden_test import Candidate, HiddenTest, Trace

MAX_KEPT = 64 << 20  # bytes of answers that are kept until all tests are done
REPLAY_SECONDS = 60.0  # that a broken variant may take for one test
SMALL = 100  # bytes that an answer is taken to need apart from its numbers
NOTHING = object()  # The reference has no answer there: its run took fewer.


class Fit(Enum):
    """What a variant's run says about the failure of a submission."""

    EXPLAINS = "it fails with the submission's answers"
    CONTRADICTS = "it changes answers, and not to those of the submission"
    SILENT = "it does what the solution does, as far as the submission got"


class Telling(Enum):
    """How much it says that a variant gives the submission's first wrong answer."""

    NUMBER = "the answer is a number where the reference has another one"
    REFUSAL = "an answer came where the reference refuses with a ValueError"
    NOTHING = "an exception, which is not a number: many mistakes raise the same"


@dataclass(frozen=True)
class Failure:
    """A test that a submission failed with answers of its own.

    answers  all answers of the submission, up to the failure
    first    the index of the first answer that is not the reference's
    right    the reference's answer there
    called   the functions of the solution that the test calls
    """

    test: HiddenTest
    seed: int
    answers: Sequence[Any]
    first: int
    right: Any
    called: frozenset[str]

    @classmethod
    def of(
        cls, test: HiddenTest, seed: int, student: Trace, reference: Trace, called: Iterable[str]
    ) -> Failure | None:
        """None where every answer is the reference's: then nothing can be compared."""
        first = first_difference(reference, student)
        if first is None:
            return None
        right = reference.events[first] if first < len(reference.events) else NOTHING
        return cls(test, seed, tuple(student.events), first, right, frozenset(called))

    @property
    def telling(self) -> Telling:
        """What it says if a variant explains this failure."""
        return _telling(self.right, self.answers[self.first])

    def fit(self, variant: Candidate) -> Fit:
        """Run the test with a variant, up to the first answer that is not the submission's."""
        found: list[Fit] = []
        heard = 0

        def compare(event: Any) -> None:
            nonlocal heard
            index, heard = heard, heard + 1
            if index < len(self.answers) and not same(event, self.answers[index]):
                silent = index == self.first and same(event, self.right)
                found.append(Fit.SILENT if silent else Fit.CONTRADICTS)
                raise _DiffersError

        try:
            replay = alarm.within(
                REPLAY_SECONDS, lambda: hidden_test.run(self.test, variant, self.seed, compare)
            )
        except StudentTimeout:
            return Fit.CONTRADICTS
        if found:
            return found[0]
        if isinstance(replay.error, StudentTimeout) or heard < len(self.answers):
            unmoved = replay.passed and heard <= self.first
            return Fit.SILENT if unmoved else Fit.CONTRADICTS
        return Fit.SILENT if replay.passed else Fit.EXPLAINS


class _DiffersError(Exception):
    """Ends a replay."""


class Failures:
    """The failures of one submission, kept until all tests are done. Their memory is bounded.

    A failure that finds no room has no say in the diagnosis.
    """

    def __init__(self, room: int = MAX_KEPT) -> None:
        self.kept: list[Failure] = []
        self._room = room

    def add(self, failure: Failure) -> None:
        """Keep it if there is room."""
        size = _size(failure.answers) + _size(failure.right)
        if size <= self._room:
            self._room -= size
            self.kept.append(failure)


def first_difference(reference: Trace, student: Trace) -> int | None:
    """The index of the student's first answer that is not the reference's, or None."""
    for index, answer in enumerate(student.events):
        if index >= len(reference.events) or not same(answer, reference.events[index]):
            return index
    return None


def telling(reference: Trace, wrong: Trace) -> Telling:
    """What it says if a submission has the answers of this wrong run."""
    first = first_difference(reference, wrong)
    if first is None:
        return Telling.NOTHING
    right = reference.events[first] if first < len(reference.events) else NOTHING
    return _telling(right, wrong.events[first])


def indistinguishable(
    tests: Iterable[HiddenTest],
    references: Mapping[str, Trace],
    traces: Mapping[tuple[str, str], Trace],
) -> list[tuple[str, str, str]]:
    """(test, bug, other): the test declares to catch the bug, and cannot tell it from the other.

    ``references``: the solution's run of each test by its name; ``traces``: the run of each test
    with each spelling of a bug, by both names. Two bugs that the test both declares are left out.
    """
    bugs = sorted({bug for _, bug in traces})
    return [
        (test.name, bug, other)
        for test in tests
        for bug in sorted(test.catches)
        for other in bugs
        if bug_of(other) not in test.catches
        and (test.name, bug) in traces
        and (test.name, other) in traces
        and telling(references[test.name], traces[test.name, bug]) is Telling.NUMBER
        and _alike(traces[test.name, bug], traces[test.name, other])
    ]


def _alike(one: Trace, other: Trace) -> bool:
    """Both fail, with the same answers."""
    return (
        not one.passed
        and not other.passed
        and len(one.events) == len(other.events)
        and first_difference(one, other) is None
    )


def _telling(right: Any, answer: Any) -> Telling:
    if _raised(answer):
        return Telling.NOTHING
    refused = _raised(right) == "ValueError"
    return Telling.REFUSAL if refused else Telling.NUMBER


def _raised(event: Any) -> str:
    """The kind of the exception, if the answer is one."""
    is_one = isinstance(event, tuple) and len(event) == 2 and event[0] == "raise"
    return str(event[1]) if is_one else ""


def _size(value: Any) -> int:
    """About how many bytes an answer needs."""
    torch = torch_module()
    if torch is not None and isinstance(value, torch.Tensor):
        return SMALL + int(value.numel()) * int(value.element_size())
    if isinstance(value, (np.ndarray, np.generic)):
        return SMALL + value.nbytes
    if isinstance(value, Fields):
        value = vars(value)
    if isinstance(value, dict):
        return SMALL + sum(_size(key) + _size(one) for key, one in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return SMALL + sum(map(_size, value))
    return SMALL + (len(value) if isinstance(value, (str, bytes)) else 0)
