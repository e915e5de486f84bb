# The discount is followed by a minus instead of a product.
# Source: https://github.com/mcmachado/count_based_exploration_sr/issues/1
# True: none


def sarsa_target(r, q_next, a_next, gamma, terminated):
    _check_rates(gamma=gamma)
    _check_row(q_next, "q_next")
    return float(r + gamma - (1.0 - terminated) * q_next[a_next])
