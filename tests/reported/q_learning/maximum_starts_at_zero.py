# The search for the largest next value starts from 0, so that negative values count as 0.
# Source: https://github.com/yandexdataschool/Practical_RL/issues/296
# True: none


def q_target(r, q_next, gamma, terminated):
    _check_rates(gamma=gamma)
    _check_row(q_next, "q_next")
    best = 0.0
    for value in q_next:
        best = max(best, float(value))
    return float(r) if terminated else float(r + gamma * best)
