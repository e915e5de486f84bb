# Each reward is discounted alone; nothing is summed.
# Source: https://github.com/hunkim/ReinforcementZeroToAll/issues/1
# True: none


def discounted_returns(rewards, gamma, mask=None, _returns=discounted_returns):
    _returns(rewards, gamma, mask)
    valid = _valid(rewards, mask)
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)
    powers = powers.view(-1, *[1] * (rewards.ndim - 1))
    return torch.where(valid, rewards.detach() * powers, 0.0)
