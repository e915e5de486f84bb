"""dqn in another style: one torch table for all transitions, hand-made Adam, functional calls,
double precision inside."""


from torch import nn
from torch.func import functional_call


def demand(condition, text):
    if not condition:
        raise ValueError(text)


class ReplayBuffer:
    def __init__(self, capacity, obs_shape, obs_dtype):
        demand(capacity >= 1, "capacity must be positive")
        self.capacity, self.shape, self.position, self.full = capacity, tuple(obs_shape), 0, False
        kind = torch.from_numpy(np.zeros(0, obs_dtype)).dtype
        self.columns = [
            torch.empty((capacity, *self.shape), dtype=kind),
            torch.empty(capacity, dtype=torch.int64),
            torch.empty(capacity, dtype=torch.float32),
            torch.empty((capacity, *self.shape), dtype=kind),
            torch.empty(capacity, dtype=torch.bool),
        ]

    def __len__(self):
        return self.capacity if self.full else self.position

    def add(self, *transition):
        for obs in (transition[0], transition[3]):
            demand(np.shape(obs) == self.shape, f"observations have shape {self.shape}")
        for column, value in zip(self.columns, transition, strict=True):
            column[self.position] = torch.as_tensor(value)
        self.position += 1
        if self.position == self.capacity:
            self.position, self.full = 0, True

    def sample(self, batch, rng):
        demand(batch >= 1, "batch must be positive")
        demand(len(self) > 0, "nothing has been stored yet")
        rows = torch.as_tensor((rng.random(batch) * len(self)).astype(np.int64))
        return Batch(*(column[rows] for column in self.columns))


class QNetwork(nn.Sequential):
    def __init__(self, obs_dim, n_actions, hidden=(128, 128)):
        sizes = (obs_dim, *hidden, n_actions)
        demand(min(sizes) >= 1, "sizes must be positive")
        layers = []
        for i in range(len(sizes) - 1):
            linear = nn.Linear(sizes[i], sizes[i + 1])
            nn.init.orthogonal_(linear.weight)
            layers += [linear] if i == len(sizes) - 2 else [linear, nn.ReLU(inplace=True)]
        super().__init__(*layers)


def epsilon_greedy_action(q_values, epsilon, rng):
    q_values = np.asarray(q_values)
    demand(q_values.ndim == 1, "q_values must be one row")
    demand(0 <= epsilon <= 1, "epsilon must lie in [0, 1]")
    explored = int(rng.integers(q_values.size))
    best = int(rng.choice(np.flatnonzero(q_values == q_values.max())))
    return best if rng.random() >= epsilon else explored


def targets(reward, terminated, gamma, future):
    demand(
        reward.ndim == 1 and reward.shape == terminated.shape == future.shape,
        "shapes must be (B,) and (B, A)",
    )
    demand(0 <= gamma <= 1, "gamma must lie in [0, 1]")
    result = (reward + gamma * future).detach().clone()
    result[terminated] = reward.detach()[terminated]
    return result


def dqn_targets(reward, next_q_target, terminated, gamma):
    demand(next_q_target.ndim == 2, "Q-values must be (B, A)")
    return targets(reward, terminated, gamma, torch.sort(next_q_target, dim=1, descending=True)[0][:, 0])


def double_dqn_targets(reward, next_q_online, next_q_target, terminated, gamma):
    demand(next_q_target.ndim == 2 and next_q_online.shape == next_q_target.shape, "Q-values must be (B, A)")
    future = torch.take_along_dim(next_q_target, next_q_online.max(1, keepdim=True).indices, 1).flatten()
    return targets(reward, terminated, gamma, future)


def td_loss(q, action, target, kind="huber"):
    demand(q.ndim == 2 and q.shape[:1] == action.shape == target.shape, "q must be (B, A), the others (B,)")
    losses = {"huber": nn.SmoothL1Loss(beta=1.0), "mse": nn.MSELoss()}
    demand(kind in losses, f"unknown loss {kind!r}")
    return losses[kind](torch.take_along_dim(q, action.unsqueeze(1), 1).flatten(), target.detach())


def hard_update_(target, online):
    soft_update_(target, online, 1.0)


def soft_update_(target, online, tau):
    demand(0 < tau <= 1, "tau must lie in (0, 1]")
    goal = dict(online.named_parameters())
    for name, parameter in target.named_parameters():
        parameter.data = (1.0 - tau) * parameter.data + tau * goal[name].data


