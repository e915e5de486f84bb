"""PPO as one-file programs have it: layer_init, tables of (T, N) made beforehand, b_ and mb_ tensors,
the larger of two losses, a log_std that is a row, GAE inside the loop."""

import dataclasses


def layer_init(inputs, outputs, std, generator, bias_const=0.0):
    with torch.random.fork_rng(devices=[]):
        layer = nn.Linear(inputs, outputs)
    torch.nn.init.orthogonal_(layer.weight, std, generator=generator)
    torch.nn.init.constant_(layer.bias, bias_const)
    return layer


def pg_losses(logp, old_logp, adv, clip_low, clip_high, mask):
    _check_losses(mask, logp=logp, old_logp=old_logp, adv=adv)
    clip_high = clip_low if clip_high is None else clip_high
    if clip_low <= 0 or clip_low >= 1 or clip_high <= 0:
        raise ValueError("the clip coefficients must be positive, and the lower one below 1.")
    if mask is None:
        mask = torch.ones_like(logp, dtype=torch.bool)
    mb_advantages = adv[mask].detach()
    logratio = logp[mask] - old_logp[mask].detach()
    ratio = logratio.exp()
    with torch.no_grad():
        outside = torch.logical_or(ratio - 1.0 < -clip_low, ratio - 1.0 > clip_high)
        metrics = {
            "clip_fraction": outside.float().mean().item(),
            "approx_kl": ((ratio - 1) - logratio).mean().item(),
            "ratio_mean": ratio.mean().item(),
        }
    pg_loss1 = -mb_advantages * ratio
    pg_loss2 = -mb_advantages * torch.clamp(ratio, 1 - clip_low, 1 + clip_high)
    return torch.max(pg_loss1, pg_loss2), mb_advantages, metrics


def clipped_surrogate(logp, old_logp, adv, clip_low=0.2, clip_high=None, mask=None):
    losses, _, metrics = pg_losses(logp, old_logp, adv, clip_low, clip_high, mask)
    return losses.mean(), metrics


def dual_clip_surrogate(logp, old_logp, adv, clip_low=0.2, clip_high=None, c=3.0, mask=None):
    if c <= 1.0:
        raise ValueError("the lower bound of the dual clip must be above 1.")
    losses, mb_advantages, metrics = pg_losses(logp, old_logp, adv, clip_low, clip_high, mask)
    bounded = torch.min(-mb_advantages * c, losses)
    return torch.where(mb_advantages < 0, bounded, losses).mean(), metrics


def value_loss(values, old_values, returns, clip=None, mask=None):
    _check_losses(mask, values=values, old_values=old_values, returns=returns)
    if mask is not None:
        values, old_values, returns = values[mask], old_values[mask], returns[mask]
    returns, old_values = returns.detach(), old_values.detach()
    v_loss_unclipped = (values - returns) ** 2
    if clip is None:
        return 0.5 * v_loss_unclipped.mean()
    if clip <= 0:
        raise ValueError("the clip coefficient must be positive.")
    v_clipped = old_values + torch.clamp(values - old_values, -clip, clip)
    v_loss_max = torch.max(v_loss_unclipped, (v_clipped - returns) ** 2)
    return 0.5 * v_loss_max.mean()


def entropy_bonus(entropy, mask=None):
    _check_losses(mask, entropy=entropy)
    return torch.mean(entropy if mask is None else entropy[mask])


def total_loss(policy_loss, value_loss, entropy, value_coef, entropy_coef):
    if value_coef < 0 or entropy_coef < 0:
        raise ValueError("the coefficients may not be negative.")
    return policy_loss - entropy_coef * entropy + value_loss * value_coef


def approx_kl(logp, old_logp, kind="k3", mask=None):
    _check_losses(mask, logp=logp, old_logp=old_logp)
    logratio = logp - old_logp.detach()
    logratio = logratio.flatten() if mask is None else logratio[mask]
    if kind == "k1":
        return (-logratio).mean()
    elif kind == "k2":
        return (logratio**2 / 2).mean()
    elif kind == "k3":
        return ((logratio.exp() - 1) - logratio).mean()
    raise ValueError(f"the estimator {kind!r} is not known.")


def kl_penalty_beta(beta, kl, target):
    if beta < 0:
        raise ValueError("beta must not be negative.")
    if target <= 0:
        raise ValueError("the target must be positive.")
    if kl > target * 1.5:
        beta *= 2
    elif kl < target / 1.5:
        beta /= 2
    return beta


