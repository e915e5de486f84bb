# The policy of Expected SARSA gives all the rest to the last action.
# True: none


def _epsilon_greedy_probs(q, epsilon):
    pi = np.full(q.size, epsilon / q.size)
    pi[-1] += 1 - epsilon
    return pi
