"""Step by step as in an agent that lives in time: tau = t - n + 1, waiting returns, running means."""

from collections import deque
from itertools import accumulate


def discounted_returns(rewards, gamma):
    _check_rates(gamma=gamma)
    backwards = accumulate(np.asarray(rewards, float)[::-1], lambda G, r: r + gamma * G)
    return np.array(list(backwards))[::-1].copy()


def first_visits(keys):
    return np.isin(np.arange(len(keys)), np.unique(keys, return_index=True)[1])


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_rates(gamma=gamma)
    _check_episodes(episodes, complete=True)
    V, N = np.zeros(n_states), np.zeros(n_states, int)
    for states, _, rewards, _ in episodes:
        earlier = states[:-1].tolist()
        G = 0.0
        for s, r in zip(reversed(states[:-1].tolist()), reversed(rewards.tolist()), strict=True):
            earlier.pop()
            G = r + gamma * G
            if not first_visit or s not in earlier:
                N[s] += 1
                V[s] += (G - V[s]) / N[s]
    return Estimate(V, N)


def td_target(r, v_next, gamma, terminated):
    _check_rates(gamma=gamma)
    if terminated:
        v_next = 0.0
    return float(r + gamma * v_next)


def td0_update_(V, s, r, s2, terminated, alpha, gamma):
    _check_rates(alpha=alpha)
    target = td_target(r, V[s2], gamma, terminated)
    error = float(target - V[s])
    V[s] += alpha * error
    return error


def _steps(episode):
    """(s, r, s2, ended) of each step."""
    last = len(episode.rewards) - 1
    for t, r in enumerate(episode.rewards):
        yield episode.states[t], r, episode.states[t + 1], t == last and episode.terminated


def batch_td(episodes, n_states, alpha, gamma, sweeps):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(sweeps)
    V = np.zeros(n_states)
    for _ in range(sweeps):
        frozen = V.copy()
        for episode in episodes:
            for s, r, s2, ended in _steps(episode):
                V[s] += alpha * (td_target(r, frozen[s2], gamma, ended) - frozen[s])
    return V


def batch_mc(episodes, n_states, alpha, gamma, sweeps):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes, complete=True)
    _check_steps(sweeps)
    states = np.concatenate([episode.states[:-1] for episode in episodes])
    G = np.concatenate([discounted_returns(episode.rewards, gamma) for episode in episodes])
    V = np.zeros(n_states)
    for _ in range(sweeps):
        V = V + alpha * np.bincount(states, G - V[states], minlength=n_states)
    return V


def certainty_equivalence(episodes, n_states, gamma):
    _check_rates(gamma=gamma)
    _check_episodes(episodes)
    V, found = np.zeros(n_states), [list(_steps(episode)) for episode in episodes]
    found = [step for steps in found for step in steps]
    for _ in range(3000):
        targets = [td_target(r, V[s2], gamma, ended) for _, r, s2, ended in found]
        states = [step[0] for step in found]
        visits = np.maximum(np.bincount(states, minlength=n_states), 1)
        new = np.bincount(states, targets, minlength=n_states) / visits
        if np.abs(new - V).max() < 1e-14:
            break
        V = new
    return V


def n_step_returns(V, episode, n, gamma):
    _check_rates(gamma=gamma)
    _check_episodes([episode])
    _check_steps(n)
    worth = np.append(V[episode.states[:-1]], V[episode.states[-1]] * (not episode.terminated))
    G = worth
    for _ in range(n):
        # One more reward at the front, and what was the first return becomes the next one's.
        G = np.append(episode.rewards + gamma * G[1:], worth[-1])
    return G[:-1]


