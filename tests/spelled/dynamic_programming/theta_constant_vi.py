# Value iteration stops at 1e-8, whatever theta is.
# True: none

_right_vi = value_iteration


def value_iteration(mdp, theta):
    _check_theta(theta)
    return _right_vi(mdp, 1e-8)
