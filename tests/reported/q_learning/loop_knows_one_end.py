# The loop waits for terminated alone, as code for an older interface does.
# Source: https://github.com/Paulescu/hands-on-rl/pull/4
# True: plays-on-after-the-time-limit


def _play(env, agent, s, epsilon):
    rewards, terminated, a2 = [], False, None
    while not terminated:
        a = agent.act(s, epsilon) if a2 is None else a2
        s2, r, terminated, *_ = env.step(a)
        a2 = agent.act(s2, epsilon) if agent.algo == "sarsa" else None
        agent.learn_(s, a, r, s2, a2, terminated, epsilon)
        rewards.append(float(r))
        s = s2
    return rewards
