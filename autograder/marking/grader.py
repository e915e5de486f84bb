"""The grader process: reads the hidden tests once, then forks one process for each submission.

It is not the process of the command that shows progress, which has threads and must survive what
happens here. Jobs arrive over one socket. Each brings a descriptor, on which the process that marks
it sends its outcomes one by one, so that nothing is lost when it is cut off.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autograder.authoring.course import Assignment, load_assignment
from autograder.authoring.given import with_given
from autograder.errors import AutograderError, CourseError, IsolationError
from autograder.isolation import doctor, times
from autograder.isolation.limits import Limits
from autograder.isolation.wall import sandbox
from autograder.isolation.workers import meter
from autograder.isolation.workers.server import bare_fork, stay_on
from autograder.isolation.workers.walled import WorkerServer
from autograder.judging import gpu_part, plugin
from autograder.judging.diagnose import AnswerKey, judge
from autograder.judging.evidence import Failures
from autograder.judging.hidden_test import Candidate, HiddenTest, import_error
from autograder.judging.naming import name_mistakes
from autograder.marking.messages import Message, Reader, send
from autograder.marking.unreadable import import_problem
from autograder.model import Outcome, to_data

# Marking one submission may add this many bytes of address space.
MAX_MEMORY = 4 << 30


def main(control: socket.socket, server: WorkerServer) -> None:
    """Serve until the control socket closes. Its first message says for which assignment."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    grader = None
    try:
        wanted = Reader(control).first()
        os.environ.clear()
        os.environ.update(wanted["environment"])
        assignment = load_assignment(Path(wanted["course"]), wanted["name"])
        grader = Grader(assignment, server, list(map(Path, wanted["hidden"])))
        hello = grader.hello()
    except Exception as error:
        known = isinstance(error, AutograderError)
        hello = {"error": str(error) if known else f"{type(error).__name__}: {error}"}
        grader = None
    try:
        send(control, hello)
        if grader is not None:
            grader.serve(control)
    except OSError:
        pass  # The command has gone.
    if grader is not None:
        grader.close()


class Grader:
    """One assignment's tests, answer key and wall, from which marking processes are forked."""

    def __init__(
        self, assignment: Assignment, server: WorkerServer, hidden: Sequence[Path]
    ) -> None:
        self._assignment = assignment
        # It builds its wall while this process reads the tests.
        self._server = server
        try:
            self._tests = plugin.collect(assignment.hidden_tests)
            self._key = AnswerKey(assignment)
            self._server.layers  # noqa: B018
        except BaseException:
            self._server.close()
            raise
        self._gpu = gpu_part.GpuPart.open(assignment, hidden)
        if shared := {t.name for t in self._tests} & {t.name for t in self._gpu.tests}:
            raise CourseError(
                f"{assignment.scale_tests}: {min(shared)} is a test of test_hidden.py too:"
                " rename it"
            )

    def _work_out_before_forking(self) -> None:
        """Work out what every marking process of a class would otherwise work out again."""
        for test in self._tests:
            test.asks_for  # noqa: B018
        for candidate in (self._key.reference, *self._key.broken.values()):
            # This compiles the files.
            candidate.open(lambda event: None, None).close()
        self._key.changed  # noqa: B018

    def hello(self) -> Message:
        """What the command must know: the tests without their functions, and the wall's layers."""
        names = ("name", "says", "part", "worth", "learning", "extra")
        tests = [
            {name: getattr(test, name) for name in names}
            for test in (*self._tests, *self._gpu.listed)
        ]
        bridge = doctor.probe(self._server)
        leaks = doctor.allowed(bridge, self._assignment.hidden_tests.parent)
        bridge.close()
        return {
            "tests": tests,
            "layers": vars(self._server.layers),
            "leaks": leaks,
            "gpu": to_data(self._gpu.status),
        }

    def serve(self, control: socket.socket) -> None:
        """Fork a marking process for each job. Raises ConnectionResetError when the line closes."""
        # The kernel reaps what has been forked.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        reader, jobs = Reader(control), 0
        while True:
            for job in reader.read():
                jobs += 1
                # A single submission may pass all tests, and then it needs none of this.
                if jobs == 2:
                    # What cannot be worked out here fails where it is needed, in one submission.
                    with contextlib.suppress(Exception):
                        self._work_out_before_forking()
                line = reader.take_descriptor()
                if bare_fork() == 0:
                    control.close()
                    self._mark(job, socket.socket(fileno=line))
                os.close(line)

    def messages(self, job: Message, alive: Callable[[], None]) -> Iterator[Message]:
        """Run every test on one submission, if it can be imported; yields what it finds at once.

        ``alive`` is called now and then while a worker computes.
        """
        limits = self._assignment.limits.with_share(job["share"])
        files = with_given(self._assignment, job["files"])
        candidate = self._server.candidate(
            files, self._assignment.main, limits, job["core"], not limits.fresh_workers
        )
        if problem := _import_problem(candidate, self._assignment):
            yield {"unreadable": problem}
            return
        yield from outcomes(self._tests, self._key, candidate, limits, job["seed"], alive)
        if candidate.shared.left_out:
            yield {"notes": candidate.shared.left_out}
        yield from self._gpu.messages(job, self._key)

    def close(self) -> None:
        """End all marking processes, then the fork servers and with them all workers.

        This process leads a group that everything forked here belongs to. As long as one of them
        lives, it holds the line to the fork server open.
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGTERM)
        self._server.close()
        self._gpu.close()

    def _mark(self, job: Message, out: socket.socket) -> None:
        """In the marking process: run every test, send every outcome. Never returns."""
        code = 1
        try:
            sandbox.die_with_parent()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _cap_memory()
            stay_on(job["core"])
            send(out, {"pid": os.getpid()})
            for message in self.messages(job, lambda: send(out, {"alive": True})):
                send(out, message)
            send(out, {"done": True})
            code = 0
        except (BrokenPipeError, ConnectionResetError):
            pass  # The command has gone.
        except BaseException as error:
            send(out, {"error": f"{type(error).__name__}: {error}"})
        finally:
            os._exit(code)


def _import_problem(candidate: Candidate, assignment: Assignment) -> dict[str, str] | None:
    """Why the files cannot be imported, and the student's lines; None where they can be."""
    seconds = times.grader_seconds(None, assignment.limits.test_seconds)
    try:
        error = import_error(candidate, seconds)
    except IsolationError:
        # Each test will say so, and stay ungraded.
        return None
    if error is None:
        return None
    return {"problem": import_problem(error, assignment), "error": error.story()}


