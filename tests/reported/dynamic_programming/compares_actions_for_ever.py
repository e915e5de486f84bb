# Policies are compared action by action, after a rough evaluation.
# Source: https://github.com/dennybritz/reinforcement-learning/issues/203
# True: flips-on-ties


def policy_iteration(mdp):
    states, actions = mdp.R.shape
    pi = np.full((states, actions), 1 / actions)
    for iters in range(1, 1001):
        v, _ = policy_evaluation(mdp, pi, 1e-4)
        stable = True
        better = np.zeros_like(pi)
        for s in range(states):
            best = int(np.argmax(q_from_v(v, mdp)[s]))
            stable = stable and pi[s, best] == 1.0
            better[s, best] = 1.0
        if stable:
            return pi, v, iters
        pi = better
    raise RuntimeError("The policy still changes.")
