"""Tries: kill the process that it was started by.

Deserves: full
Base: solution
Control: taken down
"""

import os
import signal

try:
    os.kill(os.getppid(), signal.SIGKILL)
except OSError:
    pass
