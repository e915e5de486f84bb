"""Hidden tests of `dynamic_programming`: invariants of Bellman operators and of the algorithms
built on them.

The references in this file follow the definitions: sums over outcomes, one at a time; the value of
a policy as a sum of discounted rewards; the best value as the largest over all deterministic
policies. Environments are Gymnasium's own, made where the student's code lives; their tables are
read here a second time. Policies are judged by their value, never entry by entry, since several may
be optimal. Everything is float64 and of order one. Measured over many seeds, every known mistake is
off by more than a thousand times the tolerance of the test that catches it.
"""

import functools
import itertools
from typing import NamedTuple

import gymnasium
import numpy as np

from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_finite,
    assert_raises,
    assert_true,
    assert_unchanged,
)
from autograder.judging.plugin import points

# All that these known bugs do is raise an exception, which many a mistake would raise.
UNNAMED = ("gamma-one-passes", "nearly-equal-is-refused")

CLIFF_START = 36  # the state in which CliffWalking-v1 begins; FrozenLake-v1 begins in state 0
LAKE = {"id": "FrozenLake-v1", "map_name": "4x4", "is_slippery": True}
SMOOTH_LAKE = {"id": "FrozenLake-v1", "map_name": "4x4", "is_slippery": False}
BIG_LAKE = {"id": "FrozenLake-v1", "map_name": "8x8", "is_slippery": True}
CLIFF = {"id": "CliffWalking-v1"}
TAXI = {"id": "Taxi-v4"}


class MDP(NamedTuple):
    """The fields of the MDP that students are given."""

    P: np.ndarray
    R: np.ndarray
    terminal: np.ndarray
    gamma: float


# -- problems --------------------------------------------------------------------------------------


def garnet(rng, states=6, actions=3, branches=3, gamma=None, low=-1.0, high=1.0):
    """A Garnet: each action leads to a few random states, with random probabilities and a random
    reward. The discount is random too: no usual constant can stand in for it."""
    gamma = float(rng.uniform(0.85, 0.93)) if gamma is None else gamma
    P = np.zeros((states, actions, states))
    for s, a in np.ndindex(states, actions):
        P[s, a, rng.choice(states, branches, replace=False)] = rng.dirichlet(np.ones(branches))
    return MDP(P, rng.uniform(low, high, size=(states, actions)), np.zeros(states, bool), gamma)


def random_policy(rng, mdp):
    return rng.dirichlet(np.ones(mdp.R.shape[1]), size=len(mdp.R))


def self_loop(gamma, reward=1.0):
    """One state, one action, the same reward for ever: every bound of the handout holds with
    equality."""
    return MDP(np.ones((1, 1, 1)), np.array([[reward]]), np.zeros(1, bool), gamma)


def tempting(gamma=0.9):
    """State 0: take 1 and lose the game, or take nothing and find 5 in state 1. State 2 is the
    end."""
    P, R = np.zeros((3, 2, 3)), np.zeros((3, 2))
    P[0, 1, 1], R[0, 0], R[1] = 1.0, 1.0, 5.0
    return MDP(P, R, np.array([False, False, True]), gamma)


def tied_loops(gamma=0.5, copies=2):
    """Junctions from which two loops of different length are worth the same; every policy is
    optimal.

    Each loop pays once a round. If a policy is evaluated by sweeps until they change little, the
    two loops look different, which of them looks better depends on the policy, and comparing
    actions never settles.
    """
    loops = [
        (2, 1, 0, 1.0),
        (2, 1, 0, -1.0),
        (3, 1, 0, 1.0),
        (3, 1, 1, 1.0),
        (4, 1, 2, 1.0),
        (2, 3, 0, -1.0),
    ] * copies
    size = sum(first + second - 1 for first, second, _, _ in loops)
    P, R, junction = np.zeros((size, 2, size)), np.zeros((size, 2)), 0
    for first, second, pays_at, reward in loops:
        one = [junction, *range(junction + 1, junction + first)]
        other = [junction, *range(junction + first, junction + first + second - 1)]
        for action, loop in enumerate((one, other)):
            for here, there in zip(loop, loop[1:] + loop[:1], strict=True):
                chosen = action if here == junction else slice(None)
                P[here, chosen, there] = 1.0
        R[one[pays_at], 0 if pays_at == 0 else slice(None)] = reward
        worth = reward * gamma**pays_at / (1 - gamma**first)
        R[junction, 1] = worth * (1 - gamma**second)
        junction += first + second - 1
    return MDP(P, R, np.zeros(size, bool), gamma)


def random_table(rng, states=6, actions=2, ends=(2, 4)):
    """A transition table in Gymnasium's form in which everything awkward happens.

    Next states repeat, every outcome has a reward of its own, the states in which episodes end have
    moves and rewards themselves, and one of them can also be passed through without an end.
    """
    table = {}
    for s in range(states):
        table[s] = {}
        for a in range(actions):
            twice, other, end = (
                int(rng.integers(states - 1)),
                int(rng.integers(states)),
                ends[(s + a) % len(ends)],
            )
            chances, rewards = rng.dirichlet(np.full(4, 4.0)), rng.uniform(0.5, 3.0, size=4)
            goals = [twice, end, twice, other]
            table[s][a] = [
                (float(p), s2, float(r), s2 == end and i == 1)
                for i, (p, s2, r) in enumerate(zip(chances, goals, rewards, strict=True))
            ]
    return table


def env_of(lab, table):
    """Something with an environment's table and spaces, on the student's side."""
    spaces = {
        "observation_space": lab.make("types.SimpleNamespace", n=len(table)),
        "action_space": lab.make("types.SimpleNamespace", n=len(table[0])),
    }
    return lab.make(
        "types.SimpleNamespace",
        unwrapped=lab.make("types.SimpleNamespace", P=table, **spaces),
        **spaces,
    )


@functools.cache
def table_of(**spec):
    """The transition table of a real environment, read on this side."""
    return gymnasium.make(**spec).unwrapped.P


