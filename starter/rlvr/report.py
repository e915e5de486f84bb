"""Draws the plots that the handout of `rlvr` asks for, from your own rlvr.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR
    python report.py --seeds 5    more runs of each training, and their range
    python report.py --quick      a third of the iterations, to see whether everything runs

It takes about a minute of one core, nearly all of it training. What is not written yet is left out
and named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import plots
import rlvr as work
import torch

ITERATIONS = 70
QUICK = 3  # iterations are divided by this with --quick
PROMPTS = [f"{a}{b}>" for a in range(5) for b in range(5)]  # right answers have one digit
TRIES = [1, 2, 4, 8, 16, 32]


# -- several tries ---------------------------------------------------------------------------------


def plot_tries(shorten: int, seeds: int) -> plt.Figure:
    """Two estimates of pass@k from ten answers, and what their mean is."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    n, places = 10, np.arange(1, 11)
    for c, colour in ((1, "tab:blue"), (3, "tab:orange")):
        axes[0].plot(
            places, [work.pass_at_k(n, c, k) for k in places], "o-", color=colour,
            label=f"subsets, {c} of 10 right",
        )  # fmt: skip
        axes[0].plot(
            places, 1 - (1 - c / n) ** places, "x--", color=colour, label=f"1 - (1 - {c}/10)^k"
        )
    axes[0].set(title="one prompt", xlabel="k", ylabel="estimate of pass@k")
    p = 0.1
    chance = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    subsets = [sum(q * work.pass_at_k(n, c, k) for c, q in enumerate(chance)) for k in places]
    plain = [sum(q * (1 - (1 - c / n) ** k) for c, q in enumerate(chance)) for k in places]
    axes[1].plot(places, 1 - (1 - p) ** places, color="black", label="the truth, p = 0.1")
    axes[1].plot(places, subsets, "o", color="tab:green", label="mean of the subsets' estimate")
    axes[1].plot(places, plain, "x", color="tab:red", label="mean of 1 - (1 - c/n)^k")
    axes[1].set(title="over all counts c that may come out", xlabel="k", ylabel="pass@k")
    for axis in axes:
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    return figure


# -- training --------------------------------------------------------------------------------------


