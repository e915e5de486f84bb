"""Draws the plots of the handout from your own `bradley_terry.py`, into PNG files beside this one.

python report.py              all plots (less than a minute)
python report.py --out DIR    somewhere else
python report.py --study      only study.csv, numbers for your study (five worlds, a few minutes)
"""

from __future__ import annotations

import csv
import functools
import itertools
from pathlib import Path
from typing import NamedTuple

import bradley_terry as work
import matplotlib.pyplot as plt
import numpy as np
import plots
import tiny_lm
import torch

TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
# 1987, wins of the row over the column.
GAMES = """0 7 9 7 7 9 11   6 0 7 5 11 9 9   4 6 0 7 7 8 12   6 8 6 0 6 7 10
           6 2 6 7 0 7 12   4 4 5 6 6 0 6    2 4 1 3 1 7 0"""
AMERICAN_LEAGUE = np.array(GAMES.split(), dtype=int).reshape(7, 7)

# A world with a known gold reward: a response is 2 to 8 tokens. Eleven of the tokens are words,
# worth between -1 and 1. Four are gibberish, worth -1.5 each. Repetitions cost. Whoever compared
# responses never met gibberish; the policy whose responses are to be judged writes three tokens in
# ten of it.
WORDS, TOKENS, LONGEST = 11, 16, 8
WORTH = np.concatenate([[0.0], np.linspace(-1, 1, WORDS), np.full(TOKENS - 1 - WORDS, -1.5)])
MEMBERS = 8
# A quantity has one colour through the whole course; marks and lines tell curves apart as well.
PROBABILITY, REWARD, LOSS, DOUBT, GREY = "#0072b2", "#8a6500", "#c04e00", "#8f3f97", "0.5"


def gold(rows: list[list[int]]) -> np.ndarray:
    """What responses are really worth."""
    counts = np.array([np.bincount(row, minlength=TOKENS) for row in rows])
    return counts @ WORTH - 0.25 * (counts * (counts - 1)).sum(axis=1) / 2


def responses(n: int, rng: np.random.Generator, gibberish: float = 0.0) -> list[list[int]]:
    """Random tokens, of random length; each is gibberish with the given probability."""
    rows = []
    for length in np.minimum(LONGEST, 1 + rng.geometric(0.25, size=n)):
        strange = rng.random(length) < gibberish
        nonsense = rng.integers(WORDS + 1, TOKENS, length)
        rows.append(np.where(strange, nonsense, rng.integers(1, WORDS + 1, length)).tolist())
    return rows


def preferences(n: int, rng: np.random.Generator) -> tuple[list[list[int]], list[list[int]]]:
    """n pairs of responses without gibberish, labelled as Bradley and Terry say that people label
    them."""
    one, other = responses(n, rng), responses(n, rng)
    first = rng.random(n) < 1 / (1 + np.exp(gold(other) - gold(one)))
    chosen = [a if yes else b for a, b, yes in zip(one, other, first, strict=True)]
    rejected = [b if yes else a for a, b, yes in zip(one, other, first, strict=True)]
    return chosen, rejected


def trained(seed: int, chosen: list, rejected: list, steps: int) -> torch.nn.Module:
    """A reward model on a tiny GPT-2 after training on pairs of token lists."""
    from transformers import GPT2Model

    torch.manual_seed(seed)
    config = tiny_lm.gpt2_config(TOKENS, LONGEST, 24, 1, 2, initializer_range=0.3)
    model, order = work.RewardModel(GPT2Model(config), "attn"), torch.Generator().manual_seed(seed)
    work.train_reward_model(model, chosen, rejected, 0, steps, 32, 3e-3, order)
    return model


