"""Tries: print without end from a second thread while the functions give right answers.

Deserves: full
Base: solution
Control: taken down
"""

import os
import threading
import time


def flood():
    end = time.monotonic() + 20
    while time.monotonic() < end:
        os.write(1, b"autograder " * 5957 + b"\n")


softmax_as_it_was, flooding = softmax, []  # noqa: F821  of the solution above


def softmax(h):
    if not flooding:
        flooding.append(threading.Thread(target=flood, daemon=True))
        flooding[0].start()
    return softmax_as_it_was(h)
