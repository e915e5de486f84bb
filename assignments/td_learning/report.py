"""Draws the plots of the handout from your own td_learning.py.

python report.py              saves PNG files beside this one (--out DIR for another place)
"""

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import plots
import td_learning as work

STICK, HIT = 0, 1
TABLE = (32, 11, 2)  # Blackjack: the player's sum, the dealer's card, whether an ace counts 11


def walks(n, episodes, rng, left=0.0):
    """Some random walks over n states."""
    return [work.random_walk(n, rng, left) for _ in range(episodes)]


def rms(V, n, left=0.0):
    """The root mean square error over the n states of a walk."""
    return float(np.sqrt(np.mean((V - work.random_walk_values(n, left))[1:-1] ** 2)))


def start(n, value=0.0):
    """A table for a walk over n states; the two ends are worth 0."""
    return np.array([0.0, *[value] * n, 0.0])


# -- 1. the walk of five states --------------------------------------------------------------------


def plot_random_walk(runs=60, episodes=100):
    """Example 6.2 of S&B: what TD(0) believes after a while, and how fast it gets there."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    left.plot(range(1, 6), work.random_walk_values(5)[1:-1], "k--", label="true values")
    V, batch = start(5, 0.5), walks(5, 100, np.random.default_rng(2))
    for number, colour in ((0, "C7"), (1, "C1"), (10, "C2"), (100, "C0")):
        if number:
            V = start(5, 0.5)
            work.n_step_td_(V, batch[:number], 1, 0.1, 1.0)
        left.plot(range(1, 6), V[1:-1], "o-", color=colour, label=f"episodes: {number}")
    left.set(xlabel="state", ylabel="value", xticks=range(1, 6), title="TD(0), alpha 0.1, one run")
    left.legend()
    settings = [(1, alpha, "C0") for alpha in (0.15, 0.1, 0.05)]
    settings += [(1000, alpha, "C3") for alpha in (0.01, 0.02, 0.04)]
    styles = {0.15: ":", 0.1: "--", 0.05: "-", 0.01: ":", 0.02: "--", 0.04: "-"}
    for n, alpha, colour in settings:
        rng, errors = np.random.default_rng(0), np.zeros((runs, episodes + 1))
        for run in range(runs):
            V = start(5, 0.5)
            errors[run, 0] = rms(V, 5)
            for k, episode in enumerate(walks(5, episodes, rng), 1):
                work.n_step_td_(V, [episode], n, alpha, 1.0)
                errors[run, k] = rms(V, 5)
        name = "TD(0)" if n == 1 else "Monte Carlo"
        right.plot(errors.mean(axis=0), styles[alpha], color=colour, label=f"{name}, {alpha}")
    right.set(xlabel="episode", ylabel="RMS error over the states", ylim=(0, None))
    right.set_title(f"mean of {runs} runs; the number is alpha")
    right.legend(ncols=2, fontsize=9)
    return figure


# -- 2. batches ------------------------------------------------------------------------------------


def plot_batch(runs=100):
    """Batch TD and batch Monte Carlo, where they settle, against the number of episodes."""
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    numbers = (1, 2, 4, 7, 12, 20, 35, 60, 100)
    errors = np.zeros((2, runs, len(numbers)))
    rng = np.random.default_rng(0)
    for run in range(runs):
        batch = walks(5, numbers[-1], rng)
        for k, number in enumerate(numbers):
            errors[0, run, k] = rms(work.certainty_equivalence(batch[:number], 7, 1.0), 5)
            values = work.mc_prediction(batch[:number], 7, 1.0, first_visit=False).values
            errors[1, run, k] = rms(values, 5)
    names = ("batch TD: the model of the data", "batch Monte Carlo: the mean returns")
    for found, colour, name in zip(errors, ("C0", "C3"), names, strict=True):
        low, high = np.quantile(found, [0.1, 0.9], axis=0)
        axis.fill_between(numbers, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(numbers, found.mean(axis=0), "o-", color=colour, label=name)
    axis.set(xscale="log", xlabel="episodes in the batch", ylabel="RMS error", ylim=(0, None))
    axis.set_xticks(numbers, [str(number) for number in numbers])
    axis.minorticks_off()
    axis.set_title(f"The walk of five states: {runs} runs, mean and middle 80%", fontsize=10)
    axis.legend()
    return figure


# -- 3. and 4. the walk of nineteen states ---------------------------------------------------------


def errors_of(learn_, settings, runs):
    """{setting: mean error over the first ten episodes of walks with 19 states}."""
    rng, errors = np.random.default_rng(0), {setting: [] for setting in settings}
    for _ in range(runs):
        batch = walks(19, 10, rng, left=-1.0)
        for setting in settings:
            V = start(19)
            for episode in batch:
                # Large steps diverge: what lies far beyond the figure is cut off.
                with np.errstate(over="ignore", invalid="ignore"):
                    learn_(V, episode, *setting)
                    errors[setting].append(min(rms(np.clip(V, -9, 9), 19, -1.0), 9.0))
    return {setting: np.mean(found) for setting, found in errors.items()}


def draw_dial(axis, learn_, dials, alphas, name, runs):
    """One curve for each position of a dial, against alpha."""
    errors = errors_of(learn_, [(dial, alpha) for dial in dials for alpha in alphas], runs)
    for k, dial in enumerate(dials):
        curve = [errors[dial, alpha] for alpha in alphas]
        colour = plt.get_cmap("viridis")(k / (len(dials) - 1) * 0.92)
        axis.plot(alphas, curve, "o-", ms=3, color=colour, label=f"{name} = {dial}")
    axis.set(xlabel="alpha", xlim=(0, 1.02), ylim=(0.2, 0.6))


ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def plot_n_step(runs=10):
    """Figure 7.2 of S&B."""
    figure, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")

    def learn_(V, episode, n, alpha):
        work.n_step_td_(V, [episode], n, alpha, 1.0)

    draw_dial(axis, learn_, (1, 2, 4, 8, 16, 64, 512), ALPHAS, "n", runs)
    axis.set_ylabel("RMS error, mean of the first ten episodes")
    axis.set_title(f"n-step TD on the walk of 19 states: {runs} runs", fontsize=10)
    axis.legend(ncols=4, fontsize=9, loc="lower center")
    return figure


def plot_lambda(runs=10):
    """Figure 12.3 of S&B, and what is left of it online with each kind of traces."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), sharey=True, layout="constrained")

    def offline_(V, episode, lam, alpha):
        for s, target in zip(
            episode.states[:-1], work.lambda_returns(V, episode, lam, 1.0), strict=True
        ):
            V[s] += alpha * (target - V[s])

    def online(kind):
        def learn_(V, episode, lam, alpha):
            work.td_lambda_(V, [episode], lam, alpha, 1.0, kind)

        return learn_

    panels = (
        ("offline lambda-return", offline_),
        ("online, accumulating traces", online("accumulating")),
        ("online, dutch traces", online("dutch")),
    )
    for axis, (name, learn_) in zip(axes, panels, strict=True):
        draw_dial(axis, learn_, (0.0, 0.4, 0.8, 0.9, 0.95, 1.0), ALPHAS, "lambda", runs)
        axis.set_title(name, fontsize=10)
    axes[0].set_ylabel("RMS error, mean of the first ten episodes")
    axes[-1].legend(ncols=2, fontsize=9, loc="lower center")
    figure.suptitle(f"TD(lambda) on the walk of 19 states: {runs} runs", fontsize=11)
    return figure


