# The logarithm of the pulls is divided by the steps.
# Source: https://github.com/YelpArchive/MOE/issues/432
# True: none

_right_scores = ucb_scores


def ucb_scores(q, counts, t, c):
    _right_scores(q, counts, t, c)
    q, counts = as_vector(q, "q"), as_vector(counts, "counts")
    tried = counts > 0
    return np.where(tried, q + c * np.sqrt(np.log(np.where(tried, counts, 1)) / t), np.inf)
