"""Draws the four plots that the handout of `gae` asks for, from your own gae.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR
    python report.py --study      bias and variance for the study, in study.csv; no figures

What is not written yet is left out and named. The whole takes well under a minute on one core.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

import gae as work
import matplotlib.pyplot as plt
import numpy as np
import plots
import torch

STATES = 19  # the random walk of Sutton and Barto (2nd edition), example 7.1
TRUE_VALUES = np.linspace(-0.9, 0.9, STATES)  # -1 beyond the left end, +1 beyond the right end
LAMBDAS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
# an update sees an action in a state about this often: the variance is that of a mean over them
VISITS = 20


Rollout = tuple[torch.Tensor, ...]  # the first five arguments of gae


def walks(steps: int, episodes: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Random walks from the middle: states, one row more than moves, rewards, ends and validity of
    steps."""
    moves = rng.choice((-1, 1), size=(steps, episodes))
    states = STATES // 2 + np.vstack([np.zeros((1, episodes), int), moves.cumsum(axis=0)])
    left = (states < 0) | (states >= STATES)
    over = np.maximum.accumulate(left, axis=0)  # the walk has left the line, once and for all
    rewards = np.where(left[1:] & ~over[:-1], moves, 0).astype(float)
    return np.where(over, 0, states), moves, rewards, over[1:] & ~over[:-1], ~over[:-1]


def tensors(
    states: np.ndarray, rewards: np.ndarray, ends: np.ndarray, table: np.ndarray
) -> Rollout:
    """A rollout as gae takes it, with values looked up in a table."""
    values = torch.tensor(table)[torch.tensor(states)]
    return (
        torch.tensor(rewards),
        values[:-1],
        values[1:],
        torch.tensor(ends),
        torch.zeros(ends.shape).bool(),
    )


def bias_and_variance(
    values: np.ndarray, lam: float, episodes: int = 3000, seed: int = 1
) -> tuple[float, float]:
    """Squared bias and variance of what advantages say about going right rather than left.

    Only the difference between actions matters to a policy gradient: an error of V(s) moves both
    alike.
    """
    states, moves, rewards, ends, valid = walks(600, episodes, np.random.default_rng(seed))
    advantages = work.gae(*tensors(states, rewards, ends, values), 1.0, lam).advantages.numpy()[
        valid
    ]
    here, move = states[:-1][valid], moves[valid]
    bias = variance = 0.0
    for state in range(STATES):
        right, left = (advantages[(here == state) & (move == step)] for step in (1, -1))
        weight = (len(right) + len(left)) / len(advantages)
        bias += (
            weight * ((right.mean() - left.mean()) / 2 - 0.1) ** 2
        )  # true advantages: +0.1 and -0.1
        variance += weight * (right.var() + left.var()) / 2 / VISITS
    return bias, variance


def plot_bias_and_variance() -> plt.Figure:
    """The dial between bias and variance, with true values and with wrong ones."""
    wrong = 0.8 * TRUE_VALUES + 0.3 * np.sin(np.pi / 2 * np.arange(STATES))  # too flat, and bumpy
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, values, title in zip(
        axes, (TRUE_VALUES, wrong), ("true values", "wrong values"), strict=True
    ):
        bias, variance = np.array([bias_and_variance(values, lam) for lam in LAMBDAS]).T
        axis.plot(LAMBDAS, bias, "o-", color="#0072b2", label="squared bias")
        axis.plot(LAMBDAS, variance, "s--", color="#c04e00", label="variance")
        axis.plot(LAMBDAS, bias + variance, "k:", lw=2, label="sum")
        axis.set(
            title=f"advantages with {title}", xlabel=r"$\lambda$", yscale="log", ylim=(5e-6, 0.2)
        )
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"error of a mean over {VISITS} visits")
    axes[0].legend()
    return figure


def plot_normalisation() -> plt.Figure:
    """The same task in three currencies, before and after normalisation."""
    states, _, rewards, ends, valid = walks(400, 100, np.random.default_rng(2))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for scale, colour, width in ((1.0, "#0072b2", 5), (5.0, "#e69f00", 2.5), (20.0, "k", 0.8)):
        rollout = tensors(states, scale * rewards, ends, scale * TRUE_VALUES)
        advantages = work.gae(*rollout, 1.0, 0.9).advantages
        normalised = work.normalize_advantages(advantages, torch.tensor(valid))
        style = {"bins": 60, "histtype": "step", "color": colour, "density": True}
        axes[0].hist(
            advantages.numpy()[valid], linewidth=1.5, label=f"rewards x {scale:g}", **style
        )
        axes[1].hist(
            normalised.numpy()[valid], linewidth=width, **style
        )  # all three lie on each other
    axes[0].set(
        title="as they come", xlabel="advantage", ylabel="density (logarithmic)", yscale="log"
    )
    axes[1].set(
        title="normalised over valid entries", xlabel="advantage / standard deviation", yscale="log"
    )
    axes[0].legend()
    return figure


