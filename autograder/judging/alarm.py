"""A time limit for what runs in this process, and what it must not interrupt."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any, TypeVar

from autograder.errors import Limit, StudentTimeout
from autograder.isolation.times import LOOK_SECONDS
from autograder.isolation.workers import meter

# Seconds until an alarm may ring again.
SOONEST = 0.001
Result = TypeVar("Result")


def within(
    seconds: float, function: Callable[[], Result], alive: Callable[[], None] = lambda: None
) -> Result:
    """The function's result. Raises StudentTimeout, say when a test walks over an endless answer.

    ``seconds`` limits how long this process may compute, and how long it may wait. The time in
    which one of its workers computes is not counted, because the worker has its own limit.
    ``alive`` is called now and then while a worker computes. The alarm rings again after it has
    raised, for code that swallows the first one. This is not a context manager: an alarm that rings
    while one is entered or left would stay set.
    """
    over = False
    watch = meter.Meter(meter.running_workers)
    begun = time.process_time()

    def ring(signal_number: int, frame: Any) -> None:
        if over:
            return
        if watch.look():
            alive()
        computed = time.process_time() - begun
        left = seconds - max(computed, watch.waited)
        soon = min(max(left, SOONEST), LOOK_SECONDS) if left > 0 else LOOK_SECONDS
        signal.setitimer(signal.ITIMER_REAL, soon, LOOK_SECONDS)
        if left <= 0:
            limit = Limit.COMPUTING if computed >= seconds else Limit.WAITING
            raise StudentTimeout(
                "Timeout",
                f"the test did not come to an end within {seconds:g} seconds of {limit.value}",
                limit=limit,
            )

    before = signal.getitimer(signal.ITIMER_REAL)
    handler = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, min(seconds, LOOK_SECONDS), LOOK_SECONDS)
        return function()
    finally:
        # This comes first: an alarm that another thread has received is handled a little later.
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        # An alarm that was set before this one is set again.
        signal.setitimer(signal.ITIMER_REAL, *before)


def undisturbed(function: Callable[[], None]) -> None:
    """Call it once, to its end. An alarm that rings meanwhile is handled afterwards."""
    done = False

    def once() -> None:
        nonlocal done
        function()
        done = True

    try:
        _without_alarms(once)
    except StudentTimeout:
        # The alarm had rung before alarms were held back. The next one is LOOK_SECONDS away.
        if not done:
            _without_alarms(once)
        raise


def _without_alarms(function: Callable[[], None]) -> None:
    # Windows has no alarms at all.
    if not hasattr(signal, "pthread_sigmask"):
        return function()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        # This may raise after it has blocked alarms, because of an alarm that rang before.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        function()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
