# Each further tied arm replaces the choice by a fair coin.
# True: none


def argmax_random(q, rng):
    choice, highest = 0, -np.inf
    for arm, value in enumerate(as_vector(q, "q")):
        if value > highest or (value == highest and rng.random() < 0.5):
            choice, highest = arm, value
    return choice
