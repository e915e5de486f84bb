# The step size shrinks with the visits of a pair after a hundred.
# True: none

_right_learn = _Agent.learn_


def _learn_(self, s, a, r, s2, a2, terminated, epsilon):
    if not hasattr(self, "visits"):
        self.visits, self.first = np.zeros(self.tables.shape[1:]), self.alpha
    self.visits[s, a] += 1
    self.alpha = self.first * min(1.0, 40 / self.visits[s, a])
    _right_learn(self, s, a, r, s2, a2, terminated, epsilon)


_Agent.learn_ = _learn_
