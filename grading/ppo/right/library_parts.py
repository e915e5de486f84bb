"""PPO out of library parts: torch.distributions behind the policies, two networks in a ModuleDict, NumPy for the rollout.

The block of given classes is that of the starter file.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributions, nn
from torch.utils.data import BatchSampler, RandomSampler

# -- given ---------------------------------------------------------------------------------------------------------------


class CategoricalPolicy:
    """A distribution over A discrete actions for each of B states, from logits (B, A)."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self._logp = torch.log_softmax(logits, dim=-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One action per state, (B,) int64, without a graph."""
        return torch.multinomial(self._logp.detach().exp(), 1, generator=generator).squeeze(-1)

    def mode(self) -> Tensor:
        """The most probable action per state, (B,) int64."""
        return self.logits.detach().argmax(dim=-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability of the actions (B,), (B,)."""
        return self._logp.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """-sum p log p, (B,), in nats."""
        return -(self._logp.exp() * self._logp).sum(dim=-1)


class GaussianPolicy:
    """Independent normal distributions over D action components for each of B states: mean (B, D), log_std (D,)."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean = mean
        self.log_std = log_std.expand_as(mean)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One action per state, (B, D), without a graph."""
        mean = self.mean.detach()
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + self.log_std.detach().exp() * noise

    def mode(self) -> Tensor:
        """The most probable action per state, (B, D)."""
        return self.mean.detach()

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density of whole actions (B, D), summed over their components, (B,)."""
        z = (action - self.mean) / self.log_std.exp()
        return (-0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def entropy(self) -> Tensor:
        """Differential entropy, summed over components, (B,), in nats."""
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(dim=-1)


class Advantages(NamedTuple):
    """What ``gae`` returns, each (T, N)."""

    advantages: Tensor
    returns: Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
) -> Advantages:
    """Generalized advantage estimates of a rollout (T, N): terminated cuts the bootstrap, either flag the recursion."""
    deltas = rewards + gamma * next_values * (~terminated) - values
    decay = gamma * lam * (~(terminated | truncated))
    advantages, later = torch.empty_like(deltas), torch.zeros_like(deltas[-1])
    for t in reversed(range(len(deltas))):
        later = deltas[t] + decay[t] * later
        advantages[t] = later
    return Advantages(advantages, advantages + values)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns); 0.0 where the returns are constant."""
    variance = returns.var(correction=0)
    return 0.0 if variance == 0 else float(1 - (returns - values).var(correction=0) / variance)


class RunningMeanStd:
    """Mean and population variance of everything seen so far, in float64 (Chan, Golub and LeVeque 1979)."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.ones(shape, dtype=torch.float64)
        self.count = 0

    def update_(self, batch: Tensor) -> None:
        """Take in a batch (n, *shape)."""
        batch = batch.detach().double()
        n, gap = len(batch), batch.mean(dim=0) - self.mean
        total = self.count + n
        squares = self.var * self.count + batch.var(dim=0, correction=0) * n + gap**2 * self.count * n / total
        self.mean, self.var, self.count = self.mean + gap * n / total, squares / total, total


@dataclass(frozen=True)
class PPOConfig:
    """Settings of ``ppo_update`` and ``train_ppo``. The defaults suit CartPole-v1."""

    total_steps: int = 50_000  # environment steps in all, counted over all environments; never exceeded
    num_envs: int = 16  # environments side by side (N)
    horizon: int = 64  # steps of each environment in a rollout (T)
    epochs: int = 10  # passes over a rollout
    minibatch_size: int = 256  # samples of one optimiser step; the last minibatch of an epoch may be smaller
    accum_steps: int = 1  # pieces of a minibatch that go through the network one after the other
    learning_rate: float = 5e-3  # of the first update
    anneal: bool = True  # lower the learning rate linearly from update to update, towards 0
    gamma: float = 0.98  # discount for one step
    lam: float = 0.95  # lambda of GAE
    clip_low: float = 0.2  # ratios below 1 - clip_low are clipped
    clip_high: float | None = None  # ratios above 1 + clip_high are clipped; None: as clip_low
    dual_clip: float | None = None  # the c of the dual clip; None: the plain surrogate
    value_clip: float | None = None  # values may move this far from old_values; None: no clipping
    value_coef: float = 0.5  # c_1 of eq. 9
    entropy_coef: float = 0.0  # c_2 of eq. 9
    normalize_advantages: bool = True  # to mean 0 and population deviation 1, within each minibatch
    max_grad_norm: float = 0.5  # joint norm of all gradients of one optimiser step
    stop_kl: float | None = None  # KL early stop: the target of KLEarlyStop; None: no stop
    kl_coef: float = 0.0  # beta of the KL penalty (eq. 8); 0: no penalty
    kl_target: float | None = None  # train_ppo adapts beta towards this KL after each update; None: beta stays
    normalize_obs: bool = False
    normalize_rewards: bool = False
    hidden: tuple[int, ...] = (64, 64)
    shared: bool = False  # one trunk for actor and critic
    progress: bool = True  # a progress bar, where standard error is a terminal


