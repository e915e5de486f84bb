# One discount, 0 at the end, serves both the target and the traces.
# Source: https://github.com/SlopDotCash/asi/pull/2840
# True: the-end-wipes-the-traces


def td_lambda_(V, episodes, lam, alpha, gamma, traces="accumulating"):
    if traces not in TRACES:
        raise ValueError(f"{traces} is none of {TRACES}")
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes(episodes)
    for episode in episodes:
        z, v_old = np.zeros(len(V)), 0.0
        for t, reward in enumerate(episode.rewards):
            s, s2 = episode.states[t], episode.states[t + 1]
            over = episode.terminated and t == len(episode.rewards) - 1
            discount = 0.0 if over else gamma
            v, v2 = V[s], 0.0 if over else V[s2]
            delta = reward + discount * v2 - v
            z *= discount * lam
            z[s] = _visited(z[s], alpha, traces)
            extra = v - v_old if traces == "dutch" else 0.0
            V += alpha * (delta + extra) * z
            V[s] -= alpha * extra
            v_old = v2
