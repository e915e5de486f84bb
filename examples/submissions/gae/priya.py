"""Priya: the first two parts are written and right, the rest is still to come."""

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
        return rewards + gamma * next_values * (~terminated) - values


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
    raise NotImplementedError("TODO(scan): gae_scan")


def token_gae(rewards, values, response_mask, gamma, lam):
    raise NotImplementedError("TODO(tokens): token_gae")


class RunningMeanStd:
    def __init__(self, shape=()):
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.ones(shape, dtype=torch.float64)
        self.count = 0

    def update_(self, batch):
        raise NotImplementedError("TODO(statistics): update_")

    def merge(self, other):
        raise NotImplementedError("TODO(statistics): merge")


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    raise NotImplementedError("TODO(statistics): normalize_advantages")


class RolloutBuffer:
    def __init__(self, T, N, obs_shape, device="cpu"):
        raise NotImplementedError("TODO(buffer): allocate the eight fields")


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    raise NotImplementedError("TODO(returns): lambda_returns")


def explained_variance(values, returns):
    raise NotImplementedError("TODO(returns): explained_variance")
