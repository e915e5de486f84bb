"""Tries: system calls that Python has no function for: shared memory, queues, watches, bpf, keys, io_uring, userfaultfd, perf.

Deserves: full
Base: solution
Control: works
"""

import ctypes
import platform

libc = ctypes.CDLL(None)
made = []
if (segment := libc.shmget(0, 4096, 0o1600)) >= 0:
    libc.shmctl(segment, 0, None)
    made.append("shared memory")
if (queue := libc.msgget(0, 0o1600)) >= 0:
    libc.msgctl(queue, 0, None)
    made.append("message queue")
if libc.inotify_init() >= 0:
    made.append("watch")
if platform.machine() == "x86_64":
    for number in (248, 250, 298, 300, 321, 323, 425, 434, 440):
        if libc.syscall(number, 0, -3 if number == 250 else 0, 0, 0, 0) >= 0:
            made.append(number)
if made:
    raise SystemExit("the attack worked")
