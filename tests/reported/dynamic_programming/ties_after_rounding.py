# Values are rounded to five digits before they are compared.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/issues/83
# True: none


def greedy(q, tol=1e-9):
    q = np.asarray(q, dtype=float)
    if q.ndim != 2 or not tol >= 0:
        raise ValueError("greedy needs a table and a tolerance.")
    rounded = np.round(q, 5)
    ties = rounded >= rounded.max(axis=1, keepdims=True) - tol
    return ties / ties.sum(axis=1, keepdims=True)
