# A time limit counts as a terminal state in the target.
# Source: https://github.com/openai/baselines/issues/436
# True: time-limit-is-an-ending


def _play(env, agent, s, epsilon):
    rewards, done = [], False
    a = agent.act(s, epsilon)
    while not done:
        s2, r, terminated, truncated, _ = env.step(a)
        done = terminated or truncated
        a2 = agent.act(s2, epsilon) if agent.algo == "sarsa" else None
        agent.learn_(s, a, r, s2, a2, done, epsilon)
        rewards.append(float(r))
        s = s2
        if not done:
            a = agent.act(s2, epsilon) if a2 is None else a2
    return rewards
