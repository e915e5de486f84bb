"""Objects: a walk through an episode, traces, running averages and a die."""


class _Walk:
    """The steps of an episode, with what the table says about them at the time."""

    def __init__(self, episode, gamma):
        _check_rates(gamma=gamma)
        _check_episodes([episode])
        self.episode, self.gamma, self.length = episode, gamma, len(episode.rewards)

    def worth(self, V, t):
        """The value of the state that is reached after t steps."""
        if t == self.length and self.episode.terminated:
            return 0.0
        return float(V[self.episode.states[t]])

    def error(self, V, t):
        e = self.episode
        return float(e.rewards[t]) + self.gamma * self.worth(V, t + 1) - float(V[e.states[t]])

    def look(self, V, t, n):
        """The n-step return as value plus discounted errors; the table stands still."""
        last = min(t + n, self.length)
        errors = sum(self.gamma ** (k - t) * self.error(V, k) for k in range(t, last))
        return float(V[self.episode.states[t]]) + errors

    def returns(self):
        return discounted_returns(self.episode.rewards, self.gamma)


class _Average:
    """A running weighted average."""

    def __init__(self):
        self.value, self.weight, self.number = 0.0, 0.0, 0

    def add(self, x, weight=1.0):
        self.number += 1
        self.weight += weight
        if self.weight > 0.0:
            self.value += weight / self.weight * (x - self.value)


class _Averages(dict):
    def __missing__(self, key):
        self[key] = _Average()
        return self[key]

    def estimate(self, shape):
        values, visits = np.zeros(shape), np.zeros(shape, int)
        for key, average in self.items():
            values[key], visits[key] = average.value, average.number
        return Estimate(values, visits)


def discounted_returns(rewards, gamma):
    _check_rates(gamma=gamma)
    if len(rewards) == 0:
        return np.zeros(0)
    rest = discounted_returns(rewards[1:], gamma)
    return np.append(rewards[0] + gamma * (rest[0] if len(rest) else 0.0), rest)


def first_visits(keys):
    seen, answer = {}, []
    for t, key in enumerate(np.asarray(keys).tolist()):
        answer.append(seen.setdefault(key, t) == t)
    return np.array(answer)


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_episodes(episodes, complete=True)
    averages = _Averages()
    for episode in episodes:
        on = first_visits(episode.states[:-1]) | (not first_visit)
        for t in np.flatnonzero(on):
            averages[int(episode.states[t])].add(_Walk(episode, gamma).returns()[t])
    return averages.estimate(n_states)


def td_target(r, v_next, gamma, terminated):
    _check_rates(gamma=gamma)
    return float(r) + (0.0 if terminated else gamma * float(v_next))


def td0_update_(V, s, r, s2, terminated, alpha, gamma):
    _check_rates(alpha=alpha)
    delta = td_target(r, V[s2], gamma, terminated) - float(V[s])
    V[s] = float(V[s]) + alpha * delta
    return delta


class _Batch:
    def __init__(self, episodes, n_states, alpha, sweeps):
        _check_rates(alpha=alpha)
        _check_steps(sweeps)
        self.episodes, self.V, self.alpha, self.sweeps = episodes, np.zeros(n_states), alpha, sweeps

    def run(self, error):
        for _ in range(self.sweeps):
            after = self.V.copy()
            for number, episode in enumerate(self.episodes):
                for t, s in enumerate(episode.states[:-1]):
                    after[s] += self.alpha * error(self.V, number, t)
            self.V = after
        return self.V


def batch_td(episodes, n_states, alpha, gamma, sweeps):
    _check_episodes(episodes)
    walks = [_Walk(episode, gamma) for episode in episodes]
    batch = _Batch(episodes, n_states, alpha, sweeps)
    return batch.run(lambda V, number, t: walks[number].error(V, t))


def batch_mc(episodes, n_states, alpha, gamma, sweeps):
    _check_episodes(episodes, complete=True)
    G = [_Walk(episode, gamma).returns() for episode in episodes]
    batch = _Batch(episodes, n_states, alpha, sweeps)
    return batch.run(lambda V, number, t: G[number][t] - V[episodes[number].states[t]])


def certainty_equivalence(episodes, n_states, gamma):
    _check_rates(gamma=gamma)
    _check_episodes(episodes)
    # The ends become states of the model, each with a row of its own; they pay nothing.
    size, ends = n_states + 1, n_states
    moves, pay = np.zeros((size, size)), np.zeros(size)
    for episode in episodes:
        path = [*episode.states[:-1], ends if episode.terminated else episode.states[-1]]
        for t, r in enumerate(episode.rewards):
            moves[path[t], path[t + 1]] += 1
            pay[path[t]] += r
    visits = moves.sum(axis=1)
    visits[visits == 0] = 1
    model = np.eye(size) - gamma * moves / visits[:, None]
    return np.linalg.solve(model, pay / visits)[:-1]


def n_step_returns(V, episode, n, gamma):
    _check_steps(n)
    walk = _Walk(episode, gamma)
    return np.array([walk.look(V, t, n) for t in range(walk.length)])


