"""Draws the plots that the handout of `grpo` asks for, from your own grpo.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR
    python report.py --quick      a third of the iterations, to see whether everything runs

It begins from warm_start.safetensors and takes about forty seconds of one core, nearly all of it
training. What is not written yet is left out and named.
"""

from __future__ import annotations

import copy
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


def warm_start() -> Any:
    """The policy that ships."""
    from safetensors.torch import load_file

    return work.build_policy(load_file(Path(__file__).with_name("warm_start.safetensors")))


def responses(
    policy: Any, prompts: list[str], count: int, temperature: float, seed: int
) -> tuple[Any, Tensor]:
    """Samples and their rewards, (len(prompts) * count,)."""
    generator = torch.Generator().manual_seed(seed)
    samples = work.sample_groups(
        policy,
        [work.encode(p) for p in prompts],
        count,
        8,
        temperature=temperature,
        generator=generator,
    )
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


# -- one run, watched ------------------------------------------------------------------------------


def plot_training(shorten: int) -> plt.Figure:
    """Reward, spread, dead groups, KL, length, clip fraction, and pass rates before and after."""
    start = warm_start()
    cfg = work.GRPOConfig(iterations=ITERATIONS // shorten)
    result = work.train_grpo(start, cfg, 0)
    books = {name: np.array(numbers) for name, numbers in result.history.items()}
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.4), layout="constrained")
    steps = np.arange(cfg.iterations)
    mean, spread = books["reward_mean"], books["reward_std"]
    axes[0, 0].plot(steps, mean, color="tab:blue", label="mean")
    axes[0, 0].plot(steps, spread, color="tab:orange", label="spread within groups")
    axes[0, 0].set(title="reward", ylim=(0, 1.02))
    axes[0, 0].legend(loc="center right")
    axes[0, 1].plot(steps, books["dead_groups"], color="tab:blue", label="measured")
    predicted = mean**cfg.group_size + (1 - mean) ** cfg.group_size
    axes[0, 1].plot(steps, predicted, "--", color="tab:gray", label=r"$p^8 + (1-p)^8$")
    axes[0, 1].set(title="groups without spread", ylim=(0, 1.02))
    axes[0, 1].legend(loc="upper left")
    axes[0, 2].plot(steps, books["kl"], color="tab:blue")
    axes[0, 2].set(title="KL to the reference (k3, nats a token)", ylim=(0, None))
    axes[1, 0].plot(steps, books["length"], color="tab:blue")
    axes[1, 0].axhline(6, color="tab:gray", linestyle="--", label="five digits and the end")
    axes[1, 0].set(title="tokens in a response", ylim=(5.8, 6.2))
    axes[1, 0].legend(loc="lower right")
    axes[1, 1].plot(steps, 100 * books["clip_fraction"], color="tab:blue")
    axes[1, 1].set(title="clipped tokens, %", ylim=(0, None))
    for axis in axes.flat[:5]:
        axis.set_xlabel("iteration")
        axis.grid(alpha=0.3)
    draw_pass_rates(axes[1, 2], start, result.policy)
    return figure


def draw_pass_rates(axis: Any, before: Any, after: Any) -> None:
    """Bars for the task that was trained and one that was not."""
    labels = ("pass@1", "pass@8", "greedy")
    for place, (task, digits, name) in enumerate(
        (("reverse", 5, "reverse 5 (trained)"), ("sort", 4, "sort 4 (not trained)"))
    ):
        for shift, policy, colour, when in (
            (-0.2, before, "tab:gray", "before"),
            (0.2, after, "tab:blue", "after"),
        ):
            where = np.arange(3) + 3.6 * place + shift
            bars = axis.bar(
                where,
                pass_rates(policy, task, digits),
                0.4,
                color=colour,
                label=None if place else when,
            )
            axis.bar_label(bars, fmt="%.2f", fontsize=6)
        axis.text(1 + 3.6 * place, 1.11, name, ha="center", fontsize=9)
    axis.set_xticks([*range(3), *(3.6 + np.arange(3))], labels * 2, fontsize=7.5)
    axis.set(title="pass rates", ylim=(0, 1.42))
    axis.legend(loc="upper center", ncols=2, fontsize=8)


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
    advantages, later, after = (
        torch.zeros_like(values),
        torch.zeros(len(values)),
        torch.zeros(len(values)),
    )
    last = mask & ~torch.nn.functional.pad(mask[:, 1:], (0, 1))
    for t in reversed(range(mask.shape[1])):
        now = last[:, t] * rewards + after - values[:, t] + lam * later
        later, after = (
            torch.where(mask[:, t], now, later),
            torch.where(mask[:, t], values[:, t], after),
        )
        advantages[:, t] = torch.where(mask[:, t], now, 0.0)
    return advantages, advantages + values


