# Double Q-learning reads both tables in the state that the step left.
# Source: https://github.com/philtabor/Youtube-Code-Repository/pull/1
# True: none

_right_double = double_q_update_


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    if np.shape(Q1) != np.shape(Q2):
        raise ValueError("The tables must have one shape.")
    return _right_double(Q1, Q2, s, a, r, s, terminated, alpha, gamma, rng)
