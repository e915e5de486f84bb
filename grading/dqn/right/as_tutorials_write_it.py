"""dqn in another style: a list of tuples as memory, float masks, and one agent with a method for each
job, as tutorials have it."""

import torch.nn.functional as F
import torch.optim as optim


class ReplayBuffer:
    def __init__(self, capacity, obs_shape, obs_dtype):
        if capacity < 1:
            raise ValueError("the capacity must be positive.")
        self.memory, self.position, self.capacity = [], 0, capacity
        self.obs_shape, self.obs_dtype = tuple(obs_shape), obs_dtype

    def __len__(self):
        return len(self.memory)

    def add(self, obs, action, reward, next_obs, terminated):
        obs, next_obs = np.array(obs, dtype=self.obs_dtype), np.array(next_obs, dtype=self.obs_dtype)
        if not obs.shape == next_obs.shape == self.obs_shape:
            raise ValueError("the observations do not have the shape of this memory.")
        if len(self.memory) < self.capacity:
            self.memory.append(None)
        self.memory[self.position] = (obs, action, reward, next_obs, terminated)
        self.position = (self.position + 1) % self.capacity

    def sample(self, batch, rng):
        if batch < 1:
            raise ValueError("the batch size must be positive.")
        if len(self.memory) == 0:
            raise ValueError("the memory is still empty.")
        transitions = [self.memory[i] for i in rng.integers(0, len(self.memory), batch)]
        obs, actions, rewards, next_obs, dones = map(np.array, zip(*transitions, strict=True))
        return Batch(
            torch.tensor(obs),
            torch.tensor(actions, dtype=torch.long),
            torch.tensor(rewards, dtype=torch.float),
            torch.tensor(next_obs),
            torch.tensor(dones, dtype=torch.bool),
        )


class QNetwork(nn.Module):
    def __init__(self, obs_dim, n_actions, hidden=(128, 128)):
        if obs_dim < 1 or n_actions < 1 or (len(hidden) and min(hidden) < 1):
            raise ValueError("every layer needs a unit.")
        super().__init__()
        self.network = nn.Sequential()
        for i, width in enumerate(hidden):
            self.network.append(nn.Linear(obs_dim if i == 0 else hidden[i - 1], width))
            self.network.append(nn.ReLU())
        self.network.append(nn.Linear(hidden[-1] if hidden else obs_dim, n_actions))

    def forward(self, obs):
        return self.network(obs)


def epsilon_greedy_action(q_values, epsilon, rng):
    q_values = torch.as_tensor(np.asarray(q_values))
    if q_values.dim() != 1 or q_values.numel() == 0:
        raise ValueError("one value for each action is needed.")
    if not (epsilon >= 0 and epsilon <= 1):
        raise ValueError("epsilon must be a probability.")
    sample = rng.random()
    if sample >= epsilon:
        return q_values.max(0).indices.item()
    return int(rng.choice(np.arange(len(q_values))))


def dqn_targets(reward, next_q_target, terminated, gamma):
    _check_batch(reward=reward, terminated=terminated)
    _check_q(next_q_target, "next_q_target", reward)
    if gamma < 0 or gamma > 1:
        raise ValueError("gamma must be a discount.")
    target_max, _ = next_q_target.detach().max(dim=1)
    return reward.detach() + gamma * target_max * (1 - terminated.to(reward.dtype))


def double_dqn_targets(reward, next_q_online, next_q_target, terminated, gamma):
    _check_batch(reward=reward, terminated=terminated)
    _check_q(next_q_online, "next_q_online", reward)
    _check_q(next_q_target, "next_q_target", reward)
    if gamma < 0 or gamma > 1:
        raise ValueError("gamma must be a discount.")
    if next_q_online.size(1) != next_q_target.size(1):
        raise ValueError("the two networks know different actions.")
    next_actions = torch.argmax(next_q_online, dim=1)
    next_values = next_q_target.data[range(len(reward)), next_actions]
    next_values = next_values.clone()
    next_values[terminated] = 0.0
    return next_values * gamma + reward.data


def td_loss(q, action, target, kind="huber"):
    _check_batch(action=action, target=target)
    _check_q(q, "q", action)
    old_val = q.gather(1, action.view(-1, 1)).view(-1)
    if kind == "mse":
        return F.mse_loss(target.data, old_val)
    elif kind == "huber":
        return F.smooth_l1_loss(old_val, target.data)
    else:
        raise ValueError("the kind of loss is not known here.")


def hard_update_(target, online):
    for target_param, param in zip(target.parameters(), online.parameters(), strict=True):
        target_param.data = param.data.clone()


