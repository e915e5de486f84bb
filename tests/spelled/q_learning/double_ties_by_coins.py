# Ties in the double update are broken by coins.
# True: none

_right_double = double_q_update_


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    _check_rates(alpha=alpha, gamma=gamma)
    if np.shape(Q1) != np.shape(Q2):
        raise ValueError("The tables must have one shape.")
    learner, judge = (Q1, Q2) if rng.random() < 0.5 else (Q2, Q1)
    best = 0
    for b in range(1, learner.shape[1]):
        gap = learner[s2, b] - learner[s2, best]
        if gap > 0 or (gap == 0 and rng.random() < 0.5):
            best = b
    future = 0.0 if terminated else gamma * judge[s2, best]
    delta = r + future - learner[s, a]
    learner[s, a] += alpha * delta
    return float(delta)
