"""Dynamic programming on flat arrays: pairs of states and actions are rows, a sweep is one product."""

import math
from typing import NamedTuple


class MDP(NamedTuple):
    P: np.ndarray
    R: np.ndarray
    terminal: np.ndarray
    gamma: float


def _gamma(gamma):
    if not (gamma >= 0 and gamma <= 1):
        raise ValueError("gamma is out of range")


def mdp_from_gym(env, gamma):
    _gamma(gamma)
    try:
        table = env.unwrapped.P
    except AttributeError:
        raise ValueError("the environment does not publish its table") from None
    n, m = len(table), len(table[0])
    P, R, terminal = np.zeros((n * m, n)), np.zeros(n * m), np.zeros(n, dtype=bool)
    for row in range(n * m):
        for p, s2, r, done in table[row // m][row % m]:
            R[row] += p * r
            P[row, s2] += 0.0 if done else p
            terminal[s2] = terminal[s2] or bool(done)
    alive = np.repeat(~terminal, m)
    return MDP((P * alive[:, None]).reshape(n, m, n), (R * alive).reshape(n, m), terminal, float(gamma))


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    _gamma(gamma)
    if not 0 <= slip <= 1:
        raise ValueError("slip is out of range")
    text = "".join(rows)
    if not rows or len(text) != len(rows) * len(rows[0]) or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("the grid is empty, or its rows differ in length")
    if text.strip("S.#HG") or not set(text) <= set("S.#HG"):
        raise ValueError("the grid has characters without a meaning")
    height, width = len(rows), len(rows[0])
    places = [i for i, cell in enumerate(text) if cell != "#"]
    if not places:
        raise ValueError("the grid has nothing but walls")
    n = len(places)

    def neighbour(i, a):
        r, c = divmod(i, width)
        r, c = r + (a == 1) - (a == 3), c + (a == 2) - (a == 0)
        j = r * width + c
        return j if 0 <= r < height and 0 <= c < width and text[j] != "#" else i

    go = np.zeros((n, 4, n))
    for s, i in enumerate(places):
        for a in range(4):
            go[s, a, places.index(neighbour(i, a))] = 1.0
    P = (1 - slip) * go + slip / 2 * (np.roll(go, 1, axis=1) + np.roll(go, -1, axis=1))
    terminal = np.array([text[i] in ("H", "G") for i in places])
    R = np.full((n, 4), step_reward, dtype=float)
    P[..., terminal] = 0.0
    P[terminal], R[terminal] = 0.0, 0.0
    return MDP(P, R, terminal, float(gamma))


def _v(v, mdp):
    v = np.asarray(v, dtype=np.float64)
    if v.shape != (len(mdp.R),):
        raise ValueError("v must hold one value for each state")
    return v


def _pi(pi, mdp):
    pi = np.asarray(pi, dtype=np.float64)
    if pi.shape != mdp.R.shape or np.any(pi < 0) or np.any(np.abs(pi.sum(axis=-1) - 1) > 1e-6):
        raise ValueError("pi must hold a distribution for each state")
    return pi


def q_from_v(v, mdp):
    flat = mdp.P.reshape(-1, len(mdp.R)) @ _v(v, mdp)
    return (mdp.R.ravel() + mdp.gamma * flat).reshape(mdp.R.shape)


def bellman_expectation(v, pi, mdp):
    return np.average(q_from_v(v, mdp), axis=1, weights=_pi(pi, mdp))


def bellman_optimality(v, mdp):
    return np.sort(q_from_v(v, mdp), axis=1)[:, -1]


def policy_evaluation(mdp, pi, theta):
    pi = _pi(pi, mdp)
    if theta <= 0:
        raise ValueError("theta must be positive")
    v, sweeps, change = np.zeros(len(mdp.R)), 0, math.inf
    while change >= theta:
        old, v = v, bellman_expectation(v, pi, mdp)
        change, sweeps = float(np.ptp(np.append(np.abs(v - old), 0.0))), sweeps + 1
    return v, sweeps


def policy_value_exact(mdp, pi):
    pi = _pi(pi, mdp)
    n, m = mdp.R.shape
    choose = np.zeros((n, n * m))
    for s in range(n):
        choose[s, s * m : (s + 1) * m] = pi[s]
    system = np.identity(n) - mdp.gamma * choose @ mdp.P.reshape(n * m, n)
    if np.linalg.cond(system) > 1e13:
        raise ValueError("the system is singular: an episode may never end")
    return np.linalg.solve(system, choose @ mdp.R.ravel())


def greedy(q, tol=1e-9):
    q = np.asarray(q, dtype=np.float64)
    if q.ndim != 2 or not tol >= 0:
        raise ValueError("q must be a table, and tol not negative")
    lead = q - q.max(axis=1).reshape(-1, 1)
    pi = (lead >= -tol).astype(float)
    pi /= pi.sum(axis=1).reshape(-1, 1)
    return pi


def policy_iteration(mdp):
    pi, iters = np.full(mdp.R.shape, 1.0 / mdp.R.shape[1]), 0
    while True:
        v, iters = policy_value_exact(mdp, pi), iters + 1
        new = greedy(q_from_v(v, mdp))
        if np.abs(new - pi).max() < 1e-12:
            return pi, v, iters
        pi = new


def value_iteration(mdp, theta):
    if theta <= 0:
        raise ValueError("theta must be positive")
    v, errors = np.zeros(len(mdp.R)), [math.inf]
    while errors[-1] >= theta:
        new = bellman_optimality(v, mdp)
        errors.append(float(np.max(np.abs(new - v))))
        v = new
    return v, greedy(q_from_v(v, mdp)), np.array(errors[1:])


def stopping_sweeps(gamma, eps, r_max=1.0):
    if gamma < 0 or gamma >= 1 or eps <= 0 or r_max < 0:
        raise ValueError("gamma, eps or r_max is out of range")
    k = 0
    while r_max * gamma**k / (1 - gamma) > eps:
        k += 1
    return k


def contraction_ratio(u, v, mdp):
    gap = _v(u, mdp) - _v(v, mdp)
    if not gap.any():
        raise ValueError("u and v do not differ")
    moved = bellman_optimality(u, mdp) - bellman_optimality(v, mdp)
    return float(max(moved.max(), -moved.min()) / max(gap.max(), -gap.min()))
