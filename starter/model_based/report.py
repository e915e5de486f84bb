"""Draws the plots of the handout from your own model_based.py.

python report.py              saves PNG files beside this one (--out DIR for another place)
"""

import gymnasium
import matplotlib.pyplot as plt
import model_based as work
import numpy as np
import plots


class DynaMaze:
    """The maze of S&B's Figure 8.2: 6 rows, 9 columns, 0 for a step and 1 for the last one."""

    WALLS = ((1, 2), (2, 2), (3, 2), (4, 5), (0, 7), (1, 7), (2, 7))
    MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
    START, GOAL, SHAPE = (2, 0), (0, 8), (54, 4)

    def __init__(self):
        self.place = self.START

    def reset(self, *, seed=None, options=None):
        """Back to the start."""
        self.place = self.START
        return self.shown(), {}

    def shown(self):
        """The number of the field."""
        return self.place[0] * 9 + self.place[1]

    def step(self, action):
        """One step up, down, left or right; walls and edges are not passed."""
        row, column = np.add(self.place, self.MOVES[action]).tolist()
        if 0 <= row < 6 and 0 <= column < 9 and (row, column) not in self.WALLS:
            self.place = (row, column)
        over = self.place == self.GOAL
        return self.shown(), float(over), over, False, {}


# -- 1. the Dyna maze ------------------------------------------------------------------------------


def lengths(n, alpha, theta=None, runs=8, episodes=20):
    """(episodes,) The mean number of real steps in each episode."""
    found = [
        work.dyna(
            DynaMaze(),
            DynaMaze.SHAPE,
            episodes,
            n,
            alpha,
            0.95,
            0.1,
            np.random.default_rng(run),
            run,
            theta=theta,
        ).steps
        for run in range(runs)
    ]
    return np.mean(found, axis=0)


