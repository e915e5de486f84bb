"""Boards of q_learning: single updates, cells, and a short corridor."""

from types import SimpleNamespace

import numpy as np
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table

NEXT = np.array([1.0, 5.0, 3.0, 3.0])


def _targets(work):
    ends = [False, True, False]
    rewards, rows = [2.0, 2.0, 0.0], [NEXT, NEXT, -NEXT]
    found = [
        work.q_target(r, row.copy(), 0.5, end)
        for r, row, end in zip(rewards, rows, ends, strict=True)
    ]
    words = [", ".join(f"{x:g}" for x in row) for row in rows]
    return table({"reward": rewards, "q next": words, "terminated": ends}, {"target": found})


def _update(work):
    Q = np.array([[1.0, 2.0], [4.0, 8.0], [0.0, 0.0]])
    error = work.q_learning_update_(Q, 0, 1, 2.0, 1, False, 0.5, 0.5)
    entries = [(s, a) for s in range(3) for a in range(2)]
    before = [1.0, 2.0, 4.0, 8.0, 0.0, 0.0]
    given = {"entry": [f"Q({s}, {a})" for s, a in entries] + ["TD error"], "before": [*before, ""]}
    return table(given, {"after": [*(Q[s, a] for s, a in entries), error]})


def _on_policy(work):
    pi = np.array([0.1, 0.7, 0.1, 0.1])
    found = [
        work.q_target(1.0, NEXT.copy(), 0.5, False),
        work.sarsa_target(1.0, NEXT.copy(), 0, 0.5, False),
        work.expected_sarsa_target(1.0, NEXT.copy(), pi, 0.5, False),
    ]
    names = ["Q-learning", "SARSA, next action 0", "Expected SARSA"]
    return table({"target of": names}, {"target": found})


def _cells(work):
    boxes = work.Discretizer([0.0, -np.inf], [4.0, np.inf], [4, 2], clip=3.0)
    seen = [(0.5, -1.0), (0.5, 1.0), (1.5, -1.0), (2.0, 1.0), (3.9, 2.0), (9.0, -9.0)]
    found = [boxes.encode(obs) for obs in seen]
    return table({"observation": [f"{x:g}, {y:g}" for x, y in seen]}, {"cell": found})


def _clock(work):
    """A clock that runs from 0 to 1, cut into three bins of equal width."""
    boxes = work.Discretizer([0.0], [3.0], [3])
    seen = [0.2, 1.0, 1.2, 2.0, 2.5]
    return table({"observation": seen}, {"cell": [boxes.encode([x]) for x in seen]})


def _double(work):
    first = np.array([[0.0, 0.0], [6.0, 2.0]])
    second = np.array([[0.0, 0.0], [1.0, 4.0]])
    rng, steps = np.random.default_rng(1), []
    for _ in range(6):
        work.double_q_update_(first, second, 0, 0, 1.0, 1, False, 0.5, 1.0, rng)
        steps.append((first[0, 0], second[0, 0]))
    ones, others = zip(*steps, strict=True)
    return table({"update": range(1, 7)}, {"Q1(0, 0)": ones, "Q2(0, 0)": others})


class _Corridor:
    """Six cells in a row, -1 a step, the goal at the right end, a time limit if one is wanted."""

    observation_space, action_space = SimpleNamespace(n=6), SimpleNamespace(n=2)

    def __init__(self, limit):
        self.limit = limit

    def reset(self, seed=None):
        self.at, self.steps = 0, 0
        return 0, {}

    def step(self, action):
        self.at = max(0, self.at + (1 if action == 1 else -1))
        self.steps += 1
        done = self.at == 5
        return self.at, -1.0, done, not done and self.steps >= self.limit, {}


def _trained(work, algo, limit, episodes, epsilon=0.3):
    return work.train(
        _Corridor(limit),
        algo,
        episodes,
        0.2,
        lambda episode: epsilon,
        1.0,
        np.random.default_rng(4),
        seed=1,
    )


