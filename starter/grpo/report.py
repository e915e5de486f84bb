"""Draws the plots that the handout of `grpo` asks for, from your own grpo.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR
    python report.py --quick      a third of the iterations, to see whether everything runs
    python report.py --seeds 20   trains with 20 seeds and prints ranges (some twenty minutes)
    python report.py --study      trains what your study needs into study.csv (a quarter of an hour)

It begins from warm_start.safetensors and takes about forty seconds of one core, nearly all of it
training. What is not written yet is left out and named.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import functools
import itertools
from pathlib import Path
from typing import Any

import grpo as work
import matplotlib.pyplot as plt
import numpy as np
import plots
import torch
from torch import Tensor

ITERATIONS = 60  # of the run whose curves are drawn
SHORT = 24  # of each run of the comparison
SAMPLES = 256  # responses in an iteration, in every run: equal budgets of tokens
QUICK = 3  # iterations are divided by this with --quick
# A quantity has one colour through the whole course, and colours are told apart by everybody.
REWARD, ADVANTAGE, KL, RATIO, GREY = "#8a6500", "#c04e00", "#8f3f97", "#0072b2", "0.55"


def warm_start() -> Any:
    """The policy that ships."""
    from safetensors.torch import load_file

    return work.build_policy(load_file(Path(__file__).with_name("warm_start.safetensors")))


def responses(
    policy: Any, prompts: list[str], count: int, temperature: float, seed: int
) -> tuple[Any, Tensor]:
    """Samples and their rewards, (len(prompts) * count,)."""
    generator = torch.Generator().manual_seed(seed)
    ids = [work.encode(prompt) for prompt in prompts]
    samples = work.sample_groups(policy, ids, count, 8, temperature, generator)
    texts = [
        work.decode(row[kept])
        for row, kept in zip(samples.tokens, samples.mask.bool(), strict=True)
    ]
    asked = [prompt for prompt in prompts for _ in range(count)]
    return samples, torch.tensor(
        [work.verifiable_reward(p, text) for p, text in zip(asked, texts, strict=True)]
    )


def pass_rates(policy: Any, task: str, digits: int) -> list[float]:
    """pass@1 and pass@8 at temperature 1, and nearly greedy decoding, on 150 prompts."""
    prompts = work.draw_prompts(task, digits, 150, torch.Generator().manual_seed(99))
    table = responses(policy, prompts, 8, 1.0, 5)[1].reshape(150, 8)
    greedy = responses(policy, prompts, 1, 0.02, 6)[1]
    return [float(table.mean()), float(table.amax(dim=1).mean()), float(greedy.mean())]


# -- training, watched -----------------------------------------------------------------------------


@functools.cache
def trained(shorten: int, seed: int) -> Any:
    """Policy and history after training with one seed."""
    cfg = work.GRPOConfig(iterations=ITERATIONS // shorten)
    return work.train_grpo(warm_start(), cfg, seed)


def plot_training(shorten: int, seeds: int) -> plt.Figure:
    """Reward, spread, dead groups, KL, length, clip fraction, and pass rates before and after."""
    results = [trained(shorten, seed) for seed in range(seeds)]
    books = {name: np.array([r.history[name] for r in results]) for name in results[0].history}
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.4), layout="constrained")
    mean = books["reward_mean"]
    steps = np.arange(mean.shape[1])
    plots.band(axes[0, 0], steps, mean, "mean", REWARD)
    spread = books["reward_std"]
    plots.band(axes[0, 0], steps, spread, "spread within groups", ADVANTAGE, ls="--")
    axes[0, 0].set(title="reward", ylim=(0, 1.02))
    plots.band(axes[0, 1], steps, books["dead_groups"], "measured", ADVANTAGE)
    size = work.GRPOConfig().group_size
    predicted = np.median(mean**size + (1 - mean) ** size, axis=0)
    axes[0, 1].plot(steps, predicted, "--", color=GREY, label=r"$p^8 + (1-p)^8$")
    axes[0, 1].set(title="share of groups without spread", ylim=(0, 1.02))
    plots.band(axes[0, 2], steps, books["kl"], "k3, nats per token", KL)
    axes[0, 2].set(title="KL to the reference", ylim=(0, None))
    plots.band(axes[1, 0], steps, books["length"], "measured", RATIO)
    axes[1, 0].axhline(6, color=GREY, linestyle="--", label="five digits and the end")
    axes[1, 0].set(title="tokens in a response", ylim=(5.8, 6.2))
    plots.band(axes[1, 1], steps, 100 * books["clip_fraction"], "ratio outside 0.8 to 1.2", RATIO)
    axes[1, 1].set(title="clipped tokens, %", ylim=(0, None))
    for axis in axes.flat[:5]:
        axis.set_xlabel("iteration")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=9)
    draw_pass_rates(axes[1, 2], [result.policy for result in results])
    figure.suptitle("seed 0" if seeds == 1 else f"{seeds} seeds, median and range", fontsize=12)
    return figure


def draw_pass_rates(axis: Any, policies: list[Any]) -> None:
    """Bars for the task that was trained and one that was not; a dot for each seed."""
    labels, start = ("pass@1", "pass@8", "greedy"), warm_start()
    tasks = (("reverse", 5, "reverse 5 (trained)"), ("sort", 4, "sort 4 (not trained)"))
    for place, (task, digits, name) in enumerate(tasks):
        where = np.arange(3) + 3.6 * place
        before = pass_rates(start, task, digits)
        after = np.array([pass_rates(policy, task, digits) for policy in policies])
        for label, old, new in zip(labels, before, after.T, strict=True):
            ends = f"{np.median(new):.2f} ({min(new):.2f} to {max(new):.2f})"
            print(f"{name}, {label}: {old:.2f}, then {ends}, up in {sum(new > old)}")
        for shift, heights, colour, when in (
            (-0.2, before, GREY, "before"),
            (0.2, np.median(after, axis=0), REWARD, "after"),
        ):
            bars = axis.bar(where + shift, heights, 0.4, color=colour, label=when if place else "")
            axis.bar_label(bars, fmt="%.2f", fontsize=6.5, padding=1)
        if len(policies) > 1:
            axis.plot(where + 0.2, after.T, "k.", markersize=3, alpha=0.6)
        axis.text(1 + 3.6 * place, 1.11, name, ha="center", fontsize=9)
    axis.set_xticks([*range(3), *(3.6 + np.arange(3))], labels * 2, fontsize=8)
    axis.set(title="pass rates", ylim=(0, 1.42))
    axis.legend(loc="upper center", ncols=2, fontsize=9)


def plot_answers(shorten: int, seeds: int) -> plt.Figure:
    """Eight answers to each of four prompts, before training and after it."""
    prompts = ["r31425>", "r90210>", "r86753>", "s3142>"]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    policies = (("before", warm_start()), ("after", trained(shorten, 0).policy))
    for axis, (when, policy) in zip(axes, policies, strict=True):
        samples, rewards = responses(policy, prompts, 8, 1.0, 3)
        axis.set(xlim=(0, 4), ylim=(7.5, -1.7), title=f"{when}: {int(rewards.sum())} of 32 right")
        axis.axis("off")
        for row, (tokens, mask, reward) in enumerate(zip(*samples[:2], rewards, strict=True)):
            column, line = divmod(row, 8)
            words = work.decode(tokens[mask.bool()])
            face = {"family": "monospace", "fontsize": 12, "weight": "bold" if reward else "normal"}
            axis.text(column + 0.1, line, words, color=REWARD if reward else GREY, **face)
        for column, prompt in enumerate(prompts):
            axis.text(column + 0.1, -1.0, prompt, family="monospace", fontsize=12)
    figure.suptitle("Bold: right. Three prompts to reverse, and one to sort, which nobody trained")
    return figure


# -- GRPO, REINFORCE and PPO at equal tokens -------------------------------------------------------


class Critic(torch.nn.Module):
    """A value for each place, from a network of its own that begins as the policy's trunk."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(policy.transformer)
        self.head = torch.nn.Linear(self.trunk.config.n_embd, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, attention: Tensor) -> Tensor:
        """V before each token: (B, L), 0 at the first place."""
        positions = (attention.long().cumsum(dim=1) - 1).clamp(min=0)
        hidden = self.trunk(
            input_ids=tokens, attention_mask=attention.long(), position_ids=positions
        ).last_hidden_state
        return torch.nn.functional.pad(self.head(hidden[:, :-1]).squeeze(2), (1, 0))


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Token advantages and returns, discount 1, the reward at the last token of each response."""
    advantages, later, after = torch.zeros_like(values), torch.tensor(0.0), torch.tensor(0.0)
    last = mask & ~torch.nn.functional.pad(mask[:, 1:], (0, 1))
    for t in reversed(range(mask.shape[1])):
        now = last[:, t] * rewards + after - values[:, t] + lam * later
        later = torch.where(mask[:, t], now, later)
        after = torch.where(mask[:, t], values[:, t], after)
        advantages[:, t] = torch.where(mask[:, t], now, 0.0)
    return advantages, advantages + values


def learning_curve(algorithm: str, offsets: bool, iterations: int, seed: int) -> list[float]:
    """Share of right answers at each iteration, from the same start, with SAMPLES responses an
    iteration.

    With ``offsets`` the first digit of a prompt decides how generous its examiner is: 0 to 3 is
    added to all rewards of the prompt.
    """
    policy = warm_start()
    group = 8 if algorithm == "GRPO" else 1
    cfg = work.GRPOConfig(iterations=iterations, prompts=SAMPLES // group, group_size=group)
    critic = Critic(policy) if algorithm == "PPO" else None
    optimizer = torch.optim.AdamW(policy.parameters(), weight_decay=0.0)
    teacher = torch.optim.AdamW(critic.parameters(), lr=1e-3, weight_decay=0.0) if critic else None
    generator, rates = torch.Generator().manual_seed(1 + seed), []
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = work.learning_rate(cfg, iteration)
        prompts = work.draw_prompts("reverse", 5, cfg.prompts, generator)
        samples, right = responses(policy, prompts, group, 1.0, 1000 + 100 * seed + iteration)
        rates.append(float(right.mean()))
        generous = torch.tensor([float(int(p[1]) % 4) for p in prompts]).repeat_interleave(group)
        rewards, mask = right + offsets * generous, samples.mask.bool()
        attention = work.attention_mask(samples.tokens, mask)
        if critic:
            with torch.no_grad():
                advantages, targets = generalized_advantages(
                    rewards, critic(samples.tokens, attention), mask
                )
            advantages = (advantages - advantages[mask].mean()) / (advantages[mask].std() + 1e-6)
        else:  # REINFORCE with the batch's mean as baseline is GRPO with a single group
            ids = torch.arange(SAMPLES) // (group if group > 1 else SAMPLES)
            advantages = work.group_advantages(rewards, ids)
        for rows in torch.randperm(SAMPLES, generator=generator).tensor_split(cfg.minibatches):
            seen = samples.tokens[rows], attention[rows]
            logp = work.token_logprobs(policy, *seen)
            loss, _ = work.grpo_loss(logp, samples.logp[rows], None, advantages[rows], mask[rows])
            step(loss, optimizer, policy)
            if critic:
                error = (critic(*seen) - targets[rows])[mask[rows]]
                step(0.5 * error.pow(2).mean(), teacher, critic)
    return rates


def step(loss: Tensor, optimizer: torch.optim.Optimizer, module: Any) -> None:
    """One optimiser step, gradient norm at most 1."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()


