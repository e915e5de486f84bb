"""The grader's end of the line to one worker process: deadlines, prints, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import msgpack

from autograder.errors import (
    IsolationError,
    Limit,
    StudentDied,
    StudentError,
    StudentMisuse,
    StudentTimeout,
)
from autograder.isolation import codec
from autograder.isolation.limits import Limits
from autograder.isolation.workers import meter, stream

# At most this many pieces of prints are read at a time: a thread may print as fast as we read.
MAX_PIECES = 256
# Bytes of answers in one test.
MAX_RECEIVED = 512 << 20


class ProcessChannel:
    """The conversation with one worker: deadlines, prints, and how it ended."""

    def __init__(
        self,
        conversation: socket.socket,
        prints: int,
        status: socket.socket,
        limits: Limits,
        leave: Callable[[ProcessChannel, bool], bool] | None = None,
    ) -> None:
        """``leave`` is told at the end of a test whether it has passed.

        It returns True if the worker is to live on (ReusedWorker.leave).
        """
        self.born = time.monotonic()
        # Whether an earlier test has used this worker.
        self.used = False
        self.limits = limits
        self._leave = leave
        self._socket = conversation
        self._prints = prints
        self._status = status
        # What the status line has said, in order.
        self._told: list[list[Any]] = []
        meter.workers.add(self)
        self._deadline = meter.Patience(limits.test_seconds, self.pids)
        self._stream = stream.Stream(conversation, prints, self._drain)
        self._printed = bytearray()
        self._dropped = 0
        self._failure: StudentError | None = None
        self._ready = False
        self._reported = False
        self.closed = False

    def send_files(self, message: bytes) -> None:
        """The worker's first message."""
        # If it fails, the request for the report raises the failure.
        with contextlib.suppress(stream.Closed, stream.Late):
            self._stream.send(stream.QUESTION, message, self._deadline)

    def begin_anew(self, limits: Limits) -> bool:
        """The next test: prints, deadline and counters begin again; the files are loaded again.

        False if the worker has gone.
        """
        self.used = True
        self._reported = False
        self._printed.clear()
        self._dropped = self._stream.received = 0
        self.limits = limits
        self._deadline = meter.Patience(limits.test_seconds, self.pids)
        try:
            self._stream.send(stream.RELOAD, codec.pack(None, []), self._deadline)
        except (stream.Closed, stream.Late):
            self.finish()
            return False
        return True

    @property
    def received(self) -> int:
        """Bytes that the worker has sent in this test."""
        return self._stream.received

    def loaded(self) -> bytes:
        """The worker's report of loading the files. Raises as `request` does."""
        self._reported = True
        return self._or_failure(self._report)

    def request(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        """Ask, serve callbacks, return the answer.

        Raises StudentTimeout, StudentDied or StudentMisuse; from then on always the same.
        """
        return self._or_failure(lambda: self._exchange(message, on_callback))

    def _or_failure(self, wait: Callable[[], bytes]) -> bytes:
        """What ``wait`` returns. What ends it ends the worker."""
        if self._failure is not None:
            raise self._failure
        try:
            return wait()
        except stream.Late:
            self._failure = StudentTimeout(
                "Timeout",
                f"no answer within {self.limits.test_seconds:g} seconds of waiting;"
                " the process was ended",
                limit=Limit.WAITING,
            )
        except stream.Closed:
            self._failure = self._how_it_ended()
        except codec.WireError as error:
            self._failure = StudentMisuse("no answer", f"the student's process sent {error}")
        except StudentMisuse as error:
            self._failure = error
        self._end()
        raise self._failure

    def _report(self) -> bytes:
        kind, report = self._receive()
        if kind != stream.ANSWER:
            raise codec.WireError("a message of an unknown kind")
        return report

    def _exchange(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        kind = stream.QUESTION
        while True:
            if self._deadline.left() <= 0 or self._stream.received > MAX_RECEIVED:
                raise stream.Late
            self._stream.send(kind, message, self._deadline)
            kind, answer = self._receive()
            if kind == stream.ANSWER:
                return answer
            if kind != stream.CALLBACK:
                raise codec.WireError("a message of an unknown kind")
            kind, message = stream.ANSWER, on_callback(answer)

    def _receive(self) -> tuple[bytes, bytes]:
        if not self._ready:
            kind, _ = self._stream.receive(self._deadline)
            self._ready = kind == stream.READY
        return self._stream.receive(self._deadline)

    def _look_for_ready(self) -> None:
        """The line may have broken while we were sending, before the first word was read."""
        for _ in range(2):
            with contextlib.suppress(stream.Closed, stream.Late, codec.WireError):
                if not self._ready:
                    self._ready = self._stream.receive(meter.Until(1))[0] == stream.READY

    @property
    def prints(self) -> str:
        """What the student's code printed, capped."""
        text = self._printed.decode(errors="replace")
        return text + (f"\n... and {self._dropped} bytes more" if self._dropped else "")

    def close(self, passed: bool = False) -> None:
        """The test has ended, and the worker ends too, unless the next test may use it.

        A worker whose report has not been read ends: the next test would take it for its own.
        """
        if self.closed:
            return
        self._drain()
        passed = passed and self._failure is None and self._reported
        if self._leave is None or not self._leave(self, passed):
            self.finish()

    def finish(self) -> None:
        """End the worker and everything that leads to it."""
        self._end()
        os.close(self._prints)
        self.closed = True

    def abort(self) -> None:
        """Break the conversation from another thread; the request that waits raises an error."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def pids(self) -> list[int]:
        """The worker's process, from the fork server's message until it is ended."""
        if not self._told:
            with contextlib.suppress(OSError):
                self._listen(socket.MSG_DONTWAIT)
        return [told[1] for told in self._told if told[:1] == ["started"]]

    def _listen(self, flags: int = 0) -> list[Any]:
        """The next word of the status line; an empty one at its end."""
        told: list[Any] = msgpack.unpackb(self._status.recv(65536, flags) or b"\x90")
        self._told.append(told)
        return told

    def _end(self) -> None:
        meter.workers.discard(self)
        # The server kills the worker when this line closes.
        self._status.close()
        self._socket.close()

    def _drain(self) -> None:
        for _ in range(MAX_PIECES):
            try:
                piece = os.read(self._prints, 65536)
            except OSError:
                return
            if not piece:
                return
            room = (self.limits.prints_kib << 10) - len(self._printed)
            self._printed += piece[:room]
            self._dropped += max(0, len(piece) - room)

    def _how_it_ended(self) -> StudentError:
        # The worker may live on behind a closed conversation; this ends it.
        with contextlib.suppress(OSError):
            self._status.shutdown(socket.SHUT_WR)
        self._status.settimeout(30)
        told: list[Any] = self._told[-1] if self._told else ["started"]
        for _ in range(3):
            if told[:1] != ["started"]:
                break
            # A reset of the line may be reported before the message that came earlier.
            with contextlib.suppress(ConnectionResetError):
                told = self._listen()
        if told[:1] in ([], ["started"]):
            raise IsolationError("the fork server has gone")
        if told[0] == "refused":
            raise IsolationError(f"no worker could be started: {told[1]}")
        if not self._ready:
            self._look_for_ready()
        if not self._ready:
            self._drain()
            raise IsolationError(
                f"a worker could not enter its sandbox: {self.prints.strip()[-300:]}"
            )
        _, code, cpu = told
        return self._ending(code, cpu)

    def _ending(self, code: int, cpu: float) -> StudentError:
        """The error for a process that ended with this code after this many CPU seconds."""
        limit = self.limits.call_seconds
        if code == -signal.SIGXCPU or (code == -signal.SIGKILL and cpu >= limit):
            text = f"more than {limit:g} seconds of computing in one test; the process was ended"
            return StudentTimeout("Timeout", text, limit=Limit.COMPUTING)
        names = {number.value: number.name for number in signal.Signals}
        how = (
            f"killed by {names.get(-code, f'signal {-code}')}" if code < 0 else f"exit code {code}"
        )
        return StudentDied("Ended", f"the process ended in the middle of a call ({how})")
