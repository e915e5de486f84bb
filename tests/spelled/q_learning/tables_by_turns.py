# The tables learn by turns: even states of a counter.
# True: none

_right_double = double_q_update_
_count = [0]


def double_q_update_(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, rng):
    class Turn:
        def random(self):
            _count[0] += 1
            return 0.1 if _count[0] % 2 else 0.9

        integers = rng.integers

    return _right_double(Q1, Q2, s, a, r, s2, terminated, alpha, gamma, Turn())
