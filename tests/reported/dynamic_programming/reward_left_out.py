# The reward is left out of the value of an action.
# Source: https://github.com/zlpure/CS234/issues/2
# True: none


def q_from_v(v, mdp):
    v = _as_values(v, mdp)
    return mdp.gamma * (mdp.P @ v)
