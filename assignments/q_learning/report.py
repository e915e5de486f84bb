"""Draws the plots of the handout from your own q_learning.py.

python report.py              saves PNG files beside this one (--out DIR for another place)
python report.py --study argmax   the runs of the study with your tie rule of the moment, which you
                                  call argmax: study.csv gets a line for each run
"""

import csv

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
# The colours are told apart by the colour-blind, and dashes are a second cue.
COLOURS = dict(zip(NAMES, ("#c04e00", "#0072b2", "#007a59", "#8f3f97"), strict=True))
DASHES = dict(zip(NAMES, ("-", "--", "-.", "--"), strict=True))
STEPS = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}  # up, right, down, left
CLIFF = "CliffWalking-v1"


def train(env, algo, episodes, seed, *, alpha=0.5, epsilon=0.1, gamma=1.0):
    """One run of the student's train."""
    epsilon_fn = epsilon if callable(epsilon) else lambda episode: epsilon
    rng = np.random.default_rng(seed)
    return work.train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed)


def fading(episodes, lowest):
    """An exploration rate that falls from 1 in a straight line."""
    return lambda episode: max(lowest, 1.0 - episode / episodes)


def smooth(returns, window):
    """(runs, episodes) -> (runs, episodes - window + 1): means over a sliding window of
    episodes."""
    sums = np.cumsum(np.pad(returns, ((0, 0), (1, 0))), axis=1)
    return (sums[:, window:] - sums[:, :-window]) / window


def band(axis, returns, window, label, colour, dashes="-"):
    """The mean of many runs over a sliding window, and the middle 80% of the runs."""
    curves = smooth(np.asarray(returns), window)
    x = np.arange(window, window + curves.shape[1])
    low, high = np.quantile(curves, [0.1, 0.9], axis=0)
    axis.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axis.plot(x, curves.mean(axis=0), dashes, color=colour, label=label)


def walk(env, Q, rng, epsilon=0.1):
    """The fields of one epsilon-greedy walk, as rows (line, column); a fall shows as the cliff's
    field."""
    state, _ = env.reset()
    fields, done = [divmod(state, 12)], False
    while not done:
        best = rng.choice(np.flatnonzero(Q[state] == Q[state].max()))
        action = int(rng.integers(4) if rng.random() < epsilon else best)
        (y, x), (dy, dx) = fields[-1], STEPS[action]
        state, reward, terminated, truncated, _ = env.step(action)
        # After a fall the walker stands at the start again.
        fields += [(y + dy, x + dx)] if reward == -100 else []
        fields.append(divmod(int(state), 12))
        done = terminated or truncated
    return np.array(fields, float)


def draw_table(axis, env, Q, title):
    """Greedy values as colours, greedy actions as arrows, the greedy path as a line, on the 4 x 12
    grid."""
    values = Q.max(axis=1).reshape(4, 12)
    values[3, 1:] = np.nan
    image = axis.imshow(values, cmap="viridis", vmin=-25, vmax=0)
    axis.add_patch(Rectangle((0.5, 2.5), 10, 1, color="0.25"))
    axis.text(5.5, 3, "the cliff: -100", color="white", ha="center", va="center")
    axis.text(11, 3.32, "goal", ha="center", va="center")
    for state in range(37):
        (row, column), best = divmod(state, 12), np.flatnonzero(Q[state] == Q[state].max())
        for action in best if Q[state].any() else []:
            dy, dx = STEPS[int(action)]
            start = (column - 0.25 * dx, row - 0.25 * dy)
            end = (column + 0.32 * dx, row + 0.32 * dy)
            arrow = {"arrowstyle": "-|>", "color": "white", "lw": 1.2}
            axis.annotate("", end, start, arrowprops=arrow, zorder=3)
    path = walk(env, Q, np.random.default_rng(0), epsilon=0.0)
    lost = len(path) > 48
    if not lost:
        axis.plot(path[:, 1], path[:, 0], color="k", lw=7, alpha=0.45, zorder=2)
    length = "loops for ever" if lost else f"takes {len(path) - 1} steps"
    axis.set_title(f"{title}: the greedy path {length}", fontsize=10)
    axis.set(xticks=[], yticks=[])
    return image


def plot_tables():
    """Which path does each algorithm believe in?"""
    env = gymnasium.make(CLIFF, max_episode_steps=500)
    figure, axes = plt.subplots(4, 1, figsize=(8.5, 10), layout="constrained")
    for axis, algo in zip(axes, NAMES, strict=True):
        image = draw_table(axis, env, train(env, algo, 1000, seed=3, alpha=0.1).Q, NAMES[algo])
    figure.colorbar(image, ax=axes, label="largest action value of the state", shrink=0.5)
    words = "arrows: greedy actions; broad line: greedy path"
    figure.suptitle(f"CliffWalking, 1000 episodes with epsilon 0.1 and alpha 0.1\n{words}")
    return figure


