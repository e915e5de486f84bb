"""A correct solution in another style: lists, loops over rows and episodes, one optimiser for each
network, and a dice that is thrown by hand."""

import math


def record(env, policy, episodes, rng, seed):
    if episodes < 1:
        raise ValueError("there must be at least one episode")
    columns = [[] for _ in range(7)]
    for episode in range(episodes):
        seen, _ = env.reset(seed=seed) if episode == 0 else env.reset()
        seen = np.copy(seen)
        while True:
            chances = [float(p) for p in policy(seen)]
            dice, action = rng.random(), 0
            while action < len(chances) - 1 and dice >= sum(chances[: action + 1]):
                action += 1
            after, reward, terminated, truncated, _ = env.step(action)
            after = np.copy(after)
            row = (seen, action, reward, after, terminated, truncated, chances[action])
            for column, value in zip(columns, row, strict=True):
                column.append(value)
            if terminated or truncated:
                break
            seen = after
    obs, actions, rewards, nexts, ends, cuts, probs = columns
    return Dataset(
        np.array(obs), np.array(actions), np.array(rewards, float), np.array(nexts),
        np.array(ends, bool), np.array(cuts, bool), np.array(probs, float),
    )


def episode_bounds(data):
    pairs, start = [], 0
    for row, (end, cut) in enumerate(zip(data.terminated, data.truncated, strict=True)):
        if end or cut:
            pairs.append([start, row + 1])
            start = row + 1
    if start != len(data.terminated):
        raise ValueError("the data stop in the middle of an episode")
    return np.array(pairs)


def sample_batch(data, batch_size, rng):
    if batch_size < 1:
        raise ValueError("a batch has at least one row")
    rows = [int(rng.random() * len(data.action)) for _ in range(batch_size)]
    return Batch(
        torch.tensor(np.array([data.obs[i] for i in rows])),
        torch.tensor([int(data.action[i]) for i in rows]),
        torch.tensor([float(data.reward[i]) for i in rows]),
        torch.tensor(np.array([data.next_obs[i] for i in rows])),
        torch.tensor([bool(data.terminated[i]) for i in rows]),
    )


def importance_ratios(data, target):
    _check_table(target, data, "target")
    for p in data.prob:
        if not 0 < p <= 1:
            raise ValueError("the behaviour cannot have had this probability")
    return np.array([target[i][a] / p for i, (a, p) in enumerate(zip(data.action, data.prob, strict=True))])


def episode_returns(data, gamma):
    _check_gamma(gamma)
    found = []
    for start, stop in episode_bounds(data):
        total = 0.0
        for reward in data.reward[start:stop][::-1]:
            total = float(reward) + gamma * total
        found.append(total)
    return np.array(found)


def episode_weights(data, target):
    rho = importance_ratios(data, target)
    return np.array([math.prod(rho[start:stop].tolist()) for start, stop in episode_bounds(data)])


def ordinary_is(data, target, gamma):
    return np.array([w * g for w, g in zip(episode_weights(data, target), episode_returns(data, gamma), strict=True)])


def per_decision_is(data, target, gamma):
    _check_gamma(gamma)
    rho, found = importance_ratios(data, target), []
    for start, stop in episode_bounds(data):
        value = 0.0
        for i in reversed(range(start, stop)):
            value = rho[i] * (data.reward[i] + gamma * value)
        found.append(value)
    return np.array(found)


def weighted_is(data, target, gamma):
    above = below = 0.0
    for w, g in zip(episode_weights(data, target), episode_returns(data, gamma), strict=True):
        above, below = above + w * g, below + w
    return float(above / below) if below > 0 else 0.0


def fitted_q_evaluation(data, policy, gamma, sweeps):
    _check_gamma(gamma)
    if sweeps < 1:
        raise ValueError("one sweep at least")
    Q = np.zeros(np.shape(policy))
    for _ in range(sweeps):
        found = {}
        for s, a, r, s2, end in zip(data.obs, data.action, data.reward, data.next_obs, data.terminated, strict=True):
            later = 0.0 if end else sum(p * q for p, q in zip(policy[s2], Q[s2], strict=True))
            found.setdefault((s, a), []).append(r + gamma * later)
        Q = np.zeros(np.shape(policy))
        for pair, targets in found.items():
            Q[pair] = sum(targets) / len(targets)
    return Q


def doubly_robust(data, target, q, gamma):
    _check_gamma(gamma)
    _check_table(q, data, "q")
    rho, found = importance_ratios(data, target), []
    for start, stop in episode_bounds(data):
        value, weight = 0.0, 1.0
        for k, i in enumerate(range(start, stop)):
            model = sum(p * x for p, x in zip(target[i], q[i], strict=True))
            value += gamma**k * weight * model
            weight *= rho[i]
            value += gamma**k * weight * (data.reward[i] - q[i][data.action[i]])
        found.append(value)
    return np.array(found)


def normal_interval(values, z=1.96):
    n = len(values)
    if n < 2:
        raise ValueError("at least two values are needed")
    mean = math.fsum(values) / n
    variance = math.fsum((x - mean) ** 2 for x in values) / (n - 1)
    half = z * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half)


