"""Tries: close every descriptor, the line to the grader among them, and live on in silence.

Deserves: full without softmax
Base: solution
Control: taken down
"""

import os
import time


def softmax(h):
    for descriptor in range(256):
        try:
            os.close(descriptor)
        except OSError:
            pass
    time.sleep(20)
    os._exit(0)
