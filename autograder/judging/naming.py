"""Which known mistakes a submission has made: those that are consistent with all of its tests.

A bug is named when it explains a failed test with numbers, when no failed test contradicts it, and
when the submission passes no test that the bug is known to fail. Where no single bug explains a
failed test, two at once are tried. A bug that other failed tests contradict is told as what it is:
numbers that agree in this test. So is one that explains fewer of the failed tests that it bears on
than are left unexplained.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from autograder.authoring.markers import bug_of
from autograder.judging.diagnose import AT, AnswerKey, judge
from autograder.judging.evidence import Failure, Failures, Fit, Telling
from autograder.judging.hidden_test import Candidate, HiddenTest, run
from autograder.model import Basis, Mistake, Outcome, Verdict

LEAST_SECONDS = 1.0  # of CPU time that looking for pairs may take in any case
# One bug, or two at once. Until they are told, spellings count as bugs of their own.
Bugs = tuple[str, ...]
Explained = dict[Bugs, frozenset[str]]  # by what is assumed, the failed tests that it explains


def name_mistakes(
    key: AnswerKey,
    tests: Sequence[HiddenTest],
    outcomes: Sequence[Outcome],
    failures: Sequence[Failure],
    seconds: float = 0.0,
    alive: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """The outcomes with the mistakes that explain them.

    ``seconds`` of CPU time may be spent on looking for pairs of bugs: as much as the tests of the
    submission took. ``alive`` is called before each run.
    """
    passed = {outcome.test for outcome in outcomes if outcome.verdict is Verdict.PASSED}
    case = _Case(key, tests, passed, failures, alive)
    named = _named(case, seconds)
    return [_told(case, outcome, named) for outcome in outcomes]


def examine(
    key: AnswerKey, tests: Sequence[HiddenTest], candidate: Candidate, seed: int
) -> list[Outcome]:
    """Judge all tests in this process, and name the mistakes."""
    failures = Failures()
    outcomes = [judge(test, candidate, seed, key, keep=failures.add) for test in tests]
    return name_mistakes(key, tests, outcomes, failures.kept)


class _Case:
    """The failures of one submission, and what each bug has to do with them.

    Every run is remembered.
    """

    def __init__(
        self,
        key: AnswerKey,
        tests: Sequence[HiddenTest],
        passed: Collection[str],
        failures: Sequence[Failure],
        alive: Callable[[], None],
    ) -> None:
        self.key = key
        self.failures = {failure.test.name: failure for failure in failures}
        self._tests = {test.name: test for test in tests if not (test.learning or test.gpu)}
        # Which tests say that they catch a bug.
        self._declared: dict[str, set[str]] = defaultdict(set)
        for name, test in self._tests.items():
            for bug in test.catches:
                self._declared[bug].add(name)
        self._passed = passed
        self._alive = alive
        self._fits: dict[tuple[str, Bugs], Fit] = {}
        self._vetoed: dict[str, bool] = {}
        near = {name: key.within_reach(set(one.called)) for name, one in self.failures.items()}
        self.near = {name: tuple(sorted(variants)) for name, variants in near.items()}

    def fit(self, name: str, bugs: Bugs) -> Fit:
        """What the failed test says about these bugs at once."""
        acting = self.acting(name, bugs)
        if (name, acting) not in self._fits:
            variant = self.key.variant(acting) if acting else None
            if variant is not None:
                self._alive()
            fit = self.failures[name].fit(variant) if variant is not None else Fit.SILENT
            self._fits[name, acting] = fit
        return self._fits[name, acting]

    def acting(self, name: str, bugs: Bugs) -> Bugs:
        """The bugs among these that change what the failed test calls."""

        def acts(bug: str, at: str, function: str) -> bool:
            return bug in self.near[name] and (not at or function in self.entries(name))

        return tuple(bug for bug in bugs if acts(*bug.partition(AT)))

    def entries(self, name: str) -> list[str]:
        """The functions and classes of the solution that the failed test calls."""
        called = {function.partition(".")[0] for function in self.failures[name].called}
        return sorted(called & self.key.public)

    def explained(self, bugs: Bugs) -> frozenset[str]:
        """The failed tests that these bugs explain."""
        return frozenset(n for n in self.failures if self.fit(n, bugs) is Fit.EXPLAINS)

    def contradicting(self, bugs: Bugs) -> list[str]:
        """The failed tests that contradict these bugs."""
        return [name for name in self.failures if self.fit(name, bugs) is Fit.CONTRADICTS]

    def tells(self, bug: str, names: Iterable[str]) -> bool:
        """Whether these tests, which the bug explains, are evidence for it.

        Numbers are. An answer where a ValueError belongs is evidence if the submission fails every
        test that the bug is known to fail, in the same way. An exception is none.
        """
        found = {self.failures[name].telling for name in names}
        if Telling.NUMBER in found:
            return True
        whole = bug.partition(AT)[0]
        return Telling.REFUSAL in found and self.known_to_fail(whole) <= self.explained((bug,))

    def known_to_fail(self, bug: str) -> set[str]:
        """The tests that say that they catch the bug, and those that a proof has seen fail."""
        return self._declared[bug] | (self.key.kills.get(bug, set()) & self._tests.keys())

    def known_fit(self, name: str, bug: str) -> Fit | None:
        """What the failed test says about the bug, if that was asked."""
        return self._fits.get((name, (bug,)))

    def vetoed(self, bug: str) -> bool:
        """The submission passes a test that the bug fails.

        What a test declares to catch fails on every draw. What a proof has seen is tried again, and
        so is what is declared of a bug's first spelling.
        """
        if bug not in self._vetoed:
            known = self.known_to_fail(bug.partition(AT)[0]) | self._declared[_name(bug)]
            known &= set(self._passed)
            tests = sorted(
                (self._tests[name] for name in known), key=lambda t: bug not in t.catches
            )
            self._vetoed[bug] = any(bug in test.catches or self._fails(test, bug) for test in tests)
        return self._vetoed[bug]

    def _fails(self, test: HiddenTest, bug: str) -> bool:
        seeds = {failure.seed for failure in self.failures.values()}
        self._alive()
        variant = self.key.variant((bug,))
        return variant is None or not all(run(test, variant, seed).passed for seed in seeds)

    def candidates(self) -> list[str]:
        """The bugs that explain a failed test and that no passed test vetoes.

        A test that a sound candidate explains is not tried with every other bug: one mistake fails
        many tests, and a test that trains takes long for each.
        """
        found: dict[str, None] = {}
        for name in self.near:
            if any(self.fit(name, (b,)) is Fit.EXPLAINS for b in found if self.sound((b,))):
                continue
            for bug in self.likely(name):
                if self._ruled_out(bug) or self.fit(name, (bug,)) is not Fit.EXPLAINS:
                    continue
                if not self.vetoed(bug):
                    found[bug] = None
        return list(found)

    def likely(self, name: str) -> list[str]:
        """The bugs that a failed test is known to catch in one of their spellings.

        Only these are run. Without a proof nothing is known, and it may be any that is near.
        """
        near = self.near[name]
        known = [b for b in near if name in self.known_to_fail(b) | self.known_to_fail(bug_of(b))]
        return known if self.key.kills else list(near)

    def _ruled_out(self, bug: str) -> bool:
        """A passed test declares that it catches this spelling: no run is needed to know."""
        return not self._declared[bug].isdisjoint(self._passed)

    def sound(self, bugs: Bugs) -> bool:
        """Nothing speaks against these bugs, and numbers speak for them."""
        if any(self.vetoed(bug) for bug in bugs) or self.contradicting(bugs):
            return False
        explained = self.explained(bugs)
        return all(self.tells(bug, explained) for bug in bugs)


# -- what is named ---------------------------------------------------------------------------------


def _named(case: _Case, seconds: float) -> Explained:
    """The bugs that are named, or pairs of them, with the failed tests that they explain."""
    candidates = case.candidates()
    sound: Explained = {(bug,): case.explained((bug,)) for bug in candidates if case.sound((bug,))}
    named = _fewest(sound, case)
    end = _cpu_seconds() + max(seconds, LEAST_SECONDS)
    left = frozenset(case.failures).difference(*named.values())
    named |= _fewest(_in_one_place(case, left, end), case)
    left = left.difference(*named.values())
    shaky = [bug for bug in candidates if (bug,) not in sound]
    if left and shaky:
        pairs = _pairs(case, candidates, shaky, end)
        named |= _fewest({p: tests for p, tests in pairs.items() if tests & left}, case)
    return named


def _fewest(explained: Explained, case: _Case) -> Explained:
    """The fewest bugs that explain all that can be explained. Bugs that explain alike are left out.

    Of pairs that explain alike, what they have in common is kept.
    """
    chosen: Explained = {}
    left = frozenset[str]().union(*explained.values())
    while left:
        most = max(len(tests & left) for tests in explained.values())
        best = [
            (bugs, tests & left) for bugs, tests in explained.items() if len(tests & left) == most
        ]
        tests = best[0][1]
        alike = [bugs for bugs, same_tests in best if same_tests == tests]
        if len({tuple(map(_name, bugs)) for bugs in alike}) == 1:
            alike = alike[:1]
        common = tuple(bug for bug in alike[0] if all(bug in bugs for bugs in alike))
        mine = tests if common == alike[0] else tests & case.explained(common)
        if common and all(case.tells(bug, mine) for bug in common):
            chosen[common] = mine
        left -= tests
    return chosen


def _in_one_place(case: _Case, left: Iterable[str], end: float) -> Explained:
    """Bugs that one function alone has: the others, which a bug changes as well, are right."""
    found: Explained = {}
    for name in sorted(left):
        for bug in case.likely(name):
            if _cpu_seconds() > end:
                return found
            if case.fit(name, (bug,)) is not Fit.EXPLAINS or case.sound((bug,)):
                continue
            for function in case.entries(name):
                here = (f"{bug}{AT}{function}",)
                if case.fit(name, here) is Fit.EXPLAINS and case.sound(here):
                    found[here] = case.explained(here)
    return found


def _pairs(case: _Case, candidates: Sequence[str], shaky: Sequence[str], end: float) -> Explained:
    """Pairs of bugs that together are sound and explain what neither explains alone."""
    alone = {bug: case.explained((bug,)) for bug in candidates}
    found: Explained = {}

    def consider(pair: Bugs) -> None:
        if case.key.variant(pair) is None or not case.sound(pair):
            return
        explained = case.explained(pair)
        if not any(explained <= case.explained((bug,)) for bug in pair):
            first, second = sorted(pair)
            found[first, second] = explained

    both = [pair for pair in itertools.combinations(candidates, 2) if set(pair) & set(shaky)]
    both.sort(key=lambda pair: -len(alone[pair[0]] | alone[pair[1]]))
    for pair in both:
        if _cpu_seconds() > end:
            return found
        consider(pair)
    if found:
        return found
    for bug in sorted(shaky, key=lambda bug: -len(alone[bug])):
        # Of a search that was cut short nothing is kept: another bug might explain as much.
        partners = dict(found)
        where = case.contradicting((bug,))[:1]
        for partner in (one for name in where for one in case.likely(name) if one != bug):
            if _cpu_seconds() > end:
                return partners
            pair = (bug, partner)
            if case.key.variant(pair) and case.fit(where[0], pair) is Fit.EXPLAINS:
                consider(pair)
    return found


def _cpu_seconds() -> float:
    """Of this process and of those that it forked and that have ended."""
    return sum(os.times()[:4])


# -- what is told of one test ----------------------------------------------------------------------


def _told(case: _Case, outcome: Outcome, named: Explained) -> Outcome:
    """The outcome with what is known of its failure."""
    failure = case.failures.get(outcome.test)
    if failure is None:
        return outcome
    name = outcome.test
    fits = tuple(bug for bug in case.near[name] if case.known_fit(name, bug) is Fit.EXPLAINS)
    outcome = dataclasses.replace(outcome, suspects=tuple(dict.fromkeys(map(bug_of, fits))))
    for bugs, tests in named.items():
        if name in tests:
            whole = tuple(map(_name, bugs))
            alone = sorted(
                set(whole) & set(map(bug_of, fits)), key=lambda bug: bug not in failure.test.catches
            )
            mine = tuple(alone[:1]) or whole
            if _outweighed(case, bugs, named):
                basis = Basis.HERE_ALONE
            else:
                basis = Basis.FOLLOWS if _follows(case, mine, name, tests) else Basis.NAMED
            return dataclasses.replace(outcome, mistakes=_mistakes(case, mine), basis=basis)
    likely = [bug for bug in fits if not case.vetoed(bug)]
    one_bug = len(set(map(bug_of, likely))) == 1
    if not one_bug or failure.telling is not Telling.NUMBER:
        return outcome
    if any(case.sound((bug,)) for bug in likely):
        return outcome
    mistakes = _mistakes(case, [bug_of(likely[0])])
    return dataclasses.replace(outcome, mistakes=mistakes, basis=Basis.HERE_ALONE)


def _outweighed(case: _Case, bugs: Bugs, named: Explained) -> bool:
    """More failed tests that call what the bugs change are left without any explanation."""
    left = frozenset(case.failures).difference(*named.values())
    return sum(bool(case.acting(name, bugs)) for name in left) > len(named[bugs])


def _follows(case: _Case, bugs: Bugs, name: str, tests: frozenset[str]) -> bool:
    """The test is about something else, and another one is about this mistake."""

    def about(test: str) -> bool:
        return not set(bugs).isdisjoint(case.failures[test].test.catches)

    return not about(name) and any(map(about, tests))


def _name(bug: str) -> str:
    """The bug's name, without its spelling and the function that alone has it."""
    return bug_of(bug.partition(AT)[0])


def _mistakes(case: _Case, bugs: Iterable[str]) -> tuple[Mistake, ...]:
    return tuple(Mistake(bug, case.key.texts[bug]) for bug in bugs)
