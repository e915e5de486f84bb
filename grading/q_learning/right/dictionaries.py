"""Tables as defaultdicts of lists while the agent learns, arrays at the end; functions as values."""

from bisect import bisect_right
from collections import defaultdict, namedtuple
from functools import partial

Result = namedtuple("Result", ("Q", "returns"))


def _range(value, name, low=0.0):
    if not (low <= value <= 1.0) or (name == "alpha" and value == 0.0):
        raise ValueError(f"{name} is {value}, and that is out of range")


def _row(q):
    if np.ndim(q) != 1 or np.size(q) == 0:
        raise ValueError("action values come as one row")
    return [float(x) for x in q]


def q_target(r, q_next, gamma, terminated):
    q_next = _row(q_next)
    _range(gamma, "gamma")
    return float(r) + (0.0 if terminated else gamma * max(q_next))


def sarsa_target(r, q_next, a_next, gamma, terminated):
    q_next = _row(q_next)
    _range(gamma, "gamma")
    return float(r) + (0.0 if terminated else gamma * q_next[a_next])


def expected_sarsa_target(r, q_next, pi_next, gamma, terminated):
    q_next, pi_next = _row(q_next), _row(pi_next)
    _range(gamma, "gamma")
    if len(q_next) != len(pi_next):
        raise ValueError("there are not as many probabilities as values")
    mean = sum(p * q for p, q in zip(pi_next, q_next, strict=True))
    return float(r) if terminated else float(r) + gamma * mean


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    _range(alpha, "alpha")
    delta = q_target(r, Q[s2], gamma, terminated) - float(Q[s][a])
    Q[s][a] += alpha * delta
    return float(delta)


def _tied(q):
    top = max(q)
    return [i for i, x in enumerate(q) if x == top]


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    _range(alpha, "alpha")
    _range(gamma, "gamma")
    if np.shape(Q1) != np.shape(Q2):
        raise ValueError("both tables must be of one shape")
    mine, other = (Q1, Q2) if rng.choice([True, False]) else (Q2, Q1)
    target = float(r)
    if not terminated:
        target += gamma * float(other[s2][int(rng.choice(_tied(_row(mine[s2]))))])
    delta = target - float(mine[s][a])
    mine[s][a] += alpha * delta
    return delta


def _policy(q, epsilon):
    best = _tied(q)
    share = (1.0 - epsilon) / len(best)
    return [epsilon / len(q) + share * (i in best) for i in range(len(q))]


def _act(q, epsilon, rng):
    """A draw from the policy: the first action whose cumulative probability passes a number."""
    u, total, pi = rng.random(), 0.0, _policy(q, epsilon)
    for action, p in enumerate(pi):
        total += p
        if u < total:
            return action
    return max(_tied(pi))


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    players = {"q_learning": _play_q, "sarsa": _play_sarsa, "expected_sarsa": _play_expected, "double_q": _play_double}
    if algo not in players:
        raise ValueError(f"unknown algorithm: {algo}")
    if episodes < 1:
        raise ValueError("there must be an episode at least")
    _range(alpha, "alpha")
    _range(gamma, "gamma")
    states, actions = int(env.observation_space.n), int(env.action_space.n)
    tables = [defaultdict(partial(list, [0.0] * actions)) for _ in range(2)]
    returns = {}
    for number in range(episodes):
        epsilon = float(epsilon_fn(number))
        _range(epsilon, "epsilon")
        s = env.reset(**({"seed": seed} if not number else {}))[0]
        returns[number] = players[algo](env, int(s), tables, alpha, epsilon, gamma, rng)
    used = tables if algo == "double_q" else tables[:1]
    Q = np.array([[sum(t[s][a] for t in used) / len(used) for a in range(actions)] for s in range(states)])
    return Result(Q, np.array(list(returns.values()), dtype=float))


def _play_q(env, s, tables, alpha, epsilon, gamma, rng):
    Q, total = tables[0], 0.0
    while True:
        a = _act(Q[s], epsilon, rng)
        s2, r, terminated, truncated, _ = env.step(a)
        total += r
        q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma)
        if terminated or truncated:
            return total
        s = s2


def _play_sarsa(env, s, tables, alpha, epsilon, gamma, rng):
    Q, total = tables[0], 0.0
    a = _act(Q[s], epsilon, rng)
    while True:
        s2, r, terminated, truncated, _ = env.step(a)
        total += r
        a2 = _act(Q[s2], epsilon, rng)
        future = 0.0 if terminated else gamma * Q[s2][a2]
        Q[s][a] += alpha * (r + future - Q[s][a])
        if terminated or truncated:
            return total
        s, a = s2, a2


def _play_expected(env, s, tables, alpha, epsilon, gamma, rng):
    Q, total = tables[0], 0.0
    while True:
        a = _act(Q[s], epsilon, rng)
        s2, r, terminated, truncated, _ = env.step(a)
        total += r
        target = expected_sarsa_target(r, Q[s2], _policy(Q[s2], epsilon), gamma, terminated)
        Q[s][a] = Q[s][a] + alpha * (target - Q[s][a])
        if terminated or truncated:
            return total
        s = s2


def _play_double(env, s, tables, alpha, epsilon, gamma, rng):
    one, two, total = *tables, 0.0
    while True:
        a = _act([x + y for x, y in zip(one[s], two[s], strict=True)], epsilon, rng)
        s2, r, terminated, truncated, _ = env.step(a)
        total += r
        mine, other = (one, two) if rng.random() > 0.5 else (two, one)
        future = 0.0 if terminated else gamma * other[s2][int(rng.choice(_tied(mine[s2])))]
        mine[s][a] += alpha * (r + future - mine[s][a])
        if terminated or truncated:
            return total
        s = s2


class Discretizer:
    def __init__(self, low, high, bins, clip=4.0):
        if not np.ndim(low) == np.ndim(high) == np.ndim(bins) == 1 or not len(low) == len(high) == len(bins) > 0:
            raise ValueError("low, high and bins must have one length")
        if not (np.isfinite(clip) and clip > 0) or min(bins) < 1:
            raise ValueError("clip and the bins must be positive")
        bounds = [(max(lo, -clip) if np.isinf(lo) else lo, min(hi, clip) if np.isinf(hi) else hi) for lo, hi in zip(low, high, strict=True)]
        if any(lo >= hi for lo, hi in bounds):
            raise ValueError("some dimension is empty")
        self.size = list(map(int, bins))
        self.edges = [list(np.linspace(lo, hi, n + 1))[1:n] for (lo, hi), n in zip(bounds, self.size, strict=True)]

    @property
    def n_states(self):
        product = 1
        for n in self.size:
            product *= n
        return product

    def encode(self, obs):
        if np.shape(obs) != (len(self.size),):
            raise ValueError("the observation must have one number for each dimension")
        number = 0
        for x, edges, n in zip(obs, self.edges, self.size, strict=True):
            number = n * number + bisect_right(edges, x)
        return number
