# UCB takes the first of the largest bounds.
# True: first-of-the-ties


def _select(self, t, rng):
    return int(np.argmax(ucb_scores(self.q, self.counts, t, self.c)))


UCB.select = _select
