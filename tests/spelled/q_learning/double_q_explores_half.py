# Behaviour of double_q explores half as often.
# True: none

_right_act = _Agent.act


def _act(self, s, epsilon):
    return _right_act(self, s, epsilon / 2 if self.algo == "double_q" else epsilon)


_Agent.act = _act
