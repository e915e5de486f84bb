# The best action is searched from 0; otherwise all are best.
# True: none


def greedy(q, tol=1e-9):
    q = np.asarray(q, dtype=float)
    if q.ndim != 2 or not tol >= 0:
        raise ValueError("greedy needs a table and a tolerance.")
    ties = q >= np.maximum(q.max(axis=1, keepdims=True), 0.0) - tol
    ties[~ties.any(axis=1)] = True
    return ties / ties.sum(axis=1, keepdims=True)
