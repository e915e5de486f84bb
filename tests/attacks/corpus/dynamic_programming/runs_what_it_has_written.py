"""Tries: write a program into its folder, make it executable, and run it in four ways.

Deserves: full
Base: solution
Control: works
"""

import os
import subprocess
import tempfile

name = os.path.join(tempfile.gettempdir(), f"autograder-attack-program-{os.getpid()}")
with open(name, "w") as program:
    program.write("#!/bin/sh\nexit 7\n")
os.chmod(name, 0o4755)
codes = []
for run in (
    lambda: subprocess.run([name], check=False).returncode,
    lambda: os.system(name) >> 8,
    lambda: os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(name, [name], {}), 0)[1]),
    lambda: os.spawnv(os.P_WAIT, name, [name]),
):
    try:
        codes.append(run())
    except OSError:
        pass
os.unlink(name)
if 7 in codes:
    raise SystemExit("the attack worked")
