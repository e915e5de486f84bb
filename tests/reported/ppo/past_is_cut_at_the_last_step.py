# The return of the last step of an episode is its reward alone.
# Source: https://github.com/openai/gym/pull/3152
# True: none


def _update_(self, rewards, ended):
    self.returns = self.gamma * self.returns * (~ended.bool()) + rewards.double()
    self.stats.update_(self.returns)


RewardNormalizer.update_ = _update_
