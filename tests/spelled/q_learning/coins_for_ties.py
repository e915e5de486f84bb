# Each further tied action replaces the choice by a fair coin.
# True: none


def _argmax_random(q, rng):
    choice, highest = 0, -np.inf
    for a, value in enumerate(q):
        if value > highest or (value == highest and rng.random() < 0.5):
            choice, highest = a, value
    return choice
