# The deviation divides by n - 1, which gives nan for a single row.
# Source: https://github.com/DLR-RM/stable-baselines3/issues/325
# True: deviation-with-n-minus-one


def _normalized(adv):
    return (adv - adv.mean()) / (adv.std() + 1e-8)
