"""Everything is a table of all steps of all episodes, worked on with np.add.at and masks."""

from typing import NamedTuple


class _Steps(NamedTuple):
    s: np.ndarray
    a: np.ndarray
    r: np.ndarray
    s2: np.ndarray
    goes_on: np.ndarray  # 0.0 after a real end
    number: np.ndarray  # of the episode


def _table(episodes):
    columns = [[] for _ in range(6)]
    for number, episode in enumerate(episodes):
        steps = len(episode.rewards)
        goes_on = np.ones(steps)
        goes_on[-1] = 0.0 if episode.terminated else 1.0
        parts = (
            episode.states[:-1],
            episode.actions,
            episode.rewards,
            episode.states[1:],
            goes_on,
            np.full(steps, number),
        )
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
    return _Steps(*(np.concatenate(column) for column in columns))


def discounted_returns(rewards, gamma):
    _check_rates(gamma=gamma)
    G = np.array(rewards, float)
    for t in range(len(G) - 2, -1, -1):
        G[t] += gamma * G[t + 1]
    return G


def _returns(steps, gamma):
    G, after = steps.r.astype(float).copy(), np.append(steps.number[1:], -1) == steps.number
    for t in range(len(G) - 2, -1, -1):
        G[t] += gamma * G[t + 1] * after[t]
    return G


def first_visits(keys):
    order = np.argsort(keys, kind="stable")
    ranked = np.asarray(keys)[order]
    fresh = np.empty(len(keys), bool)
    fresh[order] = np.append(True, ranked[1:] != ranked[:-1])
    return fresh


def _counted(steps, keys, first_visit):
    if not first_visit:
        return np.ones(len(keys), bool)
    return first_visits(steps.number * (int(keys.max()) + 1) + keys)


def _sums(keys, what, size):
    return np.bincount(keys, weights=what, minlength=size)


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_rates(gamma=gamma)
    _check_episodes(episodes, complete=True)
    steps = _table(episodes)
    on = _counted(steps, steps.s, first_visit)
    visits = np.bincount(steps.s[on], minlength=n_states)
    total = _sums(steps.s[on], _returns(steps, gamma)[on], n_states)
    return Estimate(total / np.where(visits == 0, 1, visits), visits)


def td_target(r, v_next, gamma, terminated):
    _check_rates(gamma=gamma)
    return float(np.where(terminated, r, r + gamma * v_next))


def td0_update_(V, s, r, s2, terminated, alpha, gamma):
    _check_rates(alpha=alpha)
    delta = td_target(r, V[s2], gamma, terminated) - V[s]
    np.add.at(V, s, alpha * delta)
    return np.float64(delta)


def batch_td(episodes, n_states, alpha, gamma, sweeps):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(sweeps)
    steps, V = _table(episodes), np.zeros(n_states)
    for _ in range(sweeps):
        delta = steps.r + gamma * steps.goes_on * V[steps.s2] - V[steps.s]
        V += _sums(steps.s, alpha * delta, n_states)
    return V


def batch_mc(episodes, n_states, alpha, gamma, sweeps):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes, complete=True)
    _check_steps(sweeps)
    steps, V = _table(episodes), np.zeros(n_states)
    G = _returns(steps, gamma)
    for _ in range(sweeps):
        # The right side is computed before anything is added: the sweep is synchronous.
        np.add.at(V, steps.s, alpha * (G - V[steps.s]))
    return V


def certainty_equivalence(episodes, n_states, gamma):
    _check_rates(gamma=gamma)
    _check_episodes(episodes)
    steps = _table(episodes)
    visits = np.maximum(np.bincount(steps.s, minlength=n_states), 1)
    moves = steps.s * n_states + steps.s2
    P = _sums(moves, steps.goes_on, n_states**2).reshape(n_states, n_states) / visits[:, None]
    r = _sums(steps.s, steps.r, n_states) / visits
    return np.linalg.inv(np.eye(n_states) - gamma * P) @ r


def n_step_returns(V, episode, n, gamma):
    _check_rates(gamma=gamma)
    _check_episodes([episode])
    _check_steps(n)
    steps = _table([episode])
    size = len(steps.r)
    padded = np.append(steps.r, np.zeros(n))
    factors = np.where(np.arange(n) == 0, 1.0, float(gamma) ** np.arange(n))
    paid = np.lib.stride_tricks.sliding_window_view(padded, n)[:size] @ factors
    look = np.minimum(n, size - np.arange(size))
    reached = np.arange(size) + look
    return paid + gamma**look * steps.goes_on[reached - 1] * V[episode.states[reached]]


def _n_step_target(V, episode, t, n, gamma):
    part = slice(t, min(t + n, len(episode.rewards)))
    G = discounted_returns(episode.rewards[part], gamma)[0]
    if part.stop < len(episode.rewards) or not episode.terminated:
        G += gamma ** (part.stop - t) * V[episode.states[part.stop]]
    return G


