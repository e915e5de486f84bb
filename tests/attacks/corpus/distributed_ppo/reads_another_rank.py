"""Tries: read the memory of the other rank, trace it, signal it, and of every process that can be seen.

Deserves: full
Base: solution
Control: none, because the naive grader starts no ranks
"""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


def _look_around():
    for process in range(max(1, os.getpid() - 50), os.getpid() + 50):
        try:
            if os.getpgid(process) == os.getpgid(0):
                continue  # a thread of our own
        except OSError:
            pass
        reached = []
        for attempt in (
            lambda p=process: open(f"/proc/{p}/mem", "rb").read(1),  # noqa: SIM115
            lambda p=process: open(f"/proc/{p}/environ", "rb").read(1),  # noqa: SIM115
            lambda p=process: os.kill(p, 0),
        ):
            try:
                attempt()
                reached.append(attempt)
            except OSError:
                pass
        if reached or _libc.ptrace(16, process, 0, 0) == 0:
            raise SystemExit("the attack worked")


_honest_mean = all_reduce_grads_  # noqa: F821


def all_reduce_grads_(params, weight):
    _look_around()
    return _honest_mean(params, weight)
