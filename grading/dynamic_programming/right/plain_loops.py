"""Dictionaries and loops: no array arithmetic at all, a policy of single actions, elimination by
hand.

Ties in policy iteration are settled by keeping the action that is already chosen.
"""

from collections import defaultdict, namedtuple

MDP = namedtuple("MDP", "P R terminal gamma")


def _refuse(unless, sentence):
    if not unless:
        raise ValueError(sentence)


def mdp_from_gym(env, gamma):
    _refuse(0 <= gamma <= 1, "gamma must lie between 0 and 1")
    n, k = int(env.observation_space.n), int(env.action_space.n)
    chance, pay, ends = defaultdict(float), defaultdict(float), set()
    for s, choices in env.unwrapped.P.items():
        for a, outcomes in choices.items():
            for p, to, r, done in outcomes:
                pay[s, a] += p * r
                if done:
                    ends.add(int(to))
                else:
                    chance[s, a, to] += p
    return _arrays(n, k, chance, pay, ends, gamma)


def _arrays(n, k, chance, pay, ends, gamma):
    P, R = np.zeros((n, k, n)), np.zeros((n, k))
    for (s, a, to), p in chance.items():
        if s not in ends:
            P[s, a, to] = p
    for (s, a), r in pay.items():
        if s not in ends:
            R[s, a] = r
    return MDP(P, R, np.array([s in ends for s in range(n)]), gamma)


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    _refuse(0 <= gamma <= 1, "gamma must lie between 0 and 1")
    _refuse(0 <= slip <= 1, "slip must lie between 0 and 1")
    _refuse(len(rows) > 0 and all(len(row) == len(rows[0]) for row in rows), "the rows must be equally long")
    numbers, ends = {}, set()
    for y, row in enumerate(rows):
        for x, mark in enumerate(row):
            _refuse(mark in "S.#HG", f"{mark!r} is no cell of a grid")
            if mark != "#":
                numbers[y, x] = len(numbers)
                if mark in "HG":
                    ends.add(numbers[y, x])
    _refuse(numbers, "a grid needs a cell to stand on")
    left, down, right, up = range(4)
    beside = {left: (up, down), right: (up, down), up: (left, right), down: (left, right)}
    chance, pay = defaultdict(float), {}
    for (y, x), s in numbers.items():
        lands = {
            left: numbers.get((y, x - 1), s),
            right: numbers.get((y, x + 1), s),
            up: numbers.get((y - 1, x), s),
            down: numbers.get((y + 1, x), s),
        }
        for a in range(4):
            pay[s, a] = step_reward
            for p, direction in [(1 - slip, a), *((slip / 2, b) for b in beside[a])]:
                if lands[direction] not in ends:
                    chance[s, a, lands[direction]] += p
    return _arrays(len(numbers), 4, chance, pay, ends, gamma)


def _moves(mdp):
    """For each state a list of actions, each a reward and the list of (probability, next state)."""
    table = []
    for s in range(mdp.R.shape[0]):
        table.append([])
        for a in range(mdp.R.shape[1]):
            row = mdp.P[s, a]
            table[-1].append((float(mdp.R[s, a]), [(float(row[to]), int(to)) for to in row.nonzero()[0]]))
    return table


def _backup(action, v, gamma):
    reward, targets = action
    return reward + gamma * sum(p * v[to] for p, to in targets)


def _numbers(v, mdp):
    _refuse(np.shape(v) == (mdp.R.shape[0],), "one value for each state is needed")
    return [float(x) for x in v]


def _rows(pi, mdp):
    _refuse(np.shape(pi) == mdp.R.shape, "the policy has the wrong shape")
    rows = [[float(p) for p in row] for row in pi]
    _refuse(all(min(row) >= 0 and abs(sum(row) - 1) < 1e-6 for row in rows), "the rows of a policy must be distributions")
    return rows


def _average(v, rows, moves, gamma):
    return [sum(p * _backup(action, v, gamma) for p, action in zip(row, actions, strict=True)) for row, actions in zip(rows, moves, strict=True)]


def bellman_expectation(v, pi, mdp):
    return np.array(_average(_numbers(v, mdp), _rows(pi, mdp), _moves(mdp), mdp.gamma))


