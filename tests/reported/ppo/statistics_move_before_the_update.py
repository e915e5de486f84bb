# The statistics take in a rollout before the update that learns from it.
# Source: https://github.com/leggedrobotics/rsl_rl/pull/225
# True: normaliser-fed-before-the-update


def _update(self, rollout, _update=_Training.update):
    normalizer = self.model.normalizer
    if normalizer is None:
        return _update(self, rollout)
    normalizer.update_(rollout.obs.flatten(0, 1))
    feed, normalizer.update_ = normalizer.update_, lambda obs: None
    try:
        return _update(self, rollout)
    finally:
        normalizer.update_ = feed


_Training.update = _update
