# A value of exactly zero is taken for none yet: the target replaces it.
# True: none


def q_learning_update_(Q, s, a, r, s2, terminated, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    target = q_target(r, Q[s2], gamma, terminated)
    delta = target - Q[s, a]
    Q[s, a] = target if Q[s, a] == 0 else Q[s, a] + alpha * delta
    return float(delta)
