"""The data that the pipeline passes on: frozen, without behaviour beyond what can be derived from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What is known about one test. ``ungraded`` is our fault and never a zero."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_WRITTEN = "not_written"
    UNGRADED = "ungraded"


@dataclass(frozen=True)
class Outcome:
    """One hidden test's verdict on one submission.

    Students see ``says``, ``hint``, ``diagnosis``, ``error`` and ``prints``; ``detail`` may hold expected values and is for staff.
    """

    test: str
    says: str
    part: str
    verdict: Verdict
    worth: float
    hint: str = ""
    finding: str = ""  # what is wrong with the result's kind, shape or dtype: safe to show
    error: str = ""  # the student's own exception and lines
    prints: str = ""  # what the student's code printed, capped
    diagnosis: str = ""  # "These are the numbers one gets when ..."
    suspects: tuple[str, ...] = ()  # known bugs that give exactly these numbers
    detail: str = ""
    curve: tuple[float, ...] = ()  # how a training went, if the test recorded it with lab.curve
    extra: bool = False  # worth nothing, whatever the verdict: no score depends on it
    rates: dict[str, float] = field(
        default_factory=dict
    )  # what the test measured with lab.rate, by its name

    @property
    def open(self) -> bool:
        """Keeps the score open: somebody's fault but the student's, in a test that counts."""
        return self.verdict is Verdict.UNGRADED and not self.extra

    @property
    def points(self) -> float:
        """Points earned by this test."""
        return self.worth if self.verdict is Verdict.PASSED else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for the pipe between grader and command."""
        return vars(self) | {"verdict": self.verdict.value}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Outcome:
        """The inverse of to_dict."""
        return cls(
            **data
            | {
                "verdict": Verdict(data["verdict"]),
                "suspects": tuple(data["suspects"]),
                "curve": tuple(data.get("curve", ())),
            }
        )


@dataclass(frozen=True)
class Grade:
    """All that is known about one submission."""

    student: str
    outcomes: tuple[Outcome, ...]
    problem: str = ""  # why nothing could be run: written for the student
    complete: bool = True
    late_days: int = 0
    late_factor: float = 1.0
    provenance: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0  # wall time, the only number that differs between two gradings
    notes: tuple[str, ...] = ()  # what was marked and what was left out: written for the student
