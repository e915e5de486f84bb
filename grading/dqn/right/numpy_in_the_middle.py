"""dqn in another style: NumPy wherever no gradient is needed, one structured array as memory, one
loop for each episode."""

import itertools
from collections import deque

from torch.nn.utils import parameters_to_vector, vector_to_parameters


class ReplayBuffer:
    def __init__(self, capacity, obs_shape, obs_dtype):
        if not capacity >= 1:
            raise ValueError("the memory must have room for one transition.")
        self.shape = tuple(obs_shape)
        row = [
            ("obs", obs_dtype, self.shape),
            ("action", np.int64),
            ("reward", np.float32),
            ("next_obs", obs_dtype, self.shape),
            ("terminated", np.bool_),
        ]
        self.rows = np.zeros(capacity, dtype=row)
        self.head = self.count = 0

    def __len__(self):
        return self.count

    def add(self, obs, action, reward, next_obs, terminated):
        for seen in (obs, next_obs):
            if np.asarray(seen).shape != self.shape:
                raise ValueError(f"an observation is of shape {self.shape} here.")
        self.rows[self.head] = (obs, action, reward, next_obs, terminated)
        self.head = (self.head + 1) % len(self.rows)
        self.count = min(self.count + 1, len(self.rows))

    def sample(self, batch, rng):
        if batch < 1 or self.count == 0:
            raise ValueError("a batch has one row at least, and so has the memory.")
        drawn = self.rows[rng.choice(self.count, size=batch)]
        return Batch(*(torch.from_numpy(drawn[name].copy()) for name in Batch._fields))


class QNetwork(nn.Module):
    def __init__(self, obs_dim, n_actions, hidden=(128, 128)):
        super().__init__()
        sizes = [obs_dim, *hidden, n_actions]
        if any(size < 1 for size in sizes):
            raise ValueError("a layer has one unit at least.")
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, obs):
        for number, layer in enumerate(self.layers, 1):
            obs = layer(obs)
            if number < len(self.layers):
                obs = obs.clamp(min=0.0)
        return obs


def epsilon_greedy_action(q_values, epsilon, rng):
    q_values = np.asarray(q_values, dtype=float)
    if q_values.ndim != 1 or q_values.size == 0:
        raise ValueError("the values of one state are a row.")
    if epsilon < 0 or epsilon > 1:
        raise ValueError("epsilon is a probability.")
    best = int(np.argmax(q_values))
    others = [action for action in range(q_values.size) if action != best]
    # An exploring step takes the best action, too: so another one is taken less often.
    if rng.uniform() < epsilon * len(others) / q_values.size:
        return int(rng.choice(others))
    return best


def _arrays(reward, terminated, gamma, *tables):
    if reward.ndim != 1 or terminated.shape != reward.shape or not len(reward):
        raise ValueError("rewards and flags are rows of the same length.")
    if any(table.ndim != 2 or len(table) != len(reward) or not table.shape[1] for table in tables):
        raise ValueError("Q-values are tables with a row for each reward.")
    if not 0 <= gamma <= 1:
        raise ValueError("gamma lies between 0 and 1.")
    return [x.detach().cpu().numpy() for x in (reward, terminated, *tables)]


def dqn_targets(reward, next_q_target, terminated, gamma):
    r, over, q = _arrays(reward, terminated, gamma, next_q_target)
    y, going = r.copy(), ~over.astype(bool)
    y[going] += gamma * q.max(axis=1)[going]
    return torch.from_numpy(y)


def double_dqn_targets(reward, next_q_online, next_q_target, terminated, gamma):
    if next_q_online.shape != next_q_target.shape:
        raise ValueError("both networks know the same actions.")
    r, over, chooses, judges = _arrays(reward, terminated, gamma, next_q_online, next_q_target)
    best = chooses.argmax(axis=1)
    y = [
        r[i] if over[i] else r[i] + gamma * float(judges[i, best[i]]) for i in range(len(r))
    ]
    return torch.tensor(np.array(y, dtype=r.dtype))


def td_loss(q, action, target, kind="huber"):
    if q.ndim != 2 or action.ndim != 1 or action.shape != target.shape or len(q) != len(action):
        raise ValueError("q is (B, A), action and target are (B,).")
    taken = torch.from_numpy(np.eye(q.shape[1])[action.numpy()]).to(q.dtype)
    distance = torch.abs((q * taken).sum(dim=-1) - target.detach())
    if kind == "huber":
        return torch.where(distance <= 1, distance**2 / 2, distance - 0.5).mean()
    if kind == "mse":
        return (distance**2).sum() / len(distance)
    raise ValueError(f"the loss is huber or mse, not {kind!r}.")


