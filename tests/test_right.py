"""Right answers in other styles are overlays on the stub: only what differs, the rest is the given
code."""

from __future__ import annotations

import pytest
from toy import NAME

from autograder.authoring import right
from autograder.errors import SourceError

BASE = '''\
"""A module."""

from __future__ import annotations

import math

LIMIT = 3


class Counter:
    """Counts."""

    start = 1

    def __init__(self):
        self.number = self.start

    @property
    def twice(self):
        raise NotImplementedError("TODO")


def given(x):
    return x + LIMIT


@staticmethod
def asked(x):
    raise NotImplementedError("TODO")


class Kind(Exception):
    pass
'''


def module(overlay: str) -> dict:
    names: dict = {}
    exec(right.overlay(BASE, overlay), names)
    return names


def test_a_definition_takes_the_place_of_the_stub_s_and_the_rest_stays():
    names = module("def asked(x):\n    return given(x) * 2\n")
    assert names["asked"](1) == 8
    assert "TODO" in right.overlay(BASE, "def asked(x):\n    return x\n")  # Counter.twice
    assert right.overlay(BASE, "def asked(x): return x\n").count("asked") == 1


def test_a_class_is_laid_over_method_by_method():
    names = module(
        "class Counter:\n"
        "    def twice(self):\n        return self._times(2)\n\n"
        "    def _times(self, factor):\n        return self.number * factor\n"
    )
    assert names["Counter"]().twice() == 2
    assert names["Counter"].__doc__ == "Counts."


def test_a_class_of_another_kind_is_replaced_as_a_whole():
    names = module("class Kind(ValueError):\n    known = True\n")
    assert names["Kind"].__bases__ == (ValueError,) and names["Kind"].known
    names = module("class Counter(dict):\n    pass\n")
    assert not hasattr(names["Counter"], "twice")


def test_new_definitions_and_imports_are_there_when_they_are_needed():
    names = module(
        '"""Another style."""\n\nfrom __future__ import annotations\n\n'
        "from functools import cache\n\n"
        "# Known before the function that needs it.\nSTEP = 5\n\n\n"
        "@cache\ndef asked(x, step=STEP):\n    return x + step + math.floor(LIMIT)\n\n\n"
        "last = asked(0)\n"
    )
    assert names["asked"](1) == 9 and names["last"] == 8
    assert names["__doc__"] == "A module."


def test_an_assignment_comes_after_what_it_is_made_of():
    names = module("def asked(x):\n    return 7\n\n\ngiven = asked\nLIMIT = 4\n")
    assert names["given"](0) == 7 and names["LIMIT"] == 4


def test_answers_reads_the_folder_and_names_a_file_that_is_not_python(toy):
    assert right.answers(toy.assignment) == {}
    toy.write(f"grading/{NAME}/right/short.py", "def centred(x):\n    return x - x.mean()\n")
    ((name, text),) = right.answers(toy.assignment).items()
    assert name == "short" and "return x - x.mean()" in text and "TODO(sums)" in text
    toy.write(f"grading/{NAME}/right/wrong.py", "x = 1\ndef f(:\n")
    with pytest.raises(SourceError, match=r"wrong\.py:2: this is not Python"):
        right.answers(toy.assignment)