class PPOBatch(NamedTuple):
    """The samples of one rollout, flat: B = T * N rows, none of them with a gradient."""

    obs: Tensor  # (B, ...)
    actions: Tensor  # (B,) int64 or (B, D)
    old_logp: Tensor  # (B,)
    old_values: Tensor  # (B,)
    advantages: Tensor  # (B,), not normalised
    returns: Tensor  # (B,)


class Rollout(NamedTuple):
    """What ``collect`` returns: row t of each tensor belongs to step t."""

    obs: Tensor  # (T, N, ...), what the policy saw before the step
    actions: Tensor  # (T, N) int64 or (T, N, D), as sampled: not clipped
    logp: Tensor  # (T, N), of these actions
    rewards: Tensor  # (T, N), as the environment gave them
    values: Tensor  # (T, N), V of obs
    next_values: Tensor  # (T, N), V of the state that the step really led to
    terminated: Tensor  # (T, N) bool
    truncated: Tensor  # (T, N) bool
    last_obs: np.ndarray  # (N, ...), where the next rollout begins


class Result(NamedTuple):
    """What ``train_ppo`` returns."""

    model: Any  # the trained ActorCritic
    returns: list[float]  # undiscounted return of each finished episode, in the order in which they ended
    steps: int  # environment steps taken


class LinearActorCritic(nn.Module):
    """A model small enough to follow with a pencil: linear logits (or means), linear values. For tests and for debugging.

    It has the interface of ``ActorCritic``: ``policy(obs)`` and ``value(obs)``.
    """

    def __init__(self, obs_dim: int, action_dim: int, continuous: bool = False) -> None:
        super().__init__()
        self.actor = nn.Linear(obs_dim, action_dim)
        self.critic = nn.Linear(obs_dim, 1)
        self.log_std = nn.Parameter(torch.zeros(action_dim)) if continuous else None

    def policy(self, obs: Tensor) -> CategoricalPolicy | GaussianPolicy:
        """The policy at obs (B, obs_dim)."""
        if self.log_std is not None:
            return GaussianPolicy(self.actor(obs), self.log_std)
        return CategoricalPolicy(self.actor(obs))

    def value(self, obs: Tensor) -> Tensor:
        """V(obs), (B,)."""
        return self.critic(obs).squeeze(-1)


# -- written by the student -----------------------------------------------------------------------------------------------


def pick(mask, *columns):
    """Flat valid entries."""
    if len({tuple(column.shape) for column in (*columns, *([] if mask is None else [mask]))}) > 1:
        raise ValueError("all tensors must have one shape.")
    columns = [column.reshape(-1) if mask is None else torch.masked_select(column, mask.bool()) for column in columns]
    if columns[0].numel() == 0:
        raise ValueError("no entry is valid.")
    return columns


def per_sample(logp, old_logp, adv, low, high):
    high = low if high is None else high
    if not (0 < low < 1 and high > 0):
        raise ValueError("the clip distances are impossible.")
    ratio = (logp - old_logp).exp()
    losses = torch.stack([-ratio * adv, -torch.clip(ratio, 1 - low, 1 + high) * adv]).amax(dim=0)
    # amax splits the gradient between equal entries: inside the range both are the same function, so nothing is lost
    with torch.no_grad():
        log_ratio = logp - old_logp
        metrics = {
            "clip_fraction": 1.0 - ((1 - low <= ratio) & (ratio <= 1 + high)).double().mean().item(),
            "approx_kl": (ratio - 1 - log_ratio).mean().item(),
            "ratio_mean": ratio.mean().item(),
        }
    return losses, metrics


def clipped_surrogate(logp, old_logp, adv, clip_low=0.2, clip_high=None, mask=None):
    logp, old_logp, adv = pick(mask, logp, old_logp.data, adv.data)
    losses, metrics = per_sample(logp, old_logp, adv, clip_low, clip_high)
    return losses.mean(), metrics


def dual_clip_surrogate(logp, old_logp, adv, clip_low=0.2, clip_high=None, c=3.0, mask=None):
    if not c > 1.0:
        raise ValueError("c has to exceed one.")
    logp, old_logp, adv = pick(mask, logp, old_logp.data, adv.data)
    losses, metrics = per_sample(logp, old_logp, adv, clip_low, clip_high)
    bad = adv.lt(0)
    return (losses[~bad].sum() + torch.minimum(losses[bad], c * adv[bad].abs()).sum()) / len(adv), metrics


