"""All in one loop: a single update line, branches where the algorithms part, choices by sorting."""

import math
from typing import NamedTuple


class Result(NamedTuple):
    Q: np.ndarray
    returns: np.ndarray


def _fail(text):
    raise ValueError(text)


def _unit(x, name):
    return x if 0 <= x <= 1 else _fail(f"{name} must be from 0 to 1")


def _step(x):
    return x if 0 < x <= 1 else _fail("alpha must be above 0 and not above 1")


def _line(q):
    return q if np.ndim(q) == 1 and len(q) else _fail("q_next must have the shape (A,)")


def q_target(r, q_next, gamma, terminated):
    future = _unit(gamma, "gamma") * sorted(_line(q_next))[-1]
    return float(r if terminated else r + future)


def sarsa_target(r, q_next, a_next, gamma, terminated):
    gamma, q_next = _unit(gamma, "gamma"), _line(q_next)
    return float(r if terminated else r + gamma * q_next[a_next])


def expected_sarsa_target(r, q_next, pi_next, gamma, terminated):
    gamma, q_next = _unit(gamma, "gamma"), _line(q_next)
    if len(_line(pi_next)) != len(q_next):
        _fail("pi_next and q_next must be of one length")
    return float(r if terminated else r + gamma * math.fsum(np.multiply(pi_next, q_next)))


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    old = float(Q[s, a])
    target = q_target(r, Q[s2], gamma, terminated)
    Q[s, a] = old + _step(alpha) * (target - old)
    return target - old


def _best(q, rng):
    """The values are sorted, equal ones by random numbers."""
    keys = rng.random(len(q))
    return max(range(len(q)), key=lambda a: (q[a], keys[a]))


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    if Q1.shape != Q2.shape:
        _fail("the tables must be of one shape")
    _step(alpha)
    first = rng.uniform(-1, 1) > 0
    learner, judge = (Q1 if first else Q2), (Q2 if first else Q1)
    old = float(learner[s, a])
    target = sarsa_target(r, judge[s2], _best(learner[s2], rng), gamma, terminated)
    learner[s, a] += alpha * (target - old)
    return target - old


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    if algo not in ("q_learning", "sarsa", "expected_sarsa", "double_q"):
        _fail(f"{algo} is unknown")
    if episodes < 1:
        _fail("episodes must be 1 or more")
    _step(alpha), _unit(gamma, "gamma")
    size = (int(env.observation_space.n), int(env.action_space.n))
    Q, second, returns = np.zeros(size), np.zeros(size), [0.0] * episodes
    actions = range(size[1])
    for episode in range(episodes):
        epsilon = _unit(epsilon_fn(episode), "epsilon")
        s, _ = env.reset(seed=None if episode else seed)
        terminated = truncated = False
        planned = None
        while not (terminated or truncated):
            if planned is not None:
                a = planned
            elif rng.random() < epsilon:
                a = int(rng.choice(actions))
            else:
                a = _best(Q[s] + second[s], rng)
            s2, r, terminated, truncated, _ = env.step(a)
            returns[episode] += r
            if algo == "double_q":
                double_q_update_(Q, second, s, a, r, s2, terminated, alpha, gamma, rng)
            else:
                if algo == "q_learning":
                    target = q_target(r, Q[s2], gamma, terminated)
                elif algo == "sarsa":
                    explore = rng.random() < epsilon
                    planned = int(rng.choice(actions)) if explore else _best(Q[s2], rng)
                    target = sarsa_target(r, Q[s2], planned, gamma, terminated)
                else:
                    mean = (1 - epsilon) * max(Q[s2]) + epsilon * np.mean(Q[s2])
                    target = float(r) if terminated else r + gamma * mean
                Q[s, a] += alpha * (target - Q[s, a])
            s = s2
    table = (Q + second) / 2 if algo == "double_q" else Q
    return Result(table, np.array(returns))


class Discretizer:
    def __init__(self, low, high, bins, clip=4.0):
        if np.ndim(low) != 1 or not np.shape(low) == np.shape(high) == np.shape(bins) or not len(low):
            _fail("low, high and bins must be of one shape (D,)")
        if not (0 < clip < math.inf) or any(n < 1 for n in bins):
            _fail("clip and bins must be positive")
        self.axes = []
        for lo, hi, n in zip(low, high, bins, strict=True):
            lo, hi = (-clip if math.isinf(lo) else float(lo)), (clip if math.isinf(hi) else float(hi))
            self.axes.append((lo, hi, int(n)) if lo < hi else _fail("low must lie below high"))
        self.n_states = math.prod(n for _, _, n in self.axes)

    def encode(self, obs):
        if np.shape(obs) != (len(self.axes),):
            _fail("obs must be of shape (D,)")
        cell = 0
        for x, (lo, hi, n) in zip(obs, self.axes, strict=True):
            inner = np.linspace(lo, hi, n + 1)[1:-1]
            cell = cell * n + int(np.digitize(x, inner))
        return cell
