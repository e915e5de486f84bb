"""GPU parts, with and without a GPU: what counts, what is shown; the wall of workers with one."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import MAIN, NAME

from autograder.authoring.course import load_course
from autograder.errors import CourseError, StudentError
from autograder.export import gradescope, master
from autograder.isolation import doctor
from autograder.isolation.limits import Limits
from autograder.isolation.wall import gpu, sandbox
from autograder.isolation.workers.walled import WorkerServer
from autograder.judging import gpu_part
from autograder.judging.hidden_test import HiddenTest, InProcess, Trace, run
from autograder.marking import feedback, grader, result_files
from autograder.marking.engines import Job, Listed, LocalEngine, Progress
from autograder.marking.grade import Grading
from autograder.marking.score import score
from autograder.marking.submission import Submission
from autograder.model import GpuStatus, Grade, Outcome, Verdict, from_data, to_data

walled_only = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="the wall needs Linux and root"
)

SCALE = """\
import numpy as np
import pytest

from autograder.judging.checks import assert_close
from autograder.judging.plugin import points

pytestmark = pytest.mark.gpu


@points(5, part="sums", hint="Long sequences are only longer.")
def test_long_sequences(student, lab, rng):
    \"\"\"A million rewards are summed as three are.\"\"\"
    assert_close(student.discounted(np.ones(1000), 1.0), 1000.0, what="the sum")
    lab.rate("rewards per second", 1234.5)