def as_batch(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    """Responses as one padded batch, each row once."""
    batch = work.collate(rows, rows, 0, "stacked")
    return {name: batch[name][: len(rows)] for name in ("input_ids", "attention_mask")}


def scored(ensemble: work.RewardEnsemble, rows: list[list[int]]) -> np.ndarray:
    """(members, rows): scores, a thousand rows at a time."""
    starts = range(0, len(rows), 1000)
    parts = [ensemble.scores(as_batch(rows[start : start + 1000])) for start in starts]
    return torch.cat(parts, dim=1).numpy()


class Judged(NamedTuple):
    """The responses of one kind, their gold reward, and the scores of the members."""

    rows: list[list[int]]
    gold: np.ndarray
    scores: np.ndarray


@functools.cache
def the_ensemble(world: int = 0) -> work.RewardEnsemble:
    """Eight reward models from the same 2000 pairs: other initial weights, other bootstrap
    samples."""
    rng = np.random.default_rng(world)
    chosen, rejected = preferences(2000, rng)
    members = []
    for number, picks in enumerate(work.bootstrap_indices(2000, MEMBERS, rng)):
        pairs = [chosen[i] for i in picks], [rejected[i] for i in picks]
        members.append(trained(MEMBERS * world + number, *pairs, steps=120))
    return work.RewardEnsemble(members, reference=as_batch(responses(500, rng)))


@functools.cache
def judged(gibberish: float, world: int = 0) -> Judged:
    """Responses with this share of gibberish, scored by the ensemble."""
    rows = responses(4000, np.random.default_rng(1 + 1000 * world), gibberish)
    return Judged(rows, gold(rows), scored(the_ensemble(world), rows))


def picks_by(selector: np.ndarray, value: np.ndarray, sizes: list[int]) -> list[float]:
    """What the best of n is worth, for each n."""
    return [work.best_of_n(selector.astype(float), value.astype(float), n) for n in sizes]


def plot_probability() -> plt.Figure:
    """The probability of being chosen, the loss of a choice, and its gradient."""
    gap = torch.linspace(-6, 6, 241, dtype=torch.float64)
    zero = torch.zeros_like(gap)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    axes[0].plot(gap, work.bt_prob(gap, zero), color=PROBABILITY, label="sigmoid")
    rng = np.random.default_rng(2)
    points = np.arange(-5, 6)
    shares = [np.mean(work.gumbel_choices(np.array([x, 0.0]), 2000, rng) == 0) for x in points]
    axes[0].plot(points, shares, "o", color=LOSS, label="2000 choices with Gumbel noise")
    axes[0].set(title="who is chosen", xlabel="$r_i - r_j$", ylabel="P(i is chosen)")
    for smoothing, line in ((0.0, "-"), (0.1, "--"), (0.3, ":")):
        losses = [float(work.bt_loss(x.view(1), zero[:1], label_smoothing=smoothing)) for x in gap]
        axes[1].plot(gap, losses, line, color=LOSS, label=f"smoothing {smoothing:g}")
        if smoothing:
            axes[1].plot(gap[int(np.argmin(losses))], min(losses), "o", color=LOSS)
    axes[1].set(xlabel="$r_{chosen} - r_{rejected}$", ylabel="loss in nats")
    axes[1].set_title("what a choice costs (dots: minima)")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend()
    return figure


def plot_baseball() -> plt.Figure:
    """Seven teams, their log-abilities and what is known about them."""
    theta = work.fit_bt(AMERICAN_LEAGUE)
    errors = work.standard_errors(AMERICAN_LEAGUE, theta)
    order = np.argsort(theta)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    axes[0].errorbar(
        theta[order], np.arange(7), xerr=1.96 * errors[order], fmt="o", capsize=4, color=REWARD
    )
    axes[0].set_yticks(np.arange(7), [TEAMS[i] for i in order])
    axes[0].axvline(0, color="grey", linewidth=0.8)
    axes[0].set(title="American League 1987, 95% intervals", xlabel="log-ability (mean 0)")
    axes[0].grid(alpha=0.3)
    games = AMERICAN_LEAGUE + AMERICAN_LEAGUE.T
    first, second = np.triu_indices(7, 1)
    expected = work.bt_prob(torch.tensor(theta[first]), torch.tensor(theta[second])).numpy()
    observed = AMERICAN_LEAGUE[first, second] / games[first, second]
    axes[1].plot(expected, observed, "o", color=PROBABILITY)
    axes[1].plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes[1].set(xlabel="fitted P(win)", ylabel="share of games won", xlim=(0.25, 0.95), ylim=(0, 1))
    axes[1].set_title("each pair of teams, 13 games")
    axes[1].grid(alpha=0.3)
    return figure


def plot_calibration() -> plt.Figure:
    """Do pairs with a predicted probability of 80% go that way 80% of the time? Once early, once
    over-trained."""
    rng = np.random.default_rng(3)
    chosen, rejected = preferences(1500, rng)
    one, other = responses(4000, rng), responses(4000, rng)
    first = rng.random(4000) < 1 / (1 + np.exp(gold(other) - gold(one)))
    figure, axis = plt.subplots(figsize=(5, 4.5), layout="constrained")
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for pairs, steps, marker, colour in ((1500, 100, "o-", PROBABILITY), (150, 200, "s--", LOSS)):
        ensemble = work.RewardEnsemble([trained(0, chosen[:pairs], rejected[:pairs], steps)])
        gap = torch.tensor(scored(ensemble, one)[0] - scored(ensemble, other)[0])
        p = work.bt_prob(gap, torch.zeros_like(gap)).numpy()
        box = np.minimum((10 * p).astype(int), 9)
        full = [b for b in range(10) if (box == b).sum() >= 20]
        axis.plot(
            [p[box == b].mean() for b in full],
            [first[box == b].mean() for b in full],
            marker,
            color=colour,
            label=f"{pairs} pairs, {steps} steps",
        )
    axis.set(xlabel="predicted P(first is chosen)", ylabel="share that was chosen")
    axis.set_title("reliability on new pairs")
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def plot_accuracy() -> plt.Figure:
    """Accuracy on new pairs against the number of pairs learned from."""
    rng = np.random.default_rng(4)
    chosen, rejected = preferences(6400, rng)
    new_chosen, new_rejected = preferences(4000, rng)
    ceiling = work.accuracy(torch.tensor(gold(new_chosen)), torch.tensor(gold(new_rejected)))
    sizes, figure = (100, 400, 1600, 6400), plt.figure(figsize=(6, 4), layout="constrained")
    axis = figure.gca()
    models = {size: trained(0, chosen[:size], rejected[:size], 150) for size in sizes}
    tests = (("new pairs", (new_chosen, new_rejected), "o-"), ("pairs learned from", None, "s--"))
    for name, test, style in tests:
        found = []
        for size in sizes:
            ensemble = work.RewardEnsemble([models[size]])
            better, worse = test or (chosen[:size], rejected[:size])
            scores = (torch.tensor(scored(ensemble, rows)[0]) for rows in (better, worse))
            found.append(work.accuracy(*scores))
        axis.plot(sizes, found, style, color=PROBABILITY if test else LOSS, label=name)
    axis.axhline(ceiling, color=GREY, linestyle=":", label="the gold reward itself")
    axis.set(xscale="log", xlabel="pairs to learn from", ylabel="pairs ranked like the label")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def plot_uncertainty() -> plt.Figure:
    """What the members disagree about, on responses like those that were compared and on strange
    ones."""
    near, far = judged(0.0), judged(0.3)
    centre = near.gold.mean()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    strange = np.array([sum(token > WORDS for token in row) for row in far.rows])
    for deviation, name, line in (
        (near.scores.std(axis=0), "words only, as compared", "-"),
        (far.scores.std(axis=0)[strange >= 2], "two and more tokens of gibberish", "--"),
    ):
        style = {"histtype": "step", "lw": 1.8, "color": DOUBT, "ls": line, "label": name}
        axes[0].hist(deviation, bins=40, density=True, **style)
    counts = np.arange(6)
    deviation, error = far.scores.std(axis=0), np.abs(far.scores.mean(axis=0) - (far.gold - centre))
    for values, style, colour, name in (
        (deviation, "o-", DOUBT, "deviation over members"),
        (error, "s--", REWARD, "mean |ensemble mean - gold|"),
    ):
        by_count = [values[strange == k].mean() for k in counts]
        axes[1].plot(counts, by_count, style, color=colour, label=name)
    said = work.shift_detector(near.scores[0].astype(float), far.scores[0].astype(float))
    deviations = (kind.scores.std(axis=0).astype(float) for kind in (near, far))
    doubted = work.shift_detector(*deviations)
    axes[0].set(xlabel="standard deviation over members", ylabel="density", ylim=(0, 3.8))
    axes[0].set_title("what members disagree about", fontsize=11)
    axes[1].set(xlabel="tokens of gibberish in a response", ylabel="reward", yscale="log")
    shifts = f"PSI of one member's scores {said.psi:.2f}, of deviations {doubted.psi:.2f}"
    axes[1].set_title(shifts, fontsize=11)
    axes[1].set_yticks([0.3, 0.5, 1, 2, 5], ["0.3", "0.5", "1", "2", "5"])
    axes[1].minorticks_off()
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure


def plot_hacking() -> plt.Figure:
    """Best-of-n: what the proxy promises, and what one gets."""
    sample = judged(0.3)
    sizes = [2**power for power in range(12)]
    price = [work.best_of_n_kl(n) for n in sizes]
    figure, axis = plt.subplots(figsize=(9, 4.5), layout="constrained")

    alone = [picks_by(scores, sample.gold, sizes) for scores in sample.scores]
    promised = np.mean([picks_by(scores, scores, sizes) for scores in sample.scores], axis=0)
    for member in alone:
        axis.plot(price, member, color=LOSS, linewidth=0.6, alpha=0.6)
    mean = sample.scores.mean(axis=0)
    bound = mean - 2 * sample.scores.std(axis=0)
    for curve, style, colour, name in (
        (promised, "--", LOSS, "one member: proxy"),
        (np.mean(alone, axis=0), "o-", LOSS, "one member: gold (thin: each member)"),
        (picks_by(mean, sample.gold, sizes), "s-", PROBABILITY, "ensemble mean: gold"),
        (picks_by(bound, sample.gold, sizes), "^-", DOUBT, "mean - 2 deviations: gold"),
        (picks_by(sample.gold, sample.gold, sizes), ":", "black", "gold chooses: gold"),
    ):
        axis.plot(price, curve, style, color=colour, label=name)
    top = axis.secondary_xaxis("top")
    top.set_xticks(price[::2], [str(n) for n in sizes[::2]])
    top.set_xlabel("n")
    axis.set(xlabel="KL(best-of-n || policy) in nats", ylabel="reward")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_picks() -> plt.Figure:
    """The response that the first member and the ensemble's mean pick among more and more."""
    sample = judged(0.3)
    figure, axes = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained")
    selectors = {"one member": sample.scores[0], "the ensemble's mean": sample.scores.mean(axis=0)}
    for axis, (name, selector) in zip(axes, selectors.items(), strict=True):
        for line, n in enumerate((1, 4, 16, 64, 256, 1024, 4000)):
            best = int(np.argmax(selector[:n]))
            axis.text(-0.3, line, f"{n}", ha="right", va="center", fontsize=9)
            for place, token in enumerate(sample.rows[best]):
                strange = token > WORDS
                box = {"fc": "0.25" if strange else "white", "ec": "0.25", "pad": 2.5}
                word, ink = ("?!", "white") if strange else (f"{WORTH[token]:+.1f}", "black")
                face = {"family": "monospace", "fontsize": 8, "bbox": box, "color": ink}
                axis.text(place + 0.35, line, word, ha="center", va="center", **face)
            text = f"proxy {selector[best]:+.1f}, gold {sample.gold[best]:+.1f}"
            axis.text(LONGEST, line, text, va="center", fontsize=9)
        axis.set(xlim=(-1, LONGEST + 3.4), ylim=(6.6, -0.6), title=f"best of n by {name}")
        axis.axis("off")
    return figure


def write_study(out: Path, worlds: int = 5) -> None:
    """Gold and proxy of best-of-n for some members and weights k, in several worlds."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "study.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["world", "members", "k", "n", "gold", "proxy"])
        for world in range(worlds):
            sample = judged(0.3, world)
            for members, k in itertools.product((1, 2, 4, 8), (0, 0.5, 1, 2)):
                scores = sample.scores[:members]
                bound = scores.mean(axis=0) - k * scores.std(axis=0)
                for n in (1, 16, 1024):
                    found = (picks_by(bound, value, [n])[0] for value in (sample.gold, bound))
                    table.writerow([world, members, k, n, *found])
            print(f"world {world} is done", flush=True)
    print(f"{out / 'study.csv'}: the figure is yours to draw")


PLOTS = (plot_probability, plot_baseball, plot_calibration, plot_accuracy, plot_uncertainty)
FIGURES = {draw.__name__.removeprefix("plot_"): draw for draw in (*PLOTS, plot_hacking, plot_picks)}


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--study", action="store_true", help="only write study.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.study:
        plots.save_study(write_study, options.out)
    else:
        plots.save_all(options.out, FIGURES)
