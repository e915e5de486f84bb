"""Tries: announce an answer of 200 MiB and send it a byte at a time.

Deserves: 0
Base: nothing
Control: none, because an in-process grader has no line
"""

import os
import stat
import struct
import time

for descriptor in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.write(descriptor, b"A" + struct.pack("!IIQ", 10, 1, 200 << 20))
            for _ in range(3000):
                time.sleep(0.1)
                os.write(descriptor, b"\x90")
    except OSError:
        pass