def value_loss(values, old_values, returns, clip=None, mask=None):
    values, old_values, returns = pick(mask, values, old_values.data, returns.data)
    plain = nn.functional.mse_loss(values, returns, reduction="none")
    if clip is None:
        return plain.mean() / 2
    if not clip > 0:
        raise ValueError("clip is a distance.")
    near = torch.clamp(values, old_values - clip, old_values + clip)
    held = nn.functional.mse_loss(near, returns, reduction="none")
    return torch.where(held > plain, held, plain).mean() / 2


def entropy_bonus(entropy, mask=None):
    return pick(mask, entropy)[0].mean()


def total_loss(policy_loss, value_loss, entropy, value_coef, entropy_coef):
    if value_coef < 0 or entropy_coef < 0:
        raise ValueError("negative weights turn the losses around.")
    weights = torch.tensor([1.0, value_coef, -entropy_coef], dtype=policy_loss.dtype)
    return torch.stack([policy_loss, value_loss, entropy]) @ weights


def approx_kl(logp, old_logp, kind="k3", mask=None):
    logp, old_logp = pick(mask, logp, old_logp.data)
    difference = logp - old_logp
    match kind:
        case "k1":
            return difference.neg().mean()
        case "k2":
            return difference.pow(2).mean().div(2)
        case "k3":
            return (difference.exp() - difference).mean() - 1
    raise ValueError(f"there is no estimator {kind!r}.")


def kl_penalty_beta(beta, kl, target):
    if beta < 0 or not target > 0:
        raise ValueError("beta >= 0 and target > 0 are needed.")
    if kl < target / 1.5:
        beta = 0.5 * beta
    elif kl > target * 1.5:
        beta = 2 * beta
    return beta


@dataclass
class AdaptiveKLController:
    beta: float
    target: float
    horizon: float

    def __init__(self, init, target, horizon):
        if init <= 0 or target <= 0 or horizon <= 0:
            raise ValueError("init, target and horizon must be positive.")
        self.beta, self.target, self.horizon = init, target, horizon

    def update_(self, kl, n_steps):
        if n_steps <= 0:
            raise ValueError("n_steps must be positive.")
        error = kl / self.target - 1
        error = math.copysign(min(abs(error), 0.2), error)
        self.beta = self.beta + self.beta * error * (n_steps / self.horizon)
        return self.beta


class KLEarlyStop:
    def __init__(self, target, factor=1.5):
        if not (target > 0 and factor >= 1):
            raise ValueError("target > 0 and factor >= 1 are needed.")
        self.target, self.factor = target, factor

    def should_stop(self, kl):
        return kl / self.target > self.factor


def perceptron(sizes, last_gain, generator):
    """Hidden layers with tanh, and a last layer with a gain of its own (None: hidden layers only)."""
    parts = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        last = last_gain is not None and number == len(sizes) - 2
        layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
        nn.init.orthogonal_(layer.weight, last_gain if last else nn.init.calculate_gain("relu"), generator=generator)
        nn.init.constant_(layer.bias, 0)
        parts += [layer] if last else [layer, nn.Tanh()]
    return nn.Sequential(*parts)


class ActorCritic(nn.Module):
    def __init__(self, obs_dim, action_dim, hidden=(64, 64), shared=False, continuous=False, generator=None):
        super().__init__()
        self.normalizer = None
        if shared:
            common = perceptron([obs_dim, *hidden], None, generator)
            width = [obs_dim, *hidden][-1]
            self.nets = nn.ModuleDict({"common": common})
            self.nets["actor"] = perceptron([width, action_dim], 0.01, generator)
            self.nets["critic"] = perceptron([width, 1], 1.0, generator)
        else:
            self.nets = nn.ModuleDict({"common": nn.Identity()})
            self.nets["actor"] = perceptron([obs_dim, *hidden, action_dim], 0.01, generator)
            self.nets["critic"] = perceptron([obs_dim, *hidden, 1], 1.0, generator)
        self.register_parameter("spread", nn.Parameter(torch.zeros(1, action_dim)[0]) if continuous else None)

    def out(self, name, obs):
        if self.normalizer is not None:
            obs = self.normalizer.normalize(obs)
        return self.nets[name](self.nets["common"](obs))

    def policy(self, obs):
        if self.spread is None:
            return CategoricalPolicy(self.out("actor", obs))
        return GaussianPolicy(self.out("actor", obs), self.spread)

    def value(self, obs):
        return self.out("critic", obs).flatten()


