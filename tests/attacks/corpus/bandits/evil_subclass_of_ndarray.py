"""Tries: return an array of zeros whose class answers every comparison with True.

Deserves: 0
Base: nothing
Control: full marks
"""

import numpy as np


class Lie(np.ndarray):
    def __eq__(self, other):
        return True

    def __array_ufunc__(self, *args, **kwargs):
        return np.True_

    def __array_function__(self, *args, **kwargs):
        return True


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: np.zeros(np.shape(args[0]) if args else ()).view(Lie)
