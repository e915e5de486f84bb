# Training never says that a step was the last one.
# Source: https://github.com/lazyprogrammer/machine_learning_examples/issues/13
# True: bootstraps-at-terminal

_right_learn = _Agent.learn_


def _learn_(self, s, a, r, s2, a2, terminated, epsilon):
    self.tables[:, s2] += 0.0
    _right_learn(self, s, a, r, s2, a2, False, epsilon)


_Agent.learn_ = _learn_
