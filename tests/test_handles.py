"""Handles: what a test asks of them, and which questions that costs."""

from __future__ import annotations

import textwrap

import pytest

from autograder.errors import StudentError, StudentMisuse
from autograder.isolation import codec
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.handles import Remote
from autograder.isolation.limits import Limits
from autograder.judging.hidden_test import InProcess

MAIN = "work.py"
TEXT = textwrap.dedent("""
    import abc, functools
    class Counter:
        start = 3
        def __init__(self, items): self.items = items
        def total(self): return sum(self.items)
        @classmethod
        def made(cls, items): return cls(items)
    class Other:
        made = 5
    class Abstract(abc.ABC):
        pass
    def double(x): return 2 * x
    def fill_(x): x[:] = [7.0] * len(x)
    def twice(f, x): return f(f(x))
    def kind(x): return type(x).__name__
    def itself(f): return f
    def numbers(): return [1, 2]
    def grows():
        global double
        double = 5
    def häufig(): return 1
    def _hidden(): return 1
    triple = functools.partial(lambda factor, x: factor * x, 3)
    double_of_four = double(4)
""").encode()


@pytest.fixture(params=["in_process", "walled"])
def opened(request, server):
    """Opens a bridge to TEXT, in both places that a test can reach."""
    bridges = []

    def open_bridge():
        candidate = (
            InProcess({MAIN: TEXT}, MAIN)
            if request.param == "in_process"
            else server.candidate({MAIN: TEXT}, MAIN, Limits())
        )
        bridges.append(candidate.open(lambda event: None, None))
        return bridges[-1]

    yield open_bridge
    for bridge in bridges:
        bridge.close()


@pytest.fixture
def student(opened):
    return opened().student


def asked(bridge, body) -> list[str]:
    """The operations that ``body(student)`` asks for."""
    operations: list[str] = []
    ask = bridge.ask

    def listen(operation, *arguments, **options):
        operations.append(operation)
        return ask(operation, *arguments, **options)

    bridge.ask = listen
    body(bridge.student)
    return operations


def test_a_function_of_the_module_is_called_without_asking_for_it(opened):
    def body(student):
        assert student.double(4) == 8 and student.double(5) == 10

    assert asked(opened(), body) == ["call", "call"]


def test_data_are_asked_for_every_time(opened):
    def body(student):
        assert student.double_of_four == 8 and student.double_of_four == 8

    assert asked(opened(), body) == ["get", "get"]


@pytest.mark.parametrize("name", ["häufig", "_hidden", "triple", "Abstract"])
def test_what_loading_does_not_report_is_asked_for_once(opened, name):
    def body(student):
        assert isinstance(getattr(student, name), Remote)
        assert isinstance(getattr(student, name), Remote)

    assert asked(opened(), body) == ["get"]


def test_what_is_not_there_is_asked_for(opened):
    bridge = opened()
    with pytest.raises(StudentError, match="nothing"):
        bridge.student.nothing(1)
    assert bridge.asked == 1


def test_an_object_is_made_by_its_class_and_stays_there(opened):
    def body(student):
        counter = student.Counter([1, 2])
        assert isinstance(counter, Remote) and counter.total() == 3 and counter.total() == 3
        assert student.Counter.start == 3

    assert asked(opened(), body) == ["call", "get", "call", "call", "get"]


def test_a_function_may_be_given_to_the_student_s_code(student):
    assert student.twice(student.double, 3) == 12 and student.kind(student.Counter) == "type"


def test_handles_to_the_same_thing_are_equal(opened):
    bridge = opened()
    student = bridge.student
    assert student.itself(student.double) == student.double
    assert student.double != student.twice and student.double != 3
    assert student.Counter.made([1]).total() == 1 and student.Other.made == 5
    assert opened().student.double != student.double


def test_a_name_that_ends_in_an_underscore_changes_its_argument(student):
    values = [1.0, 2.0]
    student.fill_(values)
    assert values == [7.0, 7.0]


def test_a_method_may_be_set_to_something_else(student):
    counter, other = student.Counter([1]), student.Counter([2])
    total = counter.total
    counter.total = 3
    assert (total(), counter.total, other.total()) == (1, 3, 2)


def test_who_holds_a_function_keeps_it_when_its_name_is_set(student):
    original = student.double
    student.double = student.kind
    assert (original(4), student.double(4)) == (8, "int")


def test_a_function_that_the_student_s_code_replaces_stays_what_loading_reported(student):
    student.grows()
    assert student.double(4) == 8


# -- reports that lie ------------------------------------------------------------------------------

HANDLE = ["h", 1, "function", True, False]
REPORTS = {
    "an answer to a question": [1, "ok", ["l", ["d", [], []], ["d", [], []]], [], [], []],
    "nothing": None,
    "no verdict": [0],
    "data in place of a function": [0, "ok", ["l", ["d", ["f"], [1.0]], ["d", [], []]], [], [], []],
    "a name that is a number": [0, "ok", ["l", ["d", [7], [HANDLE]], ["d", [], []]], [], [], []],
    "a list of functions": [0, "ok", ["l", ["l", HANDLE], ["d", [], []]], [], [], []],
    "a single part": [0, "ok", ["l", ["d", ["f"], [HANDLE]]], [], [], []],
    "code that is text": [0, "ok", ["l", ["d", [], []], ["d", ["work.py"], ["x"]]], [], [], []],
    "a parameter": [0, "ok", ["l", ["d", [], []], ["d", [], []]], [], [], [[0, "w", ["l"], None]]],
    "a change": [0, "ok", ["l", ["d", [], []], ["d", [], []]], [], [["x"]], []],
}


class Reporting:
    """A channel whose worker reports what it is told to."""

    prints = ""
    used = False

    def __init__(self, report):
        self._report = codec.pack(report, [])

    def loaded(self):
        return self._report

    def request(self, message, on_callback):
        return codec.pack([1, "ok", 2.0, [], [], []], [])

    def abort(self): ...

    def close(self, passed=False): ...


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_a_report_that_makes_no_sense_is_the_student_s_error(report):
    bridge = Bridge(Reporting(report))
    for use in (bridge.load, lambda: bridge.student.f, lambda: bridge.ask("seed", 1)):
        with pytest.raises(StudentMisuse, match="the student's process answered with"):
            use()


def test_the_control_a_report_that_makes_sense_is_believed():
    bridge = Bridge(Reporting([0, "ok", ["l", ["d", ["f"], [HANDLE]], ["d", [], []]], [], [], []]))
    assert bridge.load() == {} and bridge.student.f(1.0) == 2.0 and bridge.asked == 1


@pytest.mark.parametrize("patch", ["nothing", "raises", "other", "code"])
def test_a_worker_that_lies_in_its_report_fails_its_tests(server, patch):
    change = {
        "nothing": "b''",
        "raises": "codec.pack([0, 'raise', 'Passed', [], '', []], [])",
        "other": "codec.pack([5, 'ok', True, [], [], []], [])",
        "code": "codec.pack([0, 'ok', ['l', ['d', [], []], ['d', ['work.py'], [['y', 0]]]],"
        " [], [], []], [b'x'])",
    }[patch]
    text = f"""
import sys
codec = sys.modules["autograder.isolation.codec"]
sys.modules["autograder.isolation.bridge.worker"].Worker.report = lambda self: {change}
def f(): return 1
"""
    candidate = server.candidate({MAIN: text.encode()}, MAIN, Limits(test_seconds=5))
    with pytest.raises(StudentError):
        first = candidate.open(lambda event: None, None)
        assert first.student.f() == 1
        first.close()
        candidate.open(lambda event: None, None).student.f()
