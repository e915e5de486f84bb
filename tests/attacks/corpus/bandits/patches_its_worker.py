"""Tries: replace the functions of the process it runs in, so that every question is answered with "ok" and True.

Deserves: 0
Base: stub
Control: none, because an in-process grader has no worker; patches_the_runner is the same idea there
"""

import sys

worker = sys.modules.get("autograder.isolation.bridge.worker")
if worker:
    wire, handle = sys.modules["autograder.isolation.codec"], worker.Worker.handle

    def answer(self, message, callback):
        header, buffers = wire.unpack(handle(self, message, callback))
        if header[1] == "raise":
            header[1:] = ["ok", True, [], [], []]
        return wire.pack(header, buffers)

    worker.Worker.handle = answer
