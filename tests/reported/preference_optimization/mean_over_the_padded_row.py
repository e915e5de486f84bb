# The mean of a row's log-probabilities is taken over the padded width.
# Source: https://github.com/jingyaogong/minimind/issues/298
# True: mean-over-the-width


def sequence_logprobs(logp, mask, average=False):
    if logp.ndim != 2 or logp.shape != mask.shape or not mask.bool().any(1).all():
        raise ValueError("Two tables of one shape, and a response in each row.")
    masked = torch.where(mask.bool(), logp, torch.zeros_like(logp))
    return masked.mean(dim=1) if average else masked.sum(dim=1)
