# The running sum is not set back where an episode ends.
# Source: https://github.com/vietnh1009/Super-mario-bros-PPO-pytorch/issues/21
# True: leaks-past-the-end


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    running, rows = 0.0, []
    for delta in deltas.flip(0):
        running = running * gamma * lam + delta
        rows.insert(0, running)
    advantages = torch.stack(rows)
    return Advantages(advantages, advantages + values.detach())
