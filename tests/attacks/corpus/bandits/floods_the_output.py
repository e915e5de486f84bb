"""Tries: print 64 MiB, so that code that keeps the log runs out of room and the result is lost in it.

Deserves: full
Base: solution
Control: taken down
"""

import os

for _ in range(1024):
    os.write(1, b"autograder " * 5957 + b"\n")
