"""The GPU part of an assignment, grading/NAME/test_scale.py: run where there is a GPU.

`scale` in course.yml says what it is worth. `optional`: its tests are worth nothing, and are left
out if there is no GPU. `required`: their points count, and without a GPU they are ungraded. Either
way student code runs in workers of a separate fork server, whose wall gives them access to the GPU.
The grader and its marking processes never touch CUDA, which does not survive a fork.
"""

from __future__ import annotations

import dataclasses
import fcntl
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from autograder.authoring.course import Assignment
from autograder.authoring.given import with_given
from autograder.errors import CourseError, IsolationError
from autograder.isolation import doctor
from autograder.isolation.times import GPU_LOOK_SECONDS, grader_seconds
from autograder.isolation.wall.gpu import gpu_missing
from autograder.isolation.workers.walled import WorkerServer
from autograder.judging import plugin
from autograder.judging.diagnose import AnswerKey, judge
from autograder.judging.hidden_test import HiddenTest
from autograder.model import GpuState, GpuStatus, Outcome, Verdict, to_data


def collect(assignment: Assignment) -> list[HiddenTest]:
    """The tests that need a GPU, worth what the course says. Raises CourseError for a bad file."""
    path = assignment.scale_tests
    found = plugin.collect(path) if path.is_file() else []
    if strange := [test.name for test in found if not test.gpu]:
        raise CourseError(
            f"{path}: {strange[0]} is not marked gpu: write 'pytestmark = pytest.mark.gpu' above"
        )
    if assignment.scale == "required":
        return found
    return [dataclasses.replace(test, worth=0.0, extra=True) for test in found]


@dataclass
class GpuPart:
    """One assignment's tests for a GPU, and the workers that have it; without one, the reason."""

    assignment: Assignment
    tests: list[HiddenTest]
    missing: str = ""
    server: WorkerServer | None = None
    # The process that has locked this file has the GPU.
    lock: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    @classmethod
    def open(cls, assignment: Assignment, hidden: Sequence[Path]) -> GpuPart:
        """Start what is needed. ``hidden``: folders that workers must not see."""
        tests = collect(assignment)
        if not tests:
            return cls(assignment, [])
        if missing := gpu_missing():
            return cls(assignment, tests, missing)
        try:
            return cls(assignment, tests, server=_started(assignment, hidden))
        except IsolationError as error:
            return cls(assignment, tests, str(error))

    @property
    def listed(self) -> list[HiddenTest]:
        """The tests that have an outcome: without a GPU, only those that the course requires."""
        return [test for test in self.tests if not (self.missing and test.extra)]

    @property
    def status(self) -> GpuStatus:
        """What happens to the tests."""
        if not self.tests:
            return GpuStatus()
        return GpuStatus(GpuState.NOT_RUN if self.missing else GpuState.RUN, self.missing)

    def messages(self, job: dict[str, Any], key: AnswerKey) -> Iterator[dict[str, Any]]:
        """Run every test on one submission.

        One test at a time runs on this machine: rates and memory are those of the whole GPU.
        """
        if self.server is None:
            for test in self.listed:
                yield {"outcome": to_data(_ungraded(test, self.missing))}
            return
        main, limits = self.assignment.main, self.assignment.limits
        files = with_given(self.assignment, job["files"])
        candidate = self.server.candidate(files, main, limits)
        reference = self.server.candidate(key.reference.files, main, limits)
        for test in self.tests:
            patience = grader_seconds(test.seconds, limits.test_seconds)
            yield from self._wait(patience)
            outcome = judge(test, candidate, job["seed"], key, patience, reference)
            fcntl.lockf(self.lock, fcntl.LOCK_UN)
            yield {"outcome": to_data(outcome)}

    def close(self) -> None:
        """End the workers."""
        if self.server is not None:
            self.server.close()

    def _wait(self, patience: float) -> Iterator[dict[str, Any]]:
        """Lock the GPU. A message now and then says that this process is alive.

        A lock ends with the process that has it.
        """
        while True:
            yield {"patience": patience}
            try:
                fcntl.lockf(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                time.sleep(GPU_LOOK_SECONDS)


def _started(assignment: Assignment, hidden: Sequence[Path]) -> WorkerServer:
    """A fork server whose workers have the GPU. Raises IsolationError for a wall that leaks."""
    server = WorkerServer.start(assignment.libraries, hidden, assignment.isolation, gpu=True)
    try:
        bridge = doctor.probe(server)
        leaks = doctor.allowed(bridge, assignment.hidden_tests.parent)
        bridge.close()
        if not (server.layers.strong and server.layers.landlock) or leaks:
            why = (
                "; ".join(f"a worker can {leak}" for leak in leaks)
                or "root, seccomp and Landlock are needed"
            )
            raise IsolationError(f"the wall does not hold for workers with a GPU: {why}")
    except BaseException:
        server.close()
        raise
    return server


def _ungraded(test: HiddenTest, missing: str) -> Outcome:
    detail = (
        f"this test runs on a GPU, and did not: {missing}. Run 'grade' where it can, "
        "or write 'scale: optional' in course.yml"
    )
    return Outcome(test.name, test.says, test.part, Verdict.UNGRADED, test.worth, detail=detail)
