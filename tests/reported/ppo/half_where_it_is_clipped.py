# The factor one half is there with clipping only.
# Source: https://github.com/ikostrikov/pytorch-a2c-ppo-acktr-gail/issues/135
# True: value-loss-without-half


def value_loss(values, old_values, returns, clip=None, mask=None, _value_loss=value_loss):
    loss = _value_loss(values, old_values, returns, clip, mask)
    return 2 * loss if clip is None else loss
