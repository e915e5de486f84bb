"""The pipeline: submissions -> jobs -> outcomes -> grades, each written down once it is known."""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from autograder.authoring import survey
from autograder.authoring.course import Assignment, Course
from autograder.errors import IsolationError
from autograder.marking import result_files
from autograder.marking.engines import Engine, Job, Listed, Progress
from autograder.marking.provenance import LATENESS, changes, provenance
from autograder.marking.score import lateness
from autograder.marking.submission import Submission
from autograder.model import GpuState, Grade, Outcome, State, Verdict, to_data

# Gets each new grade, and how many there will be in all.
Tell = Callable[[Grade, int], None]


class Grading:
    """One run of `grade`: an assignment, an engine, and where results go.

    extensions   days by which a student's due date is put off
    partial      gets results that are not final, at most once in ``write_every`` seconds
    kept         students whose results of an earlier run were used again
    reasons      why the others were marked
    rescored     why lateness was counted again for some of ``kept``
    """

    def __init__(
        self,
        course: Course,
        assignment: Assignment,
        engine: Engine,
        out: Path,
        allow_weak: bool = False,
        extensions: Mapping[str, int] | None = None,
        partial: Callable[[Grade], None] = lambda grade: None,
        write_every: float = 1.0,
    ) -> None:
        if not allow_weak:
            _refuse_a_weak_wall(engine)
        self.course, self.assignment, self.engine = course, assignment, engine
        self.folder = out / assignment.name
        self._extensions = extensions or {}
        self._partial, self._write_every = partial, write_every
        # The time when partial results were last written.
        self._written = 0.0
        self.kept: set[str] = set()
        self.reasons: Counter[str] = Counter()
        self.rescored: Counter[str] = Counter()
        self._common = provenance(course, assignment, engine.layers) | {"leaks": list(engine.leaks)}
        if engine.gpu.state is not GpuState.ABSENT:
            self._common["gpu_part"] = to_data(engine.gpu) | {"points": assignment.scale}

    @property
    def worth(self) -> float:
        """What full marks come to."""
        return sum(test.worth for test in self.engine.tests)

    def run(
        self, submissions: Sequence[Submission], fresh: bool, tell: Tell, only: str | None = None
    ) -> list[Grade]:
        """Mark all; what is complete and has the same provenance is kept.

        Returns the grades by student. ``only``: mark this student, changed or not, and keep
        whatever the others have. However it ends, what was found is written down, and the gradebook
        has a row for everybody.
        """
        result_files.sweep(self.folder)
        chosen = [one for one in submissions if only in (None, one.student)]
        grades = self._others(only) if only else {}
        try:
            again = "--fresh" if fresh else "--only" if only else ""
            left = [one for one in chosen if not self._settled(one, again, grades)]
            self._mark(left, grades, tell)
        finally:
            missing = {one.student: Grade(one.student, (), complete=False) for one in chosen}
            result = [grade for _, grade in sorted((missing | grades).items())]
            result_files.write_gradebook(self.folder, self.assignment, self.worth, result)
        return result

    def _settled(self, submission: Submission, again: str, grades: dict[str, Grade]) -> bool:
        """The grade if it is known without marking: kept, or the submission cannot be opened."""
        kept = result_files.read_grade(self.folder, submission.student)
        state = State.UNDECIDED if submission.undecided else State.NOT_OPENED
        new = self._untested(submission, state, submission.problem)
        if submission.problem:
            grades[submission.student] = kept if kept == new and not again else self._write(new)
            return True
        reason = _reason(kept, new.provenance, again)
        if kept is None or reason:
            self.reasons[reason] += 1
            return False
        if moved := changes(kept.provenance, new.provenance):
            # Only arithmetic has changed: the outcomes of the tests are still valid.
            self.rescored[moved] += 1
            late, factor, origin = new.late_days, new.late_factor, new.provenance
            scored = replace(kept, late_days=late, late_factor=factor, provenance=origin)
            kept = self._write(scored)
        self.kept.add(submission.student)
        if kept.counts_zero != self._counts_zero(kept.state):
            kept = self._write(replace(kept, counts_zero=not kept.counts_zero))
        grades[submission.student] = kept
        return True

    def _mark(self, left: Sequence[Submission], grades: dict[str, Grade], tell: Tell) -> None:
        """Equal content is marked once: it would get the same inputs anyway."""
        by_content: dict[str, list[Submission]] = {}
        for submission in left:
            by_content.setdefault(submission.digest, []).append(submission)
        same = {group[0].student: group for group in by_content.values()}
        unfinished: dict[str, Progress] = {}
        try:
            for progress in self.engine.run([self._job(group[0]) for group in same.values()]):
                unfinished[progress.job.student] = progress
                self._write_now_and_then(same[progress.job.student][0], progress)
                if progress.finished:
                    del unfinished[progress.job.student]
                    for submission in same[progress.job.student]:
                        grades[submission.student] = self._write(self._grade(submission, progress))
                        tell(grades[submission.student], len(left))
        finally:
            for student, progress in unfinished.items():
                for submission in same[student]:
                    grades[submission.student] = self._write(self._grade(submission, progress))

    def _others(self, student: str) -> dict[str, Grade]:
        """The marks that everybody else has already."""
        gone = set(result_files.gone(self.folder))
        names = [path.parent.name for path in self.folder.glob(f"*/{result_files.STAFF}")]
        read = {
            name: result_files.read_grade(self.folder, name)
            for name in names
            if name != student and name not in gone
        }
        self.kept = {name for name, grade in read.items() if grade}
        return {name: grade for name, grade in read.items() if grade}

    def _write_now_and_then(self, submission: Submission, progress: Progress) -> None:
        """Write partial results: whatever cuts grading off, what was found so far is there."""
        if not progress.finished and time.monotonic() - self._written >= self._write_every:
            self._partial(self._write(self._grade(submission, progress)))
            self._written = time.monotonic()

    def _job(self, submission: Submission) -> Job:
        return Job(submission.student, submission.files, self._seed(submission))

    def _seed(self, submission: Submission) -> int:
        return seed_of(self.course, self.assignment, submission)

    def _provenance(self, submission: Submission) -> dict[str, Any]:
        extension = self._extensions.get(submission.student)
        return (
            self._common
            | ({"extension": extension} if extension else {})
            | {
                "submission": submission.digest,
                "seed": self._seed(submission),
                "received": _iso(submission.received),
            }
        )

    def _untested(
        self, submission: Submission, state: State, problem: str, error: str = ""
    ) -> Grade:
        """The grade of a submission that no test could be run on."""
        days, factor = self._late(submission)
        return Grade(
            submission.student,
            (),
            problem,
            error,
            state,
            counts_zero=self._counts_zero(state),
            late_days=days,
            late_factor=factor,
            provenance=self._provenance(submission),
            notes=submission.notes,
        )

    def _counts_zero(self, state: State) -> bool:
        """Whether the work counts zero points: not if a person must decide what counts."""
        return self.assignment.unreadable == "zero" and state is not State.UNDECIDED

    def _grade(self, submission: Submission, progress: Progress) -> Grade:
        seconds = round(progress.seconds, 3)
        if progress.problem and progress.finished and not progress.trouble:
            new = self._untested(submission, State.NOT_IMPORTED, progress.problem, progress.error)
            return replace(new, seconds=seconds)
        outcomes = [
            progress.outcomes.get(test.name) or _missing_outcome(test, progress)
            for test in self.engine.tests
        ]
        reached = tuple(outcome for outcome in outcomes if outcome is not None)
        complete = progress.finished and not any(outcome.open for outcome in reached)
        days, factor = self._late(submission)
        notes = tuple(dict.fromkeys((*submission.notes, *progress.notes)))
        return Grade(
            submission.student,
            reached,
            complete=complete,
            late_days=days,
            late_factor=factor,
            provenance=self._provenance(submission),
            seconds=seconds,
            notes=notes,
            minutes=self._minutes(submission),
        )

    def _minutes(self, submission: Submission) -> dict[str, float]:
        text = submission.files.get(self.assignment.main, b"").decode("utf-8", "replace")
        return survey.minutes(text, self.assignment.parts)

    def _late(self, submission: Submission) -> tuple[int, float]:
        extension = self._extensions.get(submission.student, 0)
        due, rule = self.assignment.due, self.assignment.late
        return lateness(submission.received, due, rule, extension)

    def _write(self, grade: Grade) -> Grade:
        result_files.write_results(self.folder, self.assignment, self.worth, grade)
        return grade


