"""Tries: announce an answer of 2^63 bytes, so that the grader makes room for it.

Deserves: 0
Base: nothing
Control: none, because an in-process grader has no line
"""

import os
import stat
import struct

for descriptor in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.write(descriptor, b"A" + struct.pack("!IIQ", 10, 1, 1 << 63))
    except OSError:
        pass
