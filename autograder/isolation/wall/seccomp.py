"""The system calls that a worker may make.

They are an allow-list in a BPF program, which libseccomp builds and the kernel enforces. Landlock
and the worker's uid say which files calls that write may reach (world.py).
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterable
from typing import Literal

PR_SET_SECCOMP = 22
SET_MODE_FILTER, NEW_LISTENER = 1, 8
CLONE_THREAD = 0x10000
AF_INET, AF_INET6, AF_NETLINK = 2, 10, 16
ALLOW, REFUSE, NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
EPERM, ENOSYS, ENOTSUP = 1, 38, 95
EQUAL, MASKED_EQUAL = 4, 7

Writes = Literal["refused", "allowed", "counted"]

# What a warm numpy, torch and gymnasium interpreter needs; everything else answers EPERM.
ALLOWED_CALLS = (
    "read write readv writev pread64 pwrite64 close lseek fstat stat lstat newfstatat statx "
    "access faccessat faccessat2 readlink readlinkat getcwd getdents64 getdents dup dup2 dup3 "
    "fcntl poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 "
    "pipe pipe2 sendto recvfrom sendmsg recvmsg shutdown mmap munmap mprotect mremap madvise "
    "brk mincore msync futex futex_waitv set_robust_list get_robust_list rseq sched_yield "
    "sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler "
    "sched_get_priority_max sched_get_priority_min rt_sigaction rt_sigprocmask rt_sigreturn "
    "rt_sigpending rt_sigtimedwait sigaltstack setitimer getitimer alarm pause nanosleep "
    "clock_nanosleep clock_gettime clock_getres gettimeofday time times getrandom uname "
    "sysinfo getrusage getcpu getpid gettid getppid getuid geteuid getgid getegid getgroups "
    "getpgrp getpgid getsid getpriority exit exit_group restart_syscall arch_prctl "
    "set_tid_address membarrier prlimit64 getrlimit fadvise64 flock fsync umask wait4 waitid "
    "get_mempolicy mbind set_mempolicy timer_create timer_settime timer_delete timerfd_create "
    "timerfd_settime"
).split()
# Work on files that exist. Links, pipes, devices and sockets cannot be made.
FILE_CALLS = (
    "chdir fchdir unlink unlinkat rmdir rename renameat ftruncate fallocate fdatasync chmod fchmod "
    "fchmodat fchmodat2 utime utimes futimesat utimensat statfs fstatfs sendfile copy_file_range"
).split()
CREATING_CALLS = ("mkdir", "mkdirat")
# These answer "not supported", which shutil.copy2 accepts. It would not accept "not permitted".
ATTRIBUTE_CALLS = "listxattr llistxattr flistxattr getxattr lgetxattr fgetxattr".split()
# These are only for ranks, which talk over loopback.
SOCKET_CALLS = "bind listen accept accept4 connect getsockname getpeername epoll_create".split()
# Signals are harmless if no other process has the worker's uid.
SIGNAL_CALLS = ("kill", "tkill", "tgkill")
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX and FIOCLEX.
ALLOWED_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# (mask, value): NVIDIA's driver, its unified memory, and that one's first and last call.
GPU_IOCTLS = ((0xFF00, 0x4600), (0xFFFFFF00, 0), (0xFFFFFFFC, 0x30000000))
# The bit of O_TMPFILE that means a file without a name.
UNNAMED = 0o20000000
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | UNNAMED

_libc = ctypes.CDLL(None, use_errno=True)


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class _Program(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class _Rules:
    """Rules that are being put together; what none of them names answers EPERM."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(REFUSE | EPERM)))

    def add(self, action: int, name: str, *comparisons: _Compare) -> None:
        """Add what happens to a call whose arguments compare like this. Raises OSError."""
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            # The call does not exist on this architecture, so it is refused anyway.
            return
        array = (_Compare * len(comparisons))(*comparisons)
        count, verdict = len(comparisons), ctypes.c_uint32(action)
        if self._library.seccomp_rule_add_array(self._context, verdict, number, count, array) != 0:
            raise OSError(f"seccomp refuses a rule for {name}")

    def program(self) -> bytes | None:
        """All rules as a program for the kernel. Afterwards no rule can be added."""
        descriptor = os.memfd_create("filter")
        try:
            if self._library.seccomp_export_bpf(self._context, descriptor) != 0:
                return None
            return os.pread(descriptor, 1 << 20, 0)
        finally:
            os.close(descriptor)
            self._library.seccomp_release(self._context)


