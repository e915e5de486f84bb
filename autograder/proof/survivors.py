"""Which mutants the hidden tests let pass: `verify NAME --mutants`.

Each mutant runs in a process of its own, with limits of time and memory, until one exact test
fails. Those that no test fails survive. A survivor is either a gap in the tests, or it is
equivalent: then grading/NAME/equivalent.yml says in a sentence why.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autograder.authoring.course import Assignment
from autograder.judging import alarm, hidden_test, relevance
from autograder.judging.diagnose import AnswerKey
from autograder.judging.hidden_test import Candidate, HiddenTest
from autograder.proof import mutants
from autograder.proof.mutants import Mutant

SEED = 0
# A test may take this many times as long as with the solution, and so many seconds in any case.
TIMES, LEAST_SECONDS = 10, 2.0
# Of one mutant in all tests: CPU seconds, and seconds by the clock if it waits for something.
CPU_SECONDS, SECONDS = 60, 600
# On top of what this process has.
MEMORY = 1 << 30
# What a mutant that had to be ended counts as killed by.
LIMIT = "a limit of time or memory"


@dataclass
class Hunt:
    """What became of each mutant. ``killers``: the test that failed, by the mutant's name."""

    made: list[Mutant]
    killers: dict[str, str] = field(default_factory=dict)

    @property
    def survivors(self) -> list[Mutant]:
        """Those that passed every exact test, in file order."""
        return [mutant for mutant in self.made if mutant.name not in self.killers]


@dataclass(frozen=True)
class _Known:
    """What the solution's run of a test has shown: the functions called, and seconds by the
    clock."""

    test: HiddenTest
    called: set[str]
    seconds: float


def hunt(
    assignment: Assignment,
    tests: Sequence[HiddenTest],
    tell: Callable[[str], None] = lambda line: None,
    only: Callable[[Mutant], bool] = lambda mutant: True,
) -> Hunt:
    """Run all mutants, or ``only`` some, against these tests.

    The test that killed the last mutant of a function is tried first on the next one.
    """
    key = AnswerKey(assignment)
    known = [_with_the_solution(test, key) for test in tests]
    found = Hunt([mutant for mutant in mutants.make(key.source) if only(mutant)])
    latest: dict[str | None, str] = {}
    for number, mutant in enumerate(found.made, 1):
        tell(f"mutant {number} of {len(found.made)}, {len(found.survivors)} open")
        order = _order(known, mutant.function, latest.get(mutant.function, ""))
        killer = _killer(order, key.candidate(mutant.text))
        if killer:
            found.killers[mutant.name] = latest[mutant.function] = killer
    return found


def _with_the_solution(test: HiddenTest, key: AnswerKey) -> _Known:
    begun = time.monotonic()
    hidden_test.run(test, key.reference, SEED)
    seconds = time.monotonic() - begun
    with key.calls() as called:
        hidden_test.run(test, key.reference, SEED)
    return _Known(test, called, seconds)


def _order(known: Sequence[_Known], function: str | None, first: str) -> list[_Known]:
    """The tests that may tell, those first that call the function, and the quick ones first."""
    differ = None if function is None else frozenset({function})
    may_tell = [one for one in known if relevance.can_tell(one.called, differ)]
    return sorted(
        may_tell, key=lambda one: (one.test.name != first, function not in one.called, one.seconds)
    )


def _killer(order: Sequence[_Known], candidate: Candidate) -> str:
    """The test that fails for the mutant; LIMIT; or nothing."""

    def first_to_fail() -> str:
        for one in order:
            seconds = max(LEAST_SECONDS, TIMES * one.seconds)
            if not _passes(one.test, candidate, seconds):
                return one.test.name
        return ""

    found = _in_a_fork(first_to_fail)
    return LIMIT if found is None else found


def _passes(test: HiddenTest, candidate: Candidate, seconds: float) -> bool:
    try:
        return alarm.within(seconds, lambda: hidden_test.run(test, candidate, SEED).passed)
    except Exception:
        # The limit, between the test and its end.
        return False


def _in_a_fork(function: Callable[[], str]) -> str | None:
    """The result of a function that runs in a child of this process; None if that had to end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(function, writing)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], SECONDS)
        said = os.read(reading, 1 << 16) if ready else b""
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return said[1:].decode() if said else None


def _answer(function: Callable[[], str], writing: int) -> None:
    """In the child: write what the function returns, and end. Never returns."""
    try:
        # A signal to "all of us" must not reach the parent.
        os.setpgid(0, 0)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        memory = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        # The parent's streams may hold a lock that nobody opens here.
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        # An empty answer is one, too.
        os.write(writing, b"=" + function().encode())
    finally:
        os._exit(0)
