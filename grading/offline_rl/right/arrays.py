"""A correct solution in another style: no loop over rows, logarithms for products, one-hot masks,
distributions of torch, and losses that read each network once."""

import math


def must(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def record(env, policy, episodes, rng, seed):
    must(episodes >= 1, "an episode at least")
    story = []

    def play(obs):
        over = False
        while not over:
            here = np.array(obs, copy=True)
            chances = np.asarray(policy(here))
            action = int(np.searchsorted(np.cumsum(chances), rng.random(), side="right").clip(0, len(chances) - 1))
            obs, reward, terminated, truncated, _ = env.step(action)
            story.append([here, action, float(reward), np.array(obs, copy=True), terminated, truncated, chances[action]])
            over = terminated or truncated

    play(env.reset(seed=seed)[0])
    for _ in range(episodes - 1):
        play(env.reset()[0])
    return Dataset(*(np.stack([np.asarray(x) for x in column]) for column in zip(*story, strict=True)))


def episode_bounds(data):
    last = np.logical_or(data.terminated, data.truncated).nonzero()[0]
    must(len(last) and last[-1] == len(data.obs) - 1, "unfinished data are refused")
    return np.column_stack([np.concatenate([[0], last[:-1] + 1]), last + 1])


def clocks(data):
    """(starts of episodes, the step within its episode of each row)."""
    pairs = episode_bounds(data)
    return pairs[:, 0], np.arange(len(data.obs)) - np.repeat(pairs[:, 0], np.diff(pairs, axis=1)[:, 0])


def sample_batch(data, batch_size, rng):
    must(batch_size >= 1, "one row at least")
    rows = rng.choice(len(data.obs), batch_size)
    obs, action, reward, after, terminated = (np.take(column, rows, axis=0) for column in data[:5])
    return Batch(
        torch.tensor(obs), torch.tensor(action).long(), torch.tensor(reward).float(),
        torch.tensor(after), torch.tensor(terminated),
    )


def importance_ratios(data, target):
    _check_table(target, data, "target")
    must(np.all(data.prob > 0) and np.all(data.prob <= 1), "no such probability exists")
    return np.take_along_axis(np.asarray(target, float), data.action[:, None], axis=1)[:, 0] / data.prob


def episode_returns(data, gamma):
    _check_gamma(gamma)
    starts, t = clocks(data)
    return np.add.reduceat(gamma**t * data.reward, starts)


def episode_weights(data, target):
    with np.errstate(divide="ignore"):
        logs = np.log(importance_ratios(data, target))
    return np.exp(np.add.reduceat(logs, clocks(data)[0]))


def ordinary_is(data, target, gamma):
    return np.multiply(episode_returns(data, gamma), episode_weights(data, target))


def per_decision_is(data, target, gamma):
    _check_gamma(gamma)
    starts, t = clocks(data)
    weights = importance_ratios(data, target)
    # A running product: a row takes over that of the row above, as often as the longest episode has rows.
    for k in range(1, int(t.max()) + 1):
        rows = np.flatnonzero(t == k)
        weights[rows] *= weights[rows - 1]
    return np.add.reduceat(gamma**t * weights * data.reward, starts)


def weighted_is(data, target, gamma):
    weights = episode_weights(data, target)
    if weights.sum() == 0:
        return 0.0
    return float(np.average(episode_returns(data, gamma), weights=weights))


def fitted_q_evaluation(data, policy, gamma, sweeps):
    _check_gamma(gamma)
    must(sweeps > 0, "sweep at least once")
    n_states, n_actions = policy.shape
    pairs = data.obs * n_actions + data.action
    size = n_states * n_actions
    visits = np.bincount(pairs, minlength=size).clip(min=1)
    q = np.zeros((n_states, n_actions))
    for _ in range(sweeps):
        v = np.einsum("sa,sa->s", policy, q)
        y = data.reward + gamma * np.where(data.terminated, 0, v[data.next_obs])
        q = (np.bincount(pairs, weights=y, minlength=size) / visits).reshape(q.shape)
    return q


def doubly_robust(data, target, q, gamma):
    _check_gamma(gamma)
    _check_table(q, data, "q")
    rho, (starts, t) = importance_ratios(data, target), clocks(data)
    v = np.einsum("na,na->n", target, q)
    value = v + rho * (data.reward - np.take_along_axis(q, data.action[:, None], axis=1)[:, 0])
    # value[n] still lacks what comes after row n.
    for k in range(int(t.max()), 0, -1):
        rows = np.flatnonzero(t == k)
        value[rows - 1] += rho[rows - 1] * gamma * value[rows]
    return value[starts]


def normal_interval(values, z=1.96):
    must(len(values) > 1, "one value has no spread")
    centre, half = np.mean(values), z * np.sqrt(np.var(values, ddof=1) / len(values))
    return Interval(centre, centre - half, centre + half)


def bootstrap_interval(numerators, denominators, draws, level, rng):
    must(numerators.shape == denominators.shape, "two different shapes")
    must(draws >= 1 and 0 < level < 1, "impossible settings")
    n = len(numerators)
    times = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    both = np.stack([numerators, denominators], axis=1)
    sums = np.vstack([both.sum(axis=0), times @ both])
    found = np.where(sums[:, 1] == 0, 0.0, sums[:, 0] / np.where(sums[:, 1] == 0, 1.0, sums[:, 1]))
    return Interval(found[0], np.quantile(found[1:], (1 - level) / 2), np.quantile(found[1:], (1 + level) / 2))


def clone_table(data, n_states, n_actions):
    seen = np.eye(n_states)[data.obs].T @ np.eye(n_actions)[data.action]
    seen[seen.sum(axis=1) == 0] = 1
    return seen / seen.sum(axis=1, keepdims=True)


def cloning_loss(logits, action, weight=None):
    logp = torch.distributions.Categorical(logits=logits).log_prob(action)
    return -logp.mean() if weight is None else -torch.dot(weight.data.to(logp.dtype), logp) / len(logp)


def bc_loss(batch, nets, config):
    return nn.CrossEntropyLoss()(nets.policy(batch.obs), batch.action)


def allowed_actions(logits, threshold):
    must(0 <= threshold <= 1, "thresholds are shares")
    logp = logits.log_softmax(-1)
    return logp - logp.amax(-1, keepdim=True) >= (math.log(threshold) if threshold > 0 else -math.inf)


def bcq_actions(q, logits, threshold):
    return torch.where(allowed_actions(logits, threshold), q, torch.tensor(-math.inf, dtype=q.dtype)).max(-1).indices


@torch.no_grad()
def bcq_targets(reward, next_q_online, next_q_target, next_logits, terminated, threshold, gamma):
    must(0 <= gamma <= 1, "gamma is a share, too")
    mask = nn.functional.one_hot(bcq_actions(next_q_online, next_logits, threshold), next_q_target.shape[1])
    return reward + gamma * (1 - terminated.to(reward.dtype)) * (mask * next_q_target).sum(-1)


def bcq_loss(batch, nets, config):
    both = torch.cat([batch.obs, batch.next_obs])
    (q, next_q), (logits, next_logits) = nets.q(both).chunk(2), nets.policy(both).chunk(2)
    y = bcq_targets(
        batch.reward, next_q, nets.q_target(batch.next_obs), next_logits, batch.terminated, config.threshold, config.gamma
    )
    return nn.MSELoss()(taken(q, batch.action), y.to(q.dtype)) + nn.functional.cross_entropy(logits, batch.action)


def cql_penalty(q, action):
    # logsumexp(q) - q[a] is -log softmax(q)[a].
    return nn.functional.cross_entropy(q, action)


def sampled_logsumexp(q, log_prob):
    return torch.logsumexp(q - log_prob - math.log(q.shape[-1]), dim=-1)


def cql_loss(batch, nets, config):
    q, y = nets.q(batch.obs), td_targets(
        batch.reward, nets.q_target(batch.next_obs).max(-1)[0], batch.terminated, config.gamma
    )
    return 0.5 * td_loss(q, batch.action, y) + config.alpha * cql_penalty(q, batch.action)


def expectile_loss(diff, expectile):
    must(0 <= expectile <= 1, "expectiles are shares")
    up, down = diff.clamp(min=0), diff.clamp(max=0)
    return expectile * (up**2).mean() + (1 - expectile) * (down**2).mean()


@torch.no_grad()
def awr_weights(advantage, beta, max_weight):
    return torch.minimum(torch.exp(beta * advantage), torch.full_like(advantage, max_weight))


def iql_loss(batch, nets, config):
    rows = torch.arange(len(batch.action))
    v, next_v = nets.v(torch.cat([batch.obs, batch.next_obs]))[:, 0].chunk(2)
    judged = nets.q_target(batch.obs).data[rows, batch.action]
    y = td_targets(batch.reward, next_v, batch.terminated, config.gamma)
    critic = ((nets.q(batch.obs)[rows, batch.action] - y) ** 2).mean()
    actor = cloning_loss(nets.policy(batch.obs), batch.action, awr_weights(judged - v, config.beta, config.max_weight))
    return critic + actor + expectile_loss(judged - v, config.expectile)


def train_(nets, data, config, rng):
    losses = {"bc": bc_loss, "bcq": bcq_loss, "cql": cql_loss, "iql": iql_loss}
    groups = [{"params": net.parameters()} for net in (nets.v, nets.q, nets.policy)]
    adam, curve = torch.optim.Adam(groups, config.learning_rate), []
    for _ in range(config.gradient_steps):
        loss = losses[config.method](sample_batch(data, config.batch_size, rng), nets, config)
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            for slow, fast in zip(nets.q_target.parameters(), nets.q.parameters(), strict=True):
                slow.mul_(1 - config.tau).add_(config.tau * fast)
        curve.append(loss.item())
    return np.asarray(curve, dtype=float)


def greedy_actions(nets, obs, config):
    choose = {
        "bc": lambda: nets.policy(obs),
        "iql": lambda: nets.policy(obs),
        "cql": lambda: nets.q(obs),
        "bcq": lambda: nets.q(obs).masked_fill(~allowed_actions(nets.policy(obs), config.threshold), -math.inf),
    }
    return choose[config.method]().detach().argmax(1)
