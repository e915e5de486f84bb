# Sweeps go on until the change is below theta (1 - gamma) / gamma.
# Source: https://github.com/aimacode/aima-python/issues/917
# True: none


def value_iteration(mdp, theta):
    _check_theta(theta)
    least = theta * (1 - mdp.gamma) / max(mdp.gamma, 1e-9)
    v, errors = np.zeros(len(mdp.R)), []
    for _ in range(5000):
        new = bellman_optimality(v, mdp)
        errors.append(np.max(np.abs(new - v)))
        v = new
        if errors[-1] < least:
            break
    return v, greedy(q_from_v(v, mdp)), np.array(errors)
