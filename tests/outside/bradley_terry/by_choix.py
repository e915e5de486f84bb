# choix: maximum likelihood of pairwise comparisons, with its derivatives.
# Needs: choix
# Conventions: none

import choix
from choix.opt import PairwiseFcts


def _games(wins):
    return [tuple(pair) for pair in np.argwhere(wins) for _ in range(int(wins[tuple(pair)]))]


def fit_bt(wins, tol=1e-8):
    table = _check_table(wins)
    if not tol > 0 or not is_connected(table):
        raise ValueError("The table has no maximum, or the tolerance is not positive.")
    return choix.mm_pairwise(len(table), _games(table), max_iter=100_000, tol=1e-12)


def log_likelihood(wins, theta):
    return float(choix.log_likelihood_pairwise(_games(_check_table(wins)), theta))


def bt_gradient_hessian(wins, theta):
    # Its functions are those of the negative log-likelihood.
    theirs = PairwiseFcts(_games(_check_table(wins)), 0.0)
    return Derivatives(-theirs.gradient(theta), -theirs.hessian(theta))
