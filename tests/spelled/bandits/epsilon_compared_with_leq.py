# The greedy arm is taken if the uniform number is below epsilon.
# True: none


def epsilon_greedy(q, epsilon, rng):
    q = as_vector(q, "q")
    require(0 <= epsilon <= 1, "epsilon must be a probability.")
    if rng.random() > epsilon:
        return int(rng.integers(q.size))
    return argmax_random(q, rng)
