"""The grader's handle on the fork server: a Candidate whose bridges lead to sandboxed workers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from autograder.course import Limits
from autograder.errors import IsolationError, StudentDied, StudentError, StudentMisuse, StudentTimeout
from autograder.isolation import stream, wire
from autograder.isolation.client import Bridge
from autograder.isolation.kept import KeptWorker
from autograder.isolation.sandbox import Layers

MAX_PIECES = 256  # of prints that are read at a time: a thread may print as fast as they are read
MAX_RECEIVED = 512 << 20  # bytes of answers in one test
START_SECONDS = 120  # for importing torch on a loaded machine
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ENVIRONMENT = ONE_THREAD | {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "Agg",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # else asking for a GPU here spoils it for every fork
    "CUDA_CACHE_DISABLE": "1",  # there is no home to keep it in
}
# Everything on malloc's heap, in huge pages: fewer page tables to copy, forking torch costs half.
ENVIRONMENT |= {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


Lines = tuple[
    socket.socket, int, socket.socket
]  # to one worker: its conversation, its prints (to read), its status line


class WorkerServer:
    """A running fork server. Its ``layers`` say what of the wall holds on this machine."""

    def __init__(
        self, control: socket.socket, process: subprocess.Popen[bytes] | None, layers: Layers
    ) -> None:
        self._control = control
        self._process = process
        self.layers = layers

    @classmethod
    def start(
        cls,
        libraries: Sequence[str],
        hidden: Sequence[Path] = (),
        profile: str = "standard",
        gpu: bool = False,
    ) -> WorkerServer:
        """Start a fork server that has these libraries warm. Raises IsolationError.

        ``profile``: "distributed" lets tests have several workers that talk to each other over loopback. ``gpu``: workers may use it.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = Path(__file__).resolve().parents[2]
        told = msgpack.packb([list(libraries), list(map(str, hidden)), profile, gpu])
        ours.send(told)  # not on a command line: workers can read theirs
        process = subprocess.Popen(
            [sys.executable, "-m", "autograder.isolation.server", str(theirs.fileno())],
            env=ENVIRONMENT | {"PYTHONPATH": str(package)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the command, which then closes the socket
        )
        theirs.close()
        ours.settimeout(START_SECONDS)
        try:
            hello = ours.recv(65536)
        except (TimeoutError, ConnectionResetError):
            hello = b""
        ours.settimeout(None)
        if not hello:
            process.kill()
            reason = (process.communicate()[1] or b"").decode(errors="replace").strip().splitlines()[-1:]
            raise IsolationError(
                f"the fork server did not start ({' '.join(reason) or 'no answer'}): try 'python -m autograder doctor'"
            )
        answer = msgpack.unpackb(hello)
        if answer["failures"]:
            process.kill()
            raise IsolationError(
                f"a library that the assignment names cannot be imported: {'; '.join(answer['failures'])}; install requirements/"
            )
        return cls(ours, process, Layers(**answer["layers"]))

    def candidate(
        self,
        files: Mapping[str, bytes],
        main: str,
        limits: Limits,
        core: int | None = None,
        keeps_workers: bool = False,
    ) -> Walled:
        """A submission behind this wall. ``core``: where its workers run, but for ranks, which work side by side."""
        return Walled(self, files, main, limits, core, KeptWorker(keeps_workers))

    def spawn(self, limits: Limits, core: int | None = None) -> Lines:
        """A fresh worker."""
        return self._spawn(limits, 1, ranks=False, core=core)[0]

    def spawn_ranks(self, limits: Limits, count: int) -> list[Lines]:
        """``count`` fresh workers that may talk to each other over loopback."""
        return self._spawn(limits, count, ranks=True)

    def _spawn(self, limits: Limits, count: int, ranks: bool, core: int | None = None) -> list[Lines]:
        ours: list[Lines] = []
        theirs: list[int] = []
        for _ in range(count):
            conversation, far_conversation = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            status, far_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            prints, far_prints = os.pipe()
            os.set_blocking(prints, False)
            ours.append((conversation, prints, status))
            theirs += [far_conversation.detach(), far_prints, far_status.detach()]
        request = {"ranks": ranks, "core": core} | {
            name: getattr(limits, name) for name in ("call_seconds", "memory_mib", "processes")
        }
        try:
            socket.send_fds(self._control, [msgpack.packb(request)], theirs)
        except OSError as error:
            raise IsolationError(f"the fork server has gone ({error})") from None
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return ours

    def close(self) -> None:
        """End the server and its workers."""
        self._control.close()
        if self._process is not None:
            if self._process.stderr:
                self._process.stderr.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)

    def detached(self) -> WorkerServer:
        """The same server as seen by a forked grader, which must not end it."""
        return WorkerServer(self._control, None, self.layers)


