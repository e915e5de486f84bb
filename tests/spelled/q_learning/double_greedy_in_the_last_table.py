# Double Q-learning acts greedily in Q2 alone.
# True: none


def _act(self, s, epsilon):
    return _epsilon_greedy(self.tables[-1, s], epsilon, self.rng)


_Agent.act = _act
