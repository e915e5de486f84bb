# Training of double_q leaves the episode before the last update.
# True: none

_right_learn = _Agent.learn_


def _learn_(self, s, a, r, s2, a2, terminated, epsilon):
    if not (terminated and self.algo == "double_q"):
        _right_learn(self, s, a, r, s2, a2, terminated, epsilon)


_Agent.learn_ = _learn_
