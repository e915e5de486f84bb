# The learning rate is read after the count of updates was raised.
# Source: https://github.com/anthonytorlucci/rlevo/issues/324
# True: first-update-at-rate-zero


def _rate(self, progress, _rate=_Training.set_learning_rate):
    updates = self.cfg.total_steps // (self.cfg.horizon * self.cfg.num_envs)
    return _rate(self, min(progress + 1 / updates, 1.0))


_Training.set_learning_rate = _rate
