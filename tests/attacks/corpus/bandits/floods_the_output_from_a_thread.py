"""Tries: print without end from a second thread while the functions give right answers.

Deserves: full
Base: solution
Control: taken down
"""

import os
import threading
import time

softmax_as_it_was, flooding = softmax, []  # noqa: F821  of the solution above
flooded = threading.Event()


def flood():
    end = time.monotonic() + 20
    for count in range(1 << 30):
        if time.monotonic() > end:
            break
        os.write(1, b"autograder " * 5957 + b"\n")
        if count == 40:
            flooded.set()


def softmax(h):
    if not flooding:
        flooding.append(threading.Thread(target=flood, daemon=True))
        flooding[0].start()
        flooded.wait(5)
    return softmax_as_it_was(h)
