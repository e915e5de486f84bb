# Behaviour of sarsa is greedy.
# True: sarsa-acts-greedily

_right_act = _Agent.act


def _act(self, s, epsilon):
    return _right_act(self, s, 0.0 if self.algo == "sarsa" else epsilon)


_Agent.act = _act
