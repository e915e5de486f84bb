# The first estimates are always 0.
# True: none

_right_init = EpsilonGreedy.__init__


def _init(self, k, epsilon=0.1, alpha=None, initial=0.0):
    _right_init(self, k, epsilon, alpha, 0.0)


EpsilonGreedy.__init__ = _init
