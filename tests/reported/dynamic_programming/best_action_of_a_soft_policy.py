# The value of a soft policy is that of its best action.
# Source: https://github.com/SupermanCaozh/The_Coding_Foundation_in_Reinforcement_Learning/issues/3
# True: none


def bellman_expectation(v, pi, mdp):
    v, pi = _as_values(v, mdp), _as_policy(pi, mdp)
    return np.max(mdp.R + mdp.gamma * (mdp.P @ v), axis=1)
