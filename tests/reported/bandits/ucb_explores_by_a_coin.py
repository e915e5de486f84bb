# UCB explores by a coin, as epsilon-greedy does.
# Source: https://github.com/MJeremy2017/reinforcement-learning-implementation/pull/5
# True: none


def _select(self, t, rng):
    if rng.random() < 0.3:
        return int(rng.integers(len(self.q)))
    return argmax_random(ucb_scores(self.q, self.counts, t, self.c), rng)


UCB.select = _select
