# First-visit control without the question whether the pair occurred before.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/issues/122
# True: control-counts-every-visit


def mc_control(env, n_actions, shape, episodes, epsilon, gamma, rng, seed):
    _check_rates(gamma=gamma, epsilon=epsilon)
    _check_steps(episodes)
    Q = np.zeros((int(np.prod(shape)), n_actions))
    counts, sums = np.zeros(Q.shape, int), []
    for number in range(episodes):
        episode = play(env, soft_policy(Q, epsilon), shape, rng, None if number else seed)
        sums.append(episode.rewards.sum())
        if episode.terminated:
            G = 0.0
            for t in reversed(range(len(episode.rewards))):
                G = gamma * G + episode.rewards[t]
                pair = episode.states[t], episode.actions[t]
                counts[pair] += 1
                Q[pair] += (G - Q[pair]) / counts[pair]
    return Control(Q, counts, np.array(sums))
