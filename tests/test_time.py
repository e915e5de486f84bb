"""What computes is ended by its CPU limit alone, what only waits by the limit of waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy import MAIN

from autograder.errors import Limit, StudentDied, StudentError, StudentTimeout
from autograder.isolation import times
from autograder.isolation.limits import Limits
from autograder.isolation.workers import meter
from autograder.judging import diagnose
from autograder.judging.hidden_test import HiddenTest, Trace, import_error
from autograder.marking import feedback
from autograder.model import Verdict

SPIN = "while True:\n    pass\n"
SLEEP = "import time\ntime.sleep(600)\n"


@pytest.fixture
def started():
    """Starts programs, and ends them."""
    running: list[subprocess.Popen[bytes]] = []

    def start(program: str, count: int = 1) -> list[int]:
        new = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(count)]
        running.extend(new)
        return [one.pid for one in new]

    yield start
    for one in running:
        one.kill()
        one.wait()


def until(what) -> None:
    """Wait, for the test's own time limit at most."""
    while not what():
        time.sleep(0.01)


# -- the meter -------------------------------------------------------------------------------------


def test_who_sleeps_waits_and_who_computes_does_not(started):
    (sleeper,), (spinner,) = started(SLEEP), started(SPIN)
    until(lambda: not meter.is_running(sleeper) and meter.cpu_seconds(spinner) > 0.2)
    waiting = meter.Meter(lambda: [sleeper], own=False)
    computing = meter.Meter(lambda: [sleeper, spinner], own=False)
    time.sleep(0.3)
    assert not waiting.look() and waiting.waited >= 0.3 and waiting.computed == 0.0
    assert computing.look() and computing.waited == 0.0


def test_who_is_kept_from_the_processor_is_not_said_to_wait(started):
    """Stopped by the machine and ready to run is what a process on a loaded machine is."""
    pids = started(SPIN, 4 * (os.cpu_count() or 1))
    until(lambda: all(meter.cpu_seconds(pid) > 0.1 for pid in pids))
    meters = [meter.Meter(lambda pid=pid: [pid], own=False) for pid in pids]
    for _ in range(20):
        time.sleep(0.02)
        assert all(one.look() for one in meters)


STARVED = """
import os, time
from autograder.isolation.workers import meter

# One core, and somebody else on it who goes first.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
other = os.fork()
while other == 0:
    pass
try:
    os.nice(19)
    mine = meter.Meter(lambda: [])
    end = time.process_time() + 0.01
    while time.process_time() < end:
        pass
    mine.look()
    print(mine.waited)
finally:
    os.kill(other, 9)
    os.waitpid(other, 0)
"""


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not say it")
def test_a_grader_that_gets_no_processor_does_not_say_that_its_test_waits():
    done = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True)
    assert done.stdout == "0.0\n", done.stderr


def test_who_has_gone_is_not_running(started):
    (pid,) = started("")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not meter.is_running(pid)
    assert (meter.cpu_seconds(1 << 30), meter.is_running(1 << 30)) == (0.0, False)


def test_patience_is_for_waiting_only(started, monkeypatch):
    monkeypatch.setattr(meter, "LOOK_SECONDS", 0.02)
    (sleeper,), (spinner,) = started(SLEEP), started(SPIN)
    until(lambda: not meter.is_running(sleeper) and meter.cpu_seconds(spinner) > 0.2)
    over, endless = (meter.Patience(0.2, lambda pid=pid: [pid]) for pid in (sleeper, spinner))
    until(lambda: over.left() <= 0)
    for _ in range(20):
        time.sleep(0.02)
        assert endless.left() > 0


def test_a_family_is_a_process_and_its_descendants(started):
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SLEEP!r}])\n"
    (pid,) = started(program)
    until(lambda: len(meter.family(pid)) == 2)
    grandchild = meter.family(pid)[1]
    assert {pid, grandchild} <= set(meter.family(os.getpid()))
    os.kill(grandchild, signal.SIGKILL)


# -- a process that starts -------------------------------------------------------------------------


