"""Bandits with vectors and one random number for each choice: cut the unit interval, and look."""

from typing import NamedTuple


class Trace(NamedTuple):
    actions: np.ndarray
    rewards: np.ndarray


class Script:
    def __init__(self, arms):
        self.arms = list(arms)

    def select(self, t, rng):
        return int(self.arms[t - 1])

    def update(self, action, reward):
        return


def _v(x):
    x = np.atleast_1d(np.array(x, dtype=np.float64, copy=True))
    if x.ndim != 1 or len(x) == 0:
        raise ValueError("expected an array of shape (k,)")
    return x


def _in(value, low, high, open_low, name):
    if value > high or value < low or (open_low and value == low):
        raise ValueError(f"{name} = {value} is out of range")


def sample_average(q, n, reward):
    _in(n, 1, np.inf, False, "n")
    return float(np.dot([1 - 1 / n, 1 / n], [q, reward]))


def constant_step(q, reward, alpha):
    _in(alpha, 0, 1, True, "alpha")
    return float(np.dot([1 - alpha, alpha], [q, reward]))


def unbiased_step(q, o, reward, alpha):
    _in(alpha, 0, 1, True, "alpha")
    _in(o, 0, 1, False, "o")
    trace = 1 - (1 - o) * (1 - alpha)
    beta = alpha / trace
    return float((1 - beta) * q + beta * reward), float(trace)


def _pick(chances, u):
    """The arm in whose part of the unit interval u lies."""
    edges = np.cumsum(chances)
    arm = int(np.sum(u * edges[-1] >= edges))
    return min(arm, int(np.flatnonzero(chances)[-1]))


def argmax_random(q, rng):
    q = _v(q)
    return _pick(1.0 * (q == np.amax(q)), rng.random())


def epsilon_greedy_probs(q, epsilon):
    _in(epsilon, 0, 1, False, "epsilon")
    q = _v(q)
    where = np.argwhere(q == np.amax(q)).ravel()
    pi = np.ones_like(q) * epsilon / q.shape[0]
    pi[where] += (1 - epsilon) / where.shape[0]
    return pi


def epsilon_greedy(q, epsilon, rng):
    return _pick(epsilon_greedy_probs(q, epsilon), rng.random())


class EpsilonGreedy:
    def __init__(self, k, epsilon=0.1, alpha=None, initial=0.0):
        self.k, self.epsilon, self.alpha = k, epsilon, alpha
        self.q = initial * np.ones(k)
        self.counts = np.zeros(k, int)

    def select(self, t, rng):
        """The coin is tossed here, and the tie is broken by a random key."""
        if rng.uniform() < self.epsilon:
            return int(self.k * rng.uniform())
        keys = np.where(self.q == self.q.max(), rng.random(self.k), -1.0)
        return int(keys.argmax())

    def update(self, action, reward):
        self.counts[action] += 1
        step = 1.0 / self.counts[action] if self.alpha is None else self.alpha
        self.q[action] += step * (reward - self.q[action])


def ucb_scores(q, counts, t, c):
    q, counts = _v(q), _v(counts)
    if q.shape != counts.shape or (counts < 0).any():
        raise ValueError("counts must be as many as q, and not negative")
    _in(t, 1, np.inf, False, "t")
    _in(c, 0, np.inf, False, "c")
    scores = np.full_like(q, np.inf)
    seen = np.flatnonzero(counts)
    scores[seen] = q[seen] + c * np.sqrt(np.log(t)) / np.sqrt(counts[seen])
    return scores


class UCB:
    def __init__(self, k, c=2.0):
        self.c, self.sums, self.counts = c, np.zeros(k), np.zeros(k, int)

    @property
    def q(self):
        return np.divide(self.sums, self.counts, out=np.zeros(len(self.sums)), where=self.counts > 0)

    def select(self, t, rng):
        order = rng.permutation(len(self.sums))
        return int(order[np.argmax(ucb_scores(self.q, self.counts, t, self.c)[order])])

    def update(self, action, reward):
        self.sums[action] += reward
        self.counts[action] += 1


def softmax(h):
    h = _v(h)
    z = np.exp(h - np.max(h))
    return z / np.sum(z)


def gradient_bandit_step(h, baseline, action, reward, alpha):
    h = _v(h)
    _in(action, 0, len(h) - 1, False, "action")
    _in(alpha, 0, np.inf, True, "alpha")
    onehot = np.zeros(len(h))
    onehot[action] = 1
    return h + alpha * reward * (onehot - softmax(h)) - alpha * baseline * (onehot - softmax(h))


class GradientBandit:
    def __init__(self, k, alpha=0.1, use_baseline=True):
        self.h, self.alpha, self.use_baseline = np.zeros(k), alpha, use_baseline
        self.baseline, self.rewards = 0.0, []

    def select(self, t, rng):
        return _pick(softmax(self.h), rng.random())

    def update(self, action, reward):
        self.h = gradient_bandit_step(self.h, self.baseline, action, reward, self.alpha)
        self.rewards.append(reward)
        if self.use_baseline:
            self.baseline = float(np.mean(self.rewards))


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    means = _v(means)
    _in(steps, 1, np.inf, False, "steps")
    _in(walk_sd, 0, np.inf, False, "walk_sd")
    actions, rewards = np.zeros(steps, dtype=int), np.zeros(steps)
    for i in range(steps):
        if i and walk_sd:
            means += rng.normal(size=len(means)) * walk_sd
        actions[i] = agent.select(i + 1, rng)
        rewards[i] = rng.normal(means[actions[i]], 1)
        agent.update(actions[i], rewards[i])
    return Trace(actions, rewards)


def pseudo_regret(means, actions):
    means, actions = _v(means), np.asarray(actions)
    if actions.ndim != 1 or np.any(actions < 0) or np.any(actions >= len(means)):
        raise ValueError("actions must be a vector of arms")
    return np.add.accumulate((np.max(means) - means).take(actions))


def random_walk(means, walk_sd, rng):
    means = _v(means)
    _in(walk_sd, 0, np.inf, False, "walk_sd")
    return rng.normal(loc=means, scale=walk_sd)
