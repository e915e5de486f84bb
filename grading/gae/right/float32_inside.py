"""GAE as a GPU programmer writes it: float32 everywhere, float masks, in-place work on own buffers,
log2(T) scan."""


import numpy as np

f32 = torch.float32


def _f32(first, *others):
    if first.ndim != 2 or first.numel() == 0:
        raise ValueError("tensors must be (time, environments) and not empty.")
    for other in others:
        if other.shape != first.shape:
            raise ValueError(f"got both {tuple(first.shape)} and {tuple(other.shape)}.")
    return [x.detach().to(f32) for x in (first, *others)]


def _unit(*numbers):
    if any(x < 0.0 or x > 1.0 for x in numbers):
        raise ValueError("discount and lambda belong into [0, 1].")


def td_residuals(rewards, values, next_values, terminated, gamma):
    _unit(gamma)
    r, v, w, over = _f32(rewards, values, next_values, terminated)
    return torch.addcmul(r - v, w.masked_fill(over > 0, 0.0), 1.0 - over, value=gamma)


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    _unit(gamma, lam)
    _, v, _, over, cut = _f32(rewards, values, next_values, terminated, truncated)
    keep = (1.0 - over) * (1.0 - cut) * (gamma * lam)
    out = td_residuals(rewards, values, next_values, terminated, gamma)
    for t in range(out.shape[0] - 2, -1, -1):
        out[t].addcmul_(keep[t], out[t + 1])
    return Advantages(out, out + v)


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    _unit(gamma, lam)
    _, v, _, over, cut = _f32(rewards, values, next_values, terminated, truncated)
    keep = (1.0 - over) * (1.0 - cut) * (gamma * lam)
    keep[-1] = 0.0
    out = td_residuals(rewards, values, next_values, terminated, gamma)
    T, reach = len(out), 1
    while reach < T:
        out = torch.cat([out[:-reach] + keep[:-reach] * out[reach:], out[-reach:]])
        keep = torch.cat([keep[:-reach] * keep[reach:], torch.zeros_like(keep[-reach:])])
        reach += reach
    return Advantages(out, out + v)


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    _unit(gamma)
    if k < 1:
        raise ValueError("k counts steps, so it is 1 or more.")
    _, _, _, over, cut = _f32(rewards, values, next_values, terminated, truncated)
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    T = len(deltas)
    out, weight = deltas.clone(), torch.ones_like(deltas)
    for ahead in range(1, min(k, T)):
        weight = weight[: T - ahead] * gamma * ((1.0 - over) * (1.0 - cut))[ahead - 1 : T - 1]
        out[: T - ahead] += weight * deltas[ahead:]
    return out


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    _unit(gamma, lam)
    r, _, w, over, cut = _f32(rewards, values, next_values, terminated, truncated)
    w = w.masked_fill(over > 0, 0.0)
    out = torch.empty_like(r)
    ahead = w[-1]
    for t in range(len(r) - 1, -1, -1):
        going = (1.0 - over[t]) * (1.0 - cut[t])
        ahead = torch.lerp(w[t], torch.lerp(w[t], ahead, lam), going)
        ahead = r[t] + gamma * (1.0 - over[t]) * ahead
        out[t] = ahead
    return out


def token_gae(rewards, values, response_mask, gamma, lam):
    _unit(gamma, lam)
    r, v, m = _f32(rewards, values, response_mask)
    r, v = r.masked_fill(m == 0, 0.0), v.masked_fill(m == 0, 0.0)
    out = torch.zeros_like(v)
    carried = torch.zeros_like(v[:, 0])
    ahead = torch.zeros_like(v[:, 0])
    for t in range(v.shape[1] - 1, -1, -1):
        new = r[:, t] + gamma * ahead - v[:, t] + gamma * lam * carried
        carried = carried + m[:, t] * (new - carried)
        ahead = ahead + m[:, t] * (v[:, t] - ahead)
        out[:, t] = m[:, t] * new
    return Advantages(out, m * (out + v))


