# The change of a sweep is its Euclidean length.
# True: none


def policy_evaluation(mdp, pi, theta):
    pi = _as_policy(pi, mdp)
    _check_theta(theta)
    v, sweeps = np.zeros(len(mdp.R)), 0
    while True:
        new = bellman_expectation(v, pi, mdp)
        sweeps += 1
        if np.linalg.norm(new - v) < theta:
            return new, sweeps
        v = new
