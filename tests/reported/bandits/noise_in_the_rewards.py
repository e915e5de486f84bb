# The walk is added to the reward of a step, and the means stay.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/issues/152
# True: noise-around-fixed-means


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    means = as_vector(means, "means")
    require(steps >= 1, "A run has at least one step.")
    require(walk_sd >= 0, "A standard deviation is not negative.")
    actions, rewards = [], []
    for t in range(1, steps + 1):
        actions.append(int(agent.select(t, rng)))
        drift = rng.normal(0.0, walk_sd) if t > 1 else 0.0
        rewards.append(float(rng.normal(means[actions[-1]], 1.0) + drift))
        agent.update(actions[-1], rewards[-1])
    return Trace(np.array(actions, dtype=int), np.array(rewards))
