"""Draws the plots of the handout from your own reinforce.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR
    python report.py --quick      fewer seeds and steps, for a first look
    python report.py --study      the runs of the study, one line of study.csv for each; no figures

What is not written yet is left out and named. The whole takes about a minute on one core.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import plots
import reinforce as work
import torch

# Told apart by the colour-blind; the figures have a second cue.
COLOURS = {
    "none": "#c04e00",
    "standardize": "#0072b2",
    "leave_one_out": "#8f3f97",
    "value": "#007a59",
}
GAMMA = 0.9  # of the small decision process; CartPole is trained with the default 0.99


# -- a small decision process whose gradient is known ----------------------------------------------


class World(NamedTuple):
    """Four states, three actions, an end; rewards between 1 and 3, so that no return is near
    zero."""

    P: torch.Tensor
    R: torch.Tensor
    start: torch.Tensor
    theta: torch.Tensor


class Episodes(NamedTuple):
    """N sampled episodes, padded: (T, N) each."""

    states: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    mask: torch.Tensor


def small_world(rng: np.random.Generator) -> World:
    """Every step ends the episode with probability 0.15."""
    P = torch.tensor(0.85 * rng.dirichlet(0.5 * np.ones(4), size=(4, 3)))
    R = torch.tensor(rng.uniform(1.0, 3.0, size=(4, 3)))
    return World(P, R, torch.full((4,), 0.25).double(), torch.tensor(0.5 * rng.normal(size=(4, 3))))


def drawn(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One outcome for each row; the last index stands for what is left over."""
    return (rng.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)).sum(axis=1)


def sample(world: World, episodes: int, rng: np.random.Generator, steps: int = 60) -> Episodes:
    """Episodes side by side; what is beyond 60 steps weighs less than 1e-6."""
    pi, P, R = world.theta.softmax(-1).numpy(), world.P.numpy(), world.R.numpy()
    s, alive, rows = rng.integers(4, size=episodes), np.ones(episodes, bool), []
    for _ in range(steps):
        a = np.minimum(drawn(pi[s], rng), 2)
        rows.append((s, a, R[s, a] * alive, alive))
        following = drawn(P[s, a], rng)
        alive = alive & (following < 4)
        s = np.minimum(following, 3)
        if not alive.any():
            break
    return Episodes(*(torch.tensor(np.array(column)) for column in zip(*rows, strict=True)))


def weights_of(kind: str, batch: Episodes, v: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """Weights, and whether the loss discounts them by gamma ** t on top."""
    returns = work.discounted_returns(batch.rewards, GAMMA, batch.mask)
    if kind == "whole return":
        return returns[:1].expand_as(returns), False
    if kind == "leave one out":
        return returns - torch.stack([work.leave_one_out_baseline(row) for row in returns]), True
    return returns - v[batch.states] if kind == "less v(s)" else returns, True


def estimates(world: World, kind: str, episodes: int, repeats: int) -> torch.Tensor:
    """Estimates of the policy gradient from batches of episodes: (repeats, S * A)."""
    rng, found = np.random.default_rng(episodes), []
    pi = world.theta.softmax(-1)
    transitions = torch.einsum("sa,sat->st", pi, world.P)
    v = torch.linalg.solve(torch.eye(4).double() - GAMMA * transitions, (pi * world.R).sum(-1))
    for _ in range(repeats):
        batch = sample(world, episodes, rng)
        theta = world.theta.clone().requires_grad_()
        logp = theta.log_softmax(-1)[batch.states, batch.actions]
        weights, discounted = weights_of(kind, batch, v)
        (gradient,) = torch.autograd.grad(
            work.policy_gradient_loss(logp, weights, batch.mask, GAMMA, discounted), theta
        )
        found.append(-gradient.flatten())
    return torch.stack(found)


def plot_variance(quick: bool) -> plt.Figure:
    """How far sampled gradients are from the exact one, with less and less noise in their
    weights."""
    world, sizes = small_world(np.random.default_rng(3)), (2, 4, 8, 16, 32, 64)
    exact = work.exact_policy_gradient(
        world.P, world.R, GAMMA, world.start, world.theta
    ).gradient.flatten()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for kind, colour, look in (
        ("whole return", "0.4", "s:"),
        ("rewards to go", COLOURS["none"], "o-"),
        ("leave one out", COLOURS["leave_one_out"], "^--"),
        ("less v(s)", COLOURS["value"], "v-."),
    ):
        found = [estimates(world, kind, size, 40 if quick else 150) for size in sizes]
        errors = [float(((g - exact) ** 2).sum(1).mean() / (exact**2).sum()) for g in found]
        print(f"{kind}: with 64 episodes an error of {errors[-1]:.2f} squared lengths")
        axes[0].plot(sizes, errors, look, color=colour, label=kind)
        cosines = [torch.cosine_similarity(g, exact[None]).mean() for g in found]
        axes[1].plot(sizes, cosines, look, color=colour, label=kind)
    axes[0].set(
        ylabel="mean squared error / squared length", yscale="log", title="How noisy a gradient is"
    )
    axes[1].set(
        ylabel="cosine to the exact gradient", ylim=(0, 1.02), title="Whether it points uphill"
    )
    for axis in axes:
        axis.set(xlabel="episodes in a batch", xscale="log")
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend()
    return figure


# -- CartPole --------------------------------------------------------------------------------------


@cache
def trained(baseline: str, seed: int, steps: int, **settings: float) -> work.Result:
    """One training run on CartPole-v1."""
    config = work.Config(max_steps=steps, baseline=baseline, **settings)
    return work.train_reinforce(gymnasium.make("CartPole-v1"), config, seed)


def running(returns: list[float], grid: np.ndarray) -> np.ndarray:
    """Mean of the latest 20 returns at these steps (a CartPole episode of return R takes R
    steps)."""
    return np.interp(grid, np.cumsum(returns), plots.running_mean(returns, 20))


def plot_learning(quick: bool) -> plt.Figure:
    """Returns while learning, one panel for each baseline."""
    steps, seeds = (8_000, 2) if quick else (25_000, 5)
    grid = np.linspace(500, steps, 100)
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.8), sharey=True, layout="constrained")
    for axis, (baseline, colour) in zip(axes, COLOURS.items(), strict=True):
        runs = [running(trained(baseline, seed, steps).returns, grid) for seed in range(seeds)]
        plots.band(axis, grid, np.array(runs), baseline, colour)
        print(f"{baseline}: {sorted(round(run[-1]) for run in runs)} after {steps:,} steps")
        axis.axhline(500, color="0.4", ls=":")
        axis.set(title=f'baseline="{baseline}"', xlabel="environment steps", ylim=(0, 520))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"mean of the latest 20 returns, {seeds} seeds")
    return figure