def _sweep_until(sweep, n, theta):
    _refuse(theta > 0, "theta must be positive")
    v, changes = [0.0] * n, []
    while not changes or not changes[-1] < theta:
        previous, v = v, sweep(v)
        changes.append(max(abs(x - y) for x, y in zip(v, previous, strict=True)))
    return v, changes


def policy_evaluation(mdp, pi, theta):
    rows, moves = _rows(pi, mdp), _moves(mdp)
    v, changes = _sweep_until(lambda v: _average(v, rows, moves, mdp.gamma), len(rows), theta)
    return np.array(v), len(changes)


def policy_value_exact(mdp, pi):
    rows, moves = _rows(pi, mdp), _moves(mdp)
    n = len(rows)
    system = []
    for s in range(n):
        line = [0.0] * (n + 1)
        line[s] = 1.0
        for weight, (reward, targets) in zip(rows[s], moves[s], strict=True):
            line[n] += weight * reward
            for p, to in targets:
                line[to] -= mdp.gamma * weight * p
        system.append(line)
    return np.array(_eliminate(system))


def _eliminate(system):
    """Gauss and Jordan, with the largest pivot of each column."""
    n = len(system)
    for column in range(n):
        pivot = max(range(column, n), key=lambda row: abs(system[row][column]))
        _refuse(abs(system[pivot][column]) > 1e-12, "the system has no single solution")
        system[column], system[pivot] = system[pivot], system[column]
        head = system[column][column]
        system[column] = [x / head for x in system[column]]
        for row in range(n):
            factor = system[row][column]
            if row != column and factor != 0.0:
                system[row] = [x - factor * y for x, y in zip(system[row], system[column], strict=True)]
    return [line[n] for line in system]


def q_from_v(v, mdp):
    values = _numbers(v, mdp)
    return np.array([[_backup(action, values, mdp.gamma) for action in actions] for actions in _moves(mdp)])


def greedy(q, tol=1e-9):
    _refuse(np.ndim(q) == 2 and tol >= 0, "q needs two dimensions, tol must not be negative")
    policy = []
    for row in q:
        winners = [a for a, x in enumerate(row) if x >= max(row) - tol]
        policy.append([1 / len(winners) if a in winners else 0.0 for a in range(len(row))])
    return np.array(policy)


def policy_iteration(mdp):
    n, k = mdp.R.shape
    chosen, improvements = [0] * n, 0
    while True:
        pi = np.array([[float(a == chosen[s]) for a in range(k)] for s in range(n)])
        v = policy_value_exact(mdp, pi)
        q = q_from_v(v, mdp)
        improvements += 1
        stable = True
        for s in range(n):
            best = max(range(k), key=lambda a: q[s][a])
            if q[s][best] > q[s][chosen[s]] + 1e-10:
                chosen[s], stable = best, False
        if stable:
            return pi, v, improvements


def bellman_optimality(v, mdp):
    values = _numbers(v, mdp)
    return np.array([max(_backup(action, values, mdp.gamma) for action in actions) for actions in _moves(mdp)])


def value_iteration(mdp, theta):
    moves = _moves(mdp)
    v, changes = _sweep_until(lambda v: [max(_backup(action, v, mdp.gamma) for action in actions) for actions in moves], len(moves), theta)
    best = [max(range(len(actions)), key=lambda a: _backup(actions[a], v, mdp.gamma)) for actions in moves]
    return np.array(v), np.array([[float(a == b) for a in range(mdp.R.shape[1])] for b in best]), np.array(changes)


def stopping_sweeps(gamma, eps, r_max=1.0):
    _refuse(0 <= gamma < 1 and eps > 0 and r_max >= 0, "gamma in [0, 1), eps > 0 and r_max >= 0 "
                                                       "are needed")
    k = 0
    error = r_max / (1 - gamma)
    while error > eps:
        k, error = k + 1, error * gamma
    return k


def contraction_ratio(u, v, mdp):
    distance = max(abs(x - y) for x, y in zip(_numbers(u, mdp), _numbers(v, mdp), strict=True))
    _refuse(distance > 0, "u and v must differ somewhere")
    return max(abs(x - y) for x, y in zip(bellman_optimality(u, mdp), bellman_optimality(v, mdp), strict=True)) / distance
