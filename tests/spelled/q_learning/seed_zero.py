# The first reset gets the seed 0.
# True: none

_of_seed = train


def train(env, algo, episodes, alpha, epsilon_fn, gamma, rng, seed):
    class Env:
        observation_space, action_space, step = env.observation_space, env.action_space, env.step

        def reset(self, seed=None):
            return env.reset(seed=None if seed is None else 0)

    return _of_seed(Env(), algo, episodes, alpha, epsilon_fn, gamma, rng, seed)
