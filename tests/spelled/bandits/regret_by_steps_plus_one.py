# The regret begins with a zero and leaves out the last pull.
# True: none

_right_regret = pseudo_regret


def pseudo_regret(means, actions):
    regret = _right_regret(means, actions)
    return np.concatenate([[0.0], regret[:-1]])
