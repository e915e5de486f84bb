# Value iteration sweeps in place, policy evaluation does not.
# True: sweeps-in-place


def value_iteration(mdp, theta):
    _check_theta(theta)
    v, errors = np.zeros(len(mdp.R)), []
    while True:
        delta = 0.0
        for s in range(len(v)):
            new = max(mdp.R[s, a] + mdp.gamma * mdp.P[s, a] @ v for a in range(mdp.R.shape[1]))
            delta = max(delta, abs(new - v[s]))
            v[s] = new
        errors.append(delta)
        if delta < theta:
            return v, greedy(q_from_v(v, mdp)), np.array(errors)
