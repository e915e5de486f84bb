# Reading the normaliser in evaluation changes its statistics.
# Source: https://github.com/DLR-RM/rl-baselines3-zoo/issues/275
# True: normaliser-learns-when-read


def _normalize(self, obs, _normalize=ObservationNormalizer.normalize):
    self.update_(obs)
    return _normalize(self, obs)


ObservationNormalizer.normalize = _normalize
