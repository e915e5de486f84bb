"""Tries: a segmentation fault in the middle of a call.

Deserves: full without softmax
Base: solution
Control: taken down
"""

import ctypes


def softmax(h):
    ctypes.string_at(0)
