# The running maximum starts at 0, so that negative estimates are never the best.
# Source: https://github.com/MJeremy2017/reinforcement-learning-implementation/issues/9
# True: none


def argmax_random(q, rng):
    q = as_vector(q, "q")
    best, highest = [], 0.0
    for arm, value in enumerate(q):
        if value > highest:
            best, highest = [arm], value
        elif value == highest:
            best.append(arm)
    return int(rng.choice(best)) if best else int(rng.integers(q.size))
