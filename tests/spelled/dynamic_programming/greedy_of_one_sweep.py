# The policy is greedy after one sweep.
# True: none

_right_vi = value_iteration


def value_iteration(mdp, theta):
    v, _, errors = _right_vi(mdp, theta)
    return v, greedy(q_from_v(np.max(mdp.R, axis=1), mdp)), errors
