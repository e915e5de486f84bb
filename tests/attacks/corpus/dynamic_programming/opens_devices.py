"""Tries: open devices for writing, the terminal and graphics cards among them, and turn the clock.

Deserves: full
Base: solution
Control: works
"""

import os
import time

found = []
for name in ("/dev/full", "/dev/tty", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/kvm", "/dev/nvidia0", "/dev/ptmx"):
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_NOCTTY))
        found.append(name)
    except OSError:
        pass
try:
    time.clock_settime(time.CLOCK_REALTIME, time.time())  # sets what is the time already
    found.append("clock")
except OSError:
    pass
if found:
    raise SystemExit("the attack worked")
