# Training of double_q discounts by 0.9.
# True: none

_right_init = _Agent.__init__


def _init(self, algo, shape, alpha, gamma, rng):
    _right_init(self, algo, shape, alpha, 0.9 if algo == "double_q" else gamma, rng)


_Agent.__init__ = _init
