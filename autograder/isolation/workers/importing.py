"""In a worker: an import that computes for too long says which line was running."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class OutOfTimeError(BaseException):
    """The CPU seconds of a worker are used up; the kernel will kill it in a moment."""


OUT_OF_TIME = OutOfTimeError.__name__


def in_time(load: Callable[[], Result], seconds: float) -> Result:
    """Import by ``load``. OutOfTimeError is raised in the import after ``seconds`` of CPU time.

    The kernel tells it by a signal (RLIMIT_CPU's soft limit), which ends the worker later on.
    """

    def raise_it(number: int, frame: Any) -> None:
        raise OutOfTimeError(f"more than {seconds:g} seconds of computing")

    signal.signal(signal.SIGXCPU, raise_it)
    try:
        return load()
    finally:
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
