# Of each episode only the initial state is used.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/issues/59
# True: only-the-start-counts


def mc_prediction(episodes, n_states, gamma, first_visit=True):
    _check_rates(gamma=gamma)
    _check_episodes(episodes, complete=True)
    total, visits = np.zeros(n_states), np.zeros(n_states, int)
    for episode in episodes:
        total[episode.states[0]] += discounted_returns(episode.rewards, gamma)[0]
        visits[episode.states[0]] += 1
    return Estimate(total / np.maximum(visits, 1), visits)
