"""Bandits as short as NumPy allows: expressions in place of statements, one class for two agents."""

from collections import namedtuple

Trace = namedtuple("Trace", "actions, rewards")


class Script:
    def __init__(self, arms):
        self.arms, self.done = np.array(arms), 0

    def select(self, t, rng):
        return int(self.arms[t - 1])

    def update(self, action, reward):
        self.done += 1


def _ok(condition, *values):
    if not np.all(condition):
        raise ValueError(f"these values are out of range: {values}")


def _array(x):
    x = np.asarray(x, float) + 0.0
    _ok(x.ndim == 1 and x.size, x.shape)
    return x


def sample_average(q, n, reward):
    _ok(n > 0, n)
    return float(q - (q - reward) / n)


def constant_step(q, reward, alpha):
    _ok(alpha > 0 and alpha <= 1, alpha)
    return float(reward + (1 - alpha) * (q - reward))


def unbiased_step(q, o, reward, alpha):
    _ok(alpha > 0 and alpha <= 1 and o >= 0 and o <= 1, alpha, o)
    new = alpha + o - alpha * o
    return float(reward + (1 - alpha / new) * (q - reward)), float(new)


def _best(q):
    return np.nonzero(np.equal(q, np.max(q)))[0]


def argmax_random(q, rng):
    """The largest of random keys, among the best."""
    best = _best(_array(q))
    return int(best[np.argmax(rng.random(best.size))])


def epsilon_greedy_probs(q, epsilon):
    _ok(epsilon >= 0 and epsilon <= 1, epsilon)
    k = _array(q).size
    return np.bincount(_best(_array(q)), minlength=k) * (1 - epsilon) / _best(_array(q)).size + epsilon / k


def epsilon_greedy(q, epsilon, rng):
    return int(rng.choice(np.size(q), p=epsilon_greedy_probs(q, epsilon)))


class _Means:
    def update(self, action, reward):
        self.counts[action] += 1
        step = (1 / self.counts[action]) if self.alpha is None else self.alpha
        self.q[action] = (1 - step) * self.q[action] + step * reward


class EpsilonGreedy(_Means):
    def __init__(self, k, epsilon=0.1, alpha=None, initial=0.0):
        self.epsilon, self.alpha = epsilon, alpha
        self.q, self.counts = np.repeat(float(initial), k), np.repeat(0, k)

    def select(self, t, rng):
        greedy = rng.random() >= self.epsilon
        return int(rng.choice(_best(self.q) if greedy else self.q.size))


def ucb_scores(q, counts, t, c):
    q, counts = _array(q), _array(counts)
    _ok(q.shape == counts.shape, q.shape, counts.shape)
    _ok(counts >= 0, counts)
    _ok(t >= 1 and c >= 0, t, c)
    return np.where(counts == 0, np.inf, q + c * np.sqrt(np.log(t) / np.where(counts == 0, 1, counts)))


class UCB(_Means):
    def __init__(self, k, c=2.0):
        self.c, self.alpha = c, None
        self.q, self.counts = np.repeat(0.0, k), np.repeat(0, k)

    def select(self, t, rng):
        return argmax_random(ucb_scores(self.q, self.counts, t, self.c), rng)


def softmax(h):
    h = _array(h)
    return 1 / np.exp(h[None, :] - h[:, None]).sum(axis=1) if np.ptp(h) < 500 else _steep(h)


def _steep(h):
    e = np.exp(h - h.max())
    return e / e.sum()


def gradient_bandit_step(h, baseline, action, reward, alpha):
    h = _array(h)
    _ok(action in range(h.size) and alpha > 0, action, alpha)
    return h + alpha * (reward - baseline) * np.subtract(np.arange(h.size) == action, softmax(h), dtype=float)


class GradientBandit:
    def __init__(self, k, alpha=0.1, use_baseline=True):
        self.h, self.alpha, self.use_baseline, self.baseline, self.n = np.zeros(k), alpha, use_baseline, 0.0, 0

    def select(self, t, rng):
        return int(np.searchsorted(np.cumsum(softmax(self.h))[:-1], rng.random(), side="right"))

    def update(self, action, reward):
        self.h = gradient_bandit_step(self.h, self.baseline, action, reward, self.alpha)
        self.n += 1
        self.baseline = sample_average(self.baseline, self.n, reward) if self.use_baseline else 0.0


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    _ok(steps >= 1 and walk_sd >= 0, steps, walk_sd)
    means, history = _array(means), np.zeros((2, steps))
    for t, column in enumerate(history.T, start=1):
        column[0] = agent.select(t, rng)
        column[1] = means[int(column[0])] + rng.normal()
        agent.update(int(column[0]), float(column[1]))
        means = means if walk_sd == 0 else random_walk(means, walk_sd, rng)
    return Trace(history[0].astype(int), history[1].copy())


def pseudo_regret(means, actions):
    means, actions = _array(means), np.array(actions)
    _ok(actions.ndim == 1, actions.shape)
    _ok((actions >= 0) & (actions < means.size), actions)
    return np.cumsum(np.max(means) - np.take(means, actions))


def random_walk(means, walk_sd, rng):
    _ok(walk_sd >= 0, walk_sd)
    return np.array([m + step for m, step in zip(_array(means), rng.normal(0, walk_sd, len(means)), strict=True)])
