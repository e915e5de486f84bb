# First-visit control looks for the state among the earlier ones, not for the pair.
# Source: https://github.com/BY571/Medium_Code_Examples/issues/1
# True: control-needs-a-new-state


def mc_control(env, n_actions, shape, episodes, epsilon, gamma, rng, seed):
    _check_rates(gamma=gamma, epsilon=epsilon)
    _check_steps(episodes)
    Q, found = np.zeros((int(np.prod(shape)), n_actions)), {}
    visits, sums = np.zeros(Q.shape, int), np.zeros(episodes)
    for number in range(episodes):
        episode = play(env, soft_policy(Q, epsilon), shape, rng, None if number else seed)
        sums[number] = episode.rewards.sum()
        if not episode.terminated:
            continue
        G, states = 0.0, episode.states.tolist()
        for t in reversed(range(len(episode.rewards))):
            G = gamma * G + episode.rewards[t]
            if states[t] not in states[:t]:
                pair = states[t], int(episode.actions[t])
                found.setdefault(pair, []).append(G)
                Q[pair], visits[pair] = np.mean(found[pair]), len(found[pair])
    return Control(Q, visits, sums)
