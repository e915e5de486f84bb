"""Tries: answer questions that were not asked yet, from a thread that never stops, so that the grader never has to wait.

Deserves: 0
Base: stub
Control: none, because an in-process grader has no line
"""

import os
import stat
import sys
import threading
import time

worker, lines = sys.modules.get("autograder.isolation.bridge.worker"), []
for descriptor in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            lines.append(descriptor)
    except OSError:
        pass


def flood(wire, number):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        number += 1
        left = b"A" + wire.pack([number, "ok", 0.0, [], [], []], [])
        while left:
            try:
                left = left[os.write(lines[0], left) :]
            except BlockingIOError:
                time.sleep(0.001)


if worker and lines:
    wire, handle, floods = sys.modules["autograder.isolation.codec"], worker.Worker.handle, []

    def answer(self, message, callback):
        header, buffers = wire.unpack(handle(self, message, callback))
        if header[1] == "raise":
            header[1:] = ["ok", 0.0, [], [], []]
            if not floods:
                floods.append(threading.Thread(target=flood, args=(wire, header[0]), daemon=True))
                floods[0].start()
        return wire.pack(header, buffers)

    worker.Worker.handle = answer
