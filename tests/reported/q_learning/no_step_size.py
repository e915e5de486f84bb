# The new value replaces the old one, and alpha is not used.
# Source: https://github.com/shakedzy/notebooks/issues/1
# True: forgets-the-step-size


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    before = float(Q[s, a])
    Q[s, a] = q_target(r, Q[s2], gamma, terminated)
    return float(Q[s, a] - before)
