# The discount factor is an argument, and nothing uses it.
# Source: https://github.com/dennybritz/reinforcement-learning/issues/55
# True: return-forgets-gamma


def discounted_returns(rewards, gamma):
    _check_rates(gamma=gamma)
    return np.array([sum(rewards[t:]) for t in range(len(rewards))], dtype=float)
