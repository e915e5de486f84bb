# The actions that were not taken are trained towards zero.
# Source: https://github.com/kuz/DeepMind-Atari-Deep-Q-Learner/issues/22
# True: none


def td_loss(q, action, target, kind="huber", _td_loss=td_loss):
    taken = _td_loss(q, action, target, kind)
    others = q * (1 - nn.functional.one_hot(action, q.shape[1]))
    return taken + (others**2).sum(dim=1).mean()