def exact_returns(env, epsilon=0.1):
    """What epsilon-greedy agents earn for an episode, from the transition table: one that is greedy
    in the optimal values, ties at random, and the best of all."""
    table, optimal, edge, best = env.unwrapped.P, np.zeros(48), np.zeros(48), np.zeros(48)

    def look_ahead(values):
        def worth(outcomes):
            return sum(p * (reward + (not ended) * values[s]) for p, s, reward, ended in outcomes)

        return np.array([[worth(table[s][a]) for a in range(4)] for s in range(48)])

    for _ in range(60):
        optimal = look_ahead(optimal).max(axis=1)
    greedy = np.isclose(look_ahead(optimal), optimal[:, None])
    policy = epsilon / 4 + (1 - epsilon) * greedy / greedy.sum(axis=1, keepdims=True)
    for _ in range(2000):
        edge, q = (policy * look_ahead(edge)).sum(axis=1), look_ahead(best)
        best = (1 - epsilon) * q.max(axis=1) + epsilon * q.mean(axis=1)
    return edge[36], best[36]


def plot_cliff(runs=20, episodes=500):
    """Online returns, as in Example 6.6 of Sutton and Barto."""
    env = gymnasium.make(CLIFF, max_episode_steps=500)
    edge, best = exact_returns(env)
    on_policy = ("best of all policies", best)
    lines = {
        "q_learning": ("along the edge", edge),
        "sarsa": on_policy,
        "expected_sarsa": on_policy,
    }
    figure, axes = plt.subplots(1, 3, figsize=(11, 4), sharey=True, layout="constrained")
    for axis, (algo, (words, exact)) in zip(axes, lines.items(), strict=True):
        returns = np.array([train(env, algo, episodes, seed).returns for seed in range(runs)])
        band(axis, returns, 20, "mean over 20 episodes", COLOURS[algo], DASHES[algo])
        axis.axhline(exact, color="0.2", ls=":", label=f"{words}, exactly: {exact:.1f}")
        axis.set(ylim=(-100, 0), xlabel="episode", title=NAMES[algo])
        axis.legend(loc="lower right", fontsize=9)
        print(f"{NAMES[algo]}: {returns[:, 250:].mean():.1f} in episodes 250 to 500")
    axes[0].set_ylabel("return of the episode")
    words = "mean and middle 80%, alpha 0.5, epsilon 0.1"
    figure.suptitle(f"CliffWalking while learning: {runs} runs, {words}", fontsize=11)
    return figure


