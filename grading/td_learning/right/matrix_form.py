"""Linear algebra: every return is a row of a triangular matrix times the rewards."""


def _powers(steps, rate):
    """(T, T) rate ** (k - t) on and above the diagonal."""
    gap = np.arange(steps)[None, :] - np.arange(steps)[:, None]
    return np.where(gap >= 0, float(rate) ** np.maximum(gap, 0), 0.0)


def _one_hot(keys, size):
    return np.eye(size)[np.asarray(keys)]


def _ahead(V, episode):
    """(T,) The value of the state after each step."""
    alive = np.ones(len(episode.rewards))
    alive[-1] = not episode.terminated
    return alive * V[episode.states[1:]]


def discounted_returns(rewards, gamma):
    _check_rates(gamma=gamma)
    return _powers(len(rewards), gamma) @ np.asarray(rewards, float)


def first_visits(keys):
    keys = np.asarray(keys)
    same = keys[:, None] == keys[None, :]
    return ~np.tril(same, -1).any(axis=1)


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_rates(gamma=gamma)
    _check_episodes(episodes, complete=True)
    total, visits = np.zeros(n_states), np.zeros(n_states, int)
    for episode in episodes:
        X = _one_hot(episode.states[:-1], n_states)
        if first_visit:
            X = X * first_visits(episode.states[:-1])[:, None]
        total += X.T @ discounted_returns(episode.rewards, gamma)
        visits += X.sum(axis=0).astype(int)
    return Estimate(np.divide(total, visits, out=np.zeros(n_states), where=visits > 0), visits)


def td_target(r, v_next, gamma, terminated):
    _check_rates(gamma=gamma)
    return float(r + gamma * (1 - int(terminated)) * v_next)


def td0_update_(V, s, r, s2, terminated, alpha, gamma):
    return off_policy_td0_update_(V, s, r, s2, terminated, 1.0, alpha, gamma)


def _system(episodes, n_states, gamma):
    """A (S, S) and b (S,): the errors of a batch add up to b - A V."""
    A, b = np.zeros((n_states, n_states)), np.zeros(n_states)
    for episode in episodes:
        X, Y = (_one_hot(part, n_states) for part in (episode.states[:-1], episode.states[1:]))
        if episode.terminated:
            Y[-1] = 0.0
        A += X.T @ (X - gamma * Y)
        b += X.T @ episode.rewards
    return A, b


def batch_td(episodes, n_states, alpha, gamma, sweeps):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(sweeps)
    A, b = _system(episodes, n_states, gamma)
    V = np.zeros(n_states)
    for _ in range(sweeps):
        V = V + alpha * (b - A @ V)
    return V


def batch_mc(episodes, n_states, alpha, gamma, sweeps):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_steps(sweeps)
    mean, visits = mc_prediction(episodes, n_states, gamma, False)
    return mean * (1.0 - (1.0 - alpha * visits) ** sweeps)


def certainty_equivalence(episodes, n_states, gamma):
    _check_rates(gamma=gamma)
    _check_episodes(episodes)
    A, b = _system(episodes, n_states, gamma)
    unseen = np.ones(n_states, bool)
    for episode in episodes:
        unseen[episode.states[:-1]] = False
    return np.linalg.solve(A + np.diag(unseen.astype(float)), b)


def n_step_returns(V, episode, n, gamma):
    _check_rates(gamma=gamma)
    _check_episodes([episode])
    _check_steps(n)
    steps = len(episode.rewards)
    weights = np.triu(_powers(steps, gamma)) * (np.tri(steps, k=n - 1) > 0)
    last = np.minimum(np.arange(steps) + n, steps)
    return weights @ episode.rewards + gamma ** (last - np.arange(steps)) * _ahead(V, episode)[
        last - 1
    ]


