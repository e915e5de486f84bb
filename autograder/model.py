"""The data that the pipeline passes on: frozen, with no more behaviour than follows from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from autograder.errors import Limit

Kind = TypeVar("Kind")


class Verdict(StrEnum):
    """What is known about one test. ``ungraded`` is our fault and never a zero."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_WRITTEN = "not_written"
    UNGRADED = "ungraded"


class State(StrEnum):
    """How far a submission came. Only a submission that was tested counts in means and bars."""

    TESTED = "tested"
    NOT_OPENED = "not_opened"
    NOT_IMPORTED = "not_imported"
    # Only a person can say which of two submissions counts.
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Mistake:
    """A known mistake: the bug's name in the solution, and when one makes it."""

    bug: str
    when: str


class Basis(StrEnum):
    """What speaks for the mistakes of an outcome."""

    NAMED = "named"  # All tests of the submission agree with them.
    FOLLOWS = "follows"  # So they do, and it is another test that is about them.
    HERE_ALONE = "here_alone"  # The numbers of this test; other failed tests do not fit.


@dataclass(frozen=True)
class Outcome:
    """One hidden test's outcome for one submission.

    Students see ``says``, ``hint``, ``mistakes``, ``finding``, ``error`` and ``prints``;
    ``detail`` may hold expected values and is for staff.

    finding   what is wrong with the result's kind, shape or dtype: safe to show
    error     the student's own exception and lines
    limit     the time limit that ended the test, if one did
    prints    what the student's code printed, capped
    mistakes  the known mistakes that together give exactly these numbers, mostly one
    basis     what speaks for these mistakes
    suspects  names of the known bugs that give exactly these numbers, as far as they were tried
    curve     how a training went, if the test recorded it with lab.curve
    rates     what the test measured with lab.rate, by its name
    extra     worth nothing, whatever the verdict: no score depends on it
    """

    test: str
    says: str
    part: str
    verdict: Verdict
    worth: float
    hint: str = ""
    finding: str = ""
    error: str = ""
    limit: Limit | None = None
    prints: str = ""
    mistakes: tuple[Mistake, ...] = ()
    basis: Basis = Basis.NAMED
    suspects: tuple[str, ...] = ()
    detail: str = ""
    curve: tuple[float, ...] = ()
    extra: bool = False
    rates: dict[str, float] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """The test counts and could not be graded, so there is no score yet."""
        return self.verdict is Verdict.UNGRADED and not self.extra

    @property
    def named(self) -> tuple[Mistake, ...]:
        """The mistakes that all tests of the submission agree with."""
        return () if self.basis is Basis.HERE_ALONE else self.mistakes

    @property
    def points(self) -> float:
        """Points earned by this test."""
        return self.worth if self.verdict is Verdict.PASSED else 0.0


@dataclass(frozen=True)
class Grade:
    """All that is known about one submission.

    problem      why no test could be run, with the remedy: written for the student
    error        the student's own exception and lines, where the import has failed
    state        how far the submission came
    counts_zero  whether a submission that could not be read counts zero points, or stays open
    seconds      wall time, the only number that differs between two gradings
    minutes      by part, how long the student says that it took
    """

    student: str
    outcomes: tuple[Outcome, ...]
    problem: str = ""
    error: str = ""
    state: State = State.TESTED
    counts_zero: bool = True
    complete: bool = True
    late_days: int = 0
    late_factor: float = 1.0
    provenance: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    minutes: dict[str, float] = field(default_factory=dict)


class GpuState(StrEnum):
    """What happens to the tests that need a GPU."""

    # The assignment has none.
    ABSENT = "absent"
    RUN = "run"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class GpuStatus:
    """What happens to the tests that need a GPU, and why they are not run, if they are not."""

    state: GpuState = GpuState.ABSENT
    reason: str = ""

    def __str__(self) -> str:
        words = {GpuState.ABSENT: "absent", GpuState.RUN: "run", GpuState.NOT_RUN: "not run"}
        return f"{words[self.state]}: {self.reason}" if self.reason else words[self.state]


def to_data(value: Any) -> dict[str, Any]:
    """A dataclass as plain data, for a file or a socket."""
    return asdict(value)


def from_data(kind: type[Kind], data: Any) -> Kind:
    """The inverse of to_data. Raises pydantic.ValidationError, which is a ValueError."""
    found: Kind = _adapter(kind).validate_python(data)  # type: ignore[arg-type]
    return found


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
