# Untried arms are tried in the order of their numbers.
# True: first-of-the-ties


def _select(self, t, rng):
    for arm in range(self.q.size):
        if self.counts[arm] == 0:
            return arm
    return argmax_random(ucb_scores(self.q, self.counts, t, self.c), rng)


UCB.select = _select
