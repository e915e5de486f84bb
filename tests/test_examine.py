"""One run of one hidden test ends in time, whatever it is doing, and leaves no alarm or worker."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import time

import pytest
from toy import Toy

from autograder.errors import Limit, StudentTimeout
from autograder.judging import alarm, diagnose, hidden_test
from autograder.judging.hidden_test import HiddenTest, InProcess
from autograder.model import Verdict

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="alarms need POSIX"),
    pytest.mark.timeout(60, method="thread"),  # the usual way takes the alarm for itself
]

SHORT = 0.05  # seconds


@pytest.fixture(autouse=True)
def _no_alarm_is_left():
    yield
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.SIGALRM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def busy(seconds: float) -> None:
    """Computes, so that an alarm can ring at any line."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def hidden(function) -> HiddenTest:
    return HiddenTest("test_toy", "It holds.", 1.0, "part", (), "", False, function)


@pytest.fixture
def ring(monkeypatch):
    """Rings when all time is used up."""

    later = itertools.count(10**9, 10**9)

    def ring() -> None:
        monkeypatch.setattr(time, "process_time", lambda: float(next(later)))
        signal.raise_signal(signal.SIGALRM)

    return ring


class Closing:
    """A candidate during whose bridge's closing the alarm rings."""

    def __init__(self, ring=lambda: None) -> None:
        self.ring = ring
        self.closed = 0

    def open(self, record, seconds):
        bridge = InProcess.of("x = 1\n", "work.py").open(record, seconds)

        def close(passed: bool = False) -> None:
            self.ring()
            self.closed += 1

        bridge.close = close
        return bridge


def test_the_generator_of_the_test_s_data_is_never_handed_over():
    candidate = InProcess.of("def draw(x): return 1", "work.py")
    careless = HiddenTest(
        "test_toy",
        "It holds.",
        1.0,
        "part",
        (),
        "",
        False,
        lambda student, rng: student.draw([rng]),
    )
    careful = HiddenTest(
        "test_toy",
        "It holds.",
        1.0,
        "part",
        (),
        "",
        False,
        lambda student, rng: student.draw(rng.spawn(1)[0]),
    )
    assert "give the student another generator" in str(
        hidden_test.run(careless, candidate, 0).error
    )
    assert hidden_test.run(careful, candidate, 0).passed


def test_a_run_without_end_is_ended():
    with pytest.raises(StudentTimeout, match=r"within 0\.05 seconds"):
        alarm.within(SHORT, lambda: busy(10))


def test_code_that_swallows_the_alarm_meets_the_next_one(monkeypatch):
    monkeypatch.setattr(alarm, "LOOK_SECONDS", 0.05)
    swallowed = []

    def stubborn() -> None:
        with contextlib.suppress(StudentTimeout):
            busy(10)
        swallowed.append(True)
        busy(10)

    with pytest.raises(StudentTimeout):
        alarm.within(SHORT, stubborn)
    assert swallowed


def test_an_alarm_that_was_set_before_is_still_set():
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 100, 50)
    assert alarm.within(10, lambda: "done") == "done"
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert 90 < left <= 100 and interval == 50


def test_a_worker_is_closed_even_when_the_alarm_rings_meanwhile(ring):
    candidate = Closing(ring)
    with pytest.raises(StudentTimeout):
        alarm.within(60, lambda: hidden_test.run(hidden(lambda student: None), candidate, 0))
    assert candidate.closed == 1


def test_an_alarm_that_rang_just_before_alarms_are_held_back_costs_no_worker_and_no_later_alarm(
    monkeypatch,
):
    """The interpreter hears of it when the signal mask has changed already."""
    hold_back, late = signal.pthread_sigmask, [StudentTimeout("Timeout", "late")]

    def heard_late(how, mask):
        before = hold_back(how, mask)
        if late and signal.SIGALRM in mask:
            raise late.pop()
        return before

    monkeypatch.setattr(signal, "pthread_sigmask", heard_late)
    candidate = Closing()
    with pytest.raises(StudentTimeout, match="late"):
        hidden_test.run(hidden(lambda student: None), candidate, 0)
    assert candidate.closed == 1


def test_an_alarm_after_the_test_proper_is_a_timeout_and_no_crash(tmp_path, ring):
    key = diagnose.AnswerKey(Toy.build(tmp_path / "course").assignment)
    outcome = diagnose.judge(hidden(lambda student: None), Closing(ring), 0, key, seconds=60)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.limit is Limit.COMPUTING


@pytest.mark.parametrize("moment", range(0, 400, 7))
def test_wherever_it_rings_there_is_one_outcome_and_no_alarm_is_left(moment, tmp_path, key):
    """The alarm may ring at any line: here it does, a little later each time."""
    outcome = diagnose.judge(
        hidden(lambda student: busy(0.002)),
        InProcess.of("x = 1\n", "work.py"),
        0,
        key,
        seconds=1e-5 * (1 + moment),
    )
    assert outcome.verdict in (Verdict.PASSED, Verdict.FAILED)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return diagnose.AnswerKey(Toy.build(tmp_path_factory.mktemp("toy") / "course").assignment)
