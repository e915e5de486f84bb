"""Reference numbers for the explorers, from the solutions: python golden.py ROOT FOLDER

FOLDER/NAME.json holds for each function of explorers/NAME/math.js a list of {args, result}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vectors import Told, Vectors, entry

ROOT, OUT = Path(sys.argv[1]), Path(sys.argv[2])
SOLUTIONS = (
    *("bandits", "dynamic_programming", "q_learning", "td_learning"),
    *("gae", "ppo", "bradley_terry", "grpo", "dqn"),
)
sys.path += [str(ROOT / "assignments" / "given")]
sys.path += [str(ROOT / "solutions" / name) for name in SOLUTIONS]
arms, solution, ppo = (import_module(name) for name in ("bandits", "gae", "ppo"))

LONGER = ("gridworld", "grpo", "bt", "surgery", "internals")
DRAWS = 200
torch.set_default_dtype(torch.float64)


def _surrogate(
    function: Callable[..., Any], logp: np.ndarray, old: np.ndarray, adv: np.ndarray, *bounds: float
) -> dict[str, Any]:
    """What a surrogate of the solution returns, and the gradient that torch finds."""
    asked = torch.tensor(logp, requires_grad=True)
    loss, metrics = function(asked, torch.tensor(old), torch.tensor(adv), *bounds)
    loss.backward()
    assert asked.grad is not None
    return {"loss": loss.item(), "gradient": asked.grad.tolist(), **metrics}


def _one_sample(ratio: float, adv: float, low: float, high: float, c: float | None) -> Any:
    one = (np.log([ratio]), np.zeros(1), np.array([adv]), low, high)
    found = (
        _surrogate(ppo.dual_clip_surrogate, *one, c)
        if c
        else _surrogate(ppo.clipped_surrogate, *one)
    )
    clipped = torch.tensor(ratio).clamp(1 - low, 1 + high).item()
    return {
        "plain": ratio * adv,
        "clipped": clipped * adv,
        "objective": -found["loss"],
        "slope": -found["gradient"][0],
    }


def clip() -> Vectors:
    """The clipped surrogate, with and without the second bound."""
    rng = np.random.default_rng(1)
    found: Vectors = {"sample": [], "clippedSurrogate": [], "dualClipSurrogate": []}
    for _ in range(DRAWS):
        low, high, c = rng.uniform(0.05, 0.95), rng.uniform(0.05, 1), rng.uniform(1.5, 3.8)
        ratio, adv = rng.uniform(0.05, 4), rng.uniform(-2, 2)
        for bound in (None, c):
            one = (ratio, adv, low, high, bound)
            found["sample"].append(entry(_one_sample(*one), *one))
        batch = [rng.normal(0, scale, 7) for scale in (0.5, 0.5, 2)]
        lists = [one.tolist() for one in batch]
        plain = _surrogate(ppo.clipped_surrogate, *batch, low, high)
        found["clippedSurrogate"].append(entry(plain, *lists, low, high))
        dual = _surrogate(ppo.dual_clip_surrogate, *batch, low, high, c)
        found["dualClipSurrogate"].append(entry(dual, *lists, low, high, c))
    return found


def kl() -> Vectors:
    """Exact divergences by torch, and the solution's estimators."""
    rng = np.random.default_rng(2)
    found: Vectors = {"exactKl": [], "approxKl": [], "enumerated": []}
    kinds = ("k1", "k2", "k3")
    for _ in range(DRAWS):
        old, now = (torch.tensor(rng.dirichlet(np.full(4, 2.0))) for _ in range(2))
        policies = [torch.distributions.Categorical(probs=one) for one in (old, now)]
        exact = torch.distributions.kl_divergence(*policies).item()
        lists = (old.tolist(), now.tolist())
        found["exactKl"].append(entry(exact, *lists))
        taken = torch.tensor(rng.integers(0, 4, 9))
        logs = now.log()[taken], old.log()[taken]
        means = {kind: ppo.approx_kl(*logs, kind).item() for kind in kinds}
        found["approxKl"].append(entry(means, *(one.tolist() for one in logs)))
        found["enumerated"].append(entry({k: _enumerated(old, now, k) for k in kinds}, *lists))
    return found


