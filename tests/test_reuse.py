"""A worker whose test has passed serves the next one. No points are lost by it."""

from __future__ import annotations

import contextlib
import textwrap

import pytest

from autograder.isolation.limits import Limits
from autograder.isolation.workers import channel, walled
from autograder.judging import diagnose
from autograder.judging.hidden_test import HiddenTest, run
from autograder.model import Verdict

MAIN = "work.py"
PROCESS = "import os\ndef process(): return os.getpid()\n"


class Key:
    """No known bugs, and a reference that passes everything."""

    reference = None

    def calls(self) -> contextlib.nullcontext[set[str]]:
        return contextlib.nullcontext(set())


@pytest.fixture
def submission(server):
    """Makes a candidate that keeps its workers; keyword arguments are limits."""
    made = []

    def submit(
        text: str, keeps: bool = True, others: dict[str, str] | None = None, **limits: float
    ) -> walled.Walled:
        files = {
            name: textwrap.dedent(code).encode()
            for name, code in {MAIN: PROCESS + textwrap.dedent(text), **(others or {})}.items()
        }
        made.append(server.candidate(files, MAIN, Limits(**limits), reuses_workers=keeps))
        return made[-1]

    yield submit
    for candidate in made:
        candidate.close()


def hidden(function, name: str = "test", **marks) -> HiddenTest:
    return HiddenTest(name, "", 1.0, "part", (), "", False, function, **marks)


def seen(candidate, ask, **marks):
    """What a test that passes gets to see, and the number of its process."""
    found = []
    trace = run(
        hidden(lambda student: found.extend([ask(student), student.process()]), **marks),
        candidate,
        0,
    )
    assert trace.passed, trace.error
    return found


def process(candidate, **marks) -> int:
    return seen(candidate, lambda student: None, **marks)[1]


def fail(student):
    raise AssertionError


def test_a_worker_whose_test_passed_serves_the_next_one(submission):
    reused, fresh = submission(""), submission("", keeps=False)
    assert process(reused) == process(reused) == process(reused)
    assert process(fresh) != process(fresh)


def test_a_worker_whose_test_failed_serves_no_other(submission):
    candidate = submission("")
    before = process(candidate)
    assert not run(hidden(fail), candidate, 0).passed
    assert process(candidate) != before


def test_a_test_with_a_time_limit_of_its_own_has_a_worker_of_its_own(submission):
    candidate = submission("")
    usual = process(candidate)
    assert process(candidate, seconds=5.0) not in (usual, process(candidate, seconds=5.0))
    assert process(candidate) == usual


def test_a_worker_serves_no_longer_than_a_part_of_its_seconds(submission):
    worn, new = submission("", call_seconds=1e-3), submission("", call_seconds=100)
    assert process(worn) != process(worn)
    assert process(new) == process(new)


STATE = """
    import random
    import helper
    import numpy as np
    import torch

    random.seed(7)
    seen = []

    def draws():
        return random.random(), np.random.random(), torch.rand(()).item()

    def remember():
        seen.append(len(seen))
        helper.seen.append(len(helper.seen))
        return len(seen), len(helper.seen)

    def spoil():
        torch.set_default_dtype(torch.float64)
        return str(torch.ones(()).dtype)
"""


def test_the_module_its_helpers_generators_and_modes_are_as_in_a_fresh_worker(submission):
    candidate = submission(STATE, others={"helper.py": "seen = []"})

    def ask(student):
        return student.draws(), student.remember(), student.spoil()

    first, second = seen(candidate, ask), seen(candidate, ask)
    assert first == second  # the process is the same one too
    assert first[0][1] == (1, 1)


# Where a submission may keep something between two calls: the next test must find none of it.
REMEMBERS = {
    "a list": "seen = []\ndef ask(): seen.append(1); return len(seen)",
    "a new name": "def ask():\n    times = globals().get('times', 0) + 1\n"
    "    globals()['times'] = times\n    return times",
    "a default": "def ask(seen=[]): seen.append(1); return len(seen)",
    "a class": "class Count: made = 0\ndef ask(): Count.made += 1; return Count.made",
    "a cache": "import functools, itertools\nnumbers = itertools.count()\n@functools.cache\n"
    "def ask(): return next(numbers)",
    "a network": "import torch\nnet = torch.nn.Linear(1, 1, bias=False)\n"
    "def ask():\n    with torch.no_grad(): net.weight.add_(1)\n    return net.weight.item()",
    "a helper that is imported late": "def ask():\n    import helper\n    helper.seen.append(1)\n"
    "    return len(helper.seen)",
    "a generator that an import seeds": "import numpy as np\nnp.random.seed(7)\n"
    "def ask(): return np.random.random()",
    "torch's generator": "import torch\ntorch.manual_seed(7)\n"
    "def ask(): return torch.rand(1).item()",
    "a default dtype": "import torch\ndef ask():\n    found = str(torch.get_default_dtype())\n"
    "    torch.set_default_dtype(torch.float64)\n    return found",
}


