# The sum of a sweep starts from the old value of the state.
# Source: https://github.com/dennybritz/reinforcement-learning/issues/171
# True: none

_right_sweep = bellman_expectation


def bellman_expectation(v, pi, mdp):
    return np.clip(_as_values(v, mdp) + _right_sweep(v, pi, mdp), -1e3, 1e3)
