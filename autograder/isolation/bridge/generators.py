"""The global generators of random, numpy and torch in a student's process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from autograder.isolation import codec


def begin_anew() -> None:
    """The global generators and modes as every test finds them: one must not depend on what another has set."""
    random.seed(0)
    np.random.seed(0)
    if torch := codec.torch_module():
        torch.default_generator.manual_seed(
            0
        )  # torch.manual_seed looks for GPUs first; no worker with one is kept
        torch.set_default_dtype(torch.float32)


def states() -> list[bytes]:
    """The states of the global generators of random, numpy and torch in this process."""
    legacy: Any = np.random.get_state(legacy=False)
    state = [
        repr(random.getstate()).encode(),
        legacy["state"].pop("key").tobytes(),
        repr(legacy).encode(),
    ]
    if torch := codec.torch_module():
        state.append(torch.get_rng_state().numpy().tobytes())
    return state


def seed(number: int) -> None:
    """Seed the global generators of random, numpy and torch in this process."""
    random.seed(number)
    np.random.seed(number % 2**32)
    if torch := codec.torch_module():
        torch.manual_seed(number)