@dataclass(frozen=True)
class Walled:
    """A candidate whose code runs in sandboxed workers."""

    server: WorkerServer
    files: Mapping[str, bytes]
    main: str
    limits: Limits
    core: int | None = None
    kept: KeptWorker = field(default_factory=lambda: KeptWorker(wanted=False))
    compiled: dict[str, bytes] = field(
        default_factory=dict
    )  # filled by the first worker, used by the next ones
    import_failures: list[StudentError] = field(default_factory=list)

    def open(self, record: Callable[[Any], None], seconds: float | None) -> Bridge:
        """A bridge to a fresh worker that has been sent the files, or to the one that the last test left (kept.py).

        A test with a time limit of its own always has a fresh worker, which ends with it.
        """
        if len(self.import_failures) >= 2:
            raise self.import_failures[-1]
        if seconds is None and (channel := self.kept.take(self.limits)):
            return Bridge(channel, record)
        limits = self._limits(seconds)
        kept = self.kept if seconds is None else None
        bridge = self._bridge(self.server.spawn(limits, self.core), limits, record, kept)
        if not self.compiled:
            self._import(bridge)
        return bridge

    def open_ranks(
        self, count: int, records: Sequence[Callable[[Any], None]], seconds: float | None
    ) -> list[Bridge]:
        """Bridges to ``count`` fresh workers that can reach each other over loopback. No process group is made yet."""
        limits = self._limits(seconds)
        lines = self.server.spawn_ranks(limits, count)
        return [self._bridge(line, limits, record) for line, record in zip(lines, records, strict=True)]

    def _limits(self, seconds: float | None) -> Limits:
        if seconds is None:
            return self.limits
        wall = max(4 * seconds, self.limits.test_seconds)
        return self.limits.model_copy(update={"call_seconds": seconds, "test_seconds": wall})

    def close(self) -> None:
        """End the worker that waits for a next test."""
        self.kept.close()

    def _bridge(
        self,
        lines: Lines,
        limits: Limits,
        record: Callable[[Any], None],
        kept: KeptWorker | None = None,
    ) -> Bridge:
        channel = ProcessChannel(*lines, limits, kept)
        names = sorted(self.files)
        parts = [*(self.files[name] for name in names), *self.compiled.values()]
        channel.send_files(wire.pack([self.main, names, list(self.compiled)], parts))
        return Bridge(channel, record)

    def _import(self, bridge: Bridge) -> None:
        """Wait for the first import. What fails twice fails always: an endless loop there must not be met in every test."""
        try:
            code = bridge.ask("compiled")
            if isinstance(code, dict) and all(isinstance(part, bytes) for part in code.values()):
                self.compiled.update({str(name): part for name, part in code.items()})
        except StudentError as error:
            self.import_failures.append(error)
            bridge.close()
            raise


