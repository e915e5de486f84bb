# After twenty pulls UCB keeps a step of a twentieth.
# True: none


def _update(self, action, reward):
    self.counts[action] += 1
    self.q[action] += (reward - self.q[action]) / min(self.counts[action], 20)


UCB.update = _update
