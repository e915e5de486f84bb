"""A kept worker imports a submission again wherever the last test may have left something in it, and only there."""

from __future__ import annotations

import textwrap

import pytest
import torch  # noqa: F401  as in a worker: a first import of it by the submission changes the generators there are

from autograder.isolation.bridge import generators, worker
from autograder.isolation.workers.untouched import Modules

MAIN = "work.py"


@pytest.fixture
def imported():
    """Makes the Modules of a submission, and a list with an entry for each import of it."""

    def submit(text: str, **others: str) -> tuple[Modules, list[worker.Worker]]:
        files = {MAIN: textwrap.dedent(text).encode()} | {
            f"{name}.py": code.encode() for name, code in others.items()
        }
        made: list[worker.Worker] = []

        def load() -> worker.Worker:
            made.append(worker.load(files, MAIN))
            return made[-1]

        return Modules(load), made

    return submit


PLAIN = {
    "functions, classes and constants": """
        from __future__ import annotations
        import math
        from collections.abc import Callable
        from dataclasses import dataclass
        from functools import wraps
        from math import sqrt
        from pathlib import Path
        from typing import Any, NamedTuple, Optional
        import numpy as np
        import torch
        from torch import nn
        from torch.nn import functional as F

        LIMIT, NAMES, TABLE, DTYPE, KIND = 1.5, ("a", "b"), {"a": [1, {2}]}, torch.float64, np.dtype(float)
        Maybe = Optional[int]
        Rows = dict[str, list[int]]
        Function = Callable[[int], int]

        class Pair(NamedTuple):
            left: int
            right: float = 1.0

        @dataclass(frozen=True)
        class Config:
            rate: float = 0.1
            sizes: tuple[int, ...] = (1, 2)

        class Net(nn.Module):
            scale = 2.0
            def __init__(self): super().__init__(); self.layer = nn.Linear(1, 1)
            def forward(self, x): return self.layer(x)
            @property
            def width(self): return 1
            @staticmethod
            def helper(): return 1
            @classmethod
            def make(cls): return cls()
            @torch.no_grad()
            def act(self, x): return self(x)

        def logged(function):
            @wraps(function)
            def wrapper(*args): return function(*args)
            return wrapper

        @logged
        def ask(x=1, *, y=(1, 2)): Net().act(torch.ones(1)); Config(); Pair(1); return sqrt(4)
    """,
    "a helper": "import helper\ndef ask(): return helper.double(1)",
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_what_cannot_have_changed_is_not_imported_again(imported, text):
    modules, made = imported(text, helper="def double(x): return 2 * x")
    for _ in range(3):
        modules.fresh().module.ask()
    assert len(made) == 1


REMEMBERS = {
    "a list": "seen = []\ndef ask(): seen.append(1); return len(seen)",
    "a list in a dictionary": "seen = {'a': []}\ndef ask(): seen['a'].append(1); return len(seen['a'])",
    "a dictionary's value": "seen = {'a': 0}\ndef ask(): seen['a'] += 1; return seen['a']",
    "a set": "seen = set()\ndef ask(): seen.add(len(seen)); return len(seen)",
    "a number": "count = 0\ndef ask():\n    global count\n    count += 1\n    return count",
    "a new name": "def ask():\n    times = globals().get('times', 0) + 1\n    globals()['times'] = times\n    return times",
    "a default": "def ask(seen=[]): seen.append(1); return len(seen)",
    "a keyword's default": "def ask(*, seen=[]): seen.append(1); return len(seen)",
    "a function's attribute": "def ask(): ask.count += 1; return ask.count\nask.count = 0",
    "a function's new attribute": "def ask(): ask.count = getattr(ask, 'count', 0) + 1; return ask.count",
    "a closure": """
        def counter():
            count = 0
            def ask():
                nonlocal count
                count += 1
                return count
            return ask
        ask = counter()
    """,
    "a class": "class Count: made = 0\ndef ask(): Count.made += 1; return Count.made",
    "a class's default": "class Count:\n    def add(self, seen=[]): seen.append(1); return len(seen)\ndef ask(): return Count().add()",
    "a static method's default": "class Count:\n    @staticmethod\n    def add(seen=[]): seen.append(1); return len(seen)\ndef ask(): return Count.add()",
    "a property's function": "class Count:\n    @property\n    def n(self, seen=[]): seen.append(1); return len(seen)\ndef ask(): return Count().n",
    "a decorated function's default": "import torch\n@torch.no_grad()\ndef ask(seen=[]): seen.append(1); return len(seen)",
    "a cache": "import functools\nimport itertools\n@functools.cache\ndef number(): return next(numbers)\nnumbers = itertools.count()\ndef ask(): return number()",
    "an instance": "class Count: pass\ncount = Count()\ndef ask(): count.n = getattr(count, 'n', 0) + 1; return count.n",
    "an iterator": "import itertools\nnumbers = itertools.count()\ndef ask(): return next(numbers)",
    "an array": "import numpy as np\ncount = np.zeros(1)\ndef ask(): count[0] += 1; return count[0]",
    "a tensor": "import torch\ncount = torch.zeros(1)\ndef ask(): count.add_(1); return count.item()",
    "a network": "import torch\nnet = torch.nn.Linear(1, 1, bias=False)\nwith torch.no_grad(): net.weight.fill_(0)\n"
    "def ask():\n    with torch.no_grad(): net.weight.add_(1)\n    return net.weight.item()",
    "a generator": "import numpy as np\nrng = np.random.default_rng(0)\ndef ask(): return rng.random()",
    "another code": "def first(): return 1\ndef second(): return 2\ndef ask():\n    n = first()\n    first.__code__ = second.__code__\n    return n",
    "a helper's list": "import helper\ndef ask(): helper.seen.append(1); return len(helper.seen)",
    "a helper that is imported late": "def ask():\n    import helper\n    helper.seen.append(1)\n    return len(helper.seen)",
    "what an import seeds": "import random\nrandom.seed(7)\ndef ask(): return random.random()",
    "what an import seeds in numpy": "import numpy as np\nnp.random.seed(7)\ndef ask(): return np.random.random()",
    "what an import seeds in torch": "import torch\ntorch.manual_seed(7)\ndef ask(): return torch.rand(1).item()",
    "what an import sets": "import torch\ntorch.set_default_dtype(torch.float64)\ndef ask(): return str(torch.ones(1).dtype)",
    "more than can be looked through": "rows = [str(i) for i in range(9999)]\ndef ask(): rows.append(''); return len(rows)",
    "a class that will not be looked into": "class Meta(type):\n    __module__ = property(lambda self: 1 / 0)\n"
    "class Count(metaclass=Meta): seen = []\ndef ask(): Count.seen.append(1); return len(Count.seen)",
}  # fmt: skip


@pytest.fixture(autouse=True)
def as_they_were():
    """Generators and dtype, for the tests after these."""
    yield
    generators.begin_anew()


@pytest.mark.parametrize("text", REMEMBERS.values(), ids=REMEMBERS)
def test_what_may_remember_is_imported_again(imported, text):
    modules, made = imported(text, helper="seen = []")
    answers = []
    for _ in range(3):
        generators.begin_anew()
        answers.append(modules.fresh().module.ask())
    assert answers == [answers[0]] * 3
    assert len(made) == 3


def test_an_import_that_fails_is_made_again(imported):
    modules, made = imported("1 / 0")
    assert modules.fresh().failure and modules.fresh().failure
    assert len(made) == 2


def test_a_test_that_has_set_a_name_leaves_nothing(imported):
    modules, _ = imported("def ask(): return 1")
    modules.fresh().module.ask = lambda: 2
    assert modules.fresh().module.ask() == 1
