# The step is never below a twentieth.
# True: none


def sample_average(q, n, reward):
    require(n >= 1, "n counts pulls from 1.")
    return float(q + max(1 / n, 0.05) * (reward - q))
