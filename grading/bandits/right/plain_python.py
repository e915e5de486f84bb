"""Bandits with lists, loops and the math module; NumPy only where arrays are asked for."""

import math


class Script:
    def __init__(self, arms):
        self.arms = iter(list(arms))

    def select(self, t, rng):
        return next(self.arms)

    def update(self, action, reward):
        return None


def _numbers(x, name):
    if np.ndim(x) != 1 or len(x) == 0:
        raise ValueError(f"{name} should be a vector with at least one entry")
    return [float(v) for v in x]


def _probability(p, name):
    if p < 0 or p > 1:
        raise ValueError(f"{name} is a probability, {p} is none")


def _step_size(alpha):
    if alpha <= 0 or alpha > 1:
        raise ValueError(f"a step size of {alpha} lies outside (0, 1]")


# 1 ---------------------------------------------------------------------------------------


def sample_average(q, n, reward):
    if n < 1:
        raise ValueError("the first pull has the number 1")
    return ((n - 1) * float(q) + float(reward)) / n


def constant_step(q, reward, alpha):
    _step_size(alpha)
    return (1 - alpha) * float(q) + alpha * float(reward)


def unbiased_step(q, o, reward, alpha):
    _step_size(alpha)
    _probability(o, "the trace")
    # The weighted sum of rewards is q * o: decay it, add the newest reward, divide by the new
    # weight.
    weight = (1 - alpha) * o + alpha
    return ((1 - alpha) * o * q + alpha * reward) / weight, weight


# 2 ---------------------------------------------------------------------------------------


def argmax_random(q, rng):
    """Reservoir sampling: the n-th arm that ties with the best replaces the choice with probability
    1/n."""
    choice, best, ties = 0, -math.inf, 0
    for arm, value in enumerate(_numbers(q, "q")):
        if value > best:
            choice, best, ties = arm, value, 1
        elif value == best:
            ties += 1
            if rng.random() * ties < 1:
                choice = arm
    return choice


def epsilon_greedy(q, epsilon, rng):
    _probability(epsilon, "epsilon")
    return int(rng.integers(len(q))) if rng.random() < epsilon else argmax_random(q, rng)


def epsilon_greedy_probs(q, epsilon):
    _probability(epsilon, "epsilon")
    q = _numbers(q, "q")
    winners = q.count(max(q))
    return np.array([epsilon / len(q) + ((1 - epsilon) / winners if v == max(q) else 0.0) for v in q])


class EpsilonGreedy:
    def __init__(self, k, epsilon=0.1, alpha=None, initial=0.0):
        self.epsilon, self.alpha = epsilon, alpha
        self._q, self._n = [float(initial)] * k, [0] * k

    @property
    def q(self):
        return np.array(self._q)

    @property
    def counts(self):
        return np.array(self._n)

    def select(self, t, rng):
        return epsilon_greedy(self._q, self.epsilon, rng)

    def update(self, action, reward):
        self._n[action] += 1
        step = 1 / self._n[action] if self.alpha is None else self.alpha
        self._q[action] = constant_step(self._q[action], reward, step)


# 3 ---------------------------------------------------------------------------------------


def ucb_scores(q, counts, t, c):
    q, counts = _numbers(q, "q"), _numbers(counts, "counts")
    if len(q) != len(counts):
        raise ValueError("every arm has one estimate and one count")
    if min(counts) < 0 or t < 1 or c < 0:
        raise ValueError("counts, c and t - 1 are not negative")
    pairs = zip(q, counts, strict=True)
    return np.array([v + c * math.sqrt(math.log(t) / n) if n > 0 else math.inf for v, n in pairs])


class UCB:
    def __init__(self, k, c=2.0):
        self.c = c
        self.q, self.counts = np.zeros(k), np.zeros(k, dtype=int)

    def select(self, t, rng):
        untried = [arm for arm, n in enumerate(self.counts) if n == 0]
        if untried:
            return int(rng.choice(untried))
        return argmax_random(ucb_scores(self.q, self.counts, t, self.c), rng)

    def update(self, action, reward):
        total = self.q[action] * self.counts[action] + reward
        self.counts[action] += 1
        self.q[action] = total / self.counts[action]


# 4 ---------------------------------------------------------------------------------------


def softmax(h):
    h = _numbers(h, "h")
    weights = [math.exp(x - max(h)) for x in h]
    return np.array([w / sum(weights) for w in weights])


def gradient_bandit_step(h, baseline, action, reward, alpha):
    pi = softmax(h)
    if action not in range(len(pi)):
        raise ValueError(f"there is no arm {action}")
    if alpha <= 0:
        raise ValueError("the step size must be positive")
    surprise = reward - baseline
    new = []
    for arm, x in enumerate(h):
        if arm == action:
            new.append(float(x) + alpha * surprise * (1 - pi[arm]))
        else:
            new.append(float(x) - alpha * surprise * pi[arm])
    return np.array(new)


class GradientBandit:
    def __init__(self, k, alpha=0.1, use_baseline=True):
        self.alpha, self.use_baseline = alpha, use_baseline
        self.h, self._past = np.zeros(k), []

    @property
    def baseline(self):
        return sum(self._past) / len(self._past) if self._past and self.use_baseline else 0.0

    def select(self, t, rng):
        """Walk along the cumulative probabilities until they pass a uniform number."""
        u, total = rng.random(), 0.0
        for arm, p in enumerate(softmax(self.h)):
            total += p
            if u < total:
                return arm
        return len(self.h) - 1

    def update(self, action, reward):
        self.h = gradient_bandit_step(self.h, self.baseline, action, reward, self.alpha)
        self._past.append(float(reward))


# 5 ---------------------------------------------------------------------------------------


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    if steps < 1:
        raise ValueError("a run has at least one step")
    if walk_sd < 0:
        raise ValueError("a standard deviation is not negative")
    now, history = _numbers(means, "means"), []
    for t in range(steps):
        action = agent.select(t + 1, rng)
        reward = now[action] + rng.standard_normal()
        agent.update(action, reward)
        history.append((action, reward))
        if walk_sd:
            now = [m + walk_sd * rng.standard_normal() for m in now]
    actions, rewards = zip(*history, strict=True)
    return Trace(np.array(actions), np.array(rewards))


def pseudo_regret(means, actions):
    means = _numbers(means, "means")
    if np.ndim(actions) != 1:
        raise ValueError("actions should be a vector")
    total, regret = 0.0, []
    for action in actions:
        if not 0 <= action < len(means):
            raise ValueError(f"there is no arm {action}")
        total += max(means) - means[action]
        regret.append(total)
    return np.array(regret)


# 6 ---------------------------------------------------------------------------------------


def random_walk(means, walk_sd, rng):
    if walk_sd < 0:
        raise ValueError("a standard deviation is not negative")
    return np.array([rng.normal(m, walk_sd) for m in _numbers(means, "means")])
