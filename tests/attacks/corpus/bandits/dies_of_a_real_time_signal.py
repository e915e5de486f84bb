"""Tries: end itself with a signal that has no name, which code that reports it must be able to say.

Deserves: full without softmax
Base: solution
Control: taken down
"""

import os


def softmax(h):
    os.kill(os.getpid(), 40)
