"""REINFORCE with all steps of a batch in one row: episode numbers in place of padding, one loop over
environment steps, Gumbel noise for the draws, cross-entropy for their log-probabilities.

One optimiser has both networks: the first step of the value network is made together with the
policy's. Powers of gamma are float32, as torch gives them. The exact gradient is autograd's.
"""

import numpy as np
import torch.nn.functional as F
from torch.distributions import MultivariateNormal


def discounted_returns(rewards, gamma, mask=None):
    if gamma < 0 or gamma > 1:
        raise ValueError(f"gamma is {gamma}, not in [0, 1]")
    keep = torch.ones_like(rewards, dtype=torch.bool) if mask is None else mask > 0
    if keep.shape != rewards.shape:
        raise ValueError("rewards and mask differ in shape")
    if not torch.equal(keep.long().cummin(dim=0).values, keep.long()):
        raise ValueError("a column goes on after its end")
    paid = rewards.detach().masked_fill(~keep, 0)
    returns = paid.clone()
    for ahead in range(1, len(paid)):
        returns[:-ahead] += gamma**ahead * paid[ahead:]
    return returns * keep


class CategoricalPolicy:
    def __init__(self, logits):
        self.logits = logits

    def _rows(self, x):
        return x.reshape(-1, self.logits.shape[-1])

    def sample(self, generator=None):
        logits = self.logits.detach()
        uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
        return torch.argmax(logits - torch.log(-torch.log(uniform)), dim=-1)

    def log_prob(self, action):
        flat = F.cross_entropy(self._rows(self.logits), action.reshape(-1).long(), reduction="none")
        return -flat.reshape(self.logits.shape[:-1])

    def entropy(self):
        p = F.softmax(self.logits, dim=-1)
        return torch.logsumexp(self.logits, dim=-1) - (p * self.logits).sum(dim=-1)


class GaussianPolicy:
    def __init__(self, mean, log_std):
        scale = torch.diag_embed(torch.exp(log_std).expand_as(mean))
        self.normal = MultivariateNormal(mean, scale_tril=scale)

    def sample(self, generator=None):
        with torch.no_grad():
            noise = torch.randn(self.normal.mean.shape, generator=generator)
            return self.normal.mean + self.normal.stddev * noise

    def log_prob(self, action):
        return self.normal.log_prob(action)

    def entropy(self):
        return self.normal.entropy()


def policy_gradient_loss(logp, weights, mask=None, gamma=1.0, discount_state_weight=False):
    if logp.shape != weights.shape:
        raise ValueError("logp and weights differ in shape")
    if gamma < 0 or gamma > 1:
        raise ValueError(f"gamma is {gamma}, not in [0, 1]")
    keep = torch.ones(logp.shape, dtype=torch.bool) if mask is None else mask.bool()
    if not keep.any():
        raise ValueError("there is nothing but padding")
    step, *_ = torch.nonzero(keep, as_tuple=True)
    chosen = weights.detach()[keep]
    if discount_state_weight:
        chosen = chosen * gamma**step
    episodes = 1 if logp.ndim == 1 else int(keep.any(dim=0).sum())
    return -torch.dot(logp[keep], chosen.to(logp.dtype)) / episodes


def standardize(x, mask=None, eps=1e-8):
    keep = torch.ones(x.shape, dtype=torch.bool) if mask is None else mask.bool()
    if keep.shape != x.shape or not keep.any():
        raise ValueError("the mask has another shape, or marks nothing")
    entries = x.detach()[keep]
    variance, mean = torch.var_mean(entries, correction=0)
    return torch.zeros_like(x.detach()).masked_scatter(keep, (entries - mean) / (variance.sqrt() + eps))


def value_loss(values, returns, mask=None):
    if values.shape != returns.shape:
        raise ValueError("values and returns differ in shape")
    keep = torch.ones(values.shape) if mask is None else mask
    count = keep.sum()
    if count == 0:
        raise ValueError("there is nothing but padding")
    squares = F.mse_loss(values, returns.detach(), reduction="none")
    return squares.masked_fill(keep == 0, 0).sum() / count / 2


