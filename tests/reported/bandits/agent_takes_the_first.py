# The agent takes the first maximum although the helper breaks ties.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/pull/97
# True: first-of-the-ties


def _select(self, t, rng):
    if rng.random() < self.epsilon:
        return int(rng.integers(len(self.q)))
    return int(np.argmax(self.q))


EpsilonGreedy.select = _select
