"""Tries: learn about other processes from /proc: command lines, memory maps, open files, its own memory.

Deserves: full
Base: solution
Control: works
"""

import os

found = []
for process in ("self", "1", os.getppid()):
    for name in ("cmdline", "maps", "environ", "status", "mem"):
        try:
            with open(f"/proc/{process}/{name}", "rb") as file:
                found.append(file.read(1) if name != "mem" else name)
        except OSError:
            pass
    try:
        found += os.listdir(f"/proc/{process}/fd")
    except OSError:
        pass
if found:
    raise SystemExit("the attack worked")
