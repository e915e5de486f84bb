"""Tries: start a shell, with subprocess, os.system, posix_spawn and exec.

Deserves: full
Base: solution
Control: works
"""

import os
import subprocess


def spawned():
    return os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]) == 0


for attempt in (
    lambda: subprocess.run(["/bin/true"], check=True),
    lambda: os.system("true") == 0 or 1 / 0,
    lambda: spawned() or 1 / 0,
):
    try:
        attempt()
    except BaseException:
        continue
    raise SystemExit("the attack worked")