def n_step_td_(V, episodes, n, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(n)
    for episode in episodes:
        for t, s in enumerate(episode.states[:-1]):
            V[s] += alpha * (n_step_returns(V, episode, n, gamma)[t] - V[s])


def lambda_returns(V, episode, lam, gamma):
    _check_rates(lam=lam, gamma=gamma)
    _check_episodes([episode])
    v = V[episode.states[:-1]]
    deltas = episode.rewards + gamma * _ahead(V, episode) - v
    return v + _powers(len(deltas), gamma * lam) @ deltas


def backward_increments(V, episode, lam, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes([episode])
    X = _one_hot(episode.states[:-1], len(V))
    deltas = episode.rewards + gamma * _ahead(V, episode) - X @ V
    Z = _powers(len(deltas), gamma * lam).T @ X
    return alpha * Z.T @ deltas


def td_lambda_(V, episodes, lam, alpha, gamma, traces="accumulating"):
    if traces not in TRACES:
        raise ValueError(f"{traces} is not a kind of traces")
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes(episodes)
    for episode in episodes:
        z, before = np.zeros(len(V)), 0.0
        for t, (s, s2) in enumerate(zip(episode.states[:-1], episode.states[1:], strict=True)):
            x, y = _one_hot(s, len(V)), _one_hot(s2, len(V))
            if episode.terminated and t == len(episode.rewards) - 1:
                y = 0.0 * y
            v, after = V @ x, V @ y
            delta = episode.rewards[t] + gamma * after - v
            if traces == "dutch":
                z = gamma * lam * z + (1 - alpha * gamma * lam * (z @ x)) * x
                V += alpha * (delta + v - before) * z - alpha * (v - before) * x
            else:
                keep = 1.0 if traces == "accumulating" else 1.0 - x
                z = keep * gamma * lam * z + x
                V += alpha * delta * z
            before = after


def importance_ratios(episode, target, behaviour):
    _check_policies(target, behaviour)
    _check_episodes([episode])
    pick = _one_hot(episode.actions, target.shape[1])
    ours = (target[episode.states[:-1]] * pick).sum(axis=1)
    theirs = (behaviour[episode.states[:-1]] * pick).sum(axis=1)
    if (theirs <= 0.0).any():
        raise ValueError("an action has no probability under the behaviour")
    return ours / theirs


def _off_policy(episodes, target, behaviour, gamma, weighted, first_visit, with_actions):
    _check_rates(gamma=gamma)
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    shape = target.shape if with_actions else target.shape[:1]
    over, under = np.zeros(shape).ravel(), np.zeros(shape).ravel()
    visits = np.zeros(over.size, int)
    for episode in episodes:
        rho = importance_ratios(episode, target, behaviour)
        W = np.array([np.prod(rho[t + with_actions :]) for t in range(len(rho))])
        keys = episode.states[:-1]
        if with_actions:
            keys = np.ravel_multi_index((keys, episode.actions), shape)
        X = _one_hot(keys, over.size)
        if first_visit:
            X = X * first_visits(keys)[:, None]
        over += X.T @ (W * discounted_returns(episode.rewards, gamma))
        under += X.T @ (W if weighted else np.ones(len(W)))
        visits += X.sum(axis=0).astype(int)
    values = np.divide(over, under, out=np.zeros(over.size), where=under > 0)
    return Estimate(values.reshape(shape), visits.reshape(shape))


def off_policy_v(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    return _off_policy(episodes, target, behaviour, gamma, weighted, first_visit, 0)


def off_policy_q(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    return _off_policy(episodes, target, behaviour, gamma, weighted, first_visit, 1)


def off_policy_td0_update_(V, s, r, s2, terminated, rho, alpha, gamma):
    _check_rates(alpha=alpha)
    if rho < 0:
        raise ValueError("rho must not be negative")
    delta = td_target(r, V[s2], gamma, terminated) - V[s]
    V += alpha * rho * delta * _one_hot(s, len(V))
    return float(delta)


def soft_policy(Q, epsilon):
    _check_rates(epsilon=epsilon)
    if np.ndim(Q) != 2:
        raise ValueError("Q must be a matrix")
    best = np.isclose(Q, Q.max(axis=1, keepdims=True), rtol=0.0, atol=0.0) * 1.0
    return epsilon * np.full(Q.shape, 1 / Q.shape[1]) + (1 - epsilon) * best / (
        best @ np.ones((Q.shape[1], 1))
    )


def play(env, policy, shape, rng, seed=None):
    observation, _ = env.reset(seed=seed)
    states, actions, rewards, flags = [state_number(observation, shape)], [], [], (False, False)
    while not any(flags):
        # Gumbel's trick draws from a categorical distribution.
        with np.errstate(divide="ignore"):
            scores = np.log(policy[states[-1]]) + rng.gumbel(size=policy.shape[1])
        actions.append(int(scores.argmax()))
        observation, reward, *flags, _ = env.step(actions[-1])
        states.append(state_number(observation, shape))
        rewards.append(float(reward))
    return Episode(np.array(states), np.array(actions), np.array(rewards), bool(flags[0]))


def mc_control(env, n_actions, shape, episodes, epsilon, gamma, rng, seed):
    _check_rates(gamma=gamma, epsilon=epsilon)
    _check_steps(episodes)
    total = np.zeros((int(np.prod(shape)), n_actions))
    visits, returns = np.zeros(total.shape, int), []
    while len(returns) < episodes:
        Q = np.divide(total, visits, out=np.zeros(total.shape), where=visits > 0)
        episode = play(env, soft_policy(Q, epsilon), shape, rng, None if returns else seed)
        returns.append(float(np.sum(episode.rewards)))
        if episode.terminated:
            pairs = np.ravel_multi_index((episode.states[:-1], episode.actions), total.shape)
            new = first_visits(pairs)
            G = discounted_returns(episode.rewards, gamma)
            total.ravel()[pairs[new]] += G[new]
            visits.ravel()[pairs[new]] += 1
    Q = np.divide(total, visits, out=np.zeros(total.shape), where=visits > 0)
    return Control(Q, visits, np.array(returns))
