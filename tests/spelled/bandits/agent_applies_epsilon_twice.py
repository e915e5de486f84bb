# The agent tosses the coin, and its helper tosses it again.
# True: none


def _select(self, t, rng):
    if rng.random() < self.epsilon:
        return int(rng.integers(self.q.size))
    return epsilon_greedy(self.q, self.epsilon, rng)


EpsilonGreedy.select = _select
