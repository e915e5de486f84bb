"""Everything is a product with one tall matrix of S*A rows; policies are operators on it; stability
is judged by value."""


def require(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def mdp_from_gym(env, gamma):
    require(0 <= gamma <= 1, "gamma is between 0 and 1")
    table = env.unwrapped.P
    flat = [(s, a, p, to, r, done) for s in table for a in table[s] for p, to, r, done in table[s][a]]
    s, a, p, to, r, done = (np.array(column) for column in zip(*flat, strict=True))
    S, A = s.max() + 1, a.max() + 1
    done = done.astype(bool)
    terminal = np.zeros(S, bool)
    terminal[to[done]] = True
    alive = ~terminal[s]
    P = np.bincount(((s * A + a) * S + to)[~done & alive], p[~done & alive], S * A * S).reshape(S, A, S)
    R = np.bincount((s * A + a)[alive], (p * r)[alive], S * A).reshape(S, A)
    return MDP(P, R, terminal, gamma)


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    require(0 <= gamma <= 1 and 0 <= slip <= 1, "gamma and slip are between 0 and 1")
    require(len(rows) and len(set(map(len, rows))) == 1, "all rows need the same length")
    marks = np.array([list(row) for row in rows])
    require(np.isin(marks, list("S.#HG")).all(), "only S . # H G may be drawn")
    require((marks != "#").any(), "everything is wall")
    free = marks != "#"
    number = np.full(np.add(marks.shape, 2), -1)  # a frame of walls around the drawing
    number[1:-1, 1:-1][free] = np.arange(free.sum())
    row, column = np.nonzero(number >= 0)
    S = len(row)
    steps = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]])
    target = number[row[:, None] + steps[:, 0], column[:, None] + steps[:, 1]]
    target = np.where(target < 0, np.arange(S)[:, None], target)
    certain = np.eye(S)[target]  # (S, 4, S): each direction, if it is really taken
    P = (1 - slip) * certain + slip / 2 * (np.roll(certain, 1, axis=1) + np.roll(certain, -1, axis=1))
    terminal = np.isin(marks[free], list("HG"))
    P[:, :, terminal] = 0
    P[terminal] = 0
    R = np.where(terminal[:, None], 0.0, step_reward) * np.ones(4)
    return MDP(P, R, terminal, gamma)


def tall(mdp):
    S, A = np.shape(mdp.R)
    return np.reshape(mdp.P, (S * A, S)), np.ravel(mdp.R), S, A


def weights(pi, mdp):
    """The (S, S*A) matrix that averages action values with the policy's probabilities."""
    S, A = np.shape(mdp.R)
    pi = np.array(pi, float)
    require(pi.shape == (S, A), "one row for each state, one column for each action")
    require((pi >= 0).all() and np.allclose(pi.sum(1), 1), "rows are probabilities")
    W = np.zeros((S, S, A))
    W[np.arange(S), np.arange(S)] = pi
    return W.reshape(S, S * A)


def q_from_v(v, mdp):
    P, R, S, A = tall(mdp)
    v = np.array(v, float)
    require(v.shape == (S,), "one value for each state")
    return (R + mdp.gamma * (P @ v)).reshape(S, A)


def bellman_expectation(v, pi, mdp):
    return weights(pi, mdp) @ q_from_v(v, mdp).ravel()


def bellman_optimality(v, mdp):
    return q_from_v(v, mdp).max(axis=1)


def iterate(operator, start, theta):
    require(theta > 0, "theta is positive")
    trail = [start]
    while len(trail) < 2 or np.abs(trail[-1] - trail[-2]).max() >= theta:
        trail.append(operator(trail[-1]))
    return trail


def policy_evaluation(mdp, pi, theta):
    trail = iterate(lambda v: bellman_expectation(v, pi, mdp), np.zeros(len(mdp.R)), theta)
    return trail[-1], np.int64(len(trail) - 1)


def policy_value_exact(mdp, pi):
    P, R, S, _ = tall(mdp)
    W = weights(pi, mdp)
    return np.linalg.solve(np.identity(S) - mdp.gamma * (W @ P), W @ R)


def greedy(q, tol=1e-9):
    q = np.array(q, float)
    require(q.ndim == 2 and tol >= 0, "q is a matrix and tol is not negative")
    winners = (q.max(axis=1)[:, None] - q <= tol).astype(float)
    return (winners.T / winners.sum(axis=1)).T


def policy_iteration(mdp):
    S, A = np.shape(mdp.R)
    actions = np.full(S, A - 1)
    for count in range(1, S * A + 100):
        pi = np.identity(A)[actions]
        v = policy_value_exact(mdp, pi)
        q = q_from_v(v, mdp)
        gain = q.max(axis=1) - v
        if gain.max() <= 1e-9 * max(1.0, np.abs(v).max()):
            return pi, v, count
        actions = np.where(gain > 1e-12, q.argmax(axis=1), actions)
    raise RuntimeError("no stable policy was found")


def value_iteration(mdp, theta):
    trail = np.array(iterate(lambda v: bellman_optimality(v, mdp), np.zeros(len(mdp.R)), theta))
    errors = np.abs(np.diff(trail, axis=0)).max(axis=1)
    return trail[-1], np.identity(np.shape(mdp.R)[1])[q_from_v(trail[-1], mdp).argmax(axis=1)], errors


def stopping_sweeps(gamma, eps, r_max=1.0):
    require(0 <= gamma < 1, "gamma is at least 0 and below 1")
    require(eps > 0 and r_max >= 0, "eps is positive and r_max not negative")
    if r_max <= eps * (1 - gamma):
        return 0
    if gamma == 0:
        return 1
    return int(np.ceil(np.log(eps * (1 - gamma) / r_max) / np.log(gamma)))


def contraction_ratio(u, v, mdp):
    u, v = np.array(u, float), np.array(v, float)
    require(u.shape == v.shape == np.shape(mdp.R)[:1], "one value for each state")
    distance = np.linalg.norm(u - v, np.inf)
    require(distance > 0, "u and v are the same")
    return np.linalg.norm(bellman_optimality(u, mdp) - bellman_optimality(v, mdp), np.inf) / distance
