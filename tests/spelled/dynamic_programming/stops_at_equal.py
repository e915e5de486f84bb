# Sweeps stop when the change is at most theta.
# True: stops-at-equal


def policy_evaluation(mdp, pi, theta):
    pi = _as_policy(pi, mdp)
    _check_theta(theta)
    v, sweeps = np.zeros(len(mdp.R)), 0
    while True:
        new = bellman_expectation(v, pi, mdp)
        sweeps += 1
        if np.max(np.abs(new - v)) <= theta:
            return new, sweeps
        v = new


def value_iteration(mdp, theta):
    _check_theta(theta)
    v, errors = np.zeros(len(mdp.R)), []
    while True:
        new = bellman_optimality(v, mdp)
        errors.append(np.max(np.abs(new - v)))
        v = new
        if errors[-1] <= theta:
            return v, greedy(q_from_v(v, mdp)), np.array(errors)