def build_filter(
    own_uid: bool, ranks: bool = False, gpu: bool = False, writes: Writes = "refused"
) -> bytes | None:
    """The allow-list as a BPF program for this machine's architecture; None without libseccomp.

    ``ranks``: TCP sockets too, and the kernel's table of interfaces, which gloo reads. ``gpu``:
    opening existing files for reading and writing, and the driver's requests. ``writes``: making
    and changing files. If it is "counted", each opening for writing and each new folder waits for
    an answer through the listener that ``install`` returns. Landlock must be in force, because it
    limits which files all that reaches. Raises OSError.
    """
    library = _library()
    if library is None:
        return None
    rules = _Rules(library)
    signals = SIGNAL_CALLS if own_uid else ()
    sockets = SOCKET_CALLS if ranks else ()
    for name in (*ALLOWED_CALLS, *signals, *sockets):
        rules.add(ALLOW, name)
    if ranks:
        _allow_loopback(rules)
    # asyncio needs AF_UNIX with SOCK_STREAM. A datagram socket could send to any other process.
    stream_pair = (_Compare(0, EQUAL, 1, 0), _Compare(1, MASKED_EQUAL, 0xF, 1))
    rules.add(ALLOW, "socketpair", *stream_pair)
    # Threads yes, processes no.
    rules.add(ALLOW, "clone", _Compare(0, MASKED_EQUAL, CLONE_THREAD, CLONE_THREAD))
    _allow_files(rules, gpu, writes)
    for request in ALLOWED_IOCTLS:
        rules.add(ALLOW, "ioctl", _Compare(1, EQUAL, request, 0))
    for mask, request in GPU_IOCTLS if gpu else ():
        rules.add(ALLOW, "ioctl", _Compare(1, MASKED_EQUAL, mask, request))
    # Libraries fall back to the older calls.
    for name in ("clone3", "openat2"):
        rules.add(REFUSE | ENOSYS, name)
    return rules.program()


def _library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None


def numbers(names: Iterable[str]) -> dict[str, int]:
    """The numbers that these system calls have on this machine; of those that it has."""
    library = _library()
    if library is None:
        return {}
    found = {name: int(library.seccomp_syscall_resolve_name(name.encode())) for name in names}
    return {name: number for name, number in found.items() if number >= 0}


def can_count() -> bool:
    """Whether calls can be held until they are answered for: libseccomp 2.5, Linux 5.0."""
    library = _library()
    return library is not None and library.seccomp_api_get() >= 5


def _allow_loopback(rules: _Rules) -> None:
    for family, kind in ((AF_INET, 1), (AF_INET6, 1), (AF_NETLINK, 3)):
        protocol = (_Compare(2, EQUAL, 0, 0),) if family == AF_NETLINK else ()  # NETLINK_ROUTE
        matching = (_Compare(0, EQUAL, family, 0), _Compare(1, MASKED_EQUAL, 0xF, kind))
        rules.add(ALLOW, "socket", *matching, *protocol)
    for name in ("setsockopt", "getsockopt"):
        for level in (socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IPV6):
            rules.add(ALLOW, name, _Compare(1, EQUAL, level, 0))


def _allow_files(rules: _Rules, gpu: bool, writes: Writes) -> None:
    """Opening and changing files. A file without a name is refused: it could not be counted."""
    for name, place in (("openat", 2), ("open", 1)):
        if writes == "allowed":
            rules.add(ALLOW, name, _Compare(place, MASKED_EQUAL, UNNAMED, 0))
            continue
        rules.add(ALLOW, name, _Compare(place, MASKED_EQUAL, WRITING, 0))
        if writes == "counted":
            for mode in (os.O_WRONLY, os.O_RDWR):
                rules.add(NOTIFY, name, _Compare(place, MASKED_EQUAL, UNNAMED | os.O_ACCMODE, mode))
        elif gpu:
            rules.add(ALLOW, name, _Compare(place, MASKED_EQUAL, WRITING, os.O_RDWR))
    if writes == "refused":
        return
    for name in FILE_CALLS:
        rules.add(ALLOW, name)
    rules.add(ALLOW, "renameat2", _Compare(4, EQUAL, 0, 0))
    for name in CREATING_CALLS:
        rules.add(NOTIFY if writes == "counted" else ALLOW, name)
    for name in ATTRIBUTE_CALLS:
        rules.add(REFUSE | ENOTSUP, name)


def install(program: bytes, listen: bool = False) -> int | None:
    """Put the filter in force for this process, for good. Raises OSError.

    ``listen``: returns the descriptor that answers for the calls that are counted.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(buffer))
    if not listen:
        if _libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(header), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")
        return None
    library = _library()
    # The library has built the program.
    assert library is not None
    number = library.seccomp_syscall_resolve_name(b"seccomp")
    listener = int(_libc.syscall(number, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(header)))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener
