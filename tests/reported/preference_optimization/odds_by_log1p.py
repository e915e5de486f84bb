# log(1 - p) is log1p(-exp(log p)), which cancels where p is nearly 1.
# Source: https://github.com/huggingface/trl/issues/2564
# True: odds-lose-digits, odds-of-certainty


def log_odds(logp):
    if bool((logp > 0).any()):
        raise ValueError("A probability is at most 1.")
    return logp - torch.log1p(-torch.exp(logp))
