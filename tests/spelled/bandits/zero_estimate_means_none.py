# An estimate of exactly zero is taken for no estimate yet.
# True: none


def _update(self, action, reward):
    self.counts[action] += 1
    if self.alpha is not None:
        self.q[action] = constant_step(self.q[action], reward, self.alpha)
    elif self.q[action] == 0:
        self.q[action] = reward
    else:
        self.q[action] = sample_average(self.q[action], self.counts[action], reward)


EpsilonGreedy.update = _update
