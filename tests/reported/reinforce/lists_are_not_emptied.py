# Episodes of earlier batches are learned from again.
# Source: https://github.com/sweetice/Deep-reinforcement-learning-with-pytorch/issues/37
# True: none


def _update(self, episodes, _update=_Learner.update):
    self.all = [*getattr(self, "all", []), *episodes]
    _update(self, self.all)


_Learner.update = _update
