# Both names are one network, so that the target changes with every step.
# Source: https://github.com/datawhalechina/easy-rl/pull/117
# True: no-target-network


def _init(self, env, config, seed, _init=_Learner.__init__):
    _init(self, env, config, seed)
    self.target = self.online


_Learner.__init__ = _init
