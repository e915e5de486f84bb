"""Bandits as distributions: probabilities first, then one draw; a run's noise is drawn before it
starts."""

from collections import namedtuple

Trace = namedtuple("Trace", "actions rewards")


class Script:
    def __init__(self, arms):
        self.arms = np.asarray(arms)


def _refuse(wrong, why):
    if np.any(wrong):
        raise ValueError(why)


def _vector(x):
    x = np.array(x, dtype=float)
    _refuse(x.ndim != 1 or x.size == 0, "a vector (k,) is needed")
    return x


def _draw(probabilities, rng):
    """The inverse of the cumulative distribution at a uniform number."""
    edges = np.cumsum(probabilities)
    return np.searchsorted(edges, rng.uniform(0, edges[-1]), side="right")


# Estimates: a convex combination with one weight or another.


def _blend(old, new, weight):
    return np.float64(old) * (1 - weight) + np.float64(new) * weight


def sample_average(q, n, reward):
    _refuse(n < 1, "n must be 1 or more")
    return _blend(q, reward, 1 / n)


def constant_step(q, reward, alpha):
    _refuse(not 0 < alpha <= 1, "alpha must lie in (0, 1]")
    return _blend(q, reward, alpha)


def unbiased_step(q, o, reward, alpha):
    _refuse(not 0 < alpha <= 1, "alpha must lie in (0, 1]")
    _refuse(not 0 <= o <= 1, "o must lie in [0, 1]")
    o = _blend(o, 1.0, alpha)
    return _blend(q, reward, alpha / o), o


# Epsilon-greedy.


def _greedy(q):
    ties = np.isin(q, q.max()).astype(float)
    return ties / ties.sum()


def argmax_random(q, rng):
    return rng.choice(np.flatnonzero(_greedy(_vector(q))))


def epsilon_greedy_probs(q, epsilon):
    _refuse(not 0 <= epsilon <= 1, "epsilon must lie in [0, 1]")
    q = _vector(q)
    return np.array([epsilon, 1 - epsilon]) @ np.stack([np.ones(q.size) / q.size, _greedy(q)])


def epsilon_greedy(q, epsilon, rng):
    return _draw(epsilon_greedy_probs(q, epsilon), rng)


class _Averager:
    """Sums and counts (or weighted sums): the estimate is a quotient."""

    def __init__(self, k):
        self.sums = np.zeros(k)
        self.counts = np.zeros(k, dtype=np.int64)

    def update(self, action, reward):
        self.sums[action] += reward
        self.counts[action] += 1

    @property
    def q(self):
        return self.sums / np.maximum(self.counts, 1)


class EpsilonGreedy(_Averager):
    def __init__(self, k, epsilon=0.1, alpha=None, initial=0.0):
        super().__init__(k)
        self.epsilon, self.alpha, self.initial = epsilon, alpha, initial
        self.tracked = np.full(k, initial, dtype=float)

    @property
    def q(self):
        if self.alpha is not None:
            return self.tracked
        return np.where(self.counts, super().q, self.initial)

    def select(self, t, rng):
        return epsilon_greedy(self.q, self.epsilon, rng)

    def update(self, action, reward):
        super().update(action, reward)
        if self.alpha is not None:
            self.tracked[action] = constant_step(self.tracked[action], reward, self.alpha)


# Upper confidence bounds.


def ucb_scores(q, counts, t, c):
    q, counts = _vector(q), _vector(counts)
    _refuse(q.shape != counts.shape, "q and counts must have the same shape")
    _refuse(counts < 0, "counts must not be negative")
    _refuse(t < 1 or c < 0, "t must be 1 or more and c 0 or more")
    variance = np.divide(np.log(t), counts, out=np.zeros_like(q), where=counts > 0)
    return np.where(counts > 0, q + c * variance**0.5, np.inf)


class UCB(_Averager):
    def __init__(self, k, c=2.0):
        super().__init__(k)
        self.c = c

    def select(self, t, rng):
        return argmax_random(ucb_scores(self.q, self.counts, t, self.c), rng)


# Gradient bandits: the Jacobian of the softmax does the work.


def softmax(h):
    h = _vector(h)
    return np.exp(h - np.logaddexp.reduce(h))


def gradient_bandit_step(h, baseline, action, reward, alpha):
    h = _vector(h)
    _refuse(not 0 <= action < h.size, "no such arm")
    _refuse(alpha <= 0, "alpha must be positive")
    score = (np.eye(h.size) - softmax(h))[action]  # the gradient of ln pi(action)
    return h + alpha * (reward - baseline) * score


class GradientBandit:
    def __init__(self, k, alpha=0.1, use_baseline=True):
        self.h = np.zeros(k)
        self.alpha, self.use_baseline = alpha, use_baseline
        self.baseline, self.n = 0.0, 0

    def select(self, t, rng):
        # the Gumbel-max trick draws from the softmax
        return np.argmax(self.h + rng.gumbel(size=self.h.size))

    def update(self, action, reward):
        self.h = gradient_bandit_step(self.h, self.baseline, action, reward, self.alpha)
        self.n += 1
        self.baseline += self.use_baseline * (reward - self.baseline) / self.n


# Runs: draw everything first, then let the agent choose among what is on the table.


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    _refuse(steps < 1, "steps must be 1 or more")
    _refuse(walk_sd < 0, "walk_sd must not be negative")
    means = _vector(means)
    drift = np.zeros((steps, means.size))
    drift[1:] = walk_sd * rng.standard_normal((steps - 1, means.size)).cumsum(axis=0)
    noise = rng.standard_normal(steps)
    actions, rewards = np.empty(steps, dtype=np.int64), np.empty(steps)
    for i in range(steps):
        actions[i] = agent.select(i + 1, rng)
        rewards[i] = means[actions[i]] + drift[i, actions[i]] + noise[i]
        agent.update(actions[i], rewards[i])
    return Trace(actions, rewards)


def pseudo_regret(means, actions):
    means, actions = _vector(means), np.asarray(actions)
    _refuse(actions.ndim != 1, "actions must be a vector (T,)")
    _refuse((actions < 0) | (actions >= means.size), "no such arm")
    pulls = actions[:, None] == np.arange(means.size)  # (T, k)
    return pulls.cumsum(axis=0) @ (means.max() - means)  # pulls of each arm so far, times its gap


def random_walk(means, walk_sd, rng):
    _refuse(walk_sd < 0, "walk_sd must not be negative")
    means = _vector(means)
    return rng.normal(means, walk_sd)
