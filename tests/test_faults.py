"""Whatever is killed, and whenever: marking again gives everybody the result of a quiet run.

python tests/test_faults.py --runs 30 does what the test does, more often.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import toy  # noqa: E402

from autograder.isolation.workers import meter  # noqa: E402

linux_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="the wall needs Linux and root"
)
VICTIMS = ("worker", "fork server", "grader", "command")
WORKER_UIDS = range(61000, 65000)
BUSY = "import time\ntime.sleep(0.1)\n"  # so that there is something to kill


def build(folder: Path) -> toy.Toy:
    """A toy course, and six submissions: three right, two with a known bug, one unfinished."""
    course = toy.Toy.build(folder / "course")
    submitted = folder / "submitted"
    submitted.mkdir()
    right, median = course.submission(), course.source.broken("median")
    undiscounted, stub = course.source.broken("no-discount"), course.source.stub()
    for number, text in enumerate((right, median, right, undiscounted, stub, right)):
        (submitted / f"student{number}.py").write_text(
            f"{text}\n{BUSY}# {number}\n", encoding="utf-8"
        )
    return course


def command(folder: Path, out: Path, *options: str) -> list[str]:
    """The command that marks them."""
    inputs = [str(folder / "submitted"), "--course", str(folder / "course"), "--out", str(out)]
    return [
        sys.executable,
        "-m",
        "autograder",
        "grade",
        "sequences",
        *inputs,
        "--jobs",
        "2",
        "--quiet",
        *options,
    ]


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "AUTOGRADER_SECRET": "the same in every run",
        "PYTHONPATH": str(HERE.parent),
        "HOME": str(folder),
    }


def grade(folder: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Mark them, and wait."""
    call = command(folder, out, *options)
    return subprocess.run(
        call,
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def results(out: Path) -> dict[str, object]:
    """Each student's result, without the time that it took."""
    told = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in out.glob("sequences/*/results.json")
    }
    return {
        name: {key: value for key, value in result.items() if key != "execution_time"}
        for name, result in told.items()
    }


# -- killing ---------------------------------------------------------------------------------------


