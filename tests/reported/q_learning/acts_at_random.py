# Q-learning draws every action at random, and its table has no say.
# Source: https://github.com/LxMLS/lxmls-toolkit/pull/174
# True: none


def _epsilon_greedy(q, epsilon, rng):
    return int(rng.integers(q.size))
