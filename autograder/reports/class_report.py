"""Grades of a class -> the facts of its report: scores, failures, mistakes, who needs somebody."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from autograder.marking import feedback
from autograder.marking.score import score
from autograder.model import Grade, Mistake, Outcome, State, Verdict

BINS = 10  # of the histogram, each 10 per cent wide
SLOWEST = 10  # submissions listed


@dataclass
class Tally:
    """How often something was passed, failed, ... by those who were graded on it."""

    name: str
    label: str
    part: str
    worth: float
    counts: Counter[Verdict] = field(default_factory=Counter)

    @property
    def graded(self) -> int:
        """Outcomes that say something about the student."""
        return self.counts.total() - self.counts[Verdict.UNGRADED]

    @property
    def rate(self) -> float | None:
        """The share that passed, or None where nobody was graded."""
        return self.counts[Verdict.PASSED] / self.graded if self.graded else None

    def count(self, verdict: str) -> int:
        """How many got this verdict."""
        return self.counts[Verdict(verdict)]


@dataclass(frozen=True)
class Made:
    """A known mistake that was recognised by its numbers, and who made it."""

    mistake: Mistake
    students: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One student in the class."""

    student: str
    state: State
    points: float | None
    percent: float | None
    late_days: int
    passed: int
    tests: int
    note: str
    seconds: float


@dataclass(frozen=True)
class Curves:
    """The learning curves of one training test."""

    says: str
    lines: dict[str, tuple[float, ...]]  # student -> values, evenly spread over the training


class ClassReport:
    """Everything that the class report shows, computed from the grades."""

    def __init__(self, grades: Sequence[Grade], worth: float) -> None:
        self.grades = sorted(grades, key=lambda grade: grade.student)
        self.worth = worth
        self.rows = [_row(grade, worth) for grade in self.grades]

    @property
    def percents(self) -> list[float]:
        """Of those whose submission was tested and who have a score."""
        tested = (row for row in self.rows if row.state is State.TESTED)
        return [row.percent for row in tested if row.percent is not None]

    @property
    def ungraded(self) -> list[Row]:
        """Who waits for a grade; the note says why."""
        return [row for row in self.rows if row.points is None and row.state is State.TESTED]

    @property
    def untested(self) -> list[Row]:
        """Whose submission could not be read: likely a slip. They are in no mean and no bar."""
        return [row for row in self.rows if row.state is not State.TESTED]

    def in_state(self, state: str) -> list[Row]:
        """Whose submission came only so far."""
        return [row for row in self.rows if row.state is State(state)]

    @property
    def late(self) -> int:
        """How many submitted late."""
        return sum(row.late_days > 0 for row in self.rows)

    @property
    def mean(self) -> float | None:
        """Mean score in per cent."""
        return statistics.fmean(self.percents) if self.percents else None

    @property
    def median(self) -> float | None:
        """Median score in per cent."""
        return statistics.median(self.percents) if self.percents else None

    @property
    def histogram(self) -> list[tuple[str, int]]:
        """Scores in tenths: label and number of students; full marks are in the last."""
        counts = Counter(min(int(percent / 100 * BINS), BINS - 1) for percent in self.percents)
        width = 100 // BINS
        labels = [f"{number * width} to {(number + 1) * width} %" for number in range(BINS)]
        return [(label, counts[number]) for number, label in enumerate(labels)]

    @property
    def tests(self) -> list[Tally]:
        """One tally for each hidden test, in the tests' order."""
        tallies: dict[str, Tally] = {}
        for outcome in self._outcomes():
            new = Tally(outcome.test, outcome.says, outcome.part, outcome.worth)
            tallies.setdefault(outcome.test, new).counts[outcome.verdict] += 1
        return list(tallies.values())

    @property
    def parts(self) -> list[Tally]:
        """One tally for each part: all its tests together that are worth something."""
        tallies: dict[str, Tally] = {}
        for test in filter(lambda test: test.worth, self.tests):
            part = tallies.setdefault(test.part, Tally(test.part, test.part, test.part, 0.0))
            part.counts += test.counts
            part.worth += test.worth
        return list(tallies.values())

    @property
    def mistakes(self) -> list[Made]:
        """Recognised mistakes, the most frequent first: what to teach again."""
        students: dict[Mistake, set[str]] = defaultdict(set)
        parts: dict[Mistake, set[str]] = defaultdict(set)
        for grade in self.grades:
            for outcome in grade.outcomes:
                for mistake in outcome.named:
                    students[mistake].add(grade.student)
                    parts[mistake].add(outcome.part)
        found = [
            Made(mistake, tuple(sorted(who)), tuple(sorted(parts[mistake])))
            for mistake, who in students.items()
        ]
        return sorted(found, key=lambda made: (-len(made.students), made.mistake.when))

    @property
    def slowest(self) -> list[Row]:
        """The submissions that took longest to mark."""
        timed = [row for row in self.rows if row.seconds]
        return sorted(timed, key=lambda row: -row.seconds)[:SLOWEST]

    @property
    def curves(self) -> list[Curves]:
        """Learning curves, test by test, where tests have recorded some."""
        found: dict[str, Curves] = {}
        for grade in self.grades:
            for outcome in grade.outcomes:
                if outcome.curve:
                    found.setdefault(outcome.test, Curves(outcome.says, {})).lines[
                        grade.student
                    ] = outcome.curve
        return list(found.values())

    def _outcomes(self) -> list[Outcome]:
        return [outcome for grade in self.grades for outcome in grade.outcomes]


def _row(grade: Grade, worth: float) -> Row:
    total = score(grade, worth)
    passed = sum(outcome.verdict is Verdict.PASSED for outcome in grade.outcomes)
    late, tests, seconds = grade.late_days, len(grade.outcomes), grade.seconds
    return Row(
        grade.student,
        grade.state,
        total.points,
        total.percent,
        late,
        passed,
        tests,
        feedback.note(grade),
        seconds,
    )
