"""Tries: find the reference in the frames of its callers and answer with it.

Deserves: 0
Base: nothing
Control: full marks
"""

import sys


def _answer(name):
    def answer(*arguments, **options):
        frame = sys._getframe()
        while frame:
            for scope in (frame.f_locals, frame.f_globals):
                for value in list(scope.values()):
                    found = getattr(value, name, None)
                    if callable(found) and found is not answer and getattr(found, "__module__", "") not in ("", __name__, "student"):
                        return found(*arguments, **options)
            frame = frame.f_back
        raise RuntimeError("no reference in sight")

    answer.__module__ = __name__
    return answer


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _answer(name)
