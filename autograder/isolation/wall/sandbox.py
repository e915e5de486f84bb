"""What a worker may not do, layer by layer. Each layer is tried, and what is in force is reported.

    another uid   one for every worker: no signals, no ptrace, no files of root's
    seccomp       an allow-list of system calls: no new processes, no sockets
    landlock      reading only the interpreter and its libraries, writing only in the worker's world
    namespaces    no network device at all; no folders but the system's
    rlimits       address space, CPU seconds, threads, descriptors, size of files, no core

The first needs root, the second libseccomp.so.2, the third Linux 5.13, the fourth CAP_SYS_ADMIN.

What is not covered: a bug in the kernel, and how much time the machine spends on a worker within
its limits.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import resource
import signal
import site
import stat
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.isolation.times import CPU_GRACE_SECONDS
from autograder.isolation.wall import seccomp

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET = 0x20000, 0x08000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 4096, 16384, 1 << 18, 2, 4

READABLE_DIRECTORIES = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/sys/devices/system/cpu",
)
# gloo looks for the machine's network devices.
READABLE_BY_RANKS = (
    "/sys/bus/pci/devices",
    "/sys/class/net",
    *map(str, Path("/sys/devices").glob("pci*")),
)
# What CUDA opens, from its documentation and other sandboxes' lists. Not measured with a GPU.
READABLE_WITH_A_GPU = (
    "/proc/driver/nvidia",
    "/sys/bus/pci/devices",
    "/sys/module/nvidia",
    "/sys/devices/system/node",
    "/sys/devices/system/memory",
    *map(str, Path("/sys/devices").glob("pci*")),
)
GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset")
NOWHERE = "/dev/null"
READABLE_FILES = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    NOWHERE,
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    "/proc/cpuinfo",
    "/proc/meminfo",
)
# Folders in "/" that hold no person's files.
SYSTEM_FOLDERS = frozenset("bin dev lib lib32 lib64 libx32 proc sbin sys usr".split())

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Layers:
    """Which layers are in force; the words go into the provenance of every result."""

    uid: bool
    seccomp: bool
    landlock: bool
    namespaces: bool
    rlimits: bool = True
    # Whether there is a place to write (world.py).
    world: bool = False

    @property
    def strong(self) -> bool:
        """Enough to grade with: another uid and seccomp."""
        return self.uid and self.seccomp


@dataclass(frozen=True)
class Cell:
    """What one worker gets: its uid, its limits, and the prepared filter.

    ``memory``: bytes of address space. ``ruleset``: a descriptor of Landlock's. ``gpu``: CUDA
    reserves far more addresses than memory, so the limit is on private memory. ``file_bytes``: how
    large a file may be that it writes. ``counted``: calls that write wait for an answer.
    """

    uid: int | None
    call_seconds: float
    memory: int
    processes: int
    filter: bytes | None
    ruleset: int | None
    gpu: bool = False
    file_bytes: int = 0
    counted: bool = False


def enter(cell: Cell) -> int | None:
    """Lock this process in, for good: called once, in a freshly forked worker.

    Returns the descriptor that answers for the calls that are counted. Raises OSError if a layer
    fails.
    """
    _limit(cell)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if cell.ruleset is not None:
        if _libc.syscall(_RESTRICT_SELF, cell.ruleset, ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), "landlock")
        os.close(cell.ruleset)
    if cell.uid is not None:
        os.setgroups([])
        os.setresgid(cell.uid, cell.uid, cell.uid)
        os.setresuid(cell.uid, cell.uid, cell.uid)
    # This comes after setuid, which would clear it.
    die_with_parent()
    _prctl(PR_SET_DUMPABLE, 0)
    return seccomp.install(cell.filter, cell.counted) if cell.filter is not None else None


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def interpreter_folders() -> list[str]:
    """What a late import may have to read."""
    return sorted({os.path.realpath(folder) for folder in _named_interpreter_folders()})


def _named_interpreter_folders() -> set[str]:
    """The same as the interpreter calls them: some may be links."""
    folders = {sys.prefix, sys.base_prefix, *site.getsitepackages(), os.path.dirname(os.__file__)}
    # If one environment is on top of another, a .pth file names the lower one's folder.
    folders |= {
        folder
        for folder in sys.path
        if os.path.basename(folder) in ("site-packages", "dist-packages")
    }
    return {folder for folder in folders if os.path.isdir(folder)}


# -- limits ---------------------------------------------------------------------------------------


def address_space() -> int:
    """Bytes of address space that this process has, which its children begin with."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def private_memory() -> int:
    """Bytes that this process may write without sharing them, touched or not."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def _limit(cell: Cell) -> None:
    cpu = max(1, round(cell.call_seconds))
    limits = {
        resource.RLIMIT_DATA if cell.gpu else resource.RLIMIT_AS: cell.memory,
        resource.RLIMIT_NPROC: cell.processes,
        resource.RLIMIT_NOFILE: 1024 if cell.gpu else 64,
        resource.RLIMIT_FSIZE: cell.file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))
    # The soft limit sends SIGXCPU, the hard one SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + CPU_GRACE_SECONDS))


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


# -- landlock -------------------------------------------------------------------------------------

# These numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_WRITE_FILE, _READ_FILE, _READ_DIRECTORY, _DEVICE_IOCTL = 1 << 1, 1 << 2, 1 << 3, 1 << 15
# Remove folders and files, make folders and plain files, move them between folders, truncate them.
_CHANGE = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14
_FILE_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}


def landlock_version() -> int:
    """Landlock's ABI version in this kernel; 0 if there is none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def file_rules(ranks: bool = False, gpu: bool = False, writable: str | None = None) -> int:
    """A ruleset, made once for all workers: they may read the interpreter and its libraries.

    ``ranks``: binding and connecting are left to the network namespace. ``gpu``: its devices may be
    written to. ``writable``: so may what is below this folder, but never executed. Raises OSError.
    """
    version = landlock_version()
    handled = (1 << _FILE_RIGHTS_BY_VERSION.get(version, 16)) - 1
    # Bind and connect; abstract sockets and signals.
    network = 3 if version >= 4 and not ranks else 0
    scoped = 3 if version >= 6 else 0
    attributes = struct.pack("=QQQ", handled, network, scoped)[
        : 8 if version < 4 else 16 if version < 6 else 24
    ]
    ruleset = _libc.syscall(
        _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    folders = (*interpreter_folders(), *READABLE_DIRECTORIES, *(READABLE_BY_RANKS if ranks else ()))
    rights = [(folder, _READ_FILE | _READ_DIRECTORY) for folder in folders]
    rights += [(file, _READ_FILE) for file in READABLE_FILES]
    if gpu:
        rights += [(folder, _READ_FILE | _READ_DIRECTORY) for folder in READABLE_WITH_A_GPU]
        rights.append(("/proc/devices", _READ_FILE))
        rights += [
            (file, (_READ_FILE | _WRITE_FILE | _DEVICE_IOCTL) & handled) for file in gpu_devices()
        ]
    if writable is not None:
        inside = _READ_FILE | _READ_DIRECTORY | _WRITE_FILE | _CHANGE
        rights += [(writable, inside & handled), (NOWHERE, _READ_FILE | _WRITE_FILE)]
    for path, allowed in rights:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            # What is not there need not be allowed.
            continue
        _libc.syscall(
            _ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, parent), ctypes.c_uint32(0)
        )
        os.close(parent)
    return int(ruleset)


