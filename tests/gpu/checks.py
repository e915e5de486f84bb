"""The steps of run.sh: each is a command, and its line in the table says how it went.

    python tests/gpu/checks.py cuda | cpu

cpu is a rehearsal: the same steps, with the GPU parts' small sizes.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The repository is found whether it is installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from autograder.isolation.wall.gpu import gpu_missing

ROOT = Path(__file__).resolve().parents[2]
PARTS = sorted(path.parent.name for path in ROOT.glob("grading/*/test_scale.py"))
# As a GPU part prints its rates: "12,345 tokens per second".
RATE = re.compile(r"(\d[\d.,e+]*) ([a-z ]+ per second)\b")
LAST = re.compile(r"\d+ (?:passed|failed|skipped|error)[^=\n]*")


def steps(device: str, out: Path) -> dict[str, list[str]]:
    """By its name in the table, the arguments of each command."""
    found = {"doctor": ["autograder", "doctor"]}
    for name in PARTS:
        test = ["pytest", "-s", "-p", "no:cacheprovider", f"grading/{name}/test_scale.py"]
        found[f"{name}, in process"] = [*test, "--device", device]
        found[f"{name}, behind the wall"] = [*test, "--device", device, "--wall"]
        solution = f"solutions/{name}/{name}.py"
        found[f"{name}, graded"] = ["autograder", "grade", name, solution, "--out", str(out)]
    found["the wall of workers with a GPU"] = ["pytest", "-q", "tests/test_gpu_part.py"]
    return found


def run(arguments: list[str]) -> tuple[int, str, float]:
    """Exit code, output, seconds."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr, time.perf_counter() - begun


def words(code: int, output: str) -> str:
    """What a table says of a step: rates, or how many tests passed."""
    rates = [f"{value} {unit}" for value, unit in RATE.findall(output)]
    counts = LAST.findall(output)
    return "; ".join([*rates, *(count.strip() for count in counts[-1:])]) or (
        "as it should" if code == 0 else "see below"
    )


def machine() -> str:
    """Device, driver's CUDA and versions."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    cores = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{device}, CUDA {torch.version.cuda}, {versions}, {cores} cores"


def main() -> None:
    """Run every step and print the table. Exit code 1: one of them failed."""
    device, failed = sys.argv[1], {}
    if device == "cuda" and (missing := gpu_missing()):
        # Its tests would only be skipped, and that would look like success.
        sys.exit(f"no GPU: {missing}; 'sh tests/gpu/run.sh rehearse' does without")
    print(f"{machine()}\n\n| step | result | seconds |\n| -- | -- | -- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in steps(device, Path(folder)).items():
            code, output, seconds = run(arguments)
            said = words(code, output) + (f" (exit code {code})" if code else "")
            print(f"| {name} | {said} | {seconds:.1f} |", flush=True)
            if code:
                failed[name] = output
    for name, output in failed.items():
        print(f"\n== {name}\n{output[-3000:]}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
