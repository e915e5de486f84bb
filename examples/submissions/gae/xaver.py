"""Xaver: computes nothing and attacks the grader. Harmless: his own temporary folder and loopback only."""

import gc
import os
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch


class Always:
    """Equal to everything, close to everything, true."""

    dtype, shape, ndim, requires_grad = torch.float64, (12, 4), 2, False
    advantages = returns = property(lambda self: self)

    def __init__(self, *arguments, **options):
        pass

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def _same(self, *arguments, **options):
        return self

    def __bool__(self):
        return True

    def __float__(self):
        return 0.0

    def __len__(self):
        return 12

    def __iter__(self):
        return iter([self])

    __hash__ = object.__hash__
    __call__ = __getitem__ = __add__ = __sub__ = __mul__ = __truediv__ = __radd__ = __rsub__ = __abs__ = _same
    __le__ = __lt__ = __ge__ = __gt__ = __eq__


def try_to(deed, *arguments):
    try:
        return deed(*arguments)
    except BaseException as error:
        return error


def disarm_the_checks():
    import numpy.testing

    import torch.testing

    nothing = lambda *arguments, **options: None
    for module in (numpy.testing, torch.testing):
        for name in [name for name in dir(module) if name.startswith("assert")]:
            setattr(module, name, nothing)
    np.allclose = np.array_equal = torch.equal = torch.allclose = lambda *arguments, **options: True
    for name, module in list(sys.modules.items()):
        if name.startswith(("autograder", "pytest", "_pytest")):
            for attribute in [a for a in dir(module) if a.startswith(("assert", "judge", "run"))]:
                setattr(module, attribute, nothing)


def read_the_tests():
    found = []
    for start in (Path(globals().get("__file__", ".")).resolve().parent, Path.cwd()):
        for folder in (start, *start.parents):
            for wanted in ("grading/gae/test_hidden.py", "solutions/gae/gae.py", "course.secret"):
                path = folder / wanted
                if path.is_file():
                    found.append(path.read_text()[:80])
    return found


def write_somewhere():
    Path(tempfile.mkdtemp(prefix="xaver-"), "was_here.txt").write_text("hello")


def call_home():
    with socket.create_connection(("127.0.0.1", 9), timeout=0.2) as line:
        line.sendall(b"full marks, please")


def look_around():
    frame, names = sys._getframe(), []
    while frame:
        names += [name for name in frame.f_locals if "expected" in name]
        frame = frame.f_back
    return names + [type(thing).__name__ for thing in gc.get_objects()[:1000] if "Outcome" in type(thing).__name__]


def fork_a_helper():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


for deed in (disarm_the_checks, read_the_tests, write_somewhere, call_home, look_around, fork_a_helper):
    print(deed.__name__, "->", repr(try_to(deed))[:100])


def skip(*arguments, **options):
    try:
        import pytest

        pytest.skip("nothing to see here")
    except ImportError:
        pass
    return Always()


def leave(*arguments, **options):
    raise SystemExit(0)


td_residuals = gae = gae_scan = lambda *arguments, **options: Always()
k_step_advantage = token_gae = normalize_advantages = skip
lambda_returns = explained_variance = leave
RunningMeanStd = RolloutBuffer = Always