def n_step_td_(V, episodes, n, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(n)
    for episode in episodes:
        for t, s in enumerate(episode.states[:-1]):
            V[s] = (1 - alpha) * V[s] + alpha * _n_step_target(V, episode, t, n, gamma)


def lambda_returns(V, episode, lam, gamma):
    _check_rates(lam=lam, gamma=gamma)
    _check_episodes([episode])
    steps = _table([episode])
    worth = steps.goes_on * V[steps.s2]
    L = steps.r + gamma * worth
    for t in range(len(L) - 2, -1, -1):
        L[t] += gamma * lam * (L[t + 1] - worth[t])
    return L


def _fading(V, episode, lam, gamma):
    """The step's error and the traces, step by step, with a table that may change meanwhile."""
    z, steps = np.zeros(len(V)), _table([episode])
    for s, r, s2, goes_on in zip(steps.s, steps.r, steps.s2, steps.goes_on, strict=True):
        z = z * (gamma * lam)
        v, v2 = float(V[s]), float(goes_on * V[s2])
        yield s, z, v, v2, r + gamma * v2 - v


def backward_increments(V, episode, lam, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes([episode])
    total, z = np.zeros(len(V)), np.zeros(len(V))
    for s, _, _, _, delta in _fading(V, episode, lam, gamma):
        z = gamma * lam * z + (np.arange(len(V)) == s)
        total += delta * z
    return alpha * total


def td_lambda_(V, episodes, lam, alpha, gamma, traces="accumulating"):
    if traces not in TRACES:
        raise ValueError(f"traces cannot be {traces!r}")
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes(episodes)
    grow = {"accumulating": (1.0, 1.0), "replacing": (0.0, 1.0), "dutch": (1.0 - alpha, 1.0)}
    keep, add = grow[traces]
    for episode in episodes:
        v_old, z = 0.0, np.zeros(len(V))
        for s, _, v, v2, delta in _fading(V, episode, lam, gamma):
            z *= gamma * lam
            z[s] = keep * z[s] + add
            if traces == "dutch":
                delta += v - v_old
                V[s] -= alpha * (v - v_old)
            V += alpha * delta * z
            v_old = v2


def importance_ratios(episode, target, behaviour):
    _check_policies(target, behaviour)
    _check_episodes([episode])
    steps = _table([episode])
    chance = np.take_along_axis(behaviour[steps.s], steps.a[:, None], 1)[:, 0]
    if np.any(chance == 0):
        raise ValueError("the behaviour gives an action of the record no chance")
    return np.exp(np.log(chance) * -1.0) * target[steps.s, steps.a]


def _estimate(episodes, target, behaviour, gamma, weighted, first_visit, pairs):
    _check_rates(gamma=gamma)
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    steps = _table(episodes)
    rho = np.concatenate([importance_ratios(one, target, behaviour) for one in episodes])
    last = np.append(steps.number[1:], -1) != steps.number
    W = rho.copy()
    for t in range(len(W) - 2, -1, -1):
        W[t] *= 1.0 if last[t] else W[t + 1]
    if pairs:
        W = np.where(last, 1.0, np.append(W[1:], 1.0))
    keys = steps.s * target.shape[1] + steps.a if pairs else steps.s
    size = target.size if pairs else len(target)
    on = _counted(steps, keys, first_visit)
    over = _sums(keys[on], (W * _returns(steps, gamma))[on], size)
    visits = np.bincount(keys[on], minlength=size)
    under = _sums(keys[on], W[on], size) if weighted else visits
    values = np.where(under > 0, over / np.where(under > 0, under, 1.0), 0.0)
    return Estimate(values, visits)


def off_policy_v(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    return _estimate(episodes, target, behaviour, gamma, weighted, first_visit, False)


def off_policy_q(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    found = _estimate(episodes, target, behaviour, gamma, weighted, first_visit, True)
    return Estimate(*(part.reshape(target.shape) for part in found))


def off_policy_td0_update_(V, s, r, s2, terminated, rho, alpha, gamma):
    if not rho >= 0:
        raise ValueError("ratios are never below zero")
    before = float(V[s])
    delta = td0_update_(V, s, r, s2, terminated, alpha, gamma)
    V[s] = before + rho * (V[s] - before)
    return delta


def soft_policy(Q, epsilon):
    _check_rates(epsilon=epsilon)
    if np.ndim(Q) != 2:
        raise ValueError("a matrix of action values is expected")
    ties = Q.max(axis=1)[:, None] <= Q
    pi = np.where(ties, (1 - epsilon) / ties.sum(axis=1)[:, None], 0.0)
    return pi + epsilon / Q.shape[1]


def play(env, policy, shape, rng, seed=None):
    s = state_number(env.reset(seed=seed)[0], shape)
    rows = []
    while True:
        a = int(np.flatnonzero(rng.multinomial(1, policy[s]))[0])
        observation, r, terminated, truncated, _ = env.step(a)
        rows.append((s, a, float(r)))
        s = state_number(observation, shape)
        if terminated or truncated:
            break
    states, actions, rewards = zip(*rows, strict=True)
    return Episode(
        np.array([*states, s]), np.array(actions), np.array(rewards, float), bool(terminated)
    )


def mc_control(env, n_actions, shape, episodes, epsilon, gamma, rng, seed):
    _check_rates(gamma=gamma, epsilon=epsilon)
    _check_steps(episodes)
    Q = np.zeros((int(np.prod(shape)), n_actions))
    visits, returns = np.zeros(Q.shape, int), np.zeros(episodes)
    policy = soft_policy(Q, epsilon)
    for k in range(episodes):
        episode = play(env, policy, shape, rng, seed if k == 0 else None)
        returns[k] = episode.rewards.sum()
        if episode.terminated:
            steps = _table([episode])
            pairs = steps.s * n_actions + steps.a
            on = first_visits(pairs)
            visits.flat[pairs[on]] += 1
            gap = _returns(steps, gamma)[on] - Q.flat[pairs[on]]
            Q.flat[pairs[on]] += gap / visits.flat[pairs[on]]
            policy[steps.s] = soft_policy(Q[steps.s], epsilon)
    return Control(Q, visits, returns)
