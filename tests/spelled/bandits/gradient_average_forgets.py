# The baseline of the gradient bandit averages the last twenty rewards.
# True: none

_right_update = GradientBandit.update


def _update(self, action, reward):
    before = self.baseline
    _right_update(self, action, reward)
    if self.use_baseline:
        self.baseline = before + (reward - before) / min(self.steps, 20)


GradientBandit.update = _update
