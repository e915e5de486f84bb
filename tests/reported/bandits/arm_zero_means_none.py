# Arm 0 counts as "no arm found", because 0 is false.
# Source: https://github.com/satwikkansal/q-learning-taxi-v3/pull/4
# True: none

_right_argmax = argmax_random


def argmax_random(q, rng):
    return _right_argmax(q, rng) or int(rng.integers(len(q)))
