"""dqn in another style: a deque of transitions, torch everywhere, state dicts, one flat training
function."""

import random
from collections import deque

import torch.nn.functional as F


class ReplayBuffer:
    def __init__(self, capacity, obs_shape, obs_dtype):
        if capacity < 1:
            raise ValueError("a buffer needs room for one transition at least")
        self.obs_shape, self.obs_dtype = tuple(obs_shape), np.dtype(obs_dtype)
        self.memory = deque(maxlen=capacity)

    def __len__(self):
        return len(self.memory)

    def add(self, obs, action, reward, next_obs, terminated):
        if np.shape(obs) != self.obs_shape or np.shape(next_obs) != self.obs_shape:
            raise ValueError(f"observations must be of shape {self.obs_shape}")
        obs, next_obs = (np.array(x, dtype=self.obs_dtype, copy=True) for x in (obs, next_obs))
        self.memory.append((obs, int(action), float(reward), next_obs, bool(terminated)))

    def sample(self, batch, rng):
        if batch < 1:
            raise ValueError("a batch must hold one transition at least")
        if not self.memory:
            raise ValueError("the buffer is empty")
        dice = random.Random(int(rng.integers(2**62)))
        obs, action, reward, next_obs, terminated = zip(*dice.choices(self.memory, k=batch), strict=True)
        return Batch(
            torch.as_tensor(np.stack(obs)),
            torch.tensor(action),
            torch.tensor(reward, dtype=torch.float32),
            torch.as_tensor(np.stack(next_obs)),
            torch.tensor(terminated),
        )


class QNetwork(torch.nn.Module):
    def __init__(self, obs_dim, n_actions, hidden=(128, 128)):
        super().__init__()
        if obs_dim < 1 or n_actions < 1 or any(width < 1 for width in hidden):
            raise ValueError("sizes must be positive")
        self.body = torch.nn.ModuleList()
        for width in hidden:
            self.body.append(torch.nn.Linear(obs_dim, width))
            obs_dim = width
        self.head = torch.nn.Linear(obs_dim, n_actions)

    def forward(self, obs):
        for layer in self.body:
            obs = F.relu(layer(obs))
        return self.head(obs)


def epsilon_greedy_action(q_values, epsilon, rng):
    if np.ndim(q_values) != 1 or not 0 <= epsilon <= 1:
        raise ValueError("one row of Q-values and an epsilon from 0 to 1, please")
    chances = np.full(len(q_values), epsilon / len(q_values))
    chances[np.argmax(q_values)] += 1 - epsilon
    return int(rng.choice(len(q_values), p=chances / chances.sum()))


def _row(reward, terminated, *tables):
    if reward.dim() != 1 or terminated.shape != reward.shape:
        raise ValueError("rewards and flags must be of shape (B,)")
    if any(table.dim() != 2 or table.shape[0] != len(reward) for table in tables):
        raise ValueError("Q-values must be of shape (B, A)")


def dqn_targets(reward, next_q_target, terminated, gamma):
    _row(reward, terminated, next_q_target)
    if not 0 <= gamma <= 1:
        raise ValueError("gamma must lie between 0 and 1")
    with torch.no_grad():
        return reward + gamma * next_q_target.amax(1) * (~terminated)


def double_dqn_targets(reward, next_q_online, next_q_target, terminated, gamma):
    _row(reward, terminated, next_q_online, next_q_target)
    if not 0 <= gamma <= 1:
        raise ValueError("gamma must lie between 0 and 1")
    with torch.no_grad():
        onehot = F.one_hot(next_q_online.argmax(1), next_q_online.shape[1]).to(next_q_target.dtype)
        return reward + gamma * (onehot * next_q_target).sum(1) * (~terminated)


def td_loss(q, action, target, kind="huber"):
    if action.dim() != 1 or target.shape != action.shape or q.dim() != 2 or len(q) != len(action):
        raise ValueError("q must be (B, A), action and target (B,)")
    if kind not in ("huber", "mse"):
        raise ValueError(f"there is no loss called {kind}")
    error = q[torch.arange(len(q)), action] - target.detach()
    if kind == "mse":
        return error.pow(2).mean()
    small = error.abs().clamp(max=1.0)
    return (small * (error.abs() - 0.5 * small)).mean()