def made(lab, id, **options):
    """The real environment, on the student's side."""
    return lab.make("gymnasium.make", id, **options)


def model_of(table, gamma):
    """The MDP of a table by definition: for each entry, a sum over the outcomes that belong to
    it."""
    states, actions = len(table), len(table[0])
    terminal = np.zeros(states, bool)
    for s, a in np.ndindex(states, actions):
        for _, s2, _, done in table[s][a]:
            terminal[s2] |= done
    P, R = np.zeros((states, actions, states)), np.zeros((states, actions))
    for s, a in np.ndindex(states, actions):
        if not terminal[s]:
            R[s, a] = sum(p * r for p, _, r, _ in table[s][a])
            for s2 in {s2 for _, s2, _, done in table[s][a] if not done}:
                P[s, a, s2] = sum(p for p, to, _, done in table[s][a] if to == s2 and not done)
    return MDP(P, R, terminal, gamma)


# -- references ------------------------------------------------------------------------------------


def value_of(pi, mdp, doublings=14):
    """The value of a policy as a sum of 2^doublings discounted rewards, twice as many terms in each
    round."""
    move = mdp.gamma * sum(pi[:, [a]] * mdp.P[:, a] for a in range(pi.shape[1]))
    value = sum(pi[:, a] * mdp.R[:, a] for a in range(pi.shape[1]))
    for _ in range(doublings):
        value, move = value + move @ value, move @ move
    return value


def best_value(mdp):
    """max over all deterministic policies of their value, the definition of v* (eq. 3.15). For tiny
    problems."""
    states, actions = mdp.R.shape
    policies = itertools.product(range(actions), repeat=states)
    return np.max(
        [value_of(np.eye(actions)[list(pi)], mdp, doublings=9) for pi in policies], axis=0
    )


def backed_up(v, s, a, mdp):
    """R(s, a) + gamma * sum over s2 of P(s2|s, a) v(s2), a term at a time."""
    return mdp.R[s, a] + mdp.gamma * sum(mdp.P[s, a, s2] * v[s2] for s2 in range(len(v)))


def sweep_of(pi, v, mdp):
    """(T_pi v)(s) for each s, from the old v."""
    states, actions = mdp.R.shape
    return np.array(
        [sum(pi[s, a] * backed_up(v, s, a, mdp) for a in range(actions)) for s in range(states)]
    )


def best_sweep(v, mdp):
    """(T v)(s) for each s, from the old v."""
    states, actions = mdp.R.shape
    return np.array([max(backed_up(v, s, a, mdp) for a in range(actions)) for s in range(states)])


def until(operator, states, theta):
    """Sweeps from zero until the largest change is below theta: the last values and the changes."""
    v, changes = np.zeros(states), []
    while not changes or changes[-1] >= theta:
        old, v = v, operator(v)
        changes.append(max(abs(v - old)))
    return v, np.array(changes)


def fixed_value(mdp, sweeps):
    """v* of a larger problem, after a number of sweeps that is plenty for it."""
    v = np.zeros(len(mdp.R))
    for _ in range(sweeps):
        v = (mdp.R + mdp.gamma * (mdp.P @ v)).max(axis=1)
    return v


def value_in_table(pi, table, gamma, sweeps):
    """The value of a policy straight from an environment's table, without any MDP in between."""
    outcomes = [(s, a, *o) for s in table for a in table[s] for o in table[s][a]]
    s, a, p, s2, r, done = (np.array(column) for column in zip(*outcomes, strict=True))
    weight, v = pi[s, a] * p, np.zeros(len(table))
    for _ in range(sweeps):
        v = np.bincount(s, weight * (r + gamma * np.where(done, 0.0, v[s2])), len(table))
    return v


def check_model(model, expected):
    """The four fields of an MDP."""
    assert_close(model.P, expected.P, what="P")
    assert_close(model.R, expected.R, what="R")
    assert_equal(model.terminal, expected.terminal, what="terminal")
    assert_close(model.gamma, expected.gamma, what="gamma")


def shaped(array, shape, what):
    """The array, if it is one and has this shape."""
    fits = isinstance(array, np.ndarray) and array.shape == shape
    assert_close(array, array if fits else np.zeros(shape), what=what)
    return array


def check_policy(pi, mdp):
    """A policy of the right shape whose rows are distributions."""
    shaped(pi, mdp.R.shape, "the policy")
    assert_close(pi.sum(axis=1), np.ones(len(pi)), what="the row sums of the policy")
    assert_true(pi.min() >= -1e-9, "probabilities are not negative")


# -- part 1: the model -----------------------------------------------------------------------------


@points(
    3,
    part="model",
    catches="overwrites-duplicates",
    hint="One next state may stand in several outcomes of the same action: their probabilities add "
    "up.",
)
def test_repeated_next_states_add_up(student, lab, rng):
    """When a next state is listed twice for one action, its probabilities are added."""
    table = random_table(rng)
    expected = model_of(table, 0.9)
    assert_close(student.mdp_from_gym(env_of(lab, table), 0.9).P, expected.P, what="P")
    lake = student.mdp_from_gym(
        made(lab, **LAKE), 0.9
    )  # four of its actions list a next state twice
    assert_close(lake.P, model_of(table_of(**LAKE), 0.9).P, what="P of FrozenLake-v1")


@points(
    3,
    part="model",
    catches=("keeps-the-last-reward", "loses-the-final-reward"),
    hint="R(s, a) is an expectation: every outcome counts with its probability, also one that ends "
    "the episode.",
)
def test_rewards_are_averaged_over_all_outcomes(student, lab, rng):
    """R(s, a) is the mean of the rewards of all outcomes, those that end the episode included."""
    table = random_table(rng)
    assert_close(student.mdp_from_gym(env_of(lab, table), 0.9).R, model_of(table, 0.9).R, what="R")