def plot_learning_curves(runs=10):
    """The frozen lake (a rare reward) and the taxi (500 states)."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    lake, taxi = gymnasium.make("FrozenLake-v1"), gymnasium.make("Taxi-v4")
    on_lake, in_taxi = {"alpha": 0.1, "epsilon": fading(1000, 0.02), "gamma": 0.99}, {"gamma": 0.99}
    for algo in ("q_learning", "sarsa"):
        returns = [train(lake, algo, 1600, seed, **on_lake).returns for seed in range(runs)]
        band(axes[0], returns, 100, NAMES[algo], COLOURS[algo], DASHES[algo])
        returns = [train(taxi, algo, 500, seed, **in_taxi).returns for seed in range(runs)]
        band(axes[1], returns, 20, NAMES[algo], COLOURS[algo], DASHES[algo])
    axes[0].axhline(0.744, color="0.4", ls=":", label="the optimal policy: 0.744")
    axes[0].set(
        title="FrozenLake: epsilon falls from 1 to 0.02",
        ylabel="success rate over 100 episodes",
        ylim=(0, 0.8),
    )
    axes[1].axhline(7.93, color="0.4", ls=":", label="the optimal policy: 7.93")
    axes[1].set(title="Taxi: epsilon 0.1", ylabel="return (mean over 20 episodes)", ylim=(-400, 30))
    for axis in axes:
        axis.set_xlabel("episode")
        axis.legend(loc="center left" if axis is axes[0] else "center right")
    figure.suptitle(f"{runs} runs, mean and middle 80%", fontsize=11)
    return figure


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
        axis.plot(x, mean, DASHES[algo], color=COLOURS[algo], label=NAMES[algo])
    axis.axhline(0.05, color="0.4", ls=":", label="what exploration alone does: 5%")
    axis.set(
        ylim=(0, 1), xlabel="episode", ylabel="share of runs that go left (mean over 5 episodes)"
    )
    axis.set_title(
        f"Left is worth -0.1, right 0: {runs} runs, mean and its 95% interval", fontsize=10
    )
    axis.legend()
    return figure


class InCells(gymnasium.ObservationWrapper):
    """CartPole with numbered cells in place of real observations."""

    def __init__(self, env, cells):
        super().__init__(env)
        self.cells = cells
        self.observation_space = gymnasium.spaces.Discrete(cells.n_states)

    def observation(self, observation):
        """The number of the cell."""
        return self.cells.encode(observation)


def plot_cartpole(runs=10, episodes=250):
    """How finely must the angle be cut?"""
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    space = gymnasium.make("CartPole-v1").observation_space
    rates = {"alpha": 0.2, "epsilon": fading(120, 0.01), "gamma": 0.99}
    looks = (("#0072b2", "--"), ("#c04e00", "-"), ("#007a59", "-."))
    grids = ((1, 1, 2, 2), (1, 1, 12, 12), (3, 6, 12, 12))
    for (colour, dashes), bins in zip(looks, grids, strict=True):
        cells = work.Discretizer(space.low, space.high, bins)
        env = InCells(gymnasium.make("CartPole-v1"), cells)
        returns = [
            train(env, "q_learning", episodes, seed, **rates).returns for seed in range(runs)
        ]
        band(axis, returns, 25, f"bins {bins}: {cells.n_states} states", colour, dashes)
        last = np.mean([curve[-100:].mean() for curve in returns])
        print(f"CartPole with {cells.n_states} states: {last:.0f} steps in the last 100 episodes")
    axis.set(
        xlabel="episode",
        ylabel="steps until the pole falls (mean over 25 episodes)",
        ylim=(0, None),
    )
    axis.set_title(f"CartPole in a table: {runs} runs, mean and middle 80%", fontsize=10)
    axis.legend()
    return figure


def draw_walks(axis, walks, colour):
    """Some walks over the grid, side by side, with a cross at each fall; how many falls."""
    axis.add_patch(Rectangle((0.5, 2.5), 10, 1, color="0.75", lw=0))
    falls = 0
    for k, fields in enumerate(walks):
        y, x = (fields + 0.06 * (k - 4.5)).T
        fell = np.flatnonzero((fields[:, 0] == 3) & (fields[:, 1] > 0) & (fields[:, 1] < 11))
        for piece in np.split(np.arange(len(fields)), fell + 1):
            axis.plot(x[piece], y[piece], color=colour, lw=1.2, alpha=0.7)
        axis.plot(x[fell], y[fell], "kx", ms=7, mew=2)
        falls += len(fell)
    axis.set(xlim=(-0.6, 11.6), ylim=(3.6, -0.6), xticks=[0, 11], yticks=[])
    axis.set_xticklabels(["start", "goal"])
    return falls


def plot_walks(lessons=(20, 100, 500)):
    """Ten walks of the agents while they go on exploring, early and late."""
    env = gymnasium.make(CLIFF, max_episode_steps=500)
    figure, axes = plt.subplots(2, len(lessons), figsize=(11, 3.6), layout="constrained")
    for row, algo in zip(axes, ("q_learning", "expected_sarsa"), strict=True):
        for axis, episodes in zip(row, lessons, strict=True):
            Q, rng = train(env, algo, episodes, seed=3).Q, np.random.default_rng(episodes)
            falls = draw_walks(axis, [walk(env, Q, rng) for _ in range(10)], COLOURS[algo])
            words = f"{NAMES[algo]} after {episodes} episodes: {falls} falls"
            axis.set_title(words, fontsize=9)
    figure.suptitle("Ten walks with epsilon 0.1; a cross is a fall", fontsize=11)
    return figure


FIGURES = {
    "cliff": plot_cliff,
    "learning_curves": plot_learning_curves,
    "cartpole": plot_cartpole,
    "q_tables": plot_tables,
    "maximisation_bias": plot_maximisation_bias,
    "walks": plot_walks,
}


def study(out, ties, runs=20, episodes=1000):
    """The runs of the study: who finds the path over the lake without ice?"""
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    for start in (None, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0):
        fall = 0.0 if start is None else (start - 0.05) / (episodes - 1)
        first, name = (0.1, "0.1 throughout") if start is None else (start, f"from {start:g}")
        found = 0
        for seed in range(runs):
            rates = {"epsilon": lambda k, a=first, b=fall: a - b * k, "gamma": 0.99}
            # The start is worth 0.951 to whoever knows the path, and 0 to whoever never arrived.
            arrived = int(train(env, "q_learning", episodes, seed, **rates).Q[0].max() > 0.9)
            with (out / "study.csv").open("a", newline="") as file:
                csv.writer(file).writerow([ties, name, seed, arrived])
            found += arrived
        print(f"ties: {ties}, epsilon {name}: {found} of {runs} runs know the path")


if __name__ == "__main__":
    options = plots.parser(__doc__, __file__)
    options.add_argument("--study", metavar="TIES", help="the study's runs; name your tie rule")
    arguments = options.parse_args()
    if arguments.study:
        plots.save_study(study, arguments.out, arguments.study)
    else:
        plots.save_all(arguments.out, FIGURES)
