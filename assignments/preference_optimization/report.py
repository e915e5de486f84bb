"""Draws the plots that the handout of `preference_optimization` asks for, from your own
preference_optimization.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR
    python report.py --quick      a quarter of the steps, to see whether everything runs

It takes about half a minute of one core, nearly all of it training. What is not written yet is left
out and named.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import plots
import preference_optimization as work
import torch
from torch import Tensor

BETA = 0.5
STEPS = 240
QUICK = 4  # steps are divided by this with --quick
COLOURS = {
    "dpo": "tab:blue", "ipo": "tab:orange", "kto": "tab:green", "simpo": "tab:red", "orpo": "tab:purple",
}  # fmt: skip
NAMES = {"dpo": "DPO", "ipo": "IPO", "kto": "KTO", "simpo": "SimPO", "orpo": "ORPO"}
SETTINGS = {"dpo": BETA, "ipo": 0.4, "kto": BETA, "simpo": 2.0, "orpo": 0.5}  # beta of each loss


# -- a world that can be enumerated ----------------------------------------------------------------

GRID = torch.cartesian_prod(torch.arange(15), torch.arange(15))  # all answers of two tokens


class World(NamedTuple):
    """Ten prompts, 225 answers to each."""

    reference: Any
    rewards: Tensor  # (10, 225) float64
    pairs: work.Pairs


def table(model: Any) -> Tensor:
    """Log-probabilities of all answers to all prompts, (10, 225) float64."""
    prompts = torch.tensor([[11, digit, 10] for digit in range(10)])
    rows = torch.cat([prompts.repeat_interleave(225, dim=0), GRID.repeat(10, 1)], dim=1)
    with torch.no_grad():
        logp = work.token_logprobs(model, rows, torch.ones_like(rows))
    return logp[:, 3:].double().sum(dim=1).reshape(10, 225)


def build_world(seed: int, count: int = 3000, certain: bool = False) -> World:
    """Words of different worth, a bonus for the prompt's digit, and pairs judged by Bradley-Terry.

    With ``certain`` the better answer always wins.
    """
    torch.manual_seed(seed)
    reference = work.build_policy(width=32, layers=1, heads=2)
    rng = np.random.default_rng(seed)
    worth = torch.tensor(rng.permutation(np.linspace(-1.5, 1.5, 15)))
    bonus = (GRID[:, 0] == torch.arange(10)[:, None]).double()
    rewards = worth[GRID].sum(dim=1) + 1.5 * bonus
    chances = table(reference).exp().numpy()
    pairs = work.Pairs([], [], [])
    for x in rng.integers(10, size=count).tolist():
        won, lost = rng.choice(225, size=2, p=chances[x] / chances[x].sum()).tolist()
        lead = float(rewards[x, won] - rewards[x, lost])
        if (lead < 0) if certain else (rng.uniform() > 1 / (1 + np.exp(-lead))):
            won, lost = lost, won
        pairs.prompts.append([11, x, 10])
        pairs.chosen.append(GRID[won].tolist())
        pairs.rejected.append(GRID[lost].tolist())
    return World(reference, rewards, pairs)


def train(world: World, loss: str, steps: int, beta: float | None = None) -> Any:
    """One run of a loss in a world."""
    beta = SETTINGS[loss] if beta is None else beta
    cfg = work.PreferenceConfig(loss=loss, beta=beta, steps=steps, batch_size=64, lr=2e-3)
    return work.train_preferences(world.reference, world.pairs, cfg, 0)


def smooth(numbers: list[float], width: int = 10) -> np.ndarray:
    """A running mean."""
    return np.convolve(numbers, np.ones(width) / width, "valid")


# -- the losses ------------------------------------------------------------------------------------


def plot_losses(shorten: int) -> plt.Figure:
    """What a pair costs and how hard it pulls, by its margin."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    h, zero = torch.linspace(-6, 10, 161).double(), torch.zeros(1).double()
    draws = {
        "DPO, beta 1": ("tab:blue", "-", lambda x: work.dpo_loss(x, zero, zero, zero, 1.0)),
        "cDPO, s = 0.1": ("tab:cyan", "--", lambda x: work.dpo_loss(x, zero, zero, zero, 1.0, 0.1)),
        "IPO, tau 0.125": ("tab:orange", "-", lambda x: work.ipo_loss(x, zero, zero, zero, 0.125) / 10),
        "KTO, both kinds": (
            "tab:green", "-",
            lambda x: work.kto_loss(x / 2, zero, torch.tensor([True]), 0.0, 1.0)
            + work.kto_loss(-x / 2, zero, torch.tensor([False]), 0.0, 1.0),
        ),
    }  # fmt: skip
    for name, (colour, style, loss) in draws.items():
        costs, pulls = [], []
        for number in h:
            leaf = number.reshape(1).clone().requires_grad_()
            cost = loss(leaf)
            costs.append(float(cost.detach()))
            pulls.append(-float(torch.autograd.grad(cost, leaf)[0]))
        label = f"{name} (a tenth)" if name.startswith("IPO") else name
        axes[0].plot(h, costs, style, color=colour, label=label)
        axes[1].plot(h, pulls, style, color=colour, label=label)
    axes[0].set(title="cost of a pair", xlabel="margin h (nats)", ylim=(0, 6))
    axes[1].set(title="pull of a pair: minus the slope", xlabel="margin h (nats)", ylim=(-1.2, 2.2))
    axes[1].axhline(0, color="tab:gray", linewidth=0.8)
    axes[0].legend(fontsize=8)
    p = torch.linspace(0.02, 0.999, 200).double()
    axes[2].plot(p, work.log_odds(p.log()), color="tab:purple", label="log-odds (ORPO)")
    axes[2].plot(p, p.log(), color="tab:gray", linestyle="--", label="log p")
    axes[2].set(title="what ORPO compares", xlabel="probability p (mean over tokens)")
    axes[2].legend(fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure


# -- the optimum -----------------------------------------------------------------------------------


def plot_optimum(shorten: int) -> plt.Figure:
    """Reward against divergence: the frontier, and what five losses reach."""
    world = build_world(0)
    ref = table(world.reference)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    curve = []
    for beta in np.geomspace(0.08, 20, 60):
        best = work.rlhf_optimum(ref, world.rewards, float(beta))
        curve.append(place(best, ref, world.rewards))
    axes[0].plot(*np.array(curve).T, color="black", label="best possible: ref exp(r / beta) / Z")
    marked = place(work.rlhf_optimum(ref, world.rewards, BETA), ref, world.rewards)
    axes[0].plot(*marked, "k*", markersize=12, label=f"the optimum for beta = {BETA}")
    for loss, colour in COLOURS.items():
        result = train(world, loss, STEPS // shorten)
        axes[0].plot(
            *place(table(result.policy), ref, world.rewards), "o", color=colour, label=NAMES[loss]
        )
        if loss == "dpo":
            found, best = table(result.policy), work.rlhf_optimum(ref, world.rewards, BETA)
            chosen = np.random.default_rng(0).choice(2250, 500, replace=False)
            x, y = (((t - ref) * BETA).flatten().numpy() for t in (best, found))
            axes[1].plot(x[chosen], y[chosen], ".", color=colour, markersize=4)
    axes[0].set(
        title="reward against divergence", xlabel="KL(policy || reference), nats",
        ylabel="mean reward", xlim=(-0.1, 5.2),
    )  # fmt: skip
    axes[0].legend(fontsize=8, loc="lower right")
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axes[1].plot(ends, ends, color="tab:gray", linewidth=1)
    axes[1].set(
        title="implicit rewards of DPO, 500 answers",
        xlabel="beta (log pi* - log ref), exact", ylabel="beta (log pi - log ref), trained",
    )  # fmt: skip
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure


def place(logp: Tensor, ref: Tensor, rewards: Tensor) -> tuple[float, float]:
    """Divergence and mean reward of a policy, averaged over prompts."""
    chance = logp.exp()
    divergence = (chance * (logp - ref)).sum(dim=1).mean()
    return float(divergence), float((chance * rewards).sum(dim=1).mean())


# -- one run, watched ------------------------------------------------------------------------------


def plot_training(shorten: int) -> plt.Figure:
    """Loss, margin, and the two log-probabilities that both fall."""
    world = build_world(0)
    ref = table(world.reference)
    result = train(world, "dpo", STEPS // shorten)
    books = {name: smooth(numbers) for name, numbers in result.history.items()}
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    axes[0].plot(books["loss"], color="tab:blue", label="loss")
    axes[0].plot(books["accuracy"], color="tab:green", label="accuracy")
    axes[0].axhline(np.log(2), color="tab:gray", linestyle=":", label="log 2")
    axes[0].set(title="a run of DPO", ylim=(0.3, 0.9))
    axes[0].legend(fontsize=8)
    axes[1].plot(books["chosen_logp"], color="tab:blue", label="chosen")
    axes[1].plot(books["rejected_logp"], color="tab:red", label="rejected")
    axes[1].set(title="log-probability: both fall", ylabel="nats")
    axes[1].legend(fontsize=8)
    for axis in axes[:2]:
        axis.set_xlabel("step (mean of ten)")
    # Where has the probability gone? Ten classes of answers, from the worst to the best.
    order = world.rewards.argsort(dim=1)
    ranks = [
        t.exp().gather(1, order).reshape(10, 15, 15).sum(dim=2).mean(dim=0)
        for t in (ref, table(result.policy))
    ]
    spots = np.arange(1, 16)
    axes[2].set_xticks(spots[::2])
    axes[2].bar(spots - 0.2, ranks[0], 0.4, color="tab:gray", label="reference")
    axes[2].bar(spots + 0.2, ranks[1], 0.4, color="tab:blue", label="after DPO")
    axes[2].set(
        title="where the probability is",
        xlabel="answers from worst to best, 15 at a time",
        ylabel="probability",
    )
    axes[2].legend(fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure


# -- certain labels --------------------------------------------------------------------------------


def plot_certain(shorten: int) -> plt.Figure:
    """Labels without noise: DPO never has enough, IPO comes to rest."""
    world = build_world(1, count=400, certain=True)
    ref = table(world.reference)
    steps = 2 * STEPS // shorten
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for loss, beta, name in (("dpo", 0.5, "DPO, beta 0.5"), ("ipo", 0.25, "IPO, tau 0.25")):
        result = train(world, loss, steps, beta)
        margins = smooth(result.history["margin"]) / beta
        axes[0].plot(margins, color=COLOURS[loss], label=name)
    axes[0].axhline(2.0, color="tab:orange", linestyle=":", label="IPO's target, 1 / (2 tau)")
    axes[0].set(
        title="margin (of sums for DPO, of means for IPO)",
        xlabel="step (mean of ten)",
        ylabel="nats",
    )
    axes[0].legend(fontsize=8)
    for loss, betas in (("dpo", (0.1, 0.3, 1.0, 2.0)), ("ipo", (0.1, 0.3, 1.0, 2.0))):
        away = [
            place(table(train(world, loss, steps // 4, beta).policy), ref, world.rewards)[0]
            for beta in betas
        ]
        axes[1].plot(betas, away, "o-", color=COLOURS[loss], label=NAMES[loss])
    axes[1].set(
        title="how far a quarter of the steps leads",
        xlabel="beta or tau",
        ylabel="KL to the reference, nats",
        xscale="log",
    )
    axes[1].legend(fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure


FIGURES = {
    "losses": plot_losses, "training": plot_training, "optimum": plot_optimum, "certain": plot_certain,
}  # fmt: skip


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plots.save_all(options.out, FIGURES, QUICK if options.quick else 1)