def linear_schedule(start, end, progress):
    if not 0 <= progress <= 1:
        raise ValueError("progress is a share.")
    return float(np.interp(progress, [0.0, 1.0], [start, end]))


def clip_grad_norm_(grads, max_norm):
    if not max_norm > 0:
        raise ValueError("max_norm must be positive.")
    holders = []
    for grad in grads:
        if grad is not None:
            holder = nn.Parameter(torch.empty_like(grad))
            holder.grad = grad
            holders.append(holder)
    return float(nn.utils.clip_grad_norm_(holders, max_norm))


class ObservationNormalizer:
    def __init__(self, shape, clip=10.0):
        self.moments, self.limit = RunningMeanStd(shape), clip

    def update_(self, obs):
        self.moments.update_(obs)

    def normalize(self, obs):
        center, scale = self.moments.mean.to(obs), self.moments.var.add(1e-8).rsqrt().to(obs)
        return torch.clip((obs - center) * scale, -self.limit, self.limit)


class RewardNormalizer:
    def __init__(self, num_envs, gamma, clip=10.0):
        if num_envs < 1 or not 0 <= gamma <= 1:
            raise ValueError("num_envs or gamma is impossible.")
        self.moments, self.limit, self.gamma = RunningMeanStd(), clip, gamma
        self.carried = torch.zeros(num_envs, dtype=torch.float64)

    def update_(self, rewards, ended):
        seen = self.carried.mul(self.gamma).add(rewards)
        self.moments.update_(seen)
        self.carried = seen.masked_fill(ended.bool(), 0.0)

    def normalize(self, rewards):
        return torch.clip(rewards * float(self.moments.var + 1e-8) ** -0.5, -self.limit, self.limit)


def minibatch_gradient(model, batch, rows, cfg):
    advantages = batch.advantages[rows]
    if cfg.normalize_advantages:
        mean, std = advantages.mean(), advantages.var(correction=0).sqrt()
        advantages = (advantages - mean) / (std + 1e-8)
    seen = []
    for part in torch.arange(len(rows)).chunk(cfg.accum_steps):
        chosen = PPOBatch(*(column[rows[part]] for column in batch))
        policy = model.policy(chosen.obs)
        if isinstance(policy, GaussianPolicy):
            law = distributions.Independent(distributions.Normal(policy.mean, policy.log_std.exp()), 1)
        else:
            law = distributions.Categorical(logits=policy.logits)
        logp = law.log_prob(chosen.actions)
        bounds = (cfg.clip_low, cfg.clip_high) if cfg.dual_clip is None else (cfg.clip_low, cfg.clip_high, cfg.dual_clip)
        surrogate = clipped_surrogate if cfg.dual_clip is None else dual_clip_surrogate
        gain, metrics = surrogate(logp, chosen.old_logp, advantages[part], *bounds)
        error = value_loss(model.value(chosen.obs), chosen.old_values, chosen.returns, cfg.value_clip)
        entropy = entropy_bonus(law.entropy())
        loss = total_loss(gain, error, entropy, cfg.value_coef, cfg.entropy_coef)
        if cfg.kl_coef > 0:
            loss = loss + cfg.kl_coef * approx_kl(logp, chosen.old_logp)
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError("a loss that is no number would ruin the parameters.")
        loss.mul(len(part)).div(len(rows)).backward()
        metrics |= {"policy_loss": gain.item(), "value_loss": error.item(), "entropy": entropy.item()}
        seen.append((len(part), metrics))
    return {name: sum(n * m[name] for n, m in seen) / len(rows) for name in seen[0][1]}


def ppo_update(model, opt, batch, cfg, generator):
    if cfg.epochs < 1 or cfg.minibatch_size < 1 or cfg.accum_steps < 1:
        raise ValueError("epochs, minibatch_size and accum_steps must be at least one.")
    sampler = BatchSampler(RandomSampler(range(len(batch.obs)), generator=generator), cfg.minibatch_size, drop_last=False)
    history, norms, done = [], [], 0
    limit = math.inf if cfg.stop_kl is None else 1.5 * cfg.stop_kl
    for _ in range(cfg.epochs):
        for rows in sampler:
            model.zero_grad()
            history.append(minibatch_gradient(model, batch, torch.tensor(rows), cfg))
            if history[-1]["approx_kl"] > limit:
                break
            norms.append(clip_grad_norm_([p.grad for p in model.parameters()], cfg.max_grad_norm))
            opt.step()
        else:
            done += 1
            continue
        break
    means = {name: float(np.mean([entry[name] for entry in history])) for name in history[0]}
    means["grad_norm"] = float(np.mean(norms)) if norms else 0.0
    return means | {"steps": float(len(norms)), "epochs": float(done)}


