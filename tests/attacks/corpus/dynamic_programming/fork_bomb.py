"""Tries: start processes that start processes (16 in all here, each for ten seconds).

Deserves: full
Base: solution
Control: works
"""

import os
import time

started = 0
for _ in range(4):
    try:
        child = os.fork()
    except OSError:
        break
    started += 1
    if child == 0:
        time.sleep(10) if started >= 4 else None
        if started >= 4:
            os._exit(0)
if started:
    raise SystemExit("the attack worked")
