# The last of the tied arms comes up twice as often as the others.
# True: none


def argmax_random(q, rng):
    q = as_vector(q, "q")
    best = np.flatnonzero(q == q.max())
    return int(best[min(rng.integers(best.size + 1), best.size - 1)])
