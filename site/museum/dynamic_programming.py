"""Boards of dynamic_programming: corridors and small grids."""

import numpy as np
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import table

CORRIDOR = ["S...G"]
CELLS = ["S", "free", "free", "free", "G"]
ARROWS = "←↓→↑"


class _Table:
    """What mdp_from_gym reads: a transition table of two actions."""

    P = {  # noqa: RUF012
        0: {
            0: [(0.5, 1, 4.0, False), (0.5, 1, 0.0, False)],
            1: [(0.75, 0, 0.0, False), (0.25, 2, 8.0, True)],
        },
        1: {0: [(1.0, 0, 1.0, False)], 1: [(0.2, 0, 5.0, False), (0.8, 2, 10.0, True)]},
        2: {0: [(1.0, 2, 0.0, True)], 1: [(1.0, 2, 3.0, True)]},
    }

    @property
    def unwrapped(self):
        return self

    class _Space:
        def __init__(self, n):
            self.n = n

    observation_space, action_space = _Space(3), _Space(2)


def _from_table(work):
    mdp = work.mdp_from_gym(_Table(), 0.9)
    pairs = [(s, a) for s in range(3) for a in range(2)]
    outcomes = [
        "; ".join(f"{p:g} to {s2}, pays {r:g}{', ends' if end else ''}" for p, s2, r, end in row)
        for row in (_Table.P[s][a] for s, a in pairs)
    ]
    goes_on = [mdp.P[s, a].sum() for s, a in pairs]
    names = {"R": [mdp.R[s, a] for s, a in pairs], "goes on": goes_on}
    return table({"state, action": [f"{s}, {a}" for s, a in pairs], "outcomes": outcomes}, names)


def _corridor(work):
    values, policy, _ = work.value_iteration(work.grid_mdp(CORRIDOR, gamma=0.9), 1e-9)
    best = ["".join(ARROWS[a] for a in np.flatnonzero(row)) for row in policy]
    return table({"cell": CELLS}, {"value": values, "best actions": best})


SQUARE = ["S..", ".H.", "..G"]


def _square(work):
    mdp = work.grid_mdp(SQUARE, slip=0.4, gamma=1.0)
    values = work.value_iteration(mdp, 1e-9)[0]
    cells = [f"row {r + 1}, column {c + 1}" for r in range(3) for c in range(3)]
    return table({"cell": cells, "is": list("".join(SQUARE))}, {"value": values})


def _policy(work):
    mdp = work.grid_mdp(CORRIDOR, gamma=0.9)
    pi = np.tile([0.3, 0.0, 0.7, 0.0], (5, 1))
    return table({"cell": CELLS}, {"value": work.policy_value_exact(mdp, pi)})


def _one_sweep(work):
    mdp = work.grid_mdp(CORRIDOR, gamma=0.5)
    v = np.array([8.0, 4.0, 2.0, 6.0, 0.0])
    given = {"cell": CELLS, "value before": v.copy()}
    return table(given, {"value after": work.bellman_optimality(v, mdp)})


def _look_ahead(work):
    mdp = work.grid_mdp(CORRIDOR, gamma=0.5)
    v = np.array([8.0, 4.0, 2.0, 6.0, 0.0])
    q = work.q_from_v(v, mdp)
    return table({"cell": CELLS, "value": v}, {"q of left": q[:, 0], "q of right": q[:, 2]})


def _greedy(work):
    q = np.array([[1.0, 3.0, 3.0], [9.0, 4.0, 5.0], [2.0, 2.0, 2.0]])
    pi = work.greedy(q)
    given = {"state": range(3), **{f"q of {a}": q[:, a] for a in range(3)}}
    return table(given, {f"chance of {a}": pi[:, a] for a in range(3)})


def _to_the_left(work):
    counts, lengths = [], [3, 6, 12]
    for n in lengths:
        mdp = work.grid_mdp(["G" + "." * n], gamma=0.9)
        pi = np.tile([1.0, 0.0, 0.0, 0.0], (n + 1, 1))
        counts.append(work.policy_evaluation(mdp, pi, 1e-6)[1])
    return table({"free cells": lengths}, {"sweeps": counts})


