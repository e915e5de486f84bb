"""The grader's handle on the fork server: a Candidate whose bridges lead to sandboxed workers."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from autograder.errors import IsolationError, StudentError
from autograder.isolation import codec, times
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.handles import Names
from autograder.isolation.limits import Limits
from autograder.isolation.wall.sandbox import Layers
from autograder.isolation.workers import meter
from autograder.isolation.workers.channel import ProcessChannel
from autograder.isolation.workers.kept import KeptWorker

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
        package = Path(__file__).resolve().parents[3]
        told = msgpack.packb([list(libraries), list(map(str, hidden)), profile, gpu])
        ours.send(told)  # not on a command line: workers can read theirs
        process = subprocess.Popen(
            [sys.executable, "-m", "autograder.isolation.workers.server", str(theirs.fileno())],
            env=ENVIRONMENT | {"PYTHONPATH": str(package)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the command, which then closes the socket
        )
        theirs.close()
        try:
            hello = ours.recv(65536) if meter.answers(ours, process.pid) else b""
        except ConnectionResetError:
            hello = b""
        if not hello:
            process.kill()
            reason = (
                (process.communicate()[1] or b"").decode(errors="replace").strip().splitlines()[-1:]
            )
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

    def _spawn(
        self, limits: Limits, count: int, ranks: bool, core: int | None = None
    ) -> list[Lines]:
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
    names: Names = field(default_factory=dict)  # what tests need not ask for again (handles.py)

    def open(self, record: Callable[[Any], None], seconds: float | None) -> Bridge:
        """A bridge to a fresh worker that has been sent the files, or to the one that the last test left (kept.py).

        A test with a time limit of its own always has a fresh worker, which ends with it.
        """
        if len(self.import_failures) >= 2:
            raise self.import_failures[-1]
        if seconds is None and (channel := self.kept.take(self.limits)):
            return Bridge(channel, record, self.names)
        limits = self._limits(seconds)
        leave = self.kept.leave if seconds is None else None
        channel = ProcessChannel(*self.server.spawn(limits, self.core), limits, leave)
        bridge = self._bridge(channel, record)
        if not self.compiled:
            self._import(bridge)
        return bridge

    def open_ranks(
        self, count: int, records: Sequence[Callable[[Any], None]], seconds: float | None
    ) -> list[Bridge]:
        """Bridges to ``count`` fresh workers that can reach each other over loopback. No process group is made yet."""
        limits = self._limits(seconds)
        lines = self.server.spawn_ranks(limits, count)
        channels = [ProcessChannel(*line, limits) for line in lines]
        return [
            self._bridge(channel, record) for channel, record in zip(channels, records, strict=True)
        ]

    def _limits(self, seconds: float | None) -> Limits:
        if seconds is None:
            return self.limits
        waiting = times.waiting_seconds(seconds, self.limits.test_seconds)
        return self.limits.model_copy(update={"call_seconds": seconds, "test_seconds": waiting})

    def close(self) -> None:
        """End the worker that waits for a next test."""
        self.kept.close()

    def _bridge(self, channel: ProcessChannel, record: Callable[[Any], None]) -> Bridge:
        """To a fresh worker, which is sent the files."""
        names = sorted(self.files)
        parts = [*(self.files[name] for name in names), *self.compiled.values()]
        channel.send_files(codec.pack([self.main, names, list(self.compiled)], parts))
        return Bridge(channel, record, self.names)

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
