"""Tries: infinities, NaN and huge numbers where closeness is computed: nan == nan, inf - inf, overflow to equality.

Deserves: 0
Base: nothing
Control: none, because no trick is needed to be wrong: this is about checks that take nan for close
"""

import itertools

import numpy as np

turn = itertools.cycle([np.nan, np.inf, -np.inf, 1e308, 2**70, 10**400, -0.0])


def fill(shape):
    number = next(turn)
    return np.full(shape, number) if shape and number < 1e309 else number


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: fill(np.shape(args[0])) if args and isinstance(args[0], np.ndarray) else next(turn)
