"""The bars of q_learning's learning checks, and the simulator that they are measured with.

A Gymnasium loop plays one learner at a time, which is too slow for thousands of reference runs.
``Simulator`` plays many copies of a toy-text environment side by side, straight from the
environment's own transition table. The tests here compare it with Gymnasium, the vectorised learner
with the reference solution, and the bars of the hidden tests with a fresh sample of reference runs.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np
import pytest

from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]


hidden = load(ROOT / "grading" / "q_learning" / "test_hidden.py")
reference = load(ROOT / "solutions" / "q_learning" / "q_learning.py")


# -- the simulator --------------------------------------------------------------------------------


class Moves(NamedTuple):
    """What one step of every copy led to: arrays of shape (copies,)."""

    state: np.ndarray  # the state that the step led to, before any reset
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Simulator:
    """Many copies of a toy-text environment, played from its transition table ``env.unwrapped.P``.

    A copy whose episode is over (terminated, or truncated by the environment's step limit) must be
    reset.
    """

    def __init__(self, env, copies, rng):
        table, self._rng = env.unwrapped.P, rng
        self.n_states, self.n_actions = int(env.observation_space.n), int(env.action_space.n)
        width = max(len(outcomes) for row in table.values() for outcomes in row.values())
        shape = (self.n_states, self.n_actions, width)
        self._chance, self._reward = np.zeros(shape), np.zeros(shape)
        self._next, self._over = np.zeros(shape, int), np.zeros(shape, bool)
        for s, row in table.items():
            for a, outcomes in row.items():
                for k, (chance, s2, reward, over) in enumerate(outcomes):
                    self._chance[s, a, k], self._next[s, a, k] = chance, int(s2)
                    self._reward[s, a, k], self._over[s, a, k] = reward, over
        self._chance = self._chance.cumsum(axis=2)
        self._start = np.asarray(env.unwrapped.initial_state_distrib, float).cumsum()
        self._limit = env.spec.max_episode_steps or np.iinfo(int).max
        self.state, self._clock = np.zeros(copies, int), np.zeros(copies, int)
        self.reset(np.ones(copies, bool))

    def reset(self, which, state=None):
        """Start new episodes in the copies of the mask, in ``state`` if it is given."""
        drawn = np.searchsorted(
            self._start, self._rng.random(which.sum()) * self._start[-1], side="right"
        )
        self.state[which] = drawn if state is None else state
        self._clock[which] = 0
        return self.state.copy()

    def step(self, action):
        """One step of every copy."""
        chance = self._chance[self.state, action]
        k = (self._rng.random((len(action), 1)) * chance[:, -1:] >= chance).sum(axis=1)
        index = (self.state, action, k)
        terminated, reward = self._over[index], self._reward[index]
        self.state, self._clock = self._next[index], self._clock + 1
        return Moves(
            self.state.copy(), reward, terminated, (self._clock >= self._limit) & ~terminated
        )


def learn(env, algo, episodes, alpha, epsilon, gamma, copies, rng):
    """Independent learners at once. Returns Q (copies, S, A) and returns (copies, episodes)."""
    sim, row = Simulator(env, copies, rng), np.arange(copies)
    tables = np.zeros((2 if algo == "double_q" else 1, copies, sim.n_states, sim.n_actions))
    returns, episode = np.zeros((copies, episodes)), np.zeros(copies, int)

    def best_of(q):
        return ((q == q.max(axis=1, keepdims=True)) * (1.0 + rng.random(q.shape))).argmax(axis=1)

    def act(state):
        explore = rng.random(copies) < epsilon
        return np.where(
            explore,
            rng.integers(sim.n_actions, size=copies),
            best_of(tables[:, row, state].sum(axis=0)),
        )

    s = sim.state.copy()
    a = act(s)
    while (live := episode < episodes).any():
        move = sim.step(a)
        a2, coin = act(move.state), np.zeros(copies, int)
        q_next = tables[0, row, move.state]
        if algo == "q_learning":
            future = q_next.max(axis=1)
        elif algo == "sarsa":
            future = q_next[row, a2]
        elif algo == "expected_sarsa":
            future = (1 - epsilon) * q_next.max(axis=1) + epsilon * q_next.mean(axis=1)
        else:
            coin = rng.integers(2, size=copies)
            future = tables[1 - coin, row, move.state, best_of(tables[coin, row, move.state])]
        target = move.reward + gamma * ~move.terminated * future
        tables[coin, row, s, a] += live * alpha * (target - tables[coin, row, s, a])
        returns[row[live], episode[live]] += move.reward[live]
        over = move.terminated | move.truncated
        episode += over
        if over.any():
            sim.reset(over)
        s = sim.state.copy()
        a = np.where(over, act(s), a2) if algo == "sarsa" else act(s)
    return tables.mean(axis=0), returns


# -- the simulator agrees with Gymnasium ----------------------------------------------------------

CLIFF = {"id": "CliffWalking-v1", "max_episode_steps": 500}
LAKE = {"id": "FrozenLake-v1"}
DRY_LAKE = {"id": "FrozenLake-v1", "is_slippery": False}
TAXI = {"id": "Taxi-v4"}


@pytest.mark.parametrize("options", [CLIFF, DRY_LAKE, TAXI, {**CLIFF, "max_episode_steps": 7}])
def test_simulator_replays_gymnasium_step_by_step(options):
    """Where moves are deterministic, the same actions give the same states, rewards and endings."""
    env, rng = gymnasium.make(**options), np.random.default_rng(0)
    sim = Simulator(gymnasium.make(**options), 1, np.random.default_rng(1))
    endings = set()
    for episode in range(40):
        state, _ = env.reset(seed=episode)
        sim.reset(np.array([True]), state=state)
        over = False
        while not over:
            action = int(rng.integers(env.action_space.n))
            state, reward, terminated, truncated, _ = env.step(action)
            move = sim.step(np.array([action]))
            assert (move.state[0], move.reward[0]) == (state, reward)
            assert (move.terminated[0], move.truncated[0]) == (terminated, truncated)
            over = terminated or truncated
            endings |= {"terminated"} if terminated else {"truncated"} if truncated else set()
    assert endings


@pytest.mark.parametrize("options", [LAKE, {"id": "CliffWalking-v1", "is_slippery": True}])
def test_simulator_slips_as_gymnasium_does(options):
    """From every state and action, Gymnasium and the simulator step with the same distribution."""
    env, n = gymnasium.make(**options, max_episode_steps=10**9), 200
    env.reset(seed=0)
    sim = Simulator(env, n, np.random.default_rng(0))
    statistic, freedom = 0.0, 0
    for s in range(sim.n_states):
        for a in range(sim.n_actions):
            theirs, ours = {}, {}
            for _ in range(n):
                env.unwrapped.s = s
                key = env.unwrapped.step(a)[:3]
                theirs[key] = theirs.get(key, 0) + 1
            sim.reset(np.ones(n, bool), state=s)
            move = sim.step(np.full(n, a))
            for key in zip(
                move.state.tolist(), move.reward.tolist(), move.terminated.tolist(), strict=True
            ):
                ours[key] = ours.get(key, 0) + 1
            assert theirs.keys() == ours.keys(), (s, a)
            statistic += sum(
                (theirs[key] - ours[key]) ** 2 / (theirs[key] + ours[key]) for key in ours
            )
            freedom += len(ours) - 1
    assert freedom > 50
    # The chi-square test of two samples of equal size.
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("options", [CLIFF, LAKE, TAXI])
def test_simulator_starts_where_gymnasium_starts(options):
    """The start states are those of the environment, as often."""
    env, n = gymnasium.make(**options), 3000
    sim = Simulator(env, n, np.random.default_rng(0))
    theirs = np.bincount([env.reset(seed=seed)[0] for seed in range(n)], minlength=sim.n_states)
    ours = np.bincount(sim.state, minlength=sim.n_states)
    assert ((theirs > 0) == (env.unwrapped.initial_state_distrib > 0)).all()
    assert ((ours > 0) == (theirs > 0)).all()


def test_simulator_respects_the_step_limit():
    """Copies are truncated at the environment's limit; a reset starts the clock anew."""
    env = gymnasium.make("CliffWalking-v1", max_episode_steps=3)
    sim = Simulator(env, 2, np.random.default_rng(0))
    for truncated in (False, False, True):
        assert sim.step(np.array([0, 0])).truncated.tolist() == [truncated] * 2
    sim.reset(np.array([True, False]))
    assert sim.step(np.array([0, 0])).truncated.tolist() == [False, True]


# -- exact evaluation -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [CLIFF, LAKE])
def test_exact_evaluation_is_what_many_rollouts_give(options):
    """The hidden tests' expected return is the mean return of simulated episodes."""
    env, rng, copies = gymnasium.make(**options), np.random.default_rng(0), 4000
    model, horizon = model_of(options), 60
    policy = rng.dirichlet(np.ones(4), size=len(model.R))
    policy[:, 2] += 2.0
    policy /= policy.sum(axis=1, keepdims=True)
    sim, alive, returns = Simulator(env, copies, rng), np.ones(copies, bool), np.zeros(copies)
    for _ in range(horizon):
        action = (rng.random((copies, 1)) >= policy[sim.state].cumsum(axis=1)).sum(axis=1)
        move = sim.step(np.minimum(action, 3))
        returns += alive * move.reward
        alive &= ~move.terminated
    expected = hidden.expected_return(model, policy, 1.0, horizon)
    assert abs(returns.mean() - expected) < 5 * returns.std() / np.sqrt(copies)


# -- the learning checks --------------------------------------------------------------------------


class Check(NamedTuple):
    """A learning check of the hidden tests: how it trains, what it measures, and its bar."""

    options: dict
    algo: str
    episodes: int
    alpha: float
    epsilon: float
    gamma: float
    measure: Callable  # (model, Q, returns) -> float
    bar: float = -np.inf


def greedy_value(gamma, horizon):
    return lambda model, Q, returns: hidden.expected_return(model, hidden.greedy(Q), gamma, horizon)


def soft_value(epsilon, horizon):
    return lambda model, Q, returns: hidden.expected_return(
        model, hidden.soft(Q, epsilon), 1.0, horizon
    )


def online(model, Q, returns):
    return returns[-100:].mean()


ON_CLIFF = {"episodes": 300, "alpha": 0.5, "epsilon": 0.1, "gamma": 1.0}
CHECKS = {
    "dry lake": Check(
        DRY_LAKE, "q_learning", 1000, 0.5, 0.1, 0.99, greedy_value(0.99, 100), hidden.DRY_LAKE_BAR
    ),
    "slippery lake": Check(
        LAKE, "q_learning", 2000, 0.1, 0.3, 0.99, greedy_value(0.99, 1000), hidden.SLIPPERY_LAKE_BAR
    ),
    "shortest path": Check(
        CLIFF,
        "q_learning",
        **ON_CLIFF,
        measure=greedy_value(1.0, 500),
        bar=hidden.SHORTEST_PATH_BAR,
    ),
    "Expected SARSA": Check(
        CLIFF,
        "expected_sarsa",
        **ON_CLIFF,
        measure=soft_value(0.1, 500),
        bar=hidden.EXPECTED_SARSA_BAR,
    ),
    "SARSA online": Check(CLIFF, "sarsa", **ON_CLIFF, measure=online),
    "Q-learning online": Check(CLIFF, "q_learning", **ON_CLIFF, measure=online),
}


def model_of(options):
    """The exact model of an environment, as the hidden tests read it."""
    extra = {key: value for key, value in options.items() if key not in ("id", "max_episode_steps")}
    return hidden.model_of(options["id"], **extra)


def sample(check, copies, seed):
    """What ``copies`` reference runs of a learning check measure."""
    env, model = gymnasium.make(**check.options), model_of(check.options)
    rates = check.algo, check.episodes, check.alpha, check.epsilon, check.gamma
    Q, returns = learn(env, *rates, copies, np.random.default_rng(seed))
    return np.array([check.measure(model, q, r) for q, r in zip(Q, returns, strict=True)])


def lead_of_sarsa(copies, seed, batch=5):
    """SARSA's lead over Q-learning while both learn, as the mean over batches of runs."""
    sarsa, q_learning = (
        sample(CHECKS[name], copies, seed) for name in ("SARSA online", "Q-learning online")
    )
    return (sarsa - q_learning).reshape(-1, batch).mean(axis=1)


def lead_of_left(copies, seed, batch=3, episodes=40):
    """How much more often Q-learning goes left than Double Q-learning (S&B, Example 6.7).

    The mean over batches of runs.
    """
    rng, row = np.random.default_rng(seed), np.arange(copies)

    def choose(q):
        best = ((q == q.max(axis=1, keepdims=True)) * (1.0 + rng.random(q.shape))).argmax(axis=1)
        return np.where(rng.random(copies) < 0.1, rng.integers(q.shape[1], size=copies), best), best

    shares = []
    for n_tables in (1, 2):
        start, noisy, left = (
            np.zeros((n_tables, copies, 2)),
            np.zeros((n_tables, copies, 10)),
            np.zeros(copies),
        )
        for _ in range(episodes):
            (a, _), (b, _) = choose(start.sum(axis=0)), choose(noisy.sum(axis=0))
            coins = rng.integers(n_tables, size=(2, copies))
            worth = noisy[(coins[0] + 1) % n_tables, row, choose(noisy[coins[0], row])[1]]
            start[coins[0], row, a] += 0.1 * ((a == 0) * worth - start[coins[0], row, a])
            reward = rng.normal(-0.1, 1.0, size=copies)
            noisy[coins[1], row, b] += (a == 0) * 0.1 * (reward - noisy[coins[1], row, b])
            left += a == 0
        shares.append(left / episodes)
    return (shares[0] - shares[1]).reshape(-1, batch).mean(axis=1)


@pytest.mark.parametrize("algo", ["q_learning", "sarsa", "expected_sarsa", "double_q"])
def test_vectorised_learner_learns_like_the_reference(algo):
    """Early and late returns on the cliff have the same mean, to five standard errors."""
    env = gymnasium.make(**CLIFF)
    _, fast = learn(env, algo, 120, 0.5, 0.1, 1.0, 100, np.random.default_rng(0))
    slow = np.array(
        [
            reference.train(
                env, algo, 120, 0.5, lambda episode: 0.1, 1.0, np.random.default_rng(seed), seed
            ).returns
            for seed in range(12)
        ]
    )
    for part in (slice(0, 30), slice(60, 120)):
        one, other = fast[:, part].mean(axis=1), slow[:, part].mean(axis=1)
        error = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
        assert abs(one.mean() - other.mean()) < 5 * error


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if check.bar > -np.inf])
def test_bars_of_the_learning_checks_are_fair(name):
    """Of 60 fresh reference runs, at most a tenth stays below the bar.

    So several seeds hardly ever fail together.
    """
    check = CHECKS[name]
    assert (sample(check, 60, seed=1) < check.bar - 1e-9).mean() <= 0.1


