# The returns add the values to a storage of zeros, not to the new advantages.
# Source: https://github.com/vwxyzjn/cleanrl/pull/337
# True: none

_given_gae = gae


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    storage = torch.zeros_like(rewards)
    advantages = _given_gae(rewards, values, next_values, terminated, truncated, gamma, lam)[0]
    return Advantages(advantages, storage + values.detach())
