# The number of sweeps that is returned is one too small.
# Source: https://github.com/jlm429/bettermdptools/issues/6
# True: forgets-the-last-sweep


def policy_evaluation(mdp, pi, theta):
    pi = _as_policy(pi, mdp)
    _check_theta(theta)
    v, n_iters = np.zeros(len(mdp.R)), 0
    while True:
        new = bellman_expectation(v, pi, mdp)
        if np.max(np.abs(new - v)) < theta:
            return new, n_iters
        v, n_iters = new, n_iters + 1


def value_iteration(mdp, theta):
    _check_theta(theta)
    v, errors = np.zeros(len(mdp.R)), []
    while True:
        new = bellman_optimality(v, mdp)
        change = np.max(np.abs(new - v))
        v = new
        if change < theta:
            return v, greedy(q_from_v(v, mdp)), np.array(errors)
        errors.append(change)
