"""What marking a wrong submission costs beside a right one, one at a time.

    python tests/benchmarks/wrong.py [--bugs 6] [dqn ppo reinforce ...]

The wrong ones are the reported mistakes of tests/reported and some of the known bugs. The solution
is marked before, between and after them. A wrong submission costs more: each failed test runs again
in a fresh worker, and with the solution and the known mistakes for the diagnosis. Prints the
seconds of each and the ratio to a right one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from autograder.authoring.course import Assignment, load_course  # noqa: E402
from autograder.authoring.source import Source  # noqa: E402
from autograder.marking.engines import Job, LocalEngine  # noqa: E402

EVERY = 5  # wrong submissions between two right ones
RIGHT = "right"


def main() -> None:
    """A line for each wrong submission, and one for each assignment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["dqn", "ppo", "reinforce"])
    parser.add_argument("--bugs", type=int, default=6, help="known bugs of each assignment")
    asked = parser.parse_args()
    course = load_course(ROOT)
    for name in asked.names:
        _compare(course.assignment(name), asked.bugs)


def _compare(assignment: Assignment, bugs: int) -> None:
    seconds: dict[str, float] = {}
    for name, spent in _marked(assignment, bugs):
        seconds[name] = spent
        print(f"  {name:45} {spent:6.1f} s", flush=True)
    right = statistics.mean(spent for name, spent in seconds.items() if name.startswith(RIGHT))
    ratios = sorted(spent / right for n, spent in seconds.items() if not n.startswith(RIGHT))
    print(
        f"{assignment.name:20} right {right:.1f} s; {len(ratios)} wrong ones take "
        f"{statistics.median(ratios):.2f} times that (median), {statistics.mean(ratios):.2f} (mean)"
        f", {ratios[-1]:.2f} (most); {sum(one > 2 for one in ratios)} above 2",
        flush=True,
    )


def _marked(assignment: Assignment, bugs: int) -> Iterator[tuple[str, float]]:
    """The name and the wall seconds of each submission."""
    engine = LocalEngine(assignment, 1)
    texts = _submissions(assignment, bugs)
    # The first one starts what the others find ready.
    texts = {"warm-up": Source(assignment.solution).solution(), **texts}
    jobs = [Job(name, {assignment.main: text.encode()}, 11) for name, text in texts.items()]
    try:
        begun = time.perf_counter()
        for progress in engine.run(jobs):
            if progress.finished:
                now = time.perf_counter()
                if progress.job.student != "warm-up":
                    yield progress.job.student, now - begun
                begun = now
    finally:
        engine.close()


def _submissions(assignment: Assignment, bugs: int) -> dict[str, str]:
    source = Source(assignment.solution)
    solution, names = source.solution(), sorted(bug.name for bug in source.bugs)
    wrong = {
        path.stem: f"{solution}\n\n{path.read_text(encoding='utf-8')}"
        for path in sorted((ROOT / "tests" / "reported" / assignment.name).glob("*.py"))
    }
    wrong |= {name: source.broken(name) for name in names[:: max(1, len(names) // max(bugs, 1))]}
    texts = {}
    for number, (name, text) in enumerate(wrong.items()):
        if number % EVERY == 0:
            texts[f"{RIGHT} {number // EVERY}"] = solution
        texts[name] = text
    return texts | {f"{RIGHT} at the end": solution}


if __name__ == "__main__":
    main()