def outcomes(
    tests: list[HiddenTest],
    key: AnswerKey,
    candidate: Any,
    limits: Limits,
    seed: int,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[Message]:
    """What each test may take, and its outcome as it is found.

    At the end, outcomes for which a mistake was recognised come once more.
    """
    found: list[Outcome] = []
    failures = Failures()
    # This one is for learning checks: an endless loop elsewhere must not cost their points.
    patient = candidate
    spent, told = meter.Meter(meter.running_workers), 0.0

    def look() -> None:
        spent.look()
        alive()

    for test in tests:
        spent.look()
        if spent.waited + spent.computed > limits.total_seconds:
            candidate = patient = replace(candidate, limits=shorter(candidate.limits, 1e9))
        asked = patient if test.learning else candidate
        patience = times.grader_seconds(test.seconds, asked.limits.test_seconds)
        if patience != told:
            told = patience
            # A test may be run twice.
            yield {"patience": 2 * patience}
        outcome = judge(test, asked, seed, key, patience, alive=look, keep=failures.add)
        found.append(outcome)
        yield {"outcome": to_data(outcome)}
        if outcome.limit and not test.learning:
            # Code that never ends may do so in every test: each next one gets half the time.
            candidate = replace(candidate, limits=shorter(candidate.limits, 2))
    spent.look()
    # The diagnosis is a courtesy: no answer of a student's may end the marking here.
    with contextlib.suppress(Exception):
        found = name_mistakes(key, tests, found, failures.kept, spent.computed, look)
    for outcome in found:
        if outcome.suspects or outcome.mistakes:
            yield {"outcome": to_data(outcome)}


def shorter(limits: Limits, divisor: float) -> Limits:
    """Less time, but never less than a test of an honest submission takes many times over."""
    call = max(times.LEAST_CALL_SECONDS, limits.call_seconds / divisor)
    test = max(times.LEAST_TEST_SECONDS, limits.test_seconds / divisor)
    return limits.model_copy(update={"call_seconds": call, "test_seconds": test})


def _cap_memory() -> None:
    """Limit memory: each answer is bounded, but a test that keeps many could fill the machine."""
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + MAX_MEMORY, virtual + MAX_MEMORY))
