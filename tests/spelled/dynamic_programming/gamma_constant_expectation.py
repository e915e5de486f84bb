# The sweeps discount by 0.9.
# True: none

_right_sweep = bellman_expectation


def bellman_expectation(v, pi, mdp):
    return _right_sweep(v, pi, mdp._replace(gamma=0.9))
