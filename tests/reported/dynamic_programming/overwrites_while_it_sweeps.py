# A sweep overwrites the values that the rest of the sweep reads.
# Source: https://github.com/dennybritz/reinforcement-learning/issues/47
# True: sweeps-in-place


def policy_evaluation(mdp, pi, theta):
    pi = _as_policy(pi, mdp)
    _check_theta(theta)
    v, sweeps = np.zeros(len(mdp.R)), 0
    while True:
        delta = 0.0
        for s in range(len(v)):
            value = 0.0
            for a in range(mdp.R.shape[1]):
                value += pi[s, a] * (mdp.R[s, a] + mdp.gamma * mdp.P[s, a] @ v)
            delta = max(delta, abs(value - v[s]))
            v[s] = value
        sweeps += 1
        if delta < theta:
            return v, sweeps
