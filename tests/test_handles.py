"""Handles by name: what an earlier test has asked for needs no question of its own, and nobody can tell the difference."""

from __future__ import annotations

import textwrap

import pytest

from autograder.isolation.bridge.handles import Remote
from autograder.isolation.limits import Limits
from autograder.judging.hidden_test import HiddenTest, InProcess, run

MAIN = "work.py"
TEXT = textwrap.dedent("""
    class Counter:
        start = 3
        def __init__(self, items): self.items = items
        def total(self): return sum(self.items)
        @classmethod
        def made(cls, items): return cls(items)
    class Other:
        made = 5
    def double(x): return 2 * x
    def fill_(x): x[:] = [7.0] * len(x)
    def twice(f, x): return f(f(x))
    def kind(x): return type(x).__name__
    def itself(f): return f
    def numbers(): return [1, 2]
    double_of_four = double(4)
""").encode()


@pytest.fixture(params=["in_process", "walled"])
def candidate(request, server):
    """A submission, in both places that a test can reach."""
    if request.param == "in_process":
        yield InProcess({MAIN: TEXT}, MAIN)
        return
    walled = server.candidate({MAIN: TEXT}, MAIN, Limits(), keeps_workers=True)
    yield walled
    walled.close()


def asked(candidate, body) -> tuple[list[str], list[object]]:
    """The operations that a test's body asks for, and the events of its run, handles as "handle"."""
    operations: list[str] = []

    def watched(student, lab):
        ask = student._bridge.ask

        def listen(operation, *arguments, **options):
            operations.append(operation)
            return ask(operation, *arguments, **options)

        student._bridge.ask = listen
        body(student, lab)

    trace = run(HiddenTest("test", "", 1.0, "part", (), "", False, watched), candidate, 0)
    assert trace.passed, trace.error
    return operations, [
        ("ok", "handle") if isinstance(event[1], Remote) else event for event in trace.events
    ]


def both(candidate, body) -> tuple[list[str], list[str]]:
    """The operations of a first and of a second run, whose events are the same."""
    first, events = asked(candidate, body)
    second, again = asked(candidate, body)
    assert again == events
    return first, second


def test_a_function_is_asked_for_once_in_a_submission(candidate):
    def body(student, lab):
        assert student.double(4) == 8

    assert both(candidate, body) == (["get", "call"], ["call"])


def test_data_are_asked_for_every_time(candidate):
    def body(student, lab):
        assert student.double_of_four == 8

    assert both(candidate, body) == (["get"], ["get"])


def test_an_object_is_made_by_its_class_and_stays_there(candidate):
    def body(student, lab):
        counter = student.Counter([1, 2])
        assert isinstance(counter, Remote) and counter.total() == 3 and student.Counter.start == 3

    assert both(candidate, body) == (["get", "call", "get", "call", "get"], ["call", "call", "get"])


def test_a_name_may_be_given_to_the_student_s_code(candidate):
    def body(student, lab):
        assert student.twice(student.double, 3) == 12 and student.kind(student.Counter) == "type"

    both(candidate, body)


def test_a_name_and_a_number_for_the_same_thing_are_equal(candidate):
    def body(student, lab):
        assert student.itself(student.double) == student.double
        assert student.double == lab.kept(student.double)
        assert student.double != student.twice and student.double != 3

    both(candidate, body)


def test_what_is_kept_stays_there(candidate):
    def body(student, lab):
        assert student.numbers() == [1, 2]
        assert isinstance(lab.kept(student).numbers(), Remote) and isinstance(
            lab.kept(student.numbers)(), Remote
        )

    both(candidate, body)


def test_a_name_that_ends_in_an_underscore_changes_its_argument(candidate):
    def body(student, lab):
        values = [1.0, 2.0]
        student.fill_(values)
        assert values == [7.0, 7.0]

    both(candidate, body)


def test_a_method_is_asked_for_once_for_all_objects_of_a_type(candidate):
    def body(student, lab):
        assert [student.Counter([n]).total() for n in range(3)] == [0, 1, 2]

    asked_for = ["get", "call", "get", "call", "call", "call", "call", "call"]
    assert both(candidate, body) == (asked_for, ["call"] * 6)


def test_attributes_of_classes_are_asked_for_every_time(candidate):
    def body(student, lab):
        assert student.Counter.made([1]).total() == 1 and student.Other.made == 5

    both(candidate, body)


def test_a_method_may_be_set_to_something_else(candidate):
    def body(student, lab):
        counter, other = student.Counter([1]), student.Counter([2])
        total = counter.total
        counter.total = 3
        assert (total(), counter.total, other.total()) == (1, 3, 2)

    both(candidate, body)


def test_who_holds_a_function_keeps_it_when_its_name_is_set(candidate):
    def body(student, lab):
        original = student.double
        student.double = student.kind
        assert (original(4), student.double(4)) == (8, "int")

    both(candidate, body)
