"""A broken variant is run only where it can differ from the solution, and what is left out would
have come to the same."""

from pathlib import Path

import pytest
from toy import SOLUTION

from autograder.authoring.source import Source
from autograder.judging import hidden_test, relevance
from autograder.judging.relevance import calls, can_tell
from autograder.proof import verify

TEXT = """
LIMIT = 3

def outer(x):
    def inner(y):
        return y + 1
    return inner(x)

class Box:
    size: int = 2

    def put(self, x=1):
        return [other(x) for _ in range(self.size)]

    @property
    def full(self):
        return True

    @full.setter
    def full(self, value):
        pass

def other(x):
    return x
"""


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("        return y + 1", {"outer"}),
        ("    return x\n", {"other"}),
        ("        return [other(x)", {"Box.put"}),
        ("            pass", {"Box.full"}),
        ("LIMIT = 3", None),
        ("    size: int", None),
        # What only looks at the signature would see it too.
        ("    def put", None),
        ("    @property", None),
    ],
)
def test_what_a_bug_changes_is_named(statement, names):
    text = TEXT.replace("        pass", "            pass")
    line = next(line for line in text.splitlines() if line.startswith(statement.rstrip("\n")))
    indent = line[: len(line) - len(line.lstrip())]
    bug = f"{indent}# BUG(a-bug): {line.strip()}  # changed\n{indent}# WHEN something is wrong.\n"
    source = Source(Path("box.py"), text.replace(line, bug + line, 1))
    assert source.changed("a-bug") == (None if names is None else frozenset(names))


def test_calls_are_seen_also_from_within_other_functions_and_only_of_the_file():
    space = {}
    exec(compile(TEXT, "/somewhere/box.py", "exec"), space)
    with calls("box.py", TEXT) as called:
        space["Box"]().put()
    assert called == {"Box.put", "other"}
    with calls("box.py", TEXT) as called:
        space["outer"](1)
    assert called == {"outer"}
    with calls("another.py", TEXT) as called:
        space["outer"](1)
    assert called == set()


def test_calls_in_another_thread_are_seen():
    import threading

    space = {}
    exec(compile(TEXT, "box.py", "exec"), space)
    with calls("box.py", TEXT) as called:
        thread = threading.Thread(target=space["other"], args=(1,))
        thread.start()
        thread.join()
    assert called == {"other"}


def test_calls_in_a_forked_process_are_seen():
    import os

    space = {}
    exec(compile(TEXT, "box.py", "exec"), space)
    with calls("box.py", TEXT) as called:
        pid = os.fork()
        if pid == 0:
            try:
                space["Box"]().put()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    assert called == {"Box.put", "other"}


def test_an_earlier_trace_function_is_set_again():
    import sys

    seen = []
    watch = lambda *event: seen.append(event)  # noqa: E731
    sys.settrace(watch)
    try:
        with pytest.raises(ZeroDivisionError), calls("box.py", TEXT):
            1 / 0  # noqa: B018
        assert sys.gettrace() is watch
    finally:
        sys.settrace(None)


def test_what_differs_everywhere_can_always_be_told():
    assert can_tell(set(), None)
    assert not can_tell({"other"}, frozenset({"Box.put"}))
    assert can_tell({"other"}, frozenset({"other", "Box.put"}))


def test_the_kills_are_those_of_running_every_variant(toy, monkeypatch):
    monkeypatch.setattr(verify, "_check_public_tests", lambda *args: None)
    quick = verify.verify(toy.assignment)
    runs = []
    original = hidden_test.run
    monkeypatch.setattr(
        hidden_test, "run", lambda *arguments: runs.append(arguments) or original(*arguments)
    )
    verify.verify(toy.assignment)
    few = len(runs)
    monkeypatch.setattr(relevance, "can_tell", lambda called, differ: True)
    whole = verify.verify(toy.assignment)
    assert few < len(runs) - few
    assert (whole.kills, whole.named, whole.shortcomings) == (quick.kills, quick.named, [])
    assert SOLUTION.count("# BUG(") == len(whole.named)
