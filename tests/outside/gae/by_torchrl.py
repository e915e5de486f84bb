# torchrl's estimators of advantages and of lambda-returns, its loops and its scans.
# Needs: torchrl
# Conventions: none

from torchrl.objectives.value import functional as theirs

_given_gae = gae


def _columns_first(x):
    return x.detach().T.unsqueeze(-1)


def _rows_first(x):
    return x.squeeze(-1).T


def _ends(terminated, truncated):
    ended, final = terminated.bool() | truncated.bool(), terminated.bool()
    return {"done": _columns_first(ended), "terminated": _columns_first(final)}


def _estimate(estimator, rewards, values, next_values, terminated, truncated, gamma, lam):
    _given_gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    # It multiplies by zero where nothing follows, and nan stays nan.
    following = next_values.detach().masked_fill(terminated.bool(), 0.0)
    state, after, reward = map(_columns_first, (values, following, rewards))
    found = estimator(gamma, lam, state, after, reward, **_ends(terminated, truncated))
    return Advantages(*map(_rows_first, found))


def gae(*arguments):
    return _estimate(theirs.generalized_advantage_estimate, *arguments)


def gae_scan(*arguments):
    return _estimate(theirs.vec_generalized_advantage_estimate, *arguments)


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    _given_gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    following = next_values.detach().masked_fill(terminated.bool(), 0.0)
    after, reward = map(_columns_first, (following, rewards))
    ends = _ends(terminated, truncated)
    return _rows_first(theirs.td_lambda_return_estimate(gamma, lam, after, reward, **ends))
