"""Draws the plots that the handout of `sft` asks for, from your own sft.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR
    python report.py --quick      a quarter of the steps, to see whether everything runs

It takes about a minute of one core, nearly all of it training. What is not written yet is left out
and named.
"""

from __future__ import annotations

import copy
from pydoc_data.topics import topics
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import plots
import sft as work
import torch
from torch import Tensor

DIGITS = 3
STEPS = 360
QUICK = 4  # steps are divided by this with --quick
TASKS = {"reverse": 11, "copy": 12}  # the user's header tells the task: "r" or "s"


# -- a world of digits -----------------------------------------------------------------------------


def template(task: str) -> work.Template:
    """ "r314$>413$" is a question and its answer."""
    return work.Template({"user": [TASKS[task]], "assistant": [10]}, end=13)


def noise(rate: float, confused: bool = False) -> Tensor:
    """A teacher who is wrong in a share ``rate`` of the digits, and takes most 3s for 8s if
    ``confused``."""
    table = torch.full((10, 10), rate / 9, dtype=torch.float64).fill_diagonal_(1 - rate)
    if confused:
        table[3] = 0.0
        table[3, 3], table[3, 8] = 0.3, 0.7
    return table


def examples(task: str, table: Tensor, count: int, seed: int) -> list[work.Example]:
    """Questions, and what the teacher answers."""
    generator = torch.Generator().manual_seed(seed)
    asked = torch.randint(0, 10, (count, DIGITS), generator=generator)
    right = asked.flip(1) if task == "reverse" else asked
    written = work.teacher_answers(right, table, generator)
    return [
        work.encode_conversation(
            [work.Message("user", question), work.Message("assistant", answer)], template(task)
        )
        for question, answer in zip(asked.tolist(), written.tolist(), strict=True)
    ]


def fresh_model(seed: int = 0) -> Any:
    """A model that knows nothing."""
    torch.manual_seed(seed)
    return work.build_policy(width=32, layers=1, heads=2)


