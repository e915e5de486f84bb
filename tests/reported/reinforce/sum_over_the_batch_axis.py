# The log-densities are added over the batch, not over the components.
# Source: https://github.com/PacktPublishing/Tensorflow-2-Reinforcement-Learning-Cookbook/pull/46
# True: none


def _log_prob(self, action):
    z = (action - self.mean) / self.log_std.exp()
    return (-0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(0)


GaussianPolicy.log_prob = _log_prob
