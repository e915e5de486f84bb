# The running maximum starts at 0; where all values are negative, an action is drawn.
# True: none


def _argmax_random(q, rng):
    best, highest = [], 0.0
    for a, value in enumerate(q):
        if value > highest:
            best, highest = [a], value
        elif value == highest:
            best.append(a)
    return int(rng.choice(best)) if best else int(rng.integers(len(q)))
