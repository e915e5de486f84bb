"""Ranks without a wall: trusted code (ours) in processes forked from this one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

from autograder.errors import StudentDied, StudentError, StudentTimeout
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.conversation import Listener
from autograder.isolation.bridge.worker import Worker
from autograder.isolation.workers import meter, stream

# Wall-clock seconds to wait for an answer; collectives give up earlier.
SECONDS = 60.0


def open_ranks(
    load: Callable[[], Worker], count: int, listeners: Sequence[Listener]
) -> list[Bridge]:
    """Bridges to ``count`` processes, each of which loads the student's module again."""
    # This import comes once, before the fork, and not in each process.
    import autograder.isolation.ranks.group  # noqa: F401

    return [Bridge(ForkedChannel(load), listeners[rank]) for rank in range(count)]


class ForkedChannel:
    """The conversation with one forked process."""

    prints = ""
    used = False

    def __init__(self, load: Callable[[], Worker]) -> None:
        self._socket, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(load, theirs)
        theirs.close()
        self._stream = stream.Stream(self._socket)
        self._deadline = meter.Until(SECONDS)

    def loaded(self) -> bytes:
        """The report of loading the files."""
        return self._or_failure(lambda: self._stream.receive(self._deadline)[1])

    def request(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        """Ask, serve callbacks, return the answer."""
        return self._or_failure(lambda: self._exchange(message, on_callback))

    def _or_failure(self, wait: Callable[[], bytes]) -> bytes:
        try:
            return wait()
        except stream.Late:
            text = f"no answer within {SECONDS:g} seconds"
            failure: StudentError = StudentTimeout("Timeout", text)
        except stream.Closed:
            failure = StudentDied("Ended", "the process ended in the middle of a call")
        raise failure

    def _exchange(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        kind = stream.QUESTION
        while True:
            self._stream.send(kind, message, self._deadline)
            kind, answer = self._stream.receive(self._deadline)
            if kind == stream.ANSWER:
                return answer
            kind, message = stream.ANSWER, on_callback(answer)

    def abort(self) -> None:
        """Break the conversation; the request that waits raises an error."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        # Once it is closed, its number is 0, which would stand for the whole process group.
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def close(self, passed: bool = False) -> None:
        """End the process."""
        if self._pid:
            self.abort()
            self._socket.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0


def _serve(load: Callable[[], Worker], line: socket.socket) -> None:
    """In the forked child: keep the conversation only, answer until it closes. Never returns."""
    from autograder.isolation.workers.life import converse

    try:
        if sys.platform == "linux":
            from autograder.isolation.wall.sandbox import die_with_parent

            die_with_parent()
        signal.setitimer(signal.ITIMER_REAL, 0)
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(silence, descriptor)
        os.closerange(3, line.fileno())
        os.closerange(line.fileno() + 1, 4096)
        # pytest's own streams would write to what is closed now.
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        converse(stream.Stream(line, patient=True), load)
    finally:
        os._exit(0)
