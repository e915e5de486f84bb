"""An independent solution in plain Python: one loop per algorithm, no helper classes, lists of tied
actions."""

from collections import namedtuple
from math import isfinite, isinf

Result = namedtuple("Result", "Q returns")


def _demand(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def _future(value, gamma, terminated):
    _demand(0 <= gamma <= 1, f"gamma = {gamma} is no discount between 0 and 1")
    return gamma * value * (not terminated)


def _is_row(q):
    _demand(np.ndim(q) == 1, "one row of action values is needed")


def q_target(r, q_next, gamma, terminated):
    _is_row(q_next)
    return float(r + _future(max(q_next), gamma, terminated))


def sarsa_target(r, q_next, a_next, gamma, terminated):
    _is_row(q_next)
    return float(r + _future(q_next[a_next], gamma, terminated))


def expected_sarsa_target(r, q_next, pi_next, gamma, terminated):
    _is_row(q_next)
    _demand(len(pi_next) == len(q_next), "as many probabilities as action values are needed")
    return float(r + _future(sum(p * q for p, q in zip(pi_next, q_next, strict=True)), gamma, terminated))


def _move(Q, s, a, target, alpha):
    _demand(0 < alpha <= 1, f"alpha = {alpha} is no step size in (0, 1]")
    error = target - Q[s, a]
    Q[s, a] = (1 - alpha) * Q[s, a] + alpha * target
    return float(error)


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    return _move(Q, s, a, q_target(r, Q[s2], gamma, terminated), alpha)


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    _demand(Q1.shape == Q2.shape, "the two tables differ in shape")
    if rng.integers(2):
        Q1, Q2 = Q2, Q1
    return _move(Q1, s, a, sarsa_target(r, Q2[s2], _best(Q1[s2], rng), gamma, terminated), alpha)


def _best(q, rng):
    top = max(q)
    return int(rng.choice([a for a, value in enumerate(q) if value == top]))


def _act(q, epsilon, rng):
    return int(rng.integers(len(q))) if rng.uniform() < epsilon else _best(q, rng)


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    loops = {"q_learning": _q_episode, "sarsa": _sarsa_episode, "expected_sarsa": _expected_episode, "double_q": _double_episode}
    _demand(algo in loops, f"there is no algorithm called {algo}")
    _demand(episodes >= 1, "at least one episode is needed")
    _demand(0 < alpha <= 1, f"alpha = {alpha} is no step size in (0, 1]")
    _demand(0 <= gamma <= 1, f"gamma = {gamma} is no discount between 0 and 1")
    shape = (env.observation_space.n, env.action_space.n)
    tables = (np.zeros(shape), np.zeros(shape))
    returns = []
    for episode in range(episodes):
        epsilon = epsilon_fn(episode)
        _demand(0 <= epsilon <= 1, f"epsilon = {epsilon} is no probability")
        state = (env.reset(seed=seed) if episode == 0 else env.reset())[0]
        returns.append(loops[algo](env, state, tables, alpha, epsilon, gamma, rng))
    Q = (tables[0] + tables[1]) / 2 if algo == "double_q" else tables[0]
    return Result(Q, np.array(returns, dtype=float))


def _q_episode(env, s, tables, alpha, epsilon, gamma, rng):
    Q, total = tables[0], 0.0
    while True:
        a = _act(Q[s], epsilon, rng)
        s2, r, terminated, truncated, _ = env.step(a)
        q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma)
        s, total = s2, total + r
        if terminated or truncated:
            return total


def _sarsa_episode(env, s, tables, alpha, epsilon, gamma, rng):
    Q, total = tables[0], 0.0
    a = _act(Q[s], epsilon, rng)
    while True:
        s2, r, terminated, truncated, _ = env.step(a)
        a2 = _act(Q[s2], epsilon, rng)
        _move(Q, s, a, sarsa_target(r, Q[s2], a2, gamma, terminated), alpha)
        s, a, total = s2, a2, total + r
        if terminated or truncated:
            return total


def _expected_episode(env, s, tables, alpha, epsilon, gamma, rng):
    Q, total = tables[0], 0.0
    while True:
        a = _act(Q[s], epsilon, rng)
        s2, r, terminated, truncated, _ = env.step(a)
        pi = [epsilon / len(Q[s2])] * len(Q[s2])
        pi[int(np.argmax(Q[s2]))] += 1 - epsilon  # any of the best actions: their values are equal
        _move(Q, s, a, expected_sarsa_target(r, Q[s2], pi, gamma, terminated), alpha)
        s, total = s2, total + r
        if terminated or truncated:
            return total


def _double_episode(env, s, tables, alpha, epsilon, gamma, rng):
    total = 0.0
    while True:
        a = _act(tables[0][s] + tables[1][s], epsilon, rng)
        s2, r, terminated, truncated, _ = env.step(a)
        double_q_update_(*tables, s, a, r, s2, terminated, alpha, gamma, rng)
        s, total = s2, total + r
        if terminated or truncated:
            return total


class Discretizer:
    def __init__(self, low, high, bins, clip=4.0):
        _demand(np.ndim(low) == np.ndim(high) == np.ndim(bins) == 1, "low, high and bins are lists of numbers")
        _demand(0 < len(low) == len(high) == len(bins), "low, high and bins are of one length")
        _demand(min(bins) >= 1, "a dimension without a bin holds nothing")
        _demand(isfinite(clip) and clip > 0, "the clip value must be positive")
        self.low = [-clip if isinf(x) else float(x) for x in low]
        self.high = [clip if isinf(x) else float(x) for x in high]
        _demand(all(a < b for a, b in zip(self.low, self.high, strict=True)), "an empty dimension")
        self.bins = [int(n) for n in bins]
        self.n_states = 1
        for n in self.bins:
            self.n_states *= n

    def encode(self, obs):
        _demand(np.shape(obs) == (len(self.bins),), "the observation has the wrong shape")
        number = 0
        for x, lo, hi, n in zip(obs, self.low, self.high, self.bins, strict=True):
            k = int(np.floor((x - lo) / (hi - lo) * n))
            number = number * n + min(max(k, 0), n - 1)
        return number
