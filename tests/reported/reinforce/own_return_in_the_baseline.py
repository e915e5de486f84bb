# The mean of the batch, the sample itself included, is the baseline.
# Source: https://github.com/jsboige/CoursIA/pull/15256
# True: baseline-includes-itself


def leave_one_out_baseline(returns):
    if returns.ndim != 1 or len(returns) < 2:
        raise ValueError("At least two returns are needed.")
    return torch.full_like(returns, float(returns.detach().mean()))
