# The exploration rate moves on with every step and not with every episode.
# Source: https://github.com/shivaverma/Orbit/issues/10
# True: none

_of_one_episode = train


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    steps = [0]

    def act(self, s, epsilon):
        rate = epsilon_fn(min(steps[0], episodes - 1)) if steps[0] else epsilon
        steps[0] += 1
        return _epsilon_greedy(self.tables[:, s].sum(axis=0), rate, self.rng)

    _Agent.act = act
    return _of_one_episode(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed)