def lax_rewards(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """1.0 if the right digit stands anywhere in the response: a checker with a hole."""
    right = [str(sum(map(int, prompt[:-1])) % 10) for prompt in prompts]
    return [float(answer in said) for answer, said in zip(right, responses, strict=True)]


def fresh_model(seed: int) -> Any:
    """A model that knows nothing."""
    torch.manual_seed(seed)
    return work.build_policy(width=32, layers=1, heads=2)


def train(
    seed: int, shorten: int, rewards_of: Callable[..., list[float]], max_new: int
) -> tuple[Any, Any, list[float], list[float]]:
    """One run: the model at first, the result, and in each iteration the strict reward of all
    samples and of those in groups with spread."""
    strict: list[float] = []
    kept: list[float] = []
    cfg = work.ExpertConfig(iterations=ITERATIONS // shorten, max_new=max_new)

    def judged(prompts: list[str], responses: list[str]) -> list[float]:
        honest = work.digit_sum_rewards(prompts, responses)
        strict.append(float(np.mean(honest)))
        pairs = np.array(honest).reshape(-1, cfg.group_size)
        spread = pairs[pairs.min(axis=1) < pairs.max(axis=1)]
        kept.append(float(spread.mean()) if len(spread) else np.nan)
        return rewards_of(prompts, responses)

    start = fresh_model(seed)
    return start, work.train_expert(start, PROMPTS, judged, cfg, seed), strict, kept


def rates(model: Any, seed: int) -> list[float]:
    """pass@k of a model for each k of TRIES, from 64 answers to each prompt."""
    asked = [prompt for prompt in PROMPTS for _ in range(64)]
    samples = work.sample_responses(model, asked, 2, torch.Generator().manual_seed(seed))
    right = np.array(work.digit_sum_rewards(asked, work.responses_of(samples))).reshape(-1, 64)
    counts = right.sum(axis=1).astype(int)
    return [float(np.mean([work.pass_at_k(64, int(c), k) for c in counts])) for k in TRIES]


def plot_training(shorten: int, seeds: int) -> plt.Figure:
    """What a strict reward teaches, and what its curves say."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    curves: dict[str, list[list[float]]] = {
        "all": [],
        "kept": [],
        "dead": [],
        "early": [],
        "late": [],
    }
    for seed in range(seeds):
        start, result, strict, kept = train(seed, shorten, work.digit_sum_rewards, 2)
        curves["all"].append(strict)
        curves["kept"].append(kept)
        curves["dead"].append(result.history["dead_groups"])
        curves["early"].append(rates(start, seed))
        curves["late"].append(rates(result.policy, seed))
        print(
            f"seed {seed}: reward {np.mean(strict[-5:]):.2f},"
            f" of kept groups {np.nanmean(kept[-5:]):.2f},"
            f" dead groups {curves['dead'][-1][0]:.2f}"
            f" to {np.mean(curves['dead'][-1][-5:]):.2f},"
            f" pass@1 {curves['early'][-1][0]:.3f} to {curves['late'][-1][0]:.2f},"
            f" pass@32 {curves['early'][-1][-1]:.2f} to {curves['late'][-1][-1]:.2f}"
        )
    steps = np.arange(len(curves["all"][0]))
    plots.band(axes[0], steps, curves["all"], "all samples", "tab:blue")
    plots.band(axes[0], steps, curves["kept"], "samples of kept groups", "tab:red", linestyle="--")
    axes[0].set(title="mean reward", xlabel="iteration", ylim=(-0.02, 1.02))
    plots.band(axes[1], steps, curves["dead"], "solved or failed", "tab:purple")
    axes[1].set(title="groups without spread", xlabel="iteration", ylim=(-0.02, 1.02))
    plots.band(axes[2], TRIES, curves["early"], "before", "tab:gray", marker="o")
    plots.band(axes[2], TRIES, curves["late"], "after", "tab:green", marker="o")
    axes[2].set(title="pass@k", xlabel="k", xscale="log", ylim=(-0.02, 1.02))
    axes[2].set_xticks(TRIES, [str(k) for k in TRIES])
    for axis in axes:
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    return figure


def plot_hacking(shorten: int, seeds: int) -> plt.Figure:
    """The same training with a checker that has a hole."""
    figure, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")
    lax: list[list[float]] = []
    honest: list[list[float]] = []
    for seed in range(seeds):
        _, result, strict, _ = train(seed, shorten, lax_rewards, 8)
        lax.append(result.history["reward_mean"])
        honest.append(strict)
        samples = work.sample_responses(
            result.policy, ["34>", "12>"], 8, torch.Generator().manual_seed(seed)
        )
        said = ", ".join(work.responses_of(samples))
        print(
            f"seed {seed}: lax {np.mean(lax[-1][-5:]):.2f},"
            f" strict {np.mean(strict[-5:]):.2f}: {said}"
        )
    steps = np.arange(len(lax[0]))
    plots.band(axis, steps, lax, "what the checker pays", "tab:red")
    plots.band(axis, steps, honest, "what is right", "tab:green")
    axis.set(
        title='paid for "the right digit stands somewhere"', xlabel="iteration",
        ylabel="mean reward", ylim=(-0.02, 1.02),
    )  # fmt: skip
    axis.legend()
    axis.grid(alpha=0.3)
    return figure


# -- shaping ---------------------------------------------------------------------------------------

CELLS = 20


def corridor(bonus: str) -> torch.Tensor:
    """Rewards (S, A, S) of a corridor: 1 for entering its last cell, the goal, and a bonus."""
    rewards = torch.zeros(CELLS, 2, CELLS, dtype=torch.float64)
    rewards[:, :, -1] = 1.0
    rewards[-1] = 0.0
    terminal = torch.arange(CELLS) == CELLS - 1
    progress = torch.arange(CELLS, dtype=torch.float64) / CELLS
    if bonus == "potential":
        return work.shaped_rewards(rewards, progress, 0.95, terminal)
    if bonus == "for progress":
        # Paid for each step to the right, and steps back cost nothing: going to and fro pays.
        gain = (progress[None, :] - progress[:, None]).clamp(min=0.0)
        return rewards + 8.0 * gain[:, None, :] * (~terminal)[:, None, None]
    return rewards


def q_learning(rewards: torch.Tensor, episodes: int, seed: int) -> list[int]:
    """Steps of each episode, at most 300, of epsilon-greedy Q-learning in the corridor."""
    rng = np.random.default_rng(seed)
    table, q, lengths = rewards.numpy(), np.zeros((CELLS, 2)), []
    for _ in range(episodes):
        state, steps = 0, 0
        while state < CELLS - 1 and steps < 300:
            best = np.flatnonzero(q[state] == q[state].max())
            action = int(rng.integers(2)) if rng.random() < 0.1 else int(rng.choice(best))
            after = min(max(state + (1 if action else -1), 0), CELLS - 1)
            future = 0.0 if after == CELLS - 1 else 0.95 * q[after].max()
            q[state, action] += 0.5 * (table[state, action, after] + future - q[state, action])
            state, steps = after, steps + 1
        lengths.append(steps)
    return lengths


def plot_shaping(shorten: int, seeds: int) -> plt.Figure:
    """How long an episode takes, with no bonus and with two."""
    figure, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")
    episodes = 60
    for bonus, colour in (
        ("none", "black"),
        ("potential", "tab:green"),
        ("for progress", "tab:red"),
    ):
        rewards = corridor(bonus)
        runs = [q_learning(rewards, episodes, seed) for seed in range(20)]
        plots.band(axis, np.arange(1, episodes + 1), runs, f"bonus: {bonus}", colour)
        last = np.median(np.array(runs)[:, -10:])
        print(
            f"bonus {bonus}: {np.median(np.array(runs)[:, 0]):.0f} steps in the first episode,"
            f" {np.median(np.array(runs)[:, 1]):.0f} in the second, {last:.0f} at last"
        )
    axis.axhline(CELLS - 1, color="gray", linestyle=":", label="the shortest way")
    axis.set(
        title=f"a corridor of {CELLS} cells, 20 runs of Q-learning", xlabel="episode",
        ylabel="steps to the goal (300: never)", yscale="log",
    )  # fmt: skip
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    return figure


FIGURES = {
    "tries": plot_tries, "training": plot_training, "hacking": plot_hacking, "shaping": plot_shaping,
}  # fmt: skip


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each training (default: 1)")
    parser.add_argument("--quick", action="store_true", help="a third of the iterations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plots.save_all(options.out, FIGURES, QUICK if options.quick else 1, options.seeds)
