# The model keeps 0.99 as its discount.
# True: none

_right_gym = mdp_from_gym


def mdp_from_gym(env, gamma):
    return _right_gym(env, gamma)._replace(gamma=0.99)
