"""PPO out of library parts: torch.distributions behind the policies, two networks in a ModuleDict,
NumPy for the rollout.

The block of given classes is that of the starter file.
"""


import copy
import dataclasses
import itertools

from torch import distributions, nn
from torch.utils.data import BatchSampler, RandomSampler

# -- written by the student ------------------------------------------------------------------------


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
    # amax splits the gradient between equal entries: inside the range both are the same function,
    # so nothing is lost
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
    """Hidden layers with tanh, and a last layer with a gain of its own (None: hidden layers
    only)."""
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
