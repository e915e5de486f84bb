# Training of sarsa steps by 0.3.
# True: none

_right_init = _Agent.__init__


def _init(self, algo, shape, alpha, gamma, rng):
    _right_init(self, algo, shape, 0.3 if algo == "sarsa" else alpha, gamma, rng)


_Agent.__init__ = _init
