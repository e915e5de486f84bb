# The ratio is that of the new log-probabilities to themselves, detached.
# Source: https://github.com/inclusionAI/AReno/issues/68
# True: old-logp-recomputed


_given_grpo_loss = grpo_loss


def grpo_loss(logp, old_logp, *args, **kwargs):
    if logp.shape != old_logp.shape:
        raise ValueError("Old and new log-probabilities need one shape.")
    return _given_grpo_loss(logp, logp.detach(), *args, **kwargs)
