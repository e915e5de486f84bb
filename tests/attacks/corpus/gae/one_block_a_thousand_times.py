"""Tries: send 8 MB once and refer to them 400 times, so that the grader's memory holds 3.2 GB.

Deserves: 0
Base: nothing
Control: none, because an in-process grader has no line
"""

import sys

worker = sys.modules.get("autograder.isolation.worker")
if worker:
    wire = sys.modules["autograder.isolation.wire"]
    block = bytes(8_000_000)

    def answer(self, message, callback):
        number = wire.unpack(message)[0][0]
        if number == 1:
            return wire.pack([number, "ok", ["h", 1, "function", True], [], []], [])
        return wire.pack([number, "ok", ["l", *([["a", "<f8", [1_000_000], None, 0]] * 400)], [], []], [block])

    worker.Worker.handle = answer
