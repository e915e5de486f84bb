# Epsilon is the probability of the greedy action.
# Source: https://github.com/MorvanZhou/Reinforcement-learning-with-tensorflow/pull/151
# True: exploits-when-it-should-explore


def _epsilon_greedy(q, epsilon, rng):
    uniform = rng.uniform()
    if uniform <= epsilon:
        return _argmax_random(q, rng)
    return int(rng.integers(len(q)))