class ProcessChannel:
    """The conversation with one worker: deadlines, prints, and how it ended."""

    def __init__(
        self,
        conversation: socket.socket,
        prints: int,
        status: socket.socket,
        limits: Limits,
        kept: KeptWorker | None = None,
    ) -> None:
        self.born = time.monotonic()
        self.used = False  # by an earlier test
        self.limits = limits
        self._kept_worker = kept
        self._socket = conversation
        self._prints = prints
        self._status = status
        self._deadline = time.monotonic() + limits.test_seconds
        self._stream = stream.Stream(conversation, prints, self._drain)
        self._kept = bytearray()
        self._dropped = 0
        self._failure: StudentError | None = None
        self._ready = False
        self._closed = False

    def send_files(self, message: bytes) -> None:
        """The worker's first message."""
        with contextlib.suppress(stream.Closed, stream.Late):  # whoever asks the first question hears of it
            self._stream.send(stream.QUESTION, message, self._deadline)

    def begin_anew(self, limits: Limits) -> bool:
        """The next test: prints, deadline and counters begin again, and the files are imported again. False if the worker has gone."""
        self.used = True
        self._kept.clear()
        self._dropped = self._stream.received = 0
        self.limits = limits
        self._deadline = time.monotonic() + limits.test_seconds
        try:
            self._stream.send(stream.ANEW, wire.pack(None, []), self._deadline)
        except (stream.Closed, stream.Late):
            self.finish()
            return False
        return True

    def request(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        """Ask, serve callbacks, return the answer. Raises StudentTimeout, StudentDied or StudentMisuse; then always the same."""
        if self._failure is not None:
            raise self._failure
        try:
            kind = stream.QUESTION
            while True:
                if time.monotonic() > self._deadline or self._stream.received > MAX_RECEIVED:
                    raise stream.Late
                self._stream.send(kind, message, self._deadline)
                kind, answer = self._receive()
                if kind == stream.ANSWER:
                    return answer
                if kind != stream.CALLBACK:
                    raise wire.WireError("a message of an unknown kind")
                kind, message = stream.ANSWER, on_callback(answer)
        except stream.Late:
            self._failure = StudentTimeout(
                "Timeout", f"no answer within {self.limits.test_seconds:g} seconds; the process was ended"
            )
        except stream.Closed:
            self._failure = self._how_it_ended()
        except wire.WireError as error:
            self._failure = StudentMisuse("no answer", f"the student's process sent {error}")
        except StudentMisuse as error:
            self._failure = error
        self._end()
        raise self._failure

    def _receive(self) -> tuple[bytes, bytes]:
        if not self._ready:
            kind, _ = self._stream.receive(self._deadline)
            self._ready = kind == stream.READY
        return self._stream.receive(self._deadline)

    def _look_for_ready(self) -> None:
        """The line may have broken while we were sending, with the worker's first word still unread."""
        for _ in range(2):
            with contextlib.suppress(stream.Closed, stream.Late, wire.WireError):
                self._ready = self._ready or self._stream.receive(time.monotonic() + 1)[0] == stream.READY

    @property
    def prints(self) -> str:
        """What the student's code printed, capped."""
        text = self._kept.decode(errors="replace")
        return text + (f"\n... and {self._dropped} bytes more" if self._dropped else "")

    def close(self, passed: bool = False) -> None:
        """The test has ended: so does the worker, unless it ``passed`` and the worker is kept for the next test."""
        if self._closed:
            return
        self._drain()
        passed = passed and self._failure is None
        if self._kept_worker is None or not self._kept_worker.leave(self, passed):
            self.finish()

    def finish(self) -> None:
        """End the worker and everything that leads to it."""
        self._end()
        os.close(self._prints)
        self._closed = True

    def abort(self) -> None:
        """Break the conversation from another thread; whoever waits for an answer hears of it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _end(self) -> None:
        self._status.close()  # the server kills the worker
        self._socket.close()

    def _drain(self) -> None:
        for _ in range(MAX_PIECES):
            try:
                piece = os.read(self._prints, 65536)
            except OSError:
                return
            if not piece:
                return
            room = (self.limits.prints_kib << 10) - len(self._kept)
            self._kept += piece[:room]
            self._dropped += max(0, len(piece) - room)

    def _how_it_ended(self) -> StudentError:
        with contextlib.suppress(OSError):
            self._status.shutdown(socket.SHUT_WR)  # ends it: it may live on behind a closed line
        self._status.settimeout(30)
        told = None
        for _ in range(2):  # a reset of the line may be reported before the message that came earlier
            with contextlib.suppress(ConnectionResetError):
                told = msgpack.unpackb(self._status.recv(65536) or b"\xc0")
                break
        if not told:
            raise IsolationError("the fork server has gone")
        if told[0] == "refused":
            raise IsolationError(f"no worker could be started: {told[1]}")
        if not self._ready:
            self._look_for_ready()
        if not self._ready:
            self._drain()
            raise IsolationError(f"a worker could not enter its sandbox: {self.prints.strip()[-300:]}")
        _, code, cpu = told
        if code == -signal.SIGXCPU or (code == -signal.SIGKILL and cpu >= self.limits.call_seconds):
            return StudentTimeout(
                "Timeout",
                f"more than {self.limits.call_seconds:g} seconds of computing in one test; the process was ended",
            )
        names = {number.value: number.name for number in signal.Signals}
        how = f"killed by {names.get(-code, f'signal {-code}')}" if code < 0 else f"exit code {code}"
        return StudentDied("Ended", f"the process ended in the middle of a call ({how})")
