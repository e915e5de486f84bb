"""Draws the plots of the handout from your own q_learning.py.

python report.py              saves PNG files beside this one (--out DIR for another place)
"""

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import plots
import q_learning as work
from matplotlib.patches import Rectangle

NAMES = {
    "q_learning": "Q-learning",
    "sarsa": "SARSA",
    "expected_sarsa": "Expected SARSA",
    "double_q": "Double Q-learning",
}
COLOURS = {"q_learning": "C3", "sarsa": "C0", "expected_sarsa": "C2", "double_q": "C1"}


def constant(epsilon):
    """The same exploration rate in every episode."""
    return lambda episode: epsilon


def train(env, algo, episodes, seed, *, alpha=0.5, epsilon=0.1, gamma=1.0):
    """One run of the student's train."""
    epsilon_fn = epsilon if callable(epsilon) else constant(epsilon)
    return work.train(
        env, algo, episodes, alpha, epsilon_fn, gamma, np.random.default_rng(seed), seed
    )


def fading(episodes, lowest):
    """An exploration rate that falls from 1 in a straight line."""
    return lambda episode: max(lowest, 1.0 - episode / episodes)


def smooth(returns, window):
    """(runs, episodes) -> (runs, episodes - window + 1): means over a sliding window of
    episodes."""
    sums = np.cumsum(np.pad(returns, ((0, 0), (1, 0))), axis=1)
    return (sums[:, window:] - sums[:, :-window]) / window


def band(axis, returns, window, label, colour):
    """The mean of many runs over a sliding window, and the middle 80% of the runs."""
    curves = smooth(np.asarray(returns), window)
    x = np.arange(window, window + curves.shape[1])
    low, high = np.quantile(curves, [0.1, 0.9], axis=0)
    axis.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axis.plot(x, curves.mean(axis=0), color=colour, label=label)


# -- 1. what was learned on the cliff --------------------------------------------------------------


def draw_table(axis, Q, title):
    """Greedy values as colours, greedy actions as arrows, the greedy path as a line, on the 4 x 12
    grid."""
    rows, columns, steps = (
        4,
        12,
        {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)},
    )  # up, right, down, left
    values = Q.max(axis=1).reshape(rows, columns)
    values[3, 1:] = np.nan
    image = axis.imshow(values, cmap="viridis", vmin=-25, vmax=0)
    axis.add_patch(Rectangle((0.5, 2.5), 10, 1, color="0.25"))
    axis.text(5.5, 3, "the cliff: -100", color="white", ha="center", va="center")
    axis.text(11, 3, "goal", ha="center", va="center")
    for state in range(37):
        (row, column), best = divmod(state, columns), np.flatnonzero(Q[state] == Q[state].max())
        for action in best if Q[state].any() else []:
            dy, dx = steps[int(action)]
            start = (column - 0.25 * dx, row - 0.25 * dy)
            end = (column + 0.32 * dx, row + 0.32 * dy)
            arrow = {"arrowstyle": "-|>", "color": "white", "lw": 1.2}
            axis.annotate("", end, start, arrowprops=arrow, zorder=3)
    path, state = [36], 36
    while state != 47 and len(path) <= 48:
        dy, dx = steps[int(Q[state].argmax())]
        row, column = np.clip(
            divmod(state, columns) + np.array([dy, dx]), 0, [rows - 1, columns - 1]
        )
        state = int(row * columns + column)
        path.append(state)
    lost = len(path) > 48
    if not lost:
        x, y = [s % columns for s in path], [s // columns for s in path]
        axis.plot(x, y, color="C3", lw=7, alpha=0.6, zorder=2)
    length = "loops for ever" if lost else f"takes {len(path) - 1} steps"
    axis.set_title(f"{title}: the greedy path {length}", fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])
    return image


def plot_tables():
    """Which path does each algorithm believe in?"""
    env = gymnasium.make("CliffWalking-v1", max_episode_steps=500)
    figure, axes = plt.subplots(4, 1, figsize=(8.5, 10), layout="constrained")
    for axis, algo in zip(axes, NAMES, strict=True):
        image = draw_table(axis, train(env, algo, 1000, seed=3, alpha=0.1).Q, NAMES[algo])
    figure.colorbar(image, ax=axes, label="largest action value of the state", shrink=0.5)
    figure.suptitle("CliffWalking, 1000 episodes with epsilon 0.1 and alpha 0.1")
    return figure


# -- 2. the cliff: on-policy against off-policy ----------------------------------------------------


def plot_cliff(runs=16, episodes=500):
    """Online returns, as in Example 6.6 of Sutton and Barto."""
    env = gymnasium.make("CliffWalking-v1", max_episode_steps=500)
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for algo in ("sarsa", "q_learning", "expected_sarsa"):
        returns = [train(env, algo, episodes, seed).returns for seed in range(runs)]
        band(axis, returns, 20, NAMES[algo], COLOURS[algo])
    axis.axhline(-13, color="0.4", ls=":", label="shortest path, no exploration: -13")
    axis.set(
        ylim=(-100, 0), xlabel="episode", ylabel="return of the episode (mean over 20 episodes)"
    )
    title = f"CliffWalking while learning: {runs} runs, mean and middle 80%, alpha 0.5, epsilon 0.1"
    axis.set_title(title, fontsize=10)
    axis.legend(loc="lower right")
    return figure


# -- 3. learning curves elsewhere ------------------------------------------------------------------


