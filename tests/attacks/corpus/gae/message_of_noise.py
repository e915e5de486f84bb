"""Tries: write noise on the line to the grader where an answer is expected.

Deserves: 0
Base: nothing
Control: none, because an in-process grader has no line
"""

import os
import random
import stat

noise = random.Random(7).randbytes(100_000)
for descriptor in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.write(descriptor, noise)
    except OSError:
        pass
