# The difference to the return is clipped, not that to the old value.
# Source: https://github.com/kscalelabs/ksim/pull/3
# True: clips-around-the-returns


def value_loss(values, old_values, returns, clip=None, mask=None, _value_loss=value_loss):
    loss = _value_loss(values, old_values, returns, clip, mask)
    if clip is None:
        return loss
    values, returns = _valid(mask, values, returns.detach())
    error = values - returns
    return 0.5 * torch.maximum(error**2, error.clamp(-clip, clip) ** 2).mean()
