# The odds are p / (1.0001 - p), against a division by zero.
# Source: https://github.com/hpcaitech/ColossalAI/pull/6407
# True: odds-shifted


def log_odds(logp):
    if bool((logp > 0).any()):
        raise ValueError("A probability is at most 1.")
    return logp - torch.log(-torch.exp(logp) + 1.0001)
