# Double Q-learning acts greedily in Q1 alone.
# True: double-q-acts-in-one-table


def _act(self, s, epsilon):
    return _epsilon_greedy(self.tables[0, s], epsilon, self.rng)


_Agent.act = _act
