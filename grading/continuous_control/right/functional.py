"""A correct solution in another style: critics that are called with detached copies of their
parameters, gradients by torch.autograd.grad, expectations row by row, and NumPy where nothing needs a
gradient."""

from functools import reduce

from torch.func import functional_call

LOG2 = float(np.log(2.0))


def at_rest(network, x):
    """The network's answer, as if its parameters were constants."""
    if not isinstance(network, nn.Module):
        return network(x)
    return functional_call(network, {n: p.detach() for n, p in network.named_parameters()}, (x,))


def side_by_side(obs, action):
    return torch.hstack((obs, action))


def gaussian_heads(output):
    half = output.size(1) // 2
    return Gaussian(output[:, :half], output[:, half:].clip(LOG_STD_MIN, LOG_STD_MAX))


def log_tanh_derivative(u):
    # 1 / cosh(u)^2, and log cosh(u) = |u| + log(1 + exp(-2 |u|)) - log 2
    size = torch.where(u < 0, -u, u)
    return -2.0 * (size + torch.log1p(torch.exp(-2.0 * size)) - LOG2)


def squashed_log_prob(u, mean, log_std):
    columns = []
    for d in range(u.shape[1]):
        scaled = (u[:, d] - mean[:, d]) * torch.exp(-log_std[:, d])
        density = -(scaled * scaled + float(np.log(2 * np.pi))) / 2 - log_std[:, d]
        columns.append(density - log_tanh_derivative(u[:, d]))
    return reduce(torch.add, columns)


def squash(mean, log_std, noise):
    u = torch.addcmul(mean, torch.exp(log_std), noise)
    return Sample(u.tanh(), squashed_log_prob(u, mean, log_std))


def to_box(action, low, high):
    action = np.clip(action, -1.0, 1.0)
    return np.clip(0.5 * ((1.0 - action) * low + (1.0 + action) * high), low, high)


def from_box(action, low, high):
    return (2.0 * action - low - high) / (high - low)


def soft_update_(target, online, tau):
    if not 0.0 < tau <= 1.0:
        raise ValueError("tau must be a share between 0 and 1")
    ours, theirs = online.state_dict(), target.state_dict()
    target.load_state_dict({n: theirs[n] + tau * (ours[n] - theirs[n]) for n in theirs})


def bootstrapped(batch, next_value, gamma):
    if next_value.ndim != 1 or len(next_value) != len(batch.reward) or not 0 <= gamma <= 1:
        raise ValueError("next_value or gamma is impossible")
    future = next_value.detach().clone()
    future[batch.terminated] = 0.0
    return batch.reward + gamma * future


def ddpg_targets(batch, target_actor, target_critic, gamma):
    action = target_actor(batch.next_obs).tanh()
    return bootstrapped(batch, target_critic(side_by_side(batch.next_obs, action)).squeeze(1), gamma)


def critic_loss(critic, batch, targets):
    if targets.ndim != 1 or len(targets) != len(batch.reward):
        raise ValueError("there must be one target for each row")
    gaps = critic(side_by_side(batch.obs, batch.action)) - targets.detach().unsqueeze(1)
    return torch.einsum("bk,bk->", gaps, gaps) / len(gaps)


def deterministic_actor_loss(actor, critic, obs):
    action = actor(obs).tanh()
    return at_rest(critic, side_by_side(obs, action))[:, 0].neg().mean()


def noisy_action(action, std, noise):
    return np.array([max(-1.0, min(1.0, a + std * n)) for a, n in zip(action, noise, strict=True)])


@torch.no_grad()
def smoothed_action(target_actor, next_obs, noise, std, clip):
    shift = torch.minimum(torch.maximum(std * noise, torch.tensor(-clip)), torch.tensor(clip))
    return torch.clip(torch.tanh(target_actor(next_obs)) + shift, -1, 1)


def smallest(values):
    return torch.where(values[:, 0] < values[:, 1], values[:, 0], values[:, 1])


def td3_targets(batch, target_actor, target_critic, noise, gamma, std, clip):
    action = smoothed_action(target_actor, batch.next_obs, noise, std, clip)
    return bootstrapped(batch, smallest(target_critic(side_by_side(batch.next_obs, action))), gamma)


def sac_targets(batch, actor, target_critic, noise, alpha, gamma):
    action, log_prob = squash(*gaussian_heads(actor(batch.next_obs)), noise)
    values = target_critic(side_by_side(batch.next_obs, action))
    return bootstrapped(batch, smallest(values - alpha * log_prob.unsqueeze(1)), gamma)


def sac_actor_loss(actor, critic, obs, noise, alpha):
    action, log_prob = squash(*gaussian_heads(actor(obs)), noise)
    values = at_rest(critic, side_by_side(obs, action))
    return ActorLoss(-(smallest(values) - alpha * log_prob).mean(), log_prob)


def temperature_loss(log_alpha, log_prob, target_entropy):
    entropy = -float(log_prob.double().mean())
    return log_alpha * (entropy - target_entropy)


def descend_(optimizer, loss, parameters):
    parameters = list(parameters)
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        p.grad = g
    optimizer.step()


