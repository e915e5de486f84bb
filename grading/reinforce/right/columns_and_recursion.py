"""REINFORCE column by column: recursive returns, policies as tables of probabilities kept in
logarithms, sums over time written out, gradients by finite sums over states to come.

Training keeps an agent with its own networks, plays with NumPy, and weighs each episode by itself.
"""

from dataclasses import field

import numpy as np


def refuse(condition, sentence):
    if condition:
        raise ValueError(sentence)


def columns(x):
    """A tensor (T,) or (T, N) as a list of columns."""
    return [x] if x.ndim == 1 else list(x.unbind(dim=1))


def lengths_of(like, mask):
    """How many steps each column has."""
    if mask is None:
        return [len(like)] * len(columns(like))
    refuse(mask.shape != like.shape, "the mask must have the shape of the data")
    return [int(column.sum()) for column in columns(mask)]


def togo(rewards, gamma):
    """Rewards to go of a list of numbers."""
    if not rewards:
        return []
    rest = togo(rewards[1:], gamma)
    return [rewards[0] + gamma * (rest[0] if rest else 0.0), *rest]


def discounted_returns(rewards, gamma, mask=None):
    refuse(not 0 <= gamma <= 1, "gamma must be from 0 to 1")
    lengths = lengths_of(rewards, mask)
    if mask is not None:
        for column, n in zip(columns(mask), lengths, strict=True):
            refuse(not bool(column[:n].all()), "valid steps must come first")
    found = []
    for column, n in zip(columns(rewards), lengths, strict=True):
        numbers = togo(column[:n].tolist(), gamma) + [0.0] * (len(column) - n)
        found.append(torch.tensor(numbers, dtype=rewards.dtype))
    return found[0] if rewards.ndim == 1 else torch.stack(found, dim=1)


class CategoricalPolicy:
    def __init__(self, logits):
        top = logits.amax(dim=-1, keepdim=True).detach()
        self.log_table = logits - top - (logits - top).exp().sum(dim=-1, keepdim=True).log()

    def sample(self, generator=None):
        chances = self.log_table.detach().exp()
        edges = chances.cumsum(dim=-1)
        shots = torch.rand((*edges.shape[:-1], 1), generator=generator, dtype=edges.dtype)
        drawn = torch.searchsorted(edges, shots * edges[..., -1:], right=True)
        return drawn.squeeze(-1).clamp(max=edges.shape[-1] - 1)

    def log_prob(self, action):
        return torch.take_along_dim(self.log_table, action.long()[..., None], dim=-1)[..., 0]

    def entropy(self):
        return -torch.einsum("...a,...a->...", self.log_table.exp(), self.log_table)


class GaussianPolicy:
    def __init__(self, mean, log_std):
        self.mean, self.std = mean, log_std.exp() + torch.zeros_like(mean)

    def sample(self, generator=None):
        return torch.normal(self.mean.detach(), self.std.detach(), generator=generator)

    def log_prob(self, action):
        total = torch.zeros(self.mean.shape[:-1], dtype=self.mean.dtype)
        for d in range(self.mean.shape[-1]):
            mean, std = self.mean[..., d], self.std[..., d]
            z = (action[..., d] - mean) / std
            total = total - z.square() / 2 - std.log() - math.log(math.tau) / 2
        return total

    def entropy(self):
        return sum(0.5 + 0.5 * math.log(math.tau) + std.log() for std in self.std.unbind(-1))


def policy_gradient_loss(logp, weights, mask=None, gamma=1.0, discount_state_weight=False):
    refuse(logp.shape != weights.shape, "logp and weights must have one shape")
    refuse(not 0 <= gamma <= 1, "gamma must be from 0 to 1")
    lengths = lengths_of(logp, mask)
    refuse(not any(lengths), "no step is valid")
    total, episodes = 0.0, 0
    for score, weight, n in zip(columns(logp), columns(weights.detach()), lengths, strict=True):
        factor = 1.0
        for t in range(n):
            total = total - factor * weight[t] * score[t]
            factor *= gamma if discount_state_weight else 1.0
        episodes += n > 0
    return total / episodes


def standardize(x, mask=None, eps=1e-8):
    numbers = x.detach().numpy()
    keep = np.ones(numbers.shape, bool) if mask is None else mask.numpy().astype(bool)
    refuse(keep.shape != numbers.shape, "the mask must have the shape of the data")
    refuse(not keep.any(), "no entry is valid")
    centred = numbers - np.mean(numbers, where=keep)
    scale = np.sqrt(np.mean(centred**2, where=keep)) + eps
    return torch.from_numpy(np.where(keep, centred / scale, 0.0))


def value_loss(values, returns, mask=None):
    refuse(values.shape != returns.shape, "values and returns must have one shape")
    lengths = lengths_of(values, mask)
    refuse(not any(lengths), "no step is valid")
    rows = zip(columns(values), columns(returns.detach()), lengths, strict=True)
    return sum(((v[:n] - g[:n]) ** 2).sum() for v, g, n in rows) / (2 * sum(lengths))


def leave_one_out_baseline(returns):
    refuse(returns.ndim != 1 or len(returns) < 2, "two returns are needed, in one dimension")
    numbers = returns.tolist()
    others = [sum(numbers[:i]) + sum(numbers[i + 1 :]) for i in range(len(numbers))]
    return torch.tensor(others, dtype=returns.dtype) / (len(numbers) - 1)


