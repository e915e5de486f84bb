# After ten pulls the average keeps a step of a tenth.
# True: none


def _update(self, action, reward):
    self.counts[action] += 1
    if self.alpha is None:
        n = min(int(self.counts[action]), 10)
        self.q[action] = sample_average(self.q[action], n, reward)
    else:
        self.q[action] = constant_step(self.q[action], reward, self.alpha)


EpsilonGreedy.update = _update