def hard_update_(target, online):
    target.load_state_dict(online.state_dict())


def soft_update_(target, online, tau):
    if not 0 < tau <= 1:
        raise ValueError("tau must lie between 0 and 1")
    goal = online.state_dict()
    target.load_state_dict({k: (1 - tau) * v + tau * goal[k] for k, v in target.state_dict().items()})


def linear_epsilon(step, start, end, decay_steps):
    if step < 0 or decay_steps < 1 or not 0 <= start <= 1 or not 0 <= end <= 1:
        raise ValueError("impossible schedule")
    return float(np.interp(step, [0, decay_steps], [start, end]))


def train_dqn(env, config, seed):
    c, rng = config, np.random.default_rng([seed, 1])
    obs_dim, n_actions = int(np.prod(env.observation_space.shape)), int(env.action_space.n)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    online = QNetwork(obs_dim, n_actions, c.hidden)
    target = QNetwork(obs_dim, n_actions, c.hidden)
    torch.set_rng_state(state)
    hard_update_(target, online)
    optimizer = torch.optim.Adam(online.parameters(), c.learning_rate)
    buffer = ReplayBuffer(c.buffer_capacity, env.observation_space.shape, env.observation_space.dtype)
    returns, steps, rewards, updates = [], [], [], 0
    obs = env.reset(seed=seed)[0]
    for t in range(c.total_steps):
        epsilon = linear_epsilon(t, c.epsilon_start, c.epsilon_end, c.epsilon_decay_steps)
        with torch.no_grad():
            q = online(torch.as_tensor(obs, dtype=torch.float32)[None])[0].numpy()
        action = epsilon_greedy_action(q, epsilon, rng)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        buffer.add(obs, action, reward, next_obs, terminated)
        rewards.append(reward)
        obs = next_obs
        if terminated or truncated:
            returns.append(sum(rewards))
            steps.append(t + 1)
            rewards.clear()
            obs = env.reset()[0]
            if len(returns) >= RUNNING_EPISODES and np.mean(returns[-RUNNING_EPISODES:]) >= c.stop_return:
                break
        if t + 1 < c.warmup_steps or (t + 1) % c.train_every != 0:
            continue
        for _ in range(c.gradient_steps):
            batch = buffer.sample(c.batch_size, rng)
            with torch.no_grad():
                after = target(batch.next_obs.float())
                if c.double:
                    y = double_dqn_targets(
                        batch.reward, online(batch.next_obs.float()), after, batch.terminated, c.gamma
                    )
                else:
                    y = dqn_targets(batch.reward, after, batch.terminated, c.gamma)
            loss = td_loss(online(batch.obs.float()), batch.action, y, c.loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            if updates % c.target_every == 0:
                soft_update_(target, online, c.tau)
        running = float(np.mean(returns[-RUNNING_EPISODES:])) if returns else math.nan
        if sys.stderr.isatty() and c.progress_bar:
            print(f"\r{t + 1} steps, running return {running:.1f}", end="", file=sys.stderr)
        if c.callback and c.callback(Progress(t + 1, updates, epsilon, loss.item(), running, online)):
            break
    return Result(online, np.array(returns, float), np.array(steps, int))


def evaluate(network, env, episodes, seed):
    if episodes < 1:
        raise ValueError("play one episode at least")
    totals = []
    with torch.inference_mode():
        for episode in range(episodes):
            obs, total = (env.reset(seed=seed) if episode == 0 else env.reset())[0], 0.0
            while True:
                action = network(torch.tensor(obs, dtype=torch.float32).unsqueeze(0)).argmax().item()
                obs, reward, terminated, truncated, _ = env.step(action)
                total += reward
                if terminated or truncated:
                    break
            totals.append(total)
    return np.array(totals)
