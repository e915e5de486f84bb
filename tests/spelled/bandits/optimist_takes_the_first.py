# The greedy branch of the agent takes the first of ties.
# True: first-of-the-ties


def _select(self, t, rng):
    if self.epsilon > 0 and rng.random() < self.epsilon:
        return int(rng.integers(self.q.size))
    return max(range(self.q.size), key=lambda arm: self.q[arm])


EpsilonGreedy.select = _select
