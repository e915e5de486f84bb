# With probability epsilon any action, else a draw from the epsilon-greedy probabilities.
# Source: https://github.com/TonghanWang/DOP/issues/21
# True: none

_right_choice = _epsilon_greedy


def _epsilon_greedy(q, epsilon, rng):
    if rng.random() < epsilon:
        return int(rng.integers(q.size))
    return _right_choice(q, epsilon, rng)
