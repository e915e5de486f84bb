"""What marking costs: the engine against one fresh pytest process for each submission, in the same
run.

    python tests/benchmarks/marking.py [--count 20] [--jobs 2]

Both lanes mark the same copies of a correct GAE submission, which differ in a comment and so in
their digest and their hidden inputs.

engine     LocalEngine: one grader process, a marker forked for each submission, and sandboxed
           workers, fresh ones after a test that fails.
pytest     `python -m pytest grading/gae --student COPY`, as many at a time as the engine has jobs:
           the hidden tests in the same process as the student's code, without any wall.

CPU is user plus system time of all processes involved. In the pytest lane they are children that
are waited for, so getrusage knows. In the engine lane it does not: the kernel reaps markers without
adding their time to anybody's. So each process's own CPU clock is read: the grader's and the fork
server's once before they end, with the time of the workers that the fork server has waited for;
each marker's every few milliseconds, so that at most one such interval of each is lost. The reading
itself is not counted.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

# The repository is found whether it is installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from autograder.authoring.course import Assignment, load_assignment
from autograder.authoring.source import Source
from autograder.marking.engines import Job, LocalEngine
from autograder.model import Verdict

ROOT = Path(__file__).resolve().parents[2]
NAME = "gae"
INTERVAL = 0.005  # seconds between two looks at the markers


@dataclass
class Cost:
    """Seconds of one lane."""

    start_wall: float = 0.0
    start_cpu: float = 0.0
    wall: float = 0.0  # of marking alone
    cpu: float = 0.0


# -- the engine ------------------------------------------------------------------------------------


@dataclass
class Meter:
    """Adds up the CPU time of a fork server, of the grader that it has forked, and its markers."""

    server: int
    markers: dict[int, float] = field(default_factory=dict)  # pid -> CPU seconds when last seen

    def __post_init__(self) -> None:
        self._over = threading.Event()
        # Workers come later.
        self.grader = _children(self.server)[0]
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def read(self) -> float:
        """CPU seconds so far."""
        self._look()
        return (
            _cpu(self.grader)
            + _cpu(self.server)
            + _cpu_of_waited_for(self.server)
            + sum(self.markers.values())
        )

    def stop(self) -> float:
        """The last reading, while grader and fork server are still there."""
        self._over.set()
        self._thread.join()
        return self.read()

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        for pid in _children(self.grader):
            self.markers[pid] = max(self.markers.get(pid, 0.0), _cpu(pid))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu(pid: int) -> float:
    """CPU seconds of a process: its own clock, as clock_getcpuclockid(3) names it. 0 for one that
    has gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _cpu_of_waited_for(pid: int) -> float:
    """CPU seconds of the children that a process has waited for (cutime and cstime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")


def by_engine(assignment: Assignment, copies: dict[str, str], jobs: int) -> Cost:
    """Mark all copies with the engine."""
    begun = time.perf_counter()
    engine = LocalEngine(assignment, jobs)
    try:
        meter = Meter(engine._process.pid)
        cost = Cost(start_wall=time.perf_counter() - begun, start_cpu=meter.read())
        begun = time.perf_counter()
        done = [
            Job(name, {assignment.main: text.encode()}, seed)
            for seed, (name, text) in enumerate(copies.items())
        ]
        for progress in engine.run(done):
            wrong = [o.test for o in progress.outcomes.values() if o.verdict is not Verdict.PASSED]
            if progress.finished and (
                wrong or progress.trouble or len(progress.outcomes) != len(engine.tests)
            ):
                sys.exit(
                    f"engine: {progress.job.student} did not get full marks: "
                    f"{progress.trouble or wrong}"
                )
        cost.wall = time.perf_counter() - begun
        cost.cpu = meter.stop() - cost.start_cpu
    finally:
        engine.close()
    return cost


# -- one pytest process each -----------------------------------------------------------------------


def by_pytest(assignment: Assignment, copies: dict[str, str], jobs: int, folder: Path) -> Cost:
    """Mark all copies with a fresh pytest process each."""

    def mark(name: str) -> None:
        path = folder / f"{name}.py"
        path.write_text(copies[name], encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            str(assignment.hidden_tests),
            "--student",
            str(path),
        ]
        done = subprocess.run(
            command, cwd=assignment.root, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(
                f"pytest: {name} did not get full marks:\n"
                f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )

    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(mark, copies))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall=time.perf_counter() - begun, cpu=cpu)


# -- the table -------------------------------------------------------------------------------------


def main() -> None:
    """Run both lanes and print what each submission cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="submissions in each lane")
    parser.add_argument("--jobs", type=int, default=2, help="submissions marked at a time")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    assignment = load_assignment(ROOT, NAME)
    solution = Source(assignment.solution).solution()
    copies = {f"copy{number}": f"{solution}# copy {number}\n" for number in range(options.count)}
    engine = by_engine(assignment, copies, options.jobs)
    with tempfile.TemporaryDirectory() as folder:
        pytest = by_pytest(assignment, copies, options.jobs, Path(folder))
    print(
        f"{options.count} submissions of {NAME}, {options.jobs} at a time, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    )
    print(table(engine, pytest, options.count))
    print(
        f"\nThe engine's CPU may be low by up to {INTERVAL:g} s each: the file's first "
        f"lines say what is measured."
    )


def table(engine: Cost, pytest: Cost, count: int) -> str:
    """Seconds for each submission, and how many times more the pytest lane takes."""
    rows = [
        ("wall, s each", engine.wall / count, pytest.wall / count),
        (
            "wall with start-up, s each",
            (engine.start_wall + engine.wall) / count,
            pytest.wall / count,
        ),
        ("CPU, s each", engine.cpu / count, pytest.cpu / count),
        ("CPU with start-up, s each", (engine.start_cpu + engine.cpu) / count, pytest.cpu / count),
    ]
    lines = [f"{'':28}{'engine':>10}{'pytest':>10}{'ratio':>10}"]
    lines += [f"{name:28}{one:10.3f}{other:10.3f}{other / one:9.1f}x" for name, one, other in rows]
    lines.append(
        f"{'start-up once: wall, CPU, s':28}{engine.start_wall:10.2f}{engine.start_cpu:10.2f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
