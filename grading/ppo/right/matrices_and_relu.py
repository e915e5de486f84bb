"""PPO without nn.Linear and without a minimum: weights as bare matrices, gains with relu, sums of
squares for statistics, values of a whole rollout at once, one backward pass for all pieces."""

from dataclasses import replace

relu = nn.functional.relu


def chosen(mask, *tensors):
    for tensor in tensors[1:] if mask is None else (*tensors[1:], mask):
        if tensor.shape != tensors[0].shape:
            raise ValueError("all tensors must have one shape.")
    if mask is not None:
        tensors = tuple(torch.masked_select(tensor, mask.bool()) for tensor in tensors)
    if tensors[0].numel() == 0:
        raise ValueError("there must be an entry that counts.")
    return tensors


def gains(logp, old_logp, adv, low, high, mask):
    high = low if high is None else high
    if not 0 < low < 1 or not high > 0:
        raise ValueError("the clip range is impossible.")
    new, old, adv = chosen(mask, logp, old_logp.detach(), adv.detach())
    ratio = torch.exp(new - old)
    held = torch.clip(ratio, 1 - low, 1 + high) * adv
    # The smaller of two numbers is one of them less what it is above the other.
    gain = held - relu(held - ratio * adv)
    r = ratio.detach()
    return gain, adv, {
        "clip_fraction": float(((r < 1 - low).double() + (r > 1 + high).double()).mean()),
        "approx_kl": float((r - 1).mean() - (new - old).detach().mean()),
        "ratio_mean": float(r.mean()),
    }


def clipped_surrogate(logp, old_logp, adv, clip_low=0.2, clip_high=None, mask=None):
    gain, _, metrics = gains(logp, old_logp, adv, clip_low, clip_high, mask)
    return gain.mean().neg(), metrics


def dual_clip_surrogate(logp, old_logp, adv, clip_low=0.2, clip_high=None, c=3.0, mask=None):
    if not c > 1:
        raise ValueError("the second bound has to be above 1.")
    gain, adv, metrics = gains(logp, old_logp, adv, clip_low, clip_high, mask)
    # Good actions have no bound from below: their gain is never negative.
    lowest = torch.where(adv < 0, c * adv, -math.inf)
    return -torch.where(gain < lowest, lowest, gain).mean(), metrics


def value_loss(values, old_values, returns, clip=None, mask=None):
    values, old, goal = chosen(mask, values, old_values.detach(), returns.detach())
    plain = torch.square(goal - values)
    if clip is None:
        return plain.sum() / (2 * len(plain.flatten()))
    if not clip > 0:
        raise ValueError("the leash must be longer than 0.")
    step = values - old
    held = torch.square(goal - old - (step - relu(step - clip) + relu(-step - clip)))
    return (plain + relu(held - plain)).mean() * 0.5


def entropy_bonus(entropy, mask=None):
    (counted,) = chosen(mask, entropy)
    return counted.sum() / counted.numel()


def total_loss(policy_loss, value_loss, entropy, value_coef, entropy_coef):
    for weight in (value_coef, entropy_coef):
        if weight < 0:
            raise ValueError("a weight is negative.")
    return sum((policy_loss, value_coef * value_loss, -entropy_coef * entropy))


def approx_kl(logp, old_logp, kind="k3", mask=None):
    new, old = chosen(mask, logp, old_logp.detach())
    if kind == "k1":
        return (old - new).mean()
    if kind == "k2":
        return torch.square(old - new).mean() / 2
    if kind == "k3":
        return (torch.exp(new) / torch.exp(old) - 1 + old - new).mean()
    raise ValueError("the kinds are k1, k2 and k3.")


def kl_penalty_beta(beta, kl, target):
    if not (beta >= 0 and target > 0):
        raise ValueError("beta is not negative, and the target is positive.")
    ratio = kl / target
    return 2 * beta if ratio > 1.5 else beta / 2 if 1.5 * kl < target else beta


class AdaptiveKLController:
    def __init__(self, init, target, horizon):
        if not (init > 0 and target > 0 and horizon > 0):
            raise ValueError("everything here is positive.")
        self.beta, self.rule = init, (target, horizon)

    def update_(self, kl, n_steps):
        if not n_steps >= 1:
            raise ValueError("at least one sample is needed.")
        target, horizon = self.rule
        error = sorted([-0.2, (kl - target) / target, 0.2])[1]
        self.beta *= (horizon + error * n_steps) / horizon
        return self.beta


