"""One submission in a fresh process, start-up included: what a platform's container does all day.

    python tests/benchmarks/one_shot.py [--runs 7]

autograde   `python -m autograder autograde gae FOLDER` on a correct submission: 46 hidden tests
            behind the wall.
pytest      `python -m pytest` with one test, which imports torch and adds two numbers.

Both run in turn, on all cores and then pinned to one. The ratio is the median of the ratios of
neighbouring runs, because a busy machine slows both down.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "gae"
ONE_TEST = "import torch\n\n\ndef test_one():\n    assert float(torch.ones(2).sum()) == 2.0\n"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def seconds(command: list[str], folder: Path) -> float:
    """The wall time of a command that must succeed."""
    begun = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return time.perf_counter() - begun


def pairs(folder: Path, runs: int) -> list[tuple[float, float]]:
    """Seconds of both lanes in each run. The first run, which fills caches, does not count."""
    (folder / "submission").mkdir(parents=True)
    shutil.copy(ROOT / "solutions" / NAME / f"{NAME}.py", folder / "submission")
    (folder / "test_one.py").write_text(ONE_TEST, encoding="utf-8")
    python = [sys.executable, "-m"]
    autograde = [*python, "autograder", "autograde", NAME, str(folder)]
    pytest = [*python, "pytest", "-q", "-p", "no:cacheprovider", "test_one.py"]
    found = [(seconds(autograde, ROOT), seconds(pytest, folder)) for _ in range(runs + 1)]
    return found[1:]


def main() -> None:
    """Run both lanes on all cores and on one; print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="pairs of runs in each half")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    print(f"load {os.getloadavg()[0]:.1f}; medians of {options.runs} runs")
    print(f"{'':12}{'autograde, s':>14}{'pytest, s':>12}{'ratio':>8}")
    for kept in (cores, cores[:1]):
        # Children inherit it.
        os.sched_setaffinity(0, kept)
        with tempfile.TemporaryDirectory() as folder:
            found = pairs(Path(folder, "box"), options.runs)
        ours, theirs = (statistics.median(column) for column in zip(*found, strict=True))
        ratio = statistics.median(one / other for one, other in found)
        label = f"{len(kept)} core" + "s" * (len(kept) > 1)
        print(f"{label:12}{ours:14.2f}{theirs:12.2f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
