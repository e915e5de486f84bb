# SARSA takes the action of its target unless the coin says to explore again.
# True: sarsa-draws-again


def _play(env, agent, s, epsilon):
    a, ended, rewards = agent.act(s, epsilon), False, []
    while not ended:
        s2, r, terminated, truncated, _ = env.step(a)
        ended = terminated or truncated
        a2 = agent.act(s2, epsilon) if agent.algo == "sarsa" else None
        agent.learn_(s, a, r, s2, a2, terminated, epsilon)
        rewards.append(float(r))
        if ended:
            break
        if a2 is None or agent.rng.random() < epsilon:
            a2 = agent.act(s2, epsilon)
        s, a = s2, a2
    return rewards
