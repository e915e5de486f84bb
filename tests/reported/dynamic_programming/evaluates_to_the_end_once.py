# Only the first policy is evaluated to the end, and each later one by a sweep.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/pull/29
# True: evaluates-one-sweep


def policy_iteration(mdp):
    pi = np.full(mdp.R.shape, 1 / mdp.R.shape[1])
    v = policy_value_exact(mdp, pi)
    for iters in range(1, 1001):
        better = greedy(q_from_v(v, mdp))
        if np.array_equal(better, pi):
            return pi, v, iters
        pi = better
        v = bellman_expectation(v, pi, mdp)
    raise RuntimeError("The policy still changes.")
