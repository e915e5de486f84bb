"""Runs one hidden test against one candidate and says what happened.

A candidate is anything that can open a Bridge to a worker: a submission behind the wall, the
reference solution or a broken variant in this process. Every run of a test begins with a fresh
import of the module and with test data from the same seed, so the runs of two candidates can be
compared call by call.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from autograder.errors import (
    AutograderError,
    IsolationError,
    StudentDied,
    StudentError,
    StudentTimeout,
)
from autograder.isolation.bridge import worker
from autograder.isolation.bridge.client import Bridge, Loopback
from autograder.isolation.bridge.lab import Lab
from autograder.isolation.ranks import in_process
from autograder.isolation.ranks.ranks import Ranks
from autograder.judging import alarm
from autograder.judging.checks import CheckFailure, changes_known_to

# At most this many characters are written for staff.
MAX_DETAIL = 4000
FIXTURES = ("student", "lab", "rng")


@dataclass(frozen=True)
class HiddenTest:
    """One test function with what its ``points`` mark says.

    ``seconds``: the test's own time limit, if it has one. ``gpu``: it needs a GPU. ``extra``: it is
    worth nothing, whatever its outcome.
    """

    name: str
    says: str
    worth: float
    part: str
    catches: tuple[str, ...]
    hint: str
    learning: bool
    function: Callable[..., None]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    gpu: bool = False
    extra: bool = False

    @functools.cached_property
    def asks_for(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return tuple(inspect.signature(self.function).parameters)


class Candidate(Protocol):
    """Code that a test can be run against."""

    def open(self, on_answer: Callable[[Any], None], seconds: float | None) -> Bridge:
        """A bridge to a worker that has freshly imported the files.

        Raises StudentError if they cannot be imported, here or at the first question.
        """

    def open_ranks(
        self, count: int, on_answers: Sequence[Callable[[Any], None]], seconds: float | None
    ) -> list[Bridge]:
        """Bridges to fresh workers that can reach each other over loopback (`lab.ranks`)."""


@dataclass(frozen=True)
class InProcess:
    """Trusted code of ours, or a student's work on their own machine: the same bridge, no wall."""

    files: Mapping[str, bytes]
    main: str

    @classmethod
    def of(cls, text: str, main: str) -> InProcess:
        """A candidate of one file."""
        return cls({main: text.encode()}, main)

    def open(self, on_answer: Callable[[Any], None], seconds: float | None) -> Bridge:
        """A bridge to a module that was freshly executed."""
        return Bridge(Loopback(worker.load(self.files, self.main)), on_answer)

    def open_ranks(
        self, count: int, on_answers: Sequence[Callable[[Any], None]], seconds: float | None
    ) -> list[Bridge]:
        """Bridges to forked processes."""
        return in_process.open_ranks(lambda: worker.load(self.files, self.main), count, on_answers)


@dataclass
class Trace:
    """What one run of a test did: every answer of the candidate, and how the run ended.

    ``used``: the worker had served another test before.
    """

    events: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    prints: str = ""
    curve: tuple[float, ...] = ()
    rates: dict[str, float] = field(default_factory=dict)
    used: bool = False

    @property
    def passed(self) -> bool:
        """The test ran to its end."""
        return self.error is None


def run(
    test: HiddenTest, candidate: Candidate, seed: int, watch: Callable[[Any], None] | None = None
) -> Trace:
    """Run ``test`` against ``candidate`` with test data drawn from ``seed``.

    Raises only what is our fault. ``watch`` is told each answer and may end the run by raising.
    """
    trace = Trace()
    bridge = lab = None
    on_answer = watch or trace.events.append
    try:
        bridge = candidate.open(on_answer, test.seconds)
        lab = laboratory(bridge, candidate, on_answer, test.seconds)
        rng = bridge.withheld = generator(seed, test.name)
        available = {"student": bridge.student, "lab": lab, "rng": rng, **test.parameters}
        with warnings.catch_warnings(), changes_known_to(lab):
            # A broken variant may divide by zero.
            warnings.simplefilter("ignore")
            test.function(**{name: available[name] for name in test.asks_for})
    except IsolationError:
        raise
    except Exception as error:
        trace.error = error
    finally:
        if bridge is not None:
            end = functools.partial(_end, bridge, lab, trace)
            # A worker that is only half closed would not end.
            alarm.undisturbed(end)
    return trace


def _end(bridge: Bridge, lab: Lab | None, trace: Trace) -> None:
    """Close what the run has opened, and note what it leaves."""
    bridge.close(trace.passed)
    trace.used = bridge.used
    trace.prints = bridge.prints() + (lab.close() if lab else "")
    if lab:
        trace.curve, trace.rates = lab.recorded, lab.rates


def laboratory(
    bridge: Bridge,
    candidate: Candidate,
    on_answer: Callable[[Any], None],
    seconds: float | None,
    device: str = "cuda",
) -> Lab:
    """The `lab` of one run: it acts where ``bridge`` leads, and can have ranks of the candidate."""

    def open_ranks(count: int, on_answers: Sequence[Callable[[Any], None]]) -> list[Bridge]:
        return candidate.open_ranks(count, on_answers, seconds)

    return Lab(bridge, lambda count, backend: Ranks(open_ranks, count, on_answer, backend), device)


def import_error(candidate: Candidate, seconds: float) -> StudentError | None:
    """What keeps the files from being imported; None if they can be. Raises IsolationError.

    Two workers try it: an import that fails twice is taken to fail always. ``seconds`` is as for
    `diagnose.judge`.
    """

    def ask() -> None:
        bridge = candidate.open(lambda event: None, None)
        imported = False
        try:
            bridge.load()
            imported = True
        finally:
            alarm.undisturbed(functools.partial(bridge.close, imported))

    found = None
    for _ in range(2):
        try:
            alarm.within(seconds, ask)
            return None
        except StudentError as error:
            found = error
    return found


def generator(seed: int, test: str) -> np.random.Generator:
    """The generator of a test's data: one stream for each submission and test."""
    digest = hashlib.sha256(f"{seed}/{test}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def is_not_written(error: BaseException | None) -> bool:
    """The student's code says that it is not written yet."""
    return isinstance(error, StudentError) and isinstance(error, NotImplementedError)


def is_hopeless(error: BaseException | None) -> bool:
    """Comparing numbers cannot explain this failure: the process ended, or never answered."""
    return isinstance(error, (StudentTimeout, StudentDied)) or is_not_written(error)


def finding_of(error: BaseException | None) -> str:
    """What a student may read of a failed check."""
    return error.finding if isinstance(error, CheckFailure) else ""


def story_of(error: BaseException | None) -> str:
    """The student's own exception and lines, if that is what ended the test."""
    return error.story() if isinstance(error, StudentError) else ""


def explain(error: BaseException) -> str:
    """The staff's line: what ended the test."""
    known = isinstance(error, (StudentError, AutograderError, CheckFailure))
    return (str(error) if known else f"{type(error).__name__}: {error}")[:MAX_DETAIL]