class AdaptiveKLController:
    def __init__(self, init, target, horizon):
        for number in (init, target, horizon):
            if number <= 0:
                raise ValueError("init, target and horizon must be positive.")
        self.value, self.target, self.horizon = init, target, horizon

    @property
    def beta(self):
        return self.value

    def update_(self, kl, n_steps):
        if n_steps < 1:
            raise ValueError("there must be a step.")
        proportional_error = np.clip(kl / self.target - 1, -0.2, 0.2)
        mult = 1 + proportional_error * n_steps / self.horizon
        self.value *= mult
        return self.value


class KLEarlyStop:
    def __init__(self, target, factor=1.5):
        if target <= 0 or factor < 1:
            raise ValueError("the target must be positive and the factor at least 1.")
        self.target_kl, self.factor = target, factor

    def should_stop(self, kl):
        return not kl <= self.factor * self.target_kl


class ActorCritic(nn.Module):
    def __init__(
        self, obs_dim, action_dim, hidden=(64, 64), shared=False, continuous=False, generator=None
    ):
        super().__init__()
        self.normalizer, self.continuous, self.shared = None, continuous, shared
        trunks = []
        for _ in range(1 if shared else 2):
            layers, width = [], obs_dim
            for size in hidden:
                layers.append(layer_init(width, size, np.sqrt(2), generator))
                layers.append(nn.Tanh())
                width = size
            trunks.append(layers)
        actor = layer_init(width, action_dim, 0.01, generator)
        critic = layer_init(width, 1, 1.0, generator)
        if shared:
            self.network = nn.Sequential(*trunks[0])
            self.actor, self.critic = actor, critic
        else:
            self.network = None
            self.actor = nn.Sequential(*trunks[0], actor)
            self.critic = nn.Sequential(*trunks[1], critic)
        if continuous:
            self.actor_logstd = nn.Parameter(torch.zeros(1, action_dim))

    def features(self, x):
        if self.normalizer is not None:
            x = self.normalizer.normalize(x)
        return self.network(x) if self.shared else x

    def policy(self, obs):
        output = self.actor(self.features(obs))
        if self.continuous:
            return GaussianPolicy(output, self.actor_logstd.expand_as(output))
        return CategoricalPolicy(output)

    def value(self, obs):
        return self.critic(self.features(obs)).view(-1)


def linear_schedule(start, end, progress):
    if progress < 0.0 or progress > 1.0:
        raise ValueError("progress must be between 0 and 1.")
    frac = 1.0 - progress
    return frac * start + (1.0 - frac) * end


def clip_grad_norm_(grads, max_norm):
    if max_norm <= 0:
        raise ValueError("the largest norm must be positive.")
    grads = [grad for grad in grads if grad is not None]
    if len(grads) == 0:
        return 0.0
    total_norm = torch.norm(torch.stack([torch.norm(grad.detach(), 2) for grad in grads]), 2)
    clip_coef = max_norm / (total_norm + 1e-6)
    if clip_coef < 1:
        for grad in grads:
            grad.mul_(clip_coef)
    return total_norm.item()


class ObservationNormalizer:
    def __init__(self, shape, clip=10.0):
        self.rms, self.clip, self.epsilon = RunningMeanStd(shape=shape), clip, 1e-8

    def update_(self, obs):
        self.rms.update_(obs)

    def normalize(self, obs):
        mean, var = self.rms.mean.numpy(), self.rms.var.numpy()
        scaled = (obs.detach().numpy() - mean) / np.sqrt(var + self.epsilon)
        return torch.from_numpy(np.clip(scaled, -self.clip, self.clip)).to(obs.dtype)


class RewardNormalizer:
    def __init__(self, num_envs, gamma, clip=10.0):
        if num_envs < 1 or clip <= 0 or gamma < 0 or gamma > 1:
            raise ValueError("these settings of the normaliser are impossible.")
        self.return_rms, self.gamma, self.clip, self.epsilon = RunningMeanStd(), gamma, clip, 1e-8
        self.returns = np.zeros(num_envs)

    def update_(self, rewards, ended):
        self.returns = self.returns * self.gamma + rewards.numpy()
        self.return_rms.update_(torch.tensor(self.returns))
        self.returns[ended.numpy()] = 0.0

    def normalize(self, rewards):
        scaled = rewards / torch.sqrt(self.return_rms.var + self.epsilon)
        return torch.clamp(scaled, -self.clip, self.clip).to(rewards.dtype)


