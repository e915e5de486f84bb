"""What is computed from a rollout: advantages, returns, running statistics. `gae` is where one
writes them.

A rollout is (T, N): T steps of N environments side by side, time first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Advantages(NamedTuple):
    """What ``gae`` returns, each (T, N)."""

    advantages: Tensor
    returns: Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
) -> Advantages:
    """Generalized advantage estimates of a rollout (T, N): terminated cuts the bootstrap, either
    flag the recursion."""
    deltas = rewards + gamma * next_values * (~terminated) - values
    decay = gamma * lam * (~(terminated | truncated))
    advantages, later = torch.empty_like(deltas), torch.zeros_like(deltas[-1])
    for t in reversed(range(len(deltas))):
        later = deltas[t] + decay[t] * later
        advantages[t] = later
    return Advantages(advantages, advantages + values)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns); 0.0 where the returns are constant."""
    variance = returns.var(correction=0)
    return 0.0 if variance == 0 else float(1 - (returns - values).var(correction=0) / variance)


class RunningMeanStd:
    """Mean and population variance of everything seen so far, in float64 (Chan, Golub and LeVeque
    1979)."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.ones(shape, dtype=torch.float64)
        self.count = 0

    def update_(self, batch: Tensor) -> None:
        """Take in a batch (n, *shape)."""
        batch = batch.detach().double()
        n, gap = len(batch), batch.mean(dim=0) - self.mean
        total = self.count + n
        squares = (
            self.var * self.count
            + batch.var(dim=0, correction=0) * n
            + gap**2 * self.count * n / total
        )
        self.mean, self.var, self.count = self.mean + gap * n / total, squares / total, total