"""
WRONG = "return float(rewards @ weights) if len(rewards) < 9 else 0.0"
MISSING = "no driver"


@pytest.fixture
def course(toy):
    toy.write(f"grading/{NAME}/test_scale.py", SCALE)
    return toy


def say(toy, word: str) -> None:
    toy.edit("course.yml", "assignments:", f"scale: {word}\nassignments:")


class HereEngine:
    """The grader of the grader process, in this process, so that a GPU can be pretended."""

    where = "this machine"

    def __init__(self, assignment):
        hidden = [assignment.root / folder for folder in ("grading", "solutions")]
        server = WorkerServer.launch(assignment.libraries, hidden, assignment.isolation)
        self._grader = grader.Grader(assignment, server, hidden)
        hello = self._grader.hello()
        self.tests = [Listed(**test) for test in hello["tests"]]
        self.layers, self.leaks = sandbox.Layers(**hello["layers"]), hello["leaks"]
        self.gpu = from_data(GpuStatus, hello["gpu"])

    def run(self, jobs):
        for job in jobs:
            told = {"files": dict(job.files), "seed": job.seed, "share": 1.0, "core": None}
            progress = Progress(job)
            for message in self._grader.messages(told, lambda: None):
                if "outcome" in message:
                    outcome = from_data(Outcome, message["outcome"])
                    progress.outcomes[outcome.test] = outcome
            progress.finished = True
            yield progress

    def close(self):
        self._grader.close()


@pytest.fixture
def mark(course, tmp_path, monkeypatch):
    """Marks one submission with a GPU or without; its grade, results.json and full marks."""

    def mark(text: str, missing: str, engine=HereEngine):
        monkeypatch.setattr(gpu_part, "gpu_missing", lambda: missing)
        opened = engine(course.assignment)
        try:
            grading = Grading(course.course, course.assignment, opened, tmp_path / "out")
            (grade,) = grading.run(
                [Submission("ada", {MAIN: text.encode()})], True, lambda grade, total: None
            )
        finally:
            opened.close()
        return (
            grade,
            json.loads((grading.folder / "ada" / result_files.RESULTS).read_text()),
            grading.worth,
        )

    return mark


def verdicts(grade: Grade) -> list[Verdict]:
    return [outcome.verdict for outcome in grade.outcomes]


# -- what counts -----------------------------------------------------------------------------------


@walled_only
def test_an_optional_part_is_shown_with_a_gpu_and_worth_nothing(course, mark):
    grade, found, worth = mark(course.submission(), "")
    assert (worth, found["score"]) == (10.0, 10.0)
    *_, last = found["tests"]
    assert (last["score"], last["max_score"], last["status"]) == (0.0, 0.0, "passed")
    assert (
        "No points depend on this part" in last["output"]
        and "1,234.5 rewards per second" in last["output"]
    )
    assert grade.provenance["gpu_part"] == {"state": "run", "reason": "", "points": "optional"}


@walled_only
def test_failing_an_optional_part_costs_nothing(course, mark):
    grade, found, _ = mark(course.submission("return float(rewards @ weights)", WRONG), "")
    assert verdicts(grade) == [Verdict.PASSED] * 4 + [Verdict.FAILED]
    assert found["score"] == 10.0 and feedback.note(grade) == "all passed"
    assert "Hint: Long sequences" in found["tests"][-1]["output"]


@walled_only
def test_an_optional_part_that_is_our_fault_keeps_no_score_open(course, mark):
    # Even the reference fails this test.
    course.edit(f"grading/{NAME}/test_scale.py", "1000.0, what", "999.0, what")
    grade, found, _ = mark(course.submission(), "")
    assert verdicts(grade)[-1] is Verdict.UNGRADED and grade.complete and found["score"] == 10.0


@walled_only
def test_an_optional_part_is_left_out_without_a_gpu(course, mark):
    grade, found, worth = mark(course.submission(), MISSING)
    assert (len(found["tests"]), worth, found["score"]) == (4, 10.0, 10.0)
    assert grade.provenance["gpu_part"] == {
        "state": "not_run",
        "reason": MISSING,
        "points": "optional",
    }


@walled_only
def test_a_required_part_counts_with_a_gpu(course, mark):
    say(course, "required")
    for text, points in (
        (course.submission(), 15.0),
        (course.submission("return float(rewards @ weights)", WRONG), 10.0),
    ):
        _, found, worth = mark(text, "")
        assert (worth, found["score"]) == (15.0, points)


@walled_only
def test_a_required_part_without_a_gpu_is_ungraded_and_says_what_to_do(course, mark):
    say(course, "required")
    grade, found, worth = mark(course.submission(), MISSING)
    assert "score" not in found and score(grade, worth).points is None
    assert verdicts(grade) == [Verdict.PASSED] * 4 + [Verdict.UNGRADED]
    assert feedback.note(grade) == (
        f"ungraded: this test runs on a GPU, and did not: {MISSING}. Run 'grade' where it can, "
        "or write 'scale: optional' in course.yml"
    )


@walled_only
@pytest.mark.skipif(not gpu.gpu_missing(), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("word", "count", "points"), [("optional", 4, 10.0), ("required", 5, None)]
)
def test_the_engine_itself_finds_no_gpu_here(course, mark, word, count, points):
    say(course, word)
    _, found, _ = mark(
        course.submission(), "never asked in this process", lambda one: LocalEngine(one, 1)
    )
    assert (len(found["tests"]), found.get("score")) == (count, points)
    told = found["extra_data"]["provenance"]["gpu_part"]
    assert "torch.cuda.is_available() is False" in told["reason"]


@walled_only
def test_an_assignment_without_a_gpu_part_says_nothing_of_it(toy):
    engine = LocalEngine(toy.assignment, 1)
    engine.close()
    assert engine.gpu == GpuStatus() and not any(test.extra for test in engine.tests)


@walled_only
def test_a_marker_that_waits_for_the_gpu_says_that_it_lives(course, monkeypatch):
    monkeypatch.setattr(gpu_part, "GPU_LOOK_SECONDS", 0.01)
    part = gpu_part.GpuPart(course.assignment, [])
    child = os.fork()
    if child == 0:  # another marker
        list(part._wait(1.0))
        os.kill(os.getpid(), signal.SIGSTOP)  # has it, and does not give it back
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    waiting = part._wait(7.0)
    assert [next(waiting) for _ in range(3)] == [{"patience": 7.0}] * 3
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert list(waiting) == []


# -- course.yml and the file -----------------------------------------------------------------------


def test_an_assignment_may_differ_from_its_course(toy):
    assert toy.assignment.scale == toy.course.assignments[0].scale == "optional"
    say(toy, "required")
    assert toy.assignment.scale == toy.course.assignments[0].scale == "required"
    toy.edit("course.yml", "{weight: 2,", "{weight: 2, scale: optional,")
    assert toy.assignment.scale == toy.course.assignments[0].scale == "optional"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "scale: requird",
            "scale is 'requird': 'required' or 'optional' is expected; did you mean 'required'?",
        ),
        ("scale: 3", "scale is 3: 'required' or 'optional' is expected"),
        ("scael: optional", "'scael' is not a known key; did you mean 'scale'?"),
    ],
)
def test_a_wrong_word_is_a_course_error_that_guesses(toy, line, says):
    toy.edit("course.yml", "assignments:", f"{line}\nassignments:")
    with pytest.raises(CourseError) as caught:
        load_course(toy.root)
    assert str(caught.value) == f"{toy.root / 'course.yml'}: {says}"


def test_a_test_that_is_not_marked_gpu_is_refused(course):
    course.edit(f"grading/{NAME}/test_scale.py", "pytestmark = pytest.mark.gpu\n", "")
    with pytest.raises(
        CourseError,
        match=r"test_long_sequences is not marked gpu: write 'pytestmark = pytest\.mark\.gpu'",
    ):
        gpu_part.collect(course.assignment)


@walled_only
def test_a_name_that_hidden_tests_have_already_is_refused(course):
    course.edit(f"grading/{NAME}/test_scale.py", "test_long_sequences", "test_two_rewards")
    with pytest.raises(
        CourseError, match=r"test_two_rewards is a test of test_hidden\.py too: rename it"
    ):
        HereEngine(course.assignment)


@pytest.mark.parametrize(("word", "count"), [("optional", 4), ("required", 5)])
def test_notebooks_for_other_tools_have_only_what_counts(course, word, count):
    say(course, word)
    assert len(master.hidden_tests(course.assignment)) == count


def test_without_a_gpu_authors_read_why_it_was_skipped(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.gpu_missing().startswith("torch.cuda.is_available() is False")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert gpu.gpu_missing() == ""


# -- rates -----------------------------------------------------------------------------------------


def test_rates_are_recorded_and_must_be_numbers(toy):
    def measured(value):
        test = HiddenTest(
            "t", "", 1, "", (), "", False, lambda lab: lab.rate("tokens per second", value)
        )
        return run(test, InProcess.of("", "work.py"), 0)

    assert measured(1234567.0).rates == {"tokens per second": 1234570.0}
    for value in (np.nan, -1.0, np.inf):
        assert isinstance(measured(value).error, ValueError) and measured(value).rates == {}
    assert Trace().rates == {}


def test_rates_go_to_the_leaderboard_of_who_passed():
    passed = Outcome(
        "t", "A step.", "loss", Verdict.PASSED, 0.0, extra=True, rates={"tokens per second": 9.0}
    )
    dress = gradescope._dresser(type("Desk", (), {"tests": []})(), "visible")
    board = [
        dress({"tests": []}, Grade("ada", (one,))).get("leaderboard")
        for one in (passed, replace(passed, verdict=Verdict.FAILED))
    ]
    assert board == [[{"name": "Tokens per second", "value": 9.0, "order": "desc"}], None]
    assert from_data(Outcome, to_data(passed)) == passed


# -- the wall of workers with a GPU ----------------------------------------------------------------

CODE = """
import os
import numpy as np

