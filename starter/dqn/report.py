"""Draws the plots of the handout from your own dqn.py.

python report.py              saves PNG files beside this one (--out DIR for another place)
python report.py --quick      a first look, with one short run of each kind
python report.py --study      the runs of the study, one line of study.csv for each; no figures
python report.py --opening    the runs of the handout's first table, one line for each; no figures
"""

import csv
import functools
from typing import NamedTuple

import dqn as work
import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import plots
import torch

# Told apart by the colour-blind; dashes are a second cue.
COLOURS = {"DQN": "#c04e00", "Double DQN": "#0072b2"}
DASHES = {"DQN": "-", "Double DQN": "--"}
GAMMA, EVERY = 0.99, 500  # environment steps between two looks at the learner


class Look(NamedTuple):
    """What was seen of a learner at one moment."""

    step: int
    epsilon: float
    loss: float
    believed: float  # mean over visited states of max_a Q(s, a)
    actual: float  # mean of what the greedy policy really earned from those states, discounted


class Run(NamedTuple):
    """One training run."""

    looks: list
    steps: np.ndarray
    returns: np.ndarray
    network: torch.nn.Module


# -- looking at a learner --------------------------------------------------------------------------


def played(network, seed, copies=8, steps=500):
    """Observations (steps, copies, 4) and alive (steps, copies) of greedy CartPole, all copies side
    by side."""
    envs = gymnasium.make_vec(
        "CartPole-v1", num_envs=copies, vectorization_mode="vector_entry_point"
    )
    obs, _ = envs.reset(seed=seed)
    seen, alive = [], [np.ones(copies, bool)]
    with torch.no_grad():
        while alive[-1].any() and len(seen) < steps:
            seen.append(obs)
            obs, _, terminated, truncated, _ = envs.step(
                network(torch.as_tensor(obs)).argmax(dim=1).numpy()
            )
            alive.append(alive[-1] & ~(terminated | truncated))
    return np.array(seen), np.array(alive[: len(seen)])


def believed_and_actual(network, seed):
    """What the network says of the states that it visits, and what it really earns from there on.

    An episode that the clock stopped would have gone on: what follows counts as a pole balanced for
    ever.
    """
    seen, alive = played(network, seed)
    later, actual = np.zeros(alive.shape[1]), np.zeros(alive.shape)
    survived = alive[-1] & (len(alive) == 500)
    later[survived] = 1.0 / (1.0 - GAMMA)
    for t in reversed(range(len(alive))):
        later = alive[t] * (1.0 + GAMMA * later)
        actual[t] = later
    with torch.no_grad():
        best = network(torch.as_tensor(seen)).max(dim=-1).values.numpy()
    return float(best[alive].mean()), float(actual[alive].mean())


def run(seed, total_steps, **settings):
    """Train on CartPole-v1 and look at the learner every few hundred steps."""
    looks = []

    def look(news):
        if not looks or news.step >= looks[-1].step + EVERY:
            believed, actual = believed_and_actual(news.network, seed)
            looks.append(Look(news.step, news.epsilon, news.loss, believed, actual))

    config = work.DQNConfig(total_steps=total_steps, gamma=GAMMA, callback=look, **settings)
    result = work.train_dqn(gymnasium.make("CartPole-v1"), config, seed)
    return Run(looks, result.steps, result.returns, result.network)


# -- drawing ---------------------------------------------------------------------------------------


def on_grid(runs, x, name):
    """(runs, len(x)) One quantity of every run at the environment steps x."""
    if name == "returns":
        return np.array([np.interp(x, r.steps, plots.running_mean(r.returns, 20)) for r in runs])
    return np.array(
        [np.interp(x, [k.step for k in r.looks], [getattr(k, name) for k in r.looks]) for r in runs]
    )