def bootstrap_interval(numerators, denominators, draws, level, rng):
    if len(numerators) != len(denominators):
        raise ValueError("both need the same length")
    if draws < 1 or not 0 < level < 1:
        raise ValueError("impossible draws or level")

    def quotient(rows):
        below = denominators[rows].sum()
        return numerators[rows].sum() / below if below > 0 else 0.0

    n = len(numerators)
    found = sorted(quotient(rng.choice(n, size=n)) for _ in range(draws))
    low, high = np.percentile(found, [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(quotient(np.arange(n))), float(low), float(high))


def clone_table(data, n_states, n_actions):
    table = np.full((n_states, n_actions), 1 / n_actions)
    for s in set(data.obs.tolist()):
        mine = [a for t, a in zip(data.obs.tolist(), data.action.tolist(), strict=True) if t == s]
        table[s] = [mine.count(a) / len(mine) for a in range(n_actions)]
    return table


def cloning_loss(logits, action, weight=None):
    total = 0.0
    for i, a in enumerate(action.tolist()):
        w = 1.0 if weight is None else weight[i].item()
        total = total + w * (torch.logsumexp(logits[i], 0) - logits[i, a])
    return total / len(action)


def bc_loss(batch, nets, config):
    return cloning_loss(nets.policy(batch.obs), batch.action)


def allowed_actions(logits, threshold):
    if not 0 <= threshold <= 1:
        raise ValueError("a threshold is a share")
    probs = torch.softmax(logits, dim=1)
    return torch.stack([row / row.max() >= threshold for row in probs])


def bcq_actions(q, logits, threshold):
    allowed, found = allowed_actions(logits, threshold), []
    for values, may in zip(q.tolist(), allowed.tolist(), strict=True):
        found.append(max((v, a) for a, v in enumerate(values) if may[a])[1])
    return torch.tensor(found)


def bcq_targets(reward, next_q_online, next_q_target, next_logits, terminated, threshold, gamma):
    _check_gamma(gamma)
    choice = bcq_actions(next_q_online.detach(), next_logits.detach(), threshold)
    value = torch.stack([row[a] for row, a in zip(next_q_target.detach(), choice, strict=True)])
    return reward + gamma * value.masked_fill(terminated, 0.0)


def bcq_loss(batch, nets, config):
    with torch.no_grad():
        target = bcq_targets(
            batch.reward, nets.q(batch.next_obs), nets.q_target(batch.next_obs),
            nets.policy(batch.next_obs), batch.terminated, config.threshold, config.gamma,
        )
    errors = [q[a] - y for q, a, y in zip(nets.q(batch.obs), batch.action, target, strict=True)]
    return sum(e**2 for e in errors) / len(errors) + bc_loss(batch, nets, config)


def cql_penalty(q, action):
    gaps = []
    for row, a in zip(q, action, strict=True):
        top = row.max().detach()
        gaps.append(top + (row - top).exp().sum().log() - row[a])
    return sum(gaps) / len(gaps)


def sampled_logsumexp(q, log_prob):
    corrected = q - log_prob
    top = corrected.max(dim=1, keepdim=True).values
    return (top + (corrected - top).exp().mean(dim=1, keepdim=True).log())[:, 0]


def cql_loss(batch, nets, config):
    with torch.no_grad():
        later = nets.q_target(batch.next_obs).amax(dim=1)
        target = batch.reward + config.gamma * later * (~batch.terminated)
    q = nets.q(batch.obs)
    error = q[range(len(q)), batch.action] - target
    return config.alpha * cql_penalty(q, batch.action) + (error**2).mean() / 2


def expectile_loss(diff, expectile):
    if not 0 <= expectile <= 1:
        raise ValueError("an expectile lies between 0 and 1")
    total = 0.0
    for x in diff:
        total = total + (expectile if x > 0 else 1 - expectile) * x * x
    return total / len(diff)


def awr_weights(advantage, beta, max_weight):
    ceiling = math.log(max_weight) if max_weight > 0 else -math.inf
    return torch.tensor(
        [max_weight if beta * x > ceiling else math.exp(beta * x) for x in advantage.tolist()],
        dtype=advantage.dtype,
    )


def iql_loss(batch, nets, config):
    with torch.no_grad():
        q = nets.q_target(batch.obs).gather(1, batch.action.view(-1, 1))[:, 0]
        target = td_targets(batch.reward, nets.v(batch.next_obs)[:, 0], batch.terminated, config.gamma)
    v = nets.v(batch.obs)[:, 0]
    weight = awr_weights(q - v.detach(), config.beta, config.max_weight)
    return sum([
        expectile_loss(q - v, config.expectile),
        td_loss(nets.q(batch.obs), batch.action, target),
        cloning_loss(nets.policy(batch.obs), batch.action, weight),
    ])


def train_(nets, data, config, rng):
    loss_of = globals()[f"{config.method}_loss"]
    optimisers = [
        torch.optim.Adam(list(net.parameters()), lr=config.learning_rate) for net in (nets.policy, nets.q, nets.v)
    ]
    losses = []
    while len(losses) < config.gradient_steps:
        batch = sample_batch(data, config.batch_size, rng)
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss = loss_of(batch, nets, config)
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        soft_update_(nets.q_target, nets.q, config.tau)
        losses.append(float(loss.detach()))
    return np.array(losses)


def greedy_actions(nets, obs, config):
    with torch.inference_mode():
        if config.method in ("bc", "iql"):
            found = nets.policy(obs).argmax(-1)
        elif config.method == "cql":
            found = nets.q(obs).argmax(-1)
        else:
            found = bcq_actions(nets.q(obs), nets.policy(obs), config.threshold)
    return found
