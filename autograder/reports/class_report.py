"""Grades of a class -> the facts of its report: scores, failures, mistakes, who needs somebody."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from autograder.marking import feedback
from autograder.marking.roster import Roster
from autograder.marking.score import earned, score
from autograder.model import Grade, Mistake, Outcome, State, Verdict
from autograder.reports.origin import received_at
from autograder.reports.people import People, in_order
from autograder.reports.spread import BINS, Spread, bin_labels, bin_of, discrimination, spread

SLOWEST = 10  # submissions listed


@dataclass
class Tally:
    """Who passed, failed, ... something; ``discriminates`` is told of single tests only."""

    name: str
    label: str
    part: str
    worth: float
    students: dict[Verdict, list[str]] = field(default_factory=lambda: defaultdict(list))
    discriminates: float | None = None

    @property
    def graded(self) -> int:
        """Outcomes that say something about the student."""
        return sum(map(len, self.students.values())) - self.count("ungraded")

    @property
    def rate(self) -> float | None:
        """The share that passed, or None where nobody was graded."""
        return self.count("passed") / self.graded if self.graded else None

    def count(self, verdict: str) -> int:
        """How many got this verdict."""
        return len(self.students.get(Verdict(verdict), ()))

    def who(self, verdict: str) -> list[str]:
        """The students of this verdict, each once."""
        return list(dict.fromkeys(self.students.get(Verdict(verdict), ())))


@dataclass(frozen=True)
class Made:
    """A known mistake that was recognised by its numbers, and who made it."""

    mistake: Mistake
    students: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One student in the class. ``before``: points before lateness."""

    student: str
    state: State
    points: float | None
    before: float
    percent: float | None
    received: datetime | None
    late_days: int
    passed: int
    tests: int
    note: str
    seconds: float


