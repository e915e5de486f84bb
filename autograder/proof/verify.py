"""Proves an assignment: the solution gets full marks, lazy answers none, and every known bug is caught and named."""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from autograder.authoring import starter
from autograder.authoring.course import Assignment
from autograder.judging import alarm, hidden_test, plugin, relevance
from autograder.judging.answers import gives_the_numbers_of
from autograder.judging.diagnose import AnswerKey
from autograder.judging.hidden_test import Candidate, HiddenTest, InProcess, Trace
from autograder.proof.lazy import LAZY, Lazy

SEEDS = (0, 1, 2)  # the solution must pass on each; the matrix is drawn on the first
LEARNING_SHARE = 0.25
EXACT_SECONDS, LEARNING_SECONDS = 20.0, 600.0
PUBLIC_SECONDS = 600


@dataclass
class Verification:
    """What was found. ``shortcomings`` is empty when the assignment is proven."""

    assignment: Assignment
    tests: list[HiddenTest] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    kills: dict[tuple[str, str], bool] = field(
        default_factory=dict
    )  # (test, bug) -> the test fails
    named: dict[str, bool] = field(default_factory=dict)
    shortcomings: list[str] = field(default_factory=list)

    @property
    def exact(self) -> list[HiddenTest]:
        """The tests that broken variants meet."""
        return [test for test in self.tests if not test.learning]


def verify(
    assignment: Assignment, tell: Callable[[str], None] = lambda line: None, draws: int = 0
) -> Verification:
    """Run all proofs of one assignment, and ask on so many further ``draws`` of the test data whether they hold there too."""
    # Before any test's clock runs: an import that is cut off stays broken.
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
    stale = starter.stale(assignment)
    if stale:
        say(
            f"starter/{assignment.name} is stale ({', '.join(stale)}): python -m autograder starter {assignment.name}"
        )
    return result


@dataclass(frozen=True)
class Proof:
    """What is printed and kept of a verification."""

    matrix: str
    summary: str
    shortcomings: tuple[str, ...]

    @classmethod
    def of(
        cls, assignment: Assignment, tell: Callable[[str], None] = lambda line: None, draws: int = 0
    ) -> Proof:
        """Verify the assignment in this process."""
        result = verify(assignment, tell, draws)
        worth, named = sum(test.worth for test in result.tests), sum(result.named.values())
        counts = f"{len(result.tests)} hidden tests, {worth:g} points, {len(result.bugs)} bugs, {named} named"
        return cls(matrix(result), f"{assignment.name}: {counts}", tuple(result.shortcomings))