class KLEarlyStop:
    def __init__(self, target, factor=1.5):
        if not target > 0 or not factor >= 1:
            raise ValueError("the target is positive, and the factor is at least 1.")
        self.should_stop = lambda kl: bool(kl > factor * target)


def orthogonal(outputs, inputs, gain, generator):
    left, _, right = torch.linalg.svd(
        torch.randn(outputs, inputs, generator=generator), full_matrices=False
    )
    return nn.Parameter(gain * (left @ right))


class ActorCritic(nn.Module):
    def __init__(
        self, obs_dim, action_dim, hidden=(64, 64), shared=False, continuous=False, generator=None
    ):
        super().__init__()
        self.normalizer = None
        sizes = (obs_dim, *hidden)

        def stack():
            pairs = list(zip(sizes[1:], sizes[:-1], strict=True))
            weights = nn.ParameterList([orthogonal(*pair, 2**0.5, generator) for pair in pairs])
            biases = nn.ParameterList([torch.zeros(size) for size in sizes[1:]])
            return nn.ModuleList([weights, biases])

        self.pi = stack()
        self.v = self.pi if shared else stack()
        self.w_pi = orthogonal(action_dim, sizes[-1], 0.01, generator)
        self.b_pi = nn.Parameter(torch.zeros(action_dim))
        self.w_v = orthogonal(1, sizes[-1], 1.0, generator)
        self.b_v = nn.Parameter(torch.zeros(1))
        if continuous:
            self.log_std = nn.Parameter(torch.zeros(action_dim))

    def hidden(self, layers, x):
        if self.normalizer is not None:
            x = self.normalizer.normalize(x)
        for weight, bias in zip(*layers, strict=True):
            x = torch.tanh(torch.addmm(bias, x, weight.T))
        return x

    def policy(self, obs):
        out = self.hidden(self.pi, obs) @ self.w_pi.T + self.b_pi
        return GaussianPolicy(out, self.log_std) if hasattr(self, "log_std") else CategoricalPolicy(out)

    def value(self, obs):
        return (self.hidden(self.v, obs) * self.w_v).sum(-1) + self.b_v


def linear_schedule(start, end, progress):
    if not (progress >= 0 and progress <= 1):
        raise ValueError("progress is between 0 and 1.")
    return start - progress * (start - end)


def clip_grad_norm_(grads, max_norm):
    if not max_norm > 0:
        raise ValueError("the bound must be positive.")
    there = [grad for grad in grads if grad is not None]
    norm = float(torch.cat([torch.zeros(1), *(grad.flatten() for grad in there)]).norm())
    scale = 1.0 if norm <= max_norm else max_norm / norm
    for grad in there:
        grad *= scale
    return norm


class Moments:
    """Mean and variance by sums."""

    def __init__(self, shape):
        self.n, self.sum, self.squares = 0, torch.zeros(shape).double(), torch.zeros(shape).double()

    def take_(self, rows):
        self.n += len(rows)
        self.sum += rows.double().sum(0)
        self.squares += rows.double().square().sum(0)

    def moments(self):
        if self.n == 0:
            return torch.zeros_like(self.sum), torch.ones_like(self.sum)
        mean = self.sum / self.n
        return mean, (self.squares / self.n - mean * mean).clamp(min=0.0)


class ObservationNormalizer:
    def __init__(self, shape, clip=10.0):
        self.seen, self.bound = Moments(shape), clip

    def update_(self, obs):
        self.seen.take_(obs)

    def normalize(self, obs):
        mean, var = self.seen.moments()
        z = (obs.double() - mean) * (var + 1e-8) ** -0.5
        return z.clamp(-self.bound, self.bound).to(obs.dtype)