def collect(env, model, obs, horizon, generator):
    dtype = next(iter(model.parameters())).dtype
    n = env.num_envs
    grid = {name: np.zeros((horizon, n)) for name in ("logp", "rewards", "values", "next_values")}
    flags = {name: np.zeros((horizon, n), bool) for name in ("terminated", "truncated")}
    observations, actions = [], []
    with torch.no_grad():
        for t in range(horizon):
            observations.append(torch.as_tensor(np.array(obs), dtype=dtype))
            policy = model.policy(observations[-1])
            actions.append(policy.sample(generator))
            grid["logp"][t] = policy.log_prob(actions[-1])
            grid["values"][t] = model.value(observations[-1])
            move = actions[-1].numpy()
            if actions[-1].is_floating_point():
                move = move.clip(env.single_action_space.low, env.single_action_space.high).astype(np.float32)
            obs, grid["rewards"][t], flags["terminated"][t], flags["truncated"][t], info = env.step(move)
            grid["next_values"][t] = model.value(torch.as_tensor(np.array(obs), dtype=dtype))
            if "final_obs" in info:
                (where,) = np.nonzero(info["_final_obs"])
                final = np.array([info["final_obs"][i] for i in where])
                grid["next_values"][t, where] = model.value(torch.as_tensor(final, dtype=dtype))
    tensors = {name: torch.as_tensor(array, dtype=dtype) for name, array in grid.items()}
    tensors |= {name: torch.as_tensor(array) for name, array in flags.items()}
    return Rollout(obs=torch.stack(observations), actions=torch.stack(actions), last_obs=obs, **tensors)


def train_ppo(make_env, cfg, seed, on_update=None):
    rows = cfg.num_envs * cfg.horizon
    if rows > cfg.total_steps:
        raise ValueError("not even one rollout fits into total_steps.")
    env, generator = make_env(cfg.num_envs), torch.Generator().manual_seed(seed + 12345)
    observation, action = env.single_observation_space, env.single_action_space
    continuous = np.issubdtype(action.dtype, np.floating)
    model = ActorCritic(
        int(np.prod(observation.shape)), int(action.shape[0]) if continuous else int(action.n), cfg.hidden,
        shared=cfg.shared, continuous=continuous, generator=generator,
    )  # fmt: skip
    model.normalizer = ObservationNormalizer(observation.shape) if cfg.normalize_obs else None
    scaler = RewardNormalizer(cfg.num_envs, cfg.gamma)
    opt = torch.optim.Adam(model.parameters(), lr=cfg.learning_rate, eps=1e-5)
    updates = cfg.total_steps // rows
    decay = (lambda k: 1 - k / updates) if cfg.anneal else (lambda k: 1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, decay)
    obs, _ = env.reset(seed=seed)
    earned, returns, beta, steps = np.zeros(cfg.num_envs), [], cfg.kl_coef, 0
    for _ in range(updates):
        rollout = collect(env, model, obs, cfg.horizon, generator)
        obs, steps = rollout.last_obs, steps + rows
        for reward, ended in zip(rollout.rewards, rollout.terminated | rollout.truncated, strict=True):
            earned = earned + reward.numpy()
            returns.extend(earned[ended.numpy()].tolist())
            earned = earned * ~ended.numpy()
            scaler.update_(reward, ended)
        rewards = scaler.normalize(rollout.rewards) if cfg.normalize_rewards else rollout.rewards
        targets = gae(rewards, rollout.values, rollout.next_values, rollout.terminated, rollout.truncated, cfg.gamma, cfg.lam)
        batch = PPOBatch(*(x.flatten(0, 1) for x in (rollout.obs, rollout.actions, rollout.logp, rollout.values, *targets)))
        rate = opt.param_groups[0]["lr"]
        metrics = copy.copy(ppo_update(model, opt, batch, dataclasses.replace(cfg, kl_coef=beta), generator))
        schedule.step()
        beta = kl_penalty_beta(beta, metrics["approx_kl"], cfg.kl_target) if cfg.kl_target else beta
        if cfg.normalize_obs:
            model.normalizer.update_(batch.obs)
        metrics |= {
            "total_steps": steps, "learning_rate": rate, "beta": beta,
            "mean_return": float(np.mean(returns[-100:])) if returns else math.nan,
            "explained_variance": explained_variance(batch.old_values, batch.returns),
        }  # fmt: skip
        if on_update and on_update(model, metrics):
            break
    return Result(model, returns, steps)
