# Each episode begins with the first exploration rate again.
# Source: https://github.com/google-deepmind/rlax/issues/102
# True: none


class _Restarting:
    def __init__(self, env):
        self.env, self.clock = env, 0
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, **options):
        self.clock = 0
        return self.env.reset(**options)

    def step(self, action):
        self.clock += 1
        return self.env.step(action)


def _act(self, obs, epsilon, _act=_Learner.act):
    config = self.config
    epsilon = linear_epsilon(
        self.env.clock, config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps
    )
    return _act(self, obs, epsilon)


def _init(self, env, config, seed, _init=_Learner.__init__):
    _init(self, env, config, seed)
    self.env = env


_Learner.act, _Learner.__init__ = _act, _init


def train_dqn(env, config, seed, _train=train_dqn):
    return _train(_Restarting(env), config, seed)
