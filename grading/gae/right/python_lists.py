"""GAE with plain Python: lists of floats inside, tensors only at the door. Results are float32."""

import math


def lists(*tensors):
    """Columns of each tensor as lists, after a check of the shapes."""
    shape = tensors[0].shape
    if len(shape) != 2 or shape[0] == 0 or shape[1] == 0:
        raise ValueError("a two-dimensional tensor with some content is needed.")
    for tensor in tensors:
        if tensor.shape != shape:
            raise ValueError(f"the shapes {tuple(shape)} and {tuple(tensor.shape)} differ.")
    return [tensor.detach().T.tolist() for tensor in tensors]


def tensor(columns):
    return torch.tensor(columns).T.contiguous()


def between_zero_and_one(**numbers):
    for name in numbers:
        if not 0 <= numbers[name] <= 1:
            raise ValueError(f"{name} is {numbers[name]}, which is not between 0 and 1.")


def delta(r, v, w, over, gamma):
    return r - v if over else r + gamma * w - v


def td_residuals(rewards, values, next_values, terminated, gamma):
    between_zero_and_one(gamma=gamma)
    columns = zip(*lists(rewards, values, next_values, terminated), strict=True)
    return tensor([[delta(*step, gamma) for step in zip(*column, strict=True)] for column in columns])


def _advantages(rewards, values, next_values, terminated, truncated, gamma, lam):
    between_zero_and_one(gamma=gamma, lam=lam)
    result = []
    for r, v, w, over, cut in zip(*lists(rewards, values, next_values, terminated, truncated), strict=True):
        backwards = []
        for t in range(len(r) - 1, -1, -1):
            advantage = delta(r[t], v[t], w[t], over[t], gamma)
            if backwards and not over[t] and not cut[t]:
                advantage += gamma * lam * backwards[-1]
            backwards.append(advantage)
        result.append((backwards[::-1], v))
    return result


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    columns = _advantages(rewards, values, next_values, terminated, truncated, gamma, lam)
    advantages = tensor([a for a, _ in columns])
    return Advantages(advantages, tensor([[x + y for x, y in zip(a, v, strict=True)] for a, v in columns]))


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam)


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    between_zero_and_one(gamma=gamma)
    if k < 1:
        raise ValueError("k has to be one or more.")
    result = []
    for r, v, w, over, cut in zip(*lists(rewards, values, next_values, terminated, truncated), strict=True):
        column = []
        for t in range(len(r)):
            total, discount, s = -v[t], 1.0, t
            while True:
                total += discount * r[s]
                discount *= gamma
                if over[s] or cut[s] or s == t + k - 1 or s == len(r) - 1:
                    break
                s += 1
            column.append(total if over[s] else total + discount * w[s])
        result.append(column)
    return tensor(result)


def token_gae(rewards, values, response_mask, gamma, lam):
    between_zero_and_one(gamma=gamma, lam=lam)
    lists(rewards, values, response_mask)
    advantages, returns = [], []
    for r, v, m in zip(rewards.tolist(), values.tolist(), response_mask.tolist(), strict=True):
        mine = [i for i, flag in enumerate(m) if flag]
        a_row, g_row = [0.0] * len(m), [0.0] * len(m)
        value_after = advantage_after = 0.0
        for i in reversed(mine):
            a_row[i] = r[i] + gamma * value_after - v[i] + gamma * lam * advantage_after
            g_row[i] = a_row[i] + v[i]
            value_after, advantage_after = v[i], a_row[i]
        advantages.append(a_row)
        returns.append(g_row)
    return Advantages(torch.tensor(advantages), torch.tensor(returns))


class RunningMeanStd:
    """Keeps every sample. Wasteful, and right."""

    def __init__(self, shape=()):
        self.shape, self.samples = tuple(shape), []

    @property
    def count(self):
        return len(self.samples)

    @property
    def mean(self):
        return torch.stack(self.samples).mean(0) if self.samples else torch.zeros(self.shape, dtype=torch.float64)

    @property
    def var(self):
        if not self.samples:
            return torch.ones(self.shape, dtype=torch.float64)
        mean = self.mean
        return torch.stack([(sample - mean) ** 2 for sample in self.samples]).mean(0)

    def update_(self, batch):
        if batch.ndim == 0 or len(batch) == 0 or tuple(batch.shape[1:]) != self.shape:
            raise ValueError(f"samples must have shape {self.shape}, and there must be some.")
        self.samples.extend(sample.detach().clone().double() for sample in batch)

    def merge(self, other):
        if other.shape != self.shape:
            raise ValueError("both must have the same shape.")
        both = RunningMeanStd(self.shape)
        both.samples = self.samples + other.samples
        return both


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    if mask is not None and mask.shape != adv.shape:
        raise ValueError("the mask must have the shape of the advantages.")
    numbers = adv.detach().flatten().tolist()
    flags = [True] * len(numbers) if mask is None else [bool(flag) for flag in mask.flatten().tolist()]
    valid = [number for number, flag in zip(numbers, flags, strict=True) if flag]
    if mode == "running" and stats is not None:
        mean, std = stats.mean.item(), math.sqrt(stats.var.item())
    elif mode == "batch":
        mean = sum(valid) / max(len(valid), 1)
        std = math.sqrt(sum((number - mean) ** 2 for number in valid) / max(len(valid), 1))
    else:
        raise ValueError("the mode is batch, or running with stats.")
    result = [(number - mean) / (std + eps) if flag else 0.0 for number, flag in zip(numbers, flags, strict=True)]
    return torch.tensor(result).reshape(adv.shape)


class RolloutBuffer:
    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        if T < 1 or N < 1:
            raise ValueError("there must be room for a step.")
        self.T, self.N = T, N
        self.obs = torch.zeros([T, N] + list(obs_shape), device=device)
        self.actions = torch.zeros([T, N] + list(action_shape), dtype=action_dtype, device=device)
        self.logp = torch.zeros([T, N], device=device)
        self.rewards = torch.zeros([T, N], device=device)
        self.values = torch.zeros([T, N], device=device)
        self.next_values = torch.zeros([T, N], device=device)
        self.terminated = torch.zeros([T, N], dtype=torch.bool, device=device)
        self.truncated = torch.zeros([T, N], dtype=torch.bool, device=device)

    def flat(self):
        views = {}
        for name in ["obs", "actions", "logp", "rewards", "values", "next_values", "terminated", "truncated"]:
            views[name] = getattr(self, name).reshape(self.T * self.N, *getattr(self, name).shape[2:])
        return views

    def minibatches(self, size, generator=None):
        if size < 1:
            raise ValueError("a minibatch needs at least one row.")
        keys = torch.rand(self.T * self.N, generator=generator).tolist()
        order = sorted(range(self.T * self.N), key=lambda row: keys[row])
        return [torch.tensor(order[start : start + size]) for start in range(0, len(order), size)]


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam).returns


def explained_variance(values, returns):
    if values.shape != returns.shape:
        raise ValueError("one value for each return, please.")
    v, g = values.flatten().tolist(), returns.flatten().tolist()

    def variance(numbers):
        mean = sum(numbers) / len(numbers)
        return sum((number - mean) ** 2 for number in numbers) / len(numbers)

    if max(g) == min(g):
        return 0.0
    return 1 - variance([b - a for a, b in zip(v, g, strict=True)]) / variance(g)
