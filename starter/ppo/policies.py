"""Policies: distributions over actions, one for each state of a batch. `reinforce` is where one
writes them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class CategoricalPolicy:
    """A distribution over A discrete actions for each of B states, from logits (B, A)."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self._logp = torch.log_softmax(logits, dim=-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One action per state, (B,) int64, without a graph."""
        return torch.multinomial(self._logp.detach().exp(), 1, generator=generator).squeeze(-1)

    def mode(self) -> Tensor:
        """The most probable action per state, (B,) int64."""
        return self.logits.detach().argmax(dim=-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability of the actions (B,), (B,)."""
        return self._logp.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """-sum p log p, (B,), in nats."""
        return -(self._logp.exp() * self._logp).sum(dim=-1)


class GaussianPolicy:
    """Independent normal distributions over D action components for each of B states: mean (B, D),
    log_std (D,)."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean = mean
        self.log_std = log_std.expand_as(mean)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One action per state, (B, D), without a graph."""
        mean = self.mean.detach()
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + self.log_std.detach().exp() * noise

    def mode(self) -> Tensor:
        """The most probable action per state, (B, D)."""
        return self.mean.detach()

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density of whole actions (B, D), summed over their components, (B,)."""
        z = (action - self.mean) / self.log_std.exp()
        return (-0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def entropy(self) -> Tensor:
        """Differential entropy, summed over components, (B,), in nats."""
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(dim=-1)
