# The discount of the MDP is not passed on: a default of 0.99 is used.
# Source: https://github.com/kevin-hanselman/grid-world-rl/pull/1
# True: none

_right_vi, _right_pi = value_iteration, policy_iteration


def value_iteration(mdp, theta):
    return _right_vi(mdp._replace(gamma=0.99), theta)


def policy_iteration(mdp):
    return _right_pi(mdp._replace(gamma=0.99))
