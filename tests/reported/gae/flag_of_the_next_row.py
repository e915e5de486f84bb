# The flag of the following row masks both the next value and the recursion.
# Source: https://github.com/hill-a/stable-baselines/issues/385
# True: done-shifted


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    over = (terminated | truncated).double()
    over = torch.cat([over[1:], over[-1:]])
    values, next_values = values.detach(), next_values.detach()
    advantages = torch.zeros_like(rewards)
    last = torch.zeros_like(rewards[0])
    for step in range(len(rewards) - 1, -1, -1):
        goes_on = 1 - over[step]
        delta = rewards[step] + gamma * next_values[step] * goes_on - values[step]
        last = delta + gamma * lam * goes_on * last
        advantages[step] = last
    return Advantages(advantages, advantages + values)
