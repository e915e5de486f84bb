"""Measures and draws what the handout asks for, with your own distributed_ppo.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR

What is not written yet is left out and named. On two idle cores the whole takes less than a minute;
speeds are those of your machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import distributed_ppo as work
import matplotlib.pyplot as plt
import numpy as np
import plots
import torch

CONFIG = work.PPOConfig(iterations=10, envs=16)
HALF = work.PPOConfig(iterations=10, envs=8)
LEARNING = work.PPOConfig(iterations=25)
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def measured_run(config=CONFIG):
    """On each rank: seconds of acting, of updating, of communicating alone, and steps of each
    kind."""
    rank, world = work.rank_and_world()
    learner = work.Learner(config, 0)
    ids = work.shard_indices(config.envs, rank, world).tolist()
    rollouts = work.Rollouts("CartPole-v1", ids, 0)
    # The first use of everything is slow.
    learner.update_(rollouts.collect(learner.model, config))
    before, spans = learner.step, []
    for _ in range(config.iterations):
        begin = time.time()
        batch = rollouts.collect(learner.model, config)
        middle = time.time()
        learner.update_(batch)
        spans.append((begin, middle, time.time()))
    parameters = sum(p.numel() for p in learner.model.parameters())
    return {
        "acting": sum(m - b for b, m, _ in spans) / len(spans),
        "updating": sum(e - m for _, m, e in spans) / len(spans),
        "reduction": seconds_of_a_reduction(parameters),
        "small": seconds_of_a_reduction(4),
        "updates": (learner.step - before) / config.iterations,
        "bytes": 4 * parameters,
        "spans": spans[:4],
    }


def measured_half():
    """The same with half of the environments, so with half of the rows."""
    return measured_run(HALF)


def seconds_of_a_reduction(numbers: int, times: int = 30) -> float:
    """Median time of one all-reduce of so many float32."""
    row, taken = torch.zeros(numbers), []
    for _ in range(times):
        begin = time.perf_counter()
        work.sum_over_ranks(row)
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken))


def fixed_and_shared(one: dict, half: dict) -> tuple[float, float]:
    """Seconds of an iteration that stay, and that shrink with the rows (all and half of them)."""
    whole = one["acting"] + one["updating"]
    shared = 2 * (whole - half["acting"] - half["updating"])
    shared = min(max(shared, 0.0), whole)
    return whole - shared, shared


def predicted(one: dict, half: dict, two: dict, world: int) -> tuple[float, float]:
    """(environment steps, updates) a second for ``world`` ranks with a core each.

    ``one`` and ``half`` are one rank's measurements with all and with half of the rows, ``two``
    those of two ranks. T(p) = f + w / p + communication: the fixed part f stays, the part w that
    depends on rows is shared, and each optimiser step adds a ring all-reduce: 2 (p - 1) messages
    of latency a, and 2 (p - 1) / p of the bytes at b seconds a byte.
    """
    steps = CONFIG.envs * CONFIG.rollout_steps
    latency = two["small"] / 2
    per_byte = max(two["reduction"] - two["small"], 0.0) / two["bytes"]
    exchange = 0.0
    if world > 1:
        exchange = 2 * (world - 1) * latency + 2 * (world - 1) / world * two["bytes"] * per_byte
    fixed, shared = fixed_and_shared(one, half)
    seconds = fixed + shared / world + one["updates"] * exchange
    return steps / seconds, one["updates"] / seconds


def plot_scaling() -> plt.Figure:
    """Measured and predicted speed against the number of ranks, and the table behind it."""
    worlds = [world for world in (1, 2, 4) if world <= max(2, os.cpu_count() or 1)]
    runs = {world: work.launch(measured_run, world, timeout_s=120.0) for world in worlds}
    one, two = runs[1][0], runs[2][0]
    half = work.launch(measured_half, 1, timeout_s=120.0)[0]
    fixed, shared = fixed_and_shared(one, half)
    print(f"an iteration on one rank: {fixed:.3f} s fixed, {shared:.3f} s shared")
    steps = CONFIG.envs * CONFIG.rollout_steps
    print("ranks  env steps/s  updates/s  gradient bytes/update  reduction ms  acting/updating s")
    speeds = {}
    for world, ranks in runs.items():
        slowest = max(rank["acting"] + rank["updating"] for rank in ranks)
        speeds[world] = steps / slowest
        print(
            f"{world:5d}  {steps / slowest:11.0f}  {one['updates'] / slowest:9.1f}  {0 if world == 1 else one['bytes']:21d}"
            f"  {1000 * ranks[0]['reduction']:12.3f}  {ranks[0]['acting']:.3f}/{ranks[0]['updating']:.3f}"
        )
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    many = np.array([1, 2, 4, 8, 16, 32, 64])
    model = np.array([predicted(one, half, two, int(world))[0] for world in many])
    axes[0].plot(many, many * model[0], "k:", label="if all of the work were shared")
    axes[0].plot(many, model, "-", color="tab:orange", label="model, a core for each rank")
    axes[0].plot(list(speeds), list(speeds.values()), "o", color="tab:blue", label="measured here")
    axes[0].set(
        xscale="log",
        yscale="log",
        xlabel="ranks",
        ylabel="environment steps a second",
        title="strong scaling: 16 environments in all",
    )
    axes[0].set_xticks(many, map(str, many))
    axes[0].minorticks_off()
    axes[0].legend(fontsize=8)
    share = 1 - model / (many * model[0])
    axes[1].plot(many, share, "o-", color="tab:red")
    axes[1].set(
        xscale="log",
        xlabel="ranks",
        ylabel="share of the ranks' time that is lost",
        ylim=(0, 1),
        title="lost to fixed work and communication",
    )
    axes[1].set_xticks(many, map(str, many))
    axes[1].minorticks_off()
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure


def plot_timeline() -> plt.Figure:
    """Who does what when: data-parallel ranks, and worker groups under one controller."""
    runs = work.launch(measured_run, 2, timeout_s=120.0)
    figure, axes = plt.subplots(2, 1, figsize=(10, 5), layout="constrained")
    origin = min(rank["spans"][0][0] for rank in runs)
    for number, rank in enumerate(runs):
        for begin, middle, end in rank["spans"]:
            axes[0].barh(
                number, middle - begin, left=begin - origin, color="tab:blue", edgecolor="white"
            )
            axes[0].barh(
                number, end - middle, left=middle - origin, color="tab:orange", edgecolor="white"
            )
    axes[0].set_yticks([0, 1], ["rank 0", "rank 1"])
    axes[0].set_title("data-parallel ranks: each acts (blue), all update together (orange)")
    config = work.PPOConfig(iterations=4, envs=16)
    timeline = work.train_with_workers(work.InProcessEngine(), "CartPole-v1", config, actors=2)[
        "timeline"
    ]
    roles = ["actor 0", "actor 1", "learner"]
    origin = min(begin for _, begin, _ in timeline)
    for role, begin, end in timeline:
        colour = "tab:orange" if role == "learner" else "tab:blue"
        axes[1].barh(
            roles.index(role), end - begin, left=begin - origin, color=colour, edgecolor="white"
        )
    axes[1].set_yticks(range(3), roles)
    axes[1].set_title("worker groups in one process: nothing overlaps; on Ray the two actors do")
    for axis in axes:
        axis.invert_yaxis()
        axis.set_xlabel("seconds")
        axis.grid(axis="x", alpha=0.3)
    return figure


def training_with_divergence():
    """On each rank: returns of its episodes, and after each update how far its parameters are from
    rank 0's."""
    rank, world = work.rank_and_world()
    learner = work.Learner(LEARNING, 1)
    rollouts = work.Rollouts(
        "CartPole-v1", work.shard_indices(LEARNING.envs, rank, world).tolist(), 1
    )
    gaps = []
    for _ in range(LEARNING.iterations):
        learner.update_(rollouts.collect(learner.model, LEARNING))
        mine = work.flatten(list(learner.model.parameters()))
        theirs = mine.clone()
        work.broadcast_params_([theirs])
        gaps.append(float((mine - theirs).abs().max()))
    return rollouts.returns, gaps


