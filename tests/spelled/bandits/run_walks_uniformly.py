# The loop of run_bandit walks with uniform steps of its own.
# True: none


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    means = as_vector(means, "means").copy()
    require(steps >= 1, "A run has at least one step.")
    require(walk_sd >= 0, "A standard deviation is not negative.")
    actions, rewards = [], []
    for t in range(1, steps + 1):
        actions.append(int(agent.select(t, rng)))
        rewards.append(float(rng.normal(means[actions[-1]], 1.0)))
        agent.update(actions[-1], rewards[-1])
        means += rng.uniform(-1.0, 1.0, size=means.size) * walk_sd * 3**0.5
    return Trace(np.array(actions, dtype=int), np.array(rewards))
