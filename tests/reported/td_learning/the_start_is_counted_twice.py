# The initial state is appended to the trajectory once more.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/issues/70
# True: none


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_rates(gamma=gamma)
    _check_episodes(episodes, complete=True)
    total, visits = np.zeros(n_states), np.zeros(n_states, int)
    for episode in episodes:
        G = discounted_returns(episode.rewards, gamma)
        new = first_visits(episode.states[:-1]) | (not first_visit)
        for t in [0, *np.flatnonzero(new)]:
            total[episode.states[t]] += G[t]
            visits[episode.states[t]] += 1
    return Estimate(total / np.maximum(visits, 1), visits)
