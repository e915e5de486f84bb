# The first call is select(0, rng), as a loop over range(steps) has it.
# Source: https://github.com/resibots/limbo/issues/329
# True: time-starts-at-zero


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    means = as_vector(means, "means")
    require(steps >= 1, "A run has at least one step.")
    require(walk_sd >= 0, "A standard deviation is not negative.")
    actions, rewards = np.zeros(steps, dtype=int), np.zeros(steps)
    for step in range(steps):
        actions[step] = agent.select(step, rng)
        rewards[step] = means[actions[step]] + rng.standard_normal()
        agent.update(int(actions[step]), float(rewards[step]))
        if walk_sd > 0:
            means = random_walk(means, walk_sd, rng)
    return Trace(actions, rewards)
