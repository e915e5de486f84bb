# The policy is greedy with respect to the values before the last sweep.
# True: none


def value_iteration(mdp, theta):
    _check_theta(theta)
    v, errors = np.zeros(len(mdp.R)), []
    while True:
        new = bellman_optimality(v, mdp)
        errors.append(np.max(np.abs(new - v)))
        if errors[-1] < theta:
            return new, greedy(q_from_v(v, mdp)), np.array(errors)
        v = new
