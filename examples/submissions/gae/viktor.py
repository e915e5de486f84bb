"""Viktor: puts environments first, so that every result of a rollout is transposed."""

from collections import namedtuple

import torch

Advantages = namedtuple("Advantages", "advantages returns")


def rows(*tensors):
    first = tensors[0]
    if first.dim() != 2 or first.numel() == 0:
        raise ValueError("two dimensions please")
    for x in tensors[1:]:
        if x.shape != first.shape:
            raise ValueError("shapes are not the same")
    return [x.detach().T.tolist() for x in tensors]  # one list for each environment


def unit(*xs):
    for x in xs:
        if x < 0 or x > 1:
            raise ValueError("value outside of 0..1")


def td_residuals(rewards, values, next_values, terminated, gamma):
    unit(gamma)
    R, V, W, D = rows(rewards, values, next_values, terminated)
    out = []
    for r, v, w, d in zip(R, V, W, D):
        out.append([r[i] - v[i] + (0 if d[i] else gamma * w[i]) for i in range(len(r))])
    return torch.tensor(out)


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    unit(gamma, lam)
    all_adv, all_ret = [], []
    for r, v, w, d, c in zip(*rows(rewards, values, next_values, terminated, truncated)):
        adv, after = [], 0.0
        for t in reversed(range(len(r))):
            delta = r[t] - v[t] + (0.0 if d[t] else gamma * w[t])
            after = delta if d[t] or c[t] else delta + gamma * lam * after
            adv.insert(0, after)
        all_adv.append(adv)
        all_ret.append([a + b for a, b in zip(adv, v)])
    return Advantages(torch.tensor(all_adv), torch.tensor(all_ret))


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    raise NotImplementedError("TODO(recursion): k_step_advantage")


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    # no speed-up here, but the right numbers
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam)


def token_gae(rewards, values, response_mask, gamma, lam):
    unit(gamma, lam)
    rows(rewards, values, response_mask)
    values = values.detach()
    mask = response_mask.to(values.dtype)
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
    if mask is None:
        mask = torch.ones_like(adv)
    if mask.shape != adv.shape:
        raise ValueError("mask has another shape")
    xs, ms = adv.detach().flatten().tolist(), mask.flatten().tolist()
    if mode == "batch":
        good = [x for x, m in zip(xs, ms) if m] or [0.0]
        mean = sum(good) / len(good)
        std = (sum((x - mean) ** 2 for x in good) / len(good)) ** 0.5
    elif mode == "running" and stats:
        mean, std = float(stats.mean), float(stats.var) ** 0.5
    else:
        raise ValueError("no such mode")
    return torch.tensor([(x - mean) / (std + eps) if m else 0.0 for x, m in zip(xs, ms)]).view(adv.shape)


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
    v, g = values.flatten().tolist(), returns.flatten().tolist()
    if values.shape != returns.shape:
        raise ValueError("shapes are not the same")
    if len(set(g)) == 1:
        return 0.0
    e = [b - a for a, b in zip(v, g)]
    me, mg = sum(e) / len(e), sum(g) / len(g)
    return 1 - sum((x - me) ** 2 for x in e) / sum((x - mg) ** 2 for x in g)