def targets_of(agent, batch, noise, alpha):
    c = agent.config
    nets = (agent.target_actor, agent.target_critic)
    return {
        "sac": lambda: sac_targets(batch, agent.actor, agent.target_critic, noise.next, alpha, c.gamma),
        "td3": lambda: td3_targets(batch, *nets, noise.next, c.gamma, c.target_std, c.target_clip),
        "ddpg": lambda: ddpg_targets(batch, *nets, c.gamma),
    }[c.algorithm]()


def update_(agent, batch, noise):
    alpha = float(agent.log_alpha.exp())
    loss = critic_loss(agent.critic, batch, targets_of(agent, batch, noise, alpha))
    descend_(agent.critic_optimizer, loss, agent.critic.parameters())
    agent.gradient_steps += 1
    if agent.gradient_steps % agent.config.policy_delay:
        return float(loss)
    if agent.config.algorithm == "sac":
        found = sac_actor_loss(agent.actor, agent.critic, batch.obs, noise.now, alpha)
        if agent.config.learn_alpha:
            of_alpha = temperature_loss(agent.log_alpha, found.log_prob, agent.target_entropy)
            descend_(agent.alpha_optimizer, of_alpha, [agent.log_alpha])
        descend_(agent.actor_optimizer, found.loss, agent.actor.parameters())
    else:
        of_actor = deterministic_actor_loss(agent.actor, agent.critic, batch.obs)
        descend_(agent.actor_optimizer, of_actor, agent.actor.parameters())
    for target, online in ((agent.target_actor, agent.actor), (agent.target_critic, agent.critic)):
        soft_update_(target, online, agent.config.tau)
    return float(loss)


def forward(network, x):
    """The single network of an actor in NumPy, in double precision."""
    for number, (weight, bias) in enumerate(network.layers):
        x = np.maximum(x, 0.0) if number else x
        x = x @ weight.detach().double().numpy()[0] + bias.detach().double().numpy()[0, 0]
    return x


def act(agent, obs, noise=None):
    output = forward(agent.actor, np.asarray(obs, np.float64))
    if agent.config.algorithm == "sac":
        mean, log_std = np.split(output, 2)
        spread = np.exp(np.clip(log_std, LOG_STD_MIN, LOG_STD_MAX))
        return np.tanh(mean if noise is None else mean + spread * noise)
    best = np.tanh(output)
    return best if noise is None else noisy_action(best, agent.config.exploration_std, noise)


class Run:
    """One training."""

    def __init__(self, env, config, seed):
        self.env, self.config, self.rng = env, config, np.random.default_rng(seed)
        self.box = (env.action_space.low, env.action_space.high)
        S, self.D = env.observation_space.shape[0], env.action_space.low.size
        self.agent = Agent(S, self.D, config, self.rng)
        self.memory = ReplayBuffer(config.buffer_capacity, S, self.D)
        self.sums, self.ends, self.t, self.loss = [0.0], [], 0, float("nan")
        self.obs = env.reset(seed=seed)[0]

    def play(self):
        self.t += 1
        if self.t <= self.config.warmup_steps:
            action = self.rng.uniform(-1, 1, size=self.D)
        else:
            action = act(self.agent, self.obs, self.rng.standard_normal(self.D))
        after, reward, end, clock, _ = self.env.step(to_box(action, *self.box).astype("float32"))
        self.memory.add(self.obs, action, reward, after, end)
        self.sums[-1] += reward
        self.obs = after
        if end or clock:
            self.sums.append(0.0)
            self.ends.append(self.t)
            self.obs = self.env.reset()[0]

    def learn(self):
        for _ in range(self.config.gradient_steps):
            noise = self.rng.standard_normal((self.config.batch_size, 2, self.D)).astype("float32")
            batch = self.memory.sample(self.config.batch_size, self.rng)
            self.loss = update_(self.agent, batch, Noise(torch.tensor(noise[:, 0]), torch.tensor(noise[:, 1])))
        running = float(np.mean(self.sums[:-1][-RUNNING_EPISODES:])) if self.ends else float("nan")
        news = Progress(self.t, self.agent.gradient_steps, self.loss, running, self.agent)
        return self.config.callback is not None and bool(self.config.callback(news))


def train(env, config, seed):
    run = Run(env, config, seed)
    while run.t < config.total_steps:
        run.play()
        due = run.t >= config.warmup_steps and run.t % config.train_every == 0
        if due and run.learn():
            break
    return Result(run.agent, np.array(run.sums[:-1]), np.array(run.ends, dtype=np.int64), run.memory)


def evaluate(agent, env, episodes, seed):
    if not episodes >= 1:
        raise ValueError("there must be an episode to play")
    returns = []
    for number in range(episodes):
        obs, over, rewards = env.reset(seed=None if number else seed)[0], False, []
        while not over:
            action = to_box(act(agent, obs), env.action_space.low, env.action_space.high)
            obs, reward, end, clock, _ = env.step(action.astype(np.float32))
            rewards.append(reward)
            over = end or clock
        returns.append(sum(rewards))
    return np.array(returns, dtype=np.float64)
