# The loss takes the log-probabilities of all actions, not of the one that was taken.
# Source: https://github.com/muupan/async-rl/issues/12
# True: none


def _log_prob(self, action):
    return self.log_probs.sum(-1)


CategoricalPolicy.log_prob = _log_prob
