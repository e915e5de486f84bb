# Only complete looks of n steps are learned from.
# Source: https://github.com/thoth-station/adviser/issues/1456
# True: short-tails-are-left-out


def n_step_td_(V, episodes, n, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(n)
    for episode in episodes:
        for end in range(n, len(episode.rewards) + 1):
            t = end - n
            ended = end == len(episode.rewards) and episode.terminated
            G = 0.0 if ended else V[episode.states[end]]
            for reward in episode.rewards[t:end][::-1]:
                G = reward + gamma * G
            V[episode.states[t]] += alpha * (G - V[episode.states[t]])
