"""Tries from inside a worker whether the wall holds on this machine. Says how to fix the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import IsolationError, StudentError
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.limits import WORLD_BYTES, WORLD_FILES, Limits
from autograder.isolation.probe import CALLS
from autograder.isolation.ranks.ranks import Ranks
from autograder.isolation.wall import sandbox, seccomp
from autograder.isolation.workers.walled import WorkerServer

PROBE = Path(__file__).with_name("probe.py")
MEETING = b"""
import torch, torch.distributed

def total(number):
    tensor = torch.tensor([number])
    torch.distributed.all_reduce(tensor)
    return tensor.item()
"""


@dataclass(frozen=True)
class Finding:
    """One layer: whether it holds, whether grading needs it, and what was seen."""

    layer: str
    holds: bool
    text: str
    needed: bool = False


def inspect(root: Path) -> list[Finding]:
    """Start a fork server and a worker, and try everything. Never raises for what it finds."""
    hidden = root / "grading"
    try:
        server = WorkerServer.start(["numpy"], [])
    except IsolationError as error:
        return [Finding("fork server", False, str(error), needed=True)]
    try:
        layers = server.layers
        findings = [
            Finding(
                "another uid",
                layers.uid,
                _mend(layers.uid, "run as root (sudo, or the grading image)"),
                needed=True,
            ),
            Finding(
                "seccomp",
                layers.seccomp,
                _mend(layers.seccomp, "apt-get install libseccomp2"),
                needed=True,
            ),
            Finding(
                "landlock",
                layers.landlock,
                _mend(
                    layers.landlock, f"Linux 5.13 or newer has it; without it: chmod 700 {hidden}"
                ),
            ),
            Finding(
                "namespaces",
                layers.namespaces,
                _mend(
                    layers.namespaces,
                    "only root outside a container can; containers give --network=none",
                ),
            ),
        ]
        bridge = probe(server)
        findings += [_refusals(bridge, hidden), _interpreter(bridge), _threads(bridge)]
        bridge.close()
        findings.append(_world(server))
    except (IsolationError, StudentError) as error:
        findings.append(Finding("a worker", False, str(error), needed=True))
    finally:
        server.close()
    return [*findings, _ranks()]


def probe(server: WorkerServer) -> Bridge:
    """A worker that runs the probe as if it were a submission."""
    return server.candidate({"probe.py": PROBE.read_bytes()}, "probe.py", Limits()).open(
        lambda event: None, None
    )


def allowed(bridge: Bridge, hidden: Path) -> list[str]:
    """What the probe could do and must not."""
    found = bridge.student.attempts(str(hidden), os.getpid(), seccomp.numbers(CALLS))
    if not isinstance(found, dict):
        raise IsolationError("the probe gave no answer")
    return [f"{name} ({result})" for name, result in found.items() if result is not None]


def _refusals(bridge: Bridge, hidden: Path) -> Finding:
    possible = allowed(bridge, hidden)
    text = (
        "everything forbidden that was tried was refused"
        if not possible
        else f"not refused: {', '.join(possible)}"
    )
    return Finding("probe", not possible, text, needed=True)


def _world(server: WorkerServer) -> Finding:
    """A worker fills its own folder; the next one with its uid finds nothing of that."""
    if not server.layers.world:
        remedy = "needs Landlock, and namespaces or libseccomp 2.5; submissions that write fail"
        return Finding("world", False, f"workers cannot write any file: {remedy}")
    bridge = probe(server)
    written = int(bridge.student.fill(2 * WORLD_BYTES))
    bridge.close()
    files, uid = _many_files(server)
    left = _left_for_the_next(server, uid)
    wrong = [
        (written == 0, "workers cannot write in their own folder"),
        (written > WORLD_BYTES, f"more than {WORLD_BYTES >> 20} MiB could be written"),
        (files > WORLD_FILES, f"more than {WORLD_FILES} files could be made"),
        (bool(left), f"the next worker finds {', '.join(left[:3])}"),
    ]
    found = "; ".join(text for is_so, text in wrong if is_so)
    text = f"workers can write {written >> 20} MiB in {files} files; nothing of it is left"
    return Finding("world", not found, found or text, needed=written > 0)


def _many_files(server: WorkerServer) -> tuple[int, int]:
    """How many files a worker can make, and its uid."""
    bridge = probe(server)
    try:
        return int(bridge.student.many_files(2 * WORLD_FILES)), int(bridge.student.who())
    finally:
        bridge.close()


def _left_for_the_next(server: WorkerServer, uid: int) -> list[str]:
    """What a new worker with this uid finds in its folder that it was not sent."""
    # A uid is given to a new worker when its last worker has gone.
    for _ in range(64):
        bridge = probe(server)
        found, has = [str(name) for name in bridge.student.own_files()], bridge.student.who()
        bridge.close()
        if has == uid:
            return [name for name in found if name != PROBE.name]
    return []


def _interpreter(bridge: Bridge) -> Finding:
    unread = list(bridge.student.readable(sandbox.interpreter_folders()))
    text = (
        "workers can read Python's own folders"
        if not unread
        else (
            f"workers cannot read {', '.join(map(str, unread))}, "
            "so imports that are not warmed up fail: "
            "use an interpreter outside root's home, such as /usr/bin/python3"
        )
    )
    return Finding("interpreter", not unread, text)


def _threads(bridge: Bridge) -> Finding:
    started = bridge.student.many_threads(100)
    held = isinstance(started, int) and started < 100
    return Finding("limits", held, f"{started} of 100 threads could be started")


def _ranks() -> Finding:
    """Two ranks behind the wall add their numbers, as in a test with `isolation: distributed`."""
    try:
        server = WorkerServer.start(["torch"], profile="distributed")
    except IsolationError as error:
        return Finding("ranks", False, f"needed for distributed assignments only: {error}")
    try:
        limits = Limits(memory_mib=2048, processes=32)
        candidate = server.candidate({"meeting.py": MEETING}, "meeting.py", limits)
        group = Ranks(
            lambda count, each: candidate.open_ranks(count, each, None), 2, lambda event: None
        )
        try:
            sums = group.run(lambda student, rank: student.total(float(rank + 1)))
        finally:
            group.close()
        return _meeting(sums, server.layers.namespaces)
    except (IsolationError, StudentError) as error:
        return Finding(
            "ranks",
            False,
            f"two ranks could not talk over loopback, so distributed assignments fail: {error}",
        )
    finally:
        server.close()


def _meeting(sums: list[object], alone: bool) -> Finding:
    if sums != [3.0, 3.0]:
        return Finding(
            "ranks", False, f"two ranks that added 1 and 2 got {sums}: is torch's gloo sound?"
        )
    where = "their own loopback"
    if not alone:
        where = (
            "the machine's loopback, because there is no network namespace: "
            "give the container --network=none"
        )
    return Finding("ranks", True, f"two ranks met on {where}")


def _mend(holds: bool, remedy: str) -> str:
    return "in force" if holds else remedy
