# The index of the maximum is compared with the values.
# Source: https://github.com/bgalbraith/bandits/issues/9
# True: first-of-the-ties, random-only-if-all-tie


def argmax_random(q, rng):
    q = as_vector(q, "q")
    action = int(np.argmax(q))
    check = np.where(q == action)[0]
    return action if len(check) == 0 else int(rng.choice(check))
