"""Tries: say in every answer that parameters of networks have changed: such as are not there, of any name and kind.

Deserves: 0
Base: stub
Control: none, because an in-process grader exchanges no messages
"""

import sys

worker = sys.modules.get("autograder.isolation.bridge.worker")
if worker:
    wire, handle = sys.modules["autograder.isolation.codec"], worker.Worker.handle
    ODD = [[0, "weight", ["l"], None], [[], {}, None, None], ["x"], 5, None, [0, "w", ["T", "float64", [1], None, 0, 0], ["l"]], [10**30] * 4]

    def answer(self, message, callback):
        header, buffers = wire.unpack(handle(self, message, callback))
        return wire.pack([header[0], "ok", 0.0, [], [], [ODD[len(message) % len(ODD)]]], buffers)

    worker.Worker.handle = answer
