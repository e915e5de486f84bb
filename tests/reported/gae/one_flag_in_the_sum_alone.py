# The vectorised sum masks the next value with done instead of terminated; the loop is right.
# Source: https://github.com/pytorch/rl/pull/2773
# True: merged-done


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    if values.shape != truncated.shape:
        raise ValueError("All tensors need one shape.")
    return gae(rewards, values, next_values, terminated | truncated, truncated, gamma, lam)
