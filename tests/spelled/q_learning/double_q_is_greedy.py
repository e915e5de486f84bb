# Behaviour of double_q is greedy.
# True: none

_right_act = _Agent.act


def _act(self, s, epsilon):
    return _right_act(self, s, 0.0 if self.algo == "double_q" else epsilon)


_Agent.act = _act