def plot_comparison(shorten: int, seeds: int) -> plt.Figure:
    """Three algorithms with the same tokens, on plain rewards and with generous and strict
    examiners."""
    iterations = SHORT // shorten
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    styles = {
        "GRPO": ("GRPO, 32 groups of 8", "#0072b2", "-"),
        "REINFORCE": ("REINFORCE, batch baseline", "#c04e00", "--"),
        "PPO": ("PPO, learnt critic", "#007a59", ":"),
    }
    tokens = SAMPLES * 6 / 1000 * np.arange(iterations)  # a response is six tokens, nearly always
    titles = ("reward 0 or 1", "0 to 3 added, the same for all answers to a prompt")
    for axis, offsets, title in zip(axes, (False, True), titles, strict=True):
        for algorithm, (name, colour, line) in styles.items():
            curves = [learning_curve(algorithm, offsets, iterations, s) for s in range(seeds)]
            plots.band(axis, tokens, curves, name, colour, ls=line, lw=2)
        axis.set(title=title, xlabel="thousand sampled tokens", ylim=(0, 1))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"share of right answers, {seeds} seed(s)")
    axes[0].legend(loc="lower right")
    return figure


# -- what a group says -----------------------------------------------------------------------------


def plot_weights(shorten: int, seeds: int) -> plt.Figure:
    """How loudly a group speaks, by how many of its eight samples succeeded."""
    successes = np.arange(9)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for scale, colour, name, side in (
        ("std", ADVANTAGE, "divided by the deviation", "right"),
        ("none", RATIO, "mean taken off only", "left"),
    ):
        groups = [(torch.arange(8) < k).double() for k in successes]
        ids = torch.zeros(8).long()
        adv = [work.group_advantages(rewards, ids, scale=scale) for rewards in groups]
        right = [float(a[0]) if k else np.nan for k, a in zip(successes, adv, strict=True)]
        wrong = [float(a[-1]) if k < 8 else np.nan for k, a in zip(successes, adv, strict=True)]
        axes[0].plot(successes, right, "o-", color=colour, label=f"a right answer, {name}")
        axes[0].plot(successes, wrong, "s--", color=colour, label=f"a wrong one, {name}", ms=4)
        loud = np.array([float(a.abs().sum()) for a in adv])
        axes[1].plot(successes, loud / loud[4], "o-", color=colour, label=name)
        axes[1].text(1, loud[1] / loud[4], f"  {loud[1] / loud[4]:.2f}  ", ha=side)
    axes[0].set(title="advantage of one sample", ylabel="advantage", ylim=(-2.7, 3.9))
    axes[1].set(title="how loudly a group speaks", ylim=(0, 1.08))
    axes[1].set_ylabel("sum of |advantage|, an even group is 1")
    for axis in axes:
        axis.set_xlabel("right answers among 8")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=9, loc="upper right")
    axes[1].legend(loc="lower center")
    return figure


