# The agent draws only if all estimates are equal.
# True: random-only-if-all-tie


def _select(self, t, rng):
    if rng.random() < self.epsilon or np.all(self.q == self.q[0]):
        return int(rng.integers(self.q.size))
    return int(np.argmax(self.q))


EpsilonGreedy.select = _select
