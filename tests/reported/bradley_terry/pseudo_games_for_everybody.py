# Each player gets a part of a win, and each pair a part of a game, played or not.
# Source: https://github.com/openai/GABRIEL/pull/73
# True: none


def mm_step(wins, theta):
    wins = _check_table(wins)
    ability = np.exp(theta - np.max(theta))
    games = wins + wins.T + 0.1
    new = np.log((wins.sum(axis=1) + 0.1) / (games / (ability[:, None] + ability)).sum(axis=1))
    return new - new.mean()


def fit_bt(wins, tol=1e-8):
    wins = _check_table(wins)
    if not tol > 0 or not is_connected(wins):
        raise ValueError("The table has no maximum, or the tolerance is none.")
    theta = np.zeros(len(wins))
    for _ in range(2000):
        theta = mm_step(wins, theta)
    return theta
