"""An agent class for each algorithm, with one training loop that asks the agent when to choose."""

from abc import ABC, abstractmethod
from typing import NamedTuple


class Result(NamedTuple):
    Q: np.ndarray
    returns: np.ndarray


def _ensure(ok, text):
    if not ok:
        raise ValueError(text)


def _ensure_row(q_next):
    q_next = np.asarray(q_next)
    _ensure(q_next.ndim == 1 and len(q_next) > 0, "q_next must be one row of a table")
    return q_next


def _bootstrapped(r, value, gamma, terminated):
    _ensure(0.0 <= gamma <= 1.0, "gamma must lie between 0 and 1")
    return float(r + gamma * value) if not terminated else float(r)


def q_target(r, q_next, gamma, terminated):
    return _bootstrapped(r, np.amax(_ensure_row(q_next)), gamma, terminated)


def sarsa_target(r, q_next, a_next, gamma, terminated):
    row = _ensure_row(q_next)
    return _bootstrapped(r, 0.0 if terminated else row[a_next], gamma, terminated)


def expected_sarsa_target(r, q_next, pi_next, gamma, terminated):
    row, pi = _ensure_row(q_next), np.asarray(pi_next)
    _ensure(row.shape == pi.shape, "there must be a probability for each action")
    return _bootstrapped(r, np.sum(row * pi), gamma, terminated)


def _toward_(Q, s, a, target, alpha):
    _ensure(0.0 < alpha <= 1.0, "alpha must be above 0, and 1 at most")
    error = float(target - Q[s, a])
    Q[s, a] = Q[s, a] + alpha * error
    return error


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    return _toward_(Q, s, a, q_target(r, Q[s2].copy(), gamma, terminated), alpha)


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    _ensure(np.shape(Q1) == np.shape(Q2), "the tables have different shapes")
    if rng.binomial(1, 0.5):
        return _double_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng)
    return _double_(Q2, Q1, s, a, r, s2, terminated, alpha, gamma, rng)


def _double_(learner, judge, s, a, r, s2, terminated, alpha, gamma, rng):
    best = _one_of_the_best(learner[s2], rng)
    return _toward_(learner, s, a, sarsa_target(r, judge[s2], best, gamma, terminated), alpha)


def _one_of_the_best(q, rng):
    shuffled = rng.permutation(len(q))
    return int(shuffled[np.argmax(np.asarray(q)[shuffled])])


class _Learner(ABC):
    looks_ahead = False

    def __init__(self, shape, alpha, gamma, rng):
        self.Q, self.alpha, self.gamma, self.rng = np.zeros(shape), alpha, gamma, rng
        self.epsilon = 0.0

    def values(self, s):
        return self.Q[s]

    def choose(self, s):
        q = self.values(s)
        if self.rng.uniform() >= self.epsilon:
            return _one_of_the_best(q, self.rng)
        return int(self.rng.integers(0, len(q)))

    @abstractmethod
    def learn(self, s, a, r, s2, a2, terminated): ...

    def table(self):
        return self.Q


class _QLearner(_Learner):
    def learn(self, s, a, r, s2, a2, terminated):
        q_learning_update_(self.Q, s, a, r, s2, terminated, self.alpha, self.gamma)


class _Sarsa(_Learner):
    looks_ahead = True

    def learn(self, s, a, r, s2, a2, terminated):
        _toward_(self.Q, s, a, sarsa_target(r, self.Q[s2], a2, self.gamma, terminated), self.alpha)


class _ExpectedSarsa(_Learner):
    def learn(self, s, a, r, s2, a2, terminated):
        row = self.Q[s2]
        pi = np.full(len(row), self.epsilon / len(row))
        best = np.flatnonzero(row == row.max())
        pi[best] += (1 - self.epsilon) / len(best)
        target = expected_sarsa_target(r, row, pi, self.gamma, terminated)
        _toward_(self.Q, s, a, target, self.alpha)


class _DoubleQ(_Learner):
    def __init__(self, shape, alpha, gamma, rng):
        super().__init__(shape, alpha, gamma, rng)
        self.other = np.zeros(shape)

    def values(self, s):
        return self.Q[s] + self.other[s]

    def learn(self, s, a, r, s2, a2, terminated):
        rates = self.alpha, self.gamma, self.rng
        double_q_update_(self.Q, self.other, s, a, r, s2, terminated, *rates)

    def table(self):
        return 0.5 * (self.Q + self.other)


LEARNERS = {"q_learning": _QLearner, "sarsa": _Sarsa, "expected_sarsa": _ExpectedSarsa, "double_q": _DoubleQ}


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    _ensure(algo in LEARNERS, f"{algo} is not an algorithm")
    _ensure(episodes >= 1, "episodes must be positive")
    _ensure(0.0 < alpha <= 1.0 and 0.0 <= gamma <= 1.0, "alpha or gamma is out of range")
    learner = LEARNERS[algo]((int(env.observation_space.n), int(env.action_space.n)), alpha, gamma, rng)
    returns = []
    for number in range(episodes):
        learner.epsilon = epsilon_fn(number)
        _ensure(0.0 <= learner.epsilon <= 1.0, "epsilon is out of range")
        s, _ = env.reset(seed=seed) if number == 0 else env.reset()
        returns.append(sum(_steps(env, learner, s)))
    return Result(learner.table(), np.asarray(returns, dtype=float))


def _steps(env, learner, s):
    """The rewards of one episode."""
    a, over = learner.choose(s), False
    while not over:
        s2, r, terminated, truncated, _ = env.step(a)
        over = terminated or truncated
        a2 = learner.choose(s2) if learner.looks_ahead and not terminated else None
        learner.learn(s, a, r, s2, a2, terminated)
        yield float(r)
        if not over:
            s, a = s2, learner.choose(s2) if a2 is None else a2


class Discretizer:
    def __init__(self, low, high, bins, clip=4.0):
        sizes = {np.shape(low), np.shape(high), np.shape(bins)}
        _ensure(len(sizes) == 1 and len(sizes.pop()) == 1, "low, high and bins must be vectors of one length")
        _ensure(all(int(n) > 0 for n in bins), "there must be a bin in each dimension")
        _ensure(clip > 0 and clip < float("inf"), "clip must be positive")
        self.bins = tuple(map(int, bins))
        self.cuts = []
        for lo, hi, n in zip(low, high, self.bins, strict=True):
            lo = -clip if lo == -np.inf else lo
            hi = clip if hi == np.inf else hi
            _ensure(lo < hi, "a dimension is empty")
            self.cuts.append([lo + (hi - lo) * i / n for i in range(1, n)])
        self.n_states = int(np.prod(self.bins))

    def encode(self, obs):
        _ensure(np.shape(obs) == (len(self.bins),), "the observation has a wrong shape")
        digits = [sum(x >= cut for cut in cuts) for x, cuts in zip(obs, self.cuts, strict=True)]
        return int(np.ravel_multi_index(digits, self.bins))