def ppo_update(model, opt, batch, cfg, generator):
    if cfg.epochs < 1 or cfg.minibatch_size < 1 or cfg.accum_steps < 1:
        raise ValueError("epochs, minibatch_size and accum_steps must be positive.")
    b_obs, b_actions, b_logprobs, b_values, b_advantages, b_returns = batch
    batch_size, history, n_steps = b_obs.shape[0], {}, 0
    for epoch in range(cfg.epochs):
        b_inds = torch.randperm(batch_size, generator=generator).numpy()
        for start in range(0, batch_size, cfg.minibatch_size):
            mb_inds = b_inds[start : start + cfg.minibatch_size]
            mb_advantages = b_advantages[mb_inds]
            if cfg.normalize_advantages:
                std = mb_advantages.std(unbiased=False)
                mb_advantages = (mb_advantages - mb_advantages.mean()) / (std + 1e-8)
            opt.zero_grad()
            record = {}
            n_pieces = min(cfg.accum_steps, len(mb_inds))
            pieces = zip(
                np.array_split(mb_inds, n_pieces), mb_advantages.tensor_split(n_pieces), strict=True
            )
            for inds, advantages in pieces:
                policy = model.policy(b_obs[inds])
                newlogprob, newvalue = policy.log_prob(b_actions[inds]), model.value(b_obs[inds])
                surrogate = {"c": cfg.dual_clip} if cfg.dual_clip is not None else {}
                function = dual_clip_surrogate if surrogate else clipped_surrogate
                pg_loss, metrics = function(
                    newlogprob, b_logprobs[inds], advantages, cfg.clip_low, cfg.clip_high, **surrogate
                )
                v_loss = value_loss(newvalue, b_values[inds], b_returns[inds], cfg.value_clip)
                entropy_loss = entropy_bonus(policy.entropy())
                loss = total_loss(pg_loss, v_loss, entropy_loss, cfg.value_coef, cfg.entropy_coef)
                loss = loss + cfg.kl_coef * approx_kl(newlogprob, b_logprobs[inds])
                if torch.isnan(loss) or torch.isinf(loss):
                    raise FloatingPointError("the loss is not a finite number.")
                weight = len(inds) / len(mb_inds)
                (loss * weight).backward()
                metrics["policy_loss"] = pg_loss.item()
                metrics["value_loss"] = v_loss.item()
                metrics["entropy"] = entropy_loss.item()
                for name in metrics:
                    record[name] = record.get(name, 0.0) + metrics[name] * weight
            stop = cfg.stop_kl is not None and record["approx_kl"] > 1.5 * cfg.stop_kl
            if not stop:
                norm = clip_grad_norm_([p.grad for p in model.parameters()], cfg.max_grad_norm)
                record["grad_norm"] = norm
                opt.step()
                n_steps += 1
            for name, number in record.items():
                history.setdefault(name, []).append(number)
            if stop:
                means = {name: sum(numbers) / len(numbers) for name, numbers in history.items()}
                return {**means, "steps": n_steps, "epochs": epoch}
    means = {name: sum(numbers) / len(numbers) for name, numbers in history.items()}
    return {**means, "steps": n_steps, "epochs": cfg.epochs}


def collect(env, model, obs, horizon, generator):
    dtype, num_envs = next(model.parameters()).dtype, env.num_envs
    table = [torch.zeros((horizon, num_envs), dtype=dtype) for _ in range(4)]
    logprobs, rewards, values, next_values = table
    terminations = torch.zeros((horizon, num_envs), dtype=torch.bool)
    truncations = torch.zeros((horizon, num_envs), dtype=torch.bool)
    all_obs, all_actions = [], []
    next_obs = torch.tensor(obs, dtype=dtype)
    for step in range(horizon):
        all_obs.append(next_obs)
        with torch.no_grad():
            policy = model.policy(next_obs)
            action = policy.sample(generator)
            logprobs[step] = policy.log_prob(action)
            values[step] = model.value(next_obs)
        all_actions.append(action)
        played = action.cpu().numpy()
        if played.ndim > 1:
            space = env.single_action_space
            played = np.clip(played, space.low, space.high).astype(space.dtype)
        obs, reward, terminated, truncated, infos = env.step(played)
        rewards[step] = torch.as_tensor(reward)
        terminations[step] = torch.as_tensor(terminated)
        truncations[step] = torch.as_tensor(truncated)
        real_next_obs = obs.copy()
        if "_final_obs" in infos:
            for idx in range(num_envs):
                if infos["_final_obs"][idx]:
                    real_next_obs[idx] = infos["final_obs"][idx]
        with torch.no_grad():
            next_values[step] = model.value(torch.tensor(real_next_obs, dtype=dtype))
        next_obs = torch.tensor(obs, dtype=dtype)
    return Rollout(
        torch.stack(all_obs), torch.stack(all_actions), *table, terminations, truncations, obs
    )


