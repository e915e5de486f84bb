"""Which known mistake gives exactly these wrong numbers.

The failed test is run again, with the same data, against the reference solution and against each
broken variant (trusted code, in this process). A bug is a suspect when its answers, call by call,
are the student's and the reference's are not. A test that even the reference fails is our mistake,
not the student's.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from autograder.authoring.course import Assignment
from autograder.authoring.source import Source
from autograder.errors import IsolationError, StudentDied, StudentError, StudentTimeout
from autograder.isolation.bridge.client import Remote
from autograder.isolation.codec import Record, torch_module
from autograder.judging import alarm, hidden_test, relevance
from autograder.judging.checks import CheckFailure
from autograder.judging.hidden_test import Candidate, HiddenTest, InProcess, Trace
from autograder.model import Mistake, Outcome, Verdict

SETS = (set, frozenset)
UNUSABLE = (
    "What came back could not be used as the handout describes it: check its type, shape and"
    " field names."
)
# The same numbers in double precision, and where single precision is involved.
RTOL, RTOL_SINGLE = 1e-6, 1e-4


class AnswerKey:
    """The reference solution and the broken variants of one assignment, ready to be run.

    ``only``: the names of the bugs that are looked for (default: all).
    """

    def __init__(self, assignment: Assignment, only: Collection[str] | None = None) -> None:
        self.source = Source(assignment.solution)
        self.main = assignment.main
        # What the ranks of such an assignment call cannot be seen from here.
        self._forks = assignment.isolation == "distributed"
        self.texts = {
            bug.name: bug.when for bug in self.source.bugs if only is None or bug.name in only
        }

    @cached_property
    def reference(self) -> InProcess:
        """The solution."""
        return InProcess.of(self.source.solution(), self.main)

    @cached_property
    def broken(self) -> dict[str, InProcess]:
        """The solution with one known bug, by the bug's name."""
        return {name: InProcess.of(self.source.broken(name), self.main) for name in self.texts}

    @cached_property
    def changed(self) -> dict[str, frozenset[str] | None]:
        """By the bug's name, the functions that it changes; None: something else."""
        solution = self.source.solution()
        return {name: relevance.changed(solution, self.source.broken(name)) for name in self.texts}

    def within_reach(self, called: set[str]) -> dict[str, InProcess]:
        """The broken variants that a test can tell from the solution when it calls these."""
        return {
            name: variant
            for name, variant in self.broken.items()
            if self._forks or relevance.can_tell(called, self.changed[name])
        }

    def suspects(
        self,
        test: HiddenTest,
        seed: int,
        student: Trace,
        reference: Trace,
        called: set[str],
        known: Collection[str] = (),
    ) -> tuple[str, ...]:
        """The bugs that fail this test with the student's numbers.

        The ``known`` suspects are tried first. Where one of them repeats the numbers, the others
        are not tried: one mistake fails many tests, `settle` would leave nobody else, and a test
        that trains takes long for every bug.
        """
        if gives_the_numbers_of(reference, student):
            return ()
        near = self.within_reach(called)

        def repeating(names: Collection[str]) -> tuple[str, ...]:
            return tuple(
                name for name in near if name in names and _repeats(test, near[name], seed, student)
            )

        return repeating(known) or repeating(near.keys() - set(known))

    def settle(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Write the mistake into each outcome whose suspects come down to one.

        The suspects of the other failed tests are considered.
        """
        return [dataclasses.replace(o, mistake=self._mistake(o, outcomes)) for o in outcomes]

    def _mistake(self, outcome: Outcome, outcomes: Sequence[Outcome]) -> Mistake | None:
        remaining = set(outcome.suspects)
        for other in outcomes:
            if len(remaining) > 1 and remaining & set(other.suspects):
                remaining &= set(other.suspects)
        if len(remaining) != 1:
            return None
        (bug,) = remaining
        return Mistake(bug, self.texts[bug])


def judge(
    test: HiddenTest,
    candidate: Candidate,
    seed: int,
    key: AnswerKey,
    seconds: float = 3600.0,
    reference: Candidate | None = None,
    known: Collection[str] = (),
    alive: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run one hidden test against a submission, and say what is known about it.

    ``seconds``: how long the grader may compute or wait. ``reference``: the solution where it must
    not run in this process. ``known``: suspects of tests that failed before. ``alive`` is called
    now and then while a worker computes.
    """
    outcome = Outcome(test.name, test.says, test.part, Verdict.PASSED, test.worth, extra=test.extra)
    try:
        trace = _run(seconds, test, candidate, seed, alive)
    except IsolationError as error:
        return dataclasses.replace(outcome, verdict=Verdict.UNGRADED, detail=str(error))
    outcome = dataclasses.replace(outcome, curve=trace.curve, rates=trace.rates)
    if trace.error is None:
        return outcome
    outcome = _failed(outcome, test, trace)
    if test.learning or hidden_test.is_hopeless(trace.error):
        return outcome
    with relevance.calls(key.main) as called:
        right = hidden_test.run(test, reference or key.reference, seed)
    if right.error is not None:
        why = hidden_test.explain(right.error)
        reason = f"the reference solution fails this test on the same data: {why}"
        return dataclasses.replace(outcome, verdict=Verdict.UNGRADED, detail=reason)
    if not isinstance(trace.error, (CheckFailure, StudentError)) and not outcome.finding:
        outcome = dataclasses.replace(outcome, finding=UNUSABLE)
    if test.gpu:
        return outcome
    # The diagnosis is a courtesy: no answer of a student's may end the marking here.
    with contextlib.suppress(Exception):
        suspects = key.suspects(test, seed, trace, right, called, known)
        outcome = dataclasses.replace(outcome, suspects=suspects)
    return outcome


def _run(
    seconds: float, test: HiddenTest, candidate: Candidate, seed: int, alive: Callable[[], None]
) -> Trace:
    """Run a test, and once more where something else than the submission may have failed it.

    That is so where the worker had served an earlier test, and where the process died: one that
    ends by its own doing ends again, and a machine's mishap does not happen twice.
    """

    def once() -> Trace:
        try:
            return alarm.within(seconds, lambda: hidden_test.run(test, candidate, seed), alive)
        except StudentTimeout as error:
            # It rang between the test and its end, say while the worker was closed.
            return Trace(error=error, used=True)

    trace = once()
    again = isinstance(trace.error, StudentDied) or (trace.used and not trace.passed)
    return once() if again else trace


def _failed(outcome: Outcome, test: HiddenTest, trace: Trace) -> Outcome:
    """The outcome of a test that did not pass, before any diagnosis."""
    error = trace.error
    unwritten = hidden_test.is_not_written(error)
    return dataclasses.replace(
        outcome,
        verdict=Verdict.NOT_WRITTEN if unwritten else Verdict.FAILED,
        hint=test.hint,
        finding=hidden_test.finding_of(error),
        error=hidden_test.story_of(error),
        limit=error.limit if isinstance(error, StudentTimeout) else None,
        prints=trace.prints,
        detail=hidden_test.explain(error) if error else "",
    )


def _repeats(test: HiddenTest, candidate: Candidate, seed: int, student: Trace) -> bool:
    """The broken variant fails the test with the student's answers.

    It is given up at the first answer that differs.
    """

    class Differs(Exception):
        pass

    heard = 0

    def compare(event: Any) -> None:
        nonlocal heard
        heard += 1
        if heard <= len(student.events) and not _same(event, student.events[heard - 1]):
            raise Differs

    replay = hidden_test.run(test, candidate, seed, compare)
    return (
        not replay.passed and not isinstance(replay.error, Differs) and heard >= len(student.events)
    )


def gives_the_numbers_of(variant: Trace, student: Trace) -> bool:
    """Every answer of the student up to the failure is the variant's."""
    if len(variant.events) < len(student.events):
        return False
    return all(
        _same(one, other) for one, other in zip(variant.events, student.events, strict=False)
    )


def _same(one: Any, other: Any) -> bool:
    """Equal up to rounding, in whatever precision and containers of the same numbers."""
    if isinstance(one, Remote) or isinstance(other, Remote):
        return isinstance(one, Remote) and isinstance(other, Remote)
    if isinstance(one, Record) and isinstance(other, Record):
        one, other = vars(one), vars(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if _is_generator(one) or _is_generator(other):
        # How many draws a solution takes is its own affair.
        return type(one) is type(other)
    if getattr(one, "requires_grad", None) != getattr(other, "requires_grad", None):
        return False
    first, second = _array(one), _array(other)
    if first is None or second is None:
        return type(one) is type(other) and (
            one == other if isinstance(one, SETS) else str(one) == str(other)
        )
    return _same_numbers(first, second)


def _same_numbers(first: Any, second: Any) -> bool:
    if first.shape != second.shape:
        return False
    if "f" not in (first.dtype.kind, second.dtype.kind):
        return bool(np.array_equal(first, second))
    single = any(a.dtype.kind == "f" and a.dtype.itemsize < 8 for a in (first, second))
    rtol = RTOL_SINGLE if single else RTOL
    scale = float(np.max(np.abs(second[np.isfinite(second)]), initial=0.0))
    return bool(np.allclose(first, second, rtol=rtol, atol=rtol * scale, equal_nan=True))


def _is_generator(value: Any) -> bool:
    torch = torch_module()
    return isinstance(value, np.random.Generator) or (
        torch is not None and isinstance(value, torch.Generator)
    )


def _array(value: Any) -> Any:
    torch = torch_module()
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy()
    if isinstance(value, (np.ndarray, np.generic, bool, int, float)):
        array = np.asarray(value)
        # Integers of more than 64 bits are compared as text.
        return array if array.dtype.kind in "biufc" else None
    return None