def soft_update_(target, online, tau):
    if not 0 < tau <= 1:
        raise ValueError("tau must be a share of the way.")
    for target_param, param in zip(target.parameters(), online.parameters(), strict=True):
        target_param.data.mul_(1 - tau)
        target_param.data.add_(tau * param.data)


def linear_epsilon(step, start, end, decay_steps):
    if step < 0:
        raise ValueError("the step is before the first one.")
    if decay_steps < 1:
        raise ValueError("the decay takes no step.")
    if not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError("an exploration rate is a probability.")
    if step >= decay_steps:
        return end
    slope = (end - start) / decay_steps
    return start + slope * step


class DQNAgent:
    def __init__(self, env, config, seed):
        self.config = config
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.memory = ReplayBuffer(
            config.buffer_capacity, env.observation_space.shape, env.observation_space.dtype
        )
        obs_dim = int(np.array(env.observation_space.shape).prod())
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.q_network = QNetwork(obs_dim, int(env.action_space.n), config.hidden)
            self.target_network = QNetwork(obs_dim, int(env.action_space.n), config.hidden)
        self.target_network.load_state_dict(self.q_network.state_dict())
        self.target_network.eval()
        self.optimizer = optim.Adam(self.q_network.parameters(), lr=config.learning_rate)
        self.learn_step_counter = 0
        self.last_loss = None

    def choose_action(self, obs, epsilon):
        state = torch.FloatTensor(np.array(obs, dtype=np.float32)).reshape(1, -1)
        return epsilon_greedy_action(
            self.q_network(state).squeeze(0).detach().numpy(), epsilon, self.rng
        )

    def replay(self):
        obs, action, reward, next_obs, terminated = self.memory.sample(
            self.config.batch_size, self.rng
        )
        obs, next_obs = obs.view(len(obs), -1).float(), next_obs.view(len(obs), -1).float()
        q_next = self.target_network(next_obs)
        if self.config.double:
            y = double_dqn_targets(
                reward, self.q_network(next_obs), q_next, terminated, self.config.gamma
            )
        else:
            y = dqn_targets(reward, q_next, terminated, self.config.gamma)
        loss = td_loss(self.q_network(obs), action, y, self.config.loss)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.last_loss = loss.item()
        self.learn_step_counter += 1
        if self.learn_step_counter % self.config.target_every == 0:
            soft_update_(self.target_network, self.q_network, self.config.tau)


def train_dqn(env, config, seed):
    agent = DQNAgent(env, config, seed)
    episode_returns, episode_ends, episode_reward = [], [], 0
    state, _ = env.reset(seed=seed)
    for global_step in range(config.total_steps):
        epsilon = linear_epsilon(
            global_step, config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps
        )
        action = agent.choose_action(state, epsilon)
        next_state, reward, terminated, truncated, _ = env.step(action)
        episode_reward += reward
        agent.memory.add(state, action, reward, next_state, terminated)
        state = next_state
        done = terminated or truncated
        if done:
            episode_returns.append(episode_reward)
            episode_ends.append(global_step + 1)
            episode_reward = 0
            state, _ = env.reset()
            recent = episode_returns[-RUNNING_EPISODES:]
            if len(recent) == RUNNING_EPISODES and sum(recent) / len(recent) >= config.stop_return:
                break
        if global_step + 1 >= config.warmup_steps and (global_step + 1) % config.train_every == 0:
            for _ in range(config.gradient_steps):
                agent.replay()
            if config.callback is not None:
                stop = config.callback(
                    Progress(
                        step=global_step + 1,
                        gradient_steps=agent.learn_step_counter,
                        epsilon=epsilon,
                        loss=agent.last_loss,
                        running_return=np.mean(episode_returns[-RUNNING_EPISODES:])
                        if episode_returns
                        else np.nan,
                        network=agent.q_network,
                    )
                )
                if stop:
                    break
    returns = np.array(episode_returns, dtype=np.float64)
    return Result(agent.q_network, returns, np.array(episode_ends, dtype=np.int64))


def evaluate(network, env, episodes, seed):
    if episodes < 1:
        raise ValueError("at least one episode is needed.")
    network.eval()
    scores = []
    state, _ = env.reset(seed=seed)
    while True:
        done, score = False, 0.0
        while not done:
            with torch.no_grad():
                state = torch.tensor(np.array(state), dtype=torch.float32).reshape(1, -1)
                action = network(state).max(1)[1].view(1, 1).item()
            state, reward, terminated, truncated, _ = env.step(action)
            score += reward
            done = terminated or truncated
        scores.append(score)
        if len(scores) == episodes:
            return np.asarray(scores)
        state, _ = env.reset()