class RunningMeanStd:
    """Sums about a fixed shift, the first sample, so that large offsets cost no digits. In float64,
    as asked."""

    def __init__(self, shape=()):
        self._shape = tuple(shape)
        self._shift = None
        self._sum = self._squares = torch.zeros(self._shape, dtype=torch.float64)
        self.count = 0

    @property
    def mean(self):
        if self.count == 0:
            return torch.zeros(self._shape, dtype=torch.float64)
        return self._shift + self._sum / self.count

    @property
    def var(self):
        if self.count == 0:
            return torch.ones(self._shape, dtype=torch.float64)
        return self._squares / self.count - (self._sum / self.count) ** 2

    def update_(self, batch):
        if batch.ndim < 1 or batch.shape[0] < 1 or tuple(batch.shape[1:]) != self._shape:
            raise ValueError(f"expected (n, *{self._shape}), got {tuple(batch.shape)}.")
        x = batch.detach().to(torch.float64)
        if self._shift is None:
            self._shift = x[0].clone()
        self._sum = self._sum + (x - self._shift).sum(0)
        self._squares = self._squares + ((x - self._shift) ** 2).sum(0)
        self.count += len(x)

    def merge(self, other):
        if other._shape != self._shape:
            raise ValueError("cannot merge statistics of different shapes.")
        result = RunningMeanStd(self._shape)
        for part in (self, other):
            if part.count:
                if result._shift is None:
                    result._shift = part._shift
                move = part._shift - result._shift
                result._sum = result._sum + part._sum + part.count * move
                result._squares = result._squares + part._squares + 2 * move * part._sum + part.count * move**2
                result.count += part.count
        return result


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    x = adv.detach().to(f32)
    if mask is not None and mask.shape != x.shape:
        raise ValueError(f"mask {tuple(mask.shape)} against advantages {tuple(x.shape)}.")
    m = torch.ones_like(x) if mask is None else mask.to(f32)
    x = x.masked_fill(m == 0, 0.0)
    if mode == "running":
        if stats is None:
            raise ValueError("running mode without stats.")
        mean, std = stats.mean.to(f32), stats.var.to(f32).sqrt()
    elif mode == "batch":
        n = m.sum().clamp_min(1.0)
        mean = torch.dot(m.flatten(), x.flatten()) / n
        std = ((m * (x - mean).square()).sum() / n).sqrt()
    else:
        raise ValueError(f"unknown mode {mode!r}.")
    return m * ((x - mean) / (std + eps))


class RolloutBuffer:
    """Everything of float type in one slab of memory."""

    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        if T <= 0 or N <= 0:
            raise ValueError("T and N must be positive.")
        width = int(np.prod(obs_shape))
        slab = torch.zeros(T * N * (width + 4), device=device)
        self.obs = slab[: T * N * width].view(T, N, *obs_shape)
        names = ("logp", "rewards", "values", "next_values")
        for name, piece in zip(names, slab[T * N * width :].split(T * N), strict=True):
            setattr(self, name, piece.view(T, N))
        self.actions = torch.zeros((T, N, *action_shape), dtype=action_dtype, device=device)
        self.terminated, self.truncated = torch.zeros(2, T, N, dtype=torch.bool, device=device)
        self._names = ("obs", "actions", *names, "terminated", "truncated")

    def flat(self):
        return {name: getattr(self, name).flatten(end_dim=1) for name in self._names}

    def minibatches(self, size, generator=None):
        if size < 1:
            raise ValueError("size must be positive.")
        order = torch.randperm(self.rewards.numel(), generator=generator)
        yield from torch.split(order, size)


def explained_variance(values, returns):
    if values.shape != returns.shape:
        raise ValueError("shapes differ.")
    v, g = values.detach().to(f32), returns.detach().to(f32)
    total = torch.var(g, unbiased=False)
    return 0.0 if total.item() == 0.0 else (1.0 - torch.var(g - v, unbiased=False) / total).item()
