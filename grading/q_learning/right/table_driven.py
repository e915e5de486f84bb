"""An independent solution in a compact style: one backup rule for all algorithms, probabilities
drawn by inversion."""



def _rate(name, value, *, open_below=False):
    if value > 1.0 or value < 0.0 or (open_below and value == 0.0):
        raise ValueError(f"{name} is {value}, which lies outside of its range")


def _backup(r, q_next, weights, gamma, terminated):
    """Every target is a weighted mean of the next action values."""
    _rate("gamma", gamma)
    q_next, weights = np.asarray(q_next, dtype=float), np.asarray(weights, dtype=float)
    if q_next.ndim != 1 or weights.shape != q_next.shape:
        raise ValueError("the next action values and their weights must be two rows of one length")
    return float(r) if terminated else float(r + gamma * (weights @ q_next))


def _one_hot(a, size):
    return np.eye(size)[a]


def q_target(r, q_next, gamma, terminated):
    if np.ndim(q_next) != 1:
        raise ValueError("the next action values must be a row")
    return _backup(r, q_next, _one_hot(np.argmax(q_next), len(q_next)), gamma, terminated)


def sarsa_target(r, q_next, a_next, gamma, terminated):
    if np.ndim(q_next) != 1:
        raise ValueError("the next action values must be a row")
    return _backup(r, q_next, _one_hot(a_next, len(q_next)), gamma, terminated)


def expected_sarsa_target(r, q_next, pi_next, gamma, terminated):
    return _backup(r, q_next, pi_next, gamma, terminated)


def _nudge_(Q, s, a, target, alpha):
    _rate("alpha", alpha, open_below=True)
    delta = target - Q[s, a]
    np.add.at(Q, (s, a), alpha * delta)
    return delta


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    return _nudge_(Q, s, a, q_target(r, Q[s2], gamma, terminated), alpha)


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    if Q1.shape != Q2.shape:
        raise ValueError("the tables must be alike")
    chooser, judge = rng.permutation([0, 1])
    tables = (Q1, Q2)
    pick = _draw(_soft(tables[chooser][s2], 0.0), rng)
    return _nudge_(tables[chooser], s, a, sarsa_target(r, tables[judge][s2], pick, gamma, terminated), alpha)


def _soft(q, epsilon):
    ties = np.isclose(q, np.max(q), rtol=0.0, atol=0.0)
    return (1.0 - epsilon) * ties / ties.sum() + epsilon / len(q)


def _draw(pi, rng):
    return int(min(np.searchsorted(np.cumsum(pi), rng.random(), side="right"), np.flatnonzero(pi)[-1]))


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    if algo not in {"q_learning", "sarsa", "expected_sarsa", "double_q"}:
        raise ValueError(f"unknown algorithm {algo}")
    if episodes <= 0:
        raise ValueError("the number of episodes must be positive")
    _rate("alpha", alpha, open_below=True)
    _rate("gamma", gamma)
    pair = np.zeros((2, int(env.observation_space.n), int(env.action_space.n)))
    Q, returns = pair[0], np.zeros(episodes)
    for episode in range(episodes):
        epsilon = float(epsilon_fn(episode))
        _rate("epsilon", epsilon)
        options = {"seed": seed} if episode == 0 else {}
        s, _ = env.reset(**options)
        a = _draw(_soft(pair[:, s].sum(axis=0), epsilon), rng)
        over = False
        while not over:
            s2, r, terminated, truncated, _ = env.step(a)
            over = terminated or truncated
            returns[episode] += r
            if algo == "double_q":
                double_q_update_(pair[0], pair[1], s, a, r, s2, terminated, alpha, gamma, rng)
            elif algo == "q_learning":
                q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma)
            else:
                pi = _soft(Q[s2], epsilon)
                a2 = _draw(pi, rng)
                weights = _one_hot(a2, len(pi)) if algo == "sarsa" else pi
                _nudge_(Q, s, a, _backup(r, Q[s2], weights, gamma, terminated), alpha)
            if algo != "sarsa" and not over:
                a2 = _draw(_soft(pair[:, s2].sum(axis=0), epsilon), rng)
            if not over:
                s, a = s2, a2
    return Result(pair.mean(axis=0) if algo == "double_q" else Q.copy(), returns)


class Discretizer:
    def __init__(self, low, high, bins, clip=4.0):
        if not (np.shape(low) == np.shape(high) == np.shape(bins) and np.ndim(low) == 1):
            raise ValueError("low, high and bins must be rows of one length")
        if np.min(bins) < 1 or not (np.isfinite(clip) and clip > 0):
            raise ValueError("there must be bins, and a positive value in place of infinity")
        bounds = np.array([low, high], dtype=float)
        self._low, high = np.where(np.isfinite(bounds), bounds, np.sign(bounds) * clip)
        self._width = (high - self._low) / np.asarray(bins)
        if np.any(self._width <= 0):
            raise ValueError("some dimension has no width")
        self._bins = tuple(int(n) for n in bins)

    @property
    def n_states(self):
        return int(np.prod(self._bins))

    def encode(self, obs):
        obs = np.asarray(obs, dtype=float)
        if obs.shape != self._low.shape:
            raise ValueError("the observation must have one number for each dimension")
        digits = np.clip(np.floor((obs - self._low) / self._width), 0, np.array(self._bins) - 1)
        return int(np.ravel_multi_index(digits.astype(int), self._bins))
