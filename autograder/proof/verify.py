"""Looks for shortcomings of an assignment in this process, without the wall.

The solution passes every test, lazy answers pass none, and every known bug is caught and named.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autograder.authoring.course import Assignment
from autograder.authoring.markers import bug_of
from autograder.authoring.yaml_file import guess
from autograder.judging import alarm, hidden_test, plugin
from autograder.judging.answers import RTOL, gives_the_numbers_of
from autograder.judging.diagnose import AnswerKey
from autograder.judging.evidence import Telling, indistinguishable, telling
from autograder.judging.hidden_test import Candidate, HiddenTest, Trace
from autograder.proof.lazy import LAZY, Lazy
from autograder.proof.public import run_public_tests

# The solution must pass on each of these draws; the bugs are tested on the first.
SEEDS = (0, 1, 2)
LEARNING_SHARE = 0.25
SECONDS = 20.0
Say = Callable[[str], None]


@dataclass
class Verification:
    """What was found. ``shortcomings`` is empty when nothing is missing."""

    assignment: Assignment
    tests: list[HiddenTest] = field(default_factory=list)
    # Every spelling of every bug.
    bugs: list[str] = field(default_factory=list)
    # (test, bug) -> True if the test fails. Of a further spelling, not every test is known.
    kills: dict[tuple[str, str], bool] = field(default_factory=dict)
    named: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    shortcomings: list[str] = field(default_factory=list)

    @property
    def exact(self) -> list[HiddenTest]:
        """The tests that broken variants are run against."""
        return [test for test in self.tests if not test.learning]


def verify(
    assignment: Assignment, tell: Callable[[str], None] = lambda line: None, draws: int = 0
) -> Verification:
    """Look for all shortcomings, also on this many further ``draws`` of the test data.

    Learning checks are left to `wall.show`, which runs them anyway.
    """
    # This comes before any test's clock runs: an import that is cut off stays broken.
    for library in assignment.libraries:
        importlib.import_module(library)
    result = Verification(assignment, plugin.collect(assignment.hidden_tests))
    key = AnswerKey(assignment)
    result.bugs = list(key.texts)
    say = result.shortcomings.append
    _check_declarations(result, key, say)
    tell("solution")
    _check_solution(result, key, say)
    tell("stub and lazy answers")
    _check_lazy(result, key, say)
    tell("known bugs")
    _check_bugs(result, key, say)
    if draws:
        tell("further draws")
        _check_draws(result, key, draws, say)
    tell("public tests")
    _check_public_tests(assignment, key, say)
    return result


def _check_declarations(result: Verification, key: AnswerKey, say: Say) -> None:
    parts = set(result.assignment.parts)
    for todo in key.source.todos:
        if todo.part not in parts:
            near = guess(todo.part, parts)
            said = f"assignment.yml has no part '{todo.part}', which its TODO names{near}"
            say(f"{todo.function}: {said}")
    for test in result.tests:
        if test.part not in parts:
            near = guess(test.part, parts)
            say(f"{test.name}: assignment.yml has no part '{test.part}'{near}")
        for bug in sorted(set(test.catches) - set(key.texts)):
            near = guess(bug, key.texts)
            say(f"{test.name} says it catches '{bug}', which the solution does not have{near}")
        if not test.catches and not test.learning:
            say(f"{test.name} catches no bug: a test that cannot fail proves nothing")
    learning = sum(test.worth for test in result.tests if test.learning)
    if learning > LEARNING_SHARE * sum(test.worth for test in result.tests):
        say("learning checks carry more than a quarter of the points")
    declared = {bug for test in result.exact for bug in test.catches}
    for known in key.source.bugs:
        if known.name not in declared:
            say(f"no test says that it catches '{known.name}'")


def _check_solution(result: Verification, key: AnswerKey, say: Say) -> None:
    for test in result.exact:
        for seed in SEEDS:
            error = _run(test, key.reference, seed).error
            if error is not None:
                reason = hidden_test.explain(error)
                say(f"the solution fails {test.name} (seed {seed}): {reason}")


def _check_lazy(result: Verification, key: AnswerKey, say: Say) -> None:
    candidates: dict[str, Candidate] = {"the stub": key.candidate(key.source.stub())}
    candidates |= {
        f"an answer of {name}": Lazy(key.reference, answer) for name, answer in LAZY.items()
    }
    for name, candidate in candidates.items():
        for test in result.exact:
            if _run(test, candidate, SEEDS[0]).passed:
                say(f"{name} passes {test.name}: it needs an anchor")


def _check_bugs(result: Verification, key: AnswerKey, say: Say) -> None:
    runs = _Runs(key, result.exact)
    first = [bug for bug in result.bugs if bug == bug_of(bug)]
    further = [bug for bug in result.bugs if bug != bug_of(bug)]
    for test, bug in itertools.product(result.exact, first):
        if runs.of(test, bug).passed and bug in test.catches:
            say(f"{test.name} says it catches '{bug}' and does not")
    unnamed = _unnamed(result.tests)
    for bug in first:
        _check_bug(result, runs, bug, say)
        if result.named[bug] and bug in unnamed:
            say(f"'{bug}' is declared UNNAMED, and the diagnosis can name it")
    for bug in further:
        # One test that names it is enough. Those of the bug come first.
        for test in sorted(result.exact, key=lambda test: bug_of(bug) not in test.catches):
            runs.of(test, bug)
            if not all(runs.twins(bug).values()):
                break
        _check_bug(result, runs, bug, say)
    for test in result.exact:
        if all(runs.of(test, bug).passed for bug in first):
            say(f"{test.name} fails for no bug")
    result.notes += [
        f"{test} catches '{bug}' and cannot tell it from '{other}', which it does not declare"
        for test, bug, other in indistinguishable(result.exact, runs.references, runs.traces)
    ]


def _check_bug(result: Verification, runs: _Runs, bug: str, say: Say) -> None:
    """Note which tests catch a bug, and whether one of them can name it."""
    twins = runs.twins(bug)
    for test in twins:
        result.kills[test, bug] = True
    result.named[bug] = not all(twins.values())
    if not twins:
        say(f"'{bug}' loses no points")
    elif not result.named[bug] and bug_of(bug) not in _unnamed(result.tests):
        say(_cannot_be_named(bug, twins))


class _Runs:
    """Runs of the exact tests with the solution and with broken variants, each made once."""

    def __init__(self, key: AnswerKey, tests: Sequence[HiddenTest]) -> None:
        self.references: dict[str, Trace] = {}
        self.traces: dict[tuple[str, str], Trace] = {}
        self._near: dict[str, Mapping[str, Candidate]] = {}
        for test in tests:
            with key.calls() as called:
                self.references[test.name] = _run(test, key.reference, SEEDS[0])
            self._near[test.name] = key.within_reach(called)

    def of(self, test: HiddenTest, bug: str) -> Trace:
        """The run of a test with a spelling of a bug."""
        if (test.name, bug) not in self.traces:
            variant = self._near[test.name].get(bug)
            reference = self.references[test.name]
            trace = reference if variant is None else _run(test, variant, SEEDS[0])
            self.traces[test.name, bug] = trace
        return self.traces[test.name, bug]

    def twins(self, bug: str) -> dict[str, list[str]]:
        """By each test that catches the bug, so far as it was run, what gives the same answers.

        That is the solution, or other bugs that fail. An exception is not an answer: any mistake
        may raise the same.
        """
        return {
            test: self._twins(test, bug, trace)
            for (test, ran), trace in self.traces.items()
            if ran == bug and not trace.passed
        }

    def _twins(self, test: str, bug: str, answers: Trace) -> list[str]:
        reference = self.references[test]
        alike = ["the solution"] if gives_the_numbers_of(reference, answers) else []
        if not alike and telling(reference, answers) is Telling.NOTHING:
            alike = ["any code that raises the same exception"]
        others = {
            other: trace
            for (ran, other), trace in self.traces.items()
            if ran == test and bug_of(other) != bug_of(bug) and not trace.passed
        }
        return alike + [
            f"'{other}'" for other, trace in others.items() if gives_the_numbers_of(trace, answers)
        ]


def _unnamed(tests: Sequence[HiddenTest]) -> tuple[str, ...]:
    """What the hidden tests' file calls UNNAMED: bugs whose only effect is an exception."""
    modules = (test.function.__globals__ for test in tests)
    return tuple(next((m["UNNAMED"] for m in modules if "UNNAMED" in m), ()))