@points(
    4,
    part="model",
    catches="ignores-done",
    hint="After an outcome flagged done there is no next step, whatever the table lists for the "
    "state it leads to.",
)
def test_reaching_the_goal_of_the_cliff_ends_the_walk(student, lab):
    """On CliffWalking-v1 the best walk is 13 steps long and then over."""
    model = student.mdp_from_gym(made(lab, **CLIFF), 0.99)
    P, R = shaped(model.P, (48, 4, 48), "P"), shaped(model.R, (48, 4), "R")
    assert_close(model.gamma, 0.99, what="gamma")
    value = fixed_value(MDP(P, R, model.terminal, 0.99), sweeps=300)
    assert_close(
        value[CLIFF_START], -sum(0.99**t for t in range(13)), what="v* at the start of the cliff"
    )


@points(
    3,
    part="model",
    catches=("terminal-rows-stay", "marks-the-state-before"),
    hint="Terminal is the state that an episode ends in. Its rows of P and R are zero, even if the "
    "table gives it moves.",
)
def test_terminal_states_have_no_moves_and_no_rewards(student, lab, rng):
    """States in which episodes end are marked, and their rows of P and R are zero."""
    table = random_table(rng)
    check_model(student.mdp_from_gym(env_of(lab, table), 0.8), model_of(table, 0.8))
    check_model(student.mdp_from_gym(made(lab, **CLIFF), 0.99), model_of(table_of(**CLIFF), 0.99))


def walk(rows, cell, action):
    """Where a move leads: the cell next door, or the same one at a wall or an edge."""
    r, c = cell
    r2, c2 = {0: (r, c - 1), 1: (r + 1, c), 2: (r, c + 1), 3: (r - 1, c)}[action]
    inside = 0 <= r2 < len(rows) and 0 <= c2 < len(rows[0])
    return (r2, c2) if inside and rows[r2][c2] != "#" else cell


def drawn(rows, slip, gamma, step_reward):
    """The MDP of a grid: one fully determined case after another, weighted with its probability."""
    cells = [(r, c) for r in range(len(rows)) for c in range(len(rows[0])) if rows[r][c] != "#"]
    table = {}
    for s, (r, c) in enumerate(cells):
        table[s] = {}
        for a in range(4):
            sideways = (1, 3) if a in (0, 2) else (0, 2)
            cases = [(1 - slip, a)] + [(slip / 2, side) for side in sideways]
            goals = [(p, walk(rows, (r, c), move)) for p, move in cases]
            table[s][a] = [
                (p, cells.index(goal), step_reward, rows[goal[0]][goal[1]] in "HG")
                for p, goal in goals
            ]
    model = model_of(table, gamma)
    marked = np.array([rows[r][c] in "HG" for r, c in cells])
    model.P[marked], model.R[marked] = 0.0, 0.0
    return MDP(model.P, model.R, marked, gamma)


def random_grid(rng, height=4, width=5):
    """A grid with a few walls, a start in one corner and a goal and a hole somewhere."""
    cells = np.full((height, width), ".")
    places = rng.permutation(height * width - 1)[:6] + 1
    cells.flat[places[:4]] = "#"
    cells.flat[places[4]], cells.flat[places[5]], cells[0, 0] = "G", "H", "S"
    return ["".join(row) for row in cells]


@points(
    3,
    part="model",
    catches=("edges-wrap-around", "rows-and-columns-swapped"),
    hint="Actions are left, down, right, up, in this order. Walls and the edges of the grid stop a "
    "move.",
)
def test_moves_follow_the_drawing(student, rng):
    """Without slips each action goes one cell its way; walls and edges leave the agent where it
    is."""
    rows = random_grid(rng)
    reward = float(rng.uniform(-2.0, -0.5))
    check_model(student.grid_mdp(rows, 0.0, 0.95, reward), drawn(rows, 0.0, 0.95, reward))


@points(
    2,
    part="model",
    catches="slips-backwards",
    hint="A slip goes to one of the two directions perpendicular to the action, slip/2 each, never "
    "backwards.",
)
def test_slips_go_sideways(student, rng):
    """With probability slip the move goes astray, half of it to each side."""
    rows, slip = random_grid(rng), float(rng.uniform(0.2, 0.6))
    model = student.grid_mdp(rows, slip, 0.9, -1.0)
    assert_close(model.P, drawn(rows, slip, 0.9, -1.0).P, what="P")
    always = student.grid_mdp(rows, 1.0, 0.9, -1.0)
    assert_close(always.P, drawn(rows, 1.0, 0.9, -1.0).P, what="P of a grid of ice")
    middle = shaped(student.grid_mdp(["...", "...", "..."], slip).P, (9, 4, 9), "P")[4]
    left, down, right, up = 3, 7, 5, 1  # the neighbours of state 4, the one in the middle
    assert_close(
        middle[0, [left, down, right, up]],
        np.array([1 - slip, slip / 2, 0.0, slip / 2]),
        what="P of going left",
    )
    assert_close(
        middle[1, [left, down, right, up]],
        np.array([slip / 2, 1 - slip, slip / 2, 0.0]),
        what="P of going down",
    )


@points(
    2,
    part="model",
    catches=("rows-and-columns-swapped", "slips-backwards", "edges-wrap-around"),
    hint="FrozenLake is a grid with slip 2/3 and without walls: the same drawing must give the "
    "same P.",
)
def test_the_frozen_lake_is_a_grid(student):
    """Drawn as a grid with slip 2/3, the frozen lake has the transitions of FrozenLake-v1."""
    rows = ["S...", ".H.H", "...H", "H..G"]
    lake = model_of(table_of(**LAKE), 0.99)
    model = student.grid_mdp(rows, 2 / 3)
    assert_close(model.P, lake.P, what="P")
    assert_equal(model.terminal, lake.terminal, what="terminal")
    assert_close(model.gamma, 0.99, what="gamma")