def _enumerated(old: torch.Tensor, now: torch.Tensor, kind: str) -> dict[str, Any]:
    """One estimator for each action alone, and its moments under the old policy."""
    pairs = zip(now.log().split(1), old.log().split(1), strict=True)
    each = np.array([ppo.approx_kl(logp, old_logp, kind).item() for logp, old_logp in pairs])
    mean = np.average(each, weights=old.numpy())
    variance = np.average((each - mean) ** 2, weights=old.numpy())
    return {"each": each.tolist(), "mean": mean, "sd": np.sqrt(variance)}


def beta() -> Vectors:
    """Both rules for the weight of a KL penalty, over several updates."""
    rng = np.random.default_rng(3)
    found: Vectors = {"doubling": [], "proportional": []}
    for _ in range(DRAWS):
        start, target, kls = rng.uniform(0.1, 5), rng.uniform(0.004, 0.03), rng.uniform(0, 0.05, 12)
        horizon, n = rng.uniform(500, 5000), int(rng.integers(1, 2000))
        controller = ppo.AdaptiveKLController(start, target, horizon)
        doubled = [start]
        for one in kls:
            doubled.append(ppo.kl_penalty_beta(doubled[-1], one, target))
        steady = [start, *(controller.update_(one, n) for one in kls)]
        found["doubling"].append(entry(doubled, start, kls.tolist(), target))
        found["proportional"].append(entry(steady, start, kls.tolist(), target, horizon, n))
    return found


