"""Draws the plots of the handout from your own offline_rl.py.

python report.py              saves PNG files beside this one (--out DIR for another place)
"""

import data_sets
import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import offline_rl as work
import plots
import torch

COLOURS = {"bc": "C7", "bcq": "C0", "cql": "C2", "iql": "C1"}
NAMES = {"bc": "cloning", "bcq": "BCQ", "cql": "CQL", "iql": "IQL"}


# -- 1. what an evaluation is worth ----------------------------------------------------------------

GAMMA = 0.95
COIN = np.full((5, 2), 0.5)


def leaning(p):
    """(5, 2) The policy of the chain that goes on with probability p."""
    return np.tile([1 - p, p], (5, 1))


def chain_estimates(data, policy):
    """Four estimates of what the policy earns in the chain, by name."""
    target = policy[data.obs]
    q = work.fitted_q_evaluation(data, policy, GAMMA, 8)[data.obs]
    return {
        "ordinary": work.ordinary_is(data, target, GAMMA).mean(),
        "per decision": work.per_decision_is(data, target, GAMMA).mean(),
        "weighted": work.weighted_is(data, target, GAMMA),
        "doubly robust": work.doubly_robust(data, target, q, GAMMA).mean(),
    }


def plot_evaluation(sets=40, episodes=100):
    """Errors of four estimators, and how many episodes still count, by the target policy."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    rng = np.random.default_rng(0)
    data = [
        work.record(data_sets.Chain(), lambda s: COIN[s], episodes, rng, seed)
        for seed in range(sets)
    ]
    shares = np.linspace(0.5, 0.98, 9)
    errors, counts = [], []
    for p in shares:
        policy = leaning(p)
        truth = data_sets.chain_value(policy, GAMMA)
        found = [chain_estimates(one, policy) for one in data]
        errors.append({name: [one[name] - truth for one in found] for name in found[0]})
        weights = [work.episode_weights(one, policy[one.obs]) for one in data]
        counts.append(np.median([w.sum() ** 2 / (w**2).sum() for w in weights]))
    for k, name in enumerate(errors[0]):
        rms = [np.sqrt(np.mean(np.square(one[name]))) for one in errors]
        left.plot(shares, rms, "o-", ms=3, color=f"C{k}", label=name)
    left.set(xlabel="the target policy goes on with probability", ylabel="root mean squared error")
    left.set_title(f"the chain: {sets} data sets of {episodes} episodes of a coin", fontsize=10)
    left.legend()
    right.plot(shares, counts, "o-", ms=3, color="C3")
    right.set(
        xlabel="the target policy goes on with probability", ylabel="episodes", ylim=(0, None)
    )
    right.set_title("effective number of episodes: (sum of w)^2 / (sum of w^2)", fontsize=10)
    return figure


# -- 2. values of actions that nobody tried --------------------------------------------------------


def largest_values(alpha, data, rounds, steps, seed):
    """(rounds,) The mean over the data of max Q, while Q-learning with CQL's penalty trains. Its target
    network follows quickly, so that 800 steps show what slower ones do later."""
    nets, rng = work.make_networks(4, 2, (64, 64), seed), np.random.default_rng(seed)
    config = work.OfflineConfig(method="cql", alpha=alpha, gradient_steps=steps, tau=0.2)
    obs, found = torch.from_numpy(data.obs), []
    for _ in range(rounds):
        work.train_(nets, data, config, rng)
        with torch.no_grad():
            found.append(float(nets.q(obs).max(dim=1).values.mean()))
    return found


def plot_overestimation(rounds=20, steps=40, seeds=(0, 1, 2)):
    """The believed value of the best action, with and without a penalty, beside what is possible."""
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    data = data_sets.load("cartpole-expert")
    x = steps * np.arange(1, rounds + 1)
    for alpha, colour, label in ((0.0, "C3", "Q-learning"), (1.0, "C2", "CQL, alpha = 1")):
        runs = [largest_values(alpha, data, rounds, steps, seed) for seed in seeds]
        plots.band(axis, x, runs, label, colour)
    axis.axhline(100, color="0.5", ls=":", label="no policy earns more than 1 / (1 - gamma) = 100")
    axis.set(xlabel="gradient steps", ylabel="mean of max Q over the data")
    axis.set(yscale="symlog", ylim=(0, None))
    axis.set_title(f"cartpole-expert, {len(seeds)} seeds", fontsize=10)
    axis.legend()
    return figure


# -- 3. the comparison -----------------------------------------------------------------------------

SETS = ("cartpole-random", "cartpole-mixed", "cartpole-medium", "cartpole-expert")


def balanced(method, data, steps, seed, episodes=32):
    """The mean return of what a method has learned; the episodes are played side by side."""
    nets = work.make_networks(4, 2, (64, 64), seed)
    config = work.OfflineConfig(method=method, gradient_steps=steps)
    work.train_(nets, data, config, np.random.default_rng(seed))
    envs = gymnasium.make_vec(
        "CartPole-v1", num_envs=episodes, vectorization_mode="vector_entry_point"
    )
    obs, _ = envs.reset(seed=1000 + seed)
    alive, returns = np.ones(episodes, bool), np.zeros(episodes)
    while alive.any():
        actions = work.greedy_actions(nets, torch.from_numpy(obs), config)
        obs, _, terminated, truncated, _ = envs.step(actions.numpy())
        returns += alive
        alive &= ~(terminated | truncated)
    return float(returns.mean())


def plot_comparison(steps=600, seeds=(0, 1)):
    """Returns of four methods on four data sets, beside those of the data."""
    figure, axis = plt.subplots(figsize=(9, 4.4), layout="constrained")
    for place, name in enumerate(SETS):
        data = data_sets.load(name)
        for k, method in enumerate(work.METHODS):
            x = place + 0.18 * (k - 1.5)
            found = [balanced(method, data, steps, seed) for seed in seeds]
            axis.bar(x, np.median(found), 0.16, color=COLOURS[method], alpha=0.5)
            axis.plot(np.full(len(seeds), x), found, "o", ms=4, color=COLOURS[method])
        mean = work.episode_returns(data, 1.0).mean()
        axis.hlines(mean, place - 0.4, place + 0.4, color="k", ls=":")
    for method in work.METHODS:
        axis.bar(0, 0, color=COLOURS[method], label=NAMES[method])
    axis.plot([], [], "k:", label="mean return in the data")
    axis.set(xticks=range(len(SETS)), xticklabels=SETS, ylabel="return on CartPole-v1")
    axis.set_title(f"{steps} gradient steps; a dot is a seed, a bar their median", fontsize=10)
    axis.legend(ncols=2)
    return figure


FIGURES = {
    "evaluation": plot_evaluation,
    "overestimation": plot_overestimation,
    "comparison": plot_comparison,
}


if __name__ == "__main__":
    plots.save_all(plots.parser(__doc__, __file__).parse_args().out, FIGURES)