def learning_curve(algorithm: str, offsets: bool, iterations: int) -> list[float]:
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
    generator, rates = torch.Generator().manual_seed(1), []
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = work.learning_rate(cfg, iteration)
        prompts = work.draw_prompts("reverse", 5, cfg.prompts, generator)
        samples, right = responses(policy, prompts, group, 1.0, 1000 + iteration)
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
            ids = (
                torch.arange(cfg.prompts).repeat_interleave(group)
                if group > 1
                else torch.zeros(SAMPLES).long()
            )
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


def plot_comparison(shorten: int) -> plt.Figure:
    """Three algorithms with the same tokens, on plain rewards and with generous and strict
    examiners."""
    iterations = SHORT // shorten
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    colours = {"GRPO": "tab:blue", "REINFORCE": "tab:orange", "PPO": "tab:green"}
    names = {
        "GRPO": "GRPO, 32 groups of 8",
        "REINFORCE": "REINFORCE, batch baseline",
        "PPO": "PPO, learnt critic",
    }
    tokens = SAMPLES * 6 / 1000 * np.arange(iterations)  # a response is six tokens, nearly always
    for axis, offsets, title in zip(
        axes,
        (False, True),
        ("reward 0 or 1", "0 to 3 added, the same for all answers to a prompt"),
        strict=True,
    ):
        for algorithm, colour in colours.items():
            axis.plot(
                tokens,
                learning_curve(algorithm, offsets, iterations),
                color=colour,
                label=names[algorithm],
            )
        axis.set(title=title, xlabel="thousand sampled tokens", ylim=(0, 1))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of right answers")
    axes[0].legend(loc="lower right")
    return figure


# -- what a group says -----------------------------------------------------------------------------


def plot_weights(shorten: int) -> plt.Figure:
    """How loudly a group speaks, by how many of its eight samples succeeded."""
    successes = np.arange(9)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for scale, colour, name in (
        ("std", "tab:blue", "divided by the standard deviation"),
        ("none", "tab:orange", "mean taken off only"),
    ):
        groups = [(torch.arange(8) < k).double() for k in successes]
        adv = [
            work.group_advantages(rewards, torch.zeros(8).long(), scale=scale) for rewards in groups
        ]
        right = [float(a[0]) if k else np.nan for k, a in zip(successes, adv, strict=True)]
        wrong = [float(a[-1]) if k < 8 else np.nan for k, a in zip(successes, adv, strict=True)]
        axes[0].plot(successes, right, "o-", color=colour, label=f"right answers, {name}")
        axes[0].plot(
            successes, wrong, "s--", color=colour, label=f"wrong answers, {name}", markersize=4
        )
        axes[1].plot(successes, [float(a.abs().sum()) for a in adv], "o-", color=colour, label=name)
    axes[0].set(title="advantage of one sample", xlabel="right answers among 8")
    axes[1].set(
        title="sum of |advantage| over the group", xlabel="right answers among 8", ylim=(0, None)
    )
    for axis in axes:
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7.5)
    axes[1].legend(loc="lower center")
    return figure


FIGURES = {"weights": plot_weights, "training": plot_training, "comparison": plot_comparison}


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--quick", action="store_true", help="a third of the iterations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plots.save_all(options.out, FIGURES, QUICK if options.quick else 1)
