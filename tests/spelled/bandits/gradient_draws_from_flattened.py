# The gradient bandit draws from the softmax of half of its preferences.
# True: none


def _select(self, t, rng):
    return int(rng.choice(self.h.size, p=softmax(self.h / 2)))


GradientBandit.select = _select
