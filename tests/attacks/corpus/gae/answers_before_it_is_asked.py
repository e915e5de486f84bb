"""Tries: send answers to questions that were not asked yet, from a thread that never stops, so that the grader never waits.

Deserves: 0
Base: solution
Control: none, because an in-process grader has no line
"""

import os
import stat
import sys
import threading
import time

worker = sys.modules.get("autograder.isolation.worker")
lines = []
for descriptor in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            lines.append(descriptor)
    except OSError:
        pass


def flood(model):
    wire = sys.modules["autograder.isolation.wire"]
    header, buffers = wire.unpack(model)
    end, number = time.monotonic() + 30, header[0] + 1
    while time.monotonic() < end:
        left = b"A" + wire.pack([number, *header[1:]], buffers)
        while left:
            try:
                left = left[os.write(lines[0], left) :]
            except BlockingIOError:
                time.sleep(0.001)
        number += 1


if worker and lines:
    handle = worker.Worker.handle

    def answer(self, message, callback):
        model = handle(self, message, callback)
        if sys.modules["autograder.isolation.wire"].unpack(message)[0][0] == 2:
            threading.Thread(target=flood, args=(model,), daemon=True).start()
        return model

    worker.Worker.handle = answer
