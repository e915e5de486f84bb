"""The fork server: it imports and uses the libraries once, then forks a worker for each test.

It is exec'ed with an empty environment before any test is read, so the memory that workers inherit
holds no secret. It speaks over one socket: a request carries the limits and three descriptors (the
conversation, the prints, the status line). When the status line closes or asks for it, the worker
is killed. When the worker ends, its world is emptied and the status line says how it ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import os
import select
import signal
import socket
import sys
import time
from typing import Any

import msgpack

from autograder.isolation.bridge import generators
from autograder.isolation.wall import network, quota, sandbox, seccomp
from autograder.isolation.wall.world import Worlds, claim_uids
from autograder.isolation.workers.launch import Wanted
from autograder.isolation.workers.life import become_a_worker
from autograder.isolation.workers.warm import (
    COMMON_MODULES,
    PRACTICE_MODULE,
    RANK_MODULES,
    allow_nondeterminism,
    import_plots,
    warm_up,
)

MAX_RANKS = 8


# PyDLL keeps the interpreter's lock, which the child needs.
_libc = ctypes.PyDLL(None)


def main() -> None:
    """Serve until the control socket closes. Argument: its descriptor; it brings what is wanted."""
    sandbox.die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    wanted = Wanted.unpacked(control.recv(65536))
    serve(control, wanted, prepare(wanted))


def prepare(wanted: Wanted) -> list[str]:
    """Import the libraries and use them once; returns what failed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    ranks = RANK_MODULES if wanted.profile == "distributed" else ()
    return warm_up([*COMMON_MODULES, PRACTICE_MODULE, *wanted.libraries, *ranks])


def serve(control: socket.socket, wanted: Wanted, failures: list[str]) -> None:
    """Build the wall around this process, say how that went, serve until the socket closes."""
    # Workers inherit what this process remembers.
    sys.argv[:] = sys.orig_argv[:] = [""]
    os.environ.pop("PYTHONPATH", None)
    package = os.path.realpath(os.path.join(os.path.dirname(__file__), *3 * [".."]))
    if wanted.gpu:
        # Many operations have no deterministic form there.
        allow_nondeterminism()
    # All workers begin with these global generators, so results that use them are the same again.
    generators.seed(0)
    # This comes before the network namespace, which has its own abstract names.
    block = claim_uids() if os.geteuid() == 0 else None
    namespaces = sandbox.separate(wanted.hidden)
    sys.path[:] = [path for path in sys.path if path and os.path.realpath(path) != package]
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")
    ]
    landlock = sandbox.landlock_version() > 0
    # With a GPU, only Landlock limits where a worker may write.
    with_gpu = wanted.gpu and landlock
    worlds = _worlds(block, landlock, namespaces)
    writes = worlds.writes if worlds else "refused"
    writable = worlds.base if worlds else None
    own_uid = block is not None
    bpf = seccomp.build_filter(own_uid, gpu=with_gpu, writes=writes)
    ruleset = sandbox.file_rules(gpu=with_gpu, writable=writable) if landlock else None
    layers = sandbox.Layers(
        uid=own_uid,
        seccomp=bpf is not None,
        landlock=landlock,
        namespaces=namespaces,
        world=worlds is not None,
    )
    control.send(msgpack.packb({"layers": vars(layers), "failures": failures}))
    server = Server(control, layers, bpf, ruleset, block, with_gpu, worlds)
    if wanted.profile == "distributed":
        server.admit_ranks(
            seccomp.build_filter(own_uid, ranks=True, gpu=with_gpu, writes=writes),
            sandbox.file_rules(ranks=True, gpu=with_gpu, writable=writable) if landlock else None,
        )
    server.serve()


def _worlds(
    block: tuple[socket.socket, range] | None, landlock: bool, namespaces: bool
) -> Worlds | None:
    """Where workers may write: nowhere, unless Landlock limits where and writing is counted."""
    if block is None or not landlock or not (namespaces or seccomp.can_count()):
        return None
    return Worlds.prepare(block[1], mounted=namespaces)


