"""A correct solution in another style: torch.distributions, two critics by name, masks that multiply,
one long function for a gradient step, as single-file tutorials have it."""

import torch.nn.functional as F
from torch.distributions import Normal


def gaussian_heads(output):
    D = output.shape[-1] // 2
    mean, log_std = torch.split(output, D, dim=-1)
    log_std = torch.clamp(log_std, LOG_STD_MIN, LOG_STD_MAX)
    return mean, log_std


def log_tanh_derivative(u):
    return 2 * np.log(2) + F.logsigmoid(2 * u) + F.logsigmoid(-2 * u)


def squashed_log_prob(u, mean, log_std):
    log_prob = Normal(mean, log_std.exp()).log_prob(u)
    log_prob -= log_tanh_derivative(u)
    return log_prob.sum(1)


def squash(mean, log_std, noise):
    std = log_std.exp()
    x_t = mean + std * noise
    y_t = torch.tanh(x_t)
    return y_t, squashed_log_prob(x_t, mean, log_std)


def to_box(action, low, high):
    action_scale = (high - low) / 2.0
    action_bias = (high + low) / 2.0
    return np.minimum(np.maximum(action * action_scale + action_bias, low), high)


def from_box(action, low, high):
    action_scale = (high - low) / 2.0
    action_bias = (high + low) / 2.0
    return (action - action_bias) / action_scale


def soft_update_(target, online, tau):
    if tau <= 0 or tau > 1:
        raise ValueError(f"tau = {tau} is not a share of a network")
    for param, target_param in zip(online.parameters(), target.parameters(), strict=True):
        target_param.data.copy_(tau * param.data + (1 - tau) * target_param.data)


def bootstrapped(batch, next_value, gamma):
    if next_value.shape != batch.reward.shape:
        raise ValueError("the next values must be one number for each row")
    if gamma < 0 or gamma > 1:
        raise ValueError("gamma is out of its range")
    with torch.no_grad():
        return batch.reward + (1 - batch.terminated.to(next_value.dtype)) * gamma * next_value


@torch.no_grad()
def ddpg_targets(batch, target_actor, target_critic, gamma):
    next_state_actions = torch.tanh(target_actor(batch.next_obs))
    qf1_next_target = q_values(target_critic, batch.next_obs, next_state_actions)
    return bootstrapped(batch, qf1_next_target.view(-1), gamma)


def critic_loss(critic, batch, targets):
    if targets.shape != batch.reward.shape:
        raise ValueError("the targets must be one number for each row")
    targets = targets.detach()
    values = q_values(critic, batch.obs, batch.action)
    return sum(F.mse_loss(values[:, k].view(-1), targets) for k in range(values.shape[1]))


def deterministic_actor_loss(actor, critic, obs):
    for p in critic.parameters():
        p.requires_grad = False
    actor_loss = -q_values(critic, obs, torch.tanh(actor(obs)))[:, 0].mean()
    for p in critic.parameters():
        p.requires_grad = True
    return actor_loss


def noisy_action(action, std, noise):
    return np.asarray(action + noise * std).clip(-1, 1)


def smoothed_action(target_actor, next_obs, noise, std, clip):
    with torch.no_grad():
        clipped_noise = (noise * std).clamp(-clip, clip)
        return (torch.tanh(target_actor(next_obs)) + clipped_noise).clamp(-1, 1)


def td3_targets(batch, target_actor, target_critic, noise, gamma, std, clip):
    with torch.no_grad():
        next_actions = smoothed_action(target_actor, batch.next_obs, noise, std, clip)
        q = q_values(target_critic, batch.next_obs, next_actions)
        min_qf_next_target = torch.min(q[:, 0], q[:, 1])
    return bootstrapped(batch, min_qf_next_target, gamma)


def sac_targets(batch, actor, target_critic, noise, alpha, gamma):
    with torch.no_grad():
        mean, log_std = gaussian_heads(actor(batch.next_obs))
        next_state_actions, next_state_log_pi = squash(mean, log_std, noise)
        q = q_values(target_critic, batch.next_obs, next_state_actions)
        min_qf_next_target = torch.min(q[:, 0], q[:, 1]) - alpha * next_state_log_pi
    return bootstrapped(batch, min_qf_next_target, gamma)


def sac_actor_loss(actor, critic, obs, noise, alpha):
    for p in critic.parameters():
        p.requires_grad = False
    pi, log_pi = squash(*gaussian_heads(actor(obs)), noise)
    q = q_values(critic, obs, pi)
    actor_loss = ((alpha * log_pi) - torch.min(q[:, 0], q[:, 1])).mean()
    for p in critic.parameters():
        p.requires_grad = True
    return actor_loss, log_pi.detach()


def temperature_loss(log_alpha, log_prob, target_entropy):
    return -(log_alpha * (log_prob + target_entropy).detach()).mean()


