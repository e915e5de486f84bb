# The loop reads walk_sd as a variance.
# True: variance-taken-for-sd

_right_run = run_bandit


def run_bandit(agent, means, steps, rng, walk_sd=0.0):
    return _right_run(agent, means, steps, rng, walk_sd**0.5 if walk_sd > 0 else walk_sd)
