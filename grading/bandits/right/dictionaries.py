"""Bandits with dictionaries: one record for each arm, and draws by shuffling or by a threshold."""

from collections import defaultdict, namedtuple
from math import exp, fsum, inf, log, sqrt

Trace = namedtuple("Trace", ["actions", "rewards"])


class Script:
    def __init__(self, arms):
        self.plan = dict(enumerate(arms, start=1))

    def select(self, t, rng):
        return int(self.plan[t])

    def update(self, action, reward):
        pass


def _check(ok, text):
    if not ok:
        raise ValueError(text)


def _arms(x):
    """{arm: number}"""
    _check(np.ndim(x) == 1 and np.size(x), "a vector with one number for each arm is needed")
    return {arm: float(value) for arm, value in enumerate(x)}


def sample_average(q, n, reward):
    _check(n >= 1, "the pull that paid counts too: n is 1 at least")
    return q * (n - 1) / n + reward / n if n > 1 else float(reward)


def constant_step(q, reward, alpha):
    _check(0 < alpha <= 1, "alpha must be above 0 and 1 at most")
    error = reward - q
    return float(q + alpha * error)


def unbiased_step(q, o, reward, alpha):
    _check(0 < alpha <= 1, "alpha must be above 0 and 1 at most")
    _check(0 <= o <= 1, "the trace must lie between 0 and 1")
    o += alpha * (1 - o)
    return constant_step(q, reward, min(alpha / o, 1.0)), float(o)


def _winners(values):
    groups = defaultdict(list)
    for arm, value in values.items():
        groups[value].append(arm)
    return groups[max(groups)]


def argmax_random(q, rng):
    winners = _winners(_arms(q))
    rng.shuffle(winners)
    return winners[0]


def epsilon_greedy_probs(q, epsilon):
    _check(0 <= epsilon <= 1, "epsilon must be a probability")
    values = _arms(q)
    chances = dict.fromkeys(values, epsilon / len(values))
    winners = _winners(values)
    for arm in winners:
        chances[arm] += (1 - epsilon) / len(winners)
    return np.fromiter(chances.values(), dtype=float)


def epsilon_greedy(q, epsilon, rng):
    _check(0 <= epsilon <= 1, "epsilon must be a probability")
    explore = rng.binomial(1, epsilon)
    return int(rng.choice(len(q))) if explore else argmax_random(q, rng)


class _Counting:
    def __init__(self, k, first):
        self._q = dict.fromkeys(range(k), float(first))
        self._n = dict.fromkeys(range(k), 0)

    q = property(lambda self: np.array(list(self._q.values())))
    counts = property(lambda self: np.array(list(self._n.values())))

    def _count(self, action):
        self._n[int(action)] += 1
        return self._n[int(action)]


class EpsilonGreedy(_Counting):
    def __init__(self, k, epsilon=0.1, alpha=None, initial=0.0):
        super().__init__(k, initial)
        self.epsilon, self.alpha = epsilon, alpha

    def select(self, t, rng):
        return epsilon_greedy(self.q, self.epsilon, rng)

    def update(self, action, reward):
        n, action = self._count(action), int(action)
        if self.alpha:
            self._q[action] = constant_step(self._q[action], reward, self.alpha)
        else:
            self._q[action] = sample_average(self._q[action], n, reward)


def ucb_scores(q, counts, t, c):
    values, pulls = _arms(q), _arms(counts)
    _check(len(values) == len(pulls), "as many counts as estimates are needed")
    _check(all(n >= 0 for n in pulls.values()), "counts are not negative")
    _check(t >= 1, "steps are counted from 1")
    _check(c >= 0, "c is not negative")
    return np.array([inf if not pulls[a] else values[a] + c * sqrt(log(t) / pulls[a]) for a in values])


class UCB(_Counting):
    def __init__(self, k, c=2.0):
        super().__init__(k, 0.0)
        self.c = c

    def select(self, t, rng):
        return argmax_random(ucb_scores(self.q, self.counts, t, self.c), rng)

    def update(self, action, reward):
        n = self._count(action)
        self._q[int(action)] = sample_average(self._q[int(action)], n, reward)


def softmax(h):
    prefs = _arms(h)
    top = max(prefs.values())
    weights = {arm: exp(x - top) for arm, x in prefs.items()}
    total = fsum(weights.values())
    return np.array([w / total for w in weights.values()])


def gradient_bandit_step(h, baseline, action, reward, alpha):
    pi, prefs = softmax(h), _arms(h)
    _check(action in prefs, f"there is no arm {action}")
    _check(alpha > 0, "alpha must be positive")
    push = alpha * (reward - baseline)
    new = {arm: x - push * pi[arm] for arm, x in prefs.items()}
    new[int(action)] += push
    return np.array(list(new.values()))


class GradientBandit:
    def __init__(self, k, alpha=0.1, use_baseline=True):
        self.h, self.alpha, self.use_baseline = np.zeros(k), alpha, use_baseline
        self._total, self._n = 0.0, 0

    @property
    def baseline(self):
        return self._total / self._n if self._n and self.use_baseline else 0.0

    def select(self, t, rng):
        return int(rng.multinomial(1, softmax(self.h)).argmax())

    def update(self, action, reward):
        self.h = gradient_bandit_step(self.h, self.baseline, action, reward, self.alpha)
        self._total, self._n = self._total + reward, self._n + 1


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    _check(steps >= 1, "there must be a step at least")
    _check(walk_sd >= 0, "walk_sd is not negative")
    now, trace, t = _arms(means), [], 0
    while len(trace) < steps:
        t += 1
        arm = int(agent.select(t, rng))
        reward = float(rng.normal(loc=now[arm]))
        agent.update(arm, reward)
        trace.append((arm, reward))
        if walk_sd > 0:
            for other in now:
                now[other] += float(rng.normal(scale=walk_sd))
    return Trace(np.array([a for a, _ in trace]), np.array([r for _, r in trace]))


def pseudo_regret(means, actions):
    values = _arms(means)
    _check(np.ndim(actions) == 1, "actions must be a vector")
    chosen = [int(a) for a in actions]
    _check(set(chosen) <= set(values), "an arm that does not exist was pulled")
    best, total, out = max(values.values()), 0.0, []
    for arm in chosen:
        total += best - values[arm]
        out.append(total)
    return np.asarray(out, dtype=float)


def random_walk(means, walk_sd, rng):
    _check(walk_sd >= 0, "walk_sd is not negative")
    values = np.fromiter(_arms(means).values(), float)
    return values + walk_sd * rng.standard_normal(values.shape)
