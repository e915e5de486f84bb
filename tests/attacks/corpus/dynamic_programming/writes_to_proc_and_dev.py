"""Tries: write to files of the kernel's: its own entries below /proc, settings, shared memory, devices.

Deserves: full
Base: solution
Control: works
"""

import os
import stat

written = []
for name, text in (
    ("/proc/self/comm", "attack"),
    ("/proc/self/oom_score_adj", "500"),
    ("/proc/self/coredump_filter", "0"),
    ("/proc/self/mem", ""),
    ("/proc/sys/kernel/hostname", ""),
    ("/sys/kernel/mm/transparent_hugepage/enabled", ""),
    (f"/dev/shm/autograder-attack-{os.getpid()}", "x"),
    (f"/dev/mqueue/autograder-attack-{os.getpid()}", "x"),
):
    try:
        with open(name, "w") as file:
            file.write(text)
        written.append(name)
    except OSError:
        pass
    if name.startswith("/dev/") and os.path.exists(name):
        os.unlink(name)
for kind in (stat.S_IFCHR, stat.S_IFBLK):
    name = f"autograder-attack-device-{os.getpid()}-{kind}"
    try:
        os.mknod(name, kind | 0o666, os.makedev(1, 3))
        os.unlink(name)
        written.append(name)
    except OSError:
        pass
if written:
    raise SystemExit("the attack worked")
