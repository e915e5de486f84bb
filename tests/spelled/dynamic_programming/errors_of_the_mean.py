# errors holds the mean change of a sweep.
# True: none


def value_iteration(mdp, theta):
    _check_theta(theta)
    v, errors = np.zeros(len(mdp.R)), []
    while True:
        new = bellman_optimality(v, mdp)
        change = np.max(np.abs(new - v))
        errors.append(np.mean(np.abs(new - v)))
        v = new
        if change < theta:
            return v, greedy(q_from_v(v, mdp)), np.array(errors)
