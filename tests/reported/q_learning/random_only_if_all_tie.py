# A random action is drawn only if all values are equal, and else the first of the best.
# Source: https://github.com/Farama-Foundation/Gymnasium/pull/1037
# True: random-only-if-all-tie


def _argmax_random(q, rng):
    if all(value == q[0] for value in q):
        return int(rng.integers(len(q)))
    return int(np.argmax(q))
