"""Tries: signal every process that it may signal, and look for workers of other submissions.

Deserves: full
Base: solution
Control: works
"""

import os

reached = []
for process in (os.getppid(), 1, *range(max(2, os.getpid() - 200), os.getpid())):
    try:
        os.kill(process, 0)  # asks whether it could
        reached.append(process)
    except OSError:
        pass
if reached:
    raise SystemExit("the attack worked")
