"""Measures and draws what the handout asks for, with your own distributed_ppo.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR
    python report.py --study      writes study.csv, the numbers for your study, and draws nothing

What is not written yet is left out and named. On two idle cores the whole takes about a minute;
speeds are those of your machine.
"""

from __future__ import annotations

import csv
import functools
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import distributed_ppo as work
import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import plots
import torch

CONFIG = work.PPOConfig(iterations=10, envs=16)
HALF = work.PPOConfig(iterations=10, envs=8)
LEARNING = work.PPOConfig(iterations=25)
SEEDS = 3  # of the learning curves
ACTING, UPDATING, WAITING, MODEL = "#56b4e9", "#c04e00", "0.8", "#0072b2"


# -- how long things take --------------------------------------------------------------------------


def measured_run(config=CONFIG):
    """On each rank: seconds of acting, of updating, of communicating alone; when what was done."""
    rank, world = work.rank_and_world()
    learner = work.Learner(config, 0)
    ids = work.shard_indices(config.envs, rank, world).tolist()
    rollouts = work.Rollouts("CartPole-v1", ids, 0)
    # The first use of everything is slow.
    learner.update_(rollouts.collect(learner.model, config))
    before, meetings, spans, processor = learner.step, watch_meetings(), [], []
    for _ in range(config.iterations):
        begin, busy = time.time(), time.process_time()
        batch = rollouts.collect(learner.model, config)
        middle, half = time.time(), time.process_time()
        learner.update_(batch)
        spans.append((begin, middle, time.time()))
        processor.append((half - busy, time.process_time() - half))
    parameters = len(work.flatten(list(learner.model.parameters())))
    return {
        "seconds": sum(e - b for b, _, e in spans) / len(spans),
        "processor": np.median(processor, axis=0).tolist(),  # acting, updating
        "reduction": seconds_of_a_reduction(parameters),
        "small": seconds_of_a_reduction(4),
        "updates": (learner.step - before) / config.iterations,
        "bytes": 4 * parameters,
        "spans": spans[:4],
        "meetings": [(b, e) for b, e in meetings if e <= spans[3][2]],
    }


def watch_meetings() -> list[tuple[float, float]]:
    """Note from now on when each all-reduce of this rank begins and ends."""
    plain, noted = torch.distributed.all_reduce, []

    @functools.wraps(plain)
    def watched(*args, **kwargs):
        begin = time.time()
        result = plain(*args, **kwargs)
        noted.append((begin, time.time()))
        return result

    torch.distributed.all_reduce = watched
    return noted


def seconds_of_a_reduction(numbers: int, times: int = 30) -> float:
    """Median time of one all-reduce of so many float32."""
    row, taken = torch.zeros(numbers), []
    for _ in range(times):
        begin = time.perf_counter()
        work.sum_over_ranks(row)
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken))


def terms_of_the_model(one: dict, half: dict, two: dict, world: int) -> tuple[float, float, float]:
    """Seconds of an iteration on ``world`` ranks with a core each: fixed, shared, communication.

    ``one`` and ``half`` are one rank's measurements with all and with half of the rows, ``two``
    those of two ranks. T(p) = f + w / p + communication: the fixed part f stays, the part w that
    depends on rows is shared, and each optimiser step adds a ring all-reduce: 2 (p - 1) messages
    of latency a, and 2 (p - 1) / p of the bytes at b seconds a byte.
    """
    whole = sum(one["processor"])
    shared = min(max(2 * (whole - sum(half["processor"])), 0.0), whole)
    latency = two["small"] / 2
    per_byte = max(two["reduction"] - two["small"], 0.0) / two["bytes"]
    exchange = 2 * (world - 1) * (latency + two["bytes"] * per_byte / world)
    return whole - shared, shared / world, one["updates"] * exchange