def train(
    model: Any, data: list[work.Example], held_out: list[work.Example], steps: int, **changes: Any
) -> Any:
    """One run."""
    settings = {"steps": steps, "batch_size": 64, "micro_batch": 64, "lr": 0.01} | changes
    cfg = work.SFTConfig(**settings, eval_every=max(1, steps // 12))
    return work.train_sft(model, data, held_out, cfg, 0)


def accuracy(model: Any, sampled: bool, count: int = 1000) -> float:
    """How often the answer to a reversal is right in all digits and ends where it should."""
    generator = torch.Generator().manual_seed(7)
    asked = torch.randint(0, 10, (count, DIGITS), generator=generator)
    ends = torch.tensor([13, 10]).expand(count, 2)
    ids = torch.cat([torch.full((count, 1), TASKS["reverse"]), asked, ends], dim=1)
    with torch.no_grad():
        for _ in range(DIGITS + 1):
            logits = model(input_ids=ids).logits[:, -1]
            if sampled:
                token = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
            else:
                token = logits.argmax(dim=-1, keepdim=True)
            ids = torch.cat([ids, token], dim=1)
    right = torch.cat([asked.flip(1), torch.full((count, 1), 13)], dim=1)
    return float((ids[:, -DIGITS - 1 :] == right).all(dim=1).double().mean())


# -- packing ---------------------------------------------------------------------------------------


def plot_packing(shorten: int) -> plt.Figure:
    """The mask of one packed row, and how much of a batch is padding."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    sizes = [9, 14, 6]
    mask = work.block_mask(torch.tensor([0, *np.cumsum(sizes).tolist()]))
    axes[0].imshow(mask, cmap="Greens", vmin=0, vmax=1.6)
    axes[0].set(
        title="who may look at whom: 9, 14 and 6 tokens", xlabel="place looked at",
        ylabel="place that looks",
    )  # fmt: skip
    capacity, batch = 512, 16
    lengths = [
        min(len(part.split()), capacity)
        for text in topics.values()
        for part in text.split("\n\n")
        if len(part.split()) >= 4
    ]
    order = np.random.default_rng(0).permutation(len(lengths))
    lengths = [lengths[i] for i in order]
    total = sum(lengths)
    padded = sum(
        max(lengths[i : i + batch]) * len(lengths[i : i + batch])
        for i in range(0, len(lengths), batch)
    )
    rows, room = 0, 0
    for length in lengths:
        if length > room:
            rows, room = rows + 1, capacity
        room -= length
    packed = len(work.first_fit_decreasing(lengths, capacity))
    bars = {
        f"padded to\nthe longest of {batch}": 1 - total / padded,
        "packed,\nin their order": 1 - total / (rows * capacity),
        "packed,\nfirst fit decreasing": 1 - total / (packed * capacity),
    }
    places = np.arange(len(bars))
    axes[1].bar(places, [100 * share for share in bars.values()], color="tab:green")
    for place, share in zip(places, bars.values(), strict=True):
        axes[1].text(place, 100 * share + 1, f"{100 * share:.1f} %", ha="center")
    axes[1].set_xticks(places, list(bars))
    axes[1].set(
        title=f"{len(lengths)} paragraphs of Python's own help",
        ylabel="places that are padding, %", ylim=(0, 80),
    )  # fmt: skip
    return figure


# -- accumulation ----------------------------------------------------------------------------------


def gradient(model: Any) -> Tensor:
    """The gradient that stands in the parameters, as one vector."""
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def plot_accumulation(shorten: int) -> plt.Figure:
    """How far accumulated gradients are from that of one batch."""
    generator = np.random.default_rng(0)
    data = []
    for _ in range(64):
        # Most answers are short, a few are long.
        count = int(min(16, 1 + generator.exponential(3.0)))
        tokens = [11, *generator.integers(0, 10, size=3).tolist(), 10]
        answer = generator.integers(0, 10, size=count).tolist()
        data.append(work.Example(tokens + answer, [work.IGNORE] * 5 + answer))
    model = fresh_model()
    counts = [1, 2, 4, 8, 16, 32, 64]
    curves: dict[str, list[float]] = {"mean of means": [], "all tokens alike": []}
    work.accumulate_(model, [work.collate(data, work.PAD)])
    whole = gradient(model)
    for count in counts:
        size = len(data) // count
        parts = [work.collate(data[i : i + size], work.PAD) for i in range(0, len(data), size)]
        model.zero_grad()
        for part in parts:
            (work.sft_loss(work.padded_logits(model, part), part.labels) / count).backward()
        curves["mean of means"].append(float((gradient(model) - whole).norm() / whole.norm()))
        model.zero_grad()
        work.accumulate_(model, parts)
        curves["all tokens alike"].append(float((gradient(model) - whole).norm() / whole.norm()))
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for (name, curve), colour in zip(curves.items(), ("tab:red", "tab:green"), strict=True):
        axis.plot(counts, [100 * x for x in curve], "o-", color=colour, label=name)
    axis.set(
        title="the same 64 answers, cut into micro-batches", xlabel="micro-batches",
        ylabel="error of the gradient, %", xscale="log",
    )  # fmt: skip
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.legend()
    axis.grid(alpha=0.3)
    return figure


# -- LoRA ------------------------------------------------------------------------------------------


def plot_lora(shorten: int) -> plt.Figure:
    """A model that can reverse learns to copy: with all its weights, or with adapters."""
    sure = noise(0.0)
    old = examples("reverse", sure, 300, 2), examples("reverse", sure, 2000, 1)
    new = examples("copy", sure, 300, 4), examples("copy", sure, 2000, 3)
    base = train(fresh_model(), old[1], old[0], STEPS // shorten).model
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    forgot, labels = [], []
    names = ["c_attn", "c_proj", "c_fc"]
    for rank, colour in ((None, "black"), (1, "tab:orange"), (2, "tab:green"), (8, "tab:blue")):
        model = copy.deepcopy(base)
        if rank is not None:
            work.add_lora_(model, names, rank, 2.0 * rank, torch.Generator().manual_seed(0))
        result = train(model, new[1], new[0], STEPS // shorten)
        weights = sum(p.numel() for p in result.model.parameters() if p.requires_grad)
        name = f"all weights, {weights:,}" if rank is None else f"rank {rank}: {weights:,} weights"
        history = result.history
        axes[0].plot(history["valid_step"], history["valid_loss"], "o-", color=colour, label=name)
        labels.append("all" if rank is None else f"rank {rank}")
        forgot.append([work.evaluate(result.model, old[0], 100, work.PAD).loss, np.nan])
        if rank is not None:
            work.switch_lora_(result.model, False)
            forgot[-1][1] = work.evaluate(result.model, old[0], 100, work.PAD).loss
    axes[0].set(
        title="learning to copy", xlabel="step", ylabel="loss on held-out examples", yscale="log"
    )
    axes[0].legend(fontsize=8)
    axes[0].grid(alpha=0.3)
    places = np.arange(len(labels))
    for column, (shift, name, colour) in enumerate(
        ((-0.2, "as trained", "tab:red"), (0.2, "adapters off", "tab:green"))
    ):
        axes[1].bar(places + shift, [x[column] for x in forgot], 0.4, color=colour, label=name)
    axes[1].set_xticks(places, labels)
    axes[1].set(
        title="what is left of reversing",
        ylabel="loss on the old task",
        yscale="log",
        ylim=(1e-3, 30),
    )
    axes[1].legend(fontsize=8, loc="upper left", ncols=2)
    return figure


# -- imitation -------------------------------------------------------------------------------------


def plot_imitation(shorten: int) -> plt.Figure:
    """What a student of a noisy teacher reaches, and what it cannot."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    rates = np.linspace(0.0, 0.8, 33)
    limits = [work.imitation_limits(noise(rate), DIGITS) for rate in rates]
    axes[0].plot(rates, [x.greedy for x in limits], color="tab:blue", label="limit, greedy")
    axes[0].plot(rates, [x.sampled for x in limits], color="tab:orange", label="the teacher itself")
    axes[0].plot(
        rates, [work.verified_rate(noise(rate), DIGITS, 8) for rate in rates],
        color="tab:green", linestyle="--", label="the best of 8, with a verifier",
    )  # fmt: skip
    bars = {}
    runs = [(rate, False) for rate in (0.0, 0.2, 0.4, 0.6)] + [(0.2, True)]
    for number, (rate, confused) in enumerate(runs):
        table = noise(rate, confused)
        data, held_out = (examples("reverse", table, n, number * 2 + n) for n in (3000, 300))
        model = train(fresh_model(), data, held_out, STEPS // shorten).model
        scores = accuracy(model, False), accuracy(model, True)
        if confused:
            exact = work.imitation_limits(table, DIGITS)
            bars = {
                "teacher": (exact.sampled, "tab:orange"),
                "student,\nsampled": (scores[1], "tab:orange"),
                "student,\ngreedy": (scores[0], "tab:blue"),
                "limit,\ngreedy": (exact.greedy, "tab:blue"),
                "best of 8,\nverifier": (work.verified_rate(table, DIGITS, 8), "tab:green"),
            }
        else:
            axes[0].plot(rate, scores[0], "o", color="tab:blue")
            axes[0].plot(rate, scores[1], "o", color="tab:orange")
    axes[0].set(
        title="a teacher with random mistakes (dots: students)",
        xlabel="share of digits that the teacher gets wrong",
        ylabel="answers right in all digits",
    )
    axes[0].legend(fontsize=8, loc="lower left")
    axes[0].grid(alpha=0.3)
    places = np.arange(len(bars))
    axes[1].bar(
        places, [x for x, _ in bars.values()], color=[colour for _, colour in bars.values()]
    )
    for place, (share, _) in zip(places, bars.values(), strict=True):
        axes[1].text(place, share + 0.01, f"{share:.2f}", ha="center")
    axes[1].set_xticks(places, list(bars), fontsize=8)
    axes[1].set(
        title="the same teacher (0.2), who also takes most 3s for 8s",
        ylabel="answers right in all digits", ylim=(0, 1.05),
    )  # fmt: skip
    return figure


FIGURES = {
    "packing": plot_packing, "accumulation": plot_accumulation, "lora": plot_lora,
    "imitation": plot_imitation,
}  # fmt: skip


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plots.save_all(options.out, FIGURES, QUICK if options.quick else 1)
