# A baseline of zero is replaced by the reward.
# True: none

_right_step = gradient_bandit_step


def gradient_bandit_step(h, baseline, action, reward, alpha):
    return _right_step(h, baseline or reward, action, reward, alpha)
