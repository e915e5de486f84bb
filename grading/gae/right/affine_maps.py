"""GAE by composing maps A -> b + d * A with itertools.accumulate, column by column; statistics as
(count, sum, squares) of exact fractions."""

import itertools
from fractions import Fraction

import numpy as np


def demand(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def after(outer, inner):
    """The map A -> outer(inner(A)), each a pair (b, d)."""
    return outer[0] + outer[1] * inner[0], outer[1] * inner[1]


def backwards(b, d):
    """b[t] + d[t] * (b[t + 1] + d[t + 1] * (...)) for every t, along the first axis."""
    maps = zip(b[::-1], d[::-1], strict=True)
    composed = itertools.accumulate(maps, lambda inner, outer: after(outer, inner))
    return np.stack([constant for constant, _ in composed][::-1])


def unpacked(gamma, lam, *tensors):
    demand(0 <= gamma <= 1 and 0 <= lam <= 1, "discount and lambda are at least 0 and at most 1.")
    demand(tensors[0].ndim == 2 and min(tensors[0].shape) >= 1, "the rollout is empty or no matrix.")
    demand(len({tensor.shape for tensor in tensors}) == 1, "one shape for all, please.")
    return [tensor.detach().numpy() for tensor in tensors]


def errors(r, v, w, over, gamma):
    return np.where(over, r, r + gamma * np.where(over, 0, w)) - v


def td_residuals(rewards, values, next_values, terminated, gamma):
    return torch.as_tensor(errors(*unpacked(gamma, 0, rewards, values, next_values, terminated), gamma))


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    r, v, w, over, cut = unpacked(gamma, lam, rewards, values, next_values, terminated, truncated)
    found = backwards(errors(r, v, w, over, gamma), np.where(over | cut, 0.0, gamma * lam))
    return Advantages(torch.as_tensor(found), torch.as_tensor(found + v))


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam)


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    demand(k > 0, "no step is no advantage.")
    r, v, w, over, cut = unpacked(gamma, 0, rewards, values, next_values, terminated, truncated)
    deltas, going = errors(r, v, w, over, gamma), np.where(over | cut, 0.0, gamma)
    rows = [backwards(deltas[t : t + k], going[t : t + k])[0] for t in range(len(deltas))]
    return torch.as_tensor(np.stack(rows))


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    r, _, w, over, cut = unpacked(gamma, lam, rewards, values, next_values, terminated, truncated)
    w = np.where(over, 0.0, w)
    ends = over | cut
    ends[-1] = True
    constant = r + gamma * np.where(ends, w, (1 - lam) * w)
    return torch.as_tensor(backwards(constant, np.where(ends, 0.0, gamma * lam)))


def token_gae(rewards, values, response_mask, gamma, lam):
    r, v, mask = unpacked(gamma, lam, rewards, values, response_mask)
    found, returns = np.zeros_like(v), np.zeros_like(v)
    for row in range(len(v)):
        at = np.flatnonzero(mask[row])
        if at.size:
            deltas = r[row, at] + gamma * np.append(v[row, at[1:]], 0.0) - v[row, at]
            found[row, at] = backwards(deltas, np.full(at.size, gamma * lam))
            returns[row, at] = found[row, at] + v[row, at]
    return Advantages(torch.as_tensor(found), torch.as_tensor(returns))


class RunningMeanStd:
    def __init__(self, shape=()):
        self._shape, self.count = tuple(shape), 0
        size = int(np.prod(self._shape))
        self._sums, self._squares = [Fraction(0)] * size, [Fraction(0)] * size

    def _told(self, numbers):
        return torch.tensor([float(x) for x in numbers], dtype=torch.float64).reshape(self._shape)

    @property
    def mean(self):
        return self._told([x / max(self.count, 1) for x in self._sums])

    @property
    def var(self):
        if self.count == 0:
            return torch.ones(self._shape, dtype=torch.float64)
        pairs = zip(self._sums, self._squares, strict=True)
        return self._told([(q - s * s / self.count) / self.count for s, q in pairs])

    def update_(self, batch):
        demand(batch.ndim >= 1 and len(batch) > 0 and tuple(batch.shape[1:]) == self._shape, "not a batch of samples.")
        for row in batch.detach().double().reshape(len(batch), -1).tolist():
            exact = [Fraction(x) for x in row]
            self._sums = [a + b for a, b in zip(self._sums, exact, strict=True)]
            self._squares = [a + b * b for a, b in zip(self._squares, exact, strict=True)]
        self.count += len(batch)

    def merge(self, other):
        demand(self._shape == other._shape, "these statistics are about different things.")
        both = RunningMeanStd(self._shape)
        both.count = self.count + other.count
        both._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        both._squares = [a + b for a, b in zip(self._squares, other._squares, strict=True)]
        return both


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    demand(mask is None or mask.shape == adv.shape, "advantages and mask differ in shape.")
    demand(mode in {"batch", "running"}, "there are two modes.")
    demand(mode == "batch" or stats is not None, "which statistics?")
    x = np.ma.array(adv.detach().numpy(), mask=None if mask is None else ~mask.numpy().astype(bool))
    if x.count() == 0:
        return torch.zeros_like(adv.detach())
    mean, var = (x.mean(), x.var()) if mode == "batch" else (stats.mean.item(), stats.var.item())
    return torch.as_tensor(((x - mean) / (var**0.5 + eps)).filled(0.0), dtype=adv.dtype)


class RolloutBuffer:
    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        demand(T > 0 and N > 0, "the buffer would be empty.")
        self.T, self.N, self.device = T, N, torch.device(device)
        more = {"obs": tuple(obs_shape), "actions": tuple(action_shape)}
        for name in self.FIELDS:
            kind = torch.bool if name in ("terminated", "truncated") else torch.float32
            kind = action_dtype if name == "actions" else kind
            setattr(self, name, torch.zeros((T, N) + more.get(name, ()), dtype=kind, device=device))

    def flat(self):
        return {name: getattr(self, name).reshape((-1,) + getattr(self, name).shape[2:]) for name in self.FIELDS}

    def minibatches(self, size, generator=None):
        demand(size > 0, "how many rows?")
        rows = self.T * self.N
        sampler = torch.multinomial(torch.ones(rows), rows, replacement=False, generator=generator)
        for first in range(0, rows, size):
            yield sampler[first : first + size].to(self.device)


def explained_variance(values, returns):
    demand(values.shape == returns.shape, "values and returns differ in shape.")
    y, left = returns.detach().double().numpy(), (returns - values).detach().double().numpy()
    with np.errstate(all="ignore"):
        share = 1 - np.var(left) / np.var(y)
    return float(share) if np.ptp(y) > 0 else 0.0
