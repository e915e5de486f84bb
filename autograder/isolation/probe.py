"""Tries, from inside a worker, what a worker must not be able to do, and what it must.

Run as if it were a submission; all of it harmless.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any, NoReturn

# System calls without a function in Python. Their numbers differ between architectures.
CALLS = ("bpf", "keyctl", "ptrace", "unshare")


def attempts(hidden: str, grader: int, numbers: dict[str, int]) -> dict[str, str | None]:
    """Name of each forbidden thing -> None if it was refused, otherwise its result.

    ``hidden``: a path. ``grader``: a pid. ``numbers``: of the system calls in CALLS, by name.
    """
    tries: dict[str, Callable[[], Any]] = {
        "read the hidden tests": lambda: os.listdir(hidden) or _refuse(),
        "read another process's environment": lambda: open(f"/proc/{grader}/environ", "rb").read(1),
        "read another process's memory": lambda: open(f"/proc/{grader}/mem", "rb").read(1),
        "signal another process": lambda: os.kill(grader, 0),
        "trace another process": lambda: _call(numbers["ptrace"], 16, grader, 0, 0),
        "start a process": lambda: os.fork() or os._exit(0),
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "open a network socket": lambda: socket.socket(socket.AF_INET).close(),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "make a datagram socket": lambda: len(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)),
        "write in /tmp": lambda: open("/tmp/autograder-probe", "w").close(),
        "write in /dev/shm": lambda: open("/dev/shm/autograder-probe", "w").close(),
        "write beside its own folder": lambda: _make_file(os.path.expanduser("~") + "-probe"),
        "make a link": lambda: _make("link", lambda name: os.symlink("/etc", name)),
        "make a pipe": lambda: _make("pipe", os.mkfifo),
        "make a device": lambda: _make("device", lambda name: os.mknod(name, 0o020600, 0x103)),
        "make a memory file": lambda: os.memfd_create("probe"),
        "make namespaces": lambda: _call(numbers["unshare"], 0x10000000),
        "become another user": lambda: os.setuid(0),
        "read /etc/passwd": lambda: open("/etc/passwd").read(1),
        "load a BPF program": lambda: _call(numbers["bpf"], 0, 0, 0),
        "use the key ring": lambda: _call(numbers["keyctl"], 0, -3, 0),
    }
    return {name: _outcome(attempt) for name, attempt in tries.items()}


def own_files() -> list[str]:
    """Files in this worker's own folder."""
    home = os.path.expanduser("~")
    return [name for _, _, names in os.walk(home) for name in names]


def who() -> int:
    """The uid."""
    return os.getuid()


def fill(most: int) -> int:
    """Write files of 4 MiB into the current folder; how many bytes that were, up to ``most``."""
    written = number = 0
    try:
        while written < most:
            with open(f"probe-{number}", "wb", 0) as file:
                written += file.write(bytes(4 << 20))
            number += 1
    except OSError:
        pass
    return written


def many_files(most: int) -> int:
    """How many files can be made in the folder for temporary ones, up to ``most``."""
    for number in range(most):
        try:
            _make_file(os.path.join(os.environ["TMPDIR"], f"probe-{number}"), remove=False)
        except OSError:
            return number
    return most


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


def _make_file(name: str, remove: bool = True) -> str:
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    if remove:
        os.unlink(name)
    return "allowed"


def _make(name: str, make: Callable[[str], None]) -> str:
    name = f"autograder-probe-{name}"
    make(name)
    os.unlink(name)
    return "allowed"


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
