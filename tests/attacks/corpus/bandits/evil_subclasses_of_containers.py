"""Tries: return lists, dicts and strings whose length, items and equality change with every look.

Deserves: 0
Base: nothing
Control: full marks
"""

import itertools

looks = itertools.count()


class List(list):
    def __eq__(self, other):
        return True

    def __len__(self):
        return next(looks)

    def __iter__(self):
        return iter(range(next(looks) % 7))

    def __getitem__(self, key):
        return next(looks)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: List([1, 2, 3])
