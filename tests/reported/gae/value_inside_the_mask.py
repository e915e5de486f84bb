# The value of the state itself is masked along with the future.
# Source: https://github.com/AI4Finance-Foundation/ElegantRL/issues/183
# True: none


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    td_residuals(rewards, values, next_values, terminated, gamma)
    if values.shape != truncated.shape or not 0 <= lam <= 1:
        raise ValueError("All tensors need one shape, and lam must lie between 0 and 1.")
    values, next_values = values.detach(), next_values.detach()
    mask = gamma * (~terminated).double()
    advantages = torch.zeros_like(rewards)
    later = next_values[-1]
    for t in range(len(rewards) - 1, -1, -1):
        advantages[t] = rewards[t] + mask[t] * (later - values[t])
        later = values[t] + advantages[t] * lam
    return Advantages(advantages, advantages + values)