def exact_policy_gradient(P, R, gamma, start, theta):
    refuse(not 0 <= gamma < 1, "gamma must be at least 0 and below 1")
    P, R, start, theta = (x.detach().numpy() for x in (P, R, start, theta))
    pi = np.exp(theta - theta.max(axis=1, keepdims=True))
    pi /= pi.sum(axis=1, keepdims=True)
    v, visits, here = np.zeros(len(P)), np.zeros(len(P)), start
    # Forward in time for visits, backward for values, until nothing is left to add.
    for _ in range(int(40 / (1 - gamma)) + 1):
        visits = visits + here
        here = gamma * np.einsum("s,sa,sat->t", here, pi, P)
        v = np.sum(pi * (R + gamma * P @ v), axis=1)
    q = R + gamma * P @ v
    gradient = visits[:, None] * pi * (q - v[:, None])
    return ExactGradient(torch.tensor(start @ v), torch.tensor(gradient))


class Mind(nn.Module):
    """An actor with two hidden layers; for continuous actions the widths are learned beside it."""

    def __init__(self, space, actions, hidden, generator):
        super().__init__()
        self.discrete = hasattr(actions, "n")
        size = int(actions.n) if self.discrete else int(np.prod(actions.shape))
        self.layers = chain_of(int(np.prod(space.shape)), hidden, size, generator)
        self.log_std = nn.Parameter(torch.zeros(0 if self.discrete else size))

    def forward(self, observations):
        out = self.layers(observations)
        return CategoricalPolicy(out) if self.discrete else GaussianPolicy(out, self.log_std)


def chain_of(inputs, hidden, outputs, generator):
    """Linear layers with tanh between them, whose weights come from the generator."""
    with torch.random.fork_rng(devices=[]):
        layers = [nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, outputs)]
    for layer in layers[::2]:
        bound = 1 / math.sqrt(layer.in_features)
        for parameter in layer.parameters():
            parameter.data.uniform_(-bound, bound, generator=generator)
    return nn.Sequential(*layers)


@dataclass
class Diary:
    """One episode."""

    seen: list = field(default_factory=list)
    done: list = field(default_factory=list)
    paid: list = field(default_factory=list)


class Agent:
    """Plays, and learns from what it has played."""

    def __init__(self, env, config, seed):
        self.env, self.config, self.seed = env, config, seed
        self.generator = torch.Generator().manual_seed(seed)
        self.actor = Mind(env.observation_space, env.action_space, config.hidden, self.generator)
        inputs = int(np.prod(env.observation_space.shape))
        self.critic = chain_of(inputs, config.hidden, 1, self.generator)
        self.actor_step = torch.optim.Adam(self.actor.parameters(), config.learning_rate)
        self.critic_step = torch.optim.Adam(self.critic.parameters(), config.value_learning_rate)
        self.steps = 0

    def play(self):
        """An episode, or None if the steps run out."""
        seeded = {"seed": self.seed} if self.steps == 0 else {}
        diary, (observation, _) = Diary(), self.env.reset(**seeded)
        while self.steps < self.config.max_steps:
            diary.seen.append(np.asarray(observation, np.float32).ravel())
            with torch.inference_mode():
                drawn = self.actor(torch.from_numpy(diary.seen[-1])).sample(self.generator)
            diary.done.append(drawn.numpy())
            space = self.env.action_space
            send = int(drawn) if self.actor.discrete else drawn.numpy().clip(space.low, space.high)
            observation, reward, *ends, _ = self.env.step(send)
            diary.paid.append(float(reward))
            self.steps += 1
            if any(ends):
                return diary
        return None

    def learn(self, diaries):
        returns = [togo(one.paid, self.config.gamma) for one in diaries]
        everything = [g for own in returns for g in own]
        mean, deviation = np.mean(everything), np.std(everything)
        gain, entropies = 0.0, []
        for i, one in enumerate(diaries):
            seen = torch.from_numpy(np.stack(one.seen))
            weight = np.array(returns[i])
            if self.config.baseline == "standardize":
                weight = (weight - mean) / (deviation + 1e-8)
            elif self.config.baseline == "value":
                weight = weight - self.critic(seen).detach().numpy()[:, 0]
            elif self.config.baseline == "leave_one_out":
                for t in range(len(weight)):
                    others = [g[t] for j, g in enumerate(returns) if j != i and t < len(g)]
                    weight[t] -= sum(others) / max(len(diaries) - 1, 1)
            policy = self.actor(seen)
            logp = policy.log_prob(torch.from_numpy(np.stack(one.done)))
            gain = gain + logp @ torch.tensor(weight, dtype=logp.dtype)
            entropies.append(policy.entropy())
        bonus = self.config.entropy_coefficient * torch.cat(entropies).mean()
        self.actor.zero_grad()
        (-gain / len(diaries) - bonus).backward()
        self.actor_step.step()
        if self.config.baseline == "value":
            seen = torch.from_numpy(np.concatenate([np.stack(one.seen) for one in diaries]))
            for _ in range(self.config.value_updates):
                self.critic.zero_grad()
                value_loss(self.critic(seen)[:, 0], torch.tensor(everything)).backward()
                self.critic_step.step()


def train_reinforce(env, config, seed):
    known = ("none", "standardize", "leave_one_out", "value")
    refuse(config.baseline not in known, f"the baseline must be one of {known}")
    refuse(config.episodes_per_update < 1, "an update needs an episode")
    agent, diaries, returns = Agent(env, config, seed), [], []
    while (diary := agent.play()) is not None:
        diaries.append(diary)
        returns.append(sum(diary.paid))
        if len(diaries) == config.episodes_per_update:
            agent.learn(diaries)
            diaries = []
    critic = agent.critic if config.baseline == "value" else None
    return Result(agent.actor, returns, agent.steps, critic)
