"""Imports libraries and uses them once, so that what is forked afterwards finds all that ready."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from autograder.isolation.bridge import worker
from autograder.isolation.bridge.client import Bridge, Loopback

RANK_MODULES = ("torch.distributed", "autograder.isolation.ranks.group")
# Tests ask for this one by its name (`lab.practice`), and a worker cannot read our package.
PRACTICE_MODULE = "autograder.isolation.bridge.environments"
COMMON_MODULES = (
    "abc argparse array bisect collections contextlib copy csv dataclasses datetime decimal "
    "enum fractions functools getpass glob hashlib heapq html inspect io itertools json "
    "logging math numbers operator os pathlib pickle platform pprint queue random re secrets "
    "shutil statistics string tempfile textwrap threading time timeit traceback types typing "
    "unittest uuid warnings weakref"
).split()


def warm_up(libraries: Sequence[str]) -> list[str]:
    """Import the libraries and use them once; returns what failed.

    The first use of some imports hundreds of modules.
    """
    failures = []
    # What imports make is there to stay, so looking for garbage would only take time.
    gc.disable()
    for name in libraries:
        try:
            importlib.import_module(name)
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}")
    if torch := sys.modules.get("torch"):
        _use_torch(torch, optimise="torch.optim" in libraries)
    _use_the_wire()
    gc.freeze()
    gc.enable()
    return failures


def allow_nondeterminism() -> None:
    """Take back that torch refuses operations which may differ from run to run."""
    if torch := sys.modules.get("torch"):
        torch._C._set_deterministic_algorithms(False)


def import_plots() -> None:
    """Import matplotlib, which students use for plots, with its list of fonts."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ImportError, OSError):
        # A worker gets its own folder for this later (wall/world.py).
        os.environ["MPLCONFIGDIR"] = folder
        importlib.import_module("matplotlib.pyplot")
    gc.freeze()


def _use_torch(torch: Any, optimise: bool) -> None:
    torch.set_num_threads(1)
    # torch's own functions import its compiler, torch._dynamo and sympy: 70 MB to fork each time.
    # There is no compiler behind the wall, so nothing is compiled, as with TORCH_COMPILE_DISABLE=1.
    torch.use_deterministic_algorithms = _use_deterministic_algorithms
    torch.compile = _leave_uncompiled
    torch.use_deterministic_algorithms(True)
    layer = torch.nn.Linear(2, 2).double()
    loss = layer(torch.ones(1, 2, dtype=torch.float64)).pow(2).mean()
    loss.backward(retain_graph=True)
    torch.distributions.Categorical(logits=torch.zeros(2)).log_prob(torch.tensor(1))
    if optimise:
        # This would import torch._dynamo and sympy: about 800 modules.
        optimizer = torch.optim.Adam(layer.parameters())
        loss.backward()
        optimizer.step()


def _use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """torch.use_deterministic_algorithms, for code that is not compiled."""
    sys.modules["torch"]._C._set_deterministic_algorithms(mode, warn_only=warn_only)


def _leave_uncompiled(model: Any = None, **options: Any) -> Any:
    """torch.compile where nothing is compiled: the function or network itself, or a decorator."""
    return (lambda found: found) if model is None else model


def _use_the_wire() -> None:
    """One conversation with a toy.

    First uses of numpy's and torch's conversions cost each worker 9 ms otherwise.
    """
    toy = worker.load({"warm.py": b"def echo(*values): return values\n"}, "warm.py")
    values: list[Any] = [
        1,
        0.5,
        "text",
        [np.arange(3.0)],
        np.random.default_rng(0),
        {"key": (None, True)},
    ]
    if torch := sys.modules.get("torch"):
        sample = torch.tensor(np.arange(6.0).reshape(2, 3))
        values += [
            sample,
            sample.T > 1,
            torch.tensor([1, 2]),
            torch.Generator().manual_seed(0),
            torch.float64,
        ]
        (sample * 2 - sample).sum(0).cumsum(0).flip(0).numpy()
        torch.zeros(2, 3)[0] = torch.where(sample > 1, sample, torch.zeros_like(sample))[1]
    bridge = Bridge(Loopback(toy))
    bridge.student.echo(*values)
    sys.modules.pop("warm")
