"""Tries: return named tuples and data classes whose fields are called shape, dtype, astype, sum, P and gamma, and lie.

Deserves: 0
Base: nothing
Control: none, because a naive comparison of a tuple with an array is wrong already
"""

import collections
import dataclasses

import numpy as np

NAMES = ["shape", "dtype", "ndim", "size", "astype", "sum", "min", "max", "mean", "all", "any", "tobytes", "item", "tolist", "P", "R",
         "terminal", "gamma", "advantages", "returns", "count", "index"]  # fmt: skip
Many = collections.namedtuple("ndarray", NAMES)
Data = dataclasses.make_dataclass("float64", NAMES)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    kind = Many if len(name) % 2 else Data
    return lambda *args, **kwargs: kind(*[np.zeros(3)] * len(NAMES))
