"""The worker that a test leaves to the next one.

Forking a worker costs ten times what most tests do in it. So a worker whose test has passed may
serve the next test. For that it imports the submission again and sets the global generators as
they were (life.converse). No points are lost by this: a test that does not pass ends its worker,
and `judge` repeats it in a fresh one if that worker had been used before.
"""

from __future__ import annotations

import time

from autograder.isolation.limits import Limits
from autograder.isolation.times import REUSED_WORKER_SHARE
from autograder.isolation.workers.channel import ProcessChannel


class ReusedWorker:
    """At most one worker of one submission. If not ``wanted``, each test gets a new worker."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._channel: ProcessChannel | None = None
        self._failed_when_used = False

    @property
    def waiting(self) -> ProcessChannel | None:
        """The worker that waits for a next test, if there is one."""
        return self._channel

    def take(self, limits: Limits) -> ProcessChannel | None:
        """The worker, ready for a test with these limits; None if there is none."""
        channel, self._channel = self._channel, None
        return channel if channel is not None and channel.begin_anew(limits) else None

    def leave(self, channel: ProcessChannel, passed: bool) -> bool:
        """A test has ended; True if the next one may reuse the worker, False if it is to end.

        If a test has failed in a used worker and passes in a fresh one, the submission leaves state
        behind. From then on every one of its tests gets a fresh worker.
        """
        if self._failed_when_used and passed:
            self._wanted = False
        self._failed_when_used = channel.used and not passed
        worn = time.monotonic() - channel.born > REUSED_WORKER_SHARE * channel.limits.call_seconds
        if not self._wanted or not passed or worn:
            return False
        self._channel = channel
        return True

    def close(self) -> None:
        """End the worker."""
        if self._channel is not None:
            self._channel.finish()
            self._channel = None
