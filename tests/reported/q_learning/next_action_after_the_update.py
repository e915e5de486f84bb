# SARSA computes its target with one action and takes one that it draws after the update.
# Source: https://github.com/datawhalechina/easy-rl/issues/38
# True: sarsa-draws-again


def _play(env, agent, s, epsilon):
    rewards, ended = [], False
    a = agent.act(s, epsilon)
    while not ended:
        s2, r, terminated, truncated, _ = env.step(a)
        ended = terminated or truncated
        a2 = agent.act(s2, epsilon) if agent.algo == "sarsa" else None
        agent.learn_(s, a, r, s2, a2, terminated, epsilon)
        s, a = s2, agent.act(s2, epsilon)
        rewards.append(float(r))
    return rewards
