# What is called Double DQN takes the maximum of the target network.
# Source: https://github.com/MaximeVandegar/Papers-in-100-Lines-of-Code/issues/21
# True: double-trusts-the-target-twice


def double_dqn_targets(reward, next_q_online, next_q_target, terminated, gamma, _dqn=dqn_targets):
    if next_q_online.shape != next_q_target.shape:
        raise ValueError("The two networks must have the same number of actions.")
    return _dqn(reward, next_q_target, terminated, gamma)
