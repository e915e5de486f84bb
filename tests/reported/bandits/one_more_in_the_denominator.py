# The denominator of the average has one pull too many.
# Source: https://github.com/SforAiDl/genrl/pull/41
# True: n-off-by-one


def sample_average(q, n, reward):
    if n < 1:
        raise ValueError("n counts pulls from 1.")
    return float((n * q + reward) / (n + 1))
