# The target of SARSA has the greedy action, and another one is taken.
# True: sarsa-takes-the-best-action


def _play(env, agent, s, epsilon):
    rewards, ended = [], False
    while not ended:
        a = agent.act(s, epsilon)
        s2, r, terminated, truncated, _ = env.step(a)
        ended = terminated or truncated
        a2 = int(np.argmax(agent.Q[s2]))
        agent.learn_(s, a, r, s2, a2, terminated, epsilon)
        rewards.append(float(r))
        s = s2
    return rewards
