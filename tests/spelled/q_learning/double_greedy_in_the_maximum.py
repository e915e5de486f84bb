# Double Q-learning acts greedily in the larger of both tables.
# True: none


def _act(self, s, epsilon):
    return _epsilon_greedy(self.tables[:, s].max(axis=0), epsilon, self.rng)


_Agent.act = _act
