# Behaviour of q_learning takes the first of ties.
# True: ties-go-to-the-first-action

_right_act = _Agent.act


def _act(self, s, epsilon):
    if self.algo != "q_learning" or self.rng.random() < epsilon:
        return _right_act(self, s, epsilon if self.algo != "q_learning" else 1.0)
    return int(np.argmax(self.tables[:, s].sum(axis=0)))


_Agent.act = _act
