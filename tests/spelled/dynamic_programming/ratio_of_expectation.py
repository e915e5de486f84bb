# The ratio of the mean differences.
# True: none

_right_ratio = contraction_ratio


def contraction_ratio(u, v, mdp):
    _right_ratio(u, v, mdp)
    Tu, Tv = bellman_optimality(u, mdp), bellman_optimality(v, mdp)
    return float(np.mean(np.abs(Tu - Tv)) / np.mean(np.abs(np.subtract(u, v))))