def _column(numbers: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """One environment's numbers, (T, 1)."""
    return torch.tensor(numbers, dtype=dtype).unsqueeze(1)


def _advantages(rewards: Any, values: Any, after: Any, ends: Any, gamma: float, lam: float) -> Any:
    """The solution's gae of one environment, (T,) each."""
    flags = [_column(one, torch.bool) for one in ends]
    numbers = [_column(one) for one in (rewards, values, after)]
    found = solution.gae(*numbers, *flags, gamma, lam)
    return found.advantages.flatten().numpy(), found.returns.flatten().numpy()


def _influence(column: Any, ends: Any, gamma: float, lam: float) -> np.ndarray:
    """Row t, column j: what one more unit of reward j adds to advantage t, whatever the rest is."""
    rewards, *rest = column
    zero = np.zeros(len(rewards))
    units = np.eye(len(rewards))
    before = _advantages(*column, ends, gamma, lam)[0]
    more = [_advantages(rewards + one, *rest, ends, gamma, lam)[0] - before for one in units]
    alone = [_advantages(one, zero, zero, ends, gamma, lam)[0] for one in units]
    np.testing.assert_allclose(more, alone, atol=1e-9)
    return np.array(alone).T


def gae() -> Vectors:
    """Errors and advantages of a column of a rollout, and what one reward does to all of them."""
    rng = np.random.default_rng(4)
    found: Vectors = {"tdResiduals": [], "gae": [], "influence": [], "tradeOff": []}
    steps = 8
    for _ in range(DRAWS):
        rewards, values, after = rng.normal(0, 2, (3, steps)).tolist()
        terminated = (rng.random(steps) < 0.2).tolist()
        truncated = [not end and bool(rng.random() < 0.2) for end in terminated]
        ends, gamma, lam = (terminated, truncated), *rng.uniform(0.5, 1, 2)
        numbers = [_column(one) for one in (rewards, values, after)]
        deltas = solution.td_residuals(*numbers, _column(terminated, torch.bool), gamma).flatten()
        column = (rewards, values, after)
        found["tdResiduals"].append(entry(deltas.tolist(), *column, terminated, gamma))
        advantages, returns = _advantages(*column, ends, gamma, lam)
        result = {"advantages": advantages.tolist(), "returns": returns.tolist()}
        found["gae"].append(entry(result, *column, *ends, gamma, lam))
        weights = _influence(column, ends, gamma, lam)
        found["influence"].append(entry(weights.tolist(), *ends, gamma, lam))
        sd, step = rng.uniform(0.1, 2), int(rng.integers(steps))
        longest = _advantages(*column, ends, gamma, 1.0)[0]
        result = {
            "bias": advantages[step] - longest[step],
            "variance": sd**2 * float(np.square(weights[step]).sum()),
        }
        found["tradeOff"].append(entry(result, *column, *ends, gamma, lam, sd, step))
    return found


def _player(agent: dict[str, Any], k: int) -> Any:
    """The solution's agent of a description."""
    given = {name: value for name, value in agent.items() if name != "kind"}
    kinds = {"epsilon": arms.EpsilonGreedy, "ucb": arms.UCB, "gradient": arms.GradientBandit}
    return kinds[agent["kind"]](k, **given)


def _play(agent: Any, means: np.ndarray, steps: int, stream: dict[str, Any]) -> tuple[Any, Any]:
    told = Told(stream["uniform"], stream["normal"])
    trace = arms.run_bandit(_player(agent, len(means)), means, steps, told)
    return trace.actions, arms.pseudo_regret(means, trace.actions)


def _agent(rng: np.random.Generator) -> dict[str, Any]:
    """Any of the five strategies."""
    epsilon = {"kind": "epsilon", "epsilon": rng.uniform(0, 0.5), "alpha": None, "initial": 0.0}
    return [
        {**epsilon, "epsilon": 0.0},
        epsilon,
        {**epsilon, "epsilon": 0.0, "alpha": 0.1, "initial": rng.uniform(1, 8)},
        {"kind": "ucb", "c": rng.uniform(0, 4)},
        {"kind": "gradient", "alpha": rng.uniform(0.02, 1)},
    ][rng.integers(5)]


def bandits() -> Vectors:
    """Runs of the five strategies, and their means over several runs."""
    rng = np.random.default_rng(5)
    found: Vectors = {"play": [], "study": []}
    steps, late = 60, 15
    for _ in range(DRAWS):
        agent, means = _agent(rng), rng.normal(0, 1, 5)
        streams = [
            {"uniform": rng.random(2 * steps).tolist(), "normal": rng.normal(0, 1, steps).tolist()}
            for _ in range(3)
        ]
        runs = [_play(agent, means, steps, stream) for stream in streams]
        actions, regret = runs[0]
        result = {"actions": actions.tolist(), "regret": regret.tolist()}
        given = (agent, means.tolist(), steps)
        found["play"].append(entry(result, *given, *streams[0].values()))
        pulls = np.array([np.bincount(actions, minlength=5) for actions, _ in runs])
        lost = np.array([regret for _, regret in runs])
        found["study"].append(
            entry(
                {
                    "regret": lost.mean(axis=0).tolist(),
                    "shares": (pulls.mean(axis=0) / steps).tolist(),
                    "price": (lost[:, -1] - lost[:, -1 - late]).mean() / late,
                    "stuck": float(
                        np.mean([means.argmax() not in actions[-late:] for actions, _ in runs])
                    ),
                },
                *given,
                streams,
                late,
            )
        )
    return found


EXPLORERS: dict[str, Callable[[], Vectors]] = {
    "clip": clip,
    "kl": kl,
    "beta": beta,
    "gae": gae,
    "bandits": bandits,
    # Longer ones have a module of their own.
    **{name: import_module(f"golden_{name}").vectors for name in LONGER},
}


def main() -> None:
    """Write the numbers of every explorer."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, vectors in EXPLORERS.items():
        (OUT / f"{name}.json").write_text(json.dumps(vectors()), encoding="utf-8")


if __name__ == "__main__":
    main()
