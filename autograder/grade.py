"""The pipeline itself: submissions -> jobs -> outcomes -> grades, each written down as soon as it is known."""

from __future__ import annotations

import hashlib
import hmac
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from autograder import report
from autograder.course import Assignment, Course
from autograder.engines import Job, Listed, LocalEngine, Progress
from autograder.errors import IsolationError
from autograder.isolation.sandbox import Layers
from autograder.model import Grade, Outcome, Verdict
from autograder.score import lateness
from autograder.submission import Submission


class Grading:
    """One run of `grade`: an assignment, an engine, and where results go."""

    def __init__(
        self,
        course: Course,
        assignment: Assignment,
        engine: LocalEngine,
        out: Path,
        allow_weak: bool = False,
        extensions: Mapping[str, int] | None = None,  # student -> days by which the due date is put off
    ) -> None:
        if not allow_weak:
            _refuse_a_weak_wall(engine)
        self.course, self.assignment, self.engine = course, assignment, engine
        self.folder = out / assignment.name
        self._extensions = extensions or {}
        self._common = provenance(course, assignment, engine.layers) | {"leaks": list(engine.leaks)}

    @property
    def worth(self) -> float:
        """What full marks come to."""
        return sum(test.worth for test in self.engine.tests)

    def run(
        self,
        submissions: Sequence[Submission],
        fresh: bool,
        tell: Callable[[Progress], None],
        only: str | None = None,
    ) -> list[Grade]:
        """Mark all; results that are complete and have the same provenance are kept. Returns the grades by student.

        ``only``: mark this student, changed or not, and keep whatever the others have.
        """
        by_student = {one.student: one for one in submissions if only in (None, one.student)}
        grades = self._others(only) if only else {}
        for submission in by_student.values():
            kept = None if fresh or only else report.read_grade(self.folder, submission.student)
            if submission.problem:
                grades[submission.student] = self._write(self._unopened(submission))
            elif kept and kept.complete and kept.provenance == self._provenance(submission):
                grades[submission.student] = kept
        left = [self._job(s) for s in by_student.values() if s.student not in grades]
        for progress in self.engine.run(left):
            grade = self._grade(by_student[progress.job.student], progress)
            grades[grade.student] = self._write(grade)
            tell(progress)
        result = [grades[student] for student in sorted(grades)]
        report.write_gradebook(self.folder, self.assignment, self.worth, result)
        return result

    def _others(self, student: str) -> dict[str, Grade]:
        """The marks that everybody else has already."""
        names = [path.parent.name for path in self.folder.glob(f"*/{report.STAFF}")]
        read = {name: report.read_grade(self.folder, name) for name in names if name != student}
        return {name: grade for name, grade in read.items() if grade}

    def _job(self, submission: Submission) -> Job:
        return Job(submission.student, submission.files, self._seed(submission))

    def _seed(self, submission: Submission) -> int:
        """The same content meets the same hidden inputs; without the course's secret nobody can tell which."""
        message = f"{self.assignment.name}/{submission.digest}".encode()
        return int.from_bytes(hmac.digest(self.course.secret or b"no secret", message, "sha256")[:6], "big")

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

    def _grade(self, submission: Submission, progress: Progress) -> Grade:
        days, factor = self._lateness(submission)
        outcomes = [
            progress.outcomes.get(test.name) or _missing_outcome(test, progress) for test in self.engine.tests
        ]
        reached = [outcome for outcome in outcomes if outcome is not None]
        complete = progress.finished and not any(outcome.verdict is Verdict.UNGRADED for outcome in reached)
        return Grade(
            submission.student,
            tuple(reached),
            "",
            complete,
            days,
            factor,
            self._provenance(submission),
            round(progress.seconds, 3),
        )

    def _unopened(self, submission: Submission) -> Grade:
        days, factor = self._lateness(submission)
        return Grade(
            submission.student, (), submission.problem, True, days, factor, self._provenance(submission)
        )

    def _lateness(self, submission: Submission) -> tuple[int, float]:
        due = self.assignment.due
        if due is not None:
            due += timedelta(days=self._extensions.get(submission.student, 0))
        return lateness(submission.received, due, self.assignment.late)

    def _write(self, grade: Grade) -> Grade:
        report.write_results(self.folder, self.assignment, self.worth, grade)
        return grade


def _missing_outcome(test: Listed, progress: Progress) -> Outcome | None:
    if not progress.finished:
        return None
    reason = progress.trouble or "this test was not reached"
    return Outcome(test.name, test.says, test.part, Verdict.UNGRADED, test.worth, detail=reason)


def _refuse_a_weak_wall(engine: LocalEngine) -> None:
    needed = (("another uid", engine.layers.uid), ("seccomp", engine.layers.seccomp))
    missing = [f"{name} cannot be had" for name, there in needed if not there]
    missing += [f"a worker can {leak}" for leak in engine.leaks]
    if missing:
        raise IsolationError(
            f"the wall does not hold on this machine: {'; '.join(missing)}. Run as root or in the grading image, see "
            "'python -m autograder doctor', or accept the risk with --allow-weak; the results then say so."
        )


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def provenance(course: Course, assignment: Assignment, layers: Layers) -> dict[str, Any]:
    """All that a score depends on besides the submission: hashes, versions, limits, and the wall that was in force."""
    engine = sorted(Path(__file__).parent.rglob("*.py"))
    locked = course.root / "requirements" / "lock.txt"
    return {
        "assignment": assignment.name,
        "engine": _digest(engine),
        "hidden_tests": _digest([assignment.hidden_tests]),
        "solution": _digest([assignment.solution]),
        "requirements": _digest([locked]) if locked.is_file() else None,
        "limits": assignment.limits.model_dump(),
        "late": assignment.late.model_dump() | {"due": _iso(assignment.due)},
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "torch")},
        "wall": dict(vars(layers)),
        "secret": hashlib.sha256(b"fingerprint" + course.secret).hexdigest()[:8] if course.secret else "none",
    }


def _digest(paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]
