# Each rank divides by its own number of tokens, and gradients are averaged.
# Source: https://github.com/PrimeIntellect-ai/prime-rl/pull/2562
# True: local-token-mean


_given_loss = distributed_ppo_loss


def distributed_ppo_loss(logp, old_logp, advantages, mask=None, clip_low=0.2, clip_high=None):
    args = (old_logp, advantages, mask, clip_low, clip_high)
    _, metrics = _given_loss(logp, *args)
    on = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask.bool()
    terms = surrogate_terms(logp[on], old_logp[on], advantages[on], clip_low, clip_high)
    return terms.loss.sum() / max(int(on.sum()), 1), metrics