def plot_scaling() -> plt.Figure:
    """Measured and predicted speed against the number of ranks, and what the time is spent on."""
    worlds = [world for world in (1, 2, 4) if world <= max(2, os.cpu_count() or 1)]
    runs = {world: work.launch(measured_run, world, timeout_s=120.0) for world in worlds}
    half = work.launch(measured_run, 1, timeout_s=120.0, args=(HALF,))[0]
    one, two = runs[1][0], runs[2][0]
    steps = CONFIG.envs * CONFIG.rollout_steps
    for name, part in (("acting", 0), ("updating", 1)):
        all_rows, half_rows = 1000 * one["processor"][part], 1000 * half["processor"][part]
        print(f"{name}: {all_rows:.0f} ms with {steps} rows, {half_rows:.0f} ms with {steps // 2}")
    fixed, shared, _ = terms_of_the_model(one, half, two, 1)
    print(f"an iteration on one rank: {fixed:.3f} s fixed, {shared:.3f} s shared")
    print("ranks  env steps/s  gradient bytes/update  reduction ms")
    speeds = {}
    for world, ranks in runs.items():
        speeds[world] = steps / max(rank["seconds"] for rank in ranks)
        sent, taken = (0 if world == 1 else one["bytes"]), 1000 * ranks[0]["reduction"]
        print(f"{world:5d}  {speeds[world]:11.0f}  {sent:21d}  {taken:12.3f}")
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    many = np.array([1, 2, 4, 8, 16, 32, 64])
    terms = np.array([terms_of_the_model(one, half, two, int(world)) for world in many])
    model = steps / terms.sum(axis=1)
    axes[0].plot(many, many * model[0], "k:", label="if all of the work were shared")
    axes[0].plot(many, model, "-", color=MODEL, label="model, a core for each rank")
    axes[0].plot(list(speeds), list(speeds.values()), "o", color=UPDATING, label="measured here")
    axes[0].set(yscale="log", ylabel="environment steps per second")
    axes[0].set_title("strong scaling: 16 environments in all", fontsize=11)
    axes[1].stackplot(
        many, 1000 * terms.T, colors=(WAITING, MODEL, UPDATING),
        labels=("fixed: f", "shared: w / p", "communication"),
    )  # fmt: skip
    axes[1].set(ylabel="milliseconds of an iteration", ylim=(0, None))
    axes[1].set_title("the three terms of the model", fontsize=11)
    for axis in axes:
        axis.set(xscale="log", xlabel="ranks", xlim=(0.9 if axis is axes[0] else 1, 64))
        axis.set_xticks(many, map(str, many))
        axis.xaxis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=9, loc="upper left")
    return figure


def plot_timeline() -> plt.Figure:
    """Who does what when: data-parallel ranks, and worker groups under one controller."""
    runs = work.launch(measured_run, 2, timeout_s=120.0)
    figure, axes = plt.subplots(2, 1, figsize=(10, 5), layout="constrained")
    origin = min(rank["spans"][0][0] for rank in runs)
    for number, rank in enumerate(runs):
        acting = [(begin - origin, middle - begin) for begin, middle, _ in rank["spans"]]
        updating = [(middle - origin, end - middle) for _, middle, end in rank["spans"]]
        meeting = [(begin - origin, end - begin) for begin, end in rank["meetings"]]
        for spans, colour, name in (
            (acting, ACTING, "acts"), (updating, UPDATING, "updates"),
            (meeting, WAITING, "in an all-reduce: waits for the other"),
        ):  # fmt: skip
            label = None if number else name
            axes[0].broken_barh(spans, (number - 0.4, 0.8), facecolors=colour, label=label)
        share = sum(length for _, length in meeting) / (rank["spans"][-1][2] - origin)
        print(f"rank {number} spends {share:.0%} of its time in all-reduces")
    axes[0].set_yticks([0, 1], ["rank 0", "rank 1"])
    axes[0].set_title("data-parallel ranks: both act, then meet at every optimiser step")
    axes[0].legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=9)
    config = work.PPOConfig(iterations=4, envs=16)
    run = work.train_with_workers(work.InProcessEngine(), "CartPole-v1", config, actors=2)
    timeline = run["timeline"]
    roles = ["actor 0", "actor 1", "learner"]
    origin = min(begin for _, begin, _ in timeline)
    for role, begin, end in timeline:
        colour = UPDATING if role == "learner" else ACTING
        axes[1].barh(roles.index(role), end - begin, left=begin - origin, color=colour)
    axes[1].set_yticks(range(3), roles)
    axes[1].set_title("worker groups in one process: one call after the other")
    axes[1].set_xlabel("seconds")
    for axis in axes:
        axis.invert_yaxis()
        axis.margins(x=0.01)
        axis.grid(axis="x", alpha=0.3)
    return figure


