# Steps without a reward are not learned from.
# True: none

_right_learn = _Agent.learn_


def _learn_(self, s, a, r, s2, a2, terminated, epsilon):
    if r:
        _right_learn(self, s, a, r, s2, a2, terminated, epsilon)


_Agent.learn_ = _learn_
