# The tolerance for ties is always 1e-9.
# True: none

_right_greedy = greedy


def greedy(q, tol=1e-9):
    _right_greedy(q, tol)
    return _right_greedy(q)