@functools.cache
def trained(quick):
    """The runs of each kind, and the environment steps at which they are compared."""
    seeds, steps = (1, 6_000) if quick else (3, 16_000)
    kinds = {"DQN": False, "Double DQN": True}
    runs = {
        name: [run(seed, steps, double=double) for seed in range(seeds)]
        for name, double in kinds.items()
    }
    return runs, np.arange(2 * EVERY, steps + 1, EVERY)


def plot_learning(quick):
    """Return, loss, exploration."""
    runs, x = trained(quick)
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for name, found in runs.items():
        for axis, what in zip(axes, ("returns", "loss"), strict=False):
            curves = on_grid(found, x, what)
            plots.band(axis, x, curves, name, COLOURS[name], linestyle=DASHES[name])
    axes[2].plot(x, on_grid(next(iter(runs.values())), x, "epsilon")[0], color="k")
    figure.suptitle(f"median (line) and range (band) of {len(runs['DQN'])} seeds", fontsize=11)
    axes[0].axhline(500, color="0.4", ls=":", label="the most there is: 500")
    axes[0].set(
        ylabel="return of the latest 20 episodes", title="CartPole-v1 while learning", ylim=(0, 520)
    )
    axes[1].set(
        ylabel="Huber loss of a batch", title="The loss is no measure of success", yscale="log"
    )
    axes[2].set(ylabel="epsilon", title="Exploration", ylim=(0, 1.05))
    axes[0].legend()
    for axis in axes:
        axis.set_xlabel("environment steps")
    return figure


def plot_overestimation(quick):
    """Believed against actual values, for both kinds of targets."""
    runs, x = trained(quick)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    for axis, (name, found) in zip(axes, runs.items(), strict=True):
        plots.band(axis, x, on_grid(found, x, "believed"), "believed: mean of max Q", COLOURS[name])
        plots.band(
            axis,
            x,
            on_grid(found, x, "actual"),
            "actual: discounted return from there",
            "0.35",
            ls="--",
        )
        axis.axhline(1 / (1 - GAMMA), color="0.4", ls=":", label="no policy earns more: 100")
        axis.set(title=name, xlabel="environment steps", ylim=(0, 160))
        axis.legend(loc="upper left", fontsize=8)
    axes[0].set_ylabel("value of the states that the greedy policy visits")
    return figure


def plot_bias(quick, actions=(2, 4, 8, 16, 32, 64), samples=4000):
    """The two kinds of targets on pure noise, where every true value is 0."""
    rng, zero = np.random.default_rng(0), torch.zeros(samples)
    figure, axis = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    means = {name: [] for name in COLOURS}
    for n in actions:
        online, target = torch.tensor(rng.normal(size=(2, samples, n)), dtype=torch.float32)
        ends = torch.zeros(samples, dtype=torch.bool)
        means["DQN"].append(work.dqn_targets(zero, target, ends, 1.0).mean())
        means["Double DQN"].append(work.double_dqn_targets(zero, online, target, ends, 1.0).mean())
    for name, values in means.items():
        axis.plot(actions, values, "o" + DASHES[name], color=COLOURS[name], label=name)
    axis.axhline(0, color="0.4", ls=":", label="the truth")
    axis.set(xscale="log", xlabel="number of actions", ylabel="mean target")
    axis.set_xticks(actions, labels=actions)
    axis.minorticks_off()
    axis.set_title("Q-values are standard normal noise; all true values are 0", fontsize=10)
    axis.legend()
    return figure


def one_episode(network, seed=7):
    """Observations of a greedy episode of CartPole, (steps, 4), and its largest Q-values."""
    env = gymnasium.make("CartPole-v1")
    obs, over, seen, best = env.reset(seed=seed)[0], False, [], []
    while not over:
        with torch.no_grad():
            q = network(torch.as_tensor(obs)[None])[0]
        seen.append(obs)
        best.append(float(q.max()))
        obs, _, terminated, truncated, _ = env.step(int(q.argmax()))
        over = terminated or truncated
    return np.array(seen), np.array(best)


