# The logarithm is that of the pulls of this arm, not that of the steps.
# Source: https://github.com/google-deepmind/open_spiel/issues/19
# True: none

_right_scores = ucb_scores


def ucb_scores(q, counts, t, c):
    _right_scores(q, counts, t, c)
    q, counts = as_vector(q, "q"), as_vector(counts, "counts")
    n = np.where(counts > 0, counts, 1.0)
    return np.where(counts > 0, q + c * np.sqrt(np.log(n) / n), np.inf)