@dataclass(frozen=True)
class Bin:
    """One bar of the histogram, and who is in it."""

    label: str
    students: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One section of the course; ``missing`` is how many submitted nothing."""

    name: str
    submitted: int
    missing: int
    spread: Spread | None


@dataclass(frozen=True)
class Curves:
    """The learning curves of one training test."""

    says: str
    lines: dict[str, tuple[float, ...]]  # student -> values, evenly spread over the training


class ClassReport:
    """Everything that the class report shows, computed from the grades and, if given, a roster."""

    def __init__(self, grades: Sequence[Grade], worth: float, roster: Roster | None = None) -> None:
        self.people = People(roster, grades)
        self.grades = sorted(grades, key=lambda grade: self._order(grade.student))
        self.worth = worth
        self.rows = [_row(grade, worth) for grade in self.grades]
        self.row = {row.student: row for row in self.rows}

    def _order(self, student: str) -> tuple[str, str]:
        return in_order(self.people.name(student)), student

    @property
    def percents(self) -> list[float]:
        """Of those whose submission was tested and who have a score."""
        return [row.percent for row in self._scored if row.percent is not None]

    @property
    def _scored(self) -> list[Row]:
        tested = (row for row in self.rows if row.state is State.TESTED)
        return [row for row in tested if row.percent is not None]

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
    def late_rows(self) -> list[Row]:
        """Who submitted late."""
        return [row for row in self.rows if row.late_days]

    @property
    def spread(self) -> Spread | None:
        """Median, quartiles, mean and deviation of the scores in per cent."""
        return spread(self.percents)

    @property
    def sections(self) -> list[Section]:
        """Each section by itself, where the roster names several."""
        names = self.people.sections
        return [self._section(name) for name in names] if len(names) > 1 else []

    def _section(self, name: str) -> Section:
        rows = [row for row in self.rows if self.people.section(row.student) == name]
        here = [row for row in self._scored if self.people.section(row.student) == name]
        percents = [row.percent for row in here if row.percent is not None]
        missing = sum(person.section == name for person in self.people.missing)
        return Section(name, len(rows), missing, spread(percents))

    @property
    def histogram(self) -> list[Bin]:
        """Scores in tenths; full marks are in a bin of their own, the last."""
        members: list[list[str]] = [[] for _ in range(BINS + 1)]
        for row in self._scored:
            members[bin_of(row.percent or 0.0)].append(row.student)
        return [Bin(label, tuple(who)) for label, who in zip(bin_labels(), members, strict=True)]

    @cached_property
    def tests(self) -> list[Tally]:
        """One tally for each hidden test, in the tests' order."""
        tallies: dict[str, Tally] = {}
        for student, outcome in self._outcomes():
            new = Tally(outcome.test, outcome.says, outcome.part, outcome.worth)
            tally = tallies.setdefault(outcome.test, new)
            tally.students[outcome.verdict].append(student)
        for tally in tallies.values():
            tally.discriminates = self._discrimination(tally)
        return list(tallies.values())

    def _discrimination(self, tally: Tally) -> float | None:
        """Over those who were graded on everything."""
        scored = {row.student for row in self._scored}
        passed, rest = [], []
        for grade in (grade for grade in self.grades if grade.student in scored):
            own = [one for one in grade.outcomes if one.test == tally.name]
            others = [one for one in grade.outcomes if one.test != tally.name]
            if own and own[0].verdict is not Verdict.UNGRADED:
                passed.append(own[0].verdict is Verdict.PASSED)
                rest.append(earned(others))
        return discrimination(passed, rest)

    @property
    def hardest(self) -> list[Tally]:
        """The tests, those that fewest passed first."""
        return sorted(self.tests, key=_by_rate)

    @property
    def doubtful(self) -> list[Tally]:
        """Tests that those who are otherwise strong pass less often than the others."""
        return [one for one in self.hardest if (one.discriminates or 0.0) < 0]

    @property
    def parts(self) -> list[Tally]:
        """One tally for each part, all its tests that are worth something; the hardest first."""
        tallies: dict[str, Tally] = {}
        for test in filter(lambda test: test.worth, self.tests):
            part = tallies.setdefault(test.part, Tally(test.part, test.part, test.part, 0.0))
            for verdict, students in test.students.items():
                part.students[verdict] += students
            part.worth += test.worth
        return sorted(tallies.values(), key=_by_rate)

    @cached_property
    def minutes(self) -> dict[str, Spread]:
        """How long students say that a part took, for each part that somebody told about."""
        told: dict[str, list[float]] = defaultdict(list)
        for grade in self.grades:
            for part, minutes in grade.minutes.items():
                told[part].append(minutes)
        return {part: found for part, numbers in told.items() if (found := spread(numbers))}

    @property
    def mistakes(self) -> list[Made]:
        """Recognised mistakes, the most frequent first: what to teach again."""
        students: dict[Mistake, set[str]] = defaultdict(set)
        parts: dict[Mistake, set[str]] = defaultdict(set)
        for student, outcome in self._outcomes():
            for mistake in outcome.named:
                students[mistake].add(student)
                parts[mistake].add(outcome.part)
        found = [
            Made(mistake, tuple(sorted(who, key=self._order)), tuple(sorted(parts[mistake])))
            for mistake, who in students.items()
        ]
        return sorted(found, key=lambda made: (-len(made.students), made.mistake.when))

    @property
    def slowest(self) -> list[Row]:
        """The submissions that took longest to mark."""
        timed = [row for row in self.rows if row.seconds]
        return sorted(timed, key=lambda row: -row.seconds)[:SLOWEST]

    @property
    def usual_seconds(self) -> float | None:
        """The median time that marking took."""
        timed = [row.seconds for row in self.rows if row.seconds]
        return statistics.median(timed) if timed else None

    @property
    def curves(self) -> list[Curves]:
        """Learning curves, test by test, where tests have recorded some."""
        found: dict[str, Curves] = {}
        for student, outcome in self._outcomes():
            if outcome.curve:
                curves = found.setdefault(outcome.test, Curves(outcome.says, {}))
                curves.lines[student] = outcome.curve
        return list(found.values())

    def _outcomes(self) -> list[tuple[str, Outcome]]:
        return [(grade.student, outcome) for grade in self.grades for outcome in grade.outcomes]


def _by_rate(tally: Tally) -> float:
    return math.inf if tally.rate is None else tally.rate


def _row(grade: Grade, worth: float) -> Row:
    total = score(grade, worth)
    return Row(
        student=grade.student,
        state=grade.state,
        points=total.points,
        before=earned(grade.outcomes),
        percent=total.percent,
        received=received_at(grade.provenance),
        late_days=grade.late_days,
        passed=sum(outcome.verdict is Verdict.PASSED for outcome in grade.outcomes),
        tests=len(grade.outcomes),
        note=feedback.note(grade),
        seconds=grade.seconds,
    )
