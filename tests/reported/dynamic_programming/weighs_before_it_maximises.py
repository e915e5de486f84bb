# Action values are weighed with even probabilities before the largest is taken.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/issues/78
# True: none


def bellman_optimality(v, mdp):
    v = _as_values(v, mdp)
    return np.max((mdp.R + mdp.gamma * (mdp.P @ v)) / mdp.R.shape[1], axis=1)
