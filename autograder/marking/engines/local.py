"""The engine of one machine: a grader process, which forks a process for each submission."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from autograder.authoring.course import Assignment
from autograder.errors import IsolationError
from autograder.isolation import times
from autograder.isolation.wall.sandbox import Layers
from autograder.isolation.workers import meter
from autograder.isolation.workers.launch import ENVIRONMENT, ONE_THREAD, Wanted
from autograder.marking.engines.base import Job, Listed, Progress
from autograder.marking.messages import Message, Reader, send
from autograder.model import GpuStatus, Outcome, from_data

# A submission whose process dies is tried once more. What was found before is valid.
TRIES = 2


class LocalEngine:
    """This machine's cores. ``run`` may be called from several threads at a time."""

    where = "this machine"

    def __init__(self, assignment: Assignment, jobs: int) -> None:
        self._jobs = max(1, jobs)
        self._cores = Cores(self._jobs)
        # What a test may take, until its process says otherwise.
        self._usual = assignment.limits.test_seconds
        self._control, theirs = socket.socketpair()
        self._sending = threading.Lock()
        self._process = _start_up(theirs, assignment)
        theirs.close()
        try:
            # If the process has ended already, the wait for its first words will say so.
            with contextlib.suppress(BrokenPipeError):
                send(self._control, _for_the_grader(assignment))
            hello = self._hello()
        except BaseException:
            # They are still starting, and would notice only later that they are not needed.
            for pid in meter.family(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.close()
            raise
        self.tests = [Listed(**test) for test in hello["tests"]]
        self.layers = Layers(**hello["layers"])
        self.gpu = from_data(GpuStatus, hello["gpu"])
        self.leaks: list[str] = hello["leaks"]

    def _hello(self) -> Message:
        """The grader's first message. Raises IsolationError where it cannot work."""
        reader = Reader(self._control)
        messages: list[Message] = []
        try:
            while not messages and meter.answers(self._control, self._process.pid):
                messages = reader.read()
        except ConnectionResetError:
            pass
        if not messages:
            raise IsolationError(
                "the grader process did not start: try 'python -m autograder doctor'"
            )
        if "error" in messages[0]:
            raise IsolationError(messages[0]["error"])
        return messages[0]

    def run(self, jobs: Sequence[Job]) -> Iterator[Progress]:
        """Mark every job; yields a job's progress after each outcome."""
        waiting, tries = deque(jobs), dict.fromkeys((job.student for job in jobs), 0)
        with selectors.DefaultSelector() as selector:
            while waiting or selector.get_map():
                while waiting and len(selector.get_map()) < self._jobs:
                    one = self._start(waiting.popleft())
                    selector.register(one.line, selectors.EVENT_READ, one)
                for key, _ in selector.select(times.LOOK_SECONDS):
                    one = key.data
                    ended = one.listen()
                    if ended:
                        selector.unregister(one.line)
                        self._cores.give_back(one.core)
                        tries[one.progress.job.student] += 1
                        if one.progress.trouble and tries[one.progress.job.student] < TRIES:
                            waiting.appendleft(one.progress.job)
                            continue
                    yield one.progress
                for key in list(selector.get_map().values()):
                    key.data.end_if_silent()

    def close(self) -> None:
        """End the grader process and, with it, the fork server and all workers."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(times.ENDING_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _start(self, job: Job) -> _Line:
        ours, theirs = socket.socketpair()
        core = self._cores.take()
        message = {"files": dict(job.files), "seed": job.seed, "share": job.share, "core": core}
        try:
            with self._sending:
                send(self._control, message, [theirs.fileno()])
        except OSError:
            self._cores.give_back(core)
            raise IsolationError(
                "the grader process has ended; results so far are kept: run the same command again"
            ) from None
        finally:
            theirs.close()
        return _Line(ours, Progress(job), self._usual, core)


class Cores:
    """Gives each submission's process and its workers one core, if all cores are in use.

    Such a process and its worker take turns. On two cores each turn wakes a sleeping core, which
    costs more than most questions do. On one core the turn is a switch between processes. If fewer
    submissions than cores are marked at a time, no core is set, because other commands may use the
    same cores.
    """

    def __init__(self, jobs: int) -> None:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._users = dict.fromkeys(cores if jobs >= len(cores) else [], 0)
        self._taking = threading.Lock()

    def take(self) -> int | None:
        """The core that the fewest have; None means any core."""
        with self._taking:
            core = min(self._users, key=self._users.__getitem__, default=None)
            if core is not None:
                self._users[core] += 1
            return core

    def give_back(self, core: int | None) -> None:
        """That process has ended."""
        if core is not None:
            with self._taking:
                self._users[core] -= 1


class _Line:
    """The command's end of the line to the process that marks one submission."""

    def __init__(
        self, line: socket.socket, progress: Progress, patience: float, core: int | None
    ) -> None:
        self.line = line
        self.core = core
        self.progress = progress
        # Seconds that the test which runs now may take.
        self._patience = patience
        self._reader = Reader(line)
        self._pids: list[int] = []
        self._done = False
        self._begun = time.monotonic()
        self._silence = self._new_silence()

    def listen(self) -> bool:
        """Take in what has come; True when the process has ended."""
        self._silence = self._new_silence()
        self.progress.seconds = time.monotonic() - self._begun
        try:
            for message in self._reader.read():
                self._take(message)
            return False
        except ConnectionResetError:
            self._reader.close()
            self.line.close()
            self.progress.finished = True
            if not self._done:
                self.progress.trouble = (
                    self.progress.trouble or "the marking process ended before it was done"
                )
            return True

    def end_if_silent(self) -> None:
        """Kill a process that has said nothing for longer than its test may take.

        While a worker computes, the process says so. The limit is on waiting and on what the
        process computes itself, say for a diagnosis, which runs every known bug.
        """
        if self._silence.next_look() > 0:
            return
        self._silence.look()
        patience = self._patience + times.SILENCE_SECONDS
        if max(self._silence.waited, self._silence.computed) > patience:
            self.progress.trouble = (
                f"the marking process was silent for more than {patience:.0f} seconds"
            )
            for pid in self._pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _new_silence(self) -> meter.Meter:
        return meter.Meter(lambda: self._pids, own=False)

    def _take(self, message: Message) -> None:
        if "pid" in message:
            self._pids = [message["pid"]]
        elif "patience" in message:
            self._patience = message["patience"]
        elif "outcome" in message:
            outcome = from_data(Outcome, message["outcome"])
            self.progress.outcomes[outcome.test] = outcome
        elif "notes" in message:
            self.progress.notes = tuple(map(str, message["notes"]))
        elif "unreadable" in message:
            self.progress.problem = message["unreadable"]["problem"]
            self.progress.error = message["unreadable"]["error"]
        elif "error" in message:
            self.progress.trouble = message["error"]
        elif "done" in message:
            self._done = True


def _start_up(line: socket.socket, assignment: Assignment) -> subprocess.Popen[bytes]:
    """Start the process that becomes the grader and the fork server (marking/start_up.py)."""
    package = str(Path(__file__).resolve().parents[3])
    process = subprocess.Popen(
        [sys.executable, "-m", "autograder.marking.start_up", str(line.fileno())],
        pass_fds=[line.fileno()],
        env=ENVIRONMENT | {"PYTHONPATH": package},
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    wanted = Wanted.of(assignment.libraries, _hidden(assignment), assignment.isolation)
    with contextlib.suppress(BrokenPipeError):
        assert process.stdin is not None
        process.stdin.write(wanted.packed())
        process.stdin.close()
    return process


def _hidden(assignment: Assignment) -> list[Path]:
    return [assignment.root / folder for folder in ("grading", "solutions")]


def _for_the_grader(assignment: Assignment) -> Message:
    """What only the grader may know. Its environment has nothing that is for our interpreter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        "course": str(assignment.root),
        "name": assignment.name,
        "hidden": list(map(str, _hidden(assignment))),
        "environment": kept | ONE_THREAD,
    }
