# The first table learns two times in three.
# True: none

_right_double = double_q_update_


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    class Unfair:
        def random(self):
            return 0.75 * rng.random()

        integers = rng.integers

    return _right_double(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, Unfair())
