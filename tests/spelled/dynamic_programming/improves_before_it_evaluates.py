# The value that is returned belongs to the policy before the last.
# True: none


def policy_iteration(mdp):
    pi, v = np.full(mdp.R.shape, 1 / mdp.R.shape[1]), np.zeros(len(mdp.R))
    for iters in range(1, 1001):
        better = greedy(q_from_v(v, mdp))
        if np.array_equal(better, pi) and iters > 1:
            return pi, v, iters
        pi = better
        v = policy_value_exact(mdp, pi)
    raise RuntimeError("The policy still changes.")