def takes(mib):
    return float(np.ones(mib << 17).sum())

def reserves(gib):
    import mmap
    no_reserve = 0x4000
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    mmap.mmap(-1, gib << 30, flags=flags, prot=0)
    return "reserved"

def opens(path, flags):
    os.close(os.open(path, flags))

def asks(path, request):
    import fcntl
    with open(path, "rb") as file:
        return fcntl.ioctl(file, request, b" " * 8)
"""


@pytest.fixture(scope="module")
def gpu_server():
    server = WorkerServer.start(["numpy"], gpu=True)
    yield server
    server.close()


@pytest.fixture
def worker(gpu_server):
    bridge = gpu_server.candidate(
        {"work.py": CODE.encode()}, "work.py", Limits(memory_mib=256)
    ).open(lambda event: None, None)
    yield bridge.student
    bridge.close()


@walled_only
def test_nothing_that_the_probe_tries_is_allowed_with_a_gpu_either(gpu_server, tmp_path):
    bridge = doctor.probe(gpu_server)
    assert gpu_server.layers.strong and gpu_server.layers.landlock
    assert doctor.allowed(bridge, tmp_path) == []
    bridge.close()


@walled_only
def test_addresses_may_be_reserved_and_memory_not_taken(worker):
    assert worker.takes(64) == 64 << 17
    assert worker.reserves(200) == "reserved"
    with pytest.raises(MemoryError):
        worker.takes(512)


@walled_only
@pytest.mark.parametrize(
    "flags", [os.O_RDWR, os.O_RDWR | os.O_TRUNC, os.O_WRONLY, os.O_RDWR | os.O_CREAT]
)
@pytest.mark.parametrize("path", ["/dev/full", "/dev/tty", "/dev/shm/x", "/tmp/x", "/dev/zero"])
def test_only_the_gpus_devices_may_be_written_to(worker, path, flags):
    with pytest.raises(StudentError, match=r"Permission|permitted|No such"):
        worker.opens(path, flags)


@walled_only
def test_a_device_of_the_gpu_may_be_written_to(monkeypatch, tmp_path):
    """Pretended by a file: Landlock sees no difference."""
    device = tmp_path / "nvidia0"
    device.write_bytes(b"")
    device.chmod(0o666)
    monkeypatch.setattr(sandbox, "gpu_devices", lambda: [str(device)])
    child = os.fork()
    if child == 0:
        os._exit(_opens_only(str(device), str(tmp_path / "other")))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _opens_only(device: str, other: str) -> int:
    """In a child: 0 if the device can be opened for reading and writing and nothing else can."""
    from autograder.isolation.wall import seccomp

    open(other, "w").close()
    ruleset = sandbox.file_rules(gpu=True)
    sandbox.enter(
        sandbox.Cell(
            None,
            5,
            sandbox.private_memory() + (256 << 20),
            64,
            seccomp.build_filter(True, gpu=True),
            ruleset,
            True,
        )
    )
    os.close(os.open(device, os.O_RDWR))
    for path, flags in (
        (other, os.O_RDWR),
        (device, os.O_RDWR | os.O_CREAT),
        (device, os.O_WRONLY),
    ):
        try:
            os.open(path, flags)
        except OSError:
            continue
        return 1
    return 0


@walled_only
def test_other_workers_are_as_they_were(server):
    """No device to write to, no driver to ask, and addresses counted, where there is no GPU
    part."""
    bridge = server.candidate({"work.py": CODE.encode()}, "work.py", Limits(memory_mib=256)).open(
        lambda event: None, None
    )
    with pytest.raises(StudentError, match="Permission"):
        bridge.student.opens("/dev/zero", os.O_RDWR)
    with pytest.raises(StudentError, match="permitted"):
        bridge.student.asks("/dev/zero", 0xC00846D6)
    with pytest.raises(StudentError):
        bridge.student.reserves(200)
    bridge.close()


@walled_only
def test_ranks_can_have_it_too():
    server = WorkerServer.start(["torch"], profile="distributed", gpu=True)
    try:
        text = (
            b"import torch.distributed as dist\n"
            b"def total(x):\n    x = x.clone()\n    dist.all_reduce(x)\n    return x\n"
        )
        walled = server.candidate(
            {"work.py": text}, "work.py", Limits(memory_mib=2048, processes=32)
        )
        kept: list = []

        def program(lab):
            kept.extend(lab.ranks(2).run(lambda student, rank: student.total(torch.ones(2))))

        test = HiddenTest("t", "", 1, "", (), "", False, program)
        assert run(test, walled, 0).error is None
        assert [one.tolist() for one in kept] == [[2.0, 2.0]] * 2
    finally:
        server.close()


@walled_only
def test_submissions_meet_the_gpu_part_as_jobs_do_everything_else(course, monkeypatch):
    """A job's files and seed reach it; nothing else does."""
    monkeypatch.setattr(gpu_part, "gpu_missing", lambda: "")
    engine = HereEngine(course.assignment)
    (progress,) = engine.run([Job("ada", {MAIN: course.submission().encode()}, 3)])
    engine.close()
    assert progress.outcomes["test_long_sequences"].rates == {"rewards per second": 1234.5}