def _limit(work):
    Q = _trained(work, "q_learning", 4, 400).Q
    return table({"cell": range(5)}, {"Q of left": Q[:5, 0], "Q of right": Q[:5, 1]})


def _returns(work):
    found = _trained(work, "q_learning", 60, 60, epsilon=0.1).returns
    return curve({"episode": range(1, 61)}, {"return": found})


def _both_tables(work):
    Q = _trained(work, "double_q", 60, 150).Q
    return table({"cell": range(6)}, {"Q of left": Q[:, 0], "Q of right": Q[:, 1]})


SCENES = (
    Scene(
        "targets",
        "q_target",
        "Three steps, gamma = 0.5.",
        _targets,
        {
            "bootstraps-at-terminal": "Nothing follows the second step, and yet it is worth more.",
            "discounts-the-reward": "The second row is right: it has no future to be discounted.",
            "averages-the-next-values": "The best next value is 5, the mean is 3.",
        },
    ),
    Scene(
        "targets",
        "q_learning_update_",
        "One update of Q(0, 1): reward 2, then state 1; alpha = gamma = 0.5.",
        _update,
        {
            "bootstraps-from-the-state-it-left": "The best value of state 1 is 8; here it was 2.",
            "moves-the-whole-row": "Q(0, 0) was not tried.",
            "forgets-the-step-size": "The error is right, and the step is twice too long.",
            "returns-the-step-taken": "The table is right. Look at the last row.",
        },
    ),
    Scene(
        "on_policy",
        "sarsa_target and expected_sarsa_target",
        "Reward 1, next values 1, 5, 3, 3, gamma = 0.5; the policy takes them with chances 0.1,"
        " 0.7, 0.1, 0.1.",
        _on_policy,
        {
            "sarsa-takes-the-best-action": "SARSA and Q-learning agree.",
            "expected-sarsa-ignores-the-policy": "1 + 0.5 · 3: the plain mean of 1, 5, 3, 3.",
        },
    ),
    Scene(
        "discretizer",
        "Discretizer",
        "Four bins between 0 and 4, and two between -∞ and ∞, where 3 stands for ∞.",
        _cells,
        {
            "numbers-cells-column-major": "A step along the first dimension should add 2.",
            "clips-finite-bounds": "The bins of the first dimension have become narrower.",
        },
    ),
    Scene(
        "discretizer",
        "Discretizer",
        "Three bins between 0 and 3.",
        _clock,
        {
            "edge-belongs-below": "Only 1.0 and 2.0 are off.",
            "counts-the-bounds-as-edges": "1.0 and 1.2 share a cell with 0.2.",
        },
    ),
    Scene(
        "double",
        "double_q_update_",
        "Six updates of one entry: reward 1, next values 6, 2 in Q1 and 1, 4 in Q2; alpha = 0.5.",
        _double,
        {
            "only-one-table-learns": "Q2 never moves.",
            "double-q-judges-itself": "Q1 comes near 7: its own best value, on top of 1.",
            "both-tables-learn": "Both move by the same step each time.",
            "double-q-maximises-the-other-table": "Q1 comes near 5: the best of Q2, on top of 1.",
        },
    ),
    Scene(
        "train",
        "train",
        "Q-learning in a corridor of six cells, -1 a step, gamma = 1, and a clock that stops each"
        " episode after four steps.",
        _limit,
        {
            "time-limit-is-an-ending": "With a clock that ends the world, all ways cost about the"
            " same."
        },
    ),
    Scene(
        "train",
        "train",
        "Q-learning in the corridor with a patient clock, epsilon = 0.1: return of each episode.",
        _returns,
        {"exploits-when-it-should-explore": "It goes on wandering."},
    ),
    Scene(
        "train",
        "train",
        "Double Q-learning in the corridor: what it returns after 150 episodes.",
        _both_tables,
        {
            "double-q-returns-the-sum": "Next to the goal one step costs 1, not 2.",
            "skips-the-last-step": "The step into the goal is still at 0.",
            "starts-from-a-random-table": "The goal itself, cell 5, is worth something.",
        },
    ),
)