def mean_entropy(policy: torch.nn.Module, seed: int) -> float:
    """Entropy of the policy, averaged over the states of one of its episodes."""
    env, generator = gymnasium.make("CartPole-v1"), torch.Generator().manual_seed(seed)
    observation, _ = env.reset(seed=seed)
    entropies, over = [], False
    with torch.no_grad():
        while not over:
            here = policy(torch.as_tensor(observation))
            entropies.append(float(here.entropy()))
            observation, _, terminated, truncated, _ = env.step(int(here.sample(generator)))
            over = terminated or truncated
    return float(np.mean(entropies))


def plot_entropy(quick: bool) -> plt.Figure:
    """How fast a policy makes up its mind, with and without an entropy bonus."""
    budgets = np.array([0, 1000, 2000, 4000] if quick else [0, 1000, 2000, 4000, 8000, 12000])
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for coefficient, colour, dashes in ((0.0, "k", "-"), (30.0, "#0072b2", "--")):
        runs = [
            [
                mean_entropy(
                    trained("standardize", seed, int(n), entropy_coefficient=coefficient).policy,
                    seed,
                )
                for n in budgets
            ]
            for seed in range(2 if quick else 3)
        ]
        name = f"entropy_coefficient={coefficient:g}"
        plots.band(axis, budgets, np.array(runs), name, colour, linestyle=dashes)
        print(f"{name}: entropy {np.median(runs, axis=0)[-1]:.2f} after {budgets[-1]:,} steps")
    axis.axhline(np.log(2), color="0.4", ls=":", label="uniform: ln 2")
    axis.set(
        xlabel="environment steps",
        ylabel="entropy of the policy, nats",
        ylim=(0, 0.75),
        title="CartPole-v1",
    )
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


# -- an agent to watch -----------------------------------------------------------------------------


def played(policy: torch.nn.Module, steps: int = 500) -> np.ndarray:
    """Observations of one episode of CartPole, (steps, 4), always with the most probable action."""
    env = gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=7)
    seen, over = [observation], False
    while not over and len(seen) < steps:
        with torch.no_grad():
            # log_prob of both actions: the policies of the assignment have no mode.
            here = policy(torch.as_tensor(observation).expand(2, -1))
            action = int(here.log_prob(torch.arange(2)).argmax())
        observation, _, terminated, truncated, _ = env.step(action)
        seen.append(observation)
        over = terminated or truncated
    return np.array(seen)


def plot_poles(quick: bool) -> plt.Figure:
    """One policy, early and late: the cart every few steps of an episode, from left to right."""
    budgets = (0, 2_000, 8_000) if quick else (0, 5_000, 25_000)
    figure, axes = plt.subplots(3, 1, figsize=(12, 2.7), layout="constrained")
    for axis, budget in zip(axes, budgets, strict=True):
        seen = played(trained("standardize", 0, budget).policy)
        for k, (place, _, angle, _) in enumerate(seen[:: max(1, len(seen) // 24)][:25]):
            # The angle is drawn three times as large: the pole counts as fallen at 12 degrees.
            tip = (3 * k + place + 1.6 * np.sin(3 * angle), 1.6 * np.cos(3 * angle))
            axis.add_patch(plt.Rectangle((3 * k + place - 0.6, -0.4), 1.2, 0.4, color="0.3"))
            axis.plot([3 * k + place, tip[0]], [0, tip[1]], color="#c04e00", lw=2.5)
        words = f"after {budget:,} steps of training: {len(seen) - 1} steps until it falls"
        axis.set(aspect="equal", xlim=(-3, 75), ylim=(-0.6, 1.9), xticks=[], yticks=[])
        axis.set_title(words if len(seen) < 500 else words[:-14] + "and still up", fontsize=10)
    return figure


FIGURES = {
    "variance": plot_variance,
    "learning": plot_learning,
    "entropy": plot_entropy,
    "poles": plot_poles,
}


def study(out: Path, seeds: int = 10) -> None:
    """The first half of the study's runs: CartPole with each baseline."""
    with (out / "study.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["baseline", "episodes_per_update", "seed", "mean_of_last_50_returns"])
        for baseline in COLOURS:
            for seed in range(seeds):
                last = np.mean(trained(baseline, seed, 25_000).returns[-50:])
                table.writerow([baseline, 8, seed, last])
                print(baseline, seed, round(float(last)))


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--quick", action="store_true", help="fewer seeds and steps")
    parser.add_argument("--study", action="store_true", help="the runs of the study, no figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.study:
        plots.save_study(study, options.out)
    else:
        plots.save_all(options.out, FIGURES, options.quick)
