# Policy evaluation gives up after a hundred sweeps.
# Source: https://github.com/clumsyhandyman/mad-from-scratch/issues/1
# True: none


def policy_evaluation(mdp, pi, theta):
    pi = _as_policy(pi, mdp)
    _check_theta(theta)
    v = np.zeros(len(mdp.R))
    sweeps = 0
    while sweeps < 100:
        sweeps += 1
        new = bellman_expectation(v, pi, mdp)
        delta = np.max(np.abs(new - v))
        v = new
        if delta < theta:
            break
    return v, sweeps
