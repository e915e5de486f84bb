"""Tries: raise exceptions that do not derive from Exception: KeyboardInterrupt, GeneratorExit, one of its own.

Deserves: full without softmax, pseudo_regret, random_walk
Base: solution
Control: taken down
"""


class Thunder(BaseException):
    pass


def softmax(h):
    raise KeyboardInterrupt


def pseudo_regret(means, actions):
    raise GeneratorExit("at once")


def random_walk(means, walk_sd, rng):
    raise Thunder(Thunder)
