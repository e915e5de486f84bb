"""As short as it goes: recursions, comprehensions and one helper for all estimates."""


def discounted_returns(rewards, gamma):
    _check_rates(gamma=gamma)
    return np.array([np.polynomial.polynomial.polyval(gamma, rewards[t:]) for t in range(len(rewards))])


def first_visits(keys):
    return np.array([k not in keys[:t] for t, k in enumerate(np.asarray(keys))], bool)


def _estimate(shape, visits, weighted=True):
    """The estimate from (key, W, G) of all visits."""
    found = {key: [one[1:] for one in visits if one[0] == key] for key in {one[0] for one in visits}}
    values, counts = np.zeros(shape), np.zeros(shape, int)
    for key, terms in found.items():
        W, G = np.array(terms).T
        counts[key] = len(terms)
        values[key] = W @ G / ((W.sum() if weighted else len(W)) or 1.0)
    return Estimate(values, counts)


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_episodes(episodes, complete=True)
    visits = [
        (int(s), 1.0, G)
        for e in episodes
        for s, G, new in zip(e.states[:-1], discounted_returns(e.rewards, gamma), first_visits(e.states[:-1]), strict=True)
        if new or not first_visit
    ]
    return _estimate((n_states,), visits)


def td_target(r, v_next, gamma, terminated):
    _check_rates(gamma=gamma)
    return float([r + gamma * v_next, r][bool(terminated)])


def td0_update_(V, s, r, s2, terminated, alpha, gamma):
    return off_policy_td0_update_(V, s, r, s2, terminated, 1.0, alpha, gamma)


def _targets(V, e, gamma):
    return np.array([
        td_target(r, V[s2], gamma, e.terminated and t == len(e.rewards))
        for t, (r, s2) in enumerate(zip(e.rewards, e.states[1:], strict=True), 1)
    ])


def _batch(episodes, n_states, alpha, sweeps, targets):
    _check_rates(alpha=alpha)
    _check_steps(sweeps)
    V = np.zeros(n_states)
    for _ in range(sweeps):
        gaps = [np.bincount(e.states[:-1], targets(V, e) - V[e.states[:-1]], n_states) for e in episodes]
        V = V + alpha * sum(gaps)
    return V


def batch_td(episodes, n_states, alpha, gamma, sweeps):
    _check_episodes(episodes)
    return _batch(episodes, n_states, alpha, sweeps, lambda V, e: _targets(V, e, gamma))


def batch_mc(episodes, n_states, alpha, gamma, sweeps):
    _check_episodes(episodes, complete=True)
    return _batch(episodes, n_states, alpha, sweeps, lambda V, e: discounted_returns(e.rewards, gamma))


def certainty_equivalence(episodes, n_states, gamma):
    _check_rates(gamma=gamma)
    _check_episodes(episodes)
    steps = [
        (s, r, None if e.terminated and t == len(e.rewards) - 1 else e.states[t + 1])
        for e in episodes
        for t, (s, r) in enumerate(zip(e.states[:-1], e.rewards, strict=True))
    ]
    A, b = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s, r, s2 in steps:
        A[s, s] += 1.0
        b[s] += r
        if s2 is not None:
            A[s, s2] -= gamma
    return np.linalg.lstsq(A, b, rcond=None)[0]


def _look(V, e, t, n, gamma):
    """The n-step return, by recursion."""
    if t == len(e.rewards):
        return 0.0 if e.terminated else float(V[e.states[t]])
    return float(V[e.states[t]]) if n == 0 else float(e.rewards[t]) + gamma * _look(V, e, t + 1, n - 1, gamma)


def n_step_returns(V, episode, n, gamma):
    _check_rates(gamma=gamma)
    _check_episodes([episode])
    _check_steps(n)
    return np.array([_look(V, episode, t, n, gamma) for t in range(len(episode.rewards))])


