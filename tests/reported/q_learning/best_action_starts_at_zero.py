# The best action is searched from 0, and action 0 counts as none: then one is drawn.
# Source: https://github.com/satwikkansal/q-learning-taxi-v3/pull/4
# True: none


def _argmax_random(q, rng):
    best, highest = None, 0.0
    for action, value in enumerate(q):
        if value > highest:
            best, highest = action, value
    return best if best else int(rng.integers(len(q)))
