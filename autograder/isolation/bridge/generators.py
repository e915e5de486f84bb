"""The global generators of random, numpy and torch in a student's process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from autograder.isolation import codec


def seed(number: int) -> None:
    """Seed them."""
    random.seed(number)
    np.random.seed(number % 2**32)
    if torch := codec.torch_module():
        torch.manual_seed(number)


def states() -> list[bytes]:
    """Their states."""
    legacy: Any = np.random.get_state(legacy=False)
    state = [
        repr(random.getstate()).encode(),
        legacy["state"].pop("key").tobytes(),
        repr(legacy).encode(),
    ]
    if torch := codec.torch_module():
        state.append(torch.get_rng_state().numpy().tobytes())
    return state


def begin_anew() -> None:
    """Set generators and torch's default dtype as every test finds them.

    What one test finds must not depend on what another one has set.
    """
    random.seed(0)
    np.random.seed(0)
    if torch := codec.torch_module():
        # torch.manual_seed looks for GPUs first, and no worker that has one is reused.
        torch.default_generator.manual_seed(0)
        torch.set_default_dtype(torch.float32)
