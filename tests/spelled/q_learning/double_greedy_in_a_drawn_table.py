# Double Q-learning acts greedily in a table that a coin chooses.
# True: none


def _act(self, s, epsilon):
    table = self.tables[int(self.rng.integers(len(self.tables)))]
    return _epsilon_greedy(table[s], epsilon, self.rng)


_Agent.act = _act
