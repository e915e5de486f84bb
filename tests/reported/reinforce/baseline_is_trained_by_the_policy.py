# The baseline is not detached, so that the policy loss trains it too.
# Source: https://github.com/ChenRocks/fast_abs_rl/issues/49
# True: weights-keep-their-gradient


def policy_gradient_loss(logp, weights, mask=None, gamma=1.0, discount_state_weight=False):
    _check_unit_interval("gamma", gamma)
    if weights.shape != logp.shape:
        raise ValueError("weights and logp must have one shape.")
    valid = _valid(logp, mask)
    if not valid.any():
        raise ValueError("No step is valid.")
    if discount_state_weight:
        powers = gamma ** torch.arange(len(logp)).to(weights.dtype)
        weights = weights * powers.view(-1, *[1] * (logp.ndim - 1))
    return -torch.where(valid, weights * logp, 0.0).sum() / valid.any(0).sum()
