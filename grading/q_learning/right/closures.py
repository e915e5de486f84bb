"""Training by closures: each algorithm is a function that says what the next state is worth."""

from collections import namedtuple

Result = namedtuple("Result", "Q returns")


def _verify(**values):
    """Discounts and exploration rates from 0 to 1, step sizes above 0."""
    for name, value in values.items():
        if not 0 <= value <= 1 or (name == "alpha" and not value):
            raise ValueError(f"{name} must not be {value}")


def _vector(x, name):
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"{name} must be a row of a table")
    return x


def expected_sarsa_target(r, q_next, pi_next, gamma, terminated):
    _verify(gamma=gamma)
    q, pi = _vector(q_next, "q_next"), _vector(pi_next, "pi_next")
    if q.size != pi.size:
        raise ValueError("pi_next must have as many entries as q_next")
    return float(r + gamma * (1 - bool(terminated)) * np.einsum("a,a->", pi, q))


def q_target(r, q_next, gamma, terminated):
    q = _vector(q_next, "q_next")
    return expected_sarsa_target(r, q, _greedy(q), gamma, terminated)


def sarsa_target(r, q_next, a_next, gamma, terminated):
    q = _vector(q_next, "q_next")
    chosen = np.zeros_like(q)
    chosen[a_next] = 1.0
    return expected_sarsa_target(r, q, chosen, gamma, terminated)


def _greedy(q):
    ties = (np.max(q) - q) == 0
    return ties / np.count_nonzero(ties)


def _policy(q, epsilon):
    return np.add(epsilon * np.full(len(q), 1 / len(q)), (1 - epsilon) * _greedy(q))


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    _verify(alpha=alpha, gamma=gamma)
    delta = q_target(r, Q[s2, :], gamma, terminated) - Q[s, a]
    Q[s, a] = np.interp(alpha, [0, 1], [Q[s, a], Q[s, a] + delta])
    return float(delta)


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    _verify(alpha=alpha, gamma=gamma)
    if Q1.shape != Q2.shape:
        raise ValueError("one table is larger than the other")
    pair = [Q1, Q2]
    learner = pair.pop(int(rng.integers(2)))
    best = int(rng.choice(np.arange(learner.shape[1]), p=_greedy(learner[s2])))
    delta = sarsa_target(r, pair[0][s2], best, gamma, terminated) - learner[s, a]
    learner[s, a] += alpha * delta
    return float(delta)


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    if algo not in ALGORITHMS:
        raise ValueError(f"choose one of {ALGORITHMS}, not {algo}")
    if episodes < 1:
        raise ValueError("zero episodes teach nothing")
    _verify(alpha=alpha, gamma=gamma)
    n, m = int(env.observation_space.n), int(env.action_space.n)
    tables = {name: np.zeros((n, m)) for name in ("A", "B")}
    A, B = tables.values()
    rate = 0.0

    def behave(s):
        q = A[s] + B[s] if algo == "double_q" else A[s]
        return int(rng.choice(m, p=_policy(q, rate)))

    def learn(s, a, r, s2, a2, terminated):
        if algo == "double_q":
            return double_q_update_(A, B, s, a, r, s2, terminated, alpha, gamma, rng)
        weights = {
            "q_learning": lambda: _greedy(A[s2]),
            "sarsa": lambda: np.eye(m)[a2],
            "expected_sarsa": lambda: _policy(A[s2], rate),
        }[algo]()
        target = expected_sarsa_target(r, A[s2], weights, gamma, terminated)
        A[s, a] += alpha * (target - A[s, a])
        return None

    def play(s):
        a, total, over = behave(s), 0.0, False
        while not over:
            s2, r, terminated, truncated, _ = env.step(a)
            a2 = behave(s2) if algo == "sarsa" else None
            learn(s, a, r, s2, a2, terminated)
            total, over = total + r, terminated or truncated
            s, a = s2, a2 if algo == "sarsa" else behave(s2)
        return total

    returns = np.empty(episodes)
    for number in range(episodes):
        rate = float(epsilon_fn(number))
        _verify(epsilon=rate)
        start, _ = env.reset(seed=seed) if number == 0 else env.reset(seed=None)
        returns[number] = play(start)
    return Result((A + B) / (2 if algo == "double_q" else 1), returns)


class Discretizer:
    def __init__(self, low, high, bins, clip=4.0):
        low, high, bins = np.array(low, float), np.array(high, float), np.array(bins)
        if low.ndim != 1 or low.size == 0 or low.shape != high.shape or low.shape != bins.shape:
            raise ValueError("three vectors of one length are needed")
        if (bins < 1).any() or not clip > 0 or np.isinf(clip):
            raise ValueError("bins and clip must be positive")
        low[np.isneginf(low)] = -clip
        high[np.isposinf(high)] = clip
        if (high <= low).any():
            raise ValueError("the box is empty")
        self.low, self.high, self.bins = low, high, bins.astype(int)
        self.n_states = int(self.bins.prod())
        self.weights = np.append(np.cumprod(self.bins[::-1])[::-1][1:], 1)

    def encode(self, obs):
        obs = np.asarray(obs, dtype=float)
        if obs.shape != self.low.shape:
            raise ValueError("obs must have one number for each dimension")
        cut = np.minimum(np.maximum(obs, self.low), self.high)
        digits = np.floor(self.bins * (cut - self.low) / (self.high - self.low)).astype(int)
        return int(np.minimum(digits, self.bins - 1) @ self.weights)
