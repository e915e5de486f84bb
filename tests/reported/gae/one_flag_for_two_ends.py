# One flag, terminated or truncated, masks the next value everywhere.
# Source: https://github.com/jsboige/CoursIA/pull/7825
# True: merged-done

_of_the_sum, _of_the_scan = gae, gae_scan
_of_k_steps, _of_lambda = k_step_advantage, lambda_returns


def _done(terminated, truncated):
    if terminated.shape != truncated.shape:
        raise ValueError("The two flags need one shape.")
    return torch.logical_or(terminated, truncated)


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    done = _done(terminated, truncated)
    return _of_the_sum(rewards, values, next_values, done, done, gamma, lam)


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    done = _done(terminated, truncated)
    return _of_the_scan(rewards, values, next_values, done, done, gamma, lam)


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    done = _done(terminated, truncated)
    return _of_k_steps(rewards, values, next_values, done, done, gamma, k)


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    done = _done(terminated, truncated)
    return _of_lambda(rewards, values, next_values, done, done, gamma, lam)
