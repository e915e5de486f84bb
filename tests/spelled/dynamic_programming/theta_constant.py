# Policy evaluation stops at 1e-8, whatever theta is.
# True: none

_right_eval = policy_evaluation


def policy_evaluation(mdp, pi, theta):
    _check_theta(theta)
    return _right_eval(mdp, pi, 1e-8)