def plot_dyna_maze():
    """Figure 8.2 of S&B, and what an order of urgency adds."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for n, colour in ((0, "C3"), (5, "C0"), (50, "C2")):
        left.plot(range(1, 21), lengths(n, 0.1), "o-", ms=3, color=colour, label=f"n = {n}")
    left.set(title="Dyna-Q, alpha 0.1 (mean of 8 runs)")
    for n, theta, colour, name in (
        (2, None, "C0", "Dyna-Q, n = 2"),
        (2, 1e-4, "C1", "prioritised, at most 2"),
        (10, None, "C2", "Dyna-Q, n = 10"),
        (10, 1e-4, "C4", "prioritised, at most 10"),
    ):
        curve = lengths(n, 1.0, theta)
        right.plot(range(1, 21), curve, "o-", ms=3, color=colour, label=name)
    right.set(title="alpha 1 (mean of 8 runs)")
    for axis in (left, right):
        axis.axhline(14, color="0.5", ls=":", label="the shortest way")
        axis.set(xlabel="episode", ylabel="real steps", yscale="log", xticks=(1, 5, 10, 15, 20))
        axis.legend(fontsize=9)
    return figure


# -- 2. the cross-entropy method -------------------------------------------------------------------


def two_hills(x):
    """(P,) A broad hill at (-1, -1), and a higher and narrower one at (2, 1.5)."""
    broad = 1.0 * np.exp(-((x - [-1.0, -1.0]) ** 2).sum(axis=-1) / 4.0)
    high = 1.6 * np.exp(-((x - [2.0, 1.5]) ** 2).sum(axis=-1) / 0.8)
    return broad + high


def plot_cem():
    """Where the candidates of a search are, iteration by iteration."""
    figure, axes = plt.subplots(1, 5, figsize=(14, 3.2), sharey=True, layout="constrained")
    grid = np.stack(np.meshgrid(np.linspace(-4, 4, 120), np.linspace(-4, 4, 120)), axis=-1)
    heights, record = two_hills(grid), []

    def score(x):
        record.append(x.copy())
        return two_hills(x)

    settings = work.CemSettings(60, 8, 5, 0.1)
    start = work.Gaussian(np.zeros(2), np.full(2, 2.0))
    bounds = np.full(2, -4.0), np.full(2, 4.0)
    work.cem(score, start, *bounds, settings, np.random.default_rng(4))
    for k, (axis, x) in enumerate(zip(axes, record, strict=True), 1):
        axis.contourf(grid[..., 0], grid[..., 1], heights, 12, cmap="Greys", alpha=0.7)
        best = work.elites(x, two_hills(x), settings.elites)
        axis.plot(*x.T, ".", color="C0", ms=4, label="candidates")
        axis.plot(*best.T, "o", color="C1", ms=5, label="elites")
        axis.set(xlim=(-4, 4), ylim=(-4, 4), title=f"iteration {k}", aspect="equal")
    axes[0].legend(loc="lower right", fontsize=8)
    return figure


# -- 3. how the error grows ------------------------------------------------------------------------


def random_steps(steps, seed):
    """(states (T + 1, 3), actions (T, 1)) of one random episode of Pendulum-v1."""
    env, rng = gymnasium.make("Pendulum-v1"), np.random.default_rng(seed)
    states, actions = [env.reset(seed=seed)[0]], []
    for _ in range(steps):
        actions.append(rng.uniform(-2.0, 2.0, size=1))
        states.append(env.step(actions[-1].astype(np.float32))[0])
    return np.array(states, float), np.array(actions)


def plot_model_error(horizon=40):
    """The open-loop error of ensembles that have seen little or much."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    fit = work.FitSettings(4, (32, 32), 80, 32, 5e-3)
    test_states, test_actions = random_steps(200, 99)
    steps = np.arange(1, horizon + 1)
    for episodes, colour in ((1, "C3"), (3, "C1"), (9, "C0")):
        data = [random_steps(200, seed) for seed in range(episodes)]
        rows = work.Transitions(
            np.concatenate([s[:-1] for s, _ in data]),
            np.concatenate([a for _, a in data]),
            np.concatenate([s[1:] for s, _ in data]),
        )
        rng = np.random.default_rng(0)
        train, test = work.holdout(rows, len(rows.states) // 10, rng)
        found = work.fit_dynamics(train, test, fit, rng)
        errors = work.open_loop_errors(
            found.dynamics.step, test_states, test_actions, horizon, fit.members
        )
        name = f"{200 * episodes} steps seen"
        left.plot(np.arange(1, 81), np.sqrt(found.errors.mean(axis=1)), color=colour, label=name)
        right.plot(steps, errors, color=colour, label=name)
        right.plot(steps, errors[0] * steps, ":", color=colour)
    left.set(xlabel="epoch", ylabel="one-step error on held-out rows", yscale="log")
    right.set(xlabel="imagined steps", ylabel="distance to the truth", yscale="log")
    right.set_title("dotted: if errors only added up", fontsize=10)
    left.legend()
    return figure


# -- 4. the pendulum -------------------------------------------------------------------------------


def plot_pendulum(seeds=(0, 1, 2), episodes=5):
    """Returns of learning by planning."""
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    problem = work.Problem(
        work.pendulum_reward, work.never_ends, np.array([-2.0]), np.array([2.0]), 0.99
    )
    fit, search = work.FitSettings(3, (32, 32), 60, 64, 1e-2), work.CemSettings(64, 10, 2, 0.1)
    for seed in seeds:
        env, rng = gymnasium.make("Pendulum-v1"), np.random.default_rng(seed)
        found = work.learn_by_planning(env, problem, episodes, 16, fit, search, rng, seed)
        axis.plot(200 * np.arange(1, episodes + 1), found.returns, "o-", label=f"seed {seed}")
    axis.set(xlabel="real steps", ylabel="return of the episode", ylim=(None, 0))
    axis.set_title("Pendulum-v1: one random episode, then planning", fontsize=10)
    axis.legend()
    return figure


FIGURES = {
    "dyna_maze": plot_dyna_maze,
    "cem": plot_cem,
    "model_error": plot_model_error,
    "pendulum": plot_pendulum,
}


if __name__ == "__main__":
    plots.save_all(plots.parser(__doc__, __file__).parse_args().out, FIGURES)
