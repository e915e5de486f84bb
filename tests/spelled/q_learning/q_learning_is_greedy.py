# Behaviour of q_learning is greedy.
# True: none

_right_act = _Agent.act


def _act(self, s, epsilon):
    return _right_act(self, s, 0.0 if self.algo == "q_learning" else epsilon)


_Agent.act = _act
