# Action values are discounted by 0.9.
# True: none

_right_q = q_from_v


def q_from_v(v, mdp):
    return _right_q(v, mdp._replace(gamma=0.9))
