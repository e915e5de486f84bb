"""The system calls that a worker may make: an allow-list, as a BPF program that libseccomp builds and the kernel enforces."""

from __future__ import annotations

import ctypes
import os
import socket

PR_SET_SECCOMP = 22
CLONE_THREAD = 0x10000
AF_INET, AF_INET6, AF_NETLINK = 2, 10, 16

# What a warm numpy, torch and gymnasium interpreter needs; everything else answers EPERM.
ALLOWED_CALLS = (
    "read write readv writev pread64 pwrite64 close lseek fstat stat lstat newfstatat statx access "
    "faccessat faccessat2 readlink readlinkat getcwd getdents64 getdents dup dup2 dup3 fcntl poll ppoll "
    "select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 pipe pipe2 sendto recvfrom "
    "sendmsg recvmsg shutdown mmap munmap mprotect mremap madvise brk mincore msync futex futex_waitv "
    "set_robust_list get_robust_list rseq sched_yield sched_getaffinity sched_setaffinity sched_getparam "
    "sched_getscheduler sched_get_priority_max sched_get_priority_min rt_sigaction rt_sigprocmask "
    "rt_sigreturn rt_sigpending rt_sigtimedwait sigaltstack setitimer getitimer alarm pause nanosleep "
    "clock_nanosleep clock_gettime clock_getres gettimeofday time times getrandom uname sysinfo getrusage "
    "getcpu getpid gettid getppid getuid geteuid getgid getegid getgroups getpgrp getpgid getsid "
    "getpriority exit exit_group restart_syscall arch_prctl set_tid_address membarrier prlimit64 "
    "getrlimit fadvise64 flock fsync umask wait4 waitid get_mempolicy mbind set_mempolicy timer_create "
    "timer_settime timer_delete timerfd_create timerfd_settime "
).split()  # fmt: skip
SOCKET_CALLS = (
    "bind listen accept accept4 connect getsockname getpeername epoll_create"
).split()  # only for ranks, which talk over loopback
SIGNAL_CALLS = ("kill", "tkill", "tgkill")  # harmless under a uid of one's own
ALLOWED_IOCTLS = (
    0x5401,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
GPU_IOCTLS = (  # (mask, value): NVIDIA's driver, its unified memory, and that one's first and last call
    (0xFF00, 0x4600),
    (0xFFFFFF00, 0),
    (0xFFFFFFFC, 0x30000000),
)
WRITING = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0o20000000
)  # the last: O_TMPFILE's own bit

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


def build_filter(own_uid: bool, ranks: bool = False, gpu: bool = False) -> bytes | None:
    """The allow-list as a BPF program for this machine's architecture; None where libseccomp is not installed.

    ``ranks``: TCP sockets too, and the kernel's table of interfaces, which gloo reads. ``gpu``: opening existing files for reading and
    writing, and the driver's requests; which files is for Landlock to say, so there must be one.
    """
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    allow, refuse = 0x7FFF0000, 0x00050000
    no_such_call, not_permitted = refuse | 38, refuse | 1  # ENOSYS lets libraries fall back
    equal, masked_equal = 4, 7
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(not_permitted)))

    def rule(action: int, name: str, *comparisons: _Compare) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # unknown on this architecture: refused anyway
            array = (_Compare * len(comparisons))(*comparisons)
            if (
                library.seccomp_rule_add_array(
                    context, ctypes.c_uint32(action), number, len(comparisons), array
                )
                != 0
            ):
                raise OSError(f"seccomp refuses a rule for {name}")

    for name in (
        *ALLOWED_CALLS,
        *(SIGNAL_CALLS if own_uid else ()),
        *(SOCKET_CALLS if ranks else ()),
    ):
        rule(allow, name)
    if ranks:
        for family, kind in ((AF_INET, 1), (AF_INET6, 1), (AF_NETLINK, 3)):
            protocol = (_Compare(2, equal, 0, 0),) if family == AF_NETLINK else ()  # NETLINK_ROUTE
            rule(
                allow,
                "socket",
                _Compare(0, equal, family, 0),
                _Compare(1, masked_equal, 0xF, kind),
                *protocol,
            )
        for name in ("setsockopt", "getsockopt"):
            for level in (socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IPV6):
                rule(allow, name, _Compare(1, equal, level, 0))
    stream_pair = (
        _Compare(0, equal, 1, 0),
        _Compare(1, masked_equal, 0xF, 1),
    )  # AF_UNIX, SOCK_STREAM: what asyncio needs
    rule(
        allow, "socketpair", *stream_pair
    )  # a datagram socket could send to any other on the machine
    rule(
        allow, "clone", _Compare(0, masked_equal, CLONE_THREAD, CLONE_THREAD)
    )  # threads yes, processes no
    for name, place in (("openat", 2), ("open", 1)):
        rule(allow, name, _Compare(place, masked_equal, WRITING, 0))  # reading yes, writing no
        if gpu:
            rule(allow, name, _Compare(place, masked_equal, WRITING, os.O_RDWR))
    for request in ALLOWED_IOCTLS:
        rule(allow, "ioctl", _Compare(1, equal, request, 0))
    for mask, request in GPU_IOCTLS if gpu else ():
        rule(allow, "ioctl", _Compare(1, masked_equal, mask, request))
    for name in ("clone3", "openat2"):
        rule(no_such_call, name)
    descriptor = os.memfd_create("filter")
    try:
        if library.seccomp_export_bpf(context, descriptor) != 0:
            return None
        return os.pread(descriptor, 1 << 20, 0)
    finally:
        os.close(descriptor)
        library.seccomp_release(context)


def install(program: bytes) -> None:
    """Put the filter in force for this process, for good. Raises OSError."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(buffer))
    if _libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(header), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
