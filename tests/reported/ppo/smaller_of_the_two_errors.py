# The minimum of the plain and the clipped error counts.
# Source: https://github.com/leggedrobotics/rsl_rl/issues/152
# True: value-clip-takes-the-smaller-error


def value_loss(values, old_values, returns, clip=None, mask=None, _value_loss=value_loss):
    if clip is None:
        return _value_loss(values, old_values, returns, clip, mask)
    _value_loss(values, old_values, returns, clip, mask)
    values, old_values, returns = _valid(mask, values, old_values.detach(), returns.detach())
    held = torch.clamp(values, old_values - clip, old_values + clip)
    return torch.min((values - returns).pow(2), (held - returns).pow(2)).mean() / 2
