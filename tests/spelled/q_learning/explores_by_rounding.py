# A uniform number is rounded to the action that explores.
# True: none


def _epsilon_greedy(q, epsilon, rng):
    if rng.random() < epsilon:
        return round(rng.uniform(0, q.size - 1))
    return _argmax_random(q, rng)
