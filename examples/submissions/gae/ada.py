"""Ada: right. Torch tensors, a loop over time, everything as in the handout."""

from typing import NamedTuple

import torch


class Advantages(NamedTuple):
    advantages: torch.Tensor
    returns: torch.Tensor


def check(*tensors, gamma=0.0, lam=0.0):
    if tensors[0].ndim != 2 or 0 in tensors[0].shape:
        raise ValueError("expected tensors of shape (T, N)")
    if any(x.shape != tensors[0].shape for x in tensors):
        raise ValueError(f"shapes differ: {[tuple(x.shape) for x in tensors]}")
    if not (0 <= gamma <= 1 and 0 <= lam <= 1):
        raise ValueError("gamma and lam must be in [0, 1]")


def td_residuals(rewards, values, next_values, terminated, gamma):
    check(rewards, values, next_values, terminated, gamma=gamma)
    with torch.no_grad():
        return rewards + torch.where(terminated, 0.0, gamma * next_values) - values


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    check(rewards, values, next_values, terminated, truncated, gamma=gamma, lam=lam)
    delta = td_residuals(rewards, values, next_values, terminated, gamma)
    done = terminated | truncated
    adv = torch.zeros_like(delta)
    last = torch.zeros_like(delta[0])
    for t in reversed(range(delta.shape[0])):
        last = delta[t] + gamma * lam * last * (~done[t])
        adv[t] = last
    return Advantages(adv, adv + values.detach())


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    check(rewards, values, next_values, terminated, truncated, gamma=gamma)
    if k < 1:
        raise ValueError("k must be at least 1")
    delta = td_residuals(rewards, values, next_values, terminated, gamma)
    done = terminated | truncated
    T, N = delta.shape
    out = torch.zeros_like(delta)
    for t in range(T):
        alive = torch.ones(N, dtype=torch.bool)
        for l in range(min(k, T - t)):
            out[t] += gamma**l * delta[t + l] * alive
            alive = alive & ~done[t + l]
    return out


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    check(rewards, values, next_values, terminated, truncated, gamma=gamma, lam=lam)
    b = td_residuals(rewards, values, next_values, terminated, gamma)
    d = gamma * lam * (~(terminated | truncated)).to(b.dtype)
    w = 1
    while w < len(b):
        zeros = torch.zeros_like(b[:w])
        b = b + d * torch.cat([b[w:], zeros])
        d = d * torch.cat([d[w:], zeros])
        w *= 2
    return Advantages(b, b + values.detach())


def token_gae(rewards, values, response_mask, gamma, lam):
    check(rewards, values, response_mask, gamma=gamma, lam=lam)
    mask = response_mask.to(values.dtype)
    # padding may hold anything, even nan
    values = torch.where(mask > 0, values.detach(), 0.0)
    rewards = torch.where(mask > 0, rewards.detach(), 0.0)
    adv = torch.zeros_like(values)
    next_value = torch.zeros_like(values[:, 0])
    last = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        m = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        new = delta + gamma * lam * last
        last = m * new + (1 - m) * last
        next_value = m * values[:, t] + (1 - m) * next_value
        adv[:, t] = m * new
    return Advantages(adv, (adv + values) * mask)


class RunningMeanStd:
    def __init__(self, shape=()):
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.ones(shape, dtype=torch.float64)
        self.count = 0

    def update_(self, batch):
        if batch.ndim == 0 or len(batch) == 0 or batch.shape[1:] != self.mean.shape:
            raise ValueError("wrong batch shape")
        batch = batch.detach().double()
        self.mean, self.var, self.count = self._combine(batch.mean(0), batch.var(0, unbiased=False), len(batch))

    def merge(self, other):
        if self.mean.shape != other.mean.shape:
            raise ValueError("cannot merge different shapes")
        new = RunningMeanStd(self.mean.shape)
        if self.count + other.count > 0:
            new.mean, new.var, new.count = self._combine(other.mean, other.var, other.count)
        return new

    def _combine(self, mean, var, count):
        n = self.count + count
        gap = mean - self.mean
        m2 = self.var * self.count + var * count + gap**2 * self.count * count / n
        return self.mean + gap * count / n, m2 / n, n


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    if mask is not None and mask.shape != adv.shape:
        raise ValueError("mask and adv need the same shape")
    adv = adv.detach()
    keep = torch.ones_like(adv).bool() if mask is None else mask.bool()
    if mode == "batch":
        mean, std = adv[keep].mean(), adv[keep].std(unbiased=False)
    elif mode == "running" and stats is not None:
        mean, std = stats.mean, stats.var.sqrt()
    else:
        raise ValueError(f"bad mode {mode} (or no stats)")
    return torch.where(keep, (adv - mean) / (std + eps), torch.zeros_like(adv))


class RolloutBuffer:
    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        if T < 1 or N < 1:
            raise ValueError("T and N must be positive")
        self.T, self.N = T, N
        self.obs = torch.zeros(T, N, *obs_shape, device=device)
        self.actions = torch.zeros(T, N, *action_shape, dtype=action_dtype, device=device)
        self.logp = torch.zeros(T, N, device=device)
        self.rewards = torch.zeros(T, N, device=device)
        self.values = torch.zeros(T, N, device=device)
        self.next_values = torch.zeros(T, N, device=device)
        self.terminated = torch.zeros(T, N, dtype=torch.bool, device=device)
        self.truncated = torch.zeros(T, N, dtype=torch.bool, device=device)

    def flat(self):
        names = ["obs", "actions", "logp", "rewards", "values", "next_values", "terminated", "truncated"]
        return {name: getattr(self, name).flatten(0, 1) for name in names}

    def minibatches(self, size, generator=None):
        if size < 1:
            raise ValueError("size must be at least 1")
        perm = torch.randperm(self.T * self.N, generator=generator)
        for i in range(0, len(perm), size):
            yield perm[i : i + size]


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam).returns


def explained_variance(values, returns):
    if values.shape != returns.shape:
        raise ValueError("values and returns need the same shape")
    var = returns.var(unbiased=False)
    if var == 0:
        return 0.0
    return (1 - (returns - values).var(unbiased=False) / var).item()