# -- learning --------------------------------------------------------------------------------------


def training(seed: int, own_step_size: bool = False):
    """On each rank: returns of its episodes, distance of its parameters from rank 0's after each
    update, and the trained parameters. With ``own_step_size`` each rank adapts its learning rate
    to the KL of its own rows: a decision of one's own."""
    rank, world = work.rank_and_world()
    learner = work.Learner(LEARNING, seed)
    ids = work.shard_indices(LEARNING.envs, rank, world).tolist()
    rollouts = work.Rollouts("CartPole-v1", ids, seed)
    gaps = []
    for _ in range(LEARNING.iterations):
        batch = rollouts.collect(learner.model, LEARNING)
        learner.update_(batch)
        if own_step_size:
            kl = float(work.policy_and_value_terms(learner.model, batch, LEARNING).kl.mean())
            for group in learner.optimizer.param_groups:
                group["lr"] *= 0.8 if kl > 0.01 else 1.25
        mine = work.flatten(list(learner.model.parameters()))
        theirs = mine.clone()
        work.broadcast_params_([theirs])
        gaps.append(float((mine - theirs).abs().max()))
    weights = {name: value.numpy() for name, value in learner.model.state_dict().items()}
    return rollouts.returns, gaps, weights


@functools.cache
def trained(world: int, seed: int, own_step_size: bool = False) -> Any:
    """What ``training`` returns on each of ``world`` ranks."""
    return work.launch(training, world, timeout_s=120.0, args=(seed, own_step_size))


