"""The engine of one machine: a grader process, which forks a marker for each submission."""

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
from typing import Any

import msgpack

from autograder.authoring.course import Assignment
from autograder.errors import IsolationError
from autograder.isolation.wall.sandbox import Layers
from autograder.isolation.workers.walled import ENVIRONMENT, START_SECONDS
from autograder.marking.engines.base import Job, Listed, Progress
from autograder.model import Outcome

TRIES = 2  # a marker that dies is tried once more; what it found before stands
PATIENCE = 120.0  # seconds on top of a test's limit before a silent marker is ended: a diagnosis runs every known bug


class LocalEngine:
    """This machine's cores. ``run`` may be called from several threads at a time."""

    where = "this machine"

    def __init__(self, assignment: Assignment, jobs: int) -> None:
        self._jobs = max(1, jobs)
        self._cores = Cores(self._jobs)
        self._usual = (
            assignment.limits.test_seconds
        )  # what a test may take, until a marker says otherwise
        self._control, theirs = socket.socketpair()
        self._sending = threading.Lock()
        command = [
            sys.executable,
            "-m",
            "autograder.marking.grader",
            str(theirs.fileno()),
            str(assignment.root),
            assignment.name,
        ]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        one_thread = {
            name: value for name, value in ENVIRONMENT.items() if name.endswith("_THREADS")
        }
        package = str(Path(__file__).resolve().parents[3])
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=environment | one_thread | {"PYTHONPATH": package},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._control.settimeout(START_SECONDS)
        try:
            hello = _Messages().feed(self._control, wait=True)[0]
        except (TimeoutError, ConnectionResetError, IndexError):
            raise IsolationError(
                "the grader process did not start: try 'python -m autograder doctor'"
            ) from None
        self._control.settimeout(None)
        if "error" in hello:
            raise IsolationError(hello["error"])
        self.tests = [Listed(**test) for test in hello["tests"]]
        self.layers = Layers(**hello["layers"])
        self.scale: str = hello["scale"]
        self.leaks: list[str] = hello["leaks"]  # what a probe in a worker could do and must not

    def run(self, jobs: Sequence[Job]) -> Iterator[Progress]:
        """Mark every job; yields a job's progress after each outcome."""
        waiting, tries = deque(jobs), dict.fromkeys((job.student for job in jobs), 0)
        with selectors.DefaultSelector() as selector:
            while waiting or selector.get_map():
                while waiting and len(selector.get_map()) < self._jobs:
                    marker = self._start(waiting.popleft())
                    selector.register(marker.line, selectors.EVENT_READ, marker)
                for key, _ in selector.select(1.0):
                    marker = key.data
                    ended = marker.listen()
                    if ended:
                        selector.unregister(marker.line)
                        self._cores.give_back(marker.core)
                        tries[marker.progress.job.student] += 1
                        if marker.progress.trouble and tries[marker.progress.job.student] < TRIES:
                            waiting.appendleft(marker.progress.job)
                            continue
                    yield marker.progress
                for key in list(selector.get_map().values()):
                    key.data.end_if_silent()

    def close(self) -> None:
        """End the grader process and, with it, the fork server and all workers."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _start(self, job: Job) -> _Marker:
        ours, theirs = socket.socketpair()
        core = self._cores.take()
        message = msgpack.packb({"files": dict(job.files), "seed": job.seed, "core": core})
        try:
            with self._sending:
                socket.send_fds(self._control, [len(message).to_bytes(8, "big")], [theirs.fileno()])
                self._control.sendall(message)
        except OSError:
            self._cores.give_back(core)
            raise IsolationError(
                "the grader process has ended; results so far are kept: run the same command again"
            ) from None
        finally:
            theirs.close()
        return _Marker(ours, Progress(job), self._usual, core)


class Cores:
    """Gives each marker, and the workers that it asks, a core of its own, as long as no core would be left without a marker.

    A marker and its worker take turns. On two cores each turn wakes a sleeping core, which costs more than most questions do; on one core
    the turn is a switch between processes. With fewer markers than cores they are left alone: other commands have the same cores.
    """

    def __init__(self, markers: int) -> None:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._markers = dict.fromkeys(cores if markers >= len(cores) else [], 0)
        self._taking = threading.Lock()

    def take(self) -> int | None:
        """The core that fewest markers have; None: any."""
        with self._taking:
            core = min(self._markers, key=self._markers.__getitem__, default=None)
            if core is not None:
                self._markers[core] += 1
            return core

    def give_back(self, core: int | None) -> None:
        """That marker has ended."""
        if core is not None:
            with self._taking:
                self._markers[core] -= 1


class _Marker:
    """The command's end of one marker's line."""

    def __init__(
        self, line: socket.socket, progress: Progress, patience: float, core: int | None
    ) -> None:
        self.line = line
        self.core = core
        self.progress = progress
        self._patience = patience  # seconds that the test which runs now may take
        self._messages = _Messages()
        self._pid: int | None = None
        self._begun = self._heard = time.monotonic()

    def listen(self) -> bool:
        """Take in what has come; True when the marker has ended."""
        self._heard = time.monotonic()
        self.progress.seconds = self._heard - self._begun
        try:
            for message in self._messages.feed(self.line):
                self._take(message)
            return False
        except ConnectionResetError:
            self.line.close()
            if not self.progress.finished:
                self.progress.finished = True
                self.progress.trouble = (
                    self.progress.trouble or "the marking process ended before it was done"
                )
            return True

    def end_if_silent(self) -> None:
        """Kill a marker that has said nothing for longer than its test may take."""
        patience = self._patience + PATIENCE
        if self._pid and time.monotonic() - self._heard > patience:
            self.progress.trouble = (
                f"the marking process was silent for more than {patience:.0f} seconds"
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _take(self, message: dict[str, Any]) -> None:
        if "pid" in message:
            self._pid = message["pid"]
        elif "patience" in message:
            self._patience = message["patience"]
        elif "outcome" in message:
            outcome = Outcome.from_dict(message["outcome"])
            self.progress.outcomes[outcome.test] = outcome
        elif "notes" in message:
            self.progress.notes = tuple(map(str, message["notes"]))
        elif "error" in message:
            self.progress.trouble = message["error"]
        elif "done" in message:
            self.progress.finished = True


class _Messages:
    """Splits a byte stream into messages (see grader.send)."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, line: socket.socket, wait: bool = False) -> list[dict[str, Any]]:
        """Read once (``wait``: until there is a message). Raises ConnectionResetError at the end of the stream."""
        messages: list[dict[str, Any]] = []
        while True:
            piece = line.recv(1 << 16)
            if not piece:
                raise ConnectionResetError
            self._data += piece
            while len(self._data) >= 8:
                size = int.from_bytes(self._data[:8], "big")
                if len(self._data) < 8 + size:
                    break
                messages.append(msgpack.unpackb(bytes(self._data[8 : 8 + size])))
                del self._data[: 8 + size]
            if messages or not wait:
                return messages
