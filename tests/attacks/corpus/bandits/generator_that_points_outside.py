"""Tries: hand generators back whose state points outside of its table, or is of another kind, so that the test's next draw reads foreign memory.

Deserves: anything
Base: solution
Control: none, because an in-process grader's generators are changed in place by numpy itself
"""

import sys

worker = sys.modules.get("autograder.isolation.bridge.worker")
if worker:
    wire, handle, count = sys.modules["autograder.isolation.codec"], worker.Worker.handle, []
    KEY = ["u8", *range(624)]
    STATES = [
        ["g", "MT19937", ["d", ["bit_generator", "state"], ["MT19937", ["d", ["key", "pos"], [KEY, position]]]]]
        for position in (10**7, -(10**7), 625, float("nan"), True, 10**30)
    ]
    STATES += [
        ["g", "Philox", ["d", ["bit_generator", "buffer_pos"], ["Philox", -(10**7)]]],
        ["g", "PCG64", ["d", [], []]],
        ["g", "__init__", None],
    ]

    def answer(self, message, callback):
        header, buffers = wire.unpack(handle(self, message, callback))
        if header[1] == "ok" and header[4]:
            count.append(1)
            header[4] = [[index, STATES[(len(count) + index) % len(STATES)]] for index, _ in header[4]]
        return wire.pack(header, buffers)

    worker.Worker.handle = answer
