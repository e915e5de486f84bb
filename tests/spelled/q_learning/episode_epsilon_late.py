# The epsilon of the next episode is used from the second step on.
# True: none

_of_episode = train


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    last = [None]

    def fn(episode):
        now = epsilon_fn(episode)
        used = now if last[0] is None else last[0]
        last[0] = now
        return used

    return _of_episode(env, algo, episodes, alpha, fn, gamma, rng, seed)
