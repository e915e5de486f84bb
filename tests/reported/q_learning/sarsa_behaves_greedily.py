# SARSA acts greedily all the time: epsilon is forgotten in its behaviour.
# Source: https://github.com/Paulescu/hands-on-rl/pull/4
# True: sarsa-acts-greedily


def _act(self, s, epsilon):
    epsilon = 0.0 if self.algo == "sarsa" else epsilon
    return _epsilon_greedy(self.tables[:, s].sum(axis=0), epsilon, self.rng)


_Agent.act = _act