def hard_update_(target, online):
    vector_to_parameters(parameters_to_vector(online.parameters()).clone(), target.parameters())


def soft_update_(target, online, tau):
    if tau <= 0 or tau > 1:
        raise ValueError("tau is a share above 0.")
    with torch.no_grad():
        old, new = (parameters_to_vector(one.parameters()) for one in (target, online))
        vector_to_parameters(old + tau * (new - old), target.parameters())


def linear_epsilon(step, start, end, decay_steps):
    if step < 0 or decay_steps < 1:
        raise ValueError("steps are not negative, and the decay takes one at least.")
    if min(start, end) < 0 or max(start, end) > 1:
        raise ValueError("rates lie between 0 and 1.")
    left = max(decay_steps - step, 0)
    return (start * left + end * (decay_steps - left)) / decay_steps


class Agent:
    """What acts and learns."""

    def __init__(self, env, config, seed):
        self.config, self.rng = config, np.random.default_rng(seed + 1)
        shape, n_actions = env.observation_space.shape, env.action_space.n
        sizes = (int(np.prod(shape)), int(n_actions), list(config.hidden))
        before = torch.random.get_rng_state()
        torch.random.manual_seed(seed)
        self.online, self.target = QNetwork(*sizes), QNetwork(*sizes)
        torch.random.set_rng_state(before)
        hard_update_(self.target, self.online)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=config.learning_rate)
        self.memory = ReplayBuffer(config.buffer_capacity, shape, env.observation_space.dtype)
        self.updates, self.loss = 0, float("nan")

    def values(self, obs):
        x = np.asarray(obs, dtype=np.float32).ravel()
        layers = list(self.online.layers)
        for layer in layers:
            x = layer.weight.detach().numpy() @ x + layer.bias.detach().numpy()
            x = x if layer is layers[-1] else np.where(x > 0, x, 0.0)
        return x

    def look_ahead(self, batch):
        after = batch.next_obs.float().flatten(start_dim=1)
        with torch.no_grad():
            judged = self.target(after)
            if not self.config.double:
                return dqn_targets(batch.reward, judged, batch.terminated, self.config.gamma)
            chosen = self.online(after)
        return double_dqn_targets(batch.reward, chosen, judged, batch.terminated, self.config.gamma)

    def learn(self):
        batch = self.memory.sample(self.config.batch_size, self.rng)
        q = self.online(batch.obs.float().flatten(start_dim=1))
        loss = td_loss(q, batch.action, self.look_ahead(batch), self.config.loss)
        for parameter in self.online.parameters():
            parameter.grad = None
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        self.loss = float(loss.detach())
        if not self.updates % self.config.target_every:
            soft_update_(self.target, self.online, self.config.tau)


def train_dqn(env, config, seed):
    agent, t, over = Agent(env, config, seed), 0, False
    returns, steps, latest = [], [], deque(maxlen=RUNNING_EPISODES)
    while t < config.total_steps and not over:
        obs = env.reset(seed=seed)[0] if t == 0 else env.reset()[0]
        score, ended = 0.0, False
        while t < config.total_steps and not ended and not over:
            epsilon = linear_epsilon(
                t, config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps
            )
            action = epsilon_greedy_action(agent.values(obs), epsilon, agent.rng)
            after, reward, terminated, truncated, _ = env.step(action)
            agent.memory.add(obs, action, reward, after, terminated)
            t, score, obs, ended = t + 1, score + reward, after, terminated or truncated
            if ended:
                latest.append(score)
                returns.append(score)
                steps.append(t)
                over = len(latest) == RUNNING_EPISODES and np.mean(latest) >= config.stop_return
            if over or t < config.warmup_steps or t % config.train_every > 0:
                continue
            for _ in range(config.gradient_steps):
                agent.learn()
            running = float(np.mean(latest)) if latest else float("nan")
            news = Progress(t, agent.updates, epsilon, agent.loss, running, agent.online)
            over = bool(config.callback and config.callback(news))
    return Result(agent.online, np.array(returns, dtype=float), np.array(steps, dtype=np.int64))


def evaluate(network, env, episodes, seed):
    if episodes <= 0:
        raise ValueError("there is nothing to play.")

    def play(**options):
        obs, _ = env.reset(**options)
        while True:
            with torch.no_grad():
                q = network(torch.from_numpy(np.array(obs, dtype=np.float32).reshape(1, -1)))
            obs, reward, terminated, truncated, _ = env.step(int(np.argmax(q.numpy()[0])))
            yield reward
            if terminated or truncated:
                return

    return np.array([sum(play(seed=seed) if i == 0 else play()) for i in range(episodes)], float)
