# The first of several maxima is always taken.
# Source: https://github.com/johnmyleswhite/BanditsBook/pull/10
# True: first-of-the-ties


def argmax_random(q, rng):
    values = [float(x) for x in as_vector(q, "q")]
    return values.index(max(values))


def epsilon_greedy_probs(q, epsilon):
    q = as_vector(q, "q")
    if epsilon < 0 or epsilon > 1:
        raise ValueError("epsilon must be a probability.")
    chances = np.full(len(q), epsilon / len(q))
    chances[argmax_random(q, None)] += 1 - epsilon
    return chances
