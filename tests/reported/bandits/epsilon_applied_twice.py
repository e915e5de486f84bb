# With probability epsilon any arm, else a draw from the epsilon-greedy probabilities.
# Source: https://github.com/TonghanWang/DOP/issues/21
# True: none


def epsilon_greedy(q, epsilon, rng):
    chances = epsilon_greedy_probs(q, epsilon)
    if rng.random() < epsilon:
        return int(rng.integers(len(chances)))
    return int(rng.choice(len(chances), p=chances))