def _missing_outcome(test: Listed, progress: Progress) -> Outcome | None:
    if not progress.finished or test.extra:
        return None
    reason = progress.trouble or "this test was not reached"
    return Outcome(test.name, test.says, test.part, Verdict.UNGRADED, test.worth, detail=reason)


def seed_of(course: Course, assignment: Assignment, submission: Submission) -> int:
    """The seed of the hidden inputs: the same content gets the same.

    Without the course's secret they cannot be foreseen.
    """
    message = f"{assignment.name}/{submission.digest}".encode()
    return int.from_bytes(hmac.digest(course.secret or b"no secret", message, "sha256")[:6], "big")


def _reason(kept: Grade | None, provenance: dict[str, Any], again: str) -> str:
    """Why a submission has to be marked; empty if the kept grade is still valid.

    ``again``: the option that asks for marking anyway.
    """
    if kept is None:
        return "new"
    if again:
        return again
    if changed := changes(kept.provenance, provenance, ignored=LATENESS):
        return f"{changed} changed"
    return "" if kept.complete else "not finished before"


def _refuse_a_weak_wall(engine: Engine) -> None:
    needed = (("another uid", engine.layers.uid), ("seccomp", engine.layers.seccomp))
    missing = [f"{name} cannot be had" for name, there in needed if not there]
    missing += [f"a worker can {leak}" for leak in engine.leaks]
    if missing:
        raise IsolationError(
            f"the wall does not hold on {engine.where}: {'; '.join(missing)}. Run as root or in the"
            " grading image, see 'python -m autograder doctor', or accept the risk with"
            " --allow-weak; the results then say so."
        )


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