class RewardNormalizer:
    def __init__(self, num_envs, gamma, clip=10.0):
        self.carried, self.gamma, self.bound = [0.0] * num_envs, gamma, clip
        self.seen = Moments(())

    def update_(self, rewards, ended):
        total = [self.gamma * g + r for g, r in zip(self.carried, rewards.tolist(), strict=True)]
        self.seen.take_(torch.tensor(total, dtype=torch.float64))
        self.carried = [0.0 if e else g for e, g in zip(ended.tolist(), total, strict=True)]

    def normalize(self, rewards):
        deviation = math.sqrt(float(self.seen.moments()[1]) + 1e-8)
        return (rewards / deviation).clamp(-self.bound, self.bound)


def shuffled(rows, cfg, generator):
    """(number of the epoch, rows of a minibatch)."""
    for epoch in range(cfg.epochs):
        order = torch.randperm(rows, generator=generator)
        for first in range(0, rows, cfg.minibatch_size):
            yield epoch, order[first : first + cfg.minibatch_size]


def losses_of(model, cfg, obs, actions, old_logp, old_values, adv, returns):
    policy = model.policy(obs)
    logp, entropy = policy.log_prob(actions), policy.entropy().mean()
    clip = (cfg.clip_low, cfg.clip_high)
    if cfg.dual_clip:
        surrogate, metrics = dual_clip_surrogate(logp, old_logp, adv, *clip, cfg.dual_clip)
    else:
        surrogate, metrics = clipped_surrogate(logp, old_logp, adv, *clip)
    error = value_loss(model.value(obs), old_values, returns, cfg.value_clip)
    loss = total_loss(surrogate, error, entropy, cfg.value_coef, cfg.entropy_coef)
    if cfg.kl_coef:
        loss = loss + cfg.kl_coef * approx_kl(logp, old_logp)
    with torch.no_grad():
        told = {"policy_loss": surrogate, "value_loss": error, "entropy": entropy}
        return loss, metrics | {name: float(number) for name, number in told.items()}


def ppo_update(model, opt, batch, cfg, generator):
    if any(n < 1 for n in (cfg.epochs, cfg.minibatch_size, cfg.accum_steps)):
        raise ValueError("an update needs an epoch, a row and a piece at least.")
    table, norms, steps, epochs = [], [], 0, cfg.epochs
    for epoch, rows in shuffled(len(batch.obs), cfg, generator):
        obs, actions, old_logp, old_values, adv, returns = (column[rows] for column in batch)
        if cfg.normalize_advantages:
            adv = adv - adv.mean()
            adv = adv / (adv.square().mean().sqrt() + 1e-8)
        whole = [obs, actions, old_logp, old_values, adv, returns]
        n = min(cfg.accum_steps, len(rows))
        found, sizes = [], []
        for piece in zip(*(column.tensor_split(n) for column in whole), strict=True):
            found.append(losses_of(model, cfg, *piece))
            sizes.append(len(piece[0]))
        share = torch.tensor(sizes, dtype=torch.float64) / len(rows)
        loss = sum(s * piece for s, (piece, _) in zip(share.tolist(), found, strict=True))
        if not torch.isfinite(loss).item():
            raise FloatingPointError("with this loss the parameters would be lost.")
        row = {
            name: float(np.dot(share.numpy(), [metrics[name] for _, metrics in found]))
            for name in found[0][1]
        }
        table.append(row)
        if cfg.stop_kl is not None and KLEarlyStop(cfg.stop_kl).should_stop(row["approx_kl"]):
            epochs = epoch
            break
        opt.zero_grad()
        loss.backward()
        norms.append(clip_grad_norm_((p.grad for p in model.parameters()), cfg.max_grad_norm))
        opt.step()
        steps += 1
    means = {name: float(np.mean([row[name] for row in table])) for name in table[0]}
    means["grad_norm"] = float(np.mean(norms or [0.0]))
    return means | {"steps": float(steps), "epochs": float(epochs)}


