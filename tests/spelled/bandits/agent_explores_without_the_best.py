# The agent explores among the other arms.
# True: exploring-excludes-greedy


def _select(self, t, rng):
    best = argmax_random(self.q, rng)
    if rng.random() < self.epsilon:
        return int(rng.choice([a for a in range(self.q.size) if a != best]))
    return best


EpsilonGreedy.select = _select
