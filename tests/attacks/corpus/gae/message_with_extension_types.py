"""Tries: answer with extension types, timestamps, raw maps and byte strings of the message format, which the grader's own library knows.

Deserves: 0
Base: stub
Control: none, because an in-process grader exchanges no messages
"""

import datetime
import sys

worker = sys.modules.get("autograder.isolation.bridge.worker")
if worker:
    import struct

    import msgpack

    ODD = [msgpack.ExtType(1, b"\0"), msgpack.ExtType(5, b"x" * 1000), msgpack.Timestamp(0), datetime.datetime.now(datetime.UTC),
           {"l": 1}, {b"k": {}}, b"l", [b"T", "float64"], ["a", b"<f8", [1], None, 0]]  # fmt: skip
    count = []

    def answer(self, message, callback):
        count.append(1)
        header = msgpack.packb([len(count), "ok", ODD[len(message) % len(ODD)], [], [], []], datetime=True)
        return struct.pack("!II", len(header), 0) + header

    worker.Worker.handle = answer
