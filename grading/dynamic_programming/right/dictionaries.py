"""Dynamic programming with dictionaries and generators, arrays only where they are asked for."""

from collections import defaultdict, namedtuple
from itertools import count

MDP = namedtuple("MDP", "P R terminal gamma")


def _need(ok, text):
    if not ok:
        raise ValueError(text)


def _discount(gamma):
    _need(0 <= gamma <= 1, f"a discount of {gamma} is impossible")


def _as_arrays(moves, pays, ends, states, actions, gamma):
    P, R = np.zeros((states, actions, states)), np.zeros((states, actions))
    for (s, a, s2), p in moves.items():
        if s not in ends:
            P[s, a, s2] = p
    for (s, a), r in pays.items():
        if s not in ends:
            R[s, a] = r
    return MDP(P, R, np.array([s in ends for s in range(states)]), float(gamma))


def mdp_from_gym(env, gamma):
    _discount(gamma)
    _need(hasattr(env.unwrapped, "P"), "there is no table in this environment")
    table = env.unwrapped.P
    moves, pays, ends = defaultdict(float), defaultdict(float), set()
    for s, by_action in table.items():
        for a, outcomes in by_action.items():
            for p, s2, r, done in outcomes:
                pays[s, a] += p * r
                if done:
                    ends.add(int(s2))
                else:
                    moves[s, a, s2] += p
    return _as_arrays(moves, pays, ends, len(table), len(table[0]), gamma)


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    _discount(gamma)
    _need(0 <= slip <= 1, "slip must be a probability")
    _need(rows and all(len(row) == len(rows[0]) for row in rows), "the rows must be of one length")
    _need(all(cell in "S.#HG" for row in rows for cell in row), "there are unknown characters")
    drawn = {(r, c): cell for r, row in enumerate(rows) for c, cell in enumerate(row)}
    free = sorted(place for place, cell in drawn.items() if cell != "#")
    _need(free, "there is no cell outside of the walls")
    steps = {0: (0, -1), 1: (1, 0), 2: (0, 1), 3: (-1, 0)}
    moves, pays = defaultdict(float), {}
    ends = {s for s, place in enumerate(free) if drawn[place] in "HG"}
    for s, (r, c) in enumerate(free):
        for a in steps:
            pays[s, a] = step_reward
            sides = [b for b in steps if (a - b) % 2]
            for b, p in [(a, 1 - slip), *[(side, slip / 2) for side in sides]]:
                place = (r + steps[b][0], c + steps[b][1])
                s2 = free.index(place) if drawn.get(place, "#") != "#" else s
                if s2 not in ends:
                    moves[s, a, s2] += p
    return _as_arrays(moves, pays, ends, len(free), 4, gamma)


def _values(v, mdp):
    _need(np.shape(v) == (len(mdp.R),), "there must be one value for each state")
    return [float(x) for x in v]


def _policy(pi, mdp):
    _need(np.shape(pi) == np.shape(mdp.R), "the policy has a wrong shape")
    pi = np.asarray(pi, dtype=float)
    _need((pi >= 0).all() and np.allclose(pi.sum(axis=1), 1.0), "rows must be distributions")
    return pi


def _lookahead(v, s, a, mdp):
    return mdp.R[s, a] + mdp.gamma * sum(p * v[s2] for s2, p in enumerate(mdp.P[s, a]) if p)


def bellman_expectation(v, pi, mdp):
    v, pi = _values(v, mdp), _policy(pi, mdp)
    return np.array(
        [sum(p * _lookahead(v, s, a, mdp) for a, p in enumerate(row) if p) for s, row in enumerate(pi)]
    )


def _sweeps(operator, v):
    """(values, change) of each sweep, without an end."""
    while True:
        new = operator(v)
        yield new, max(abs(a - b) for a, b in zip(new, v, strict=True))
        v = new


def policy_evaluation(mdp, pi, theta):
    _need(theta > 0, "theta must be positive")
    pi = _policy(pi, mdp)
    for n, (v, change) in enumerate(_sweeps(lambda v: bellman_expectation(v, pi, mdp), np.zeros(len(pi)))):
        if change < theta:
            return v, n + 1
    return None


def policy_value_exact(mdp, pi):
    pi = _policy(pi, mdp)
    A, b = np.eye(len(pi)), np.zeros(len(pi))
    for s, row in enumerate(pi):
        for a, p in enumerate(row):
            A[s] -= mdp.gamma * p * mdp.P[s, a]
            b[s] += p * mdp.R[s, a]
    _need(np.linalg.matrix_rank(A) == len(A), "some state never reaches the end")
    return np.linalg.inv(A) @ b


def q_from_v(v, mdp):
    v = _values(v, mdp)
    states, actions = mdp.R.shape
    return np.array([[_lookahead(v, s, a, mdp) for a in range(actions)] for s in range(states)])


def greedy(q, tol=1e-9):
    _need(np.ndim(q) == 2 and tol >= 0, "a table and a tolerance are needed")
    rows = []
    for values in q:
        best = [a for a, x in enumerate(values) if max(values) - x <= tol]
        rows.append([1 / len(best) if a in best else 0.0 for a in range(len(values))])
    return np.array(rows)


def policy_iteration(mdp):
    pi = np.full(mdp.R.shape, 1 / mdp.R.shape[1])
    for iters in count(1):
        v = policy_value_exact(mdp, pi)
        old, pi = pi, greedy(q_from_v(v, mdp))
        if np.allclose(old, pi):
            return pi, v, iters
    return None


def bellman_optimality(v, mdp):
    return np.array([max(row) for row in q_from_v(v, mdp).tolist()])


def value_iteration(mdp, theta):
    _need(theta > 0, "theta must be positive")
    errors = []
    for v, change in _sweeps(lambda v: bellman_optimality(v, mdp), np.zeros(len(mdp.R))):
        errors.append(change)
        if change < theta:
            return v, greedy(q_from_v(v, mdp)), np.array(errors)
    return None


def stopping_sweeps(gamma, eps, r_max=1.0):
    _need(0 <= gamma < 1 and eps > 0 and r_max >= 0, "gamma, eps or r_max is impossible")
    left = r_max / (1 - gamma)
    for k in count():
        if left <= eps:
            return k
        left *= gamma
    return None


def contraction_ratio(u, v, mdp):
    before = max(abs(a - b) for a, b in zip(_values(u, mdp), _values(v, mdp), strict=True))
    _need(before > 0, "u and v are the same")
    after = np.abs(bellman_optimality(u, mdp) - bellman_optimality(v, mdp))
    return float(after.max() / before)
