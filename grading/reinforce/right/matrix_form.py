"""REINFORCE in matrix form: returns as a product with a Toeplitz matrix, visits as a power series,
float64 networks, NumPy's generator for the acting.

The policy's loss is written with its own score function for one padded batch; the optimiser is a
hand-written Adam.
"""


import numpy as np


def check(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def powers(gamma, n, dtype=torch.float64):
    return torch.cat([torch.ones(1, dtype=dtype), torch.full((n - 1,), gamma, dtype=dtype)]).cumprod(0)


def discounted_returns(rewards, gamma, mask=None):
    check(0 <= gamma <= 1, "the discount lies outside the unit interval")
    valid = torch.ones_like(rewards) if mask is None else mask.to(rewards.dtype)
    check(valid.shape == rewards.shape, "the mask has another shape than the rewards")
    check(bool((valid.diff(dim=0) <= 0).all()), "the mask has holes")
    steps = len(rewards)
    lag = torch.arange(steps)[None] - torch.arange(steps)[:, None]
    matrix = torch.where(lag >= 0, powers(gamma, steps, rewards.dtype)[lag.clamp(min=0)], 0.0)
    flat = (rewards.detach() * valid).reshape(steps, -1)
    return (matrix @ flat).reshape(rewards.shape) * valid


class CategoricalPolicy:
    def __init__(self, logits):
        self.logits = logits - torch.logsumexp(logits, dim=-1, keepdim=True)

    def sample(self, generator=None):
        with torch.no_grad():
            u = torch.rand(self.logits.shape[:-1], generator=generator, dtype=torch.float64)
            below = self.logits.double().exp().cumsum(-1) < u.unsqueeze(-1)
            return below.sum(-1).clamp(max=self.logits.shape[-1] - 1)

    def log_prob(self, action):
        one_hot = torch.nn.functional.one_hot(action.long(), self.logits.shape[-1])
        return torch.where(one_hot.bool(), self.logits, torch.zeros_like(self.logits)).sum(-1)

    def entropy(self):
        return torch.special.entr(self.logits.exp()).sum(-1)


class GaussianPolicy:
    def __init__(self, mean, log_std):
        self.mean, self.log_std = mean, log_std

    def sample(self, generator=None):
        noise = torch.empty_like(self.mean, requires_grad=False).normal_(generator=generator)
        return self.mean.detach() + noise * torch.exp(self.log_std.detach())

    def log_prob(self, action):
        variance = torch.exp(2 * self.log_std)
        quadratic = ((action - self.mean) ** 2 / variance).sum(-1)
        return -0.5 * (quadratic + torch.log(2 * torch.pi * variance).expand_as(self.mean).sum(-1))

    def entropy(self):
        return 0.5 * torch.log(2 * torch.pi * torch.e * torch.exp(2 * self.log_std)).expand_as(self.mean).sum(-1)


def policy_gradient_loss(logp, weights, mask=None, gamma=1.0, discount_state_weight=False):
    check(logp.shape == weights.shape, "logp and weights have different shapes")
    check(0 <= gamma <= 1, "the discount lies outside the unit interval")
    valid = torch.ones_like(logp) if mask is None else mask.to(logp.dtype)
    steps = len(logp)
    logp, weights, valid = (x.reshape(steps, -1) for x in (logp, weights, valid))
    check(bool(valid.any()), "no step is valid")
    w = weights.detach() * valid
    if discount_state_weight:
        w = torch.diag(powers(gamma, steps, w.dtype)) @ w
    return -torch.einsum("tn,tn->", w, logp * valid) / (valid.sum(0) > 0).sum()


def standardize(x, mask=None, eps=1e-8):
    x = x.detach().clone()
    valid = torch.ones(x.shape, dtype=torch.bool) if mask is None else mask.bool()
    check(valid.shape == x.shape and bool(valid.any()), "the mask does not fit or is empty")
    entries = x[valid].numpy().astype(np.float64)
    out = torch.zeros_like(x)
    out[valid] = torch.from_numpy((entries - entries.mean()) / (entries.std() + eps)).to(x.dtype)
    return out


def value_loss(values, returns, mask=None):
    check(values.shape == returns.shape, "values and returns have different shapes")
    valid = torch.ones_like(values) if mask is None else mask.to(values.dtype)
    check(bool(valid.any()), "no step is valid")
    errors = (values - returns.detach()) * valid
    return (errors * errors).sum() / (2 * valid.sum())


def leave_one_out_baseline(returns):
    check(returns.ndim == 1 and len(returns) > 1, "two returns at least, in one dimension")
    n = len(returns)
    return ((torch.ones(n, n) - torch.eye(n)).to(returns.dtype) / (n - 1)) @ returns.detach()


def exact_policy_gradient(P, R, gamma, start, theta):
    check(0 <= gamma < 1, "the discount must be less than one")
    pi = torch.exp(theta - torch.logsumexp(theta, 1, keepdim=True)).detach()
    T = gamma * torch.einsum("sa,sat->st", pi, P)
    # sum of T^k by doubling: (1 + T)(1 + T^2)(1 + T^4) ...
    total, power = torch.eye(len(T), dtype=T.dtype), T
    for _ in range(40):
        total, power = total + total @ power, power @ power
    eta = start @ total
    v = total @ (pi * R).sum(1)
    q = R + gamma * torch.tensordot(P, v, dims=1)
    jacobian = torch.diag_embed(pi) - pi[:, :, None] * pi[:, None, :]
    return ExactGradient(start @ v, eta[:, None] * torch.einsum("sab,sb->sa", jacobian, q))


class Network(torch.nn.Module):
    """One tanh layer in float64, weights from a NumPy generator; takes float32 observations too."""

    def __init__(self, inputs, outputs, hidden, rng, continuous=False):
        super().__init__()
        self.A = torch.nn.Parameter(torch.tensor(rng.normal(size=(inputs, hidden)) / np.sqrt(inputs)))
        self.a = torch.nn.Parameter(torch.tensor(rng.uniform(-1, 1, size=hidden)))
        self.B = torch.nn.Parameter(torch.tensor(0.1 * rng.normal(size=(hidden, outputs)) / np.sqrt(hidden)))
        self.b = torch.nn.Parameter(torch.zeros(outputs, dtype=torch.float64))
        if continuous:
            self.log_std = torch.nn.Parameter(torch.full((outputs,), -0.5, dtype=torch.float64))

    def forward(self, x):
        return torch.tanh(x.double() @ self.A + self.a) @ self.B + self.b


class Actor(Network):
    def forward(self, x):
        out = super().forward(x)
        return GaussianPolicy(out, self.log_std) if hasattr(self, "log_std") else CategoricalPolicy(out)


class Adam:
    def __init__(self, network, rate):
        self.parameters, self.rate, self.t = list(network.parameters()), rate, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def descend(self, loss):
        self.t += 1
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for p, g, m, v in zip(self.parameters, gradients, self.m, self.v, strict=True):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                p -= self.rate * (m / (1 - 0.9**self.t)) / ((v / (1 - 0.999**self.t)).sqrt() + 1e-8)


def play(env, actor, rng, state, limit):
    """One episode; None if the budget ends it."""
    A, a, B, b = (p.detach().numpy() for p in (actor.A, actor.a, actor.B, actor.b))
    observation, _ = env.reset() if state["started"] else env.reset(seed=state["seed"])
    state["started"] = True
    rows = []
    while state["steps"] < limit:
        out = np.tanh(np.asarray(observation, float) @ A + a) @ B + b
        if hasattr(actor, "log_std"):
            action = out + np.exp(actor.log_std.detach().numpy()) * rng.normal(size=out.shape)
            legal = np.clip(action, env.action_space.low, env.action_space.high).astype(env.action_space.dtype)
        else:
            p = np.exp(out - out.max())
            action = legal = int(np.searchsorted(p.cumsum(), rng.random() * p.sum(), side="right"))
        following, reward, terminated, truncated, _ = env.step(legal)
        state["steps"] += 1
        rows.append((np.asarray(observation, float), action, reward))
        observation = following
        if terminated or truncated:
            return rows
    return None


def train_reinforce(env, config, seed):
    check(config.baseline in ("none", "standardize", "leave_one_out", "value"), f"unknown baseline {config.baseline}")
    check(config.episodes_per_update >= 1, "an update needs an episode")
    rng = np.random.default_rng(seed)
    inputs, continuous = env.observation_space.shape[0], not hasattr(env.action_space, "n")
    outputs = env.action_space.shape[0] if continuous else int(env.action_space.n)
    actor, critic = Actor(inputs, outputs, config.hidden, rng, continuous), Network(inputs, 1, config.hidden, rng)
    optimizers = Adam(actor, config.learning_rate), Adam(critic, config.value_learning_rate)
    state, returns, batch = {"steps": 0, "started": False, "seed": seed}, [], []
    while state["steps"] < config.max_steps:
        episode = play(env, actor, rng, state, config.max_steps)
        if episode is not None:
            batch.append(episode)
            returns.append(sum(float(reward) for *_, reward in episode))
        if batch and (len(batch) == config.episodes_per_update or state["steps"] >= config.max_steps):
            update(batch, actor, critic, optimizers, config)
            batch = []
    return Result(actor, returns, state["steps"], critic if config.baseline == "value" else None)


def update(batch, actor, critic, optimizers, config):
    longest, n = max(map(len, batch)), len(batch)
    observations = torch.zeros(longest, n, len(batch[0][0][0]), dtype=torch.float64)
    actions = torch.zeros(longest, n, *np.shape(batch[0][0][1]), dtype=torch.float64 if np.shape(batch[0][0][1]) else torch.int64)
    rewards, mask = torch.zeros(longest, n, dtype=torch.float64), torch.zeros(longest, n, dtype=torch.bool)
    for i, episode in enumerate(batch):
        for t, (observation, action, reward) in enumerate(episode):
            observations[t, i], rewards[t, i], mask[t, i] = torch.from_numpy(observation), float(reward), True
            actions[t, i] = torch.as_tensor(action)
    togo = discounted_returns(rewards, config.gamma, mask)
    weights = togo
    if config.baseline == "standardize":
        weights = standardize(togo, mask)
    elif config.baseline == "leave_one_out" and n > 1:
        weights = togo - (togo.sum(1, keepdim=True) - togo) / (n - 1)
    elif config.baseline == "value":
        weights = togo - critic(observations)[..., 0].detach()
    policy = actor(observations)
    loss = policy_gradient_loss(policy.log_prob(actions), weights, mask)
    optimizers[0].descend(loss - config.entropy_coefficient * policy.entropy()[mask].mean() if config.entropy_coefficient else loss + 0 * policy.entropy().sum())
    if config.baseline == "value":
        for _ in range(config.value_updates):
            optimizers[1].descend(value_loss(critic(observations)[..., 0], togo, mask))
