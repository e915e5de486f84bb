# Exploring leaves out the arm that is best so far.
# Source: https://github.com/guevara/read-it-later/issues/10806
# True: exploring-excludes-greedy


def epsilon_greedy(q, epsilon, rng):
    q = as_vector(q, "q")
    require(0 <= epsilon <= 1, "epsilon must be a probability.")
    best = argmax_random(q, rng)
    if rng.random() >= epsilon:
        return best
    others = [arm for arm in range(len(q)) if arm != best]
    return others[int(rng.integers(len(others)))]


def epsilon_greedy_probs(q, epsilon):
    q = as_vector(q, "q")
    require(0 <= epsilon <= 1, "epsilon must be a probability.")
    greedy = q == q.max()
    chances = np.where(greedy, (1 - epsilon) / greedy.sum(), 0.0)
    if not greedy.all():
        chances[~greedy] = epsilon / (~greedy).sum()
    return chances
