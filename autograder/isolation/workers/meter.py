"""Separates waiting from computing: a limit on waiting must not end a process that computes.

On a loaded machine, or in a container with half a core, wall time passes while a process computes
or waits for a core. From time to time the meter looks at the processes of a test. If one of them
has used CPU time since the last look, or was ready to run, that time was computing. Otherwise all
of them were waiting: for an answer, a lock, a sleep.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Protocol
from weakref import WeakSet

from autograder.isolation.times import COMPUTING_SHARE, LOOK_SECONDS, START_SECONDS

Pids = Callable[[], Iterable[int]]


class HasPids(Protocol):
    """An object that talks to processes, such as a channel."""

    def pids(self) -> Iterable[int]:
        """The processes."""


# The open channels of this process.
workers: WeakSet[HasPids] = WeakSet()


def running_workers() -> list[int]:
    """The workers that this process talks to."""
    return [pid for one in list(workers) for pid in one.pids()]


class Meter:
    """Seconds of waiting and of computing since it was made, of this process and of others.

    ``pids``: returns the processes to look at. ``own``: this process is one of them. Both numbers
    grow only at the looks, which are LOOK_SECONDS apart.
    """

    def __init__(self, pids: Pids, own: bool = True) -> None:
        self._pids = pids
        self._own = own
        self._looked = time.monotonic()
        self._used = self._cpu_seconds()
        self._ready = self._ready_seconds()
        self.waited = 0.0
        self.computed = 0.0

    def next_look(self) -> float:
        """Seconds until the next look is due; 0 or less when it is."""
        return self._looked + LOOK_SECONDS - time.monotonic()

    def look(self) -> bool:
        """Count the time since the last look. True if a process computed in it."""
        now, used, ready = time.monotonic(), self._cpu_seconds(), self._ready_seconds()
        passed = now - self._looked
        moved = sum(max(0.0, seconds - self._used.get(pid, 0.0)) for pid, seconds in used.items())
        busy = moved + ready - self._ready >= COMPUTING_SHARE * passed
        computing = busy or any(map(is_running, self._pids()))
        if computing:
            self.computed += min(moved, passed)
        else:
            self.waited += passed
        self._looked, self._used, self._ready = now, used, ready
        return computing

    def _cpu_seconds(self) -> dict[int, float]:
        used = {pid: cpu_seconds(pid) for pid in self._pids()}
        return used | ({0: time.process_time()} if self._own else {})

    def _ready_seconds(self) -> float:
        # This process is always running when it looks, so its state says nothing.
        return ready_seconds(os.getpid()) if self._own else 0.0


class Patience:
    """How long a worker may only wait. ``seconds`` of waiting; computing is not counted."""

    def __init__(self, seconds: float, pids: Pids) -> None:
        self._seconds = seconds
        self._meter = Meter(pids)

    def left(self) -> float:
        """Seconds until this must be asked again; 0 when there is no patience left."""
        due = self._meter.next_look()
        if due <= 0:
            self._meter.look()
            due = self._meter.next_look()
        return max(0.0, min(due, self._seconds - self._meter.waited))


class Until:
    """A deadline in wall time, for talking to a trusted process."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the deadline; 0 when it has passed."""
        return max(0.0, self._end - time.monotonic())


def answers(line: socket.socket, pid: int) -> bool:
    """Wait until a process that starts has written or closed; False if it does nothing.

    Waiting goes on as long as it, or a process that it has started, computes.
    """
    watch = Meter(lambda: family(pid), own=False)
    poll = select.poll()
    poll.register(line, select.POLLIN)
    while watch.waited < START_SECONDS:
        if poll.poll(max(0.0, 1000 * watch.next_look())):
            return True
        if watch.next_look() <= 0:
            watch.look()
    return False


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has used, its ended children's included; 0.0 if it is gone."""
    fields = _stat(f"/proc/{pid}/stat")
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def ready_seconds(pid: int) -> float:
    """Seconds in which a process's first thread was ready to run and had no core; 0.0 if nobody
    knows."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def is_running(pid: int) -> bool:
    """Some thread of a process runs, is ready to run, or waits for a disk."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return False
    states = (_stat(f"/proc/{pid}/task/{thread}/stat") for thread in threads)
    return any(fields and fields[0] in ("R", "D") for fields in states)


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        if fields := _stat(f"/proc/{name}/stat"):
            parents.setdefault(int(fields[1]), []).append(int(name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _stat(path: str) -> list[str]:
    """The fields after the name, which may hold anything; empty if there is no such process."""
    try:
        with open(path, "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except (OSError, ValueError):
        return []
