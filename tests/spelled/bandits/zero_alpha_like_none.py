# The first reward of an arm replaces its estimate, also with a constant step.
# True: none


def _update(self, action, reward):
    self.counts[action] += 1
    if self.counts[action] == 1:
        self.q[action] = reward
    elif self.alpha is None:
        self.q[action] = sample_average(self.q[action], self.counts[action], reward)
    else:
        self.q[action] = constant_step(self.q[action], reward, self.alpha)


EpsilonGreedy.update = _update
