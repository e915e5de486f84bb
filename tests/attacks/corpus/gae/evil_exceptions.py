"""Tries: exceptions that fight back: str() never ends, is huge, raises; args, class and traceback lie; a chain of a thousand causes.

Deserves: full without lambda_returns, explained_variance, k_step_advantage, normalize_advantages
Base: solution
Control: taken down
"""

import os


class Endless(ValueError):
    def __str__(self):
        while True:
            pass


class Huge(ValueError):
    def __str__(self):
        return "x" * (200 << 20)


class Raises(ValueError):
    def __str__(self):
        raise SystemExit("the attack worked")

    __repr__ = __str__

    def __reduce__(self):
        return os._exit, (0,)


class Strange(type):
    __name__ = property(lambda cls: 1 / 0)
    __mro__ = property(lambda cls: 1 / 0)


def lambda_returns(*arguments):
    raise Endless


def explained_variance(values, returns):
    raise Huge if len(values) % 2 else Raises


def k_step_advantage(*arguments):
    raise Strange("Odd", (ValueError,), {"__class__": property(lambda self: 1 / 0), "__traceback__": 5})("odd")


def normalize_advantages(*arguments, **options):
    error = ValueError("last")
    for number in range(1000):
        cause, error = error, ValueError(str(number))
        error.__cause__ = cause
    raise error
