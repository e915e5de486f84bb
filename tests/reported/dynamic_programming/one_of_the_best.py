# Of several best actions one gets all the probability.
# Source: https://github.com/dennybritz/reinforcement-learning/issues/212
# True: first-of-ties


def greedy(q, tol=1e-9):
    q = np.asarray(q, dtype=float)
    if q.ndim != 2 or not tol >= 0:
        raise ValueError("greedy needs a table and a tolerance.")
    pi = np.zeros_like(q)
    for s, row in enumerate(q):
        pi[s, int(np.argmax(row))] = 1.0
    return pi
