"""Chidi: right. NumPy inside, a matrix of weights instead of the scan, tensors only at the door."""

from collections import namedtuple

import numpy as np
import torch

Advantages = namedtuple("Advantages", ["advantages", "returns"])


def to_numpy(*tensors):
    arrays = [t.detach().numpy() for t in tensors]
    if arrays[0].ndim != 2 or min(arrays[0].shape) == 0:
        raise ValueError("I need two dimensions: time and environment.")
    if any(a.shape != arrays[0].shape for a in arrays):
        raise ValueError("All arrays need the same shape.")
    return arrays


def check_01(*numbers):
    if min(numbers) < 0 or max(numbers) > 1:
        raise ValueError("gamma and lambda are fractions, between 0 and 1.")


def td_residuals(rewards, values, next_values, terminated, gamma):
    check_01(gamma)
    r, v, nv, term = to_numpy(rewards, values, next_values, terminated)
    return torch.from_numpy(r + np.where(term > 0, 0.0, gamma * nv) - v)


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    check_01(gamma, lam)
    r, v, nv, term, trunc = to_numpy(rewards, values, next_values, terminated, truncated)
    deltas = r + np.where(term > 0, 0.0, gamma * nv) - v
    go_on = (1 - term) * (1 - trunc)
    adv = deltas.copy()
    for t in range(len(r) - 2, -1, -1):
        adv[t] += gamma * lam * go_on[t] * adv[t + 1]
    return Advantages(torch.from_numpy(adv), torch.from_numpy(adv + v))


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    if k < 1:
        raise ValueError("k counts steps: 1, 2, 3, ...")
    check_01(gamma)
    r, v, nv, term, trunc = to_numpy(rewards, values, next_values, terminated, truncated)
    deltas = r + np.where(term > 0, 0.0, gamma * nv) - v
    go_on = (1 - term) * (1 - trunc)
    total = deltas.copy()
    for _ in range(min(k, len(r)) - 1):
        shifted = np.vstack([total[1:], np.zeros_like(total[:1])])
        total = deltas + gamma * go_on * shifted
    return torch.from_numpy(total)


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    check_01(gamma, lam)
    r, v, nv, term, trunc = to_numpy(rewards, values, next_values, terminated, truncated)
    deltas = r + np.where(term > 0, 0.0, gamma * nv) - v
    T = len(r)
    done = (term | trunc).astype(int)
    episode = np.cumsum(done, axis=0) - done
    gap = np.arange(T)[None, :] - np.arange(T)[:, None]
    powers = np.where(gap >= 0, (gamma * lam) ** np.maximum(gap, 0), 0.0)
    adv = np.stack([(powers * (e[:, None] == e[None, :])) @ d for e, d in zip(episode.T, deltas.T)], axis=1)
    return Advantages(torch.from_numpy(adv), torch.from_numpy(adv + v))


def token_gae(rewards, values, response_mask, gamma, lam):
    check_01(gamma, lam)
    r, v, m = to_numpy(rewards, values, response_mask)
    adv = np.zeros_like(v)
    for b in range(len(r)):
        (where,) = np.nonzero(m[b])
        following_value = following_adv = 0.0
        for i in where[::-1]:
            following_adv = r[b, i] + gamma * following_value - v[b, i] + gamma * lam * following_adv
            following_value = v[b, i]
            adv[b, i] = following_adv
    return Advantages(torch.from_numpy(adv), torch.from_numpy(np.where(m != 0, adv + v, 0.0)))


class RunningMeanStd:
    """Keeps mean and M2 (sum of squared deviations), like Welford and Chan."""

    def __init__(self, shape=()):
        self.shape = tuple(shape)
        self.count = 0
        self._mean = np.zeros(shape)
        self._m2 = np.zeros(shape)

    @property
    def mean(self):
        return torch.as_tensor(self._mean, dtype=torch.float64)

    @property
    def var(self):
        return torch.as_tensor(self._m2 / self.count if self.count else np.ones(self.shape), dtype=torch.float64)

    def _add(self, mean, m2, n):
        if n == 0:
            return
        d = mean - self._mean
        total = self.count + n
        self._m2 = self._m2 + m2 + d**2 * self.count * n / total
        self._mean = self._mean + d * n / total
        self.count = total

    def update_(self, batch):
        x = batch.detach().numpy().astype(float)
        if x.ndim == 0 or len(x) == 0 or x.shape[1:] != self.shape:
            raise ValueError("This batch does not fit.")
        self._add(x.mean(0), ((x - x.mean(0)) ** 2).sum(0), len(x))

    def merge(self, other):
        if other.shape != self.shape:
            raise ValueError("Shapes do not fit.")
        out = RunningMeanStd(self.shape)
        out._add(self._mean, self._m2, self.count)
        out._add(other._mean, other._m2, other.count)
        return out


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    x = adv.detach().numpy()
    m = np.ones_like(x, dtype=bool) if mask is None else mask.numpy().astype(bool)
    if m.shape != x.shape:
        raise ValueError("The mask does not fit.")
    if mode == "batch":
        mean, std = (x[m].mean(), x[m].std()) if m.any() else (0.0, 1.0)
    elif mode == "running" and stats is not None:
        mean, std = stats.mean.item(), np.sqrt(stats.var.item())
    else:
        raise ValueError("Use batch, or running with stats.")
    return torch.from_numpy(np.where(m, (x - mean) / (std + eps), 0.0))


class RolloutBuffer:
    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        if T < 1 or N < 1:
            raise ValueError("There must be steps and environments.")
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
            raise ValueError("The size must be positive.")
        order = torch.randperm(self.T * self.N, generator=generator)
        for i in range(0, len(order), size):
            yield order[i : i + size]


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    check_01(gamma, lam)
    r, v, nv, term, trunc = to_numpy(rewards, values, next_values, terminated, truncated)
    out = np.zeros_like(r)
    G = nv[-1]
    for t in range(len(r) - 1, -1, -1):
        G = np.where(term[t] | trunc[t], nv[t], G)
        G = r[t] + np.where(term[t] > 0, 0.0, gamma * ((1 - lam) * nv[t] + lam * G))
        out[t] = G
    return torch.from_numpy(out)


def explained_variance(values, returns):
    v, r = values.detach().numpy(), returns.detach().numpy()
    if v.shape != r.shape:
        raise ValueError("The shapes differ.")
    return 0.0 if r.var() == 0 else float(1 - (r - v).var() / r.var())
