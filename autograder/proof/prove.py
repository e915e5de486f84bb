"""Proves assignments and writes what was proven: grading/NAME/proof.json."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from autograder.authoring import starter
from autograder.authoring.course import Assignment
from autograder.authoring.markers import bug_of
from autograder.marking import result_files
from autograder.proof import bars, equivalent, inputs, record, thorough, wall
from autograder.proof.verify import Verification, verify

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Orders:
    """Options of a proof.

    ``draws``: further draws of the test data. ``bars``: measure the bars of learning checks again.
    ``compare``: write nothing; the committed proof must say the same. ``mutants``: try all mutants.
    ``jobs``: submissions marked at a time behind the wall.
    """

    draws: int = 0
    bars: bool = False
    thorough: bool = False
    compare: bool = False
    mutants: bool = False
    jobs: int = 1


@dataclass
class Proven:
    """What is printed about a proof. ``wrote``: paths in the course."""

    name: str
    summary: str = ""
    shortcomings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrote: list[str] = field(default_factory=list)


def prove(assignment: Assignment, orders: Orders, tell: Tell = lambda line: None) -> Proven:
    """Prove one assignment in this process, then write or compare starter and proof.

    No proof is written as long as something falls short.
    """
    kept = record.read(assignment)
    proven = Proven(assignment.name)
    say = proven.shortcomings.append
    _bring_starter_up_to_date(assignment, orders, proven)
    result = verify(assignment, tell, orders.draws)
    proven.shortcomings += result.shortcomings
    proven.notes += result.notes
    shown: dict[str, str] = {}
    if not proven.shortcomings:
        tell("behind the wall")
        share = 1.0 if orders.compare else wall.SHARE
        shown = wall.show(assignment, say, orders.jobs, share)
    figures = _figures(result, orders, kept, proven, tell)
    tried = _mutants(result, orders, kept, proven, tell)
    if orders.thorough and not proven.shortcomings:
        thorough.check(assignment, result.exact, say, tell, orders.jobs)
    proven.summary = _summary(result, shown, tried, orders)
    if not proven.shortcomings:
        _keep(_record(result, shown, figures, tried), kept, assignment, orders, proven)
    return proven


def prove_each(assignments: Sequence[Assignment], orders: Orders, at_once: int) -> Iterator[Proven]:
    """The proofs in this order, ``at_once`` at a time (0: one for each core).

    Each is made in a separate process. One process for all would grow with every assignment, and
    each rank that distributed_ppo forks would have to copy its memory.
    """
    spawn = multiprocessing.get_context("spawn")
    # Ctrl-C ends them without a message.
    default = signal.signal, (signal.SIGINT, signal.SIG_DFL)
    with ProcessPoolExecutor(
        at_once or os.cpu_count(), spawn, *default, max_tasks_per_child=1
    ) as pool:
        try:
            with _signals_wait():
                proofs = pool.map(functools.partial(prove, orders=orders), assignments)
            yield from proofs
        except BaseException:
            # The pool would wait until they have proven what they began.
            for process in multiprocessing.active_children():
                process.terminate()
            raise


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM have their effect at the end of this block.

    A process that is left before it has been told what to do prints a traceback of Python's own.
    """
    came: list[int] = []
    usual = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for number in came:  # type: ignore[assignment]
            signal.raise_signal(number)


def _bring_starter_up_to_date(assignment: Assignment, orders: Orders, proven: Proven) -> None:
    if orders.compare:
        if stale := starter.stale(assignment):
            proven.shortcomings.append(
                f"starter/{assignment.name} is stale ({', '.join(stale)}): "
                f"python -m autograder starter {assignment.name}"
            )
        return
    for path in starter.write(assignment):
        proven.wrote.append(path.relative_to(assignment.root).as_posix())


def _figures(
    result: Verification, orders: Orders, kept: record.Record | None, proven: Proven, tell: Tell
) -> dict[str, bars.Figures]:
    """The figures of the bars: measured now, or those of the committed proof."""
    if orders.bars and not proven.shortcomings:
        figures = bars.measure(result.assignment, result.tests, tell)
        proven.shortcomings += bars.unfair(figures)
    else:
        figures = kept["bars"] if kept is not None else {}
    proven.notes += bars.missing_or_stale(result.assignment, result.tests, figures)
    return figures


def _mutants(
    result: Verification, orders: Orders, kept: record.Record | None, proven: Proven, tell: Tell
) -> equivalent.Tried:
    """What became of the mutants: tried now, or as the committed proof says."""
    if orders.mutants and not proven.shortcomings:
        tried = equivalent.try_all(result.assignment, result.exact, tell)
        proven.shortcomings += tried.shortcomings
        proven.notes += tried.notes
        return tried
    before = kept or {}
    tried = equivalent.Tried(before.get("mutants", {}), before.get("survivors", {}))
    proven.notes += equivalent.missing_or_stale(result.assignment, tried.counts)
    return tried


def _record(
    result: Verification,
    shown: dict[str, str],
    figures: dict[str, bars.Figures],
    tried: equivalent.Tried,
) -> record.Record:
    exact = [test.name for test in result.exact]
    tests = {test.name: {"points": test.worth, "learning": test.learning} for test in result.tests}
    kills = {bug: [test for test in exact if result.kills.get((test, bug))] for bug in result.bugs}
    return {
        "assignment": result.assignment.name,
        "bars": figures,
        "engine": inputs.engine(result.assignment.root),
        "inputs": inputs.inputs(result.assignment),
        "kills": kills,
        "mutants": tried.counts,
        "points": sum(test.worth for test in result.tests),
        "survivors": tried.survivors,
        "tests": tests,
        "unnamed": sorted(bug for bug in result.bugs if not result.named[bug]),
        "wall": shown,
    }


def _keep(
    fresh: record.Record,
    kept: record.Record | None,
    assignment: Assignment,
    orders: Orders,
    proven: Proven,
) -> None:
    path = record.path_of(assignment)
    where = path.relative_to(assignment.root).as_posix()
    if not orders.compare:
        if kept != fresh:
            result_files.write_atomically(path, record.text(fresh))
            proven.wrote.append(where)
    elif kept is None:
        proven.shortcomings.append(
            f"{where} is missing: python -m autograder verify {assignment.name}"
        )
    else:
        proven.shortcomings += [f"{where}: {one}" for one in record.differences(kept, fresh)]


def _summary(
    result: Verification, shown: dict[str, str], tried: equivalent.Tried, orders: Orders
) -> str:
    worth = sum(test.worth for test in result.tests)
    bugs = {bug_of(bug) for bug in result.bugs}
    named = len({bug_of(bug) for bug in result.bugs if result.named[bug]})
    counts = [
        f"{len(result.tests)} hidden tests",
        f"{worth:g} points",
        f"{len(bugs)} bugs in {len(result.bugs)} spellings",
        f"{named} named",
    ]
    styles = sum(name.startswith("right/") for name in shown)
    counts += [f"{styles} right answers behind the wall"] if shown else []
    counts += [f"{orders.draws} further draws tried"] if orders.draws else []
    if orders.mutants and tried.counts:
        words = "{killed} of {made} mutants killed, {equivalent} equivalent"
        counts += [words.format(**tried.counts)]
    return f"{result.assignment.name}: {', '.join(counts)}"
