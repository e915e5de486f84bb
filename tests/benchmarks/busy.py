"""Right work on a loaded machine: does it keep its points beside busy loops?

    .venv/bin/python tests/benchmarks/busy.py [--loops 8] [--cores 2] [gae ppo ...]

Marks each reference solution and each right answer in another style while the loops compute, all on
the same cores. A limit of computing counts CPU seconds, and a limit of waiting counts no second in
which a worker waits for a core, so all must be full. Prints a line for each assignment.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from autograder.authoring.course import Assignment, load_course  # noqa: E402
from autograder.authoring.right import answers  # noqa: E402
from autograder.authoring.source import Source  # noqa: E402
from autograder.proof import wall  # noqa: E402


def main() -> int:
    """Exit code 1: some right work lost points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="assignments (default: all)")
    parser.add_argument("--loops", type=int, default=8)
    parser.add_argument("--cores", type=int, default=2)
    asked = parser.parse_args()
    course = load_course(ROOT)
    chosen = [course.assignment(name) for name in asked.names] or list(course.assignments)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    loops = [_busy_loop() for _ in range(asked.loops)]
    try:
        lost = [_marked(assignment, asked.cores) for assignment in chosen]
    finally:
        for pid in loops:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return int(any(lost))


def _busy_loop() -> int:
    pid = os.fork()
    if pid == 0:
        while True:
            pass
    return pid


def _marked(assignment: Assignment, cores: int) -> bool:
    """Whether any right work lost points."""
    texts = {"solution": Source(assignment.solution).solution(), **answers(assignment)}
    begun, load = time.monotonic(), os.getloadavg()[0]
    found = wall.mark(assignment, texts, cores)
    lost = {name: wall.lost(found.get(name, {})) for name in texts}
    full = sum(bool(found.get(name)) and not lost[name] for name in texts)
    print(
        f"{assignment.name:20} {full} of {len(texts)} full, {time.monotonic() - begun:4.0f} s, "
        f"load {load:.1f}",
        flush=True,
    )
    for name, tests in lost.items():
        for test in tests:
            print(f"  {name}: {test}", flush=True)
    return full < len(texts)


if __name__ == "__main__":
    sys.exit(main())