@pytest.mark.parametrize("text", REMEMBERS.values(), ids=REMEMBERS)
def test_the_next_test_finds_nothing_of_what_a_submission_remembers(submission, text):
    candidate = submission(text, others={"helper.py": "seen = []"})
    answers = [seen(candidate, lambda student: student.ask()) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]  # the process is the same one too


def test_a_worker_that_nobody_asked_anything_serves_no_other_test(submission):
    """Its report of loading was not waited for, and the next test would take it for its own."""
    candidate = submission("")
    first = process(candidate)
    assert run(hidden(lambda student: None), candidate, 0).passed
    assert process(candidate) != first


def test_prints_and_counters_begin_again(submission, monkeypatch):
    candidate = submission("def speak(): print('x' * 1100)\n", prints_kib=1)
    monkeypatch.setattr(channel, "MAX_RECEIVED", 3000)
    for _ in range(50):
        trace = run(hidden(lambda student: student.speak()), candidate, 0)
        assert trace.passed and trace.prints == "x" * 1024 + "\n... and 77 bytes more"
    assert trace.used and candidate.shared.reused.waiting.received < 400


def test_the_deadline_is_each_tests_own(submission):
    # A worker grows old by its call_seconds, which a busy machine must not reach here.
    text = "import time\ndef wait(): time.sleep(0.8)\n"
    candidate = submission(text, test_seconds=2.5, call_seconds=1000)
    for _ in range(4):
        trace = run(hidden(lambda student: student.wait()), candidate, 0)
        assert trace.passed, trace.error
    assert trace.used


# What a submission leaves in the process, outside its module, is what its next test finds.
LEAVES = """
    import sys
    times = sys.times = getattr(sys, "times", 0) + 1

    def number():
        if times > 1:
            {then}
        return 1
"""


@pytest.mark.parametrize(
    "then",
    [
        "raise RuntimeError('again')",
        "return 2",
        "os._exit(3)",
        "os.kill(os.getpid(), 9)",
        "while True: pass",
        "return object()",
    ],
)
def test_what_fails_in_a_used_worker_only_is_no_failure(submission, then):
    candidate = submission(LEAVES.format(then=then), call_seconds=1)

    def check(student):
        assert student.number() == 1

    outcomes = [diagnose.judge(hidden(check), candidate, 0, Key()) for _ in range(3)]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.PASSED] * 3


def test_a_submission_that_stumbles_over_itself_has_fresh_workers_from_then_on(submission):
    candidate = submission(LEAVES.format(then="return 2"))
    processes = []

    def check(student):
        processes.append(student.process())
        assert student.number() == 1

    for _ in range(4):
        diagnose.judge(hidden(check), candidate, 0, Key())
    assert len(processes) == 5 and processes[0] == processes[1]
    assert len(set(processes)) == 4


def test_what_fails_in_a_fresh_worker_too_is_said_once(submission, monkeypatch):
    candidate = submission("def number(): return 2\n")
    times = []

    def check(student):
        times.append(student.process())
        assert student.number() == 1

    process(candidate)
    monkeypatch.setattr(Key, "reference", submission("def number(): return 1\n"))
    outcome = diagnose.judge(hidden(check), candidate, 0, Key())
    assert outcome.verdict is Verdict.FAILED
    assert len(times) == 3 and len(set(times)) == 3  # used, fresh, and the reference
    assert diagnose.judge(hidden(check), candidate, 0, Key()).verdict is Verdict.FAILED
    assert len(times) == 5  # fresh, and the reference


def test_a_worker_that_ended_meanwhile_is_replaced(submission):
    candidate = submission(
        "import threading\ndef leave(): threading.Timer(0.5, os._exit, [0]).start()\n"
    )
    first = seen(candidate, lambda student: student.leave())[1]
    channel = candidate.shared.reused.waiting
    channel._status.settimeout(10)
    while channel._listen()[0] != "ended":
        pass
    outcome = diagnose.judge(hidden(lambda student: student.process()), candidate, 0, Key())
    assert outcome.verdict is Verdict.PASSED
    assert process(candidate) != first


def test_nothing_is_left_of_a_worker_that_was_reused(submission, server):
    candidate = submission("")
    process(candidate)
    channel = candidate.shared.reused.waiting
    candidate.close()
    assert channel.closed and candidate.shared.reused.waiting is None
    assert process(candidate)  # and it can go on
