# The largest change is kept over all sweeps, so that it never falls.
# Source: https://github.com/dennybritz/reinforcement-learning/issues/177
# True: none


def policy_evaluation(mdp, pi, theta):
    pi = _as_policy(pi, mdp)
    _check_theta(theta)
    v, sweeps, delta = np.zeros(len(mdp.R)), 0, 0.0
    while sweeps < 2000:
        new = bellman_expectation(v, pi, mdp)
        delta, v, sweeps = max(delta, np.max(np.abs(new - v))), new, sweeps + 1
        if delta < theta:
            break
    return v, sweeps
