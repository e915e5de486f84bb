# The first of the tied arms is in the urn twice.
# True: none


def argmax_random(q, rng):
    q = as_vector(q, "q")
    urn = np.append(np.flatnonzero(q == q.max()), np.argmax(q))
    return int(rng.choice(urn))