def plot_learning() -> plt.Figure:
    """The same training on one rank and on two, and the distance between the ranks' parameters."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for world, colour in ((1, "tab:blue"), (2, "tab:orange")):
        ranks = work.launch(training_with_divergence, world, timeout_s=120.0)
        episodes = (
            [value for returns, _ in ranks for value in returns]
            if world == 1
            else _interleaved([r for r, _ in ranks])
        )
        smooth = np.convolve(episodes, np.ones(20) / 20, mode="valid")
        axes[0].plot(smooth, color=colour, label=f"{world} rank{'s' if world > 1 else ''}")
        if world == 2:
            for rank, (_, gaps) in enumerate(ranks):
                axes[1].plot(gaps, "o-", color=COLOURS[rank], markersize=3, label=f"rank {rank}")
    axes[0].set(
        xlabel="episode", ylabel="return, mean of 20", title="CartPole-v1, 8 environments in all"
    )
    axes[1].set(
        xlabel="update",
        ylabel="largest distance from rank 0's parameters",
        ylim=(-1e-3, 1e-2),
        title="0 on every rank, after every update",
    )
    for axis in axes:
        axis.legend()
        axis.grid(alpha=0.3)
    return figure


def _interleaved(lists: list[list[float]]) -> list[float]:
    return [value for row in zip(*lists, strict=False) for value in row]


FIGURES = {"scaling": plot_scaling, "timeline": plot_timeline, "learning": plot_learning}


def on_ranks(draw: Callable[[], plt.Figure]) -> Callable[[], plt.Figure]:
    """The same function; what a rank has not written yet counts as not written here."""

    def drawn() -> plt.Figure:
        try:
            return draw()
        except work.RankError as error:
            reason = str(error).strip().splitlines()[-1]
            if not reason.startswith("NotImplementedError: "):
                raise
            raise NotImplementedError(reason.removeprefix("NotImplementedError: ")) from None

    return drawn


if __name__ == "__main__":
    torch.set_num_threads(1)
    figures = {name: on_ranks(draw) for name, draw in FIGURES.items()}
    plots.save_all(plots.parser(__doc__, __file__).parse_args().out, figures)
