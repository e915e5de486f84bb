# Behaviour of expected_sarsa is greedy.
# True: none

_right_act = _Agent.act


def _act(self, s, epsilon):
    return _right_act(self, s, 0.0 if self.algo == "expected_sarsa" else epsilon)


_Agent.act = _act