def n_step_td_(V, episodes, n, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(n)
    for e in episodes:
        # A long look would be too deep for a recursion: no look is longer than the episode.
        for t, s in enumerate(e.states[:-1]):
            last = min(t + n, len(e.rewards))
            tail = _look(V, e, last, 0, gamma)
            G = np.polynomial.polynomial.polyval(gamma, np.append(e.rewards[t:last], tail))
            V[s] += alpha * (G - V[s])


def lambda_returns(V, episode, lam, gamma):
    _check_rates(lam=lam)
    _check_episodes([episode])
    one, L, found = _targets(V, episode, gamma), 0.0, []
    for y, v in zip(one[::-1], [0.0, *V[episode.states[1:-1]][::-1]], strict=True):
        L = y if not found else y + gamma * lam * (L - v)
        found.insert(0, L)
    return np.array(found)


def backward_increments(V, episode, lam, alpha, gamma):
    _check_rates(alpha=alpha)
    gaps = lambda_returns(V, episode, lam, gamma) - V[episode.states[:-1]]
    return np.array([alpha * gaps[episode.states[:-1] == s].sum() for s in range(len(V))])


def td_lambda_(V, episodes, lam, alpha, gamma, traces="accumulating"):
    if traces not in TRACES:
        raise ValueError(f"no such traces: {traces}")
    _check_rates(alpha=alpha, lam=lam)
    _check_episodes(episodes)
    keep = dict(zip(TRACES, (1.0, 0.0, 1.0 - alpha), strict=True))[traces]
    for e in episodes:
        z, v_old = np.zeros(len(V)), None
        for t, s in enumerate(e.states[:-1]):
            z *= gamma * lam
            z[s] = 1.0 + keep * z[s]
            over = e.terminated and t == len(e.rewards) - 1
            v, v2 = V[s], 0.0 if over else V[e.states[t + 1]]
            gap = v - v_old if traces == "dutch" and v_old is not None else 0.0
            V += alpha * (td_target(e.rewards[t], v2, gamma, over) - v + gap) * z
            V[s] -= alpha * gap
            v_old = v2


def importance_ratios(episode, target, behaviour):
    _check_policies(target, behaviour)
    _check_episodes([episode])
    pairs = list(zip(episode.states, episode.actions))  # noqa: B905
    if any(behaviour[pair] <= 0 for pair in pairs):
        raise ValueError("the behaviour never does that")
    return np.array([target[pair] / behaviour[pair] for pair in pairs])


def _visits(episodes, target, behaviour, gamma, first_visit, pairs):
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    for e in episodes:
        rho, G = importance_ratios(e, target, behaviour), discounted_returns(e.rewards, gamma)
        new = first_visits(e.states[:-1] * target.shape[1] + e.actions * pairs)
        for t, (s, a) in enumerate(zip(e.states[:-1].tolist(), e.actions.tolist(), strict=True)):
            if new[t] or not first_visit:
                yield (s, a) if pairs else (s,), np.prod(rho[t + pairs :]), G[t]


def off_policy_v(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    visits = list(_visits(episodes, target, behaviour, gamma, first_visit, 0))
    return _estimate((len(target),), visits, weighted)


def off_policy_q(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    visits = list(_visits(episodes, target, behaviour, gamma, first_visit, 1))
    return _estimate(target.shape, visits, weighted)


def off_policy_td0_update_(V, s, r, s2, terminated, rho, alpha, gamma):
    _check_rates(alpha=alpha)
    if not rho >= 0:
        raise ValueError("rho is negative")
    delta = td_target(r, V[s2], gamma, terminated) - float(V[s])
    V[s] = float(V[s]) + alpha * rho * delta
    return delta


def soft_policy(Q, epsilon):
    _check_rates(epsilon=epsilon)
    if np.ndim(Q) != 2:
        raise ValueError("Q is not a matrix")
    return np.array([epsilon / len(q) + (1 - epsilon) * (q == max(q)) / sum(q == max(q)) for q in Q])


def play(env, policy, shape, rng, seed=None):
    states, actions, rewards, over = [state_number(env.reset(seed=seed)[0], shape)], [], [], False
    while not over:
        u = rng.uniform(0.0, sum(policy[states[-1]]))
        actions += [next(a for a, c in enumerate(np.cumsum(policy[states[-1]])) if u <= c and policy[states[-1], a] > 0)]
        o, r, terminated, truncated, _ = env.step(actions[-1])
        states, rewards, over = [*states, state_number(o, shape)], [*rewards, float(r)], terminated or truncated
    return Episode(np.array(states), np.array(actions), np.array(rewards), bool(terminated))


def mc_control(env, n_actions, shape, episodes, epsilon, gamma, rng, seed):
    _check_rates(epsilon=epsilon)
    _check_steps(episodes)
    sums, N, returns = np.zeros((np.prod(shape), n_actions)), np.zeros((np.prod(shape), n_actions), int), []
    for k in range(episodes):
        pi = soft_policy_of(sums / np.maximum(N, 1), epsilon)
        e = play(env, pi, shape, rng, None if k else seed)
        returns.append(e.rewards.sum())
        if e.terminated:
            on = first_visits(e.states[:-1] * n_actions + e.actions)
            pairs = e.states[:-1][on], e.actions[on]
            sums[pairs] += discounted_returns(e.rewards, gamma)[on]
            N[pairs] += 1
    return Control(sums / np.maximum(N, 1), N, np.array(returns))


class soft_policy_of:
    """Rows of the soft policy, made when they are asked for."""

    def __init__(self, Q, epsilon):
        self.Q, self.epsilon, self.shape = Q, epsilon, Q.shape

    def __getitem__(self, key):
        s, *rest = key if isinstance(key, tuple) else (key,)
        row = soft_policy(self.Q[s : s + 1], self.epsilon)[0]
        return row[rest[0]] if rest else row
