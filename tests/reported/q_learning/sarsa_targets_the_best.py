# SARSA takes the largest next value, as Q-learning does.
# Source: https://github.com/moskomule/pytorch.rl.learning/issues/1
# True: sarsa-takes-the-best-action


def sarsa_target(r, q_next, a_next, gamma, terminated):
    return q_target(r, q_next, gamma, terminated)
