"""Tries: send answers to questions that were not asked yet, from a thread that never stops, so that the grader never waits.

Deserves: 0
Base: nothing
Control: none, because an in-process grader has no line
"""

import os
import stat
import sys
import threading
import time

wire = sys.modules.get("autograder.isolation.wire")
lines = []
for descriptor in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            lines.append(descriptor)
    except OSError:
        pass


def flood():
    end, number = time.monotonic() + 30, 1
    while time.monotonic() < end:
        left = b"A" + wire.pack([number, "ok", ["h", 1, "f", True], [], []], [])
        while left:
            try:
                left = left[os.write(lines[0], left) :]
            except BlockingIOError:
                time.sleep(0.001)
        number += 1


if wire and lines:
    threading.Thread(target=flood, daemon=True).start()
    flood()
