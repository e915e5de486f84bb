"""The plots of the handout, drawn from your own ppo.py.

    python report.py              saves the figures beside this file
    python report.py --out DIR    saves them in DIR
    python report.py --quick      fewer seeds, for a first look
    python report.py --study      the runs of the study, one line of study.csv for each; no figures
    python report.py --opening    what ten seeds of your PPO reach on CartPole; no figures

What is not written yet is left out and named. The whole takes a few minutes on one core, most of it
training.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import plots
import ppo as work
import torch
from gymnasium.vector import AutoresetMode

SEEDS = 5
PENDULUM_SEEDS = 3  # a run on Pendulum takes about three times as long as one on CartPole
BASE = work.PPOConfig(total_steps=32_768, epochs=6, progress=True)
VARIANTS = {  # what each changes: the ablation and the older algorithms
    "PPO": {},
    "no clipping": {"clip_low": 0.999, "clip_high": 1e6},
    "one epoch": {"epochs": 1},
    "no advantage normalisation": {"normalize_advantages": False},
    "no annealing": {"anneal": False},
    # one epoch over one minibatch: no ratio ever leaves 1, nothing is clipped, and what is left is
    # an actor-critic gradient
    "A2C-like": {"epochs": 1, "minibatch_size": 4096, "horizon": 8, "clip_low": 0.999, "clip_high": 1e6},
    # the same with lambda 1, long rollouts and a critic that hardly learns: rewards to go, whitened
    "REINFORCE-like": {"epochs": 1, "minibatch_size": 4096, "horizon": 128, "lam": 1.0, "value_coef": 1e-3, "clip_low": 0.999, "clip_high": 1e6,
                       "learning_rate": 1e-2},
    "KL penalty": {"clip_low": 0.999, "clip_high": 1e6, "kl_coef": 1.0, "kl_target": 0.01},
}  # fmt: skip
PENDULUM = work.PPOConfig(total_steps=65_536, learning_rate=3e-3, gamma=0.9, normalize_rewards=True)
# what each changes in the settings, and whether a time limit is reported as an end
PENDULUM_VARIANTS = {
    "Pendulum": ({}, False),
    "rewards not scaled": ({"normalize_rewards": False}, False),
    "time limit taken for an end": ({}, True),
}
# Told apart by the colour-blind; dashes are a second cue.
LOOKS = (
    ("#0072b2", "-"),
    ("#c04e00", "--"),
    ("#007a59", "-."),
    ("#8f3f97", ":"),
    ("#8a6500", "--"),
)
History = list[dict[str, float]]
MODELS: dict[str, object] = {}  # of the first run of each variant, as training left it


def make_env(num_envs: int, name: str = "CartPole-v1") -> gymnasium.vector.VectorEnv:
    """One task, side by side, in the autoreset mode that the assignment asks for."""
    mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return gymnasium.make_vec(
        name, num_envs=num_envs, vectorization_mode="sync", vector_kwargs=mode
    )


class LimitAsEnd(gymnasium.vector.VectorWrapper):
    """Reports every time limit as a true end: what the learner believes that merges the two
    flags."""

    def step(self, actions: np.ndarray) -> tuple:
        """A step, with truncated episodes among the terminated ones."""
        obs, rewards, terminated, truncated, info = self.env.step(actions)
        return obs, rewards, terminated | truncated, np.zeros_like(truncated), info


def make_pendulum(num_envs: int, limit_as_end: bool = False) -> gymnasium.vector.VectorEnv:
    """Pendulum-v1, side by side."""
    env = make_env(num_envs, "Pendulum-v1")
    return LimitAsEnd(env) if limit_as_end else env


def train(
    variant: str, make: Callable[[int], gymnasium.vector.VectorEnv], cfg: work.PPOConfig, seeds: int
) -> list[History]:
    """The metrics of every update, for each seed; the first model is kept."""
    runs = []
    for seed in range(seeds):
        history: History = []

        def note(model: object, metrics: dict[str, float], history: History = history) -> None:
            history.append(dict(metrics))

        MODELS.setdefault(variant, work.train_ppo(make, cfg, seed, note).model)
        runs.append(history)
    return runs


@cache
def histories(variant: str) -> list[History]:
    """The training runs of one variant, on its task."""
    if variant in PENDULUM_VARIANTS:
        changes, limit_as_end = PENDULUM_VARIANTS[variant]
        return train(
            variant,
            partial(make_pendulum, limit_as_end=limit_as_end),
            replace(PENDULUM, **changes),
            PENDULUM_SEEDS,
        )
    return train(variant, make_env, replace(BASE, **VARIANTS[variant]), SEEDS)


def band(axis: plt.Axes, variant: str, name: str, look: tuple[str, str]) -> None:
    """One metric of all runs of a variant, against the steps taken."""
    runs = histories(variant)
    steps = [metrics["total_steps"] for metrics in runs[0]]
    curves = [[metrics.get(name, np.nan) for metrics in run] for run in runs]
    plots.band(axis, steps, curves, variant, look[0], linestyle=look[1])
    axis.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}k" if step else "0")
    axis.grid(alpha=0.3)


def plot_clip_objective() -> plt.Figure:
    """One sample's gain and its slope against the ratio, for both signs of the advantage."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 6), sharex=True, layout="constrained")
    ratios = torch.linspace(0.05, 4.0, 400).double()
    losses: dict[str, Callable[..., torch.Tensor]] = {
        "clipped (0.2)": lambda *sample: work.clipped_surrogate(*sample)[0],
        "clip higher (0.2, 0.8)": lambda *sample: work.clipped_surrogate(*sample, 0.2, 0.8)[0],
        "dual clip (c = 3)": lambda *sample: work.dual_clip_surrogate(*sample, c=3.0)[0],
    }
    for column, sign in enumerate((1.0, -1.0)):
        axes[0, column].plot(ratios, ratios * sign, "k:", label="unclipped: ratio x advantage")
        axes[1, column].plot(ratios, torch.full_like(ratios, sign), "k:")
        for (name, loss), (colour, style) in zip(losses.items(), LOOKS, strict=False):
            gains, slopes = [], []
            for ratio in ratios:
                logp = ratio.log().reshape(1).requires_grad_()
                gain = -loss(logp, torch.zeros(1).double(), torch.tensor([sign]).double())
                (slope,) = torch.autograd.grad(gain, logp)
                gains.append(gain.item())
                slopes.append(slope.item() / ratio.item())  # d gain / d ratio
            axes[0, column].plot(ratios, gains, style, color=colour, label=name)
            axes[1, column].plot(ratios, slopes, style, color=colour)
        axes[0, column].set(title=f"advantage {sign:+g}", ylabel="gain of one sample")
        axes[1, column].set(xlabel="ratio (1: as likely as before)", ylabel="slope of the gain")
    for axis in axes.flat:
        for mark, style in ((0.8, ":"), (1.0, "-"), (1.2, ":")):
            axis.axvline(mark, color="grey", linewidth=0.8, linestyle=style)
        axis.grid(alpha=0.3)
    axes[0, 1].legend(fontsize=8, loc="lower left")
    return figure


