# The first of the tied actions is in the urn twice.
# True: none


def _argmax_random(q, rng):
    return int(rng.choice(np.append(np.flatnonzero(q == q.max()), np.argmax(q))))
