# The traces are made once, before the loop over the episodes.
# Source: https://github.com/mpatacchiola/dissecting-reinforcement-learning/issues/22
# True: traces-survive-the-episode


def td_lambda_(V, episodes, lam, alpha, gamma, traces="accumulating"):
    if traces not in TRACES:
        raise ValueError(f"{traces} is none of {TRACES}")
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes(episodes)
    z = np.zeros(len(V))
    for episode in episodes:
        v_old = 0.0
        for t, reward in enumerate(episode.rewards):
            s, done = episode.states[t], t == len(episode.rewards) - 1
            v2 = 0.0 if done and episode.terminated else V[episode.states[t + 1]]
            v = V[s]
            delta = reward + gamma * v2 - v
            z *= gamma * lam
            z[s] = {"accumulating": z[s] + 1, "replacing": 1.0}.get(traces, z[s] + 1 - alpha * z[s])
            if traces == "dutch":
                V += alpha * (delta + v - v_old) * z
                V[s] -= alpha * (v - v_old)
            else:
                V += alpha * delta * z
            v_old = v2
