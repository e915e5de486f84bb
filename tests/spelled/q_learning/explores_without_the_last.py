# Exploring leaves out the last action.
# True: none


def _epsilon_greedy(q, epsilon, rng):
    if rng.random() < epsilon:
        return int(rng.integers(q.size - 1))
    return _argmax_random(q, rng)
