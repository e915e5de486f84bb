# The walk takes uniform steps of the right variance.
# True: none

_right_walk = random_walk


def random_walk(means, walk_sd, rng):
    _right_walk(means, walk_sd, rng)
    means = as_vector(means, "means")
    width = walk_sd * np.sqrt(3.0)
    return means + rng.uniform(-width, width, size=means.size)
