# Ties go to the first action, also in the policy that Expected SARSA averages over.
# Source: https://github.com/fidelity/mabwiser/issues/96
# True: ties-go-to-the-first-action


def _argmax_random(q, rng):
    return int(np.argmax(q))