def n_step_td_(V, episodes, n, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(n)

    def learn_(waiting, worth):
        for _, r in reversed(waiting):
            worth = r + gamma * worth
        s = waiting.popleft()[0]
        V[s] += alpha * (worth - V[s])

    for episode in episodes:
        waiting, last = deque(), len(episode.rewards) - 1
        for t, (s, r, s2, _) in enumerate(_steps(episode)):
            waiting.append((s, r))
            if len(waiting) == n and t < last:
                learn_(waiting, V[s2])
        while waiting:
            learn_(waiting, 0.0 if episode.terminated else V[episode.states[-1]])


def lambda_returns(V, episode, lam, gamma):
    _check_rates(lam=lam, gamma=gamma)
    _check_episodes([episode])
    v, surplus, answers = V[episode.states[:-1]], 0.0, []
    for s, r, s2, ended in reversed(list(_steps(episode))):
        surplus = td_target(r, V[s2], gamma, ended) - V[s] + gamma * lam * surplus
        answers.append(surplus)
    return v + np.array(answers[::-1])


def backward_increments(V, episode, lam, alpha, gamma):
    _check_rates(alpha=alpha)
    change = alpha * (lambda_returns(V, episode, lam, gamma) - V[episode.states[:-1]])
    return np.bincount(episode.states[:-1], change, minlength=len(V))


def td_lambda_(V, episodes, lam, alpha, gamma, traces="accumulating"):
    grow = {
        "accumulating": lambda z: z + 1,
        "replacing": lambda z: 1.0,
        "dutch": lambda z: z + 1 - alpha * z,
    }
    if traces not in grow:
        raise ValueError(f"unknown traces: {traces}")
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes(episodes)
    for episode in episodes:
        z, v_old = np.zeros_like(V), 0.0
        for s, r, s2, ended in _steps(episode):
            v, delta = V[s], td_target(r, V[s2], gamma, ended) - V[s]
            v2 = 0.0 if ended else V[s2]
            z = gamma * lam * z
            z[s] = grow[traces](z[s])
            gap = v - v_old if traces == "dutch" else 0.0
            V += alpha * (delta + gap) * z
            V[s] -= alpha * gap
            v_old = v2


def importance_ratios(episode, target, behaviour):
    _check_policies(target, behaviour)
    _check_episodes([episode])
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = (target / behaviour)[episode.states[:-1], episode.actions]
    if not np.isfinite(rho).all():
        raise ValueError("this episode cannot be the behaviour's")
    return rho


def _incremental(episodes, target, behaviour, gamma, weighted, first_visit, own_action):
    """S&B's loop from the end to the beginning, with running means."""
    _check_rates(gamma=gamma)
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    values, C = np.zeros(target.shape), np.zeros(target.shape)
    visits = np.zeros(target.shape, int)
    if own_action:
        values, C, visits = values[:, 0].copy(), C[:, 0].copy(), visits[:, 0].copy()
    for episode in episodes:
        rho, G, W = importance_ratios(episode, target, behaviour), 0.0, 1.0
        pairs = list(zip(episode.states[:-1].tolist(), episode.actions.tolist(), strict=True))
        keys = [pair[0] if own_action else pair for pair in pairs]
        for t in range(len(rho) - 1, -1, -1):
            G = float(episode.rewards[t]) + gamma * G
            W *= rho[t] if own_action else 1.0
            if not first_visit or keys[t] not in keys[:t]:
                key = keys[t]
                visits[key] += 1
                C[key] += W if weighted else 1.0
                if C[key] > 0.0:
                    share = W / C[key]
                    target_value = G if weighted else W * G
                    values[key] += (share if weighted else 1.0 / C[key]) * (
                        target_value - values[key]
                    )
            W *= 1.0 if own_action else rho[t]
    return Estimate(values, visits)


def off_policy_v(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    return _incremental(episodes, target, behaviour, gamma, weighted, first_visit, True)


def off_policy_q(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    return _incremental(episodes, target, behaviour, gamma, weighted, first_visit, False)


def off_policy_td0_update_(V, s, r, s2, terminated, rho, alpha, gamma):
    if rho < 0:
        raise ValueError(f"a ratio of {rho} is impossible")
    _check_rates(alpha=alpha)
    delta = float(td_target(r, V[s2], gamma, terminated) - V[s])
    V[s] += rho * alpha * delta
    return delta


def soft_policy(Q, epsilon):
    _check_rates(epsilon=epsilon)
    if np.ndim(Q) != 2:
        raise ValueError("Q needs rows and columns")
    pi = np.full(np.shape(Q), epsilon / np.shape(Q)[1])
    for s, row in enumerate(Q):
        best = np.flatnonzero(row == row.max())
        pi[s, best] += (1.0 - epsilon) / best.size
    return pi


def _life(env, choose, shape, seed):
    observation, _ = env.reset(seed=seed)
    states, actions, rewards = [state_number(observation, shape)], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        actions.append(choose(states[-1]))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        states.append(state_number(observation, shape))
        rewards.append(float(reward))
    return Episode(np.array(states), np.array(actions), np.array(rewards), bool(terminated))


def play(env, policy, shape, rng, seed=None):
    edges = np.cumsum(policy, axis=1)

    def choose(s):
        return int(np.argmax(rng.random() * edges[s, -1] < edges[s]))

    return _life(env, choose, shape, seed)


def mc_control(env, n_actions, shape, episodes, epsilon, gamma, rng, seed):
    _check_rates(gamma=gamma, epsilon=epsilon)
    _check_steps(episodes)
    Q = np.zeros((int(np.prod(shape)), n_actions))
    N, returns = np.zeros_like(Q, dtype=int), np.zeros(episodes)

    def choose(s):
        # The two-stage rule: explore with probability epsilon, else one of the best.
        if rng.random() < epsilon:
            return int(rng.integers(n_actions))
        return int(rng.choice(np.flatnonzero(Q[s] == Q[s].max())))

    for k in range(episodes):
        episode = _life(env, choose, shape, seed if k == 0 else None)
        returns[k] = np.sum(episode.rewards)
        if not episode.terminated:
            continue
        pairs = list(zip(episode.states[:-1].tolist(), episode.actions.tolist(), strict=True))
        G = 0.0
        for t in range(len(pairs) - 1, -1, -1):
            G = float(episode.rewards[t]) + gamma * G
            if pairs[t] not in pairs[:t]:
                N[pairs[t]] += 1
                Q[pairs[t]] += (G - Q[pairs[t]]) / N[pairs[t]]
    return Control(Q, N, returns)
