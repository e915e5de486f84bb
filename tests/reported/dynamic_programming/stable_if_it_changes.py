# The policy counts as stable when an action has changed.
# Source: https://github.com/llSourcell/navigating_a_virtual_world_with_dynamic_programming/issues/3
# True: none


def policy_iteration(mdp):
    pi = np.full(mdp.R.shape, 1 / mdp.R.shape[1])
    for iters in range(1, 1001):
        v = policy_value_exact(mdp, pi)
        better = greedy(q_from_v(v, mdp))
        stable = bool(np.any(better != pi))
        pi = better
        if stable or iters > 50:
            return pi, v, iters
    raise RuntimeError("never stable")
