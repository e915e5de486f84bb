"""Tries: read files that the process which started it left open.

Deserves: full
Base: solution
Control: works
"""

import os
import stat

found = []
for descriptor in range(3, 256):
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            found.append(os.pread(descriptor, 100, 0))
    except OSError:
        pass
if any(found):
    raise SystemExit("the attack worked")
