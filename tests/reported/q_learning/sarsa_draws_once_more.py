# The action of the target is not the one that is taken next.
# Source: https://github.com/NeuromatchAcademy/course-content/issues/459
# True: sarsa-draws-again


def _play(env, agent, s, epsilon):
    rewards = []
    while True:
        a = agent.act(s, epsilon)
        s2, r, terminated, truncated, _ = env.step(a)
        drawn = agent.act(s2, epsilon) if agent.algo == "sarsa" else None
        agent.learn_(s, a, r, s2, drawn, terminated, epsilon)
        rewards.append(float(r))
        s = s2
        if terminated or truncated:
            return rewards
