"""Tries: send 8 MB once and refer to them 400 times, so that the grader's memory holds 3.2 GB.

Deserves: 0
Base: solution
Control: none, because an in-process grader has no line
"""

import sys

worker = sys.modules.get("autograder.isolation.bridge.worker")
if worker:
    wire, handle = sys.modules["autograder.isolation.codec"], worker.Worker.handle
    block = bytes(8_000_000)

    def answer(self, message, callback):
        header, _ = wire.unpack(handle(self, message, callback))
        is_handle = isinstance(header[2], list) and header[2][:1] == ["h"]
        if header[1] == "ok" and not is_handle:
            header[2] = ["l", *([["a", "<f8", [1_000_000], None, 0]] * 400)]
            return wire.pack(header, [block])
        return handle(self, message, callback)

    worker.Worker.handle = answer