# -- 5. infinite variance --------------------------------------------------------------------------


def coin_walk(rng):
    """Example 5.5: the behaviour tosses a coin; left comes back with 0.9, and pays 1 else."""
    actions, rewards = [], []
    while not actions or (actions[-1] == 0 and not rewards[-1]):
        actions.append(int(rng.integers(2)))
        rewards.append(1.0 if actions[-1] == 0 and rng.random() < 0.1 else 0.0)
    states = np.append(np.zeros(len(actions), int), 1)
    return work.Episode(states, np.array(actions), np.array(rewards), True)


def plot_infinite_variance(runs=8, episodes=20_000):
    """Ordinary importance sampling that never settles, and weighted sampling that does."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    target, behaviour = np.array([[1.0, 0.0]] * 2), np.full((2, 2), 0.5)
    numbers = np.unique(np.geomspace(1, episodes, 120).astype(int))
    for run in range(runs):
        rng = np.random.default_rng(run)
        one = [coin_walk(rng) for _ in range(episodes)]
        # Each episode's own weighted return; the start is the first visit of all of them.
        terms = np.array(
            [work.off_policy_v([e], target, behaviour, 1.0, weighted=False).values[0] for e in one]
        )
        ordinary = np.cumsum(terms) / np.arange(1, episodes + 1)
        axes[0].plot(numbers, ordinary[numbers - 1], lw=1)
        few = [n for n in numbers if n <= 300]
        weighted = [work.off_policy_v(one[:n], target, behaviour, 1.0).values[0] for n in few]
        axes[1].plot(few, weighted, lw=1)
    for axis, name in zip(axes, ("ordinary", "weighted"), strict=True):
        axis.axhline(1.0, color="0.3", ls=":", label="the true value")
        axis.set(xscale="log", xlabel="episodes", ylim=(-0.1, 4), xlim=(1, axis.dataLim.xmax))
        axis.set_title(f"{name} importance sampling, {runs} runs", fontsize=10)
        axis.legend(loc="upper right")
    axes[0].set_ylabel("estimate of the start's value")
    return figure


# -- 6. Blackjack ----------------------------------------------------------------------------------


def plot_blackjack(episodes=60_000):
    """What Monte Carlo control has learned: when to take a card, and what a hand is worth."""
    env = gymnasium.make("Blackjack-v1", sab=True)
    found = work.mc_control(env, 2, TABLE, episodes, 0.1, 1.0, np.random.default_rng(0), 0)
    Q, visits = found.Q.reshape(*TABLE, 2), found.visits.reshape(*TABLE, 2)
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.5), layout="constrained")
    extent, sums = (0.5, 10.5, 11.5, 21.5), slice(12, 22)
    for ace, name in ((1, "an ace counts 11"), (0, "no usable ace")):
        q, seen = Q[sums, 1:, ace], visits[sums, 1:, ace].min(axis=-1) > 0
        choice = np.where(seen, q.argmax(axis=-1), np.nan)
        worth = np.where(seen, q.max(axis=-1), np.nan)
        left, right = axes[2 * (1 - ace) : 2 * (1 - ace) + 2]
        left.imshow(choice, origin="lower", extent=extent, cmap="coolwarm", vmin=-0.4, vmax=1.4)
        image = right.imshow(worth, origin="lower", extent=extent, cmap="viridis", vmin=-1, vmax=1)
        left.set(title=f"{name}: red hits, blue sticks", ylabel="sum of the player")
        right.set(title=f"{name}: value")
    for axis in axes:
        axis.set(xticks=range(1, 11), yticks=range(12, 22), xlabel="card of the dealer (1: ace)")
        axis.title.set_fontsize(9)
    figure.colorbar(image, ax=axes, label="larger action value", shrink=0.8)
    late = found.returns[-20_000:].mean()
    figure.suptitle(
        f"Blackjack after {episodes:,} hands, epsilon 0.1; mean of the last 20,000: {late:.3f}"
    )
    return figure


FIGURES = {
    "random_walk": plot_random_walk,
    "batch": plot_batch,
    "n_step": plot_n_step,
    "lambda": plot_lambda,
    "infinite_variance": plot_infinite_variance,
    "blackjack": plot_blackjack,
}


if __name__ == "__main__":
    plots.save_all(plots.parser(__doc__, __file__).parse_args().out, FIGURES)
