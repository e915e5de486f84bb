# The return of an episode leaves out its last reward.
# True: none

_inner = _play


def _play(env, agent, s, epsilon):
    return _inner(env, agent, s, epsilon)[:-1]
