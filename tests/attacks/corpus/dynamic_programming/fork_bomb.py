"""Tries: start many processes (16 here, each for ten seconds).

Deserves: full
Base: solution
Control: works
"""

import os
import time

started = 0
for _ in range(16):
    try:
        child = os.fork()
    except OSError:
        break
    if child == 0:
        time.sleep(10)
        os._exit(0)
    started += 1
if started:
    raise SystemExit("the attack worked")
