# The list of returns is turned round inside the loop.
# Source: https://github.com/PacktPublishing/Tensorflow-2-Reinforcement-Learning-Cookbook/issues/27
# True: none


def discounted_returns(rewards, gamma, mask=None, _returns=discounted_returns):
    _returns(rewards, gamma, mask)
    valid = _valid(rewards, mask)
    rewards = torch.where(valid, rewards.detach(), 0.0)
    later, found = torch.zeros_like(rewards[0]), []
    for t in reversed(range(len(rewards))):
        later = rewards[t] + gamma * later
        found.append(later)
        found.reverse()
    return torch.where(valid, torch.stack(found), 0.0)