def family(pid: int) -> dict[str, list[int]]:
    """The processes that a command has started, by what they are."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found: dict[str, list[int]] = {name: [] for name in VICTIMS} | {"command": [pid]}
    left = [(one, pid) for one in children.get(pid, [])]
    while left:
        one, parent = left.pop()
        left += [(child, one) for child in children.get(one, [])]
        if kind := _kind(one, parent == pid):
            found[kind].append(one)
    return found


def _kind(pid: int, first: bool) -> str:
    """``first``: the command itself has started it, and then it is no fork."""
    try:
        if os.stat(f"/proc/{pid}").st_uid in WORKER_UIDS or _uid(pid) in WORKER_UIDS:
            return "worker"
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    if b"autograder.marking.start_up" not in words:
        return ""
    return "fork server" if first else "grader"


def _uid(pid: int) -> int:
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Uid:")
    )
    return int(line.split()[1])


def killed(folder: Path, out: Path, victim: str, rng: random.Random) -> bool:
    """Kill -9 one of a command's processes at a random moment; whether there was one to kill."""
    process = subprocess.Popen(
        command(folder, out),
        env=environment(folder),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in _until_marking_begins(process, out):
            pass
        time.sleep(rng.uniform(0.0, 1.2))
        hit = False
        for _ in range(200):
            if process.poll() is not None:
                break
            if candidates := family(process.pid)[victim]:
                os.kill(rng.choice(candidates), signal.SIGKILL)
                hit = True
                break
            time.sleep(0.005)
        process.wait(60)
        return hit
    except ProcessLookupError:
        process.wait(60)
        return False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _until_marking_begins(process: subprocess.Popen[bytes], out: Path) -> Iterator[None]:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end and not family(process.pid)["worker"]:
        time.sleep(0.01)
        yield


def disturbed(
    folder: Path, victims: list[str], seed: int, quiet: dict[str, object]
) -> tuple[int, list[str]]:
    """Kill each victim in a separate run, then run again.

    Returns how many were there to be killed, and what differs from the quiet run.
    """
    hits, found = 0, []
    for number, victim in enumerate(victims):
        out = folder / f"out{number}"
        hit = killed(folder, out, victim, random.Random(f"{seed}/{number}"))
        hits += hit
        again = grade(folder, out)
        now = results(out)
        what = f"run {number}, {victim} {'killed' if hit else 'had ended already'}"
        if again.returncode != 0:
            found.append(
                f"{what}: the second run ends with {again.returncode}: {again.stderr[-300:]}"
            )
        found += [
            f"{what}: {name} differs from the quiet run"
            for name in quiet
            if now.get(name) != quiet[name]
        ]
    return hits, found


@pytest.mark.slow
@linux_root
@pytest.mark.timeout(600)
def test_what_is_killed_at_a_random_moment_is_made_good_by_the_next_run(tmp_path):
    build(tmp_path)
    assert grade(tmp_path, tmp_path / "quiet").returncode == 0
    quiet = results(tmp_path / "quiet")
    assert len(quiet) == 6
    hits, differences = disturbed(tmp_path, list(VICTIMS) * 2, seed=3, quiet=quiet)
    assert differences == []
    assert hits >= 4


@linux_root
def test_a_second_run_marks_only_what_has_changed(tmp_path):
    build(tmp_path)
    assert grade(tmp_path, tmp_path / "out").returncode == 0
    stamps = {
        path: path.stat().st_mtime_ns for path in tmp_path.glob("out/sequences/*/results.json")
    }
    changed = tmp_path / "submitted" / "student1.py"
    changed.write_text(changed.read_text(encoding="utf-8") + "# better\n", encoding="utf-8")
    assert grade(tmp_path, tmp_path / "out").returncode == 0
    touched = {
        path.parent.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp
    }
    assert touched == {"student1"}


# -- being told to end -----------------------------------------------------------------------------


def alive(pids: list[int]) -> list[int]:
    """Those that still run; who has ended and is not yet reaped by init does not."""
    states = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    found = []
    for pid, path in states.items():
        try:
            state = path.read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in ("Z", "X"):
            found.append(pid)
    return found


@linux_root
@pytest.mark.parametrize("moment", ["grader", "fork server", "worker"])
def test_a_command_that_is_told_to_end_leaves_no_process_and_keeps_what_it_found(tmp_path, moment):
    """One of the submissions sleeps, so that it is certainly being marked when the signal comes."""
    course = build(tmp_path)
    sleeps = course.submission("    return numbers - numbers.mean()", "    time.sleep(600)")
    (tmp_path / "submitted" / "zoe.py").write_text(f"import time\n{sleeps}", encoding="utf-8")
    process = subprocess.Popen(
        command(tmp_path, tmp_path / "out", "--only", "zoe"),
        env=environment(tmp_path),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    while not family(process.pid)[moment]:
        assert process.poll() is None
        time.sleep(0.02)
    watch = meter.Meter(lambda: family(process.pid)["worker"], own=False)
    while moment == "worker" and watch.waited < 1.0:  # Until the submission sleeps.
        time.sleep(0.5)
        watch.look()
    everybody = meter.family(process.pid)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[1].decode()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said and "Stopped." in said
    assert len(everybody) >= 2 and alive(everybody) == []
    if moment == "worker":
        found = results(tmp_path / "out")["zoe"]
        assert len(found["tests"]) == 2 and "score" not in found
        assert found["output"].startswith("Still being graded: 2 tests so far")


def teach_twice(course: toy.Toy) -> None:
    """Give the course a copy of its assignment, as a second one."""
    for top in ("assignments", "solutions", "grading"):
        shutil.copytree(course.root / top / "sequences", course.root / top / "again")
    course.edit("course.yml", "  sequences:", "  again: {weight: 1}\n  sequences:")


def test_proofs_that_are_told_to_end_do_not_finish_what_they_began(tmp_path):
    """Each in a process of its own. Their hidden tests sleep."""
    course = build(tmp_path)
    began = tmp_path / "began"
    began.mkdir()
    sleeps = f"open(f'{began}/{{os.getpid()}}', 'w').close() or time.sleep(600)"
    course.edit_hidden("import numpy as np", "import os\nimport time\n\nimport numpy as np")
    course.edit_hidden("numbers - numbers.sum() / 7", sleeps)
    teach_twice(course)
    process = subprocess.Popen(
        [sys.executable, "-m", "autograder", "verify", "--all", "--course", course.root],
        env=environment(tmp_path),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    while len(list(began.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    everybody = meter.family(process.pid)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said
    while alive(everybody):  # Python's helper ends a moment later; pytest's time limit is the end.
        time.sleep(0.02)


TOLD_TO_END_AT_A_PROOFS_BEGINNING = """
import os, signal, sys
from multiprocessing import util

start = util.spawnv_passfds

def start_and_be_told_to_end(path, arguments, fds):
    child = start(path, arguments, fds)
    if "spawn_main" in str(arguments):
        os.kill(os.getpid(), signal.SIGTERM)
    return child

util.spawnv_passfds = start_and_be_told_to_end
from autograder.cli.main import main
main()
"""


def test_proofs_that_are_told_to_end_while_they_begin_leave_no_traceback(tmp_path):
    """Between a process and what it is to do: Python would complain that it was told nothing."""
    course = build(tmp_path)
    teach_twice(course)
    ended = subprocess.run(
        [sys.executable, "-c", TOLD_TO_END_AT_A_PROOFS_BEGINNING]
        + ["verify", "--all", "--course", str(course.root)],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 128 + signal.SIGTERM
    assert ended.stderr == "Stopped.\n"


# -- places that cannot be written to --------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a little disk with these options; skips where that is not allowed."""
    mounted = []

    def mount(options: str) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
            capture_output=True,
            check=False,
        ).returncode:
            pytest.skip("mounting is not allowed here")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)


def explained(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One sentence, no traceback, exit code 2."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) <= 3
    assert all(word in done.stderr for word in words), done.stderr


@linux_root
def test_a_full_disk_is_said_in_one_sentence(tmp_path, small_disk):
    build(tmp_path)
    explained(grade(tmp_path, small_disk("size=16k") / "out"), "No space left on device")


@linux_root
def test_a_place_that_cannot_be_written_to_is_said_in_one_sentence(tmp_path, small_disk):
    build(tmp_path)
    explained(grade(tmp_path, small_disk("ro") / "out"), "Read-only file system", "disk")


@linux_root
def test_a_file_where_the_results_should_go_is_said_in_one_sentence(tmp_path):
    build(tmp_path)
    (tmp_path / "taken").write_text("", encoding="utf-8")
    explained(grade(tmp_path, tmp_path / "taken"), "taken", "Not a directory")


# -- whose fault it is -----------------------------------------------------------------------------


@linux_root
def test_a_hidden_test_that_itself_raises_leaves_its_points_open(tmp_path):
    course = build(tmp_path)
    course.edit_hidden(
        "    numbers = rng.normal(size=7)\n", "    numbers = rng.normal(size=7)[9]\n"
    )
    done = grade(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    for name, told in results(tmp_path / "out").items():
        verdicts = told["extra_data"]["verdicts"]
        assert verdicts.get("ungraded") == 1, name
        assert "score" not in told
        (broken,) = (test for test in told["tests"] if test["extra_data"]["verdict"] == "ungraded")
        assert "score" not in broken and "not your fault" in broken["output"]


@linux_root
def test_one_crash_costs_one_test(tmp_path):
    course = build(tmp_path)
    text = course.submission(
        "    return numbers - numbers.mean()", "    import os\n    os._exit(1)"
    )
    (tmp_path / "submitted" / "student9.py").write_text(text, encoding="utf-8")
    assert grade(tmp_path, tmp_path / "out").returncode == 0
    told = results(tmp_path / "out")["student9"]
    assert told["extra_data"]["verdicts"] == {"failed": 1, "passed": 3}
    assert told["score"] == 8


def main() -> int:
    """More runs than a test has time for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        build(folder)
        grade(folder, folder / "quiet")
        victims = [VICTIMS[number % len(VICTIMS)] for number in range(options.runs)]
        hits, found = disturbed(folder, victims, options.seed, results(folder / "quiet"))
    finally:
        shutil.rmtree(folder)
    print(
        "\n".join(
            [
                *found,
                f"{options.runs} runs, {hits} of them disturbed, seed {options.seed}:"
                f" {len(found)} differences",
            ]
        )
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
