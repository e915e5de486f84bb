"""Several workers of one submission as the ranks of one process group: what `lab.ranks(n)` gives.

The test writes a program, a function of (student, rank). It runs once for each rank, side by side,
each against its own worker. A rank whose program has returned cannot join another collective
operation. So ranks that still wait for it after a while are stuck. They are ended, and the test
fails with a sentence that says which rank waits for which.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from autograder.errors import IsolationError, StudentDied, StudentError, StudentTimeout
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.conversation import Listener
from autograder.isolation.bridge.lab import Lab

__tracebackhide__ = True

# A turn is this many seconds of computing in this process; between turns it pauses.
TURN = 0.01
PAUSE = 0.05
# The other ranks get this many turns after one has returned. On a loaded machine a turn takes
# longer, as everything does.
TURNS = 50
TURNS_AFTER_AN_ERROR = 10
# When all ranks wait, a collective gives up after this many seconds.
COLLECTIVE_SECONDS = 10.0
Result = TypeVar("Result")


class LoneRank(StudentError, RuntimeError):
    """A rank waits in a collective operation for another one that will not come."""


class Ranks:
    """Workers in one process group. ``labs[r]`` acts where rank r lives."""

    def __init__(
        self,
        open_ranks: Callable[[int, Sequence[Listener]], list[Bridge]],
        count: int,
        on_answer: Listener,
        backend: str = "gloo",
    ) -> None:
        self._on_answer = on_answer
        self._events: list[list[Any]] = [[] for _ in range(count)]
        self._failure: BaseException | None = None
        self._bridges = open_ranks(count, [lambda event: None] * count)
        self.labs = [Lab(bridge) for bridge in self._bridges]
        try:
            port = self._tool(0, "host", count, COLLECTIVE_SECONDS)
            how = (count, port, COLLECTIVE_SECONDS, backend)
            self.run(lambda student, rank: self._tool(rank, "join", rank, *how))
        except BaseException:
            self.close()
            raise
        for bridge, events in zip(self._bridges, self._events, strict=True):
            bridge.listen(events.append)

    def run(self, program: Callable[[Any, int], Result]) -> list[Result]:
        """Run ``program(student, rank)`` for all ranks at once; the results in order of rank.

        Raises what the first failing rank raised; LoneRank when a rank waits for one that has
        returned.
        """
        if self._failure is not None:
            raise self._failure
        with ThreadPoolExecutor(len(self._bridges)) as pool:
            futures = [
                pool.submit(contextvars.copy_context().run, program, bridge.student, rank)
                for rank, bridge in enumerate(self._bridges)
            ]
            try:
                alone = self._gather(futures)
            except BaseException:
                for bridge in self._bridges:
                    bridge.abort()
                raise
        self._failure = _verdict(futures, alone)
        self._publish(alone)
        if self._failure is not None:
            raise self._failure
        return [future.result() for future in futures]

    def was_changed(self, value: Any) -> bool:
        """Whether this object of the test was changed in a rank in place without permission."""
        return any(bridge.was_changed(value) for bridge in self._bridges)

    def traffic(self, program: Callable[[Any, int], Any]) -> list[list[int]]:
        """For each rank, the bytes of floating tensors in each collective of ``program``."""
        for rank in range(len(self._bridges)):
            self._tool(rank, "start_counting")
        self.run(program)
        return [self._tool(rank, "stop_counting") for rank in range(len(self._bridges))]

    def prints(self) -> str:
        """What the ranks printed."""
        told = [(rank, bridge.prints().rstrip()) for rank, bridge in enumerate(self._bridges)]
        return "".join(f"\n[rank {rank}]\n{text}" for rank, text in told if text)

    def close(self) -> None:
        """End all ranks."""
        for bridge in self._bridges:
            bridge.close()

    def _tool(self, rank: int, name: str, *arguments: Any) -> Any:
        return self._bridges[rank].ask(
            "make", f"autograder.isolation.ranks.group.{name}", arguments, ()
        )

    def _gather(self, futures: list[Future[Result]]) -> list[int]:
        """Wait for all; returns the ranks that were ended because they waited for ended ones."""
        _, pending = wait(futures, return_when=FIRST_COMPLETED)
        while pending:
            done, rest = self._wait_patiently(futures, pending)
            if not done:
                return self._cut_off(futures, pending)
            pending = rest
        return []

    def _wait_patiently(
        self, futures: list[Future[Result]], pending: set[Future[Result]]
    ) -> tuple[set[Future[Result]], set[Future[Result]]]:
        """(those that ended meanwhile, the rest), after a while without a sign of life.

        The while is counted in computing done here: a rank that could go on got as much of the
        processor.
        """
        failed = any(future.done() and future.exception() for future in futures)
        turns, heard = 0, -1
        while turns < (TURNS_AFTER_AN_ERROR if failed else TURNS):
            done, rest = wait(pending, timeout=PAUSE, return_when=FIRST_COMPLETED)
            if done:
                return done, rest
            asked = sum(bridge.asked for bridge in self._bridges)
            turns, heard = (turns + 1 if asked == heard else 0), asked
            until = time.thread_time() + TURN
            while time.thread_time() < until:
                pass
        return set(), pending

    def _cut_off(self, futures: list[Future[Result]], pending: set[Future[Result]]) -> list[int]:
        """End the ranks that have returned. Their sockets close, so ranks waiting for them fail."""
        for bridge, future in zip(self._bridges, futures, strict=True):
            if future not in pending:
                bridge.close()
        wait(pending)
        return [rank for rank, future in enumerate(futures) if future in pending]

    def _publish(self, alone: list[int]) -> None:
        """Pass on what the ranks answered, in order of rank, whatever order they answered in."""
        for rank, events in enumerate(self._events):
            told = list(events)
            events.clear()
            if rank in alone:
                # What it raised when it was cut off is not its own answer.
                told = told[:-1] if told and told[-1][0] == "raise" else told
                told.append(("alone", rank))
            for event in told:
                self._on_answer(event)


def _verdict(futures: list[Future[Any]], alone: list[int]) -> BaseException | None:
    """Why the program has failed, if it has. ``alone``: the ranks that were cut off."""
    errors = {rank: error for rank, f in enumerate(futures) if (error := f.exception()) is not None}
    own = [error for rank, error in errors.items() if rank not in alone]
    for error in (*own, *errors.values()):
        # Ours, or a check of the test's.
        if isinstance(error, IsolationError) or not isinstance(error, StudentError):
            return error
    if own:
        # When a process ends, the other ranks lose their connections to it: that is not the cause.
        endings = [error for error in own if isinstance(error, (StudentDied, StudentTimeout))]
        return (endings or own)[0]
    if not alone:
        return None
    ended = [rank for rank in range(len(futures)) if rank not in alone]
    frames = [error.frames for error in errors.values() if isinstance(error, StudentError)]
    return LoneRank(
        "LoneRank",
        f"{_named(alone)} in a collective operation that {_named(ended, 'has', 'have')} left "
        "behind: every rank must make the same collective calls in the same order",
        frames[0] if frames else (),
    )


def _named(ranks: list[int], one: str = "waits", many: str = "wait") -> str:
    names = " and ".join(map(str, ranks))
    return f"rank {names} {one}" if len(ranks) == 1 else f"ranks {names} {many}"