def plot_learning() -> plt.Figure:
    """The same training on one rank and on two, and the distance between the ranks' parameters."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for world, colour, line in ((1, MODEL, "-"), (2, UPDATING, "--")):
        for seed in range(SEEDS):
            lists = [returns for returns, _, _ in trained(world, seed)]
            episodes = [value for row in zip(*lists, strict=False) for value in row]
            smooth = plots.running_mean(episodes, 20)
            name = "" if seed else f"ranks: {world}"
            axes[0].plot(smooth, line, color=colour, lw=1.3, label=name)
    axes[0].set(xlabel="episode", ylabel="return, mean of 20")
    axes[0].set_title(f"CartPole-v1, 8 environments in all, {SEEDS} seeds each", fontsize=11)
    for own, style, colour, label in (
        (False, "o-", MODEL, "as in this assignment: exactly 0"),
        (True, "s--", UPDATING, "each rank adapts its step size\nto its own KL"),
    ):
        gaps = trained(2, 1, own)[1][1]
        axes[1].plot(range(1, 1 + len(gaps)), gaps, style, ms=3, color=colour, label=label)
    axes[1].set_yscale("symlog", linthresh=1e-5)
    axes[1].set(xlabel="update", ylabel="largest distance, rank 1 from rank 0", ylim=(-2e-6, 3))
    axes[1].set_title("parameters of two ranks", fontsize=11)
    for axis in axes:
        axis.legend(fontsize=9, loc="center right" if axis is axes[1] else "upper left")
        axis.grid(alpha=0.3)
    return figure


def plot_watch() -> plt.Figure:
    """CartPole under the likeliest action, before training and after it."""
    model = work.ActorCritic(LEARNING.obs_dim, LEARNING.n_actions, LEARNING.hidden, seed=1)
    figure, axes = plt.subplots(2, 8, figsize=(12, 2.7), layout="constrained")
    for row, when in zip(axes, ("before", "after"), strict=True):
        if when == "after":
            weights = trained(2, 0)[0][2]
            model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        env = gymnasium.make("CartPole-v1")
        states, ended = [env.reset(seed=3)[0]], False
        while not ended:
            with torch.no_grad():
                action = int(model(torch.from_numpy(states[-1])[None])[0].argmax())
            obs, _, terminated, truncated, _ = env.step(action)
            states.append(obs)
            ended = terminated or truncated
        for axis, t in zip(row, np.linspace(0, len(states) - 1, 8).astype(int), strict=True):
            x, angle = states[t][0], states[t][2]
            axis.plot([-2.4, 2.4], [0, 0], color="0.7", lw=1)
            axis.add_patch(plt.Rectangle((x - 0.35, 0), 0.7, 0.35, color="0.3"))
            top = x + 2 * np.sin(angle), 0.35 + 2 * np.cos(angle)
            axis.plot([x, top[0]], [0.35, top[1]], color=UPDATING, lw=4)
            axis.set(xlim=(-2.6, 2.6), ylim=(-0.2, 2.6), xticks=[], yticks=[])
            axis.set_title(f"step {t}", fontsize=9)
            axis.set_aspect("equal")
        row[0].set_ylabel(f"{when}:\n{len(states) - 1} steps", fontsize=11)
    return figure


# -- numbers for a study of your own ---------------------------------------------------------------


def gradients_of_a_split(first: int, seed: int) -> list[np.ndarray]:
    """Gradient by the logits of one process, of the right loss, and of the mean of the means.

    1,000 rows with advantages around +1 for the first 500 and around -1 for the rest; rank 0 has
    the ``first`` rows.
    """
    rank, world = work.rank_and_world()
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(1000, 8, generator=rng, dtype=torch.float64)
    rows = torch.arange(1000)
    advantages = torch.where(rows < 500, 1.0, -1.0) + torch.randn(1000, generator=rng).double()
    mine = rows[:first] if rank == 0 else rows[first:]
    found = []
    for which in ("one process", "right", "means"):
        weights = torch.zeros(8, dtype=torch.float64, requires_grad=True)
        part = rows if which == "one process" else mine
        logp = torch.nn.functional.logsigmoid(features[part] @ weights)
        loss = work.surrogate_terms(logp, logp.detach(), advantages[part]).loss.mean()
        if which == "right":
            loss, _ = work.distributed_ppo_loss(logp, logp.detach(), advantages[part])
        loss.backward()
        found.append((work.sum_over_ranks(weights.grad) / world).numpy())
    return found


def write_study(out: Path) -> None:
    """Each split and draw: distance and cosine to the gradient of a single process."""
    path = out / "study.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["rows of rank 0", "draw", "loss", "relative distance", "cosine"])
        for first, seed in itertools.product((500, 700, 900, 990), range(10)):
            args = (first, seed)
            one, *others = work.launch(gradients_of_a_split, 2, args=args)[0]
            for name, other in zip(("right", "mean of means"), others, strict=True):
                distance = np.linalg.norm(other - one) / np.linalg.norm(one)
                cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
                table.writerow([first, seed, name, distance, cosine])
    print(f"{path}: the figure is yours to draw")


FIGURES = {"scaling": plot_scaling, "timeline": plot_timeline, "learning": plot_learning}
FIGURES["watch"] = plot_watch


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
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--study", action="store_true", help="only write study.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.study:
        plots.save_study(write_study, options.out)
    else:
        plots.save_all(options.out, {name: on_ranks(draw) for name, draw in FIGURES.items()})
