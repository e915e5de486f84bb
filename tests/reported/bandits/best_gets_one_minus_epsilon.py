# The best arm gets exactly 1 - epsilon, and the others share epsilon.
# Source: https://github.com/dennybritz/reinforcement-learning/issues/142
# True: exploring-excludes-greedy


def epsilon_greedy_probs(q, epsilon):
    q = as_vector(q, "q")
    require(0 <= epsilon <= 1, "epsilon must be a probability.")
    greedy = q == q.max()
    chances = np.zeros(len(q))
    chances[greedy] = (1 - epsilon) / greedy.sum()
    if not greedy.all():
        chances[~greedy] = epsilon / (~greedy).sum()
    return chances
