"""Tries: an exception whose message and class name cannot be encoded, raised by a function whose name cannot be either.

Deserves: full without softmax, pseudo_regret
Base: solution
Control: taken down
"""


def softmax(h):
    raise ValueError("\ud800\udfff")


def pseudo_regret(means, actions):
    raise type("\ud800", (ValueError,), {})("\udc80 \ud800")


softmax.__code__ = softmax.__code__.replace(co_name="\ud800")