def test_a_slow_start_is_waited_for_as_long_as_it_computes(started, monkeypatch):
    """The one that computes answers late; the one that sleeps is given up."""
    import socket

    monkeypatch.setattr(meter, "START_SECONDS", 0.3)
    monkeypatch.setattr(meter, "LOOK_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    (spinner,) = started(SPIN)
    until(lambda: meter.cpu_seconds(spinner) > 0.2)
    begun = meter.cpu_seconds(spinner)
    looks = iter(range(100))

    def cpu(pid: int) -> float:
        if next(looks) == 40:
            theirs.send(b"ready")
        return begun + 0.05 * next(looks)

    monkeypatch.setattr(meter, "cpu_seconds", cpu)
    assert meter.answers(ours, spinner)
    monkeypatch.undo()
    monkeypatch.setattr(meter, "START_SECONDS", 0.1)
    monkeypatch.setattr(meter, "LOOK_SECONDS", 0.05)
    (sleeper,) = started(SLEEP)
    until(lambda: not meter.is_running(sleeper))
    ours.recv(10)
    assert not meter.answers(ours, sleeper)


# -- behind the wall -------------------------------------------------------------------------------


def test_a_worker_that_computes_is_ended_by_its_cpu_limit_however_long_it_takes(behind_the_wall):
    """It may wait for far less than it computes."""
    work = behind_the_wall("def spin():\n    while True: pass\n", call_seconds=3, test_seconds=0.5)
    with pytest.raises(StudentTimeout) as raised:
        work.student.spin()
    assert raised.value.limit is Limit.COMPUTING and "3 seconds of computing" in str(raised.value)


def test_a_worker_that_only_waits_is_ended_by_the_other_limit(behind_the_wall):
    work = behind_the_wall(
        "import time\ndef doze():\n    time.sleep(600)\n", call_seconds=600, test_seconds=2
    )
    with pytest.raises(StudentTimeout) as raised:
        work.student.doze()
    assert raised.value.limit is Limit.WAITING and "2 seconds of waiting" in str(raised.value)


def test_right_and_slow_beside_busy_loops_keeps_its_points(behind_the_wall, started):
    """More computing than the other limit, on a processor that many others want."""
    started(SPIN, 4 * (os.cpu_count() or 1))
    work = behind_the_wall(
        """
        import time
        def slow():
            end = time.process_time() + 1.5
            while time.process_time() < end: pass
            return 7
        """,
        call_seconds=20,
        test_seconds=1.2,
    )
    assert work.student.slow() == 7


@pytest.mark.parametrize(
    ("body", "limit", "words"),
    [
        ("while True: pass", Limit.COMPUTING, "your code computed for too long"),
        ("time.sleep(600)", Limit.WAITING, "your code waited for too long"),
    ],
)
def test_a_learning_check_that_a_limit_ends_says_by_which(server, toy, body, limit, words):
    text = f"import time\ndef train():\n    {body}\n"
    training = HiddenTest(
        "test_learns", "It learns.", 1.0, "sums", (), "", True, lambda student: student.train()
    )
    slow = candidate(server, text, call_seconds=1, test_seconds=3)
    outcome = diagnose.judge(training, slow, 1, diagnose.AnswerKey(toy.assignment))
    assert outcome.verdict is Verdict.FAILED and outcome.limit is limit
    assert words in feedback.student_text(outcome)


# -- imports ---------------------------------------------------------------------------------------


def candidate(server, text: str, **limits: float):
    return server.candidate({MAIN: text.encode()}, MAIN, Limits(**limits))


def test_an_import_that_computes_too_long_says_which_line_was_running(server):
    text = "x = 1\ndef train():\n    while True:\n        x = 2\n\ntrain()\n"
    error = import_error(candidate(server, text, call_seconds=1), 60)
    assert error.kind == "OutOfTimeError" and error.frames[-1].function == "train"
    assert error.frames[0].line == 6


def test_an_import_that_waits_too_long_is_told_apart(server):
    error = import_error(candidate(server, SLEEP, test_seconds=1), 60)
    assert isinstance(error, StudentTimeout) and error.limit is Limit.WAITING


def test_what_can_be_imported_is_no_error(server):
    assert import_error(candidate(server, "x = 1\n"), 60) is None


def test_an_error_at_import_is_found_with_its_line(server):
    error = import_error(candidate(server, "x = 1\nx / 0\n"), 60)
    assert isinstance(error, ZeroDivisionError) and error.frames[-1].line == 2


# -- the rules -------------------------------------------------------------------------------------


def test_a_test_s_own_seconds_are_of_computing_and_it_may_wait_four_times_as_long():
    assert times.waiting_seconds(None, 60) == 60 and times.waiting_seconds(30, 60) == 120
    assert times.waiting_seconds(5, 60) == 60
    assert times.grader_seconds(30, 60) == 120 + 60 + times.GRADER_MARGIN_SECONDS


FAILED, DIED = StudentError("X", "x"), StudentDied("Ended", "exit code 3")


@pytest.mark.parametrize(
    ("errors", "used", "runs"),
    [
        ([None], True, 1),
        ([FAILED], False, 1),
        ([DIED, DIED], False, 2),
        ([DIED, FAILED], False, 2),
        ([FAILED, FAILED], True, 2),
        ([DIED, DIED], True, 2),
        ([FAILED, DIED, FAILED], True, 3),
        ([FAILED, DIED, None], True, 3),
    ],
)
def test_a_failure_counts_when_it_is_the_submission_s_own(monkeypatch, toy, errors, used, runs):
    """``used``: the first worker had served another test."""
    made = []

    def run(test, candidate, seed):
        made.append(Trace(error=errors[len(made)], used=used and not made))
        return made[-1]

    monkeypatch.setattr(diagnose.hidden_test, "run", run)
    test = toy.tests["test_two_rewards"]
    trace = diagnose._run(60, test, toy.candidate(), 1, lambda: None)
    assert len(made) == runs and trace.error is errors[-1]
