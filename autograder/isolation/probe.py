"""Tries, from inside a worker, what a worker must not be able to do. Run as if it were a submission; all of it harmless."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any, NoReturn


def attempts(hidden: str, grader: int) -> dict[str, str | None]:
    """Name of each forbidden thing -> None if it was refused, else what came of it. ``hidden``: a path; ``grader``: a pid."""
    tries: dict[str, Callable[[], Any]] = {
        "read the hidden tests": lambda: os.listdir(hidden) or _refuse(),
        "read another process's environment": lambda: open(f"/proc/{grader}/environ", "rb").read(1),
        "read another process's memory": lambda: open(f"/proc/{grader}/mem", "rb").read(1),
        "signal another process": lambda: os.kill(grader, 0),
        "trace another process": lambda: _call(101, 16, grader, 0, 0),
        "start a process": lambda: os.fork() or os._exit(0),
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "open a network socket": lambda: socket.socket(socket.AF_INET).close(),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "make a datagram socket": lambda: len(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)),
        "write in /tmp": lambda: open("/tmp/autograder-probe", "w").close(),
        "write in /dev/shm": lambda: open("/dev/shm/autograder-probe", "w").close(),
        "make a memory file": lambda: os.memfd_create("probe"),
        "make namespaces": lambda: _call(272, 0x10000000),
        "become another user": lambda: os.setuid(0),
        "read /etc/passwd": lambda: open("/etc/passwd").read(1),
        "load a BPF program": lambda: _call(321, 0, 0, 0),
        "use the key ring": lambda: _call(250, 0, -3, 0),
    }
    return {name: _outcome(attempt) for name, attempt in tries.items()}


def readable(paths: list[str]) -> list[str]:
    """Paths of the interpreter that cannot be read from here, which would break late imports."""
    return [path for path in paths if not os.access(path, os.R_OK | os.X_OK) or not _lists(path)]


def many_threads(count: int) -> int:
    """How many threads could be started."""
    started = []
    release = threading.Event()
    for _ in range(count):
        thread = threading.Thread(target=release.wait, args=(5,))
        try:
            thread.start()
        except RuntimeError:
            break
        started.append(thread)
    release.set()
    return len(started)


def _outcome(attempt: Callable[[], Any]) -> str | None:
    try:
        return str(attempt())[:60]
    except Exception:
        return None


def _lists(path: str) -> bool:
    try:
        return bool(os.listdir(path))
    except OSError:
        return False


def _call(number: int, *arguments: int) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "allowed"


def _refuse() -> NoReturn:
    raise OSError("nothing there")
