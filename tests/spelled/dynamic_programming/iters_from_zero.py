# The improvements are counted from 0.
# True: forgets-the-last-improvement

_right_pi = policy_iteration


def policy_iteration(mdp):
    pi, v, iters = _right_pi(mdp)
    return pi, v, iters - 1
