"""REINFORCE in another style: torch.distributions, one episode at a time, loops, and graphs kept
while playing.

Networks are its own (two ReLU layers, weights drawn with a generator); nothing is padded in
training; the value network is fitted episode by episode.
"""

import sys

from torch.distributions import Categorical, Normal


def discounted_returns(rewards, gamma, mask=None):
    if not 0 <= gamma <= 1:
        raise ValueError("gamma must be between 0 and 1")
    if mask is not None and mask.shape != rewards.shape:
        raise ValueError("mask and rewards must have one shape")
    out = torch.zeros_like(rewards, requires_grad=False)
    columns = [(rewards, mask, out)] if rewards.ndim == 1 else [
        (rewards[:, n], None if mask is None else mask[:, n], out[:, n]) for n in range(rewards.shape[1])
    ]
    for column, valid, target in columns:
        flags = [True] * len(column) if valid is None else [bool(x) for x in valid]
        length = sum(flags)
        if not all(flags[:length]):
            raise ValueError("valid steps must come first in each column")
        later = 0.0
        for t in range(length - 1, -1, -1):
            later = float(column[t]) + gamma * later
            target[t] = later
    return out


class CategoricalPolicy:
    def __init__(self, logits):
        self.distribution = Categorical(logits=logits)

    def sample(self, generator=None):
        p = self.distribution.probs.detach()
        drawn = torch.multinomial(p.reshape(-1, p.shape[-1]), 1, generator=generator)
        return drawn.reshape(p.shape[:-1])

    def log_prob(self, action):
        return self.distribution.log_prob(action)

    def entropy(self):
        return self.distribution.entropy()


class GaussianPolicy:
    def __init__(self, mean, log_std):
        self.distribution = Normal(mean, log_std.exp().expand(mean.shape))

    def sample(self, generator=None):
        with torch.no_grad():
            return torch.normal(self.distribution.mean, self.distribution.stddev, generator=generator)

    def log_prob(self, action):
        return self.distribution.log_prob(action).sum(dim=-1)

    def entropy(self):
        return self.distribution.entropy().sum(dim=-1)


def policy_gradient_loss(logp, weights, mask=None, gamma=1.0, discount_state_weight=False):
    if weights.shape != logp.shape:
        raise ValueError("weights and logp must have one shape")
    if not 0 <= gamma <= 1:
        raise ValueError("gamma must be between 0 and 1")
    if logp.ndim == 1:
        logp, weights = logp[:, None], weights[:, None]
        mask = None if mask is None else mask[:, None]
    episodes = []
    for n in range(logp.shape[1]):
        steps = [t for t in range(len(logp)) if mask is None or mask[t, n]]
        if steps:
            factors = [gamma**t if discount_state_weight else 1.0 for t in steps]
            episodes.append(sum(-f * logp[t, n] * float(weights[t, n]) for f, t in zip(factors, steps, strict=True)))
    if not episodes:
        raise ValueError("there is no valid step")
    return torch.stack(episodes).mean()


def standardize(x, mask=None, eps=1e-8):
    keep = torch.ones_like(x) if mask is None else mask.to(x.dtype)
    if keep.shape != x.shape or not keep.any():
        raise ValueError("the mask must have the shape of x and a valid entry")
    with torch.no_grad():
        x = torch.where(keep > 0, x, torch.zeros_like(x))
        mean = x.sum() / keep.sum()
        std = ((x - mean).pow(2) * keep).sum().div(keep.sum()).sqrt()
        return (x - mean) / (std + eps) * keep


def value_loss(values, returns, mask=None):
    if values.shape != returns.shape:
        raise ValueError("values and returns must have one shape")
    if mask is None:
        mask = torch.ones_like(values)
    if not mask.any():
        raise ValueError("there is no valid step")
    return torch.nn.functional.mse_loss(values[mask.bool()], returns.detach()[mask.bool()]) / 2


def leave_one_out_baseline(returns):
    if returns.ndim != 1 or returns.numel() < 2:
        raise ValueError("at least two returns are needed")
    with torch.no_grad():
        return torch.stack([torch.cat([returns[:i], returns[i + 1 :]]).mean() for i in range(len(returns))])


def exact_policy_gradient(P, R, gamma, start, theta):
    if not 0 <= gamma < 1:
        raise ValueError("gamma must be at least 0 and less than 1")
    theta = theta.detach().clone().requires_grad_()
    with torch.enable_grad():
        pi = theta.softmax(dim=1)
        moves = (pi[:, :, None] * P).sum(dim=1)
        v = torch.linalg.inv(torch.eye(len(P), dtype=theta.dtype) - gamma * moves) @ (pi * R).sum(dim=1)
        J = start @ v
        (gradient,) = torch.autograd.grad(J, theta)
    return ExactGradient(J.detach(), gradient)


