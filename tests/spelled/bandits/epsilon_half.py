# Exploring leaves out the last arm.
# True: none


def epsilon_greedy(q, epsilon, rng):
    q = as_vector(q, "q")
    require(0 <= epsilon <= 1, "epsilon must be a probability.")
    if rng.random() < epsilon:
        return int(rng.integers(0, max(q.size - 1, 1)))
    return argmax_random(q, rng)
