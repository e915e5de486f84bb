# A random arm is drawn only if all estimates are equal, and else the first of the best.
# Source: https://github.com/Farama-Foundation/Gymnasium/pull/1037
# True: random-only-if-all-tie


def argmax_random(q, rng):
    q = as_vector(q, "q")
    if np.all(q == q[0]):
        return int(rng.integers(q.size))
    return int(np.argmax(q))
