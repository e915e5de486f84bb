"""Reference numbers for <rl-grpo>: advantages, weights and gradients of random groups."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from vectors import Vectors, entry

grpo, estimation, ppo = (import_module(name) for name in ("grpo", "gae", "ppo"))
DRAWS = 60
AGGREGATIONS = ("seq-mean-token-mean", "token-mean", "seq-sum-const")
EPS, MAX_LEN = 1e-6, 12


def _mask(lengths: list[int]) -> torch.Tensor:
    return torch.arange(MAX_LEN) < torch.tensor(lengths).unsqueeze(1)


def _first_of_rows(gradient: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """The number that all tokens of a row share."""
    first = gradient[:, :1]
    torch.testing.assert_close(gradient, first * mask, rtol=0, atol=1e-15)
    return first.flatten().tolist()


def _weights(lengths: list[int], agg: str) -> list[float]:
    losses, mask = torch.zeros(len(lengths), MAX_LEN, requires_grad=True), _mask(lengths)
    grpo.aggregate(losses, mask, agg, MAX_LEN).backward()
    assert losses.grad is not None
    return _first_of_rows(losses.grad, mask)


def _pull(adv: list[float], lengths: list[int], agg: str) -> list[float]:
    """Minus the gradient of the solution's loss where the policy is still the one that sampled."""
    mask = _mask(lengths)
    logp = torch.full(mask.shape, -1.3, requires_grad=True)
    loss, _ = grpo.grpo_loss(
        logp, logp.detach(), None, torch.tensor(adv), mask, agg=agg, max_len=MAX_LEN
    )
    loss.backward()
    assert logp.grad is not None
    return _first_of_rows(-logp.grad, mask)


def _critic(reward: float, value: float, length: int, lam: float) -> list[float]:
    """The solution's gae on one answer, (length, 1), without discounting."""
    rewards = torch.zeros(length, 1)
    rewards[-1] = reward
    values = torch.full((length, 1), value)
    terminated = torch.zeros(length, 1, dtype=torch.bool)
    terminated[-1] = True
    found = estimation.gae(
        rewards, values, values, terminated, torch.zeros_like(terminated), 1.0, lam
    )
    return list(found.advantages.flatten().tolist())


def _ppo_pull(rewards: list[float], values: list[float], lengths: list[int], lam: float) -> Any:
    rows = [_critic(*one, lam) for one in zip(rewards, values, lengths, strict=True)]
    adv = torch.tensor([one for row in rows for one in row])
    logp = torch.full(adv.shape, -1.3, requires_grad=True)
    ppo.clipped_surrogate(logp, logp.detach(), adv, 0.2, 0.2)[0].backward()
    assert logp.grad is not None
    return [row.tolist() for row in (-logp.grad).split(lengths)]


def _groups(rng: np.random.Generator) -> tuple[list[float], list[int]]:
    """Eight answers to two prompts; now and then a group without spread."""
    rewards = rng.integers(0, 21, 8) / 20
    if rng.random() < 0.3:
        rewards[:4] = rewards[0]
    # One mean reward of 0 would divide by eps alone.
    rewards[-1] = max(rewards[-1], 0.05)
    return rewards.tolist(), [3] * 4 + [7] * 4


def vectors() -> Vectors:
    """All of them, on DRAWS batches."""
    rng = np.random.default_rng(7)
    names = ("spread", "groupAdvantages", "informativeGroups", "tokenWeights", "grpoPull")
    found: Vectors = {name: [] for name in (*names, "ppoAdvantages", "ppoPull")}
    for _ in range(DRAWS):
        rewards, ids = _groups(rng)
        told = torch.tensor(rewards), torch.tensor(ids)
        spread = {"mean": told[0].mean().item(), "std": told[0].std().item()}
        found["spread"].append(entry(spread, rewards))
        for scale in ("std", "none", "mean"):
            for baseline in ("group", "others"):
                adv = grpo.group_advantages(*told, EPS, scale, baseline=baseline).tolist()
                found["groupAdvantages"].append(entry(adv, rewards, ids, EPS, scale, baseline))
        kept = grpo.informative_groups(*told).tolist()
        found["informativeGroups"].append(entry(kept, rewards, ids))
        lengths = rng.integers(1, MAX_LEN + 1, 8).tolist()
        for agg in AGGREGATIONS:
            given = (lengths, agg, MAX_LEN)
            found["tokenWeights"].append(entry(_weights(lengths, agg), *given))
            found["grpoPull"].append(entry(_pull(adv, lengths, agg), adv, *given))
        values, lam = rng.uniform(0, 1, 8).tolist(), rng.uniform(0.5, 1)
        one = (rewards[0], values[0], lengths[0], lam)
        found["ppoAdvantages"].append(entry(_critic(*one), *one))
        batch = (rewards, values, lengths, lam)
        found["ppoPull"].append(entry(_ppo_pull(*batch), *batch))
    return found
