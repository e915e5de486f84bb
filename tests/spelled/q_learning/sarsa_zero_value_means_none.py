# In SARSA a value of exactly zero is taken for none yet.
# True: none

_right_learn = _Agent.learn_


def _learn_(self, s, a, r, s2, a2, terminated, epsilon):
    before, alpha = self.tables[0, s, a], self.alpha
    if self.algo == "sarsa" and before == 0:
        self.alpha = 1.0
    _right_learn(self, s, a, r, s2, a2, terminated, epsilon)
    self.alpha = alpha


_Agent.learn_ = _learn_
