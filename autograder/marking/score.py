"""Pure arithmetic: outcomes and lateness -> numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from autograder.authoring.course import LateRule
from autograder.model import Grade, Outcome, State


@dataclass(frozen=True)
class Score:
    """Points out of ``worth``; None while something that is not the student's fault is open."""

    points: float | None
    worth: float

    @property
    def percent(self) -> float | None:
        """Points in per cent."""
        return (
            None if self.points is None else 100 * self.points / self.worth if self.worth else 0.0
        )


def score(grade: Grade, worth: float) -> Score:
    """What a grade comes to. ``worth`` is the sum over all hidden tests, reached or not."""
    if not grade.complete or any(outcome.open for outcome in grade.outcomes):
        return Score(None, worth)
    if grade.state is not State.TESTED and not grade.counts_zero:
        return Score(None, worth)
    return Score(round(earned(grade.outcomes) * grade.late_factor, 6), worth)


def earned(outcomes: Sequence[Outcome]) -> float:
    """Points before lateness."""
    return math.fsum(outcome.points for outcome in outcomes)


def lateness(received: datetime | None, due: datetime | None, rule: LateRule) -> tuple[int, float]:
    """Started days after the grace period, and the factor on the points.

    Unknown times are not late.
    """
    if received is None or due is None:
        return 0, 1.0
    overdue = received - due - timedelta(minutes=rule.grace_minutes)
    if overdue <= timedelta(0):
        return 0, 1.0
    days = math.ceil(overdue / timedelta(days=1))
    return days, 0.0 if days > rule.max_days else max(0.0, 1 - rule.per_day * days)
