"""Tries: gain rights: other user ids, namespaces, chroot, mounts, limits, priorities.

Deserves: full
Base: solution
Control: works
"""

import ctypes
import os
import resource

libc = ctypes.CDLL(None)
gained = []
for attempt in (
    lambda: os.setuid(0),
    lambda: os.setresuid(0, 0, 0),
    lambda: os.setgroups([0]),
    lambda: os.chroot("/"),
    lambda: os.nice(-1) and None,
    lambda: resource.setrlimit(resource.RLIMIT_NPROC, (resource.RLIM_INFINITY,) * 2),
    lambda: resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2),
    lambda: libc.unshare(0x10000000) and 1 / 0,
    lambda: libc.personality(0) == -1 and 1 / 0,
):
    try:
        attempt()
        gained.append(attempt)
    except (OSError, ValueError, ZeroDivisionError):
        pass
if gained:
    raise SystemExit("the attack worked")
