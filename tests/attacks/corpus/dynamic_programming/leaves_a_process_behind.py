"""Tries: leave a process behind that outlives the test and could rewrite results later (it only waits, for fifteen seconds).

Deserves: full
Base: solution
Control: works
"""

import os
import time

try:
    child = os.fork()
except OSError:
    pass
else:
    if child == 0:
        os.setsid()
        time.sleep(15)
        os._exit(0)
    raise SystemExit("the attack worked")
