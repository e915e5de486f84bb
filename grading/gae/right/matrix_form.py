"""GAE as linear algebra: one upper triangular matrix of weights per environment, and Welford's
update."""


def _demand(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def _check(gamma, lam, first, *others):
    _demand(0 <= gamma <= 1 and 0 <= lam <= 1, "gamma and lambda must lie between 0 and 1.")
    _demand(first.dim() == 2 and first.numel() > 0, "every tensor must be a matrix with at least "
                                                    "one entry.")
    _demand(all(x.shape == first.shape for x in others), "all tensors must have the same shape.")


def _weights(ended, factor):
    """(N, T, T): factor ** (j - t) for j >= t in the episode of t, else 0."""
    T = ended.shape[0]
    episode = torch.cat([torch.zeros_like(ended[:1]).long(), ended[:-1].long().cumsum(0)]).T
    together = episode.unsqueeze(2) == episode.unsqueeze(1)
    ahead = torch.arange(T).unsqueeze(0) - torch.arange(T).unsqueeze(1)
    powers = torch.tensor(float(factor), dtype=torch.float64) ** ahead.clamp(min=0)
    return together * torch.triu(powers)


def _apply(weights, columns):
    return torch.einsum("ntj,jn->tn", weights, columns.double()).to(columns.dtype)


@torch.no_grad()
def td_residuals(rewards, values, next_values, terminated, gamma):
    _check(gamma, 0, rewards, values, next_values, terminated)
    return rewards + gamma * next_values.masked_fill(terminated.bool(), 0) - values


@torch.no_grad()
def gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    _check(gamma, lam, rewards, values, next_values, terminated, truncated)
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    advantages = _apply(_weights(terminated | truncated, gamma * lam), deltas)
    return Advantages(advantages, advantages + values)


gae = gae_scan


@torch.no_grad()
def k_step_advantage(rewards, values, next_values, terminated, truncated, gamma, k):
    _check(gamma, 0, rewards, values, next_values, terminated, truncated)
    _demand(k >= 1, "k must be at least one.")
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    band = torch.triu(_weights(terminated | truncated, gamma))
    return _apply(band - torch.triu(band, diagonal=k), deltas)


def lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae_scan(rewards, values, next_values, terminated, truncated, gamma, lam).returns


@torch.no_grad()
def token_gae(rewards, values, response_mask, gamma, lam):
    _check(gamma, lam, rewards, values, response_mask)
    mask = response_mask.bool()
    rewards, values = rewards.masked_fill(~mask, 0), values.masked_fill(~mask, 0)
    position = mask.long().cumsum(1)
    gap = position.unsqueeze(1) - position.unsqueeze(2)  # policy tokens from i to j
    both = mask.unsqueeze(1) & mask.unsqueeze(2)
    following = torch.einsum("bij,bj->bi", (both & (gap == 1)).to(values.dtype), values)
    deltas = (rewards + gamma * following - values) * mask
    fade = torch.tensor(float(gamma * lam), dtype=values.dtype) ** gap.clamp(min=0)
    advantages = torch.einsum("bij,bj->bi", fade * (both & (gap >= 0)), deltas)
    return Advantages(advantages, (advantages + values) * mask)


class RunningMeanStd:
    """Welford: one sample at a time, with the sum of squared distances from the mean."""

    def __init__(self, shape=()):
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self._squares = torch.zeros(shape, dtype=torch.float64)
        self.count = 0

    @property
    def var(self):
        return self._squares / self.count if self.count else torch.ones_like(self.mean)

    def update_(self, batch):
        _demand(batch.dim() > 0 and len(batch) > 0, "the batch is empty.")
        _demand(batch.shape[1:] == self.mean.shape, "the samples have another shape.")
        for sample in batch.detach().double():
            self.count += 1
            before = sample - self.mean
            self.mean = self.mean + before / self.count
            self._squares = self._squares + before * (sample - self.mean)

    def merge(self, other):
        _demand(self.mean.shape == other.mean.shape, "the shapes of the two differ.")
        both = RunningMeanStd(self.mean.shape)
        both.count = self.count + other.count
        if both.count:
            share = other.count / both.count
            both.mean = (1 - share) * self.mean + share * other.mean
            both._squares = (
                self._squares
                + other._squares
                + self.count * (self.mean - both.mean) ** 2
                + other.count * (other.mean - both.mean) ** 2
            )
        return both


@torch.no_grad()
def normalize_advantages(adv, mask=None, mode="batch", stats=None, eps=1e-8):
    _demand(mask is None or mask.shape == adv.shape, "the mask has another shape.")
    _demand(mode in ("batch", "running"), "the mode must be batch or running.")
    mask = torch.ones_like(adv) if mask is None else mask.to(adv.dtype)
    adv = torch.where(mask > 0, adv, 0.0)
    if mode == "running":
        _demand(stats is not None, "running mode needs statistics.")
        return mask * (adv - stats.mean) / (stats.var.sqrt() + eps)
    number = mask.sum().clamp(min=1)
    centred = mask * (adv - (mask * adv).sum() / number)
    return centred / ((centred**2).sum().div(number).sqrt() + eps)


class RolloutBuffer:
    """One flat allocation per field; the (T, N) fields are views of it."""

    def __init__(self, T, N, obs_shape, device="cpu", action_shape=(), action_dtype=torch.int64):
        _demand(T > 0 and N > 0, "T and N must be positive.")
        shapes = {"obs": (tuple(obs_shape), torch.float32), "actions": (tuple(action_shape), action_dtype)}
        shapes |= dict.fromkeys(("logp", "rewards", "values", "next_values"), ((), torch.float32))
        shapes |= dict.fromkeys(("terminated", "truncated"), ((), torch.bool))
        self._flat = {
            name: torch.zeros((T * N, *shape), dtype=dtype, device=device) for name, (shape, dtype) in shapes.items()
        }
        for name, rows in self._flat.items():
            setattr(self, name, rows.view(T, N, *rows.shape[1:]))

    def flat(self):
        return dict(self._flat)

    def minibatches(self, size, generator=None):
        _demand(size >= 1, "the size must be positive.")
        rows = len(self._flat["rewards"])
        return torch.randperm(rows, generator=generator).split(size)


@torch.no_grad()
def explained_variance(values, returns):
    _demand(values.shape == returns.shape, "values and returns have different shapes.")
    total, left = (((x - x.mean()) ** 2).sum().item() for x in (returns, returns - values))
    return 1.0 - left / total if total > 0 else 0.0