def leave_one_out_baseline(returns):
    if returns.dim() != 1 or returns.shape[0] < 2:
        raise ValueError("leaving one out needs a row of two or more")
    table = returns.detach().repeat(len(returns), 1)
    return table.fill_diagonal_(torch.nan).nanmean(dim=1)


def exact_policy_gradient(P, R, gamma, start, theta):
    if gamma < 0 or gamma >= 1:
        raise ValueError(f"gamma is {gamma}, not in [0, 1)")
    theta = theta.detach().clone().requires_grad_(True)
    pi = torch.softmax(theta, dim=1)
    chain = (pi[:, :, None] * P).sum(dim=1)
    v = torch.linalg.solve(torch.eye(len(P)) - gamma * chain, (pi * R).sum(dim=1))
    J = start @ v
    (gradient,) = torch.autograd.grad(J, theta)
    return ExactGradient(J.detach(), gradient)


class Steps:
    """The steps of a batch, in the order in which they were made."""

    def __init__(self):
        self.seen, self.actions, self.rewards = [], [], []
        self.lengths = []

    def end_episode(self):
        self.lengths.append(len(self.rewards) - sum(self.lengths))


def train_reinforce(env, config, seed):
    if config.baseline not in {"none", "standardize", "leave_one_out", "value"}:
        raise ValueError(f"there is no baseline {config.baseline!r}")
    if config.episodes_per_update <= 0:
        raise ValueError("an update takes at least one episode")
    policy, value = make_networks(env, config, seed)
    adam = torch.optim.Adam(
        [
            {"params": policy.parameters(), "lr": config.learning_rate},
            {"params": value.parameters(), "lr": config.value_learning_rate},
        ]
    )
    generator = torch.Generator()
    generator.manual_seed(seed)
    batch, returns, total, over = Steps(), [], 0.0, True
    for step in range(config.max_steps):
        if over:
            observation, _ = env.reset(seed=seed if step == 0 else None)
            total = 0.0
        seen = torch.tensor(observation, dtype=torch.float32).reshape(-1)
        with torch.no_grad():
            action = policy(seen).sample(generator)
        if policy.continuous:
            low, high = env.action_space.low, env.action_space.high
            sent = np.minimum(np.maximum(action.numpy(), low), high)
        else:
            sent = action.item()
        observation, reward, terminated, truncated, _ = env.step(sent)
        batch.seen.append(seen)
        batch.actions.append(action)
        batch.rewards.append(float(reward))
        total += float(reward)
        over = terminated or truncated
        if over:
            returns.append(total)
            batch.end_episode()
            if len(batch.lengths) == config.episodes_per_update:
                learn(policy, value, adam, batch, config)
                batch = Steps()
    return Result(policy, returns, config.max_steps, value if config.baseline == "value" else None)


def learn(policy, value, adam, batch, config):
    lengths, seen = torch.tensor(batch.lengths), torch.stack(batch.seen)
    rewards = torch.tensor(batch.rewards).split(batch.lengths)
    togo = torch.cat([discounted_returns(row, config.gamma) for row in rewards])
    weights = togo
    if config.baseline == "standardize":
        weights = standardize(togo)
    elif config.baseline == "leave_one_out" and len(lengths) > 1:
        time = torch.cat([torch.arange(int(n)) for n in lengths])
        at_time = torch.zeros(int(lengths.max())).index_add(0, time, togo)
        weights = togo - (at_time[time] - togo) / (len(lengths) - 1)
    elif config.baseline == "value":
        weights = togo - value(seen).squeeze(-1)
    dealt = policy(seen)
    loss = -(dealt.log_prob(torch.stack(batch.actions)) * weights.detach()).sum() / len(lengths)
    loss = loss - config.entropy_coefficient * dealt.entropy().mean()
    rounds = config.value_updates if config.baseline == "value" else 0
    if rounds:
        loss = loss + value_loss(value(seen).squeeze(-1), togo)
    for _ in range(max(1, rounds)):
        adam.zero_grad()
        loss.backward()
        adam.step()
        loss = value_loss(value(seen).squeeze(-1), togo)
