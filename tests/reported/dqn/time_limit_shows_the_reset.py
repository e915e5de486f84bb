# After a time limit the next observation is that of the reset.
# Source: https://github.com/vwxyzjn/cleanrl/issues/460
# True: stores-the-reset-observation


class _Stores:
    """A replay memory that stores what this mistake stores."""

    def __init__(self, env):
        self.env = env
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, **options):
        if getattr(self, "begun", None) is not None:
            obs, self.begun = self.begun, None
            return obs, {}
        return self.env.reset(**options)

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        if truncated:
            self.begun, _ = self.env.reset()
            obs = self.begun
        return obs, reward, terminated, truncated, info


def train_dqn(env, config, seed, _train=train_dqn):
    return _train(_Stores(env), config, seed)
