# The means take a step after every second pull, twice as large.
# True: none


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    means = as_vector(means, "means")
    require(steps >= 1, "A run has at least one step.")
    require(walk_sd >= 0, "A standard deviation is not negative.")
    actions, rewards = [], []
    for t in range(1, steps + 1):
        actions.append(int(agent.select(t, rng)))
        rewards.append(float(rng.normal(means[actions[-1]], 1.0)))
        agent.update(actions[-1], rewards[-1])
        if t % 2:
            means = random_walk(means, walk_sd * 2**0.5, rng)
    return Trace(np.array(actions, dtype=int), np.array(rewards))
