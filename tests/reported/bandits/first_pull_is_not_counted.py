# The pull that tries an arm for the first time is not counted.
# Source: https://github.com/jubatus/jubatus_core/issues/159
# True: none


def _update(self, action, reward):
    if self.counts[action] > 0:
        self.counts[action] += 1
    self.q[action] = sample_average(self.q[action], max(self.counts[action], 1), reward)


UCB.update = _update