def plot_health() -> plt.Figure:
    """What a healthy run looks like: returns, divergence, clip fraction, entropy, losses, explained
    variance."""
    # Each quantity has the colour that it has in the whole course.
    names = {
        "mean_return": ("mean return of 100 episodes", "#8a6500"),
        "approx_kl": ("KL(old || new), k3", "#8f3f97"),
        "clip_fraction": ("clip fraction", "#0072b2"),
        "entropy": ("entropy (nats)", "k"),
        "explained_variance": ("explained variance", "#007a59"),
        "value_loss": ("value loss", "#007a59"),
    }
    figure, axes = plt.subplots(2, 3, figsize=(12, 6), sharex=True, layout="constrained")
    for axis, (name, (title, colour)) in zip(axes.flat, names.items(), strict=True):
        band(axis, "PPO", name, (colour, "-"))
        axis.set_title(title)
    for axis, level, words in (
        (axes[0, 0], 500, "the best there is"),
        (axes[1, 0], np.log(2), "ln 2"),
    ):
        axis.axhline(level, color="grey", linestyle=":", linewidth=1.5, label=words)
        axis.legend(fontsize=8, loc="lower right" if level == 500 else "lower left")
    figure.suptitle(f"PPO on CartPole: median (line) and range (band) of {SEEDS} seeds")
    for axis in axes[1]:
        axis.set_xlabel("environment steps")
    return figure