def test_bars_of_the_batches_are_fair():
    """Of 20 fresh batches none stays below the bar, of 200 at most a tenth."""
    assert lead_of_sarsa(100, seed=1).min() > hidden.SARSA_LEAD_BAR
    assert (lead_of_left(600, seed=1) < hidden.BIAS_BAR).mean() <= 0.1


COPIES = 1000


@functools.cache
def runs(name):
    """What ``COPIES`` reference runs, or batches of runs, reach in a learning check."""
    if name == "lead of SARSA":
        return lead_of_sarsa(5 * COPIES, seed=0)
    if name == "lead of left":
        return lead_of_left(3 * COPIES, seed=0)
    return sample(CHECKS[name], COPIES, seed=0)


def bar_of(name, least):
    """The copies of a vectorised learner stand for seeds."""
    return Bar(least, lambda copy: runs(name)[copy], range(COPIES))


BARS = {
    "test_q_learning_crosses_the_dry_lake": bar_of("dry lake", hidden.DRY_LAKE_BAR),
    "test_q_learning_crosses_the_slippery_lake": bar_of("slippery lake", hidden.SLIPPERY_LAKE_BAR),
    "test_q_learning_knows_the_shortest_path_along_the_cliff": bar_of(
        "shortest path", hidden.SHORTEST_PATH_BAR
    ),
    "test_sarsa_earns_more_than_q_learning_while_learning": bar_of(
        "lead of SARSA", hidden.SARSA_LEAD_BAR
    ),
    "test_expected_sarsa_walks_safely_while_exploring": bar_of(
        "Expected SARSA", hidden.EXPECTED_SARSA_BAR
    ),
    "test_double_q_learning_is_not_lured_by_noise": bar_of("lead of left", hidden.BIAS_BAR),
}
