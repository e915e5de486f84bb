"""What marking costs beside otter-grader and nbgrader: four lanes in one run, the same copies of a
correct GAE submission.

    python tests/benchmarks/others.py [--count 6] [--jobs 2] [--others PYTHON]

engine, pytest   as in marking.py.
otter            `otter run` on each submission's notebook, as Gradescope would; all hidden tests in
                 one otter test file.
nbgrader         one `nbgrader autograde` for the whole class, a test cell for each hidden test.

PYTHON has otter-grader and nbgrader installed (requirements/ecosystem.txt); a lane whose tool is
missing is left out. Both run the hidden tests in the kernel of the student's notebook: no wall. The
engine marks before and after every other lane, which is compared with the mean. CPU is user plus
system time of all processes; only the engine's lane needs a meter (marking.py).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

import nbformat  # noqa: E402
from marking import NAME, ROOT, Cost, by_engine, by_pytest  # noqa: E402

from autograder.authoring.course import Assignment, load_assignment  # noqa: E402
from autograder.authoring.source import Source  # noqa: E402
from autograder.judging.plugin import collect  # noqa: E402

v4 = nbformat.v4


def timed(work: Callable[[], object]) -> Cost:
    """What some work with child processes costs."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall=time.perf_counter() - begun, cpu=cpu)


def call(python: Path, tool: str, *arguments: str, folder: Path) -> str:
    """One command of a tool in a folder."""
    paths = os.pathsep.join(map(str, (ROOT, Path(__file__).parent)))
    environment = os.environ | {
        "PYTHONPATH": paths,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [python.parent / tool, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(
            f"{tool} {arguments[0]} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        )
    return done.stdout + done.stderr


def has(python: Path, module: str) -> bool:
    """The tool's lane can be run."""
    return (
        subprocess.run(
            [python, "-c", f"import {module}"], capture_output=True, check=False
        ).returncode
        == 0
    )


# -- otter-grader ----------------------------------------------------------------------------------


def by_otter(
    assignment: Assignment, copies: dict[str, str], jobs: int, folder: Path, python: Path
) -> Cost:
    """Mark each copy with `otter run`."""
    names = [test.name for test in collect(assignment.hidden_tests)]
    lines = [
        "from in_kernel import check",
        "from otter.test_files import test_case",
        "OK_FORMAT = False",
        f"name, points = 'all', {len(names)}",
    ]
    for number, name in enumerate(names):
        lines += [
            "@test_case()",
            f"def test_{number}(SOURCE):",
            f"    check({assignment.name!r}, {name!r}, SOURCE)",
        ]
    (folder / "tests").mkdir()
    (folder / "tests" / "all.py").write_text("\n".join(lines) + "\n")
    call(python, "otter", "generate", "--no-environment", folder=folder)
    for name, text in copies.items():
        cells = [v4.new_code_cell(text), v4.new_code_cell(f"SOURCE = {text!r}")]
        nbformat.write(v4.new_notebook(cells=cells), folder / f"{name}.ipynb")

    def mark(name: str) -> None:
        (folder / name).mkdir()
        call(python, "otter", "run", "--no-logo", "-o", name, f"{name}.ipynb", folder=folder)
        found = (folder / name / "results.json").read_text()
        if f'"score": {float(len(names))}' not in found:
            raise SystemExit(f"otter: {name} did not get full marks:\n{found[:1500]}")

    with ThreadPoolExecutor(jobs) as pool:
        return timed(lambda: list(pool.map(mark, copies)))


# -- nbgrader --------------------------------------------------------------------------------------


def by_nbgrader(assignment: Assignment, copies: dict[str, str], folder: Path, python: Path) -> Cost:
    """Mark all copies with one `nbgrader autograde`."""
    names = [test.name for test in collect(assignment.hidden_tests)]
    (folder / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'bench'\n"
        "c.ExecutePreprocessor.timeout = 600\n"
    )
    source = folder / "source" / assignment.name / "work.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(
        _notebook("### BEGIN SOLUTION\npass\n### END SOLUTION", names, assignment.name), source
    )
    call(python, "nbgrader", "generate_assignment", assignment.name, folder=folder)
    for name, text in copies.items():
        path = folder / "submitted" / name / assignment.name / "work.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(_notebook(f"{text}\nSOURCE = {text!r}", names, assignment.name), path)
    cost = timed(lambda: call(python, "nbgrader", "autograde", assignment.name, folder=folder))
    call(python, "nbgrader", "export", folder=folder)
    if (folder / "grades.csv").read_text().count(
        f",{float(len(names))},{float(len(names))}"
    ) != len(copies):
        raise SystemExit(
            f"nbgrader: not all got full marks:\n{(folder / 'grades.csv').read_text()[:1500]}"
        )
    return cost


def _notebook(solution: str, tests: list[str], assignment: str) -> nbformat.NotebookNode:
    cells = [_cell(solution, "solution", solution=True)]
    for number, name in enumerate(tests):
        text = (
            f"### BEGIN HIDDEN TESTS\nfrom in_kernel import check\ncheck({assignment!r}, "
            f"{name!r}, SOURCE)\n### END HIDDEN TESTS"
        )
        cells.append(_cell(text, f"test_{number}", solution=False))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return v4.new_notebook(cells=cells, metadata=kernel)


def _cell(text: str, identity: str, solution: bool) -> nbformat.NotebookNode:
    marks = {
        "schema_version": 3,
        "grade_id": identity,
        "solution": solution,
        "grade": not solution,
        "locked": not solution,
        "task": False,
    }
    return v4.new_code_cell(
        text, metadata={"nbgrader": marks if solution else marks | {"points": 1}}
    )


# -- the table -------------------------------------------------------------------------------------


def main() -> None:
    """Run all lanes and print what each submission cost, start-up included."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=6, help="submissions in each lane")
    parser.add_argument("--jobs", type=int, default=2, help="submissions marked at a time")
    parser.add_argument(
        "--others",
        type=lambda path: Path(path).absolute(),
        default=Path(sys.executable),
        help="a Python with otter-grader and nbgrader",
    )
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    assignment = load_assignment(ROOT, NAME)
    solution = Source(assignment.solution).solution()
    copies = {f"copy{number}": f"{solution}# copy {number}\n" for number in range(options.count)}
    lanes = {"pytest": lambda folder: by_pytest(assignment, copies, options.jobs, folder)}
    if has(options.others, "otter"):
        lanes["otter run"] = lambda folder: by_otter(
            assignment, copies, options.jobs, folder, options.others
        )
    if has(options.others, "nbgrader"):
        lanes["nbgrader autograde"] = lambda folder: by_nbgrader(
            assignment, copies, folder, options.others
        )
    print(
        f"{options.count} submissions of {NAME}, {options.jobs} at a time, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    )
    print(f"{'CPU, s each':24}{'':>10}{'engine':>10}{'ratio':>10}{'with its start-up':>20}")
    before = by_engine(assignment, copies, options.jobs)
    for name, lane in lanes.items():
        with tempfile.TemporaryDirectory() as folder:
            cost = lane(Path(folder))
        # The machine may be faster now than when the lane began.
        after = by_engine(assignment, copies, options.jobs)
        engine, started = (before.cpu + after.cpu) / 2, (before.start_cpu + after.start_cpu) / 2
        each = f"{cost.cpu / options.count:10.2f}{engine / options.count:10.3f}"
        print(
            f"{name:24}{each}{cost.cpu / engine:9.1f}x{cost.cpu / (engine + started):19.1f}x",
            flush=True,
        )
        before = after


if __name__ == "__main__":
    main()
