"""Tries: replace the functions of the process it runs in, so that every operation answers "ok" with nothing in it.

Deserves: 0
Base: nothing
Control: none, because an in-process grader has no worker; patches_the_runner is the same idea there
"""

import sys

worker = sys.modules.get("autograder.isolation.worker")
if worker:
    wire = sys.modules["autograder.isolation.wire"]
    worker.Worker.handle = lambda self, message, callback: wire.pack(
        [wire.unpack(message)[0][0], "ok", True, [], []], []
    )


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: True
