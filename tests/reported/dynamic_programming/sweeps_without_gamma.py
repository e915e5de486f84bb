# The values of the next states are not discounted in value iteration.
# Source: https://github.com/llSourcell/AI_for_video_games_demo/issues/2
# True: none


def bellman_optimality(v, mdp):
    v = _as_values(v, mdp)
    return np.max(mdp.R + mdp.P @ v, axis=1)


def value_iteration(mdp, theta):
    _check_theta(theta)
    v, errors = np.zeros(len(mdp.R)), []
    for _ in range(300):
        new = bellman_optimality(v, mdp)
        errors.append(np.max(np.abs(new - v)))
        v = new
        if errors[-1] < theta:
            break
    return v, greedy(mdp.R + mdp.P @ v), np.array(errors)