def advantages_of(rewards, rollout, gamma, lam):
    advantages, lastgaelam = torch.zeros_like(rewards), 0
    for t in range(len(rewards) - 1, -1, -1):
        nextnonterminal = 1.0 - rollout.terminated[t].to(rewards.dtype)
        delta = rewards[t] + gamma * rollout.next_values[t] * nextnonterminal - rollout.values[t]
        goes_on = nextnonterminal * (1.0 - rollout.truncated[t].to(rewards.dtype))
        advantages[t] = lastgaelam = delta + gamma * lam * goes_on * lastgaelam
    return advantages


def train_ppo(make_env, cfg, seed, on_update=None):
    batch_size = cfg.num_envs * cfg.horizon
    num_iterations = cfg.total_steps // batch_size
    if num_iterations < 1:
        raise ValueError("total_steps is not enough for one rollout.")
    envs = make_env(cfg.num_envs)
    generator = torch.Generator().manual_seed(seed)
    obs_dim = int(np.array(envs.single_observation_space.shape).prod())
    space = envs.single_action_space
    continuous = len(space.shape) > 0
    action_dim = int(space.shape[0]) if continuous else int(space.n)
    agent = ActorCritic(obs_dim, action_dim, cfg.hidden, cfg.shared, continuous, generator)
    if cfg.normalize_obs:
        agent.normalizer = ObservationNormalizer((obs_dim,))
    reward_normalizer = RewardNormalizer(cfg.num_envs, cfg.gamma)
    optimizer = torch.optim.Adam(agent.parameters(), lr=cfg.learning_rate, eps=1e-5)
    next_obs, _ = envs.reset(seed=seed)
    episodic, returns, beta = np.zeros(cfg.num_envs), [], cfg.kl_coef
    for iteration in range(1, num_iterations + 1):
        lrnow = cfg.learning_rate
        if cfg.anneal:
            lrnow = (1.0 - (iteration - 1.0) / num_iterations) * cfg.learning_rate
        optimizer.param_groups[0]["lr"] = lrnow
        rollout = collect(envs, agent, next_obs, cfg.horizon, generator)
        next_obs, rewards = rollout.last_obs, rollout.rewards
        for t in range(cfg.horizon):
            done = rollout.terminated[t] | rollout.truncated[t]
            episodic += rewards[t].numpy()
            for idx in range(cfg.num_envs):
                if done[idx]:
                    returns.append(float(episodic[idx]))
                    episodic[idx] = 0.0
            reward_normalizer.update_(rewards[t], done)
        if cfg.normalize_rewards:
            rewards = reward_normalizer.normalize(rewards)
        advantages = advantages_of(rewards, rollout, cfg.gamma, cfg.lam)
        b_obs = rollout.obs.reshape((-1,) + envs.single_observation_space.shape)
        batch = PPOBatch(
            b_obs,
            rollout.actions.reshape((-1,) + space.shape),
            rollout.logp.reshape(-1),
            rollout.values.reshape(-1),
            advantages.reshape(-1),
            (advantages + rollout.values).reshape(-1),
        )
        now = dataclasses.replace(cfg, kl_coef=beta)
        metrics = ppo_update(agent, optimizer, batch, now, generator)
        if cfg.kl_target is not None:
            beta = kl_penalty_beta(beta, metrics["approx_kl"], cfg.kl_target)
        if cfg.normalize_obs:
            agent.normalizer.update_(b_obs)
        y_pred, y_true = batch.old_values.numpy(), batch.returns.numpy()
        var_y = np.var(y_true)
        metrics["explained_variance"] = 0.0 if var_y == 0 else float(1 - np.var(y_true - y_pred) / var_y)
        metrics["learning_rate"], metrics["beta"] = lrnow, beta
        metrics["total_steps"] = float(iteration * batch_size)
        metrics["mean_return"] = float(np.mean(returns[-100:])) if returns else float("nan")
        if on_update is not None and on_update(agent, metrics):
            break
    return Result(agent, returns, iteration * batch_size)
