"""The grader's handle on the fork server: a Candidate whose bridges lead to sandboxed workers."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from autograder.errors import IsolationError, StudentError
from autograder.isolation import cells, codec, times
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.conversation import Listener
from autograder.isolation.limits import Limits
from autograder.isolation.wall.sandbox import Layers
from autograder.isolation.workers import meter
from autograder.isolation.workers.channel import ProcessChannel
from autograder.isolation.workers.launch import ENVIRONMENT, Wanted
from autograder.isolation.workers.reuse import ReusedWorker

# The number of lines about what was left out, and characters of one line.
MAX_NOTES, MAX_NOTE = 30, 400
_IMPORT = re.compile(rb"^\s*(?:import|from)\s+([A-Za-z_]\w*)", re.MULTILINE)

# The lines to one worker: its conversation, its prints (to read), its status line.
Lines = tuple[socket.socket, int, socket.socket]


class WorkerServer:
    """A fork server. Its ``layers`` say what of the wall holds on this machine."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes] | Parent) -> None:
        self._control = control
        self._process = process

    @classmethod
    def start(
        cls,
        libraries: Sequence[str],
        hidden: Sequence[Path] = (),
        profile: str = "standard",
        gpu: bool = False,
    ) -> WorkerServer:
        """Start a fork server that has these libraries warm. Raises IsolationError.

        ``profile``: "distributed" lets tests have several workers that talk to each other over
        loopback. ``gpu``: workers may use it.
        """
        server = cls.launch(libraries, hidden, profile, gpu)
        server.layers  # noqa: B018
        return server

    @classmethod
    def launch(
        cls,
        libraries: Sequence[str],
        hidden: Sequence[Path] = (),
        profile: str = "standard",
        gpu: bool = False,
    ) -> WorkerServer:
        """The same, without waiting for it: its ``layers`` do, and raise IsolationError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = Path(__file__).resolve().parents[3]
        # Not on a command line: workers can read theirs.
        ours.send(Wanted.of(libraries, hidden, profile, gpu).packed())
        process = subprocess.Popen(
            [sys.executable, "-m", "autograder.isolation.workers.server", str(theirs.fileno())],
            env=ENVIRONMENT | {"PYTHONPATH": str(package)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            # Ctrl-C is for the command, which then closes the socket.
            start_new_session=True,
        )
        theirs.close()
        return cls(ours, process)

    @functools.cached_property
    def layers(self) -> Layers:
        """What of the wall holds. Waits until the server is ready; raises IsolationError."""
        return _hello(self._control, self._process)

    def candidate(
        self,
        files: Mapping[str, bytes],
        main: str,
        limits: Limits,
        core: int | None = None,
        reuses_workers: bool = False,
    ) -> Walled:
        """A submission behind this wall.

        ``core``: where its workers run, except ranks, which work side by side.
        """
        return Walled(self, files, main, limits, core, Shared(ReusedWorker(reuses_workers)))

    def spawn(self, limits: Limits, core: int | None = None, plots: bool = False) -> Lines:
        """A fresh worker. ``plots``: matplotlib is to be ready in it."""
        return self._spawn(limits, 1, {"ranks": False, "core": core, "plots": plots})[0]

    def spawn_ranks(self, limits: Limits, count: int, plots: bool = False) -> list[Lines]:
        """``count`` fresh workers that may talk to each other over loopback."""
        return self._spawn(limits, count, {"ranks": True, "core": None, "plots": plots})

    def _spawn(self, limits: Limits, count: int, wanted: Mapping[str, Any]) -> list[Lines]:
        ours: list[Lines] = []
        theirs: list[int] = []
        for _ in range(count):
            conversation, far_conversation = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            status, far_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            prints, far_prints = os.pipe()
            os.set_blocking(prints, False)
            ours.append((conversation, prints, status))
            theirs += [far_conversation.detach(), far_prints, far_status.detach()]
        request = dict(wanted) | {
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
        if self._process.stderr:
            self._process.stderr.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)


class Parent:
    """The fork server that this process was forked from (marking/start_up.py).

    It has what this module asks of a process that was started, and ends when its control socket
    closes.
    """

    stderr = None

    def __init__(self) -> None:
        self.pid = os.getppid()

    def wait(self, seconds: float) -> None:
        """It waits for this process, not the other way round."""

    def kill(self) -> None:
        """It is left to end by itself."""

    def communicate(self) -> tuple[bytes, bytes]:
        """Nothing: what it says goes to the command's own error stream."""
        return b"", b""


