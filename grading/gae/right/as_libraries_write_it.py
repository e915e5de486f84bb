"""GAE as the widely used libraries write it: next_non_terminal, last_gae_lam, one step after the
other, and the value of the next state read off the row below wherever nothing has ended."""

import numpy as np


def checked(*tensors, **numbers):
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) != 1 or len(min(shapes)) != 2 or 0 in min(shapes):
        raise ValueError(f"one shape (T, N) is expected, not {sorted(shapes)}.")
    for name, number in numbers.items():
        if number < 0 or number > 1:
            raise ValueError(f"{name} = {number} is not in [0, 1].")
    return [tensor.detach() for tensor in tensors]


def true_next(values, next_values, terminated, truncated):
    """The row below, or next_values where that belongs to another episode; 0 after the end."""
    below = torch.cat([values[1:], next_values[-1:]])
    return torch.where(terminated.bool(), 0.0, torch.where(truncated.bool(), next_values, below))


def td_residuals(rewards, values, next_values, terminated, gamma):
    r, v, w, over = checked(rewards, values, next_values, terminated, gamma=gamma)
    return r + gamma * w.masked_fill(over.bool(), 0.0) - v


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    r, v, w, over, cut = checked(rewards, values, next_values, terminated, truncated, gamma=gamma, lam=lam)
    w = true_next(v, w, over, cut)
    next_non_terminal = 1.0 - (over.bool() | cut.bool()).to(r.dtype)
    advantages, last_gae_lam = torch.zeros_like(r), 0.0
    for step in reversed(range(r.shape[0])):
        delta = r[step] + gamma * w[step] - v[step]
        last_gae_lam = delta + gamma * lam * next_non_terminal[step] * last_gae_lam
        advantages[step] = last_gae_lam
    return Advantages(advantages, advantages + v)


def gae_scan(*args):
    return gae(*args)


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    if k < 1:
        raise ValueError("look at least one step ahead.")
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    checked(deltas, truncated)
    ended = terminated.bool() | truncated.bool()
    total, weight = torch.zeros_like(deltas), torch.ones_like(deltas)
    for ahead in range(min(k, len(deltas))):
        rows = len(deltas) - ahead
        total[:rows] += weight[:rows] * deltas[ahead:]
        weight[:rows] *= gamma * ~ended[ahead:]
    return total


def lambda_returns(*args):
    return gae(*args).returns


def token_gae(rewards, values, response_mask, gamma, lam):
    r, v, mask = checked(rewards, values, response_mask, gamma=gamma, lam=lam)
    advantages = torch.zeros_like(v)
    for row, chosen in enumerate(mask.bool()):
        last_gae_lam = next_value = 0.0
        for place in chosen.nonzero().flatten().flip(0):
            delta = r[row, place] + gamma * next_value - v[row, place]
            last_gae_lam = delta + gamma * lam * last_gae_lam
            advantages[row, place], next_value = last_gae_lam, v[row, place]
    return Advantages(advantages, torch.where(mask.bool(), advantages + v, 0.0))


class RunningMeanStd:
    def __init__(self, shape=()):
        self.mean, self.var, self.count = torch.zeros(shape).double(), torch.ones(shape).double(), 0

    def update_(self, batch):
        if batch.ndim == 0 or batch.shape[0] == 0 or batch.shape[1:] != self.mean.shape:
            raise ValueError(f"samples of shape {tuple(self.mean.shape)} are expected.")
        x = batch.detach().double().numpy()
        self.update_from_moments(x.mean(axis=0), x.var(axis=0), len(x))

    def update_from_moments(self, mean, var, count):
        delta, total = torch.as_tensor(mean) - self.mean, self.count + count
        m2 = self.var * self.count + torch.as_tensor(var) * count + delta**2 * self.count * count / total
        self.mean, self.var, self.count = self.mean + delta * count / total, m2 / total, total

    def merge(self, other):
        if self.mean.shape != other.mean.shape:
            raise ValueError("statistics of different shapes cannot be merged.")
        result = RunningMeanStd(tuple(self.mean.shape))
        for part in (self, other):
            if part.count:
                result.update_from_moments(part.mean, part.var, part.count)
        return result


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    valid = np.ones(adv.shape, bool) if mask is None else mask.numpy().astype(bool)
    if valid.shape != tuple(adv.shape):
        raise ValueError("mask and advantages have different shapes.")
    x = adv.detach().numpy()
    if mode not in ("batch", "running") or (mode == "running" and stats is None):
        raise ValueError(f"{mode} is no mode, or its statistics are missing.")
    result = np.zeros_like(x)
    if valid.any():
        mean, std = (x[valid].mean(), x[valid].std()) if mode == "batch" else (float(stats.mean), float(stats.var) ** 0.5)
        result[valid] = (x[valid] - mean) / (std + eps)
    return torch.from_numpy(result)


class RolloutBuffer:
    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        if min(T, N) < 1:
            raise ValueError("no room for a single step.")
        self.T, self.N, self.device = T, N, torch.device(device)
        floats = {"obs": obs_shape, "logp": (), "rewards": (), "values": (), "next_values": ()}
        for name, shape in floats.items():
            setattr(self, name, torch.zeros((T, N, *shape), device=device))
        self.actions = torch.zeros((T, N, *action_shape), dtype=action_dtype, device=device)
        self.terminated = torch.zeros((T, N), dtype=torch.bool, device=device)
        self.truncated = torch.zeros_like(self.terminated)

    def flat(self):
        return {name: getattr(self, name).flatten(0, 1) for name in self.FIELDS}

    def minibatches(self, size, generator=None):
        if size < 1:
            raise ValueError("a minibatch has a row at least.")
        indices, start = torch.randperm(self.T * self.N, generator=generator), 0
        while start < len(indices):
            yield indices[start : start + size].to(self.device)
            start += size


def explained_variance(values, returns):
    if values.shape != returns.shape:
        raise ValueError("values and returns have different shapes.")
    y_pred, y_true = values.detach().double().numpy(), returns.detach().double().numpy()
    var_y = np.var(y_true)
    return 0.0 if var_y == 0 else float(1 - np.var(y_true - y_pred) / var_y)
