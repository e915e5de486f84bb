"""Preference optimization: say in one line what this file is about.

Conventions, for every function of this file

* Row t of every array belongs to step t.
* Results are new arrays; arguments are never changed.

Source: Sutton and Barto (2018), Reinforcement learning: an introduction, 2nd edition, chapter 6.
"""

from __future__ import annotations

import numpy as np


def td_targets(
    rewards: np.ndarray, next_values: np.ndarray, terminated: np.ndarray, gamma: float
) -> np.ndarray:
    """What each step says that its state is worth: the reward, and the discounted next value.

    A step that ends its episode has no next state: its target is the reward alone.

    Args:
        rewards: (T,) floats, the reward of each step.
        next_values: (T,) floats, the estimated value of the state that each step leads to.
        terminated: (T,) bools, whether the episode ends with this step.
        gamma: the discount per step, in [0, 1].

    Returns:
        (T,) floats, in the unit of the rewards.
    """
    # TODO(targets): add the discounted next value where the episode goes on.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(targets): add the discounted next value where the episode goes on.")
