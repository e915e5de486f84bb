"""PPO by cases and by sums: no minimum of two gains, one optimisation step as one function, trunks
as lists of layers.

The block of given classes is that of the starter file.
"""


import itertools

# -- written by the student ------------------------------------------------------------------------


def _same(first, *others):
    for other in others:
        if other is not None and other.shape != first.shape:
            raise ValueError(f"shapes {tuple(first.shape)} and {tuple(other.shape)} do not fit.")


def _average(x, mask):
    """Mean of the entries that count, as a sum over a product; nan elsewhere is taken out first."""
    if mask is None:
        return x.mean()
    weights = mask.to(x.dtype)
    if float(weights.sum()) == 0.0:
        raise ValueError("the mask leaves nothing over.")
    return torch.where(mask.bool(), x, torch.zeros_like(x)).sum() / weights.sum()


def _surrogate(logp, old_logp, adv, low, high, ceiling, mask):
    _same(logp, old_logp, adv, mask)
    high = low if high is None else high
    if not 0.0 < low < 1.0 or not high > 0.0:
        raise ValueError(f"impossible clip range: {low} below, {high} above.")
    if mask is not None:  # nan under the mask must not meet exp
        logp, old_logp, adv = (x.masked_fill(~mask.bool(), 0.0) for x in (logp, old_logp, adv))
    old_logp, adv = old_logp.detach(), adv.detach()
    log_ratio = logp - old_logp
    ratio = torch.exp(log_ratio)
    # by cases: a good action's ratio counts up to 1 + high, a bad one's from 1 - low on (and up to
    # the ceiling)
    counted = torch.where(adv >= 0, ratio.clamp(max=1 + high), ratio.clamp(min=1 - low, max=ceiling))
    with torch.no_grad():
        outside = torch.logical_or(ratio < 1 - low, ratio > 1 + high).to(logp.dtype)
        metrics = {
            "clip_fraction": float(_average(outside, mask)),
            "approx_kl": float(_average(ratio - 1 - log_ratio, mask)),
            "ratio_mean": float(_average(ratio, mask)),
        }
    return -_average(counted * adv, mask), metrics


def clipped_surrogate(logp, old_logp, adv, clip_low=0.2, clip_high=None, mask=None):
    return _surrogate(logp, old_logp, adv, clip_low, clip_high, None, mask)


def dual_clip_surrogate(logp, old_logp, adv, clip_low=0.2, clip_high=None, c=3.0, mask=None):
    if c <= 1:
        raise ValueError("the second bound lies above the ratio one.")
    return _surrogate(logp, old_logp, adv, clip_low, clip_high, c, mask)


def value_loss(values, old_values, returns, clip=None, mask=None):
    _same(values, old_values, returns, mask)
    old_values, returns = old_values.detach(), returns.detach()
    if mask is not None:
        values, old_values, returns = (x.masked_fill(~mask.bool(), 0.0) for x in (values, old_values, returns))
    distance = (values - returns).abs()
    if clip is not None:
        if clip <= 0:
            raise ValueError("the leash must have a length.")
        leashed = torch.min(torch.max(values, old_values - clip), old_values + clip)
        distance = torch.max(distance, (leashed - returns).abs())
    return _average(distance.pow(2), mask) / 2


def entropy_bonus(entropy, mask=None):
    _same(entropy, mask)
    return _average(entropy, mask)


def total_loss(policy_loss, value_loss, entropy, value_coef, entropy_coef):
    if min(value_coef, entropy_coef) < 0:
        raise ValueError("weights are not negative.")
    return policy_loss + (value_coef * value_loss - entropy_coef * entropy)


def approx_kl(logp, old_logp, kind="k3", mask=None):
    _same(logp, old_logp, mask)
    estimators = {"k1": lambda d: d, "k2": lambda d: d * d / 2, "k3": lambda d: torch.exp(-d) - 1 + d}
    if kind not in estimators:
        raise ValueError(f"no estimator {kind} here.")
    return _average(estimators[kind](old_logp.detach() - logp), mask)


