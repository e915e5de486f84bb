"""GAE as signal processing: each episode is filtered backwards by a one-pole filter, in NumPy and
SciPy."""

from collections import namedtuple

import numpy as np
from scipy.signal import lfilter

Advantages = namedtuple("Advantages", "advantages returns")


def _numpy(*tensors):
    arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
    if arrays[0].ndim != 2 or arrays[0].size == 0:
        raise ValueError(f"expected a matrix, got shape {arrays[0].shape}.")
    if len({array.shape for array in arrays}) > 1:
        raise ValueError(f"the shapes {[array.shape for array in arrays]} differ.")
    return arrays


def _fraction(*numbers):
    for number in numbers:
        if number < 0 or number > 1:
            raise ValueError(f"{number} is not between 0 and 1.")


def discounted_sums(x, factor):
    """y[t] = x[t] + factor * y[t + 1], along the first axis."""
    return lfilter([1.0], [1.0, -factor], x[::-1], axis=0)[::-1]


def episodes(ended):
    """(column, start, stop) of every piece of an episode in the rollout."""
    for n in range(ended.shape[1]):
        stops = [*(np.flatnonzero(ended[:, n]) + 1), len(ended)]
        for start, stop in zip([0, *stops[:-1]], stops, strict=True):
            if start < stop:
                yield n, start, stop


def td_residuals(rewards, values, next_values, terminated, gamma):
    _fraction(gamma)
    r, v, w, over = _numpy(rewards, values, next_values, terminated)
    return torch.from_numpy(r + gamma * np.where(over, 0.0, w) - v)


def _filtered(rewards, values, next_values, terminated, truncated, gamma, decay):
    ended = np.logical_or(*_numpy(terminated, truncated))
    deltas = td_residuals(rewards, values, next_values, terminated, gamma).numpy()
    out = np.empty_like(deltas)
    for n, start, stop in episodes(ended):
        out[start:stop, n] = discounted_sums(deltas[start:stop, n], decay)
    return out, deltas, ended


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    _fraction(gamma, lam)
    out, _, _ = _filtered(rewards, values, next_values, terminated, truncated, gamma, gamma * lam)
    return Advantages(torch.from_numpy(out), torch.from_numpy(out + values.detach().numpy()))


def gae_scan(*arguments):
    return gae(*arguments)


def lambda_returns(*arguments):
    return gae(*arguments).returns


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    if k < 1:
        raise ValueError("at least one step is needed.")
    _fraction(gamma)
    # the sum over everything, minus what lies k steps ahead in the same episode
    whole, _, ended = _filtered(rewards, values, next_values, terminated, truncated, gamma, gamma)
    out = whole.copy()
    for n, start, stop in episodes(ended):
        if stop - start > k:
            out[start : stop - k, n] -= gamma**k * whole[start + k : stop, n]
    return torch.from_numpy(out)


def token_gae(rewards, values, response_mask, gamma, lam):
    _fraction(gamma, lam)
    r, v, mask = _numpy(rewards, values, response_mask)
    out = np.zeros_like(v)
    for row, chosen in enumerate(mask.astype(bool)):
        if chosen.any():
            kept = v[row, chosen]
            deltas = r[row, chosen] + gamma * np.append(kept[1:], 0.0) - kept
            out[row, chosen] = discounted_sums(deltas, gamma * lam)
    return Advantages(torch.from_numpy(out), torch.from_numpy(np.where(mask, out + v, 0.0)))


class RunningMeanStd:
    """Keeps the first two moments about the very first sample, in extended care of digits."""

    def __init__(self, shape=()):
        self._shape = tuple(shape)
        self._mean, self._var = np.zeros(self._shape), np.ones(self._shape)
        self.count = 0

    mean = property(lambda self: torch.from_numpy(np.array(self._mean)))
    var = property(lambda self: torch.from_numpy(np.array(self._var)))

    def _take(self, mean, var, count):
        if count == 0:
            return
        total = self.count + count
        a, b = self.count / total, count / total
        joint = a * self._mean + b * mean
        self._var = a * (self._var + (self._mean - joint) ** 2) + b * (var + (mean - joint) ** 2)
        self._mean, self.count = joint, total

    def update_(self, batch):
        x = batch.detach().numpy().astype(np.float64)
        if x.ndim == 0 or len(x) == 0 or x.shape[1:] != self._shape:
            raise ValueError(f"a batch of shape {x.shape} does not fit {self._shape}.")
        self._take(x.mean(axis=0), x.var(axis=0), len(x))

    def merge(self, other):
        if other._shape != self._shape:
            raise ValueError("the two shapes differ.")
        result = RunningMeanStd(self._shape)
        result._take(self._mean, self._var, self.count)
        result._take(other._mean, other._var, other.count)
        return result


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    x = adv.detach().numpy()
    valid = np.ones(x.shape, dtype=bool) if mask is None else mask.numpy().astype(bool)
    if valid.shape != x.shape:
        raise ValueError("mask and advantages differ in shape.")
    if mode == "batch":
        mean, std = (x[valid].mean(), x[valid].std()) if valid.any() else (0.0, 1.0)
    elif mode == "running":
        if stats is None:
            raise ValueError("running mode needs stats.")
        mean, std = float(stats.mean), float(stats.var) ** 0.5
    else:
        raise ValueError(f"there is no mode {mode}.")
    return torch.from_numpy(np.where(valid, (x - mean) / (std + eps), 0.0).astype(x.dtype))


class RolloutBuffer:
    """NumPy owns the memory; the tensors look into it."""

    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        if min(T, N) < 1:
            raise ValueError("T and N must be at least 1.")
        self._rows = T * N
        self.obs = torch.from_numpy(np.zeros((T, N, *obs_shape), np.float32))
        self.actions = torch.zeros(T, N, *action_shape, dtype=action_dtype)
        for name in ("logp", "rewards", "values", "next_values"):
            setattr(self, name, torch.from_numpy(np.zeros((T, N), np.float32)))
        for name in ("terminated", "truncated"):
            setattr(self, name, torch.from_numpy(np.zeros((T, N), bool)))

    def flat(self):
        fields = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return {name: value.flatten(0, 1) for name, value in fields.items()}

    def minibatches(self, size, generator=None):
        if size < 1:
            raise ValueError("the size must be at least 1.")
        order = torch.randperm(self._rows, generator=generator)
        for start in range(0, self._rows, size):
            yield order[start : start + size]


def explained_variance(values, returns):
    v, r = values.detach().numpy(), returns.detach().numpy()
    if v.shape != r.shape:
        raise ValueError("values and returns differ in shape.")
    return 0.0 if np.ptp(r) == 0 else float(1 - np.var(r - v) / np.var(r))
