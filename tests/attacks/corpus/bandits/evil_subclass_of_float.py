"""Tries: return a float that is a NaN, equals everything, and lies in every operation.

Deserves: 0
Base: nothing
Control: full marks
"""


class Lie(float):
    def _yes(self, *args):
        return True

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = _yes
    __hash__ = float.__hash__

    def _zero(self, *args):
        return 0.0

    __sub__ = __rsub__ = __abs__ = __float__ = _zero


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: Lie("nan")