def gpu_devices() -> list[str]:
    """The device files of NVIDIA's GPUs on this machine."""
    numbered = (str(path) for path in Path("/dev").glob("nvidia[0-9]*"))
    return [path for path in (*GPU_DEVICES, *sorted(numbered)) if os.path.exists(path)]


# -- namespaces -----------------------------------------------------------------------------------


def separate(hidden: Sequence[str]) -> bool:
    """Give the fork server a network without devices, and its own mounts.

    Only the system and Python remain visible: folders that others may read (homes, submissions,
    /etc) are empty. An interpreter in a folder that other users may not enter (say a home folder)
    is made reachable. Returns False if the machine does not allow it.
    """
    if _libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0:
        return False
    try:
        _mount("none", "/", None, MS_REC | MS_PRIVATE)
        _cover_all_but(
            sorted({*_named_interpreter_folders(), *interpreter_folders(), *READABLE_FILES})
        )
        for folder in hidden:
            if os.path.isdir(folder):
                _mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4k")
    except OSError:
        return False
    return True


def _cover_all_but(needed: Sequence[str]) -> None:
    """Cover each top-level folder but the system's with an empty one.

    Only what is needed shows through.
    """
    handles = {
        path: os.open(path, os.O_PATH)
        for path in needed
        if _is_covered(path) and os.path.exists(path)
    }
    for entry in os.scandir("/"):
        if entry.is_dir(follow_symlinks=False) and _is_covered(entry.path):
            _mount("tmpfs", entry.path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    for path, handle in handles.items():
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            os.makedirs(path, exist_ok=True)
        elif not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT, 0o644))
        _mount(f"/proc/self/fd/{handle}", path, None, MS_BIND | MS_REC)
        os.close(handle)


def _is_covered(path: str) -> bool:
    return path.split("/")[1] not in SYSTEM_FOLDERS


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    def text(value: str | None) -> bytes | None:
        return value.encode() if value is not None else None

    if _libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data)) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")