def _hello(ours: socket.socket, process: subprocess.Popen[bytes] | Parent) -> Layers:
    """Wait for a fork server's first words. Raises IsolationError if it cannot serve."""
    try:
        hello = ours.recv(65536) if meter.answers(ours, process.pid) else b""
    except ConnectionResetError:
        hello = b""
    if not hello:
        process.kill()
        told = (process.communicate()[1] or b"").decode(errors="replace").strip().splitlines()
        reason = " ".join(told[-1:]) or "no answer"
        raise IsolationError(
            f"the fork server did not start ({reason}): try 'python -m autograder doctor'"
        )
    answer = msgpack.unpackb(hello)
    if answer["failures"]:
        process.kill()
        raise IsolationError(
            "a library that the assignment names cannot be imported: "
            f"{'; '.join(answer['failures'])}; install requirements/"
        )
    return Layers(**answer["layers"])


def imported(files: Mapping[str, bytes], main: str) -> set[str]:
    """What the main file imports, itself or through files beside it, as far as its lines say."""
    found: set[str] = set()
    left = [main.removesuffix(".py")]
    while left:
        text = files.get(f"{left.pop()}.py", b"")
        names = {name.decode() for name in _IMPORT.findall(text)} - found
        found |= names
        left += names
    return found


@dataclass
class Shared:
    """What the tests of one submission share.

    Attributes:
        reused: the worker that serves several tests (reuse.py).
        compiled: the files' code objects, marshalled. The first worker reports them, and later
            workers get them. The grader never looks into them.
        left_out: what of a notebook was left out, as its worker says.
        import_failures: errors of the first worker's import.
    """

    reused: ReusedWorker
    compiled: dict[str, bytes] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    import_failures: list[StudentError] = field(default_factory=list)


@dataclass(frozen=True)
class Walled:
    """A submission whose code runs in sandboxed workers."""

    server: WorkerServer
    files: Mapping[str, bytes]
    main: str
    limits: Limits
    core: int | None
    shared: Shared

    def open(self, on_answer: Listener, seconds: float | None) -> Bridge:
        """A bridge to a worker that loads the files: a fresh one, or the one that waits.

        A test with its own time limit always gets a fresh worker, which ends with it. Raises the
        StudentError of an import that has failed twice, so that an endless loop in it is not run
        in every test.
        """
        failures, reused = self.shared.import_failures, self.shared.reused
        if len(failures) >= 2:
            raise failures[-1]
        if seconds is None and (channel := reused.take(self.limits)):
            return Bridge(channel, on_answer)
        limits = self._limits(seconds)
        leave = reused.leave if seconds is None else None
        lines = self.server.spawn(limits, self.core, self._plots)
        channel = ProcessChannel(*lines, limits, leave)
        bridge = self._bridge(channel, on_answer)
        if not self.shared.compiled:
            self._load(bridge)
        return bridge

    def open_ranks(
        self, count: int, listeners: Sequence[Listener], seconds: float | None
    ) -> list[Bridge]:
        """Bridges to ``count`` fresh workers that can reach each other over loopback.

        No process group is made yet.
        """
        limits = self._limits(seconds)
        lines = self.server.spawn_ranks(limits, count, self._plots)
        channels = [ProcessChannel(*line, limits) for line in lines]
        return [
            self._bridge(channel, listener)
            for channel, listener in zip(channels, listeners, strict=True)
        ]

    @functools.cached_property
    def _plots(self) -> bool:
        return "matplotlib" in imported(self.files, self.main)

    def close(self) -> None:
        """End the worker that waits for a next test."""
        self.shared.reused.close()

    def _limits(self, seconds: float | None) -> Limits:
        if seconds is None:
            return self.limits
        waiting = times.waiting_seconds(seconds, self.limits.test_seconds)
        computing = seconds * self.limits.share
        return self.limits.model_copy(update={"call_seconds": computing, "test_seconds": waiting})

    def _bridge(self, channel: ProcessChannel, on_answer: Listener) -> Bridge:
        """To a fresh worker, which is sent the files."""
        names, compiled = sorted(self.files), self.shared.compiled
        parts = [*(self.files[name] for name in names), *compiled.values()]
        channel.send_files(codec.pack([self.main, names, list(compiled)], parts))
        return Bridge(channel, on_answer)

    def _load(self, bridge: Bridge) -> None:
        """Wait for the first import, for its code objects or its failure."""
        try:
            self.shared.compiled.update(bridge.load())
            if cells.is_notebook(self.files[self.main]):
                told = bridge.ask("left_out")
                lines = told if isinstance(told, list) else []
                self.shared.left_out[:] = [str(line)[:MAX_NOTE] for line in lines[:MAX_NOTES]]
        except StudentError as error:
            self.shared.import_failures.append(error)
            bridge.close()
            raise
