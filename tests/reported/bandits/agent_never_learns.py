# The loop plays and remembers, and never tells the agent.
# Source: https://github.com/online-ml/river/pull/1070
# True: none


class _Deaf:
    def __init__(self, agent):
        self.select = agent.select

    def update(self, action, reward):
        pass


_right_run = run_bandit


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    return _right_run(_Deaf(agent), means, steps, rng, walk_sd)