def kl_penalty_beta(beta, kl, target):
    if beta < 0 or target <= 0:
        raise ValueError("beta and target must not be negative.")
    return beta * 2 ** (int(kl > 1.5 * target) - int(kl < target / 1.5))


class AdaptiveKLController:
    def __init__(self, init, target, horizon):
        if min(init, target, horizon) <= 0:
            raise ValueError("all three must be positive.")
        self.beta, self._target, self._horizon = init, target, horizon

    def update_(self, kl, n_steps):
        if n_steps < 1:
            raise ValueError("a batch has samples.")
        self.beta += self.beta * float(np.clip((kl - self._target) / self._target, -0.2, 0.2)) * n_steps / self._horizon
        return self.beta


class KLEarlyStop:
    def __init__(self, target, factor=1.5):
        if target <= 0 or factor < 1:
            raise ValueError("target or factor is too small.")
        self._limit = target * factor

    def should_stop(self, kl):
        return kl > self._limit


class ActorCritic(nn.Module):
    """Layers in lists; the critic's list is the actor's when they share it."""

    def __init__(self, obs_dim, action_dim, hidden=(64, 64), shared=False, continuous=False, generator=None):
        super().__init__()
        self.normalizer = None
        self._continuous = continuous
        state = torch.get_rng_state()
        sizes = [obs_dim, *hidden]
        body = [nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes)) for _ in range(1 if shared else 2)]
        self.bodies = nn.ModuleList(body)
        self.mean = nn.Linear(sizes[-1], action_dim)
        self.worth = nn.Linear(sizes[-1], 1)
        torch.set_rng_state(state)  # nn.Linear drew from it
        if continuous:
            self.log_std = nn.Parameter(torch.zeros(action_dim))
        with torch.no_grad():
            for layer in [*(layer for layers in body for layer in layers), self.mean, self.worth]:
                gain = 0.01 if layer is self.mean else 1.0 if layer is self.worth else 2**0.5
                self._orthogonal(layer.weight, gain, generator)
                layer.bias.fill_(0.0)

    @staticmethod
    def _orthogonal(weight, gain, generator):
        rows, columns = weight.shape
        noise = torch.randn(max(rows, columns), min(rows, columns), generator=generator)
        q, r = torch.linalg.qr(noise)
        q = q * torch.sign(torch.diagonal(r))
        weight.copy_(gain * (q if rows >= columns else q.T))

    def _features(self, obs, which):
        x = obs if self.normalizer is None else self.normalizer.normalize(obs)
        for layer in self.bodies[which % len(self.bodies)]:
            x = torch.tanh(layer(x))
        return x

    def policy(self, obs):
        out = self.mean(self._features(obs, 0))
        return GaussianPolicy(out, self.log_std) if self._continuous else CategoricalPolicy(out)

    def value(self, obs):
        return self.worth(self._features(obs, 1))[:, 0]


def linear_schedule(start, end, progress):
    if progress < 0 or progress > 1:
        raise ValueError("progress goes from 0 to 1.")
    return (1 - progress) * start + progress * end


def clip_grad_norm_(grads, max_norm):
    if max_norm <= 0:
        raise ValueError("the norm must be positive.")
    grads = [g for g in grads if g is not None]
    total = sum(float((g.double() ** 2).sum()) for g in grads) ** 0.5
    if total > max_norm:
        for g in grads:
            g *= max_norm / total
    return total


class ObservationNormalizer:
    def __init__(self, shape, clip=10.0):
        self._seen, self._clip = RunningMeanStd(shape), clip

    def update_(self, obs):
        self._seen.update_(obs)

    def normalize(self, obs):
        z = (obs.double() - self._seen.mean) / torch.sqrt(self._seen.var + 1e-8)
        return z.clip(-self._clip, self._clip).to(obs.dtype)


