"""What the wall costs where a submission trains: the learning checks of the reference solution,
behind it and in one process.

    python tests/benchmarks/training.py [NAME...] [--runs 3] [--all]

own code         seconds that the student's own functions take behind the wall, measured in their
                 process
behind the wall  seconds of the whole checks there: the start of a worker, every question and
                 answer, and the test's own evaluation too
in process       seconds of the same checks with the student's code, the test and the environment in
                 one program

With --all, all hidden tests instead of the learning checks: what marking one submission takes. As
there, a worker serves one test after the other. Steps of environments that a test lends count as
the student's own code, which waits for them.

All lanes have the same test data. They run on one core, as in marking with a marker for every core;
ranks, which marking lets use all cores, have all of them here too. The clock is the wall clock, and
of the runs the quickest counts: whatever else the machine does only adds to it.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# The repository is found whether it is installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from autograder.authoring.course import Assignment, load_course
from autograder.authoring.given import with_given
from autograder.authoring.source import Source
from autograder.isolation.workers.walled import WorkerServer
from autograder.judging import hidden_test, plugin
from autograder.judging.hidden_test import Candidate, HiddenTest, InProcess

ROOT = Path(__file__).resolve().parents[2]
SEED = 7
CORES = os.sched_getaffinity(0)
CORE = min(CORES)

# Goes along with the solution: a submission may do in its own process what it likes, so it can take
# its own time.
WATCH = """

own_seconds = 0.0

def _watch():
    import time
    from autograder.isolation.bridge.worker import Worker

    call = Worker._op_call

    def timed(*args):
        global own_seconds
        begun = time.perf_counter()
        try:
            return call(*args)
        finally:
            own_seconds += time.perf_counter() - begun

    Worker._op_call = timed

_watch()
"""


@dataclass
class Seconds:
    """Of some hidden tests of one assignment."""

    own: float = 0.0
    there: float = 0.0
    here: float = 0.0


def timed(test: HiddenTest, candidate: Candidate) -> tuple[float, float]:
    """Wall-clock seconds of one passing run, and of the student's own code in it (0 for ranks:
    nobody asks them)."""
    own: list[float] = []

    def asking(student: Any, lab: Any, rng: Any) -> None:
        before = student.own_seconds
        given = {"student": student, "lab": lab, "rng": rng, **test.parameters}
        test.function(**{name: given[name] for name in inspect.signature(test.function).parameters})
        own.append(student.own_seconds - before)

    begun = time.perf_counter()
    trace = hidden_test.run(replace(test, function=asking), candidate, SEED)
    if trace.error is not None:
        sys.exit(f"{test.name} fails for the solution: {hidden_test.explain(trace.error)}")
    return time.perf_counter() - begun, own[0]


def compare(assignment: Assignment, runs: int, everything: bool) -> Seconds:
    """The least seconds of the learning checks of an assignment, or of all its hidden tests."""
    text = Source(assignment.solution).solution()
    files = {assignment.main: (text + "\nown_seconds = 0.0\n").encode()}
    here = InProcess(with_given(assignment, files), assignment.main)
    server = WorkerServer.start(assignment.libraries, profile=assignment.isolation)
    total = Seconds()
    try:
        files = with_given(assignment, {assignment.main: (text + WATCH).encode()})
        there = server.candidate(
            files, assignment.main, assignment.limits, CORE, reuses_workers=True
        )
        # The files are compiled now, as for all tests but a submission's first.
        there.open(lambda event: None, None).close()
        for test in [
            test for test in plugin.collect(assignment.hidden_tests) if test.learning or everything
        ]:
            timed(test, here)  # imports at the first use are not training
            # In turn: the machine may be faster now than a minute later.
            found = [(timed(test, there), timed(test, here)[0]) for _ in range(runs)]
            (wall, own), _ = min(found)
            total.there, total.own = total.there + wall, total.own + own
            total.here += min(seconds for _, seconds in found)
    finally:
        server.close()
    return total


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="*", help="assignments; all that have learning checks if none is named"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--all", action="store_true", help="all hidden tests instead of the learning checks"
    )
    options = parser.parse_args()
    print(
        f"{'hidden tests of' if options.all else 'learning checks of':24}{'own code, s':>12}"
        f"{'behind the wall, s':>20}{'ratio':>7}{'in process, s':>15}{'ratio':>7}"
    )
    for assignment in load_course(ROOT).assignments:
        if options.names and assignment.name not in options.names:
            continue
        os.sched_setaffinity(0, CORES if assignment.isolation == "distributed" else {CORE})
        total = compare(assignment, options.runs, options.all)
        if total.there:
            to_own = f"{total.there / total.own:7.2f}" if total.own else f"{'-':>7}"
            own = f"{total.own:12.2f}" if total.own else f"{'-':>12}"
            print(
                f"{assignment.name:24}{own}{total.there:20.2f}{to_own}"
                f"{total.here:15.2f}{total.there / total.here:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