# -- numbers for a study of your own ---------------------------------------------------------------


def entropy(policy: Any) -> float:
    """Mean of -log probability over sampled tokens: the entropy of the policy, in nats a token."""
    prompts = work.draw_prompts("reverse", 5, 128, torch.Generator().manual_seed(7))
    samples, _ = responses(policy, prompts, 2, 1.0, 8)
    return -float(samples.logp[samples.mask.bool()].mean())


def write_study(out: Path, shorten: int) -> None:
    """Each setting and seed of the study of section 8: one line for each iteration."""
    loose = {"clip_low": 0.999, "clip_high": 1e6}
    path = out / "study.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        names = ("reward_mean", "kl", "clip_fraction")
        table.writerow(["epochs", "clipped", "seed", "iteration", *names, "entropy at the end"])
        for epochs in (1, 4, 16):
            for clipped, seed in itertools.product((True, False), range(5)):
                cfg = work.GRPOConfig(iterations=SHORT // shorten, epochs=epochs)
                cfg = cfg if clipped else dataclasses.replace(cfg, **loose)
                result = work.train_grpo(warm_start(), cfg, seed)
                rows = zip(*(result.history[name] for name in names), strict=True)
                end = entropy(result.policy)
                for iteration, row in enumerate(rows):
                    table.writerow([epochs, clipped, seed, iteration, *row, end])
                print(f"epochs {epochs}, clipped {clipped}, seed {seed} is done", flush=True)
    print(f"{path}: the figure is yours to draw")


FIGURES = {
    "weights": plot_weights,
    "training": plot_training,
    "comparison": plot_comparison,
    "answers": plot_answers,
}


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--quick", action="store_true", help="a third of the iterations")
    parser.add_argument("--seeds", type=int, default=1, help="how often training is repeated")
    parser.add_argument("--study", action="store_true", help="only write study.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shorten = QUICK if options.quick else 1
    if options.study:
        options.out.mkdir(parents=True, exist_ok=True)
        plots.save_study(write_study, options.out, shorten)
    else:
        plots.save_all(options.out, FIGURES, shorten, options.seeds)