def plot_poles(quick):
    """An agent to watch: a greedy episode, as the cart stands every few steps, and what the network
    thinks that each moment is worth."""
    runs, _ = trained(quick)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = work.QNetwork(4, 2, (64, 64))
    agents = {"before training": fresh, "after training": runs["DQN"][0].network}
    figure, axes = plt.subplots(2, 1, figsize=(12, 2.4), layout="constrained")
    for axis, (name, network) in zip(axes, agents.items(), strict=True):
        seen, best = one_episode(network)
        picks = np.linspace(0, len(seen) - 1, min(len(seen), 20)).astype(int)
        for k, t in enumerate(picks):
            # The angle is drawn three times as large: the pole counts as fallen at 12 degrees.
            place, angle = 3 * k + seen[t, 0], 3 * seen[t, 2]
            tip = (place + 1.6 * np.sin(angle), 1.6 * np.cos(angle))
            axis.add_patch(plt.Rectangle((place - 0.6, -0.4), 1.2, 0.4, color="0.3"))
            axis.plot([place, tip[0]], [0, tip[1]], color="#c04e00", lw=2.5)
            axis.text(3 * k, -1.2, f"{best[t]:.1f}", color="#007a59", ha="center", fontsize=9)
        axis.set(aspect="equal", xlim=(-3, 63), ylim=(-1.5, 1.9), xticks=[], yticks=[])
        axis.set_title(f"{name}: {len(seen)} steps (below: max Q)", fontsize=10)
    return figure


FIGURES = {
    "maximisation_bias": plot_bias,
    "learning": plot_learning,
    "overestimation": plot_overestimation,
    "poles": plot_poles,
}


def study(out, seeds=5, steps=16_000):
    """The runs of the study: what the target network buys."""
    with (out / "study.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["target_every", "seed", "greedy_return", "believed", "actual"])
        for every in (1, 4, 16, 64, 250, 1000):
            for seed in range(seeds):
                network = run(seed, steps, target_every=every).network
                greedy = work.evaluate(network, gymnasium.make("CartPole-v1"), 10, 1000).mean()
                row = [every, seed, greedy, *believed_and_actual(network, seed)]
                table.writerow(row)
                print(*row)


# RL Baselines3 Zoo, hyperparams/dqn.yml, CartPole-v1: after every 256 environment steps a round of
# 128 gradient steps.
PUBLISHED = {
    "total_steps": 60_000,
    "train_every": 256,
    "gradient_steps": 128,
    "batch_size": 64,
    "buffer_capacity": 100_000,
    "learning_rate": 2.3e-3,
    "hidden": (256, 256),
    "epsilon_end": 0.04,
    "epsilon_decay_steps": 8_000,
}


def opening(seeds=10, enough=475.0):
    """The opening of the handout: is a target that is updated every 10 steps updated every 10
    environment steps, which with these rounds is once in each, or every 10 gradient steps?"""
    for reading, every in {"environment steps": 128, "gradient steps": 10}.items():
        solved = [solved_at(seed, enough, target_every=every) for seed in range(seeds)]
        print(f"every 10 {reading}: {solved.count(None)} of {seeds} failed; solved at {solved}")


def solved_at(seed, enough, **settings):
    """The environment step at which ten greedy episodes earn ``enough`` on average, or None."""
    found = []

    def look(news):
        if news.step % (8 * 256) == 0:
            returns = work.evaluate(news.network, gymnasium.make("CartPole-v1"), 10, 1000)
            if returns.mean() >= enough:
                found.append(news.step)
        return bool(found)

    config = work.DQNConfig(gamma=GAMMA, callback=look, **PUBLISHED, **settings)
    work.train_dqn(gymnasium.make("CartPole-v1"), config, seed)
    return found[0] if found else None


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--quick", action="store_true", help="one short run of each kind")
    parser.add_argument("--study", action="store_true", help="the runs of the study, no figures")
    parser.add_argument("--opening", action="store_true", help="the runs of the first table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.opening:
        opening()
    elif options.study:
        plots.save_study(study, options.out)
    else:
        plots.save_all(options.out, FIGURES, options.quick)
