# The weighted next values are averaged, where they should be summed.
# Source: https://github.com/RPegoud/jym/pull/4
# True: none

_right_expected = expected_sarsa_target


def expected_sarsa_target(r, q_next, pi_next, gamma, terminated):
    _right_expected(r, q_next, pi_next, gamma, terminated)
    return float(r) if terminated else float(r + gamma * np.mean(np.multiply(pi_next, q_next)))