def milliseconds(function: Callable[..., object], rollout: Rollout) -> float:
    """Best of five calls."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function(*rollout, 0.99, 0.95)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def plot_speed() -> plt.Figure:
    """Time of one call against the length of the rollout."""
    lengths, rng = [2**power for power in range(3, 13)], np.random.default_rng(3)
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    rollouts = []
    for length in lengths:
        rewards, values, next_values = torch.tensor(rng.normal(size=(3, length, 16)))
        ends = torch.tensor(rng.random((length, 16)) < 0.01)
        rollouts.append((rewards, values, next_values, ends, torch.zeros_like(ends)))
    for function, marker, colour in (
        (work.gae, "o-", "#0072b2"),
        (work.gae_scan, "s--", "#c04e00"),
    ):
        function(*rollouts[0], 0.99, 0.95)  # the first call of all is slower
        times = [milliseconds(function, rollout) for rollout in rollouts]
        axis.plot(lengths, times, marker, color=colour, label=function.__name__)
    axis.set(
        xlabel="T, steps of 16 environments",
        ylabel="milliseconds a call",
        xscale="log",
        yscale="log",
    )
    axis.set_xticks(lengths[::3], [str(length) for length in lengths[::3]])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def learned_error(lam: float, alpha: float, episodes: int = 10, runs: int = 60) -> float:
    """Root mean squared error of values learned from lambda-returns, over states, episodes and
    runs."""
    rng = np.random.default_rng(4)
    learned, columns, errors = np.zeros((STATES, runs)), np.arange(runs), []
    for _ in range(episodes):
        states, _, rewards, ends, valid = walks(400, runs, rng)
        values = torch.tensor(learned[states, columns])
        never = torch.zeros(ends.shape).bool()
        rollout = (torch.tensor(rewards), values[:-1], values[1:], torch.tensor(ends), never)
        targets = work.lambda_returns(*rollout, 1.0, lam).numpy()
        for state, target, going in zip(states[:-1], targets, valid, strict=True):
            learned[state, columns] += alpha * going * (target - learned[state, columns])
        errors.append(np.sqrt(((learned - TRUE_VALUES[:, None]) ** 2).mean(axis=0)).mean())
    return float(np.mean(errors))


def plot_lambda_returns() -> plt.Figure:
    """Learning the walk's values from lambda-returns: error against step size, one curve for each
    lambda."""
    alphas = (0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    axis.set_prop_cycle(color=plt.cm.viridis(np.linspace(0.05, 0.9, 6)))
    for lam, marker in zip((0.0, 0.4, 0.8, 0.9, 0.95, 1.0), "osv^Dx", strict=True):
        errors = [learned_error(lam, alpha) for alpha in alphas]
        axis.plot(alphas, errors, "-", marker=marker, ms=4, label=rf"$\lambda$ = {lam:g}")
    axis.set(
        xlabel=r"step size $\alpha$",
        ylabel="error of the values, first 10 episodes",
        ylim=(0.2, 0.6),
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure


FIGURES = {
    "bias_and_variance": plot_bias_and_variance,
    "normalisation": plot_normalisation,
    "speed": plot_speed,
    "lambda_returns": plot_lambda_returns,
}


def study(out: Path, repeats: int = 10) -> None:
    """Squared bias and variance for values with noise of three deviations, on fresh rollouts each
    time."""
    with (out / "study.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["deviation", "lambda", "repeat", "squared_bias", "variance"])
        for deviation in (0.1, 0.3, 0.9):
            for repeat in range(repeats):
                noise = deviation * np.random.default_rng(repeat).normal(size=STATES)
                for lam in LAMBDAS:
                    found = bias_and_variance(TRUE_VALUES + noise, lam, 500, repeat)
                    table.writerow([deviation, lam, repeat, *found])


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--study", action="store_true", help="numbers for the study, no figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.study:
        plots.save_study(study, options.out)
    else:
        plots.save_all(options.out, FIGURES)
