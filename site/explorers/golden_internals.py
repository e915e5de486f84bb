"""Reference numbers for <rl-internals>: targets and losses of the solution, one row each."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import torch
from vectors import Vectors, entry

dqn = import_module("dqn")
DRAWS = 100


def vectors() -> Vectors:
    """All of them."""
    rng = np.random.default_rng(9)
    found: Vectors = {"dqnTarget": [], "doubleTarget": [], "huber": [], "pull": []}
    found["advantages"] = []
    for _ in range(DRAWS):
        reward, gamma, over = rng.normal(), rng.uniform(0.5, 1), bool(rng.random() < 0.3)
        online, target = rng.normal(0, 9, (2, 3)).tolist()
        row = [torch.tensor([one]) for one in (reward, online, target, over)]
        plain = dqn.dqn_targets(row[0], row[2], row[3], gamma).item()
        found["dqnTarget"].append(entry(plain, reward, target, over, gamma))
        double = dqn.double_dqn_targets(*row, gamma).item()
        found["doubleTarget"].append(entry(double, reward, online, target, over, gamma))
        values = rng.normal(0, 9, (2, 5))
        found["advantages"].append(entry((values[1] - values[0]).tolist(), *values.tolist()))
        error = rng.normal(0, 1.5)
        q = torch.tensor([[error]], requires_grad=True)
        loss = dqn.td_loss(q, torch.tensor([0]), torch.zeros(1))
        loss.backward()
        assert q.grad is not None
        found["huber"].append(entry(loss.item(), error))
        found["pull"].append(entry(q.grad.item(), error))
    return found
