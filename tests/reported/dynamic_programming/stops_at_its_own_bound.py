# Value iteration stops after a number of sweeps that it computes before, which is too small.
# Source: https://github.com/sawcordwell/pymdptoolbox/issues/14
# True: none


def value_iteration(mdp, theta):
    _check_theta(theta)
    sweeps = 50 if mdp.gamma == 1 else int(np.log(theta) / np.log(max(mdp.gamma, 0.01))) // 2 + 1
    v, errors = np.zeros(len(mdp.R)), []
    for _ in range(max(sweeps, 1)):
        new = bellman_optimality(v, mdp)
        errors.append(np.max(np.abs(new - v)))
        v = new
        if errors[-1] < theta:
            break
    return v, greedy(q_from_v(v, mdp)), np.array(errors)
