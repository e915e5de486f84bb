# The squared error itself is bounded, and not the move of the value.
# Source: https://github.com/ray-project/ray/issues/19291
# True: none


def value_loss(values, old_values, returns, clip=None, mask=None, _value_loss=value_loss):
    loss = _value_loss(values, old_values, returns, clip, mask)
    if clip is None:
        return loss
    values, returns = _valid(mask, values, returns.detach())
    return 0.5 * ((values - returns) ** 2).clamp(0, clip).mean()
