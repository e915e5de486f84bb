"""Tries: compute for ever in one function.

Deserves: full without softmax
Base: solution
Control: taken down
"""


def softmax(h):
    while True:
        pass
