# The increments of the loop are the same for all arms.
# True: one-increment-for-all-arms


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    means = as_vector(means, "means").copy()
    require(steps >= 1, "A run has at least one step.")
    require(walk_sd >= 0, "A standard deviation is not negative.")
    actions, rewards = [], []
    for t in range(1, steps + 1):
        actions.append(int(agent.select(t, rng)))
        rewards.append(float(rng.normal(means[actions[-1]], 1.0)))
        agent.update(actions[-1], rewards[-1])
        means += rng.normal(0.0, walk_sd)
    return Trace(np.array(actions, dtype=int), np.array(rewards))
