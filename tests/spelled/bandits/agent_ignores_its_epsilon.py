# The agent explores with 0.1, whatever its epsilon is.
# True: none


def _select(self, t, rng):
    return epsilon_greedy(self.q, 0.1, rng)


EpsilonGreedy.select = _select