def _cannot_be_named(bug: str, twins: Mapping[str, Sequence[str]]) -> str:
    where = "; ".join(
        f"in {test} its answers are those of {' and of '.join(alike)}"
        for test, alike in twins.items()
    )
    return f"'{bug}' is caught, but the diagnosis cannot name it: {where} (to {RTOL:g})"


def _check_draws(result: Verification, key: AnswerKey, draws: int, say: Say) -> None:
    """Test data differ between submissions; the same mistake must lose the same points."""
    seeds = range(len(SEEDS), len(SEEDS) + draws)

    def said(seeds: list[int]) -> str:
        few = ", ".join(map(str, seeds[:5])) + (", ..." if seeds[5:] else "")
        return f"on {len(seeds)} of {draws} further draws (seed {few})"

    for test in result.exact:
        if failed := [seed for seed in seeds if not _run(test, key.reference, seed).passed]:
            say(f"the solution fails {test.name} {said(failed)}")
        for bug in test.catches:
            variant = key.broken.get(bug)
            if variant is None:
                continue
            if passed := [seed for seed in seeds if _run(test, variant, seed).passed]:
                say(f"{test.name} says it catches '{bug}' and does not {said(passed)}")


def _check_public_tests(assignment: Assignment, key: AnswerKey, say: Say) -> None:
    code, output = run_public_tests(assignment, {key.main: key.source.solution().encode()})
    if code != 0:
        say(f"the public tests fail on the solution:\n{output[-1500:]}")
    code, _ = run_public_tests(assignment, {key.main: key.source.stub().encode()}, ("-q", "-x"))
    if code == 0:
        say("the public tests pass on the stub")


def _run(test: HiddenTest, candidate: Candidate, seed: int) -> Trace:
    """One run in this process, ended when it takes too long: a broken variant may never end."""
    return alarm.within(SECONDS, lambda: hidden_test.run(test, candidate, seed))
