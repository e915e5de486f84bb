# The loss rises with the entropy.
# Source: https://github.com/tensorflow/models/pull/5058
# True: entropy-punished


def _update(self, episodes, _update=_Learner.update):
    config = self.config
    flipped = Config(**(vars(config) | {"entropy_coefficient": -config.entropy_coefficient}))
    self.config = flipped
    try:
        _update(self, episodes)
    finally:
        self.config = config


_Learner.update = _update
