"""Tries: return an int that is every arm at once: it equals everything and hides its value.

Deserves: 0
Base: nothing
Control: full marks
"""


class Lie(int):
    def _yes(self, *args):
        return True

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _yes
    __hash__ = int.__hash__

    def __index__(self):
        return 0


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: Lie(10**30)
