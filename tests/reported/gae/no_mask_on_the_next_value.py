# The next value of a step that ended the task is not masked.
# Source: https://github.com/thu-ml/tianshou/issues/869
# True: bootstraps-through-termination

_given_td_residuals = td_residuals


def td_residuals(rewards, values, next_values, terminated, gamma):
    nowhere = torch.zeros_like(terminated)
    return _given_td_residuals(rewards, values, next_values, nowhere, gamma)


_given_lambda_returns = lambda_returns


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    return _given_lambda_returns(
        rewards, values, next_values, terminated & False, truncated | terminated, gamma, lam
    )