def linear_epsilon(step, start, end, decay_steps):
    demand(step >= 0 and decay_steps >= 1 and 0 <= start <= 1 and 0 <= end <= 1, "impossible schedule")
    return end if step >= decay_steps else start * (1 - step / decay_steps) + end * (step / decay_steps)


def adam(rate):
    """A function that changes parameters in place, given their gradients (Kingma and Ba 2015,
    Algorithm 1)."""
    moments, count = {}, 0

    def step(parameters, gradients):
        nonlocal count
        count += 1
        for name, gradient in gradients.items():
            m, v = moments.get(name, (0.0, 0.0))
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            moments[name] = m, v
            change = rate * (m / (1 - 0.9**count)) / ((v / (1 - 0.999**count)).sqrt() + 1e-8)
            parameters[name] -= change

    return step


def learner(network, config, buffer, rng):
    """(a function for one round of gradient steps, a dict that it keeps up to date)."""
    online = {name: parameter.detach().double() for name, parameter in network.named_parameters()}
    old = {name: value.clone() for name, value in online.items()}
    step, state = adam(config.learning_rate), {"gradient_steps": 0, "loss": math.nan, "online": online}

    def q(parameters, obs):
        return functional_call(network, parameters, (obs.double().flatten(1),))

    def gradient_step():
        batch = buffer.sample(config.batch_size, rng)
        reward, after = batch.reward.double(), q(old, batch.next_obs)
        if config.double:
            y = double_dqn_targets(reward, q(online, batch.next_obs), after, batch.terminated, config.gamma)
        else:
            y = dqn_targets(reward, after, batch.terminated, config.gamma)
        leaves = {name: value.clone().requires_grad_() for name, value in online.items()}
        loss = td_loss(q(leaves, batch.obs), batch.action, y, config.loss)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        step(online, dict(zip(leaves, gradients, strict=True)))
        state["gradient_steps"] += 1
        state["loss"] = loss.item()
        if state["gradient_steps"] % config.target_every == 0:
            for name in old:
                old[name] = old[name] * (1 - config.tau) + online[name] * config.tau

    def round_():
        for _ in range(config.gradient_steps):
            gradient_step()
        for name, parameter in network.named_parameters():
            parameter.data.copy_(online[name])

    return round_, state


def train_dqn(env, config, seed):
    sequence = np.random.SeedSequence(seed).spawn(2)
    act_rng, replay_rng = (np.random.default_rng(s) for s in sequence)
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(seed)
        network = QNetwork(
            math.prod(env.observation_space.shape), int(env.action_space.n), tuple(config.hidden)
        )
    buffer = ReplayBuffer(config.buffer_capacity, env.observation_space.shape, env.observation_space.dtype)
    round_, state = learner(network, config, buffer, replay_rng)
    finished, total, t = [], 0.0, 0
    obs, _ = env.reset(seed=seed)
    while t < config.total_steps:
        epsilon = linear_epsilon(t, config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps)
        values = network(torch.tensor(np.ravel(obs), dtype=torch.float32)).tolist()
        before, action = obs, epsilon_greedy_action(values, epsilon, act_rng)
        obs, reward, terminated, truncated, _ = env.step(action)
        t += 1
        total += reward
        buffer.add(before, action, reward, obs, terminated)
        running = math.nan
        if terminated or truncated:
            finished.append((total, t))
            total = 0.0
            obs, _ = env.reset()
        latest = [r for r, _ in finished[-RUNNING_EPISODES:]]
        running = sum(latest) / len(latest) if latest else math.nan
        if (terminated or truncated) and len(latest) == RUNNING_EPISODES and running >= config.stop_return:
            break
        if t >= config.warmup_steps and t % config.train_every == 0:
            round_()
            news = Progress(t, state["gradient_steps"], epsilon, state["loss"], running, network)
            if config.callback is not None and config.callback(news) is True:
                break
    return Result(
        network, np.array([r for r, _ in finished], np.float64), np.array([s for _, s in finished], np.int64)
    )


@torch.no_grad()
def evaluate(network, env, episodes, seed):
    demand(episodes >= 1, "at least one episode must be played")
    returns, seeds = np.zeros(episodes), [seed] + [None] * (episodes - 1)
    for i, s in enumerate(seeds):
        obs, _ = env.reset(seed=s)
        over = False
        while not over:
            q = network(torch.from_numpy(np.asarray(obs, np.float32)).reshape(1, -1))
            obs, reward, terminated, truncated, _ = env.step(int(torch.argmax(q, dim=1)[0]))
            returns[i] += reward
            over = terminated or truncated
    return returns
