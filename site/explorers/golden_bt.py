"""Reference numbers for <rl-bt>: pairs, tables, fits and their errors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from vectors import Vectors, entry

bt = import_module("bradley_terry")
DRAWS = 100


def _pair(chosen: float, rejected: float, margin: float, smoothing: float) -> dict[str, float]:
    one, other = (torch.tensor([score], requires_grad=True) for score in (chosen, rejected))
    loss = bt.bt_loss(one, other, margin, smoothing)
    loss.backward()
    assert one.grad is not None
    assert other.grad is not None
    assert one.grad.item() == -other.grad.item()
    return {"loss": loss.item(), "gradient": one.grad.item()}


def _gap_errors(wins: np.ndarray, theta: np.ndarray) -> list[list[float]]:
    """Of a difference, by any other gauge: the rows of a fixed player taken out of the
    information, what is left is inverted."""
    information = -bt.bt_gradient_hessian(wins, theta).hessian
    n = len(theta)
    found = np.zeros((n, n))
    for j in range(n):
        others = [i for i in range(n) if i != j]
        found[others, j] = np.sqrt(np.diag(np.linalg.inv(information[np.ix_(others, others)])))
    return found.tolist()


def _table(rng: np.random.Generator, most: int) -> Any:
    wins = rng.integers(0, most + 1, (4, 4))
    np.fill_diagonal(wins, 0)
    return wins


def vectors() -> Vectors:
    """All of them, on DRAWS tables."""
    rng = np.random.default_rng(8)
    names = ("probability", "pairLoss", "logLikelihood", "isConnected", "derivatives")
    found: Vectors = {name: [] for name in (*names, "fit", "errors")}
    while len(found["fit"]) < DRAWS:
        i, j = rng.normal(0, 3, 2).tolist()
        found["probability"].append(entry(bt.bt_prob(*torch.tensor([i, j])).item(), i, j))
        rest = (rng.uniform(0, 2), rng.choice([0.0, rng.uniform(0, 0.4)]))
        found["pairLoss"].append(entry(_pair(i, j, *rest), i, j, *rest))
        sparse, wins = _table(rng, 1), _table(rng, int(rng.integers(2, 15)))
        found["isConnected"].append(entry(bt.is_connected(sparse), sparse.tolist()))
        theta = rng.normal(0, 1.5, 4)
        given = wins.tolist(), theta.tolist()
        found["logLikelihood"].append(entry(bt.log_likelihood(wins, theta), *given))
        gradient, hessian = bt.bt_gradient_hessian(wins, theta)
        result = {"gradient": gradient.tolist(), "hessian": hessian.tolist()}
        found["derivatives"].append(entry(result, *given))
        if not bt.is_connected(wins):
            continue
        best = bt.fit_bt_newton(wins, 1e-11)
        found["fit"].append(entry(best.tolist(), wins.tolist()))
        errors = {"scores": bt.standard_errors(wins, best).tolist()}
        errors["gaps"] = _gap_errors(wins, best)
        found["errors"].append(entry(errors, wins.tolist(), best.tolist()))
    return found
