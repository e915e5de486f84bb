# SARSA draws its first action of an episode greedily.
# True: none


def _play(env, agent, s, epsilon):
    a, ended, rewards, first = None, False, [], True
    while not ended:
        a = agent.act(s, 0.0 if first else epsilon) if a is None else a
        first = False
        s2, r, terminated, truncated, _ = env.step(a)
        a2 = agent.act(s2, epsilon) if agent.algo == "sarsa" else None
        agent.learn_(s, a, r, s2, a2, terminated, epsilon)
        rewards.append(float(r))
        s, a = s2, a2
        ended = terminated or truncated
    return rewards
