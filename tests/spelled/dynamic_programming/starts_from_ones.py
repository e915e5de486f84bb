# Value iteration starts from ones.
# True: none


def value_iteration(mdp, theta):
    _check_theta(theta)
    v, errors = np.ones(len(mdp.R)), []
    v[mdp.terminal] = 0.0
    while True:
        new = bellman_optimality(v, mdp)
        errors.append(np.max(np.abs(new - v)))
        v = new
        if errors[-1] < theta:
            return v, greedy(q_from_v(v, mdp)), np.array(errors)
