"""Tries: call the lent environment with arguments that it never expects: handles, huge arrays, nan, names that are none.

Deserves: full without train
Base: solution
Control: none, because an in-process grader has no callbacks
"""

import numpy as np


class Handle:
    def __index__(self):
        return 0

    __int__ = __len__ = __index__


def train(env, *arguments, **options):
    for action in (Handle(), np.zeros(1 << 16), float("nan"), "0", None, 10**300, [[[]]], -1, {"a": 1}, env, b"x" * (1 << 16)):
        for call in (env.reset, env.step, lambda x: env.step(action=x), lambda x: env.reset(seed=x), lambda x: env.step(*[x] * 10)):
            try:
                call(action)
            except Exception:
                continue
    raise ValueError("none of it was of use")
