# A time limit cuts the target of double_q.
# True: time-limit-is-an-ending

_inner_play = _play


def _play(env, agent, s, epsilon):
    a, ended, rewards = None, False, []
    while not ended:
        a = agent.act(s, epsilon) if a is None else a
        s2, r, terminated, truncated, _ = env.step(a)
        ended = terminated or truncated
        a2 = agent.act(s2, epsilon) if agent.algo == "sarsa" else None
        cut = ended if agent.algo == "double_q" else terminated
        agent.learn_(s, a, r, s2, a2, cut, epsilon)
        rewards.append(float(r))
        s, a = s2, a2
    return rewards
