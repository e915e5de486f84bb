# The gradient bandit steps by 0.1, whatever its alpha is.
# True: none

_right_update = GradientBandit.update


def _update(self, action, reward):
    self.alpha = 0.1
    _right_update(self, action, reward)


GradientBandit.update = _update
