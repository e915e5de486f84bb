"""Policy iteration on one action for each state, kept unless another one is better by far; a solver
object that holds the table."""

from typing import NamedTuple


class MDP(NamedTuple):
    P: np.ndarray
    R: np.ndarray
    terminal: np.ndarray
    gamma: float


class _Solver:
    """The table of one MDP, and what can be asked of it."""

    def __init__(self, mdp):
        self.P, self.R, self.gamma = np.asarray(mdp.P), np.asarray(mdp.R), float(mdp.gamma)
        self.states, self.actions = self.R.shape

    def values(self, v):
        v = np.array(v, dtype=float)
        if v.shape != (self.states,):
            raise ValueError("the values have a wrong shape")
        return v

    def policy(self, pi):
        pi = np.array(pi, dtype=float)
        if pi.shape != (self.states, self.actions):
            raise ValueError("the policy has a wrong shape")
        if pi.min() < 0 or max(abs(sum(row) - 1) for row in pi) > 1e-6:
            raise ValueError("a row of the policy is no distribution")
        return pi

    def action_values(self, v):
        q = np.empty((self.states, self.actions))
        for a in range(self.actions):
            q[:, a] = self.R[:, a] + self.gamma * self.P[:, a] @ v
        return q

    def chain(self, pi):
        P, r = np.zeros((self.states, self.states)), np.zeros(self.states)
        for a in range(self.actions):
            P += pi[:, a][:, None] * self.P[:, a]
            r += pi[:, a] * self.R[:, a]
        return P, r


def mdp_from_gym(env, gamma):
    if gamma < 0 or gamma > 1:
        raise ValueError("gamma is no discount")
    table = getattr(env.unwrapped, "P", None)
    if table is None:
        raise ValueError("the environment has no transition table")
    states, actions = len(table), len(table[0])
    outcomes = [(s, a, p, s2, r, bool(done)) for s in table for a in table[s] for p, s2, r, done in table[s][a]]
    terminal = np.zeros(states, dtype=bool)
    terminal[[s2 for *_, s2, _, done in outcomes if done]] = True
    P, R = np.zeros((states, actions, states)), np.zeros((states, actions))
    for s, a, p, s2, r, done in outcomes:
        if terminal[s]:
            continue
        R[s, a] += p * r
        if not done:
            P[s, a, s2] += p
    return MDP(P, R, terminal, float(gamma))


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    if gamma < 0 or gamma > 1 or slip < 0 or slip > 1:
        raise ValueError("gamma and slip lie between 0 and 1")
    if len(rows) == 0 or len(rows[0]) == 0 or min(map(len, rows)) != max(map(len, rows)):
        raise ValueError("a grid is a rectangle of characters")
    state = {}
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            if cell not in "S.#HG":
                raise ValueError(f"{cell} has no meaning in a grid")
            if cell != "#":
                state[r, c] = len(state)
    if not state:
        raise ValueError("there are only walls")
    terminal = np.array([rows[r][c] in "HG" for r, c in state])
    P, R = np.zeros((len(state), 4, len(state))), np.zeros((len(state), 4))
    for (r, c), s in state.items():
        if terminal[s]:
            continue
        around = [(r, c - 1), (r + 1, c), (r, c + 1), (r - 1, c)]
        R[s] = step_reward
        for a in range(4):
            for b, p in ((a, 1.0 - slip), (a - 1, 0.5 * slip), ((a + 1) % 4, 0.5 * slip)):
                s2 = state.get(around[b], s)
                P[s, a, s2] += 0.0 if terminal[s2] else p
    return MDP(P, R, terminal, float(gamma))


def bellman_expectation(v, pi, mdp):
    solver = _Solver(mdp)
    P, r = solver.chain(solver.policy(pi))
    return r + solver.gamma * P @ solver.values(v)


def policy_evaluation(mdp, pi, theta):
    if not theta > 0:
        raise ValueError("theta must be above 0")
    solver = _Solver(mdp)
    P, r = solver.chain(solver.policy(pi))
    v, sweeps = np.zeros(solver.states), 0
    while True:
        before = v.copy()
        v = r + solver.gamma * P @ before
        sweeps += 1
        if max(abs(v - before)) < theta:
            return v, sweeps


def policy_value_exact(mdp, pi):
    solver = _Solver(mdp)
    P, r = solver.chain(solver.policy(pi))
    try:
        return np.linalg.solve(np.eye(len(r)) - solver.gamma * P, r)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"this policy has no value: {error}") from error


def q_from_v(v, mdp):
    solver = _Solver(mdp)
    return solver.action_values(solver.values(v))


def greedy(q, tol=1e-9):
    if np.ndim(q) != 2 or tol < 0:
        raise ValueError("greedy asks for a table and a tolerance that is not negative")
    pi = np.zeros(np.shape(q))
    for s, row in enumerate(np.asarray(q, dtype=float)):
        best = [a for a in range(len(row)) if row[a] >= max(row) - tol]
        pi[s, best] = 1.0 / len(best)
    return pi


def policy_iteration(mdp):
    """An action gives way only to one that is better by more than rounding."""
    solver = _Solver(mdp)
    chosen = np.zeros(solver.states, dtype=int)
    rows, iters = np.arange(solver.states), 0
    while True:
        pi = np.eye(solver.actions)[chosen]
        v = policy_value_exact(mdp, pi)
        q, iters = solver.action_values(v), iters + 1
        better = q.max(axis=1) > q[rows, chosen] + 1e-10
        if not better.any():
            return pi, v, iters
        chosen = np.where(better, q.argmax(axis=1), chosen)


def bellman_optimality(v, mdp):
    solver = _Solver(mdp)
    return solver.action_values(solver.values(v)).max(axis=1)


def value_iteration(mdp, theta):
    if not theta > 0:
        raise ValueError("theta must be above 0")
    solver = _Solver(mdp)
    v, errors = np.zeros(solver.states), np.array([])
    while True:
        new = solver.action_values(v).max(axis=1)
        errors = np.append(errors, np.linalg.norm(new - v, np.inf))
        v = new
        if errors[-1] < theta:
            return v, greedy(solver.action_values(v)), errors


def stopping_sweeps(gamma, eps, r_max=1.0):
    if not (0 <= gamma < 1) or not eps > 0 or r_max < 0:
        raise ValueError("there is no such number")
    if r_max <= eps * (1 - gamma):
        return 0
    if gamma == 0:
        return 1
    k = max(int(np.log(eps * (1 - gamma) / r_max) / np.log(gamma)) - 2, 0)
    while r_max / (1 - gamma) * gamma**k > eps:
        k += 1
    return k


def contraction_ratio(u, v, mdp):
    solver = _Solver(mdp)
    u, v = solver.values(u), solver.values(v)
    if np.array_equal(u, v):
        raise ValueError("the two are equal")
    gap = np.abs(solver.action_values(u).max(axis=1) - solver.action_values(v).max(axis=1))
    return float(np.max(gap) / np.max(np.abs(u - v)))
