"""Dynamic programming with recursion where others loop, and least squares where others solve."""

import sys
from functools import reduce
from typing import NamedTuple


class MDP(NamedTuple):
    P: np.ndarray
    R: np.ndarray
    terminal: np.ndarray
    gamma: float


sys.setrecursionlimit(20_000)
LEFT, DOWN, RIGHT, UP = range(4)
TURNS = {LEFT: (UP, DOWN), RIGHT: (UP, DOWN), UP: (LEFT, RIGHT), DOWN: (LEFT, RIGHT)}


def _refuse(bad, why):
    if bad:
        raise ValueError(why)


def mdp_from_gym(env, gamma):
    _refuse(gamma < 0 or gamma > 1, "gamma must lie in [0, 1]")
    table = getattr(env.unwrapped, "P", None)
    _refuse(table is None, "the environment has no table")
    n, m = len(table), len(table[0])
    flat = [(s, a, *o) for s in range(n) for a in range(m) for o in table[s][a]]
    s, a, p, s2, r, done = (np.array(column) for column in zip(*flat, strict=True))
    s2, done = s2.astype(int), done.astype(bool)
    P, R = np.zeros((n, m, n)), np.zeros((n, m))
    np.add.at(P, (s, a, s2), np.where(done, 0.0, p))
    np.add.at(R, (s, a), p * r)
    terminal = np.isin(np.arange(n), s2[done])
    keep = ~terminal
    return MDP(P * keep[:, None, None], R * keep[:, None], terminal, float(gamma))


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    _refuse(gamma < 0 or gamma > 1, "gamma must lie in [0, 1]")
    _refuse(slip < 0 or slip > 1, "slip must lie in [0, 1]")
    _refuse(len(set(map(len, rows))) != 1, "a grid has rows of one length")
    _refuse(set().union(*rows) - set("S.#HG"), "only S . # H G are known")
    cells = np.array([list(row) for row in rows])
    _refuse(cells.size == 0 or (cells == "#").all(), "there is no cell but walls")
    number = np.full((len(rows) + 2, len(rows[0]) + 2), -1)
    inner = number[1:-1, 1:-1]
    inner[cells != "#"] = np.arange((cells != "#").sum())
    n = int(inner.max()) + 1
    moved = np.zeros((n, 4), int)
    for r, c in np.argwhere(number >= 0):
        s = number[r, c]
        around = (number[r, c - 1], number[r + 1, c], number[r, c + 1], number[r - 1, c])
        moved[s] = [s if s2 < 0 else s2 for s2 in around]
    terminal = np.isin(cells[cells != "#"], ["H", "G"])
    P = np.zeros((n, 4, n))
    for a in range(4):
        for direction, p in ((a, 1 - slip), *((side, slip / 2) for side in TURNS[a])):
            P[np.arange(n), a, moved[:, direction]] += p
    P[:, :, terminal] = 0
    P[terminal] = 0
    R = np.where(terminal[:, None], 0.0, step_reward) * np.ones(4)
    return MDP(P, R, terminal, float(gamma))


def _v(v, mdp):
    v = np.array(v, dtype=float)
    _refuse(v.shape != (mdp.R.shape[0],), "v has a wrong shape")
    return v


def _pi(pi, mdp):
    pi = np.array(pi, dtype=float)
    _refuse(pi.shape != mdp.R.shape, "pi has a wrong shape")
    _refuse((pi < 0).any() or not np.allclose(pi.sum(1), 1), "pi has a row that is no distribution")
    return pi


def q_from_v(v, mdp):
    return mdp.R + mdp.gamma * np.tensordot(mdp.P, _v(v, mdp), axes=1)


def bellman_expectation(v, pi, mdp):
    return np.einsum("sa,sa->s", _pi(pi, mdp), q_from_v(v, mdp))


def bellman_optimality(v, mdp):
    return reduce(np.maximum, q_from_v(v, mdp).T)


def policy_evaluation(mdp, pi, theta):
    _refuse(theta <= 0, "theta must be positive")
    pi = _pi(pi, mdp)

    def go_on(v, sweeps):
        new = bellman_expectation(v, pi, mdp)
        if np.abs(new - v).max() < theta:
            return new, sweeps + 1
        return go_on(new, sweeps + 1)

    return go_on(np.zeros(len(pi)), 0)


def policy_value_exact(mdp, pi):
    pi = _pi(pi, mdp)
    chain = np.einsum("sa,sat->st", pi, mdp.P)
    rewards = (pi * mdp.R).sum(axis=1)
    v, _, rank, _ = np.linalg.lstsq(np.eye(len(chain)) - mdp.gamma * chain, rewards, rcond=None)
    _refuse(rank < len(chain), "the system is singular: some state never comes to an end")
    return v


def greedy(q, tol=1e-9):
    q = np.array(q, dtype=float)
    _refuse(q.ndim != 2, "q must be a table")
    _refuse(tol < 0, "tol must not be negative")
    close = np.subtract(q.max(1)[:, None], q) <= tol
    return close / np.count_nonzero(close, axis=1)[:, None]


def policy_iteration(mdp):
    def improve(pi, iters):
        v = policy_value_exact(mdp, pi)
        new = greedy(q_from_v(v, mdp))
        return (pi, v, iters) if (new == pi).all() else improve(new, iters + 1)

    return improve(np.ones(mdp.R.shape) / mdp.R.shape[1], 1)


def value_iteration(mdp, theta):
    _refuse(theta <= 0, "theta must be positive")
    history = [np.zeros(len(mdp.R))]
    change = np.inf
    errors = []
    while change >= theta:
        history.append(bellman_optimality(history[-1], mdp))
        change = np.linalg.norm(history[-1] - history[-2], ord=np.inf)
        errors.append(change)
    return history[-1], greedy(q_from_v(history[-1], mdp)), np.array(errors)


def stopping_sweeps(gamma, eps, r_max=1.0):
    _refuse(gamma < 0 or gamma >= 1, "gamma must lie in [0, 1)")
    _refuse(eps <= 0 or r_max < 0, "eps must be positive and r_max not negative")

    def enough(k):
        return gamma**k * r_max / (1 - gamma) <= eps

    low, high = -1, 1
    while not enough(high):
        low, high = high, 2 * high
    if enough(0):
        return 0
    low = max(low, 0)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def contraction_ratio(u, v, mdp):
    u, v = _v(u, mdp), _v(v, mdp)
    distance = np.linalg.norm(u - v, ord=np.inf)
    _refuse(distance == 0, "equal functions have no ratio")
    moved = np.linalg.norm(bellman_optimality(u, mdp) - bellman_optimality(v, mdp), ord=np.inf)
    return float(moved / distance)