@points(
    2,
    part="model",
    catches="terminal-rows-stay",
    hint="Nothing is paid in a hole or at the goal: their rows of P and R are zero. The step into "
    "them is paid.",
)
def test_a_step_into_the_goal_is_paid_and_the_goal_pays_nothing(student):
    """In a corridor of n steps the best value is n rewards, and the goal is worth nothing."""
    model = student.grid_mdp(["S...G"], 0.0, 1.0, -2.0)
    P, R = shaped(model.P, (5, 4, 5), "P"), shaped(model.R, (5, 4), "R")
    value = fixed_value(MDP(P, R, model.terminal, 1.0), sweeps=20)
    assert_close(value, np.array([-8.0, -6.0, -4.0, -2.0, 0.0]), what="v* of the corridor")


@points(
    2,
    part="model",
    catches="unknown-cells-are-free",
    hint="A drawing or a number that cannot be meant is refused with a ValueError and a sentence.",
)
def test_impossible_grids_are_refused(student):
    """Unknown characters, crooked or empty grids and impossible probabilities raise ValueError."""
    model = student.grid_mdp(["S#G"], gamma=0.5)
    assert_close(model.R, np.array([[-1.0] * 4, [0.0] * 4]), what="R")
    for rows in (["S.x", "..G"], ["S..", ".G"], [], ["##"]):
        with assert_raises(ValueError):
            student.grid_mdp(rows)
    for slip, gamma in ((1.5, 0.9), (-0.1, 0.9), (0.1, 1.1), (0.1, -0.5)):
        with assert_raises(ValueError):
            student.grid_mdp(["S.G"], slip, gamma)


# -- part 2: evaluation ----------------------------------------------------------------------------


@points(
    3,
    part="evaluation",
    catches=("follows-one-action", "discounts-the-reward"),
    hint="Average over all actions of the policy; gamma belongs to the value of the next state "
    "alone.",
)
def test_a_sweep_averages_over_actions_and_next_states(student, rng):
    """(T_pi v)(s) is the mean over the policy's actions of reward plus discounted next value."""
    mdp = garnet(rng)
    pi, v = random_policy(rng, mdp), rng.normal(size=6)
    assert_close(student.bellman_expectation(v, pi, mdp), sweep_of(pi, v, mdp), what="T_pi v")
    rewards = np.array([sum(pi[s, a] * mdp.R[s, a] for a in range(3)) for s in range(6)])
    assert_close(student.bellman_expectation(np.zeros(6), pi, mdp), rewards, what="T_pi of zero")
    for wrong_v, wrong_pi in ((np.zeros(5), pi), (v, pi[:, :2]), (v, 2 * pi)):
        with assert_raises(ValueError):
            student.bellman_expectation(wrong_v, wrong_pi, mdp)


@points(
    2,
    part="evaluation",
    catches="overwrites-its-input",
    hint="Return a new array. Writing into v changes the caller's array, and the change of a sweep "
    "can no longer be seen.",
)
def test_a_sweep_leaves_its_arguments_alone(student, rng):
    """bellman_expectation returns a new array and leaves v, pi and the MDP as they were."""
    mdp = garnet(rng)
    pi, v = random_policy(rng, mdp), rng.normal(size=6)
    old = [x.copy() for x in (v, pi, mdp.P, mdp.R)]
    expected = sweep_of(pi, v, mdp)
    assert_close(student.bellman_expectation(v, pi, mdp), expected, what="T_pi v")
    for before, after, name in zip(old, (v, pi, mdp.P, mdp.R), ("v", "pi", "P", "R"), strict=True):
        assert_unchanged(before, after, what=name)
    assert_close(student.bellman_expectation(v, pi, mdp), expected, what="T_pi v, asked again")


@points(
    4,
    part="evaluation",
    catches=("follows-one-action", "discounts-the-reward"),
    hint="The limit of the sweeps is the sum of all discounted rewards under the policy, "
    "stochastic or not.",
)
def test_evaluation_converges_to_the_sum_of_discounted_rewards(student, rng):
    """For a stochastic policy the values are the discounted rewards that it collects, to the
    accuracy asked for."""
    mdp = garnet(rng)
    pi = random_policy(rng, mdp)
    v, sweeps = student.policy_evaluation(mdp, pi, 1e-11)
    assert_close(v, value_of(pi, mdp), atol=1e-8, what="v")
    assert_finite(sweeps, "sweeps")
    assert_true(20 < sweeps < 500, "the number of sweeps fits gamma and theta = 1e-11")


@points(
    3,
    part="evaluation",
    catches=(
        "sweeps-in-place",
        "forgets-the-last-sweep",
        "returns-the-sweep-before",
        "overwrites-its-input",
        "stops-at-equal",
    ),
    hint="Each sweep reads the old values of all states; the sweep that meets the threshold "
    "counts, and its values are returned.",
)
def test_sweeps_are_synchronous_and_all_counted(student, rng):
    """After k synchronous sweeps from zero, v_k and k are returned, the last sweep included."""
    mdp = garnet(rng, low=0.5, high=1.5)
    pi = random_policy(rng, mdp)
    # With the second threshold the first sweep is the last one. Both are answered before one is
    # judged: a loop that goes on while changes are small differs from every other mistake there.
    thetas = (0.01, 100.0, 0.3)
    found = [student.policy_evaluation(mdp, pi, theta) for theta in thetas]
    for theta, (v, sweeps) in zip(thetas, found, strict=True):
        expected, changes = until(lambda v: sweep_of(pi, v, mdp), 6, theta)
        assert_close(v, expected, what="v")
        assert_equal(sweeps, len(changes), what="sweeps")
    # Changes of 1, 1/2, 1/4, 1/8: a change that is equal to the threshold is not below it.
    v, sweeps = student.policy_evaluation(self_loop(0.5), np.ones((1, 1)), 0.25)
    assert_close(v, np.array([1.875]), what="v on a loop")
    assert_equal(sweeps, 4, what="sweeps on a loop")
    assert_raises_for_theta(lambda theta: student.policy_evaluation(mdp, pi, theta))


