# What is watched is the mean of the old estimate, the negative log-ratio.
# Source: https://github.com/DLR-RM/stable-baselines3/pull/419
# True: none


def _metrics(ratio, log_ratio, low, high, _metrics=_metrics):
    return _metrics(ratio, log_ratio, low, high) | {"approx_kl": -log_ratio.mean().item()}
