# The sweeps of value iteration discount by 0.9.
# True: none

_right_sweep = bellman_optimality


def bellman_optimality(v, mdp):
    return _right_sweep(v, mdp._replace(gamma=0.9))
