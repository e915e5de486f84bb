# Advantages are normalised for the rollout and for each minibatch.
# Source: https://github.com/hill-a/stable-baselines/issues/697
# True: none


def _normalized(adv):
    once = (adv - adv.mean()) / (adv.std(correction=0) + 1e-8)
    return once / (once.abs().mean() + 1e-8)
