# UCB counts the pull, and then divides by one more.
# Source: https://github.com/lilianweng/multi-armed-bandit/issues/1
# True: n-off-by-one


def _update(self, action, reward):
    self.counts[action] += 1
    self.q[action] += (reward - self.q[action]) / (self.counts[action] + 1)


UCB.update = _update
