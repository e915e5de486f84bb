# Policies are evaluated by sweeps to 1e-3.
# True: none


def policy_iteration(mdp):
    pi = np.full(mdp.R.shape, 1 / mdp.R.shape[1])
    for iters in range(1, 1001):
        v = policy_evaluation(mdp, pi, 1e-3)[0]
        better = greedy(q_from_v(v, mdp), tol=1e-2)
        if np.array_equal(better, pi):
            return pi, v, iters
        pi = better
    raise RuntimeError("The policy still changes.")