class RewardNormalizer:
    """Keeps all discounted returns in a list and takes their deviation when asked."""

    def __init__(self, num_envs, gamma, clip=10.0):
        self._g, self._gamma, self._clip, self._all = np.zeros(num_envs), gamma, clip, []

    def update_(self, rewards, ended):
        self._g = self._gamma * self._g + rewards.numpy()
        self._all.append(self._g.copy())
        self._g[ended.numpy().astype(bool)] = 0.0

    def normalize(self, rewards):
        scale = np.sqrt(np.var(self._all) + 1e-8) if self._all else 1.0
        return (rewards / float(scale)).clip(-self._clip, self._clip)


def _objective(model, piece, adv, cfg):
    """Summed loss of a piece, and summed metrics."""
    obs, actions, old_logp, old_values, _, returns = piece
    n, policy = len(obs), model.policy(obs)
    logp = policy.log_prob(actions)
    if cfg.dual_clip:
        surrogate, metrics = dual_clip_surrogate(logp, old_logp, adv, cfg.clip_low, cfg.clip_high, cfg.dual_clip)
    else:
        surrogate, metrics = clipped_surrogate(logp, old_logp, adv, cfg.clip_low, cfg.clip_high)
    worth = value_loss(model.value(obs), old_values, returns, cfg.value_clip)
    entropy = policy.entropy().mean()
    loss = surrogate + cfg.value_coef * worth - cfg.entropy_coef * entropy + cfg.kl_coef * approx_kl(logp, old_logp)
    metrics.update(policy_loss=float(surrogate.detach()), value_loss=float(worth.detach()), entropy=float(entropy.detach()))
    return n * loss, {name: n * number for name, number in metrics.items()}


def ppo_update(model, opt, batch, cfg, generator):
    if min(cfg.epochs, cfg.minibatch_size, cfg.accum_steps) < 1:
        raise ValueError("counts are at least 1.")
    parameters, B = list(model.parameters()), len(batch.obs)
    log, steps, epochs, too_far = [], 0, 0, False
    while epochs < cfg.epochs and not too_far:
        order = torch.rand(B, generator=generator).argsort()
        for start in range(0, B, cfg.minibatch_size):
            rows = order[start : start + cfg.minibatch_size]
            adv = batch.advantages[rows]
            if cfg.normalize_advantages:
                adv = (adv - adv.mean()) / (adv.std(unbiased=False) + 1e-8)
            sums = [torch.zeros_like(p) for p in parameters]
            seen = {}
            for part in np.array_split(np.arange(len(rows)), cfg.accum_steps):
                if len(part) == 0:
                    continue
                chosen = torch.from_numpy(part)
                loss, metrics = _objective(model, [column[rows[chosen]] for column in batch], adv[chosen], cfg)
                if not bool(torch.isfinite(loss)):
                    raise FloatingPointError("the loss has left the numbers.")
                for total, grad in zip(sums, torch.autograd.grad(loss, parameters), strict=True):
                    total += grad
                seen = {name: seen.get(name, 0.0) + number / len(rows) for name, number in metrics.items()}
            log.append(seen)
            if cfg.stop_kl is not None and KLEarlyStop(cfg.stop_kl).should_stop(seen["approx_kl"]):
                too_far = True
                break
            for parameter, total in zip(parameters, sums, strict=True):
                parameter.grad = total / len(rows)
            seen["grad_norm"] = clip_grad_norm_([p.grad for p in parameters], cfg.max_grad_norm)
            opt.step()
            steps += 1
        else:
            epochs += 1
    result = {name: float(np.mean([seen[name] for seen in log if name in seen])) for name in log[0]}
    result["steps"], result["epochs"] = steps, epochs
    return result


