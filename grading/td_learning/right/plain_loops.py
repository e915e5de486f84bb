"""Plain Python: lists, dicts and one loop after the other; NumPy only at the border."""

import random


def discounted_returns(rewards, gamma):
    _check_rates(gamma=gamma)
    answers = []
    for t in range(len(rewards)):
        total, factor = 0.0, 1.0
        for reward in rewards[t:]:
            total += factor * float(reward)
            factor *= gamma
        answers.append(total)
    return np.array(answers)


def first_visits(keys):
    keys = [int(key) for key in keys]
    return np.array([keys.index(key) == t for t, key in enumerate(keys)])


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_rates(gamma=gamma)
    _check_episodes(episodes, complete=True)
    returns_of = {}
    for episode in episodes:
        met = set()
        for t, G in enumerate(discounted_returns(episode.rewards, gamma)):
            state = int(episode.states[t])
            if state in met and first_visit:
                continue
            met.add(state)
            returns_of.setdefault(state, []).append(G)
    values, visits = [0.0] * n_states, [0] * n_states
    for state, found in returns_of.items():
        values[state], visits[state] = sum(found) / len(found), len(found)
    return Estimate(np.array(values), np.array(visits))


def td_target(r, v_next, gamma, terminated):
    _check_rates(gamma=gamma)
    return float(r) if terminated else float(r) + gamma * float(v_next)


def td0_update_(V, s, r, s2, terminated, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    old = float(V[s])
    target = td_target(r, V[s2], gamma, terminated)
    V[s] = (1 - alpha) * old + alpha * target
    return target - old


def _worth(V, episode, t):
    last = t + 1 == len(episode.rewards)
    return 0.0 if last and episode.terminated else float(V[episode.states[t + 1]])


def _sweeps(episodes, n_states, alpha, sweeps, error):
    V = np.zeros(n_states)
    for _ in range(sweeps):
        change = [0.0] * n_states
        for number, episode in enumerate(episodes):
            for t in range(len(episode.rewards)):
                change[episode.states[t]] += alpha * error(V, number, t)
        for s in range(n_states):
            V[s] += change[s]
    return V


def batch_td(episodes, n_states, alpha, gamma, sweeps):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(sweeps)

    def error(V, number, t):
        episode = episodes[number]
        return episode.rewards[t] + gamma * _worth(V, episode, t) - V[episode.states[t]]

    return _sweeps(episodes, n_states, alpha, sweeps, error)


def batch_mc(episodes, n_states, alpha, gamma, sweeps):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes, complete=True)
    _check_steps(sweeps)
    G = [discounted_returns(episode.rewards, gamma) for episode in episodes]
    return _sweeps(
        episodes,
        n_states,
        alpha,
        sweeps,
        lambda V, number, t: G[number][t] - V[episodes[number].states[t]],
    )


def certainty_equivalence(episodes, n_states, gamma):
    _check_rates(gamma=gamma)
    _check_episodes(episodes)
    steps = {}
    for episode in episodes:
        for t, reward in enumerate(episode.rewards):
            over = t + 1 == len(episode.rewards) and episode.terminated
            steps.setdefault(int(episode.states[t]), []).append(
                (float(reward), None if over else int(episode.states[t + 1]))
            )
    A, b = np.identity(n_states), np.zeros(n_states)
    for s, found in steps.items():
        for reward, s2 in found:
            b[s] += reward / len(found)
            if s2 is not None:
                A[s, s2] -= gamma / len(found)
    return np.linalg.solve(A, b)


def n_step_returns(V, episode, n, gamma):
    _check_rates(gamma=gamma)
    _check_episodes([episode])
    _check_steps(n)
    T, answers = len(episode.rewards), []
    for t in range(T):
        stop = t + n
        if stop < T:
            G = float(V[episode.states[stop]])
        else:
            stop, G = T, 0.0 if episode.terminated else float(V[episode.states[T]])
        for k in range(stop - 1, t - 1, -1):
            G = float(episode.rewards[k]) + gamma * G
        answers.append(G)
    return np.array(answers)


