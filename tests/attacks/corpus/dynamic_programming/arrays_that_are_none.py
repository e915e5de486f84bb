"""Tries: answer with arrays of objects, structured, ragged, masked and read-only arrays, dates, and booleans that are neither 0 nor 1.

Deserves: 0
Base: nothing
Control: none, because the naive grader refuses them as well
"""

import itertools

import numpy as np

KINDS = [
    lambda: np.array([object(), None, [1, 2]], dtype=object),
    lambda: np.zeros(3, dtype=[("a", float), ("b", int)]),
    lambda: np.ma.masked_all(3),
    lambda: np.array(["2027-01-01"], dtype="datetime64[s]"),
    lambda: np.frombuffer(b"\x02\x03\xff", dtype=bool),
    lambda: np.broadcast_to(np.nan, (6, 4)),
    lambda: np.zeros((6, 4), dtype=np.complex128) + np.nan * 1j,
    lambda: np.zeros(3, dtype=np.longdouble),
    lambda: np.array("text"),
    lambda: np.lib.stride_tricks.as_strided(np.zeros(1), (2**20, 2**10), (0, 0)),
]
turn = itertools.cycle(KINDS)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: next(turn)()
