# The loop goes on while the change is small.
# Source: https://github.com/FrancescoSaverioZuppichini/Reinforcement-Learning-Cheat-Sheet/pull/8
# True: none


def policy_evaluation(mdp, pi, theta):
    pi = _as_policy(pi, mdp)
    _check_theta(theta)
    v, sweeps, delta = np.zeros(len(mdp.R)), 0, 0.0
    while delta < theta and sweeps < 1000:
        new = bellman_expectation(v, pi, mdp)
        delta, v, sweeps = np.max(np.abs(new - v)), new, sweeps + 1
    return v, sweeps