def n_step_td_(V, episodes, n, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(n)
    for episode in episodes:
        for t in range(len(episode.rewards)):
            rest = Episode(
                episode.states[t : t + n + 1],
                episode.actions[t : t + n],
                episode.rewards[t : t + n],
                bool(episode.terminated and t + n >= len(episode.rewards)),
            )
            V[episode.states[t]] += alpha * (
                n_step_returns(V, rest, n, gamma)[0] - V[episode.states[t]]
            )


def lambda_returns(V, episode, lam, gamma):
    _check_rates(lam=lam, gamma=gamma)
    _check_episodes([episode])
    T = len(episode.rewards)
    looks = [None] + [n_step_returns(V, episode, n, gamma) for n in range(1, T + 1)]
    answers = []
    for t in range(T):
        left, weight, total = T - t, 1.0, 0.0
        for n in range(1, left):
            total += (1 - lam) * weight * looks[n][t]
            weight *= lam
        answers.append(total + weight * looks[left][t])
    return np.array(answers)


def backward_increments(V, episode, lam, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes([episode])
    trace, total = [0.0] * len(V), [0.0] * len(V)
    for t, reward in enumerate(episode.rewards):
        now = int(episode.states[t])
        delta = float(reward) + gamma * _worth(V, episode, t) - float(V[now])
        for s in range(len(V)):
            trace[s] = trace[s] * gamma * lam + (s == now)
            total[s] += alpha * delta * trace[s]
    return np.array(total)


def td_lambda_(V, episodes, lam, alpha, gamma, traces="accumulating"):
    if traces not in ("accumulating", "replacing", "dutch"):
        raise ValueError(f"there are no traces called {traces}")
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes(episodes)
    for episode in episodes:
        trace, before = dict.fromkeys(range(len(V)), 0.0), 0.0
        for t, reward in enumerate(episode.rewards):
            now = int(episode.states[t])
            v, after = float(V[now]), _worth(V, episode, t)
            delta = float(reward) + gamma * after - v
            for s in trace:
                trace[s] *= gamma * lam
            if traces == "accumulating":
                trace[now] += 1.0
            elif traces == "replacing":
                trace[now] = 1.0
            else:
                trace[now] = (1.0 - alpha) * trace[now] + 1.0
            extra = v - before if traces == "dutch" else 0.0
            for s, z in trace.items():
                V[s] += alpha * (delta + extra) * z
            V[now] -= alpha * extra
            before = after


def importance_ratios(episode, target, behaviour):
    _check_policies(target, behaviour)
    _check_episodes([episode])
    answers = []
    for s, a in zip(episode.states, episode.actions):  # noqa: B905
        if behaviour[s, a] == 0.0:
            raise ValueError("the behaviour could not have done this")
        answers.append(float(target[s, a]) / float(behaviour[s, a]))
    return np.array(answers)


def _off_policy(episodes, target, behaviour, gamma, weighted, first_visit, pairs):
    over, under, visits = {}, {}, {}
    for episode in episodes:
        rho, met = importance_ratios(episode, target, behaviour).tolist(), set()
        for t, G in enumerate(discounted_returns(episode.rewards, gamma)):
            key = (int(episode.states[t]), int(episode.actions[t]))
            key = key if pairs else key[:1]
            if first_visit and key in met:
                continue
            met.add(key)
            W = 1.0
            for k in range(t + pairs, len(rho)):
                W *= rho[k]
            over[key] = over.get(key, 0.0) + W * G
            under[key] = under.get(key, 0.0) + (W if weighted else 1.0)
            visits[key] = visits.get(key, 0) + 1
    shape = target.shape if pairs else target.shape[:1]
    values, counts = np.zeros(shape), np.zeros(shape, int)
    for key, number in visits.items():
        counts[key] = number
        if under[key] > 0.0:
            values[key] = over[key] / under[key]
    return Estimate(values, counts)


def off_policy_v(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    _check_rates(gamma=gamma)
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    return _off_policy(episodes, target, behaviour, gamma, weighted, first_visit, False)


def off_policy_q(episodes, target, behaviour, gamma, weighted=True, first_visit=True):
    _check_rates(gamma=gamma)
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    return _off_policy(episodes, target, behaviour, gamma, weighted, first_visit, True)


def off_policy_td0_update_(V, s, r, s2, terminated, rho, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    if rho < 0.0:
        raise ValueError("the ratio of two probabilities is not negative")
    error = td_target(r, V[s2], gamma, terminated) - float(V[s])
    V[s] = V[s] + alpha * rho * error
    return error


def soft_policy(Q, epsilon):
    _check_rates(epsilon=epsilon)
    if np.ndim(Q) != 2:
        raise ValueError("a table of action values has two dimensions")
    answers = []
    for row in Q.tolist():
        top, size = max(row), len(row)
        share = (1 - epsilon) / row.count(top)
        answers.append([epsilon / size + (share if q == top else 0.0) for q in row])
    return np.array(answers)


def play(env, policy, shape, rng, seed=None):
    observation = env.reset(seed=seed)[0]
    states, actions, rewards = [state_number(observation, shape)], [], []
    draw = random.Random(int(rng.integers(2**62)))
    while True:
        chances = policy[states[-1]].tolist()
        actions.append(draw.choices(range(len(chances)), chances)[0])
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        states.append(state_number(observation, shape))
        rewards.append(float(reward))
        if terminated or truncated:
            return Episode(
                np.array(states), np.array(actions), np.array(rewards), bool(terminated)
            )


def mc_control(env, n_actions, shape, episodes, epsilon, gamma, rng, seed):
    _check_rates(gamma=gamma, epsilon=epsilon)
    _check_steps(episodes)
    n_states = int(np.prod(shape))
    Q, sums = np.zeros((n_states, n_actions)), np.zeros((n_states, n_actions))
    visits, totals = np.zeros((n_states, n_actions), int), []
    policy = soft_policy(Q, epsilon)
    for number in range(episodes):
        episode = play(env, policy, shape, rng, None if number else seed)
        totals.append(sum(episode.rewards.tolist()))
        if episode.terminated:
            met = set()
            for t, G in enumerate(discounted_returns(episode.rewards, gamma)):
                pair = (int(episode.states[t]), int(episode.actions[t]))
                if pair not in met:
                    met.add(pair)
                    sums[pair] += G
                    visits[pair] += 1
                    Q[pair] = sums[pair] / visits[pair]
            for s in {pair[0] for pair in met}:
                policy[s] = soft_policy(Q[s : s + 1], epsilon)[0]
    return Control(Q, visits, np.array(totals))
