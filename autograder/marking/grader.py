"""The grader process: reads the hidden tests once, then forks one marker for each submission.

It runs apart from the command that shows progress (which has threads, and must survive whatever happens here). Jobs arrive over one socket; each brings a
descriptor on which the marker sends its outcomes one by one, so nothing is lost when it is cut off.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack

from autograder.authoring.course import Assignment, load_assignment
from autograder.errors import AutograderError, CourseError
from autograder.isolation import doctor
from autograder.isolation.limits import Limits
from autograder.isolation.wall import sandbox
from autograder.isolation.workers.server import bare_fork, stay_on
from autograder.isolation.workers.walled import WorkerServer
from autograder.isolation.workers.warm import RANK_MODULES, warm_up
from autograder.judging import gpu_part, plugin
from autograder.judging.diagnose import AnswerKey, judge
from autograder.judging.hidden_test import HiddenTest
from autograder.model import Outcome

LEAST = 4.0  # wall-clock seconds that a test gets in any case
MARGIN = 5.0  # seconds on top of a test's limit, for what the grader does itself
MAX_MEMORY = 4 << 30  # bytes of address space that one marker may add


def main() -> None:
    """Serve until the control socket closes. Arguments: its descriptor, the course's folder, the assignment."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        office = Office(load_assignment(Path(sys.argv[2]), sys.argv[3]))
        hello = office.hello()
    except Exception as error:
        known = isinstance(error, AutograderError)
        send(control, {"error": str(error) if known else f"{type(error).__name__}: {error}"})
        return
    send(control, hello)
    office.serve(control)


class Office:
    """One assignment's tests, answer key and wall, from which markers are forked."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        hidden = [assignment.root / folder for folder in ("grading", "solutions")]
        self._server = WorkerServer.start(assignment.libraries, hidden, assignment.isolation)
        self._tests = plugin.collect(assignment.hidden_tests)
        for test in self._tests:
            test.asks_for  # noqa: B018  worked out before the first fork
        self._key = AnswerKey(assignment)
        for candidate in (self._key.reference, *self._key.broken.values()):
            candidate.open(lambda event: None, None).close()  # compiled before the first fork
        self._key.changed  # noqa: B018  worked out before the first fork as well: markers would each do it again
        self._gpu = gpu_part.GpuPart.open(assignment, hidden)
        if shared := {t.name for t in self._tests} & {t.name for t in self._gpu.tests}:
            raise CourseError(
                f"{assignment.scale_tests}: {min(shared)} is a test of test_hidden.py too: rename it"
            )
        warm_up(RANK_MODULES if assignment.isolation == "distributed" else ())

    def hello(self) -> dict[str, Any]:
        """What the command must know: the tests without their functions, and the layers of the wall."""
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
            "scale": self._gpu.became,
        }

    def serve(self, control: socket.socket) -> None:
        """Fork a marker for each job."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # markers are reaped by the kernel
        while True:
            size, descriptors, _, _ = socket.recv_fds(control, 8, 1)
            if len(size) < 8:
                break
            job = msgpack.unpackb(_exactly(control, int.from_bytes(size, "big")))
            if bare_fork() == 0:
                control.close()
                self._mark(job, socket.socket(fileno=descriptors[0]))
            os.close(descriptors[0])
        self._server.close()
        self._gpu.close()

    def _mark(self, job: dict[str, Any], out: socket.socket) -> None:
        """In the marker: run every test, send every outcome. Never returns."""
        code = 1
        try:
            sandbox.die_with_parent()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _cap_memory()
            stay_on(job["core"])
            send(out, {"pid": os.getpid()})
            for message in _messages(self._tests, self._key, self._server, self._assignment, job):
                send(out, message)
            for message in self._gpu.messages(job, self._key, MARGIN):
                send(out, message)
            send(out, {"done": True})
            code = 0
        except (BrokenPipeError, ConnectionResetError):
            pass  # the command has gone
        except BaseException as error:
            send(out, {"error": f"{type(error).__name__}: {error}"})
        finally:
            os._exit(code)


def _messages(
    tests: list[HiddenTest],
    key: AnswerKey,
    server: WorkerServer,
    assignment: Assignment,
    job: dict[str, Any],
) -> Any:
    """What each test may take, and its outcome as it is found; at the end once more those that a diagnosis was found for."""
    limits = assignment.limits
    candidate = server.candidate(
        job["files"], assignment.main, limits, job["core"], not limits.fresh_workers
    )
    found: list[Outcome] = []
    patient = candidate  # for learning checks: a loop elsewhere must not cost their points
    begun, told = time.monotonic(), 0.0
    for test in tests:
        if time.monotonic() - begun > limits.total_seconds:
            candidate = patient = replace(
                candidate, limits=_shorter(candidate.limits, float("inf"))
            )
        asked = patient if test.learning else candidate
        patience = _patience(test, asked.limits)
        if patience != told:
            told = patience
            yield {
                "patience": 2 * patience
            }  # what fails in a used worker is repeated in a fresh one
        known = {name for earlier in found for name in earlier.suspects}
        outcome = judge(test, asked, job["seed"], key, patience, known=known)
        found.append(outcome)
        yield {"outcome": outcome.to_dict()}
        if outcome.error.startswith("Timeout") and not test.learning:
            # Code that never ends may do so in every test: half the time for each next one.
            candidate = replace(candidate, limits=_shorter(candidate.limits, 2))
    if candidate.shared.left_out:
        yield {"notes": candidate.shared.left_out}
    for outcome in key.settle(found):
        if outcome.diagnosis:
            yield {"outcome": outcome.to_dict()}


def _shorter(limits: Limits, divisor: float) -> Limits:
    """Less time, but never less than a test of an honest submission takes many times over."""
    call, test = (
        max(least, getattr(limits, name) / divisor)
        for least, name in ((1.0, "call_seconds"), (LEAST, "test_seconds"))
    )
    return limits.model_copy(update={"call_seconds": call, "test_seconds": test})


def _patience(test: HiddenTest, limits: Limits) -> float:
    """Wall-clock seconds that a test may take; the command waits as long, and a little longer."""
    return (4 * test.seconds if test.seconds else 0) + limits.test_seconds + MARGIN


def _cap_memory() -> None:
    """Answers are bounded one by one; a test that keeps many of them must not take the machine."""
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + MAX_MEMORY, virtual + MAX_MEMORY))


def send(line: socket.socket, message: dict[str, Any]) -> None:
    """One message, with its length before it."""
    data = msgpack.packb(message)
    line.sendall(len(data).to_bytes(8, "big") + data)


def _exactly(line: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = line.recv(min(1 << 20, size - len(data)))
        if not piece:
            raise ConnectionResetError
        data += piece
    return bytes(data)


if __name__ == "__main__":
    main()