class Server:
    """Forks, watches and reaps workers; single-threaded, so forking is safe."""

    def __init__(
        self,
        control: socket.socket,
        layers: sandbox.Layers,
        bpf: bytes | None,
        ruleset: int | None,
        block: tuple[socket.socket, range] | None,
        gpu: bool,
        worlds: Worlds | None = None,
    ) -> None:
        self._control = control
        self._gpu = gpu
        self._plots = False
        self._worlds = worlds
        # Descriptor -> the uid whose writing is counted.
        self._listeners: dict[int, int] = {}
        self._layers = layers
        self._filter = bpf
        self._ruleset = ruleset
        self._rank_walls: tuple[bytes | None, int | None] | None = None
        self._lock = block[0] if block else None
        self._free = list(block[1]) if block else []
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        # Each worker is here twice: by its pidfd and by its status descriptor.
        self._workers: dict[int, _Child] = {}

    def serve(self) -> None:
        """Serve until the control socket closes; then kill every worker."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._control.fileno():
                    if not self._accept():
                        return self._end()
                elif child := self._workers.get(descriptor):
                    self._attend(child, descriptor)
                elif (uid := self._listeners.get(descriptor)) and self._worlds:
                    quota.answer(descriptor, functools.partial(self._worlds.has_room, uid))

    def admit_ranks(self, bpf: bytes | None, ruleset: int | None) -> None:
        """Be ready for requests of several workers that may talk to each other over loopback."""
        self._rank_walls = bpf, ruleset

    def _accept(self) -> bool:
        try:
            request, descriptors, _, _ = socket.recv_fds(self._control, 65536, 3 * MAX_RANKS)
        except InterruptedError:
            return True
        if not request:
            return False
        limits = msgpack.unpackb(request)
        if limits["plots"] and not self._plots:
            # Half of what all other libraries take, so only where a submission needs it.
            self._plots = True
            import_plots()
            generators.seed(0)
        lines = [descriptors[first : first + 3] for first in range(0, len(descriptors), 3)]
        if not limits["ranks"]:
            self._start(limits, lines[0], self._filter, self._ruleset)
        elif self._rank_walls is None:
            self._refuse(lines, "this fork server was not started for ranks")
        else:
            self._start_ranks(limits, lines, *self._rank_walls)
        return True

    def _start_ranks(
        self, limits: dict[str, Any], lines: list[list[int]], bpf: bytes | None, ruleset: int | None
    ) -> None:
        """Several workers, in their own network if that is possible."""
        home = network.of_their_own() if self._layers.namespaces else contextlib.nullcontext()
        try:
            with home:
                while lines:
                    self._start(limits, lines.pop(0), bpf, ruleset)
        except OSError as error:
            self._refuse(lines, f"no network for ranks: {error}")

    def _refuse(self, lines: list[list[int]], reason: str) -> None:
        for line in lines:
            self._report(line[2], ["refused", reason])
            _close(line)

    def _start(
        self, limits: dict[str, Any], line: list[int], bpf: bytes | None, ruleset: int | None
    ) -> None:
        """One worker, with three descriptors: the conversation, the prints, the status line."""
        uid = self._free.pop() if self._free else None
        if self._layers.uid and uid is None:
            return self._refuse([line], "every uid is in use")
        had = sandbox.private_memory() if self._gpu else sandbox.address_space()
        memory = had + (limits["memory_mib"] << 20)
        cell = sandbox.Cell(
            uid, limits["call_seconds"], memory, limits["processes"], bpf, ruleset, self._gpu
        )
        folder = None
        ours, theirs = socket.socketpair() if self._counts else (None, None)
        if self._worlds and uid is not None:
            folder = self._worlds.of(uid)
            cell = dataclasses.replace(
                cell, file_bytes=self._worlds.file_bytes, counted=self._counts
            )
        pid = bare_fork()
        if pid == 0:
            stay_on(limits["core"])
            become_a_worker(cell, line[0], line[1], folder, theirs)
        child = _Child(pid, os.pidfd_open(pid), line[2], uid)
        if ours is not None and theirs is not None and uid is not None:
            theirs.close()
            self._listen(ours, uid)
        for descriptor in (child.pidfd, child.status):
            self._workers[descriptor] = child
            self._poll.register(descriptor, select.POLLIN)
        self._report(child.status, ["started", pid])
        _close(line[:2])

    @property
    def _counts(self) -> bool:
        return self._worlds is not None and self._worlds.writes == "counted"

    def _listen(self, line: socket.socket, uid: int) -> None:
        """Answer from now on for what this worker writes."""
        with line:
            _, descriptors, _, _ = socket.recv_fds(line, 1, 1)
        # There is no descriptor if the worker could not lock itself in.
        for listener in descriptors:
            self._listeners[listener] = uid
            self._poll.register(listener, select.POLLIN)

    def _attend(self, child: _Child, descriptor: int) -> None:
        if descriptor == child.status:
            # The line was closed, or it asks to kill: in both cases this worker must end.
            self._poll.unregister(child.status)
            self._kill(child)
            return
        _, status, usage = os.wait4(child.pid, 0)
        self._report(
            child.status,
            ["ended", os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime],
        )
        for known in (child.pidfd, child.status):
            self._workers.pop(known)
            try:
                self._poll.unregister(known)
            except KeyError:
                pass
            os.close(known)
        if child.uid is not None:
            self._tidy(child.uid)

    def _tidy(self, uid: int) -> None:
        """The worker with this uid has ended: remove all that it has left."""
        for listener in [known for known, owner in self._listeners.items() if owner == uid]:
            del self._listeners[listener]
            self._poll.unregister(listener)
            os.close(listener)
        # A world that cannot be emptied is not used again.
        with contextlib.suppress(OSError):
            if self._worlds:
                self._worlds.empty(uid)
            self._free.append(uid)

    def _report(self, descriptor: int, message: list[Any]) -> None:
        try:
            os.write(descriptor, msgpack.packb(message))
        except OSError:
            # The grader has gone.
            pass

    def _kill(self, child: _Child) -> None:
        try:
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _end(self) -> None:
        for child in set(self._workers.values()):
            self._kill(child)
            os.waitpid(child.pid, 0)
        if self._worlds:
            self._worlds.remove()


class _Child:
    def __init__(self, pid: int, pidfd: int, status: int, uid: int | None) -> None:
        self.pid, self.pidfd, self.status, self.uid = pid, pidfd, status, uid


def bare_fork() -> int:
    """fork(2) itself: os.fork would run every library's after-fork hooks.

    They cost a millisecond for locks that only threads need. They would also seed `random` again in
    each worker. Without them its state, and what a submission does with it, is always the same.
    """
    pid: int = _libc.fork()
    if pid < 0:
        raise OSError("fork")
    return pid


def stay_on(core: int | None) -> None:
    """Run on this core only, if there is one to run on (engines/local.py says why)."""
    if core is not None:
        # The core may have been taken from this process meanwhile.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    time.tzset()
    main()
