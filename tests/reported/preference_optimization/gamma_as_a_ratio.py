# gamma is the ratio of the margin to beta.
# Source: https://github.com/natolambert/rlhf-book/issues/358
# True: gamma-beta-ratio


def simpo_loss(chosen, rejected, beta=2.0, gamma=0.5):
    _check_logps(chosen, rejected)
    if not beta > 0 or gamma < 0:
        raise ValueError("No such setting.")
    return -torch.nn.functional.logsigmoid(beta * ((chosen - rejected) - gamma)).mean()
