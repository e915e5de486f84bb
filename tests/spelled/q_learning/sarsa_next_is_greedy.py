# SARSA explores in its first action of an episode only: the next ones are greedy.
# True: sarsa-acts-greedily


def _play(env, agent, s, epsilon):
    rewards, ended, a2 = [], False, None
    a = agent.act(s, epsilon)
    while not ended:
        s2, r, terminated, truncated, _ = env.step(a)
        ended = terminated or truncated
        if agent.algo == "sarsa":
            a2 = agent.act(s2, 0.0)
        agent.learn_(s, a, r, s2, a2, terminated, epsilon)
        rewards.append(float(r))
        s, a = s2, a2 if a2 is not None else (None if ended else agent.act(s2, epsilon))
    return rewards
