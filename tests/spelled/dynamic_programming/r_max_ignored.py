# The bound on the rewards is taken for 1.
# True: none

_right_stop = stopping_sweeps


def stopping_sweeps(gamma, eps, r_max=1.0):
    _right_stop(gamma, eps, r_max)
    return _right_stop(gamma, eps, 1.0)
