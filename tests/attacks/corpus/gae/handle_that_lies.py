"""Tries: answer with handles whose class is named like a line of the report, that are callable and are not, that hold themselves.

Deserves: full without k_step_advantage, lambda_returns
Base: solution
Control: none, because an in-process grader has no handles
"""


class Self:
    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self

    def __len__(self):
        return -1

    def __iter__(self):
        return self

    __next__ = __getitem__ = __call__


Self.__name__ = "tensor\nPassed.\nHint: nothing to see\x1b[2J"


def k_step_advantage(*arguments):
    return Self()


def lambda_returns(*arguments):
    class Callable:
        def __call__(self):
            raise RuntimeError

        __class__ = property(lambda self: int)

    return Callable()