def curves(*variants: str) -> plt.Figure:
    """Running returns of some variants, with bands over seeds."""
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for variant, look in zip(variants, LOOKS, strict=False):
        band(axis, variant, "mean_return", look)
        last = [run[-1]["mean_return"] for run in histories(variant)]
        print(f"{variant}: {np.sort(last).round().astype(int).tolist()} at the end, a seed each")
    axis.set(
        xlabel="environment steps",
        ylabel="mean return of the last 100 episodes",
        title=f"median and range of {SEEDS} seeds",
    )
    axis.legend(fontsize=8)
    return figure


def plot_algorithms() -> plt.Figure:
    """PPO and its ancestors."""
    figure = curves("PPO", "A2C-like", "REINFORCE-like")
    figure.axes[0].axhline(100, color="grey", linestyle=":", label="read the distance here")
    figure.axes[0].legend(fontsize=8)
    return figure


def plot_ablation() -> plt.Figure:
    """PPO with one piece taken out at a time."""
    return curves("PPO", "no clipping", "one epoch", "no advantage normalisation", "no annealing")


def plot_beta() -> plt.Figure:
    """A penalty in the place of clipping: beta chases the divergence, the rule of the paper and the
    controller."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    target = VARIANTS["KL penalty"]["kl_target"]
    run = histories("KL penalty")[0]
    steps, kls = ([metrics[name] for metrics in run] for name in ("total_steps", "approx_kl"))
    betas = [metrics["beta"] for metrics in run]
    axes[0].plot(steps, betas, "ko-", markersize=3, label="beta of the rule, as trained")
    axes[0].plot(steps, kls, "s--", markersize=3, color="#8f3f97", label="approx_kl of the update")
    content = {"color": "#8f3f97", "alpha": 0.2, "label": "where the rule is content"}
    axes[0].axhspan(target / 1.5, 1.5 * target, **content)
    axes[0].set(title="penalty instead of clipping", ylabel="beta and KL")
    # 2,000 samples: with 1,024 in an update the controller moves by at most 10% in each.
    controller = work.AdaptiveKLController(1.0, target, 2_000)
    rule, followed = 1.0, []
    for kl in kls:  # both are shown the same divergences
        rule = work.kl_penalty_beta(rule, kl, target)
        followed.append((rule, controller.update_(kl, 1024)))
    names = ("doubling rule", "adaptive controller, horizon 2,000")
    for column, name, style in zip(np.array(followed).T, names, ("k-", "k--"), strict=True):
        axes[1].plot(steps, column, style, label=name)
    axes[1].set(title="both, shown the same divergences", ylabel="beta")
    for axis in axes:
        axis.set(xlabel="environment steps", yscale="log")
        axis.legend(fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure


def plot_pendulum() -> plt.Figure:
    """A continuous task in which every episode ends by its time limit: returns, the width of the
    policy, and how well the critic explains."""
    names = {
        "mean_return": "mean return of the last 100 episodes",
        "entropy": "entropy of the Gaussian (nats)",
        "explained_variance": "explained variance, at first",
    }
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axis, (name, title) in zip(axes, names.items(), strict=True):
        for variant, look in zip(PENDULUM_VARIANTS, LOOKS, strict=False):
            band(axis, variant, name, look)
        axis.set(title=title, xlabel="environment steps")
    axes[0].axhline(-400, color="grey", linestyle=":", linewidth=1)
    axes[2].set(
        xlim=(0, 24_000), ylim=(-0.6, 1.05)
    )  # later, all pendulums stand, returns are alike, and the number says nothing
    axes[0].legend(fontsize=8)
    figure.suptitle(f"Pendulum: median and range of {PENDULUM_SEEDS} seeds", fontsize=11)
    for variant in PENDULUM_VARIANTS:
        crossed = [
            next((int(m["total_steps"]) for m in run if m["mean_return"] > -400), None)
            for run in histories(variant)
        ]
        last = [round(run[-1]["mean_return"]) for run in histories(variant)]
        print(f"{variant}: -400 is crossed after {crossed} steps, {last} at the end, a seed each")
    return figure


def swing(model: object, steps: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """An episode from hanging at rest, always with the most probable torque: observations and
    torques."""
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=0)
    env.unwrapped.state = np.array([np.pi, 0.0])
    obs, seen, torques = np.array([-1.0, 0.0, 0.0], np.float32), [], []
    for _ in range(steps):
        with torch.no_grad():
            torque = model.policy(torch.as_tensor(obs)[None]).mode()[0].clamp(-2, 2).numpy()
        seen.append(obs)
        torques.append(float(torque[0]))
        obs = env.step(torque)[0]
    return np.array(seen), np.array(torques)


def plot_swing(every: int = 5) -> plt.Figure:
    """An agent to watch: the pendulum before and after training, every fifth step of an episode."""
    histories("Pendulum")
    fresh = work.ActorCritic(3, 1, continuous=True, generator=torch.Generator().manual_seed(0))
    agents = {"before training": fresh, "after training": MODELS["Pendulum"]}
    figure, axes = plt.subplots(2, 1, figsize=(12, 2.8), layout="constrained")
    for axis, (name, model) in zip(axes, agents.items(), strict=True):
        seen, torques = swing(model)
        for k, ((up, side, _), torque) in enumerate(
            zip(seen[::every], torques[::every], strict=True)
        ):
            axis.plot([2.4 * k, 2.4 * k - side], [0, up], "-", color="0.3", lw=3)
            axis.plot(2.4 * k - side, up, "o", ms=8, color="#c04e00" if up > 0.95 else "0.3")
            axis.bar(2.4 * k, 0.35 * torque, 0.3, bottom=-1.9, color="#0072b2")
        axis.set(aspect="equal", ylim=(-2.7, 1.3), xticks=[], yticks=[], ylabel=name)
    axes[1].set_xlabel("every fifth step of an episode; bars: the torque")
    return figure


def study(out: Path, seeds: int = 5) -> None:
    """The runs of the study: epochs, with and without clipping."""
    with (out / "study.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["epochs", "clipping", "seed", "mean_return", "approx_kl"])
        for variant in ("PPO", "no clipping"):
            for epochs in (1, 2, 4, 8, 16):
                cfg = replace(BASE, **VARIANTS[variant], epochs=epochs)
                for seed, run in enumerate(train("", make_env, cfg, seeds)):
                    kl = float(np.mean([metrics["approx_kl"] for metrics in run]))
                    row = [epochs, variant == "PPO", seed, run[-1]["mean_return"], kl]
                    table.writerow(row)
                    print(*row)


def opening(seeds: int = 10) -> None:
    """The opening of the handout: what PPO, as it stands in the file, reaches on CartPole."""
    last = [run[-1]["mean_return"] for run in train("", make_env, BASE, seeds)]
    each = np.sort(last).round().astype(int).tolist()
    print(
        f"mean return of the last 100 episodes: median {np.median(last):.0f} of {seeds} seeds, {each}"
    )


FIGURES = {
    "clip_objective": plot_clip_objective,
    "health": plot_health,
    "algorithms": plot_algorithms,
    "ablation": plot_ablation,
    "beta": plot_beta,
    "pendulum": plot_pendulum,
    "swing": plot_swing,
}


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--quick", action="store_true", help="two seeds only")
    parser.add_argument("--study", action="store_true", help="the runs of the study, no figures")
    parser.add_argument("--opening", action="store_true", help="ten seeds of PPO, no figures")
    options = parser.parse_args()
    SEEDS, PENDULUM_SEEDS = (2, 2) if options.quick else (SEEDS, PENDULUM_SEEDS)
    torch.set_num_threads(1)
    if options.opening:
        opening()
    elif options.study:
        plots.save_study(study, options.out)
    else:
        plots.save_all(options.out, FIGURES)
