# A "first visit" that is met from the end, and a return that grows only at such visits.
# Source: https://github.com/rlcode/reinforcement-learning-kr/issues/41
# True: repeats-drop-their-reward, first-visit-is-the-last


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_rates(gamma=gamma)
    _check_episodes(episodes, complete=True)
    total, visits = np.zeros(n_states), np.zeros(n_states, int)
    for episode in episodes:
        G, seen = 0.0, []
        for t in reversed(range(len(episode.rewards))):
            s = int(episode.states[t])
            if first_visit and s in seen:
                continue
            seen.append(s)
            G = episode.rewards[t] + gamma * G
            total[s] += G
            visits[s] += 1
    return Estimate(total / np.maximum(visits, 1), visits)
