# Every step is weighted with the return of the first one.
# Source: https://github.com/udacity/deep-reinforcement-learning/issues/42
# True: no-reward-to-go


def discounted_returns(rewards, gamma, mask=None, _returns=discounted_returns):
    first = _returns(rewards, gamma, mask)[:1]
    return torch.where(_valid(rewards, mask), first.expand_as(rewards), 0.0)
