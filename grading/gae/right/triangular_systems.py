"""GAE as a linear system: (I - gamma lambda S) A = delta, where S shifts within an episode. Solved
for all environments at once; statistics from sums about the first sample."""


def must(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def rollout(numbers, *tensors):
    first, *others = tensors
    must(first.dim() == 2 and first.numel() > 0, "a (T, N) tensor with some entries is needed.")
    must(all(one.shape == first.shape for one in others), "all tensors need one shape.")
    must(all(0 <= number <= 1 for number in numbers), "discounts and weights lie in [0, 1].")
    return [one.detach() for one in tensors]


def solved(deltas, ended, decay):
    """What satisfies A_t = delta_t + decay * (not ended_t) * A_{t+1}. (T, N)"""
    T, N = deltas.shape
    system = torch.eye(T, dtype=torch.float64).repeat(N, 1, 1)
    t = torch.arange(T - 1)
    system[:, t, t + 1] = -decay * (~ended[:-1]).double().T
    found = torch.linalg.solve_triangular(system, deltas.double().T.unsqueeze(2), upper=True)
    return found.squeeze(2).T.to(deltas.dtype)


def td_residuals(rewards, values, next_values, terminated, gamma):
    r, v, w, over = rollout([gamma], rewards, values, next_values, terminated)
    return r - v + torch.where(over.bool(), torch.zeros_like(w), w).mul(gamma)


def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    rollout([gamma, lam], rewards, truncated)
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    advantages = solved(deltas, terminated.bool() | truncated.bool(), gamma * lam)
    return Advantages(advantages, values.detach() + advantages)


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam)


def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    must(k >= 1, "k counts steps, at least one.")
    rollout([gamma], rewards, truncated)
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    ended = terminated.bool() | truncated.bool()
    whole = solved(deltas, ended, gamma)
    if k >= len(deltas):
        return whole
    # What lies k steps ahead is taken off again, where the episode reaches as far.
    reaches = torch.ones_like(ended[:-k])
    for ahead in range(k):
        reaches &= ~ended[ahead : len(ended) - k + ahead]
    whole[:-k] -= gamma**k * torch.where(reaches, whole[k:].clone(), 0.0)
    return whole


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    r, _, w, over, cut = rollout([gamma, lam], rewards, values, next_values, terminated, truncated)
    over, w = over.bool(), torch.where(over.bool(), 0.0, w)
    ended = over | cut.bool()
    # Where nothing follows, the next value has the whole weight.
    last = ended.clone()
    last[-1] = True
    share = torch.where(last, 1.0, 1.0 - lam).to(w.dtype)
    return solved(r + gamma * share * w, ended, gamma * lam)


def token_gae(rewards, values, response_mask, gamma, lam):
    r, v, mask = rollout([gamma, lam], rewards, values, response_mask)
    mask = mask.bool()
    advantages = torch.zeros_like(v)
    # The valid tokens first, in their order; then the row is a column of a rollout.
    order = (~mask).int().sort(dim=1, stable=True).indices
    packed = [x.masked_fill(~mask, 0.0).gather(1, order).T for x in (r, v)]
    following = torch.cat([packed[1][1:], torch.zeros_like(packed[1][:1])])
    deltas = packed[0] + gamma * following - packed[1]
    found = solved(deltas, torch.zeros_like(deltas, dtype=torch.bool), gamma * lam)
    advantages.scatter_(1, order, found.T)
    return Advantages(advantages.masked_fill(~mask, 0.0), (advantages + v).masked_fill(~mask, 0.0))


class RunningMeanStd:
    def __init__(self, shape=()):
        self.count, self.shape = 0, tuple(shape)
        self.mean, self.var = torch.zeros(self.shape).double(), torch.ones(self.shape).double()

    def _joined(self, mean, var, count):
        both = self.count + count
        if count:
            share = count / both
            away = mean - self.mean
            self.var = (1 - share) * self.var + share * var + share * (1 - share) * away.square()
            self.mean, self.count = torch.lerp(self.mean, mean, share), both
        return self

    def update_(self, batch):
        must(batch.dim() > 0 and len(batch) > 0 and batch.shape[1:] == self.mean.shape, "a stack of samples is needed.")
        x = batch.detach().double()
        shifted = x - x[0]
        mean = shifted.mean(dim=0)
        self._joined(x[0] + mean, (shifted - mean).square().mean(dim=0), len(x))

    def merge(self, other):
        must(self.mean.shape == other.mean.shape, "only statistics of one shape can be merged.")
        return RunningMeanStd(self.shape)._joined(self.mean, self.var, self.count)._joined(other.mean, other.var, other.count)


def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    must(mask is None or mask.shape == adv.shape, "the mask has another shape.")
    must(mode == "batch" or (mode == "running" and stats is not None), "batch, or running with statistics.")
    x = adv.detach()
    on = torch.ones_like(x, dtype=torch.bool) if mask is None else mask.bool()
    if not on.any():
        return torch.zeros_like(x)
    source = stats
    if mode == "batch":
        source = RunningMeanStd()
        source.update_(x[on])
    return ((x - source.mean) / (source.var.sqrt() + eps)).to(x.dtype).masked_fill(~on, 0.0)


class RolloutBuffer:
    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        must(T >= 1 and N >= 1, "T and N count from one.")
        self.T, self.N, self.device = T, N, torch.device(device)
        shapes, kinds = {"obs": obs_shape, "actions": action_shape}, {"actions": action_dtype}
        kinds |= dict.fromkeys(("terminated", "truncated"), torch.bool)
        self._memory = {}
        for name in self.FIELDS:
            rows = torch.zeros(T * N, *shapes.get(name, ()), dtype=kinds.get(name, torch.float32), device=device)
            self._memory[name] = rows
            setattr(self, name, rows.unflatten(0, (T, N)))

    def flat(self):
        return dict(self._memory)

    def minibatches(self, size, generator=None):
        must(size >= 1, "no minibatch is empty.")
        keys = torch.rand(self.T * self.N, generator=generator, dtype=torch.float64)
        yield from torch.split(keys.argsort().to(self.device), size)


def explained_variance(values, returns):
    must(values.shape == returns.shape, "one value for each return.")
    y = returns.detach().double()
    left = y - values.detach().double()
    if bool((y == y.reshape(-1)[0]).all()):
        return 0.0
    return 1.0 - ((left - left.mean()).square().mean() / (y - y.mean()).square().mean()).item()
