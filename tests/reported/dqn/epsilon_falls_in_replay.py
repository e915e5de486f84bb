# Exploration falls each time that the agent learns.
# Source: https://github.com/shivaverma/Orbit/issues/10
# True: epsilon-counts-gradient-steps


_rounds = [0]


def _learn_(self, _learn=_Learner.learn_):
    _rounds[0] += 1
    _learn(self)


def _init(self, env, config, seed, _init=_Learner.__init__):
    _init(self, env, config, seed)
    _rounds[0] = 0


def _epsilon(config, step):
    return linear_epsilon(
        _rounds[0], config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps
    )


_Learner.learn_, _Learner.__init__ = _learn_, _init