def collect(env, model, obs, horizon, generator):
    kind = next(model.parameters()).dtype
    rows = {name: [] for name in Rollout._fields[:-1]}
    for _ in range(horizon):
        here = torch.tensor(np.asarray(obs)).to(kind)
        with torch.no_grad():
            policy = model.policy(here)
            action = policy.sample(generator)
            rows["logp"].append(policy.log_prob(action))
            rows["values"].append(model.value(here))
        rows["obs"].append(here)
        rows["actions"].append(action)
        move = action.numpy()
        if move.dtype.kind == "f":
            space = env.single_action_space
            move = np.minimum(np.maximum(move, space.low), space.high).astype(space.dtype)
        obs, reward, terminated, truncated, info = env.step(move)
        reached = np.array(obs)
        for i in np.flatnonzero(terminated | truncated):
            reached[i] = info["final_obs"][i]
        with torch.no_grad():
            rows["next_values"].append(model.value(torch.tensor(reached).to(kind)))
        rows["rewards"].append(torch.tensor(reward).to(kind))
        rows["terminated"].append(torch.tensor(terminated))
        rows["truncated"].append(torch.tensor(truncated))
    return Rollout(**{name: torch.stack(row) for name, row in rows.items()}, last_obs=obs)


def train_ppo(make_env, cfg, seed, on_update=None):
    size = cfg.horizon * cfg.num_envs
    count = cfg.total_steps // size
    if count == 0:
        raise ValueError("the budget does not pay for one rollout.")
    env = make_env(cfg.num_envs)
    generator = torch.Generator()
    generator.manual_seed(seed)
    space = env.single_action_space
    continuous = space.dtype.kind == "f"
    width = env.single_observation_space.shape[0]
    model = ActorCritic(width, space.shape[0] if continuous else int(space.n), cfg.hidden, cfg.shared, continuous, generator)
    if cfg.normalize_obs:
        model.normalizer = ObservationNormalizer((width,))
    scaler = RewardNormalizer(cfg.num_envs, cfg.gamma) if cfg.normalize_rewards else None
    opt = torch.optim.Adam(model.parameters(), lr=cfg.learning_rate, eps=1e-5)
    obs, _ = env.reset(seed=seed)
    running, returns, beta = np.zeros(cfg.num_envs), [], cfg.kl_coef
    for k in range(count):
        lr = linear_schedule(cfg.learning_rate, 0.0, k / count) if cfg.anneal else cfg.learning_rate
        for group in opt.param_groups:
            group["lr"] = lr
        data = collect(env, model, obs, cfg.horizon, generator)
        obs, rewards = data.last_obs, data.rewards
        for r, ended in zip(data.rewards, data.terminated | data.truncated, strict=True):
            running += r.numpy()
            for i in np.flatnonzero(ended.numpy()):
                returns.append(float(running[i]))
                running[i] = 0.0
            if scaler:
                scaler.update_(r, ended)
        if scaler:
            rewards = scaler.normalize(rewards)
        targets = gae(rewards, data.values, data.next_values, data.terminated, data.truncated, cfg.gamma, cfg.lam)
        flat = [x.reshape(size, *x.shape[2:]) for x in (data.obs, data.actions, data.logp, data.values, *targets)]
        current = PPOConfig(**{**vars(cfg), "kl_coef": beta})
        metrics = ppo_update(model, opt, PPOBatch(*flat), current, generator)
        if cfg.kl_target is not None:
            beta = kl_penalty_beta(beta, metrics["approx_kl"], cfg.kl_target)
        if model.normalizer is not None:
            model.normalizer.update_(flat[0])
        metrics.update(
            total_steps=float((k + 1) * size),
            learning_rate=lr,
            mean_return=float(np.mean(returns[-100:])) if returns else float("nan"),
            explained_variance=explained_variance(flat[3], flat[5]),
            beta=beta,
        )
        if on_update is not None and on_update(model, metrics) is True:
            return Result(model, returns, (k + 1) * size)
    return Result(model, returns, count * size)