def n_step_td_(V, episodes, n, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(n)
    for episode in episodes:
        walk = _Walk(episode, gamma)
        for t, s in enumerate(episode.states[:-1]):
            last = min(t + n, walk.length)
            G = walk.worth(V, last)
            for r in episode.rewards[t:last][::-1]:
                G = r + gamma * G
            V[s] += alpha * (G - V[s])


def lambda_returns(V, episode, lam, gamma):
    _check_rates(lam=lam)
    walk, answer = _Walk(episode, gamma), []
    for t in reversed(range(walk.length)):
        further = answer[0] if answer else walk.worth(V, t + 1)
        mixed = (1 - lam) * walk.worth(V, t + 1) + lam * further
        answer.insert(0, float(episode.rewards[t]) + gamma * mixed)
    return np.array(answer)


class _Traces:
    def __init__(self, size, fade, kind="accumulating", alpha=1.0):
        self.z, self.fade, self.kind, self.alpha = np.zeros(size), fade, kind, alpha

    def visit(self, s):
        self.z = self.z * self.fade
        before = self.z[s]
        change = {"accumulating": 1.0, "replacing": 1.0 - before}
        self.z[s] += change.get(self.kind, 1.0 - self.alpha * before)
        return self.z


def backward_increments(V, episode, lam, alpha, gamma):
    _check_rates(alpha=alpha, lam=lam)
    walk, traces = _Walk(episode, gamma), _Traces(len(V), gamma * lam)
    shares = [walk.error(V, t) * traces.visit(episode.states[t]) for t in range(walk.length)]
    return alpha * np.sum(shares, axis=0)


def td_lambda_(V, episodes, lam, alpha, gamma, traces="accumulating"):
    if traces not in TRACES:
        raise ValueError(f"{traces!r} is not among the traces")
    _check_rates(alpha=alpha, lam=lam)
    _check_episodes(episodes)
    for episode in episodes:
        walk, fading, v_old = _Walk(episode, gamma), _Traces(len(V), gamma * lam, traces, alpha), 0.0
        for t, s in enumerate(episode.states[:-1]):
            v, v2, delta = float(V[s]), walk.worth(V, t + 1), walk.error(V, t)
            z = fading.visit(s)
            if traces == "dutch":
                V += alpha * (delta + v - v_old) * z
                V[s] -= alpha * (v - v_old)
            else:
                V += alpha * delta * z
            v_old = v2


def importance_ratios(episode, target, behaviour):
    _check_policies(target, behaviour)
    _check_episodes([episode])
    answer = []
    for t in range(len(episode.actions)):
        s, a = episode.states[t], episode.actions[t]
        if behaviour[s][a] == 0:
            raise ValueError("an impossible action under the behaviour")
        answer.append(target[s][a] / behaviour[s][a])
    return np.array(answer)


def _fill(episodes, target, behaviour, gamma, weighted, first_visit, with_action):
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    averages = _Averages()
    for episode in episodes:
        rho, G = importance_ratios(episode, target, behaviour), _Walk(episode, gamma).returns()
        seen = set()
        for t, (s, a) in enumerate(
            zip(episode.states[:-1].tolist(), episode.actions.tolist(), strict=True)
        ):
            key = (s, a) if with_action else s
            if first_visit and key in seen:
                continue
            seen.add(key)
            W = float(np.prod(rho[t + 1 :])) * (1.0 if with_action else float(rho[t]))
            averages[key].add(G[t], W) if weighted else averages[key].add(W * G[t])
    return averages.estimate(target.shape if with_action else len(target))


def off_policy_v(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    return _fill(episodes, target, behaviour, gamma, weighted, first_visit, False)


def off_policy_q(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    return _fill(episodes, target, behaviour, gamma, weighted, first_visit, True)


def off_policy_td0_update_(V, s, r, s2, terminated, rho, alpha, gamma):
    if rho < 0.0:
        raise ValueError("the importance ratio must not be negative")
    old = float(V[s])
    delta = td0_update_(V, s, r, s2, terminated, alpha, gamma)
    V[s] = old + alpha * rho * delta
    return delta


class _Soft:
    def __init__(self, Q, epsilon):
        self.Q, self.epsilon = Q, epsilon

    def row(self, s):
        q = self.Q[s]
        pi = np.full(len(q), self.epsilon / len(q))
        best = np.argwhere(q == np.amax(q)).ravel()
        pi[best] += (1 - self.epsilon) / len(best)
        return pi


def soft_policy(Q, epsilon):
    _check_rates(epsilon=epsilon)
    if np.ndim(Q) != 2:
        raise ValueError("Q must have a row for each state")
    return np.stack([_Soft(Q, epsilon).row(s) for s in range(len(Q))])


class _Game:
    def __init__(self, env, shape, rng, row):
        self.env, self.shape, self.rng, self.row = env, shape, rng, row

    def play(self, seed):
        states, actions, rewards = [state_number(self.env.reset(seed=seed)[0], self.shape)], [], []
        terminated = truncated = False
        while not terminated and not truncated:
            row = self.row(states[-1])
            actions.append(int(self.rng.choice(len(row), p=row / row.sum())))
            seen, reward, terminated, truncated, _ = self.env.step(actions[-1])
            states.append(state_number(seen, self.shape))
            rewards.append(float(reward))
        return Episode(np.array(states), np.array(actions), np.array(rewards), bool(terminated))


def play(env, policy, shape, rng, seed=None):
    return _Game(env, shape, rng, policy.__getitem__).play(seed)


def mc_control(env, n_actions, shape, episodes, epsilon, gamma, rng, seed):
    _check_rates(gamma=gamma, epsilon=epsilon)
    _check_steps(episodes)
    Q = np.zeros((int(np.prod(shape)), n_actions))
    game, averages, returns = _Game(env, shape, rng, _Soft(Q, epsilon).row), _Averages(), []
    for number in range(episodes):
        episode = game.play(seed if number == 0 else None)
        returns.append(float(episode.rewards.sum()))
        if not episode.terminated:
            continue
        G = _Walk(episode, gamma).returns()
        for t in np.flatnonzero(first_visits(episode.states[:-1] * n_actions + episode.actions)):
            pair = int(episode.states[t]), int(episode.actions[t])
            averages[pair].add(G[t])
            Q[pair] = averages[pair].value
    return Control(Q, averages.estimate(Q.shape).visits, np.array(returns))
