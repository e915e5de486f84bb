"""What the wall costs where a submission trains: learning checks behind it, against the same checks in one process.

    python tests/benchmarks/training.py [NAME...] [--runs 3]

Both lanes run the learning checks of the reference solution with the same test data, in turn. In process the student's code, the test and the
environment are one program, so its time is what the training itself takes. Behind the wall the training runs beside its environment in a worker,
and the grader asks for every action of the evaluation; the time to start the worker counts too. Both lanes run on one core, as in marking with a
marker for every core; ranks, which marking lets use all cores, have all of them here too. The clock is the wall clock, and the least of the runs
is taken: whatever else the machine does only adds to it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository, whether it is installed or not

from autograder import examine, plugin
from autograder.course import Assignment, load_course
from autograder.examine import Candidate, HiddenTest, InProcess
from autograder.isolation.walled import WorkerServer
from autograder.source import Source

ROOT = Path(__file__).resolve().parents[2]
SEED = 7
CORES = os.sched_getaffinity(0)
CORE = min(CORES)


def seconds(test: HiddenTest, candidate: Candidate) -> float:
    """Wall-clock seconds of one passing run."""
    begun = time.perf_counter()
    trace = examine.run(test, candidate, SEED)
    if trace.error is not None:
        sys.exit(f"{test.name} fails for the solution: {examine.explain(trace.error)}")
    return time.perf_counter() - begun


def compare(assignment: Assignment, runs: int) -> tuple[float, float]:
    """Seconds of all learning checks of an assignment: in process, and behind the wall."""
    text = Source(assignment.solution).solution()
    here = InProcess.of(text, assignment.main)
    server = WorkerServer.start(assignment.libraries, profile=assignment.isolation)
    try:
        files = {assignment.main: text.encode()}
        there = server.candidate(files, assignment.main, assignment.limits, CORE)
        there.open(lambda event: None, None).close()  # compiled, as for all tests but a submission's first
        tests = [test for test in plugin.collect(assignment.hidden_tests) if test.learning]
        for test in tests:
            seconds(test, here)  # what is imported at the first use is no training
        # In turn: the machine may be faster now than a minute later.
        found = [[[seconds(test, lane) for lane in (here, there)] for _ in range(runs)] for test in tests]
    finally:
        server.close()
    least = [[min(lane) for lane in zip(*turns, strict=True)] for turns in found]
    return sum(one for one, _ in least), sum(other for _, other in least)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="assignments; all that have learning checks if none is named")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"{'learning checks of':24}{'in process, s':>15}{'behind the wall, s':>20}{'ratio':>8}")
    for assignment in load_course(ROOT).assignments:
        if options.names and assignment.name not in options.names:
            continue
        os.sched_setaffinity(0, CORES if assignment.isolation == "distributed" else {CORE})
        here, there = compare(assignment, options.runs)
        if here:
            print(f"{assignment.name:24}{here:15.2f}{there:20.2f}{there / here:8.2f}", flush=True)


if __name__ == "__main__":
    main()
