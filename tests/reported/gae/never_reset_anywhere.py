# No sum is cut where an episode ends: the mask was forgotten in all three places.
# Source: https://github.com/walkinglabs/hands-on-modern-rl/issues/63
# True: leaks-past-the-end


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    running, rows = 0.0, []
    for delta in deltas.flip(0):
        running = running * gamma * lam + delta
        rows.insert(0, running)
    advantages = torch.stack(rows)
    return Advantages(advantages, advantages + values.detach())


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    if values.shape != truncated.shape or not 0 <= lam <= 1:
        raise ValueError("All tensors need one shape, and lam must lie between 0 and 1.")
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    t = torch.arange(len(deltas))
    ahead = t[None, :] - t[:, None]
    weights = torch.where(ahead >= 0, (gamma * lam) ** ahead.clamp(min=0).double(), 0.0)
    advantages = (weights @ deltas.double()).to(deltas.dtype)
    return Advantages(advantages, advantages + values.detach())


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    if k < 1:
        raise ValueError("k counts steps and must be 1 or more.")
    if values.shape != truncated.shape:
        raise ValueError("All tensors need one shape.")
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    rows = []
    for t in range(len(deltas)):
        window = deltas[t : t + k]
        rows.append(sum(gamma**i * row for i, row in enumerate(window)))
    return torch.stack(rows)


_given_lambda_returns = lambda_returns


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    _given_lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam)
    next_values = next_values.detach()
    total, rows = next_values[-1], []
    for t in range(len(rewards) - 1, -1, -1):
        ahead = (1 - lam) * next_values[t] + lam * total
        total = rewards[t] + gamma * ahead.masked_fill(terminated[t], 0.0)
        rows.insert(0, total)
    return torch.stack(rows)
