# Ties share only if all actions tie.
# True: none


def greedy(q, tol=1e-9):
    q = np.asarray(q, dtype=float)
    if q.ndim != 2 or not tol >= 0:
        raise ValueError("greedy needs a table and a tolerance.")
    pi = np.eye(q.shape[1])[q.argmax(axis=1)]
    pi[np.ptp(q, axis=1) <= tol] = 1 / q.shape[1]
    return pi