def _sweeps(work):
    gammas = [0.5, 0.8, 0.95]
    found = [work.stopping_sweeps(gamma, 0.2) for gamma in gammas]
    return table({"gamma": gammas}, {"sweeps": found})


def _pull(work):
    mdp = work.grid_mdp(CORRIDOR, gamma=0.9)
    v = np.zeros(5)
    apart = [np.array([0, 0, 0, 6.0, 0]), np.array([2.0, 2, 2, 2, 0]), np.array([5.0, 0, 0, 0, 0])]
    found = [work.contraction_ratio(u, v, mdp) for u in apart]
    names = ["6 at cell 3", "2 everywhere", "5 at the start"]
    return table({"they differ by": names}, {"ratio": found})


SCENES = (
    Scene(
        "model",
        "mdp_from_gym",
        "A transition table of three states and two actions, gamma = 0.9.",
        _from_table,
        {
            "keeps-the-last-reward": "Where an action has one outcome all is right.",
            "loses-the-final-reward": "Only outcomes that end the episode lose their pay.",
            "terminal-rows-stay": "State 2 is terminal: nothing should happen there.",
            "overwrites-duplicates": "From state 0 action 0 surely leads to state 1.",
        },
    ),
    Scene(
        "value_iteration",
        "grid_mdp and value_iteration",
        "A corridor of five cells, -1 for every step, gamma = 0.9.",
        _corridor,
        {
            "edges-wrap-around": "The way to the left has become the short one.",
            "greedy-for-the-next-reward": "The values are right, and all actions look equally"
            " good.",
            "averages-over-actions": "These are values of an aimless walk.",
        },
    ),
    Scene(
        "model",
        "grid_mdp",
        "Nine cells with a hole in the middle, a slip of 0.4, gamma = 1, -1 for every step.",
        _square,
        {"slips-backwards": "Slips to both sides would not cost as much near the goal."},
    ),
    Scene(
        "evaluation",
        "policy_value_exact",
        "The corridor under a policy that goes right seven times of ten, gamma = 0.9.",
        _policy,
        {
            "follows-one-action": "A policy that hesitates should need longer.",
            "transposes-the-matrix": "The start seems nearer to the goal than its neighbours.",
        },
    ),
    Scene(
        "value_iteration",
        "bellman_optimality",
        "One sweep over the corridor from made-up values, -1 for every step, gamma = 0.5.",
        _one_sweep,
        {"discounts-the-reward": "Next to the goal one step costs 1."},
    ),
    Scene(
        "improvement",
        "q_from_v",
        "Made-up values of the corridor, -1 for every step, gamma = 0.5.",
        _look_ahead,
        {"forgets-gamma": "From the start, left stays where it is: -1 + 8/2."},
    ),
    Scene(
        "improvement",
        "greedy",
        "Three states with three actions each.",
        _greedy,
        {
            "best-over-states": "No action of states 0 and 2 is the best of its column: nothing"
            " is shared.",
            "first-of-ties": "Equal actions should share.",
        },
    ),
    Scene(
        "evaluation",
        "policy_evaluation",
        "Corridors with the goal at their left end, and a policy that always goes left.",
        _to_the_left,
        {
            "sweeps-in-place": "However long the corridor, the news arrives at once.",
            "forgets-the-last-sweep": "It is one sweep less each time.",
        },
    ),
    Scene(
        "contraction",
        "stopping_sweeps",
        "How many sweeps bring values within 0.2 of the best ones, with rewards of 1 at most?",
        _sweeps,
        {
            "forgets-the-horizon": "The nearer gamma is to 1, the more sweeps are missing.",
            "rounds-down": "It is always one sweep short.",
        },
    ),
    Scene(
        "contraction",
        "contraction_ratio",
        "Two value functions of the corridor, one of them 0, gamma = 0.9.",
        _pull,
        {"euclidean-norm": "One cell alone seems to grow: its neighbours are counted, too."},
    ),
)
