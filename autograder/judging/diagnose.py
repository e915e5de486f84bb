"""Judges one test: its verdict, and what is kept of a failure for naming the mistake.

A failed test is run again, with the same data, against the reference solution. A test that even the
reference fails is our mistake, not the student's. `naming` asks, when all tests are done, which
known mistake explains the failures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from functools import cached_property

from autograder.authoring.course import Assignment
from autograder.authoring.given import given_files
from autograder.authoring.markers import bug_of
from autograder.authoring.source import Source
from autograder.errors import IsolationError, SourceError, StudentDied, StudentError, StudentTimeout
from autograder.judging import alarm, hidden_test, relevance
from autograder.judging.checks import CheckFailure
from autograder.judging.evidence import Failure
from autograder.judging.hidden_test import Candidate, HiddenTest, InProcess, Trace
from autograder.model import Outcome, Verdict

AT = "@"  # between a bug and the one function that has it
MOST_RUNS = 3  # of one test: in a used worker, in a fresh one that dies, in another fresh one
UNUSABLE = (
    "What came back could not be used as the handout describes it: check its type, shape and"
    " field names."
)


class AnswerKey:
    """The reference solution and the broken variants of one assignment, ready to be run.

    ``only``: the names of the bugs that are looked for (default: all). Each spelling of a bug is a
    variant of its own, under a name such as "no-discount, 2".
    """

    def __init__(self, assignment: Assignment, only: Collection[str] | None = None) -> None:
        self.source = Source(assignment.solution)
        self.main = assignment.main
        self._proof = assignment.hidden_tests.with_name("proof.json")
        self._several: dict[tuple[str, ...], InProcess | None] = {}
        self._given = given_files(assignment)
        texts = {bug.name: bug.when for bug in self.source.bugs}
        # By the name of each spelling, when one makes the mistake.
        self.texts = {
            spelling: texts[bug_of(spelling)]
            for spelling in self.source.spellings
            if only is None or bug_of(spelling) in only
        }

    def candidate(self, text: str) -> InProcess:
        """A trusted text of the main file, with the given modules beside it."""
        return InProcess({self.main: text.encode()} | self._given, self.main)

    @cached_property
    def reference(self) -> InProcess:
        """The solution."""
        return self.candidate(self.source.solution())

    @cached_property
    def broken(self) -> dict[str, InProcess]:
        """The solution with one known bug, by the name of its spelling."""
        return {name: self.candidate(self.source.broken(name)) for name in self.texts}

    @cached_property
    def changed(self) -> dict[str, frozenset[str] | None]:
        """By the same names, the functions that are changed; None: something else."""
        return {name: self.source.changed(name) for name in self.texts}

    def calls(self) -> AbstractContextManager[set[str]]:
        """The functions of the solution that are called in this context (`relevance.calls`)."""
        return relevance.calls(self.main, self.source.solution())

    def within_reach(self, called: set[str]) -> dict[str, InProcess]:
        """The broken variants that a test can tell from the solution when it calls these."""
        return {
            name: variant
            for name, variant in self.broken.items()
            if relevance.can_tell(called, self.changed[name])
        }

    @cached_property
    def kills(self) -> dict[str, set[str]]:
        """By the same names, the tests that fail, as a proof has shown; {} without one."""
        try:
            kills = json.loads(self._proof.read_text(encoding="utf-8"))["kills"]
            return {str(bug): set(map(str, tests)) for bug, tests in kills.items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}

    @cached_property
    def public(self) -> frozenset[str]:
        """The functions and classes that the solution offers."""
        return frozenset(relevance.offered(self.source.solution()))

    def variant(self, bugs: Sequence[str]) -> InProcess | None:
        """The solution with these bugs; None where two of them change the same statement, or are
        spellings of one bug.

        ``bug@function``: one function or class alone has the bug, with all that it calls.
        """
        if len(bugs) == 1 and bugs[0] in self.broken:
            return self.broken[bugs[0]]
        name = tuple(sorted(bugs))
        if len({bug_of(bug) for bug in bugs}) < len(bugs):
            return None
        if name not in self._several:
            try:
                text = (
                    self._in_one_place(*name[0].split(AT))
                    if AT in name[0]
                    else self.source.broken(*name)
                )
                self._several[name] = self.candidate(text)
            except SourceError:
                self._several[name] = None
        return self._several[name]

    def _in_one_place(self, bug: str, function: str) -> str:
        """The solution, with a function that comes from the broken variant."""
        return (
            f"{self.source.solution()}\n\n_other = {{'__name__': __name__}}\n"
            f"exec({self.source.broken(bug)!r}, _other)\n{function} = _other[{function!r}]\n"
        )


def judge(
    test: HiddenTest,
    candidate: Candidate,
    seed: int,
    key: AnswerKey,
    seconds: float = 3600.0,
    reference: Candidate | None = None,
    alive: Callable[[], None] = lambda: None,
    keep: Callable[[Failure], None] = lambda failure: None,
) -> Outcome:
    """Run one hidden test against a submission, and say what is known about it.

    ``seconds``: how long the grader may compute or wait. ``reference``: the solution where it must
    not run in this process. ``alive`` is called now and then while a worker computes. ``keep`` is
    given a failure that known mistakes may explain (`naming.name_mistakes`).
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
    with key.calls() as called:
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
        if failure := Failure.of(test, seed, trace, right, called):
            keep(failure)
    return outcome


def _run(
    seconds: float, test: HiddenTest, candidate: Candidate, seed: int, alive: Callable[[], None]
) -> Trace:
    """Run a test until its failure is the submission's own, three times at most.

    A failure counts in a worker that has served no earlier test. The death of a process counts if
    it happens twice: one that ends by its own doing ends again, and a machine's mishap does not.
    """

    def once() -> Trace:
        try:
            return alarm.within(seconds, lambda: hidden_test.run(test, candidate, seed), alive)
        except StudentTimeout as error:
            # It rang between the test and its end, say while the worker was closed.
            return Trace(error=error, used=True)

    deaths = 0
    for _ in range(MOST_RUNS):
        trace = once()
        died = isinstance(trace.error, StudentDied)
        deaths += died
        if trace.passed or deaths == 2 or not (trace.used or died):
            break
    return trace


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
