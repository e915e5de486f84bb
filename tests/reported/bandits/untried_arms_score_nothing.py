# An arm without pulls keeps the score 0.
# Source: https://github.com/fidelity/mabwiser/issues/10
# True: none

_given_scores = ucb_scores


def ucb_scores(q, counts, t, c):
    scores = _given_scores(q, counts, t, c)
    return np.where(np.asarray(counts) == 0, 0.0, scores)
