# The target network is not given the weights of the other one at the start.
# Source: https://github.com/oreilly-japan/deep-learning-from-scratch-4/pull/4
# True: target-starts-elsewhere


def _init(self, env, config, seed, _init=_Learner.__init__):
    _init(self, env, config, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in self.target.parameters():
            parameter.uniform_(-0.5, 0.5, generator=generator)


_Learner.__init__ = _init