def collect(env, model, obs, horizon, generator):
    dtype = next(model.parameters()).dtype
    seen, taken, logps, paid, ends, late = [], [], [], [], [], []
    for t in range(horizon):
        seen.append(torch.tensor(np.array(obs), dtype=dtype))
        with torch.no_grad():
            policy = model.policy(seen[-1])
            taken.append(policy.sample(generator))
            logps.append(policy.log_prob(taken[-1]))
        move = taken[-1]
        if move.is_floating_point():
            low, high = (torch.tensor(x) for x in (env.single_action_space.low, env.single_action_space.high))
            move = torch.minimum(torch.maximum(move, low), high).to(low.dtype)
        obs, reward, terminated, truncated, info = env.step(move.numpy())
        paid.append(reward)
        ends.append((terminated, truncated))
        late += [(t, i, info["final_obs"][i]) for i in np.flatnonzero(terminated | truncated)]
    with torch.no_grad():
        flat = torch.cat([*seen, torch.tensor(np.array(obs), dtype=dtype)])
        values = model.value(flat).reshape(horizon + 1, -1)
        following = values[1:].clone()
        if late:
            rows, columns, last = zip(*late, strict=True)
            following[list(rows), list(columns)] = model.value(torch.tensor(np.stack(last), dtype=dtype))
    terminated, truncated = (torch.tensor(np.array(flags)) for flags in zip(*ends, strict=True))
    return Rollout(
        obs=torch.stack(seen),
        actions=torch.stack(taken),
        logp=torch.stack(logps),
        rewards=torch.tensor(np.array(paid), dtype=dtype),
        values=values[:-1],
        next_values=following,
        terminated=terminated,
        truncated=truncated,
        last_obs=obs,
    )


class Episodes:
    """Adds up what the environments paid."""

    def __init__(self, num_envs):
        self.sums, self.done = [0.0] * num_envs, []

    def hear(self, rewards, over):
        for i, (reward, ended) in enumerate(zip(rewards.tolist(), over.tolist(), strict=True)):
            self.sums[i] += reward
            if ended:
                self.done.append(self.sums[i])
                self.sums[i] = 0.0


def train_ppo(make_env, cfg, seed, on_update=None):
    updates, rest = divmod(cfg.total_steps, cfg.horizon * cfg.num_envs)
    if updates == 0:
        raise ValueError(f"there are only {rest} steps, and a rollout takes more.")
    env, generator = make_env(cfg.num_envs), torch.Generator().manual_seed(seed)
    size, space = env.single_observation_space.shape[0], env.single_action_space
    discrete = hasattr(space, "n")
    model = ActorCritic(
        size, int(space.n) if discrete else space.shape[0], cfg.hidden, cfg.shared, not discrete, generator
    )
    model.normalizer = ObservationNormalizer((size,)) if cfg.normalize_obs else None
    opt = torch.optim.Adam([{"params": list(model.parameters())}], cfg.learning_rate, eps=1e-5)
    scale = RewardNormalizer(cfg.num_envs, cfg.gamma)
    (obs, _), heard, beta, steps = env.reset(seed=seed), Episodes(cfg.num_envs), cfg.kl_coef, 0
    for k in range(updates):
        rate = linear_schedule(cfg.learning_rate, 0.0, k / updates if cfg.anneal else 0.0)
        opt.param_groups[0]["lr"] = rate
        rollout = collect(env, model, obs, cfg.horizon, generator)
        obs, steps = rollout.last_obs, steps + cfg.horizon * cfg.num_envs
        for reward, ended in zip(rollout.rewards, rollout.terminated + rollout.truncated, strict=True):
            heard.hear(reward, ended)
            scale.update_(reward, ended)
        rewards = scale.normalize(rollout.rewards) if cfg.normalize_rewards else rollout.rewards
        adv, returns = gae(rewards, *rollout[4:8], cfg.gamma, cfg.lam)
        columns = (rollout.obs, rollout.actions, rollout.logp, rollout.values, adv, returns)
        batch = PPOBatch(*(torch.cat(list(column)) for column in columns))
        metrics = ppo_update(model, opt, batch, replace(cfg, kl_coef=beta), generator)
        if cfg.kl_target:
            beta = kl_penalty_beta(beta, metrics["approx_kl"], cfg.kl_target)
        if cfg.normalize_obs:
            model.normalizer.update_(batch.obs)
        mean = float(np.mean(heard.done[-100:])) if heard.done else math.nan
        explained = explained_variance(batch.old_values, batch.returns)
        metrics |= {"total_steps": float(steps), "mean_return": mean, "learning_rate": rate}
        if on_update and on_update(model, metrics | {"explained_variance": explained, "beta": beta}):
            break
    return Result(model, heard.done, steps)
