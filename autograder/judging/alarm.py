"""A time limit for what runs in this process, and what it must not interrupt."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar

from autograder.errors import StudentTimeout

RING_AGAIN = 1.0  # seconds
Result = TypeVar("Result")


def within(seconds: float, function: Callable[[], Result]) -> Result:
    """The function's result. Raises StudentTimeout after ``seconds``, say when a test walks through an endless answer.

    It rings again every second, for code that swallows the first one. No context manager: an alarm that rings while one is entered or
    left would stay set.
    """
    over = False

    def ring(signal_number: int, frame: Any) -> None:
        if not over:
            raise StudentTimeout(
                "Timeout", f"the test did not come to an end within {seconds:g} seconds"
            )

    before = signal.getitimer(signal.ITIMER_REAL)
    handler = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, RING_AGAIN)
        return function()
    finally:
        over = True  # first: one that another thread has received is heard a little later
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(
            signal.ITIMER_REAL, *before
        )  # whoever had set the alarm before still has it


def undisturbed(function: Callable[[], None]) -> None:
    """Call it, to its end and once. An alarm that rings meanwhile, or has just rung, is heard afterwards."""
    done = False

    def once() -> None:
        nonlocal done
        function()
        done = True

    try:
        _without_alarms(once)
    except (
        StudentTimeout
    ):  # it had rung before alarms were held back; the next one is RING_AGAIN away
        if not done:
            _without_alarms(once)
        raise


def _without_alarms(function: Callable[[], None]) -> None:
    if not hasattr(signal, "pthread_sigmask"):  # Windows has no alarms at all
        return function()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        # May raise when it has blocked alarms already: of one that rang before.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        function()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
