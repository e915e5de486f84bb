# The best action gets 1 - epsilon, the others share epsilon among themselves.
# Source: https://github.com/dennybritz/reinforcement-learning/issues/142
# True: exploring-skips-the-best


def soft_policy(Q, epsilon):
    _check_rates(epsilon=epsilon)
    if np.ndim(Q) != 2:
        raise ValueError("Q has one row for each state.")
    best = Q.max(axis=1, keepdims=True) == Q
    greedy = best / best.sum(axis=1, keepdims=True)
    return (1 - epsilon) * greedy + epsilon / (Q.shape[1] - 1) * (1 - greedy)