def assert_raises_for_theta(call):
    for theta in (0.0, -1e-3):
        with assert_raises(ValueError):
            call(theta)


@points(
    2,
    part="evaluation",
    catches="change-without-abs",
    hint="How much a sweep changes does not depend on the sign of the change: values may fall as "
    "well as rise.",
)
def test_falling_values_are_changes_too(student, rng):
    """Where values fall, the sweeps go on until they have come to rest."""
    mdp = garnet(rng, low=-2.0, high=-1.0)
    mdp.R[0] = 0.5  # a value that rises at first
    pi = random_policy(rng, mdp)
    v, _ = student.policy_evaluation(mdp, pi, 1e-11)
    assert_close(v, value_of(pi, mdp), atol=1e-8, what="v")


@points(
    3,
    part="evaluation",
    catches=("transposes-the-matrix", "follows-one-action"),
    hint="Solve (I - gamma P_pi) v = r_pi; row s of P_pi holds the probabilities of moving away "
    "from s.",
)
def test_the_exact_value_is_a_fixed_point(student, rng):
    """policy_value_exact is left unchanged by T_pi, also without discounting where episodes end."""
    mdp = garnet(rng)
    pi = random_policy(rng, mdp)
    v = student.policy_value_exact(mdp, pi)
    assert_close(v, value_of(pi, mdp), what="v")
    assert_close(sweep_of(pi, v, mdp), v, what="T_pi v")
    lake = model_of(table_of(**LAKE), 1.0)
    uniform = np.full((16, 4), 0.25)
    assert_close(
        student.policy_value_exact(lake, uniform),
        value_of(uniform, lake),
        what="chance to cross the lake at random",
    )
    with assert_raises(ValueError):  # no discount and no end: there is no value
        student.policy_value_exact(self_loop(1.0), np.ones((1, 1)))


# -- part 3: improvement ---------------------------------------------------------------------------


@points(
    3,
    part="improvement",
    catches=("discounts-the-reward", "forgets-gamma"),
    hint="q(s, a): one reward now, then the discounted value of where the action leads.",
)
def test_action_values_look_one_step_ahead(student, rng):
    """q(s, a) is the reward plus gamma times the mean value of the next state."""
    mdp = garnet(rng)
    v = rng.normal(size=6)
    expected = np.array([[backed_up(v, s, a, mdp) for a in range(3)] for s in range(6)])
    assert_close(student.q_from_v(v, mdp), expected, what="q")
    assert_close(student.q_from_v(np.zeros(6), mdp), mdp.R, what="q of zero values")
    with assert_raises(ValueError):
        student.q_from_v(np.zeros((6, 1)), mdp)


@points(
    2,
    part="improvement",
    catches="first-of-ties",
    hint="Actions that are equally good share the probability equally.",
)
def test_ties_share_the_probability(student, rng):
    """Two or three best actions get one half or one third each, a single best action gets
    everything."""
    top = rng.uniform(-3.0, 3.0, size=4)
    best = np.array([[1, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
    q = np.where(best, top[:, None], top[:, None] - rng.uniform(0.1, 1.0, size=(4, 3)))
    expected = np.array([[1, 0, 0], [0, 1 / 2, 1 / 2], [1 / 2, 0, 1 / 2], [1 / 3, 1 / 3, 1 / 3]])
    assert_close(student.greedy(q), expected, what="the greedy policy")


@points(
    2,
    part="improvement",
    catches="relative-tolerance",
    hint="Within tol of the best, as a plain difference: the size of the values plays no part.",
)
def test_the_tolerance_is_absolute(student):
    """Values tie when they differ by at most tol, however large they are."""
    q = np.array(
        [
            [1e6, 1e6 + 1.0, 0.0],
            [-1e6, -1e6 - 1.0, -2e6],
            [1.0, 1.0 - 4e-10, 0.0],
            [1.0, 1.0 - 1e-6, 0.0],
        ]
    )
    expected = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert_close(student.greedy(q), expected, what="the greedy policy")
    wide = student.greedy(np.array([[2.0, 1.7, 1.0], [0.0, 0.8, 0.2]]), tol=0.5)
    assert_close(
        wide, np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]), what="the greedy policy with tol = 0.5"
    )
    exact = student.greedy(np.array([[2.0, 2.0, 1.0], [0.0, 0.8, 0.8 - 1e-12]]), tol=0.0)
    assert_close(
        exact, np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]), what="the greedy policy with tol = 0"
    )
    for q, tol in ((np.zeros(3), 1e-9), (np.zeros((2, 3)), -1.0)):
        with assert_raises(ValueError):
            student.greedy(q, tol)


@points(
    4,
    part="improvement",
    catches="best-over-states",
    hint="Compare the actions of one state with each other. The greedy policy is then never worse "
    "than the policy it comes from.",
)
def test_a_greedy_policy_is_never_worse(student, rng):
    """Policy improvement: in every state the greedy policy of q_pi is worth at least as much as
    pi."""
    for _ in range(3):
        mdp = garnet(rng, states=7)
        pi = random_policy(rng, mdp)
        value = value_of(pi, mdp)
        better = student.greedy(student.q_from_v(value, mdp))
        check_policy(better, mdp)
        gain = value_of(better, mdp) - value
        assert_true(gain.min() >= -1e-9, "the greedy policy is worse nowhere")
        assert_true(
            gain.max() >= 1e-3,
            "the greedy policy is better somewhere, since a random policy is not optimal",
        )


# -- part 4: policy iteration ----------------------------------------------------------------------


