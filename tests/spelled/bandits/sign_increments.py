# The walk goes up or down by walk_sd.
# True: none

_right_walk = random_walk


def random_walk(means, walk_sd, rng):
    _right_walk(means, walk_sd, rng)
    means = as_vector(means, "means")
    return means + walk_sd * rng.choice([-1.0, 1.0], size=means.size)
