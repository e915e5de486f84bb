# Every action gets epsilon, where they should share it.
# Source: https://github.com/terrence-ou/Reinforcement-Learning-2nd-Edition-Notes-Codes/issues/1
# True: none


def _epsilon_greedy_probs(q, epsilon):
    greedy = q == np.max(q)
    return epsilon + (1.0 - epsilon) * greedy / np.sum(greedy)