def update_(agent, batch, noise):
    args = agent.config
    alpha = agent.log_alpha.exp().item()
    with torch.no_grad():
        if args.algorithm == "ddpg":
            y = ddpg_targets(batch, agent.target_actor, agent.target_critic, args.gamma)
        elif args.algorithm == "td3":
            y = td3_targets(batch, agent.target_actor, agent.target_critic, noise.next, args.gamma, args.target_std, args.target_clip)
        else:
            y = sac_targets(batch, agent.actor, agent.target_critic, noise.next, alpha, args.gamma)
    qf_loss = critic_loss(agent.critic, batch, y)
    agent.critic_optimizer.zero_grad(set_to_none=False)
    qf_loss.backward()
    agent.critic_optimizer.step()

    agent.gradient_steps = agent.gradient_steps + 1
    if agent.gradient_steps % args.policy_delay == 0:
        if args.algorithm == "sac":
            actor_loss, log_pi = sac_actor_loss(agent.actor, agent.critic, batch.obs, noise.now, alpha)
        else:
            actor_loss = deterministic_actor_loss(agent.actor, agent.critic, batch.obs)
        agent.actor_optimizer.zero_grad()
        actor_loss.backward()
        agent.actor_optimizer.step()
        if args.algorithm == "sac" and args.learn_alpha:
            alpha_loss = temperature_loss(agent.log_alpha, log_pi, agent.target_entropy)
            agent.alpha_optimizer.zero_grad()
            alpha_loss.backward()
            agent.alpha_optimizer.step()
        soft_update_(agent.target_critic, agent.critic, args.tau)
        if args.algorithm != "sac":
            soft_update_(agent.target_actor, agent.actor, args.tau)
    return qf_loss.item()


def act(agent, obs, noise=None):
    dtype = next(agent.actor.parameters()).dtype
    with torch.no_grad():
        out = agent.actor(torch.as_tensor(obs, dtype=dtype).unsqueeze(0))
        if agent.config.algorithm != "sac":
            action = torch.tanh(out).squeeze(0).numpy()
            if noise is not None:
                action = noisy_action(action, agent.config.exploration_std, noise)
            return action
        mean, log_std = gaussian_heads(out)
        if noise is None:
            return torch.tanh(mean).squeeze(0).numpy()
        action, _ = squash(mean, log_std, torch.as_tensor(noise, dtype=dtype).unsqueeze(0))
        return action.squeeze(0).numpy()


def train(env, config, seed):
    rng = np.random.default_rng(seed)
    obs_dim, act_dim = env.observation_space.shape[0], env.action_space.low.shape[0]
    agent = Agent(obs_dim, act_dim, config, rng)
    rb = ReplayBuffer(config.buffer_capacity, obs_dim, act_dim)
    episodic_returns, ends, episode, loss = [], [], [], float("nan")

    obs, _ = env.reset(seed=seed)
    for global_step in range(config.total_steps):
        if global_step < config.warmup_steps:
            action = 2 * rng.random(act_dim) - 1
        else:
            action = act(agent, obs, rng.normal(size=act_dim))
        real = to_box(action, env.action_space.low, env.action_space.high).astype(np.float32)
        next_obs, reward, termination, truncation, _ = env.step(real)
        rb.add(obs, action, reward, next_obs, termination)
        episode.append(reward)
        obs = next_obs
        if termination or truncation:
            episodic_returns.append(sum(episode))
            ends.append(global_step + 1)
            episode = []
            obs, _ = env.reset()
        if global_step + 1 >= config.warmup_steps and (global_step + 1) % config.train_every == 0:
            for _ in range(config.gradient_steps):
                data = rb.sample(config.batch_size, rng)
                eps = [torch.tensor(rng.normal(size=data.action.shape), dtype=torch.float32) for _ in range(2)]
                loss = update_(agent, data, Noise(*eps))
            if config.callback:
                running = np.mean(episodic_returns[-RUNNING_EPISODES:]) if episodic_returns else float("nan")
                if config.callback(Progress(global_step + 1, agent.gradient_steps, loss, float(running), agent)):
                    break
    return Result(agent, np.array(episodic_returns, dtype=float), np.array(ends, dtype=np.int64), rb)


def evaluate(agent, env, episodes, seed):
    if episodes < 1:
        raise ValueError("at least one episode must be played")
    obs, _ = env.reset(seed=seed)
    totals, total = [], 0.0
    while True:
        action = to_box(act(agent, obs), env.action_space.low, env.action_space.high)
        obs, reward, termination, truncation, _ = env.step(np.float32(action))
        total += reward
        if termination or truncation:
            totals.append(total)
            total = 0.0
            if len(totals) == episodes:
                return np.array(totals)
            obs, _ = env.reset()
