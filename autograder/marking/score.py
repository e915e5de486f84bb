"""Pure arithmetic: outcomes and lateness -> numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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


def lateness(
    received: datetime | None, due: datetime | None, rule: LateRule, extension: int = 0
) -> tuple[int, float]:
    """Started days after the grace period, and the factor on the points.

    ``extension`` moves the due date by days. Days are calendar days in the zone of ``due``, so
    nobody loses a day when clocks change. Unknown times are not late.
    """
    if received is None or due is None:
        return 0, 1.0
    # Arithmetic with dates forgets which of two equal hours is meant.
    due = (due + timedelta(days=extension)).replace(fold=due.fold)
    counted = received.astimezone(UTC) - timedelta(minutes=rule.grace_minutes)
    if counted <= due.astimezone(UTC):
        return 0, 1.0
    # The difference of what two clocks on the wall show, one of them at the due date.
    on_the_wall = counted.astimezone(due.tzinfo).replace(tzinfo=None) - due.replace(tzinfo=None)
    days = max(1, math.ceil(on_the_wall / timedelta(days=1)))
    return days, 0.0 if days > rule.max_days else max(0.0, 1 - rule.per_day * days)