def plot_learning_curves():
    """The frozen lake (a rare reward) and the taxi (500 states)."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    lake, taxi = gymnasium.make("FrozenLake-v1"), gymnasium.make("Taxi-v4")
    on_lake, in_taxi = {"alpha": 0.1, "epsilon": fading(1000, 0.02), "gamma": 0.99}, {"gamma": 0.99}
    for algo in ("q_learning", "sarsa"):
        runs = [train(lake, algo, 1600, seed, **on_lake).returns for seed in range(4)]
        band(axes[0], runs, 100, NAMES[algo], COLOURS[algo])
        runs = [train(taxi, algo, 500, seed, **in_taxi).returns for seed in range(4)]
        band(axes[1], runs, 20, NAMES[algo], COLOURS[algo])
    axes[0].axhline(0.744, color="0.4", ls=":", label="the optimal policy: 0.744")
    axes[0].set(
        title="FrozenLake: epsilon falls from 1 to 0.02", ylabel="success rate over 100 episodes"
    )
    axes[1].axhline(7.93, color="0.4", ls=":", label="the optimal policy: 7.93")
    axes[1].set(title="Taxi: epsilon 0.1", ylabel="return (mean over 20 episodes)", ylim=(-400, 30))
    for axis in axes:
        axis.set_xlabel("episode")
        axis.legend()
    return figure


# -- 4. maximisation bias --------------------------------------------------------------------------


class LureOfNoise:
    """Example 6.7 of Sutton and Barto: right ends with 0; left leads to a state of mere noise
    around -0.1.

    State 0 is the start, 1 the noisy state, 2 the end. Of ten actions, the even ones go left at the
    start.
    """

    observation_space = gymnasium.spaces.Discrete(3)
    action_space = gymnasium.spaces.Discrete(10)

    def __init__(self, seed):
        self.noise = np.random.default_rng(seed)
        self.lefts = []

    def reset(self, *, seed=None, options=None):
        """Back to the start."""
        self.state = 0
        return 0, {}

    def step(self, action):
        """One step; what was chosen at the start is written down."""
        if self.state == 0:
            left = action % 2 == 0
            self.lefts.append(left)
            self.state = 1 if left else 2
            return self.state, 0.0, not left, False, {}
        return 2, float(self.noise.normal(-0.1, 1.0)), True, False, {}


def plot_maximisation_bias(runs=80, episodes=300):
    """How often the lure works, as in Figure 6.5 of Sutton and Barto."""
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for algo in ("q_learning", "double_q"):
        lefts = []
        for seed in range(runs):
            env = LureOfNoise(seed)
            train(env, algo, episodes, seed, alpha=0.1)
            lefts.append(env.lefts)
        shares = smooth(np.array(lefts, float), 5)
        mean, error = shares.mean(axis=0), 1.96 * shares.std(axis=0) / np.sqrt(runs)
        x = np.arange(3, episodes - 1)
        axis.fill_between(
            x, mean - error, mean + error, color=COLOURS[algo], alpha=0.2, linewidth=0
        )
        axis.plot(x, mean, color=COLOURS[algo], label=NAMES[algo])
    axis.axhline(0.05, color="0.4", ls=":", label="what exploration alone does: 5%")
    axis.set(
        ylim=(0, 1), xlabel="episode", ylabel="share of runs that go left (mean over 5 episodes)"
    )
    axis.set_title(
        f"Left is worth -0.1, right 0: {runs} runs, mean and its 95% interval", fontsize=10
    )
    axis.legend()
    return figure


# -- 5. a pole on a cart ---------------------------------------------------------------------------


class InCells(gymnasium.ObservationWrapper):
    """CartPole with numbered cells in place of real observations."""

    def __init__(self, env, cells):
        super().__init__(env)
        self.cells = cells
        self.observation_space = gymnasium.spaces.Discrete(cells.n_states)

    def observation(self, observation):
        """The number of the cell."""
        return self.cells.encode(observation)


def plot_cartpole(runs=4, episodes=250):
    """How finely must the angle be cut?"""
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    space = gymnasium.make("CartPole-v1").observation_space
    rates = {"alpha": 0.2, "epsilon": fading(120, 0.01), "gamma": 0.99}
    for colour, bins in zip(
        ("C0", "C1", "C2"), ((1, 1, 2, 2), (1, 1, 6, 6), (3, 6, 12, 12)), strict=True
    ):
        cells = work.Discretizer(space.low, space.high, bins)
        env = InCells(gymnasium.make("CartPole-v1"), cells)
        returns = [
            train(env, "q_learning", episodes, seed, **rates).returns for seed in range(runs)
        ]
        band(axis, returns, 25, f"bins {bins}: {cells.n_states} states", colour)
    axis.set(
        xlabel="episode",
        ylabel="steps until the pole falls (mean over 25 episodes)",
        ylim=(0, None),
    )
    axis.set_title(f"CartPole in a table: {runs} runs, mean and middle 80%", fontsize=10)
    axis.legend()
    return figure


# -- putting it together ---------------------------------------------------------------------------


FIGURES = {
    "cliff": plot_cliff,
    "learning_curves": plot_learning_curves,
    "cartpole": plot_cartpole,
    "q_tables": plot_tables,
    "maximisation_bias": plot_maximisation_bias,
}


if __name__ == "__main__":
    plots.save_all(plots.parser(__doc__, __file__).parse_args().out, FIGURES)