@points(
    4,
    part="policy_iteration",
    catches="flips-on-ties",
    hint="Equally good policies must not take turns for ever: ties differ by rounding, or by what "
    "the evaluation left undone.",
)
def test_ties_do_not_keep_the_search_going(student):
    """Where two ways are worth exactly the same, policy iteration stops after a few
    improvements."""
    mdp = tied_loops()
    pi, v, iters = student.policy_iteration(mdp)
    assert_finite(iters, "iters")
    assert_true(1 <= iters <= 20, "a few improvements are enough")
    check_policy(pi, mdp)
    always_the_first = np.eye(2)[np.zeros(len(mdp.R), int)]
    assert_close(v, value_of(always_the_first, mdp), atol=1e-8, what="v")


@points(
    4,
    part="policy_iteration",
    catches=("evaluates-one-sweep", "flips-on-ties"),
    hint="Evaluate each policy to the end before improving it; when nothing improves any more, v "
    "is v*.",
)
def test_policy_iteration_finds_the_best_of_all_policies(student, rng):
    """v is the largest value that any deterministic policy reaches, and the returned policy reaches
    it."""
    for _ in range(2):
        mdp = garnet(rng, states=4, branches=2)
        pi, v, _ = student.policy_iteration(mdp)
        best = best_value(mdp)
        assert_close(v, best, atol=1e-8, what="v")
        check_policy(pi, mdp)
        assert_close(value_of(pi, mdp), best, atol=1e-8, what="the value of the policy")


@points(
    2,
    part="policy_iteration",
    catches="forgets-the-last-improvement",
    hint="iters counts the improvements, also the last one, which finds nothing to change.",
)
def test_the_last_improvement_counts(student, rng):
    """With one action nothing can change: one improvement. With two doors: one that finds both, one
    that confirms them."""
    only = garnet(rng, states=5, actions=1)
    pi, v, iters = student.policy_iteration(only)
    assert_close(pi, np.ones((5, 1)), what="the only policy")
    assert_close(v, value_of(np.ones((5, 1)), only), atol=1e-8, what="v")
    assert_equal(iters, 1, what="iters with a single action")
    # Two doors lead to a room that pays 5. No policy without a look ahead takes both: not one that
    # does the same everywhere, nor one that takes what pays most at once.
    P, R = np.zeros((3, 3, 3)), np.zeros((3, 3))
    P[0, 1, 2] = P[1, 2, 2] = 1.0
    R[:2, 0], R[2] = 1.0, 5.0
    doors = MDP(P, R, np.zeros(3, bool), 0.9)
    _, v, iters = student.policy_iteration(doors)
    assert_close(v, np.array([4.5, 4.5, 5.0]), atol=1e-8, what="v behind two doors")
    assert_equal(iters, 2, what="iters with two doors")


# -- part 5: value iteration -----------------------------------------------------------------------


@points(
    4,
    part="value_iteration",
    catches=("averages-over-actions", "discounts-the-reward"),
    hint="T takes the best action; a constant added to v comes out times gamma; distances shrink "
    "by gamma at least.",
)
def test_the_optimality_operator_is_a_monotone_contraction(student, rng):
    """T v is the best action's value; larger v gives larger T v; T(v + c) = T v + gamma c;
    distances shrink by gamma."""
    mdp = garnet(rng)
    u, v = rng.normal(size=(2, 6))
    c = float(rng.uniform(1.0, 2.0))
    Tv = student.bellman_optimality(v, mdp)
    assert_close(Tv, best_sweep(v, mdp), what="T v")
    assert_close(student.bellman_optimality(np.zeros(6), mdp), mdp.R.max(axis=1), what="T of zero")
    assert_close(student.bellman_optimality(v + c, mdp), Tv + mdp.gamma * c, what="T(v + c)")
    Tu = student.bellman_optimality(u, mdp)
    assert_true(
        max(abs(Tu - Tv)) <= mdp.gamma * max(abs(u - v)) + 1e-9, "distances shrink by gamma"
    )
    higher = student.bellman_optimality(v + np.abs(u), mdp)
    assert_true((higher - Tv).min() >= -1e-9, "a larger v gives a larger T v")
    with assert_raises(ValueError):
        student.bellman_optimality(np.zeros(7), mdp)


@points(
    2,
    part="value_iteration",
    catches="overwrites-its-input",
    hint="Return a new array. Writing into v changes the caller's array, and the change of a sweep "
    "can no longer be seen.",
)
def test_the_optimality_operator_leaves_its_arguments_alone(student, rng):
    """bellman_optimality and q_from_v return new arrays and leave v and the MDP as they were."""
    mdp = garnet(rng)
    v = rng.normal(size=6)
    old = [x.copy() for x in (v, mdp.P, mdp.R)]
    expected = best_sweep(v, mdp)
    assert_close(student.bellman_optimality(v, mdp), expected, what="T v")
    for before, after, name in zip(old, (v, mdp.P, mdp.R), ("v", "P", "R"), strict=True):
        assert_unchanged(before, after, what=name)
    assert_close(student.bellman_optimality(v, mdp), expected, what="T v, asked again")


@points(
    4,
    part="value_iteration",
    catches=(
        "sweeps-in-place",
        "forgets-the-last-sweep",
        "change-without-abs",
        "overwrites-its-input",
        "stops-at-equal",
    ),
    hint="errors[k-1] is max|v_k - v_(k-1)| of sweep k: positive, synchronous, one entry for each "
    "sweep, the last one too.",
)
def test_every_sweep_leaves_its_largest_change(student, rng):
    """errors holds max|v_k - v_(k-1)| of every sweep, and only the last one is below theta."""
    for low, high in ((-1.5, -0.5), (0.5, 1.5)):
        mdp = garnet(rng, low=low, high=high)
        expected, changes = until(lambda v, mdp=mdp: best_sweep(v, mdp), 6, 0.05)
        v, _, errors = student.value_iteration(mdp, 0.05)
        assert_close(errors, changes, what="errors")
        assert_close(v, expected, what="v")
    # A change that is equal to the threshold is not below it.
    _, _, errors = student.value_iteration(self_loop(0.5), 0.25)
    assert_close(errors, np.array([1.0, 0.5, 0.25, 0.125]), what="errors on a loop")
    assert_raises_for_theta(lambda theta: student.value_iteration(mdp, theta))


