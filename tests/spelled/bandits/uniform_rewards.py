# The noise of the rewards is uniform, with variance 1.
# True: none


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    means = as_vector(means, "means").copy()
    require(steps >= 1, "A run has at least one step.")
    require(walk_sd >= 0, "A standard deviation is not negative.")
    actions, rewards = [], []
    for t in range(1, steps + 1):
        actions.append(int(agent.select(t, rng)))
        rewards.append(float(means[actions[-1]] + rng.uniform(-(3**0.5), 3**0.5)))
        agent.update(actions[-1], rewards[-1])
        means = random_walk(means, walk_sd, rng)
    return Trace(np.array(actions, dtype=int), np.array(rewards))
