"""Tries: give the lent environment objects of its own whose length, items and shape the grader would have to ask for while the worker waits.

Deserves: full without train
Base: solution
Control: none, because an in-process grader has no callbacks
"""

import itertools


class Thing:
    shape, dtype, ndim = (1,), "O", 0

    def __len__(self):
        return 1

    def __getitem__(self, key):
        return Thing()

    def __iter__(self):
        return itertools.repeat(self)

    def __call__(self, *arguments, **options):
        return self

    __index__ = __len__


def train(env, *arguments, **options):
    for call, thing in itertools.product((env.step, lambda x: env.reset(seed=x), lambda x: env.step([x, [x]])), (Thing(), Thing, Thing().__len__, iter(Thing()))):
        try:
            call(thing)
        except Exception:
            continue
    raise ValueError("none of it was of use")
