# Behaviour of sarsa explores half as often.
# True: none

_right_act = _Agent.act


def _act(self, s, epsilon):
    return _right_act(self, s, epsilon / 2 if self.algo == "sarsa" else epsilon)


_Agent.act = _act
