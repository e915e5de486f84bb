"""Grace: right. Plain lists, in a folder, with a module of her own beside gae.py."""

from collections import namedtuple

import torch
from moments import RunningMeanStd

Advantages = namedtuple("Advantages", "advantages returns")


def rows(*tensors):
    first = tensors[0]
    if first.dim() != 2 or first.numel() == 0:
        raise ValueError("two dimensions please")
    for x in tensors[1:]:
        if x.shape != first.shape:
            raise ValueError("shapes are not the same")
    return [x.detach().tolist() for x in tensors]


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
    unit(lam)
    deltas = td_residuals(rewards, values, next_values, terminated, gamma).tolist()
    V, D, C = rows(values, terminated, truncated)
    advs = []
    after = [0.0] * len(V[0])
    for delta, d, c in zip(reversed(deltas), reversed(D), reversed(C)):
        after = [x if d[i] or c[i] else x + gamma * lam * after[i] for i, x in enumerate(delta)]
        advs.insert(0, after)
    rets = [[a + v for a, v in zip(*both)] for both in zip(advs, V)]
    return Advantages(torch.tensor(advs), torch.tensor(rets))


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    if k < 1:
        raise ValueError("k too small")
    deltas = td_residuals(rewards, values, next_values, terminated, gamma).tolist()
    D, C = rows(terminated, truncated)
    T, N = len(D), len(D[0])
    out = [[0.0] * N for _ in range(T)]
    for n in range(N):
        for t in range(T):
            discount = 1.0
            for s in range(t, min(t + k, T)):
                out[t][n] += discount * deltas[s][n]
                discount *= gamma
                if D[s][n] or C[s][n]:
                    break
    return torch.tensor(out)


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    # no speed-up here, but the right numbers
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam)


def token_gae(rewards, values, response_mask, gamma, lam):
    unit(gamma, lam)
    R, V, M = rows(rewards, values, response_mask)
    advs, rets = [], []
    for r, v, m in zip(R, V, M):
        a, g, nxt_v, nxt_a = [0.0] * len(r), [0.0] * len(r), 0.0, 0.0
        for i in reversed(range(len(r))):
            if m[i]:
                nxt_a = r[i] + gamma * nxt_v - v[i] + gamma * lam * nxt_a
                nxt_v = v[i]
                a[i], g[i] = nxt_a, nxt_a + nxt_v
        advs.append(a)
        rets.append(g)
    return Advantages(torch.tensor(advs), torch.tensor(rets))


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