def prove_each(assignments: Sequence[Assignment], jobs: int, draws: int = 0) -> Iterator[Proof]:
    """The proofs in this order, each made in a process of its own, ``jobs`` at a time (0: one for each core).

    One process for all would grow with every assignment, and each rank that distributed_ppo forks would have to copy that.
    """
    spawn = multiprocessing.get_context("spawn")
    default = signal.signal, (signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends them without a word
    with ProcessPoolExecutor(
        jobs or os.cpu_count(), spawn, *default, max_tasks_per_child=1
    ) as pool:
        yield from pool.map(functools.partial(Proof.of, draws=draws), assignments)


def _check_declarations(result: Verification, key: AnswerKey, say: Callable[[str], None]) -> None:
    parts = set(result.assignment.parts)
    for todo in key.source.todos:
        if todo.part not in parts:
            say(f"{todo.function}: TODO({todo.part}) is no part of assignment.yml")
    for test in result.tests:
        if test.part not in parts:
            say(f"{test.name}: '{test.part}' is no part of assignment.yml")
        for bug in set(test.catches) - set(key.texts):
            say(f"{test.name} says it catches '{bug}', which the solution does not have")
        if not test.catches and not test.learning:
            say(f"{test.name} catches no bug: a test that cannot fail proves nothing")
    learning = sum(test.worth for test in result.tests if test.learning)
    if learning > LEARNING_SHARE * sum(test.worth for test in result.tests):
        say("learning checks carry more than a quarter of the points")
    for bug in set(key.texts) - {bug for test in result.exact for bug in test.catches}:
        say(f"no test says that it catches '{bug}'")


def _check_solution(result: Verification, key: AnswerKey, say: Callable[[str], None]) -> None:
    for test in result.tests:
        for seed in SEEDS[:1] if test.learning else SEEDS:
            trace = _run(test, key.reference, seed)
            if trace.error is not None:
                say(
                    f"the solution fails {test.name} (seed {seed}): {hidden_test.explain(trace.error)}"
                )


def _check_lazy(result: Verification, key: AnswerKey, say: Callable[[str], None]) -> None:
    candidates: dict[str, Candidate] = {"the stub": InProcess.of(key.source.stub(), key.main)}
    candidates |= {
        f"an answer of {name}": Lazy(key.reference, answer) for name, answer in LAZY.items()
    }
    for name, candidate in candidates.items():
        for test in result.exact:
            if _run(test, candidate, SEEDS[0]).passed:
                say(f"{name} passes {test.name}: it needs an anchor")


def _check_bugs(result: Verification, key: AnswerKey, say: Callable[[str], None]) -> None:
    traces: dict[tuple[str, str], Trace] = {}
    references: dict[str, Trace] = {}
    for test in result.exact:
        with relevance.calls(key.main) as called:
            references[test.name] = _run(test, key.reference, SEEDS[0])
        near = key.within_reach(called)
        for bug in result.bugs:
            trace = _run(test, near[bug], SEEDS[0]) if bug in near else references[test.name]
            traces[test.name, bug] = trace
            result.kills[test.name, bug] = not trace.passed
            if trace.passed and bug in test.catches:
                say(f"{test.name} says it catches '{bug}' and does not")
    for test in result.exact:
        if not any(result.kills[test.name, bug] for bug in key.texts):
            say(f"{test.name} fails for no bug")
    for bug in key.texts:
        result.named[bug] = any(
            not gives_the_numbers_of(references[test.name], traces[test.name, bug])
            and _alone(test, bug, traces, list(key.texts))
            for test in result.exact
            if result.kills[test.name, bug]
        )
        if not any(result.kills[test.name, bug] for test in result.exact):
            say(f"'{bug}' loses no points")
        elif not result.named[bug]:
            say(
                f"'{bug}' is caught, but no test tells it from the other bugs: the diagnosis cannot name it"
            )


def _check_draws(
    result: Verification, key: AnswerKey, draws: int, say: Callable[[str], None]
) -> None:
    """Every submission meets test data of its own, and two students with the same mistake must lose the same points."""
    seeds = range(len(SEEDS), len(SEEDS) + draws)

    def said(seeds: list[int]) -> str:
        return f"on {len(seeds)} of {draws} further draws (seed {', '.join(map(str, seeds[:5]))}{', ...' if seeds[5:] else ''})"

    for test in result.exact:
        if failed := [seed for seed in seeds if not _run(test, key.reference, seed).passed]:
            say(f"the solution fails {test.name} {said(failed)}")
        for bug in test.catches:
            if passed := [
                seed
                for seed in seeds
                if bug in key.broken and _run(test, key.broken[bug], seed).passed
            ]:
                say(f"{test.name} says it catches '{bug}' and does not {said(passed)}")


def _alone(
    test: HiddenTest, bug: str, traces: Mapping[tuple[str, str], Trace], bugs: list[str]
) -> bool:
    """No other bug that fails this test gives the same numbers."""
    student = traces[test.name, bug]
    others = (traces[test.name, other] for other in bugs if other != bug)
    return not any(not other.passed and gives_the_numbers_of(other, student) for other in others)


def _check_public_tests(assignment: Assignment, key: AnswerKey, say: Callable[[str], None]) -> None:
    code, output = run_public_tests(assignment, {key.main: key.source.solution().encode()})
    if code != 0:
        say(f"the public tests fail on the solution:\n{output[-1500:]}")
    code, _ = run_public_tests(assignment, {key.main: key.source.stub().encode()}, ("-q", "-x"))
    if code == 0:
        say("the public tests pass on the stub")


def run_public_tests(
    assignment: Assignment,
    files: Mapping[str, bytes],
    options: tuple[str, ...] = ("-q", "--tb=short"),
) -> tuple[int, str]:
    """Run test_local.py against a hand-in in a folder of its own, as a student would, and as graded; exit code and output."""
    given = starter.files(assignment)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (given | dict(files)).items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", folder]
        command += [
            "-p",
            "no:cacheprovider",
            "-p",
            "autograder.proof.as_graded",
            "--as-graded",
            assignment.main,
        ]
        command += [*options, folder]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PUBLIC_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return (
                1,
                f"The public tests did not end within {PUBLIC_SECONDS} seconds: look for a loop without an end.",
            )
    return done.returncode, done.stdout + done.stderr


def _run(test: HiddenTest, candidate: Candidate, seed: int) -> Trace:
    """One run in this process, ended when it takes too long: a broken variant must end by itself."""
    seconds = LEARNING_SECONDS if test.learning else EXACT_SECONDS
    return alarm.within(seconds, lambda: hidden_test.run(test, candidate, seed))


# -- the kill matrix --------------------------------------------------------------------------------------------------


def matrix(result: Verification) -> str:
    """The kill matrix as Markdown: a row a bug, a column a test; X declared and caught, x caught besides."""
    tests = result.exact
    head = ["bug", *(str(number) for number in range(1, len(tests) + 1)), "caught by", "named"]
    rows = []
    for bug in result.bugs:
        marks = [
            "X" if bug in test.catches else "x" if result.kills[test.name, bug] else ""
            for test in tests
        ]
        rows.append(
            [f"`{bug}`", *marks, str(sum(map(bool, marks))), "yes" if result.named[bug] else "no"]
        )
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    legend = [f"{number}. `{test.name}` ({test.worth:g})" for number, test in enumerate(tests, 1)]
    learning = [
        f"- learning check: `{test.name}` ({test.worth:g})"
        for test in result.tests
        if test.learning
    ]
    return "\n".join([f"## {result.assignment.name}", "", *lines, "", *legend, *learning, ""])
