# UCB takes an estimate of exactly zero for an arm that was never tried.
# True: none

_right_scores = ucb_scores


def ucb_scores(q, counts, t, c):
    scores = _right_scores(q, counts, t, c)
    scores[np.asarray(q) == 0] = np.inf
    return scores