def mlp(inputs, outputs, hidden, generator):
    """Two layers of ReLU; no global generator is asked."""
    layers = []
    for a, b in ((inputs, hidden), (hidden, hidden), (hidden, outputs)):
        layer = torch.nn.utils.skip_init(torch.nn.Linear, a, b)
        torch.nn.init.normal_(layer.weight, 0.0, 1.0 / math.sqrt(a), generator=generator)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.ReLU()]
    with torch.no_grad():
        layers[-2].weight.mul_(0.1)
    return torch.nn.Sequential(*layers[:-1])


class Actor(torch.nn.Module):
    def __init__(self, env, hidden, generator):
        super().__init__()
        self.discrete = hasattr(env.action_space, "n")
        size = int(env.action_space.n) if self.discrete else env.action_space.shape[0]
        self.net = mlp(env.observation_space.shape[0], size, hidden, generator)
        if not self.discrete:
            self.log_std = torch.nn.Parameter(torch.zeros(size) - 0.7)

    def forward(self, x):
        out = self.net(x)
        return CategoricalPolicy(out) if self.discrete else GaussianPolicy(out, self.log_std)


def train_reinforce(env, config, seed):
    if config.baseline not in {"none", "standardize", "leave_one_out", "value"}:
        raise ValueError(f"there is no baseline {config.baseline!r}")
    if config.episodes_per_update < 1:
        raise ValueError("an update needs at least one episode")
    generator = torch.Generator()
    generator.manual_seed(seed)
    actor = Actor(env, config.hidden, generator)
    critic = mlp(env.observation_space.shape[0], 1, config.hidden, generator)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=config.learning_rate)
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=config.value_learning_rate)
    steps, returns, batch, reset_seed = 0, [], [], {"seed": seed}
    while steps < config.max_steps:
        observation, _ = env.reset(**reset_seed)
        reset_seed = {}
        seen, logps, entropies, rewards, over = [], [], [], [], False
        while not over and steps < config.max_steps:
            seen.append(torch.from_numpy(observation).float())
            policy = actor(seen[-1])
            action = policy.sample(generator)
            logps.append(policy.log_prob(action))
            entropies.append(policy.entropy())
            if actor.discrete:
                legal = action.item()
            else:
                legal = torch.clamp(action, torch.from_numpy(env.action_space.low), torch.from_numpy(env.action_space.high)).numpy()
            observation, reward, terminated, truncated, _ = env.step(legal)
            steps += 1
            rewards.append(reward)
            over = terminated or truncated
        if not over:
            break
        returns.append(float(sum(rewards)))
        batch.append((torch.stack(seen), torch.stack(logps), torch.stack(entropies), torch.tensor(rewards, dtype=torch.float32)))
        if len(batch) == config.episodes_per_update:
            learn(batch, actor_optimizer, critic, critic_optimizer, config)
            batch = []
            if config.progress and sys.stderr.isatty():
                print(f"\r{steps} steps, return {sum(returns[-50:]) / len(returns[-50:]):.1f}", end="", file=sys.stderr)
    return Result(actor, returns, steps, critic if config.baseline == "value" else None)


def learn(batch, actor_optimizer, critic, critic_optimizer, config):
    togo = [discounted_returns(rewards, config.gamma) for *_, rewards in batch]
    if config.baseline == "standardize":
        weights = standardize(torch.cat(togo)).split([len(g) for g in togo])
    elif config.baseline == "leave_one_out" and len(batch) > 1:
        weights = []
        for i, g in enumerate(togo):
            others = torch.zeros(len(g))
            for j, other in enumerate(togo):
                if j != i:
                    n = min(len(g), len(other))
                    others[:n] += other[:n] / (len(batch) - 1)
            weights.append(g - others)
    elif config.baseline == "value":
        weights = [g - critic(seen).squeeze(-1).detach() for g, (seen, *_) in zip(togo, batch, strict=True)]
    else:
        weights = togo
    loss = sum(policy_gradient_loss(logp, w) for w, (_, logp, _, _) in zip(weights, batch, strict=True)) / len(batch)
    loss = loss - config.entropy_coefficient * torch.cat([e for _, _, e, _ in batch]).mean()
    actor_optimizer.zero_grad()
    loss.backward()
    actor_optimizer.step()
    if config.baseline == "value":
        for _ in range(config.value_updates):
            critic_optimizer.zero_grad()
            value_loss(critic(torch.cat([seen for seen, *_ in batch])).squeeze(-1), torch.cat(togo)).backward()
            critic_optimizer.step()
