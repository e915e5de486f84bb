# The largest action value is searched from 0.
# True: none


def bellman_optimality(v, mdp):
    v = _as_values(v, mdp)
    return np.maximum(np.max(mdp.R + mdp.gamma * (mdp.P @ v), axis=1), 0.0)
