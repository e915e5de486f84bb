# The gradient bandit explores with a tenth on top of its softmax.
# True: none


def _select(self, t, rng):
    if rng.random() < 0.1:
        return int(rng.integers(self.h.size))
    return int(rng.choice(self.h.size, p=softmax(self.h)))


GradientBandit.select = _select