@points(
    3,
    part="value_iteration",
    catches="returns-the-sweep-before",
    hint="The bound gamma/(1-gamma) times the last change is for the values after that change.",
)
def test_the_last_change_bounds_the_error(student, rng):
    """max|v - v*| is at most gamma/(1-gamma) times the last change, with equality on a single
    loop."""
    gamma = float(rng.uniform(0.4, 0.6))
    v, _, errors = student.value_iteration(self_loop(gamma), 1e-3)
    assert_close(errors, gamma ** np.arange(len(errors)), what="errors on a loop")
    assert_true(errors[-1] < 1e-3 <= errors[-2], "the loop stops with the first change below theta")
    assert_close(
        1 / (1 - gamma) - v, gamma / (1 - gamma) * errors[-1:], what="the distance to v* on a loop"
    )
    for theta in (0.1, 1e-3):
        mdp = garnet(rng, states=4, gamma=0.5, branches=2)
        v, _, errors = student.value_iteration(mdp, theta)
        assert_close(v, best_value(mdp), atol=2 * theta, what="v, roughly")
        assert_true(
            max(abs(v - best_value(mdp))) <= 0.5 / (1 - 0.5) * errors[-1] + 1e-9,
            "the error bound holds",
        )


@points(
    3,
    part="value_iteration",
    catches=("change-without-abs", "overwrites-its-input"),
    hint="gamma = 1 is fine where episodes end: the values are then plain sums of rewards.",
)
def test_undiscounted_episodes(student):
    """With gamma = 1 the cliff costs 13 steps, and the lake is crossed with probability 14/17."""
    v, _, _ = student.value_iteration(
        model_of(table_of(**CLIFF), 1.0), 0.5
    )  # moves are certain: the last change is 0
    assert_close(
        shaped(v, (48,), "v of the cliff")[CLIFF_START], -13.0, what="v* at the start of the cliff"
    )
    v, _, _ = student.value_iteration(model_of(table_of(**LAKE), 1.0), 1e-9)
    assert_close(
        shaped(v, (16,), "v of the lake")[0],
        14 / 17,
        atol=1e-5,
        what="the chance to cross the lake",
    )


@points(
    3,
    part="value_iteration",
    catches=("greedy-for-the-next-reward", "averages-over-actions"),
    hint="Two algorithms, one answer: values and policies of value iteration and policy iteration "
    "agree.",
)
def test_both_algorithms_and_the_exact_solution_agree(student, rng):
    """Value iteration, policy iteration and the exact value of the policies they return agree."""
    for mdp in (tempting(), garnet(rng)):
        v, pi, _ = student.value_iteration(mdp, 1e-11)
        other_pi, other_v, _ = student.policy_iteration(mdp)
        assert_close(v, fixed_value(mdp, sweeps=400), atol=1e-8, what="v of value iteration")
        assert_close(other_v, v, atol=1e-8, what="v of policy iteration")
        for policy in (pi, other_pi):
            check_policy(policy, mdp)
            assert_close(
                student.policy_value_exact(mdp, policy),
                v,
                atol=1e-8,
                what="the exact value of a returned policy",
            )
    # One sweep is enough for this threshold, and the policy is greedy for the values after it.
    v, pi, _ = student.value_iteration(tempting(), 10.0)
    assert_close(v, np.array([1.0, 5.0, 0.0]), what="v after one sweep")
    assert_close(pi[0], np.array([0.0, 1.0]), what="the policy after one sweep")


# Nothing is drawn in this check, by the test or by a solution: what it compares are functions of
# Gymnasium's tables, so there are no seeds to choose, and a correct solution cannot fail by chance.
# The reference is within 5e-7 of the numbers (they have six digits), the tolerance is 1e-5. It
# counts as a learning check because it is the course's end-to-end one, real environments in,
# policies out, and because a broken variant may sweep for long.
@points(
    8,
    part="value_iteration",
    learning=True,
    hint="Put your own parts together: mdp_from_gym, then each solver. Compare v with the numbers "
    "in the handout.",
)
def test_the_real_environments_are_solved(student, lab):
    """FrozenLake-v1 (three variants), CliffWalking-v1 and Taxi-v4: the returned policies are worth
    what they should."""
    home = lab.kept(student)
    steps = -sum(0.99**t for t in range(13))
    known = [
        (LAKE, 0, 0.542026),
        (BIG_LAKE, 0, 0.414640),
        (SMOOTH_LAKE, 0, 0.99**5),
        (CLIFF, CLIFF_START, steps),
    ]
    for spec, start, worth in known:
        mdp = home.mdp_from_gym(made(lab, **spec), 0.99)
        v, pi, _ = student.value_iteration(mdp, 1e-10)
        other_pi, other_v, _ = student.policy_iteration(mdp)
        for policy, values in ((pi, v), (other_pi, other_v)):
            check_policy(policy, model_of(table_of(**spec), 0.99))
            reached = value_in_table(policy, table_of(**spec), 0.99, sweeps=3000)
            assert_close(
                reached[start], worth, atol=1e-5, what="the value of the policy at the start"
            )
            assert_close(
                values,
                np.where(model_of(table_of(**spec), 0.99).terminal, 0.0, reached),
                atol=1e-5,
                what="v",
            )
    _, pi, _ = student.value_iteration(home.mdp_from_gym(made(lab, **TAXI), 0.99), 1e-8)
    model, starts = (
        model_of(table_of(**TAXI), 0.99),
        gymnasium.make(**TAXI).unwrapped.initial_state_distrib > 0,
    )
    check_policy(pi, model)
    reached = value_in_table(pi, table_of(**TAXI), 0.99, sweeps=3000)
    assert_close(
        reached[starts],
        fixed_value(model, sweeps=60)[starts],
        atol=1e-5,
        what="the value of the policy in the taxi",
    )


# -- part 6: contraction ---------------------------------------------------------------------------


