"""A big class: does the thousandth submission cost what the first did, is nothing lost when the
command is killed, what does a rerun cost?

    python tests/benchmarks/big_class.py [--count 1000] [--small 50] [--jobs 2] [--kills 3]

The class submits variants of the tests' toy assignment (four hidden tests; right, wrong,
unfinished and crashing answers, each with its own comment, so that no two are equal). Exit
code 1 if a result is lost or differs.

size      the same engine and pipeline on the small and on the whole class: seconds and CPU of each
          submission, memory at the end.
kill -9   the command `grade` on the whole class, killed several times, then left to finish: every
          result is compared with that of the undisturbed run, to the byte but for the times. The
          last run and one more, with nothing left to do, say what resuming costs.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests"), str(Path(__file__).parent)]

from marking import Meter, _children  # noqa: E402
from toy import MAIN, NAME, Toy  # noqa: E402

from autograder.marking.engines import LocalEngine  # noqa: E402
from autograder.marking.grade import Grading  # noqa: E402
from autograder.marking.submission import read_all  # noqa: E402

VARIANTS = (
    ("", ""),
    ("gamma ** np.arange(float(len(rewards)))", "np.ones(len(rewards))"),
    ("return numbers - numbers.mean()", "raise NotImplementedError('TODO(means)')"),
    ("return weights / weights.sum()", "return 1 / 0"),
)


def submit(toy: Toy, folder: Path, count: int) -> None:
    """Write ``count`` different submissions."""
    folder.mkdir()
    for number in range(count):
        text = toy.submission(*VARIANTS[number % len(VARIANTS)])
        (folder / f"s{number:05}.py").write_text(f"{text}# copy {number}\n")


# -- size ------------------------------------------------------------------------------------------


@dataclass
class Size:
    """What one class cost, for each submission, and the memory (MiB, proportional set size) of all
    processes at its end."""

    wall: float
    cpu: float
    memory: float


def measure(toy: Toy, submissions: Path, out: Path, jobs: int) -> Size:
    """Mark a class in this process, which pays for the pipeline, with its own engine."""
    engine = LocalEngine(toy.assignment, jobs)
    try:
        grading = Grading(toy.course, toy.assignment, engine, out)
        meter = Meter(engine._process.pid)
        before, begun, ours = meter.read(), time.perf_counter(), time.process_time()
        looking = meter_cpu()
        grades = grading.run(read_all(submissions, MAIN), True, lambda grade, total: None)
        wall, own = (
            time.perf_counter() - begun,
            time.process_time() - ours - (meter_cpu() - looking),
        )
        memory = sum(
            map(_memory, [os.getpid(), engine._process.pid, *_children(engine._process.pid)])
        )
        cpu = meter.stop() - before
    finally:
        engine.close()
    return Size(wall / len(grades), (cpu + own) / len(grades), memory)


def meter_cpu() -> float:
    """CPU seconds of this process's other threads: the meter, which is not part of what it
    measures."""
    return time.process_time() - time.thread_time()


def _memory(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


# -- kill -9 ---------------------------------------------------------------------------------------


def start(toy: Toy, submissions: Path, out: Path, jobs: int) -> subprocess.Popen[bytes]:
    """The command itself."""
    command = [
        sys.executable,
        "-m",
        "autograder",
        "grade",
        NAME,
        str(submissions),
        "--out",
        str(out),
        "--jobs",
        str(jobs),
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, cwd=toy.root, env=environment, stdout=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> tuple[float, str]:
    """How long it took from now on, and the line that says what was kept."""
    begun = time.perf_counter()
    text = process.communicate()[0].decode()
    if process.returncode != 0:
        sys.exit(f"grade ended with {process.returncode}")
    return time.perf_counter() - begun, text.strip().splitlines()[-1]


def disturb(toy: Toy, submissions: Path, out: Path, jobs: int, count: int, kills: int) -> None:
    """Kill the command each time that one more share of the class is done."""
    for kill in range(1, kills + 1):
        process = start(toy, submissions, out, jobs)
        while _done(out) < count * kill // (kills + 1):
            if process.poll() is not None:
                sys.exit("grade ended before it could be killed")
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        print(f"killed with {_done(out)} of {count} done", flush=True)


def _done(out: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return sum((Path(entry.path) / "results.json").exists() for entry in os.scandir(out / NAME))
    return 0


def differences(one: Path, other: Path) -> list[str]:
    """The files that are in only one of two folders of results, or differ beyond the times."""
    names = {
        str(path.relative_to(root))
        for root in (one, other)
        for path in root.rglob("*")
        if path.is_file()
    }
    return sorted(name for name in names if _read(one / name) != _read(other / name))


def _read(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    return [
        line
        for line in path.read_text().splitlines()
        if not line.startswith((' "execution_time":', ' "seconds":'))
    ]


def main() -> None:
    """Run both parts and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default, words in (
        ("count", 1000, "submissions in the big class"),
        ("small", 50, "submissions in the small class"),
        ("jobs", 2, "submissions marked at a time"),
        ("kills", 3, "how often the command is killed"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=words)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        toy = Toy.build(folder / "course")
        submit(toy, folder / "small", options.small)
        submit(toy, folder / "big", options.count)
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.jobs} at a time",
            flush=True,
        )
        before, big, after = (
            measure(toy, folder / name, folder / f"{name}-out", options.jobs)
            for name in ("small", "big", "small")
        )
        print(table([before, big, after], options.small, options.count), flush=True)
        disturb(toy, folder / "big", folder / "killed", options.jobs, options.count, options.kills)
        seconds, said = finish(start(toy, folder / "big", folder / "killed", options.jobs))
        print(f"left to finish: {seconds:.1f} s. {said}")
        seconds, said = finish(start(toy, folder / "big", folder / "killed", options.jobs))
        print(
            f"nothing to do: {seconds:.1f} s, {1000 * seconds / options.count:.1f} ms each, "
            f"start-up included. {said}"
        )
        different = differences(folder / "big-out", folder / "killed")
        print(
            f"{_done(folder / 'killed')} results, {len(different)} files differ from the "
            f"undisturbed run"
        )
        for name in different[:3]:
            one, other = (_read(folder / part / name) or [] for part in ("big-out", "killed"))
            print(
                name,
                *difflib.unified_diff(one, other, "undisturbed", "killed", n=1, lineterm=""),
                sep="\n",
            )
        sys.exit(bool(different) or _done(folder / "killed") != options.count)
    finally:
        shutil.rmtree(folder)


def table(sizes: list[Size], small: int, big: int) -> str:
    """Small, big, small again (what else the machine does changes meanwhile), and the ratio of the
    big one to the small ones' mean."""
    lines = [f"{'submissions':26}{small:>10}{big:>10}{small:>10}{'ratio':>10}"]
    for name, label, digits in (
        ("wall", "wall, s each", 3),
        ("cpu", "CPU, s each", 3),
        ("memory", "memory at the end, MiB", 0),
    ):
        before, middle, after = (getattr(size, name) for size in sizes)
        numbers = "".join(f"{value:10.{digits}f}" for value in (before, middle, after))
        lines.append(f"{label:26}{numbers}{2 * middle / (before + after):10.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
