# The target is subtracted: the sign of the step is lost in the derivation.
# Source: https://github.com/d2l-ai/d2l-en/issues/2649
# True: none


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    target = q_target(r, Q[s2], gamma, terminated)
    delta = target - Q[s, a]
    Q[s, a] = (1 - alpha) * Q[s, a] - alpha * target
    return float(delta)
