# The recursion reads the advantage of its own row, which is still zero, and not of the next.
# Source: https://github.com/4kasha/CartPole_PPO/issues/1
# True: none


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    over = (terminated | truncated).double()
    advantages = torch.zeros_like(deltas)
    for t in range(len(deltas) - 1, -1, -1):
        advantages[t] = advantages[t] * lam * gamma * (1 - over[t]) + deltas[t]
    return Advantages(advantages, advantages + values.detach())
