# A step size of exactly 1 is refused.
# True: none

_right_constant = constant_step


def constant_step(q, reward, alpha):
    require(alpha < 1, "alpha must lie below 1.")
    return _right_constant(q, reward, alpha)