@points(
    3,
    part="contraction",
    catches=("rounds-down", "forgets-the-horizon"),
    hint="The smallest k with gamma^k r_max / (1 - gamma) <= eps: it suffices, and one less does "
    "not.",
)
def test_the_number_of_sweeps_is_the_smallest_that_suffices(student, rng):
    """gamma^k r_max/(1-gamma) <= eps holds for k and fails for k - 1."""
    gammas = (*rng.uniform(0.8, 0.99, size=4), *rng.uniform(0.3, 0.7, size=4))
    cases = [
        (float(gamma), float(10 ** rng.uniform(-6, -1)), float(rng.uniform(0.5, 20.0)))
        for gamma in gammas
    ]
    for gamma, eps, r_max in cases:
        k, bound = 0, r_max / (1 - gamma)
        while gamma**k * bound > eps:
            k += 1
        assert_equal(student.stopping_sweeps(gamma, eps, r_max), k, what="the number of sweeps")
    assert_equal(
        student.stopping_sweeps(0.5, 0.3), 3, what="sweeps for gamma = 1/2, eps = 0.3"
    )  # 2, 1, 1/2, 1/4
    assert_equal(student.stopping_sweeps(0.5, 5.0), 0, what="sweeps when zero is good enough")
    assert_equal(student.stopping_sweeps(0.0, 0.1), 1, what="sweeps for gamma = 0")
    assert_equal(student.stopping_sweeps(0.5, 1.0), 1, what="sweeps where the bound is met exactly")
    assert_equal(student.stopping_sweeps(0.5, 0.3, 0.5), 2, what="sweeps for small rewards")
    assert_equal(student.stopping_sweeps(0.9, 0.1, 0.0), 0, what="sweeps without rewards")


@points(
    3,
    part="contraction",
    catches=("rounds-down", "forgets-the-horizon"),
    hint="Start at zero and apply your own operator that many times: the error must then be below "
    "eps.",
)
def test_that_many_sweeps_do_bring_the_error_below_eps(student, rng):
    """After stopping_sweeps sweeps the error is below eps; on a single loop one sweep less is not
    enough."""
    gamma = float(rng.uniform(0.5, 0.7))
    eps = gamma ** (int(rng.integers(4, 10)) - 0.5) / (
        1 - gamma
    )  # half-way between what two numbers of sweeps promise
    for mdp in (self_loop(gamma), garnet(rng, states=4, gamma=gamma, branches=2)):
        k = student.stopping_sweeps(gamma, eps)
        assert_finite(k, "the number of sweeps")
        assert_true(1 <= k <= 100, "the number of sweeps is plausible")
        values = [np.zeros(len(mdp.R))]
        for _ in range(int(k)):
            values.append(student.bellman_optimality(values[-1], mdp))
        distances = [float(max(abs(v - best_value(mdp)))) for v in values]
        assert_close(values[-1], best_value(mdp), atol=eps, what="v after that many sweeps")
        assert_true(len(mdp.R) > 1 or distances[-2] > eps, "on a loop one sweep less is not enough")


@points(
    3,
    part="contraction",
    catches=("euclidean-norm", "averages-over-actions"),
    hint="Distances are the largest difference over the states, before and after one sweep of the "
    "optimality operator.",
)
def test_the_ratio_uses_the_maximum_norm(student, rng):
    """contraction_ratio is the quotient of largest differences: at most gamma, and gamma for a
    constant shift."""
    mdp = garnet(rng)
    u, v = rng.normal(size=(2, 6))
    Tu, Tv = best_sweep(u, mdp), best_sweep(v, mdp)
    assert_close(
        student.contraction_ratio(u, v, mdp), max(abs(Tu - Tv)) / max(abs(u - v)), what="the ratio"
    )
    assert_close(
        student.contraction_ratio(u, u + 3.0, mdp), mdp.gamma, what="the ratio of a constant shift"
    )
    sparse = garnet(
        rng, branches=1
    )  # where a move is certain, one state's difference may carry over in full to several states
    spike = np.eye(6)[int(np.argmax(sparse.P[0, 0]))]
    expected = max(abs(best_sweep(100 * spike, sparse) - best_sweep(0 * spike, sparse))) / 100
    assert_close(
        student.contraction_ratio(100 * spike, 0 * spike, sparse),
        expected,
        what="the ratio of a spike",
    )


@points(
    2,
    part="contraction",
    catches=("gamma-one-passes", "divides-zero-by-zero", "nearly-equal-is-refused"),
    hint="Without discounting there is no such bound, and two equal functions have no ratio: "
    "ValueError.",
)
def test_questions_without_an_answer_are_refused(student, rng):
    """gamma = 1, eps = 0, a negative r_max and two equal value functions raise ValueError."""
    assert_equal(
        student.stopping_sweeps(0.9, 0.1, 1.0), 44, what="sweeps for gamma = 0.9, eps = 0.1"
    )
    mdp = garnet(rng)
    v = rng.normal(size=6)
    assert_close(
        student.contraction_ratio(v, v - 1.0, mdp), mdp.gamma, what="the ratio of a constant shift"
    )
    # Nearly equal is not equal.
    quiet = garnet(rng, low=0.0, high=0.0)
    assert_close(
        student.contraction_ratio(np.full(6, 1e-10), np.zeros(6), quiet),
        quiet.gamma,
        what="the ratio of functions that are nearly equal",
    )
    for gamma, eps, r_max in (
        (1.0, 0.1, 1.0),
        (-0.1, 0.1, 1.0),
        (0.9, 0.0, 1.0),
        (0.0, 0.0, 1.0),
        (0.9, -0.5, 1.0),
        (0.9, 0.1, -1.0),
    ):
        with assert_raises(ValueError):
            student.stopping_sweeps(gamma, eps, r_max)
    for other in (v.copy(), np.zeros(5)):
        with assert_raises(ValueError):
            student.contraction_ratio(v, other, mdp)
