# The state that an episode ends in is not kept; the one before it stands there.
# Source: https://github.com/takuseno/d3rlpy/issues/98
# True: none


def _init(self, env, config, seed, _init=_Learner.__init__):
    _init(self, env, config, seed)
    env.buffer = self.buffer


class _Stores:
    def __init__(self, env):
        self.env = env
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, **options):
        self.obs, info = self.env.reset(**options)
        return self.obs, info

    def step(self, action):
        before = self.obs
        self.obs, reward, terminated, truncated, info = self.env.step(action)
        shown = before if terminated or truncated else self.obs
        return shown, reward, terminated, truncated, info


_Learner.__init__ = _init


def train_dqn(env, config, seed, _train=train_dqn):
    return _train(_Stores(env), config, seed)
