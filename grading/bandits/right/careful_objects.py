"""Bandits with an object for each arm, which keeps its own history; exact sums by math.fsum."""

import math
from collections import namedtuple

Trace = namedtuple("Trace", "actions rewards")


class Script:
    def __init__(self, arms):
        self._arms = tuple(int(arm) for arm in arms)

    def select(self, t, rng):
        return self._arms[t - 1]

    def update(self, action, reward):
        return None


def _vector(x, what):
    x = np.array(x, dtype="float64")
    if x.ndim != 1 or not len(x):
        raise ValueError(f"{what}: one number for each arm is needed")
    return x


def _between(x, low, high, what):
    if not low <= x <= high:
        raise ValueError(f"{what} must lie between {low} and {high}")


def _positive(x, what):
    if not x > 0:
        raise ValueError(f"{what} must be positive")


def sample_average(q, n, reward):
    _between(n, 1, math.inf, "n")
    if n == 1:
        return float(reward)
    return math.fsum([q, -q / n, reward / n])


def constant_step(q, reward, alpha):
    _positive(alpha, "alpha")
    _between(alpha, 0, 1, "alpha")
    return math.fsum([q, alpha * reward, -alpha * q])


def unbiased_step(q, o, reward, alpha):
    _positive(alpha, "alpha")
    _between(alpha, 0, 1, "alpha")
    _between(o, 0, 1, "o")
    before = (1 - alpha) * o
    after = before + alpha
    return (before * q + alpha * reward) / after, after


def _best_arms(q):
    best, arms = -math.inf, []
    for arm in range(len(q)):
        if q[arm] > best:
            best, arms = q[arm], []
        if q[arm] == best:
            arms.append(arm)
    return arms


def argmax_random(q, rng):
    arms = _best_arms(_vector(q, "q"))
    return arms[int(rng.random() * len(arms))]


def epsilon_greedy_probs(q, epsilon):
    _between(epsilon, 0, 1, "epsilon")
    arms, k = _best_arms(_vector(q, "q")), len(q)
    pi = np.zeros(k)
    for arm in range(k):
        pi[arm] = epsilon / k
        if arm in arms:
            pi[arm] += (1 - epsilon) / len(arms)
    return pi


def epsilon_greedy(q, epsilon, rng):
    _between(epsilon, 0, 1, "epsilon")
    if rng.random() >= epsilon:
        return argmax_random(q, rng)
    return int(rng.random() * len(q))


class _Arm:
    """The history of one arm."""

    def __init__(self, first):
        self.first, self.rewards, self.tracked = float(first), [], float(first)

    def pay(self, reward, alpha=None):
        self.rewards.append(float(reward))
        if alpha is not None:
            self.tracked += alpha * (reward - self.tracked)

    @property
    def mean(self):
        return math.fsum(self.rewards) / len(self.rewards) if self.rewards else self.first


class EpsilonGreedy:
    def __init__(self, k, epsilon=0.1, alpha=None, initial=0.0):
        self.epsilon, self.alpha = epsilon, alpha
        self._arms = [_Arm(initial) for _ in range(k)]

    @property
    def q(self):
        return np.array([arm.mean if self.alpha is None else arm.tracked for arm in self._arms])

    @property
    def counts(self):
        return np.array([len(arm.rewards) for arm in self._arms])

    def select(self, t, rng):
        return epsilon_greedy(self.q, self.epsilon, rng)

    def update(self, action, reward):
        self._arms[action].pay(reward, self.alpha)


def ucb_scores(q, counts, t, c):
    q, counts = _vector(q, "q"), _vector(counts, "counts")
    if len(q) != len(counts):
        raise ValueError("q and counts must be of one length")
    _between(min(counts), 0, math.inf, "a count")
    _between(t, 1, math.inf, "t")
    _between(c, 0, math.inf, "c")
    scores = []
    for value, n in zip(q, counts, strict=True):
        scores.append(math.inf if n == 0 else value + math.sqrt(c * c * math.log(t) / n))
    return np.array(scores)


class UCB:
    def __init__(self, k, c=2.0):
        self.c, self._arms = c, [_Arm(0.0) for _ in range(k)]

    q = property(lambda self: np.array([arm.mean for arm in self._arms]))
    counts = property(lambda self: np.array([len(arm.rewards) for arm in self._arms]))

    def select(self, t, rng):
        untried = [number for number, arm in enumerate(self._arms) if not arm.rewards]
        if untried:
            return untried[int(rng.integers(0, len(untried)))]
        return argmax_random(ucb_scores(self.q, self.counts, t, self.c), rng)

    def update(self, action, reward):
        self._arms[action].pay(reward)


def softmax(h):
    h = _vector(h, "h")
    highest = max(h)
    log_total = highest + math.log(math.fsum(math.exp(x - highest) for x in h))
    return np.array([math.exp(x - log_total) for x in h])


def gradient_bandit_step(h, baseline, action, reward, alpha):
    h = _vector(h, "h")
    if action < 0 or action >= len(h):
        raise ValueError("an arm that does not exist was pulled")
    _positive(alpha, "alpha")
    pi = softmax(h)
    for arm in range(len(h)):
        indicator = 1.0 if arm == action else 0.0
        h[arm] += alpha * (reward - baseline) * (indicator - pi[arm])
    return h


class GradientBandit:
    def __init__(self, k, alpha=0.1, use_baseline=True):
        self.h, self.alpha, self.use_baseline = np.zeros(k), alpha, use_baseline
        self._past = _Arm(0.0)

    @property
    def baseline(self):
        return self._past.mean if self.use_baseline else 0.0

    def select(self, t, rng):
        return int(rng.choice(np.arange(len(self.h)), p=softmax(self.h)))

    def update(self, action, reward):
        self.h = gradient_bandit_step(self.h, self.baseline, action, reward, self.alpha)
        self._past.pay(reward)


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    _between(steps, 1, math.inf, "steps")
    _between(walk_sd, 0, math.inf, "walk_sd")
    now, actions, rewards = _vector(means, "means"), [], []
    for t in range(1, steps + 1):
        action = int(agent.select(t, rng))
        reward = float(rng.normal(now[action]))
        agent.update(action, reward)
        actions, rewards = [*actions, action], [*rewards, reward]
        for arm in range(len(now) if walk_sd > 0 else 0):
            now[arm] += rng.normal(0.0, walk_sd)
    return Trace(np.array(actions, dtype=np.int64), np.array(rewards, dtype=np.float64))


def pseudo_regret(means, actions):
    means, actions = _vector(means, "means"), np.asarray(actions)
    if actions.ndim != 1:
        raise ValueError("actions must be a vector")
    regret = []
    for action in actions.tolist():
        _between(action, 0, len(means) - 1, "an action")
        regret.append((regret[-1] if regret else 0.0) + float(means.max() - means[action]))
    return np.array(regret)


def random_walk(means, walk_sd, rng):
    means = _vector(means, "means")
    _between(walk_sd, 0, math.inf, "walk_sd")
    for arm in range(len(means)):
        means[arm] += float(rng.standard_normal()) * walk_sd
    return means
