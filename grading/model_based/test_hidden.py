"""Hidden tests of model_based.

Tables, queues and normalisers are tested with numbers that were drawn, against definitions that are
written down slowly. Searches and ensembles draw at random: their tests look at what was asked for
(the candidates that were scored), at distributions, and at answers that are known (a Riccati
recursion, a least-squares fit, a fixed point). Behind each imagined end the tables hold made-up
values, so that nobody can look there unnoticed.
"""

from itertools import combinations
from typing import NamedTuple

import gymnasium
import numpy as np
import torch

from autograder.isolation.bridge.environments import one_more_reset
from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_finite,
    assert_frequencies,
    assert_raises,
    assert_true,
    assert_unchanged,
)
from autograder.judging.plugin import points

# Its answers depend on random draws alone, which the diagnosis does not compare.
UNNAMED = ("bootstrap-in-every-epoch",)

# -- the records that the functions of the assignment take -----------------------------------------


class Normaliser(NamedTuple):
    """Mean and scale of each column."""

    mean: np.ndarray
    scale: np.ndarray


class Transitions(NamedTuple):
    """Steps of a continuous world."""

    states: np.ndarray
    actions: np.ndarray
    next_states: np.ndarray


class FitSettings(NamedTuple):
    """How an ensemble is trained."""

    members: int
    hidden: tuple
    epochs: int
    batch_size: int
    rate: float


class Gaussian(NamedTuple):
    """Mean and deviation of each entry."""

    mean: np.ndarray
    std: np.ndarray


class CemSettings(NamedTuple):
    """How the cross-entropy method searches."""

    population: int
    elites: int
    iterations: int
    smoothing: float
    min_std: float = 0.0


class Problem(NamedTuple):
    """What a planner knows of a task."""

    reward: object
    terminal: object
    low: np.ndarray
    high: np.ndarray
    gamma: float


def never(next_states):
    """No step ends anything."""
    return np.zeros(next_states.shape[:-1], bool)


# -- tabular worlds --------------------------------------------------------------------------------

# Pairs (s, a) and where they lead; None: the step terminates. States 0 to 4, three actions. State 0
# was left with one action, state 1 with two, state 2 with three, state 3 with one.
SEEN = {(0, 1): 2, (1, 0): 0, (1, 2): 1, (2, 0): 3, (2, 1): None, (2, 2): 1, (3, 1): 2}
END = 4


def world(rng):
    """{(s, a): (r, s2, terminated)} with the states renamed and no reward near 0."""
    names = [*rng.permutation(4).tolist(), END]
    outcomes = {}
    for (s, a), s2 in SEEN.items():
        paid = float(rng.uniform(0.7, 2.3) * rng.choice([-1.0, 1.0]))
        outcomes[names[s], a] = (paid, names[END if s2 is None else s2], s2 is None)
    return outcomes


def taught(student, outcomes, rng=None):
    """A student's model that has seen the outcomes, in a random order."""
    model, pairs = student.TabularModel(), list(outcomes)
    for k in rng.permutation(len(pairs)) if rng is not None else range(len(pairs)):
        s, a = pairs[k]
        r, s2, terminated = outcomes[s, a]
        model.learn_(s, a, r, s2, terminated)
    return model


def table(rng, n_states=5, n_actions=3):
    """(S, A) A table, with large values in the state behind the end."""
    Q = rng.normal(size=(n_states, n_actions))
    Q[-1] += 30.0
    return Q


def target(Q, outcome, gamma):
    """Q-learning's target of one outcome."""
    r, s2, terminated = outcome
    return r if terminated else r + gamma * Q[s2].max()


def settled(Q, outcomes, gamma):
    """The table in which no seen pair has an error, and no other entry has changed."""
    Q = Q.copy()
    for _ in range(400):
        for pair, outcome in outcomes.items():
            Q[pair] = target(Q, outcome, gamma)
    return Q


def replay(Q, steps, alpha, gamma):
    """Q-learning from real steps (s, a, r, s2, terminated), in place."""
    for s, a, *outcome in steps:
        Q[s, a] += alpha * (target(Q, outcome, gamma) - Q[s, a])
    return Q


class Scripted:
    """A small lent world with a diary. Its states are integers, its moves and rewards are tables.

    ``end``: this state is terminal. ``limit``: a clock truncates an episode after so many steps.
    ``luck``: added to each reward once more for every real step, so that outcomes change; a reset
    with a seed brings back the luck of the beginning.
    """

    def __init__(self, lab, moves, rewards, *, end, limit, luck=0.0):
        self.moves, self.rewards = np.asarray(moves), np.asarray(rewards, float)
        self.end, self.limit, self.luck, self.lucky = end, limit, luck, 0
        self.lent = lab.expose(self, "reset", "step")
        self.diary, self.lengths, self.seeds = [], [], []
        self.resets, self.state = 0, None

    def reset(self, *, seed=None, options=None):
        self.resets = one_more_reset(self.resets)
        self.state, self.clock = 0, 0
        self.lucky = self.lucky if seed is None else 0
        self.seeds.append(seed)
        self.lengths.append(0)
        return self.state, {}

    def step(self, action):
        s, a, self.resets = self.state, int(action), 0
        if s is None:
            raise RuntimeError("step() was called although the episode is over: call reset().")
        if not 0 <= a < self.moves.shape[1]:
            raise ValueError(f"There is no action {a}.")
        self.clock, self.lucky = self.clock + 1, self.lucky + 1
        s2 = int(self.moves[s, a])
        terminated = s2 == self.end
        truncated = self.clock >= self.limit and not terminated
        reward = float(self.rewards[s, a]) + self.luck * self.lucky
        self.diary.append((s, a, reward, s2, terminated))
        self.lengths[-1] += 1
        self.state = None if terminated or truncated else s2
        return s2, reward, terminated, truncated, {}


# Action 1 walks to the end in state 4, action 0 walks back, action 2 stays.
CORRIDOR = [[0, 1, 0], [0, 2, 1], [1, 3, 2], [2, 4, 3], [4, 4, 4]]


# -- part 1: a table as a model --------------------------------------------------------------------


@points(
    1,
    part="dyna",
    catches=("first-outcome-stays", "model-forgets-the-end"),
    hint="The model keeps, for each pair of a state and an action, what came of it the last time, "
    "an end included.",
)
def test_the_model_keeps_the_latest_outcome_of_each_pair(student, rng):
    """The model predicts what came of a pair the last time, and pairs do not disturb each other."""
    outcomes = world(rng)
    model = taught(student, outcomes, rng)
    for (s, a), (r, s2, terminated) in outcomes.items():
        found = model.predict(s, a)
        assert_close(found[0], r, what="the reward")
        assert_equal(
            [found[1], found[2]], [s2, terminated], what="next state, and whether it ended"
        )
    s, a = next(iter(outcomes))
    for r, s2, terminated in ((0.3, 3, False), (-4.2, END, True), (1.7, 1, False)):
        model.learn_(s, a, r, s2, terminated)
        found = model.predict(s, a)
        assert_close(found[0], r, what="the reward after the world has changed")
        assert_equal([found[1], found[2]], [s2, terminated], what="the rest of the outcome")


@points(
    2,
    part="dyna",
    catches=("pairs-instead-of-states", "imagines-the-latest-action", "plans-unseen-actions"),
    hint="First a state, each one equally likely; then one of the actions that were tried there. A "
    "state with three known actions is drawn no more often than one with a single action.",
)
def test_a_state_is_drawn_before_its_action(student, rng):
    """Planning draws states with equal chances, and then one of the actions that were tried."""
    # With gamma = 0 and constant rewards, the value of a pair says how often it was learned from.
    pairs, n, alpha = list(world(rng)), 6000, 0.001
    outcomes = {pair: (-5.0, pair[0], False) for pair in pairs}
    model = taught(student, outcomes, rng)
    for s, a in (pairs[0], pairs[-1], pairs[0]):
        model.learn_(s, a, -5.0, s, False)
    for s, a in pairs:
        assert_equal(model.predict(s, a)[1], s, what="where a pair leads")
    Q = np.zeros((5, 3))
    student.plan_(Q, model, n, alpha, 0.0, np.random.default_rng(int(rng.integers(2**31))))
    assert_finite(Q, "Q")
    counts = np.log(np.clip(1.0 + Q / 5.0, 1e-12, None)) / np.log(1.0 - alpha)
    assert_close(counts, np.round(counts), rtol=0.0, atol=1e-3, what="the number of updates")
    known = np.zeros((5, 3))
    for s, a in pairs:
        known[s, a] = 1.0 / sum(one == s for one, _ in pairs)
    assert_frequencies(np.round(counts), known, what="how often each pair was imagined")
    assert_close(float(np.round(counts).sum()), float(n), what="the number of updates in all")


@points(
    2,
    part="dyna",
    catches=(
        "plans-unseen-actions",
        "model-forgets-other-actions",
        "imagined-end-is-ignored",
        "model-forgets-the-end",
        "imagines-the-latest-action",
    ),
    hint="Only pairs that were seen can be imagined. After much planning, none of them has an error "
    "left, and all other entries are what they were.",
)
def test_planning_settles_seen_pairs_and_touches_no_other(student, rng):
    """Much planning solves the model: seen pairs have no error left, others have not changed."""
    for gamma in (0.7, 0.45):
        outcomes, Q = world(rng), table(rng)
        expected = settled(Q, outcomes, gamma)
        model = taught(student, outcomes, rng)
        student.plan_(Q, model, 3000, 0.6, gamma, np.random.default_rng(3))
        assert_close(Q, expected, rtol=1e-6, atol=1e-6, what="the table after planning")


@points(
    2,
    part="dyna",
    catches="imagined-end-is-ignored",
    hint="An imagined step that ended an episode is worth its reward alone, as a real one is.",
)
def test_an_imagined_end_is_an_end(student, rng):
    """An imagined step that terminates is worth its reward, whatever the table says behind it."""
    for terminated in (True, False):
        Q, r = table(rng), float(rng.normal() + 2.0)
        outcome = (r, END, terminated)
        expected = Q.copy()
        replay(expected, [(1, 2, *outcome)] * 3, 0.35, 0.9)
        model = taught(student, {(1, 2): outcome})
        assert_equal(model.predict(1, 2)[2], terminated, what="whether the step ended the episode")
        student.plan_(Q, model, 3, 0.35, 0.9, np.random.default_rng(1))
        assert_close(Q, expected, what="the table after three imagined steps")


@points(
    1,
    part="dyna",
    catches="plans-unseen-actions",
    hint="n counts the updates: 0 of them change nothing. Without any experience there is nothing to "
    "imagine.",
)
def test_planning_makes_as_many_updates_as_it_is_asked_for(student, rng):
    """n imagined steps make n updates, none change nothing, and an empty model cannot plan."""
    Q, r = table(rng), float(rng.normal() + 3.0)
    before, model = Q.copy(), student.TabularModel()
    with assert_raises(ValueError):
        student.plan_(Q, model, 1, 0.2, 0.9, np.random.default_rng(1))
    model.learn_(2, 1, r, END, True)
    assert_equal(list(model.sample(np.random.default_rng(5))), [2, 1], what="the only pair")
    student.plan_(Q, model, 0, 0.2, 0.9, np.random.default_rng(1))
    assert_close(Q, before, what="the table after no update")
    for n in (1, 4):
        expected = replay(Q.copy(), [(2, 1, r, END, True)] * n, 0.2, 0.9)
        student.plan_(Q, model, n, 0.2, 0.9, np.random.default_rng(n))
        assert_close(Q, expected, what=f"the table after {n} updates")


# -- part 2: prioritised sweeping ------------------------------------------------------------------


@points(
    2,
    part="sweeping",
    catches=("smallest-priority-first", "latest-priority-counts", "first-priority-counts"),
    hint="Each pair waits once, with the largest priority that it was given, and the largest of all "
    "comes first. (A heap of Python gives the smallest first.)",
)
def test_the_most_urgent_pair_comes_first(student, rng):
    """Pairs leave the queue by falling priority; of several priorities of a pair the largest
    counts."""
    pairs = [(int(k // 3), int(k % 3)) for k in rng.permutation(12)[:7]]
    weights = dict(zip(pairs, (rng.permutation(7) + 1.2).tolist(), strict=True))
    queue = student.PriorityQueue()
    for pair, weight in weights.items():
        queue.push_(*pair, weight)
    # Two are pushed again: one becomes the most urgent of all, one does not become less urgent.
    ranked = sorted(pairs, key=weights.get)
    queue.push_(*ranked[1], 20.0)
    queue.push_(*ranked[5], 0.3)
    weights[ranked[1]] = 20.0
    assert_equal(len(queue), 7, what="how many are waiting")
    order = [list(queue.pop_()) for _ in range(7)]
    expected = [list(pair) for pair in sorted(pairs, key=weights.get, reverse=True)]
    assert_equal(order, expected, what="the order in which pairs are served")
    assert_equal(len(queue), 0, what="how many are waiting in the end")
    with assert_raises(ValueError):
        queue.pop_()


@points(
    1,
    part="sweeping",
    catches=("priority-has-a-sign", "priority-ignores-the-end"),
    hint="How far would the value move in a full step, up or down? Nothing follows an end.",
)
def test_a_priority_is_the_size_of_an_error(student, rng):
    """The priority of a pair is the absolute TD error of its imagined step."""
    outcomes, Q = world(rng), table(rng)
    model, before = taught(student, outcomes, rng), Q.copy()
    for shift in (0.0, 6.0, -6.0):
        for (s, a), outcome in outcomes.items():
            assert_equal(model.predict(s, a)[2], outcome[2], what="whether the step ended it")
            moved = Q.copy()
            moved[s, a] += shift
            expected = abs(target(moved, outcome, 0.8) - moved[s, a])
            assert_close(student.priority(moved, model, s, a, 0.8), float(expected))
    assert_unchanged(before, Q, "Q")


@points(
    1,
    part="sweeping",
    catches=("sources-are-successors", "sources-skip-the-state-itself", "first-outcome-stays"),
    hint="A source of a state is a pair whose latest outcome led there: perhaps one that stays where "
    "it is, and no longer one that has led elsewhere since.",
)
def test_sources_are_the_pairs_that_lead_there(student, rng):
    """The sources of a state are the pairs whose latest outcome led there."""
    outcomes = world(rng)
    model = taught(student, outcomes, rng)
    for change in (False, True):
        if change:
            (s, a), (r, s2, ended) = next(one for one in outcomes.items() if not one[1][2])
            outcomes[s, a] = (r, (s2 + 1) % 4, ended)
            model.learn_(s, a, *outcomes[s, a])
        for state in range(5):
            found = sorted(list(pair) for pair in model.sources(state))
            expected = sorted(list(pair) for pair, one in outcomes.items() if one[1] == state)
            assert_equal(found, expected, what=f"the sources of state {state}")


def swept(Q, outcomes, waiting, n, alpha, gamma, theta):
    """The definition, slowly: the table and what waits are changed in place; the updates made."""
    for made in range(n):
        if not waiting:
            return made
        pair = max(waiting, key=waiting.get)
        del waiting[pair]
        Q[pair] += alpha * (target(Q, outcomes[pair], gamma) - Q[pair])
        for source, outcome in outcomes.items():
            urgency = abs(target(Q, outcome, gamma) - Q[source])
            if outcome[1] == pair[0] and urgency > theta:
                waiting[source] = max(urgency, waiting.get(source, 0.0))
    return n


@points(
    2,
    part="sweeping",
    catches=(
        "sweeps-forwards",
        "sources-are-successors",
        "counts-what-was-allowed",
        "imagined-end-is-ignored",
    ),
    hint="If the value of a state has changed, who has to hear of it: the states that it leads to, "
    "or the pairs that lead to it?",
)
def test_news_travel_backwards(student, rng):
    """In a corridor, one surprise at the end reaches the start in as many updates as there are
    steps."""
    for paid in (float(rng.uniform(2.0, 4.0)), float(rng.uniform(2.0, 4.0))):
        outcomes = {(s, 1): (0.0, s + 1, False) for s in range(4)}
        outcomes[4, 1] = (paid, 5, True)
        model = taught(student, outcomes, rng)
        assert_equal(model.predict(4, 1)[2], True, what="whether the last step ended it")
        for n, made, reach in ((2, 2, 2), (9, 5, 5)):
            Q, queue = np.zeros((6, 2)), student.PriorityQueue()
            Q[5] = 9.0
            queue.push_(4, 1, paid)
            found = student.sweep_(Q, model, queue, n, 1.0, 0.9, 0.01)
            expected = np.where(np.arange(6)[:, None] == 5, 9.0, np.zeros((6, 2)))
            for k in range(reach):
                expected[4 - k, 1] = paid * 0.9**k
            assert_close(Q, expected, what="the table")
            assert_equal(found, made, what="the number of updates")
            assert_equal(len(queue), 1 if reach < 5 else 0, what="how many still wait")


@points(
    3,
    part="sweeping",
    catches=(
        "absolute-error-is-learned",
        "sweeps-forwards",
        "priority-has-a-sign",
        "smallest-priority-first",
        "sources-are-successors",
    ),
    hint="Take the most urgent pair, learn from its imagined step with sign and step size, then "
    "compute the priorities of all pairs that lead to its state, with the new table.",
)
def test_sweeping_follows_its_definition(student, rng):
    """Sweeping makes the updates of its definition, in order of urgency, and leaves the rest
    waiting."""
    for n in (1, 3, 8):
        outcomes, Q = world(rng), table(rng)
        model, queue, waiting = taught(student, outcomes, rng), student.PriorityQueue(), {}
        for state in range(5):
            found = sorted(list(pair) for pair in model.sources(state))
            leading = sorted(list(pair) for pair, one in outcomes.items() if one[1] == state)
            assert_equal(found, leading, what="the sources of a state")
        for pair in list(outcomes)[1:5]:
            waiting[pair] = float(rng.uniform(0.5, 3.0))
            queue.push_(*pair, waiting[pair])
        expected = Q.copy()
        count = swept(expected, outcomes, waiting, n, 0.7, 0.85, 0.05)
        made = student.sweep_(Q, model, queue, n, 0.7, 0.85, 0.05)
        assert_close(Q, expected, what=f"the table after {n} updates")
        assert_equal(made, count, what="the number of updates")
        assert_equal(len(queue), len(waiting), what="how many still wait")
        left = [list(queue.pop_()) for _ in range(min(len(waiting), 2))]
        ranked = [list(pair) for pair in sorted(waiting, key=waiting.get, reverse=True)]
        assert_equal(left, ranked[:2], what="who waits in front")


@points(
    1,
    part="sweeping",
    catches="threshold-is-ignored",
    hint="Only pairs with a priority above theta wait. Where nothing is worth an update, there is "
    "nothing to do.",
)
def test_small_errors_do_not_wait(student, rng):
    """A source whose value would change by no more than theta is not pushed."""
    paid = float(rng.uniform(2.0, 4.0))
    outcomes = {(0, 1): (0.0, 2, False), (1, 1): (0.0, 2, False), (2, 1): (paid, 3, True)}
    model, news = taught(student, outcomes, rng), 0.8 * paid
    for theta, waits in ((0.6, 1), (0.2, 2), (2.5, 0)):
        Q, queue = np.zeros((4, 2)), student.PriorityQueue()
        # The first source would change by 0.4, the second one by 1.2.
        Q[0, 1], Q[1, 1] = news - 0.4, news + 1.2
        queue.push_(2, 1, paid)
        made = student.sweep_(Q, model, queue, 1, 1.0, 0.8, theta)
        assert_equal([made, len(queue)], [1, waits], what="updates, and who waits")
        assert_close(Q[2, 1], paid, what="the value that was updated")
        made = student.sweep_(Q, model, queue, 9, 1.0, 0.8, theta)
        # Nothing leads to the sources: each is updated once.
        assert_equal([made, len(queue)], [waits, 0], what="updates of the sources")
    # Exactly theta is not above it: these are numbers without a rounding error.
    model = taught(student, {(0, 0): (0.0, 1, False), (1, 0): (4.0, 2, True)})
    queue, Q = student.PriorityQueue(), np.zeros((3, 1))
    queue.push_(1, 0, 4.0)
    made = student.sweep_(Q, model, queue, 5, 1.0, 0.25, 1.0)
    assert_equal([made, len(queue)], [1, 0], what="updates, and who waits at exactly theta")
    with assert_raises(ValueError):
        student.sweep_(Q, model, queue, 5, 1.0, 0.25, -0.1)


# -- part 3: real and imagined steps ---------------------------------------------------------------


def lived(
    student,
    lab,
    rng,
    *,
    episodes,
    n,
    epsilon=1.0,
    theta=None,
    limit=9,
    luck=0.0,
    seed=5,
    alpha=0.4,
    gamma=0.8,
):
    """A run of ``dyna`` in the corridor: what came out, and the world with its diary."""
    rewards = rng.uniform(0.7, 2.3, size=(5, 3)) * rng.choice([-1.0, 1.0], size=(5, 3))
    env = Scripted(lab, CORRIDOR, rewards, end=END, limit=limit, luck=luck)
    arguments = ((5, 3), episodes, n, alpha, gamma, epsilon, np.random.default_rng(seed), 31)
    return student.dyna(env.lent, *arguments, theta=theta), env


@points(
    2,
    part="loop",
    catches=("learns-in-imagination-only", "a-time-limit-is-an-end"),
    hint="Without planning, Dyna-Q is Q-learning: every real step is learned from once, and a step "
    "at which a clock stopped the episode still has a future.",
)
def test_without_planning_it_is_q_learning(student, lab, rng):
    """With n = 0, the table is what Q-learning makes of the same steps, truncated ones included."""
    for epsilon in (1.0, 0.3):
        found, env = lived(student, lab, rng, episodes=8, n=0, epsilon=epsilon)
        expected = replay(np.zeros((5, 3)), env.diary, 0.4, 0.8)
        assert_close(found.Q, expected, what="Q")
        assert_equal(found.steps, np.array(env.lengths), what="steps")
    with assert_raises(ValueError):
        student.dyna(env.lent, (5, 3), 0, 0, 0.4, 0.8, 0.3, np.random.default_rng(1), 3)


@points(
    2,
    part="loop",
    catches=(
        "plans-after-the-episode",
        "learns-in-imagination-only",
        "first-outcome-stays",
        "a-time-limit-is-an-end",
    ),
    hint="After every real step: one update with it, then n imagined ones, in which the model says "
    "what came of the pair the last time.",
)
def test_planning_follows_every_real_step(student, lab, rng):
    """In a world with a single pair, each real step is learned from 1 + n times."""
    for n in (1, 4):
        env = Scripted(lab, [[0]], [[float(rng.uniform(1.0, 2.0))]], end=1, limit=5, luck=0.7)
        arguments = ((2, 1), 3, n, 0.15, 0.8, 0.4, np.random.default_rng(2), 31)
        found = student.dyna(env.lent, *arguments)
        lessons = [step for step in env.diary for _ in range(1 + n)]
        expected = replay(np.zeros((2, 1)), lessons, 0.15, 0.8)
        assert_close(found.Q, expected, what="Q")
        assert_equal(found.steps, np.array([5, 5, 5]), what="steps")


@points(
    2,
    part="loop",
    catches=("plans-unseen-actions", "a-time-limit-is-an-end"),
    hint="With very much planning, the table is the solution of what was seen so far, and 0 "
    "elsewhere.",
)
def test_much_planning_solves_what_was_seen(student, lab, rng):
    """With very much planning, the table is the exact solution of the pairs that were seen."""
    # With a large alpha and a small gamma, 400 steps settle a pair that was seen last of all, too.
    found, env = lived(student, lab, rng, episodes=4, n=400, alpha=0.9, gamma=0.45)
    outcomes = {(s, a): tuple(outcome) for s, a, *outcome in env.diary}
    expected = settled(np.zeros((5, 3)), outcomes, 0.45)
    assert_close(found.Q, expected, rtol=1e-5, atol=1e-5, what="Q")


@points(
    3,
    part="loop",
    catches=("sweeps-without-priorities", "queue-begins-anew", "threshold-is-ignored"),
    hint="With theta, a real step only pushes its pair, if its priority is above theta; sweep_ does "
    "the learning. What still waits then goes on waiting.",
)
def test_sweeping_goes_on_from_step_to_step(student, lab, rng):
    """With a threshold, the table is what sweeping makes of the same steps, one after the other."""
    for n, theta in ((1, 0.2), (2, 0.9), (0, 0.1)):
        found, env = lived(student, lab, rng, episodes=5, n=n, theta=theta, limit=7)
        Q, outcomes, waiting = np.zeros((5, 3)), {}, {}
        for s, a, *outcome in env.diary:
            outcomes[s, a] = outcome
            urgency = abs(target(Q, outcome, 0.8) - Q[s, a])
            if urgency > theta:
                waiting[s, a] = max(urgency, waiting.get((s, a), 0.0))
            swept(Q, outcomes, waiting, n, 0.4, 0.8, theta)
        assert_close(found.Q, Q, what="Q")
        assert_equal(found.steps, np.array(env.lengths), what="steps")
    # Exactly theta is not above it.
    env = Scripted(lab, [[1], [1]], [[4.0], [0.0]], end=1, limit=5)
    for theta, worth in ((4.0, 0.0), (2.0, 2.0)):
        arguments = ((2, 1), 1, 3, 0.5, 0.8, 0.4, np.random.default_rng(2), 31)
        found = student.dyna(env.lent, *arguments, theta=theta)
        assert_close(found.Q, np.array([[worth], [0.0]]), what="Q of a world of one step")


@points(
    1,
    part="loop",
    catches="seeds-every-episode",
    hint="The seed is given to the first reset alone; all dice of the agent are the rng's.",
)
def test_the_seed_is_given_once(student, lab, rng):
    """The seed goes to the first reset alone, and all dice are those of the generator."""
    before = lab.global_rng_state()
    found, env = lived(student, lab, rng, episodes=4, n=2, luck=0.3)
    assert_equal(env.seeds, [31, None, None, None], what="the seeds of the resets")
    assert_equal(found.steps, np.array(env.lengths), what="steps")
    assert_equal(lab.global_rng_state() == before, True, what="global generators are untouched")
    again = Scripted(lab, CORRIDOR, env.rewards, end=END, limit=9, luck=0.3)
    arguments = ((5, 3), 4, 2, 0.4, 0.8, 1.0, np.random.default_rng(5), 31)
    assert_close(student.dyna(again.lent, *arguments).Q, found.Q, what="Q of the same dice")


# -- part 4: an ensemble of dynamics models --------------------------------------------------------


def columns(rng, rows):
    """(rows, 4) data with four different means and deviations; the third column is constant."""
    scale = np.array([0.04, 3.0, 0.0, 20.0]) * rng.uniform(0.8, 1.2, size=4)
    return rng.normal(size=(rows, 4)) * scale + np.array([5.0, -0.3, 0.1, 40.0])


@points(
    1,
    part="ensemble",
    catches=(
        "scale-is-the-variance",
        "scale-of-a-sample",
        "one-scale-for-all-columns",
        "constant-columns-explode",
    ),
    hint="Each column has a mean and a population standard deviation (ddof 0) of its own. A column "
    "that never varied tells nothing: leave its scale at 1.",
)
def test_normalised_data_have_mean_zero_and_deviation_one(student, rng):
    """Normalised data have mean 0 and deviation 1 in each column; constant ones become 0."""
    data = columns(rng, 7)
    before = data.copy()
    found = student.fit_normaliser(data)
    assert_close(found.mean, data.mean(axis=0), what="the mean")
    scale = np.sqrt(((data - data.mean(axis=0)) ** 2).sum(axis=0) / 7)
    scale[2] = 1.0
    assert_close(found.scale, scale, what="the scale")
    z = student.normalise(found, data)
    assert_close(z.mean(axis=0), np.zeros(4), atol=1e-6, what="the mean of normalised data")
    expected = np.array([1.0, 1.0, 0.0, 1.0])
    assert_close(z.std(axis=0), expected, atol=1e-6, what="the deviation of normalised data")
    assert_unchanged(before, data, "the data")


@points(
    1,
    part="ensemble",
    catches=("inverse-forgets-the-mean", "inverse-in-the-wrong-order"),
    hint="What was done last is undone first.",
)
def test_the_inverse_of_the_normaliser_is_exact(student, rng):
    """Going to normalised units and back changes nothing, also for new data of any shape."""
    own = Normaliser(rng.normal(size=3) * 4.0 + 9.0, rng.uniform(0.3, 5.0, size=3))
    x = rng.normal(size=(2, 5, 3)) * 7.0
    z = student.normalise(own, x)
    assert_close(z, (x - own.mean) / own.scale, what="normalised numbers")
    assert_close(student.denormalise(own, z), x, rtol=1e-11, atol=1e-11, what="there and back")
    assert_close(student.denormalise(own, x), x * own.scale + own.mean, what="back")


@points(
    1,
    part="ensemble",
    catches="trains-on-the-test",
    hint="Every row belongs to one of the two parts, with its state, its action and its next state "
    "together. Which rows are the test is left to chance.",
)
def test_every_row_is_either_training_or_test(student, rng):
    """Splitting puts every row into one part, whole; all rows are equally likely to be the test."""
    marks = rng.normal(size=8)
    data = Transitions(*(np.outer(marks + k, np.ones(k)) for k in (1, 2, 3)))
    dice, counts = np.random.default_rng(int(rng.integers(2**31))), np.zeros(8)
    for n_test in (3, 1):
        for _ in range(150):
            train, test = student.holdout(data, n_test, dice)
            found = np.concatenate([train.states, test.states])[:, 0] - 1
            assert_close(np.sort(found), np.sort(marks), what="the rows of both parts together")
            assert_close(test.states.shape[0] * 1.0, float(n_test), what="the size of the test")
            for part in (train, test):
                rows = part.states[:, :1] - 1
                assert_close(part.actions, np.repeat(rows + 2, 2, axis=1), what="actions")
                assert_close(part.next_states, np.repeat(rows + 3, 3, axis=1), what="next states")
            counts += np.abs(marks - (test.states[:, :1] - 1)).min(axis=0) < 1e-9
    assert_frequencies(counts, np.full(8, 1 / 8), what="how often each row is in the test")
    with assert_raises(ValueError):
        student.holdout(data, 8, dice)


@points(
    2,
    part="ensemble",
    catches=("one-bootstrap-for-all", "without-replacement"),
    hint="A bootstrap of n rows, drawn with replacement, holds about 63% of them. Two independent "
    "ones share about 40%. If all members see the same rows, what could they disagree about?",
)
def test_each_member_has_its_own_bootstrap(student, rng):
    """Each member draws n rows with replacement, independently of the others."""
    n, members = 3000, 3
    rows = student.bootstrap(n, members, np.random.default_rng(int(rng.integers(2**31))))
    assert_close(np.asarray(rows).shape, (3.0, 3000.0), what="the shape")
    assert_equal(rows - rows, np.zeros((members, n), int), what="integers")
    assert_true(bool((rows >= 0).all() and (rows < n).all()), "rows lie between 0 and n - 1")
    times = np.stack([np.bincount(one, minlength=n) for one in rows])
    # How often is a row in a bootstrap: 0, 1, 2, 3 times, or more?
    chance = np.array([1.0, 1.0, 1 / 2, 1 / 6, 0.0]) / np.e
    chance[4] = 1 - chance.sum()
    for one in times:
        found = np.bincount(np.minimum(one, 4), minlength=5)
        # Counts of one sample of fixed size vary less than independent ones.
        assert_frequencies(found, chance, what="how often rows are in a bootstrap")
    share = 1 - 1 / np.e
    for one, two in ((0, 1), (0, 2), (1, 2)):
        both = float(((times[one] > 0) & (times[two] > 0)).mean())
        # The standard deviation of this share is below 0.01.
        assert_true(abs(both - share**2) < 0.06, f"two bootstraps share {both}, not {share**2}")
    assert_equal(
        student.bootstrap(1, 2, np.random.default_rng(1)), np.zeros((2, 1), int), what="one row"
    )
    with assert_raises(ValueError):
        student.bootstrap(4, 0, np.random.default_rng(1))


@points(
    2,
    part="ensemble",
    catches=(
        "last-batch-is-dropped",
        "members-share-their-rows",
        "draws-batches-anew",
        "never-shuffled",
        "epoch-shows-one-bootstrap",
    ),
    hint="In one epoch each member meets each entry of its own row exactly as often as the row "
    "holds it, in a new random order. The last piece may be a short one.",
)
def test_an_epoch_shows_each_member_its_own_rows(student, rng):
    """The pieces of an epoch hold each member's own rows, all of them, in a new random order."""
    # Member m has the rows 100 m to 100 m + 6, some of them twice.
    rows = np.arange(10) // 1.4 + 100 * np.arange(3)[:, None]
    rows = rng.permuted(rows.astype(int), axis=1)
    before, dice = rows.copy(), np.random.default_rng(int(rng.integers(2**31)))
    first = np.zeros(10)
    marked = np.arange(20).reshape(2, 10)
    for epoch in range(400):
        pieces = student.minibatches(rows if epoch < 3 else marked, 3, dice)
        widths = [float(piece.shape[1]) for piece in pieces]
        assert_close(widths, [3.0, 3.0, 3.0, 1.0], what="the widths of the pieces")
        seen = np.concatenate([np.asarray(piece) for piece in pieces], axis=1)
        expected = np.sort(rows if epoch < 3 else marked, axis=1)
        assert_equal(np.sort(seen, axis=1), expected, what="the rows of each member")
        if epoch >= 3:
            first[int(seen[1, 0]) - 10] += 1
    assert_frequencies(first, np.full(10, 0.1), what="which row comes first")
    assert_unchanged(before, rows, "rows")
    (whole,) = student.minibatches(rows, 10, dice)
    assert_equal(np.sort(whole, axis=1), np.sort(rows, axis=1), what="a single piece")
    with assert_raises(ValueError):
        student.minibatches(rows, 0, dice)


@points(
    2,
    part="ensemble",
    catches=(
        "loss-averages-over-members",
        "loss-of-the-mean-prediction",
        "loss-sums-over-components",
    ),
    hint="Train three members together, or each of them alone: their gradients must be the same.",
)
def test_a_member_learns_as_if_it_were_alone(student, rng):
    """The loss adds up the members' mean squared errors: no member changes another's gradient."""
    prediction = torch.tensor(rng.normal(size=(3, 5, 2)), requires_grad=True)
    goal = torch.tensor(rng.normal(size=(3, 5, 2)))
    gap = (prediction - goal).detach()
    loss = student.ensemble_loss(prediction, goal)
    assert_close(loss, (gap**2).mean(dim=(1, 2)).sum(), what="the loss")
    loss.backward()
    assert_close(prediction.grad, 2 * gap / 10, what="the gradient")
    for m in range(3):
        alone = student.ensemble_loss(prediction[m : m + 1].detach(), goal[m : m + 1])
        assert_close(alone, (gap[m] ** 2).mean(), what="the loss of one member")
    with assert_raises(ValueError):
        student.ensemble_loss(prediction.detach(), goal[:1])


def layer(rng, inputs, outputs):
    """A float64 layer with drawn weights."""
    found = torch.nn.Linear(inputs, outputs).double()
    with torch.no_grad():
        found.weight.copy_(torch.tensor(rng.normal(size=(outputs, inputs))))
        found.bias.copy_(torch.tensor(rng.normal(size=outputs)))
    return found


def some_dynamics(student, rng):
    """A student's Dynamics around a layer (the same for all members), and what it must say."""
    net = layer(rng, 5, 3)
    inputs = Normaliser(rng.normal(size=5) + 2.0, rng.uniform(0.3, 4.0, size=5))
    deltas = Normaliser(rng.normal(size=3) - 1.0, rng.uniform(0.3, 4.0, size=3))
    weight, bias = net.weight.detach().numpy(), net.bias.detach().numpy()

    def expected(states, actions):
        moves = np.broadcast_to(actions, (*states.shape[:-1], 2))
        z = (np.concatenate([states, moves], axis=-1) - inputs.mean) / inputs.scale
        return states + (z @ weight.T + bias) * deltas.scale + deltas.mean

    return student.Dynamics(net, inputs, deltas), expected


@points(
    2,
    part="ensemble",
    catches=(
        "raw-inputs",
        "change-taken-for-the-state",
        "change-stays-normalised",
        "members-follow-the-mean",
    ),
    hint="State and action side by side, normalised, go in; a normalised change comes out. Undo the "
    "normalisation, then add the change to the member's own state.",
)
def test_a_step_adds_the_predicted_change(student, rng):
    """Each member goes on from its own state by the change that its network predicts."""
    dynamics, expected = some_dynamics(student, rng)
    for members in (1, 3):
        states, actions = rng.normal(size=(members, 4, 3)) * 3.0, rng.normal(size=(4, 2))
        before = states.copy()
        found = dynamics.step(states, actions)
        assert_close(found, expected(states, actions), what="the next states")
        assert_unchanged(before, states, "the states")
        again = dynamics.step(found, -actions)
        assert_close(again, expected(expected(states, actions), -actions), what="one step later")


@points(
    1,
    part="ensemble",
    catches=("error-of-the-mean-member", "error-in-normalised-units"),
    hint="Each member has an error of its own, in the units of the states, squared.",
)
def test_errors_are_those_of_each_member(student, rng):
    """The one-step error is each member's mean squared error, in units of the states."""
    net = student.EnsembleNet(3, (5, 3), np.random.default_rng(int(rng.integers(2**31))))
    inputs = Normaliser(rng.normal(size=5) + 2.0, rng.uniform(0.3, 4.0, size=5))
    deltas = Normaliser(rng.normal(size=3) - 1.0, rng.uniform(2.0, 4.0, size=3))
    data = Transitions(rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), rng.normal(size=(6, 3)))
    z = (np.concatenate([data.states, data.actions], axis=1) - inputs.mean) / inputs.scale
    out = net(torch.tensor(np.repeat(z[None], 3, axis=0))).detach().numpy()
    gap = data.states + out * deltas.scale + deltas.mean - data.next_states
    dynamics = student.Dynamics(net, inputs, deltas)
    states = np.repeat(data.states[None], 3, axis=0)
    expected = gap + data.next_states
    assert_close(dynamics.step(states, data.actions), expected, what="the predictions")
    found = student.one_step_errors(dynamics, 3, data)
    assert_finite(found, "the errors")
    assert_close(found, (gap**2).mean(axis=(1, 2)), what="the errors")


def linear_world(rng, rows, noise=0.0):
    """Transitions of a linear world with two state components and one action."""
    states = rng.normal(size=(rows, 2)) * [1.5, 0.4] + [3.0, -1.0]
    actions = rng.uniform(-2.0, 1.0, size=(rows, 1))
    change = states @ [[-0.2, 0.1], [0.6, -0.4]] + actions @ [[0.3, -0.7]] + [0.5, 0.2]
    return Transitions(states, actions, states + change + noise * rng.normal(size=(rows, 2)))


def trained(student, train, test, settings, seed=3):
    """What ``fit_dynamics`` returns: the dynamics (a handle), and the errors."""
    return student.fit_dynamics(train, test, settings, np.random.default_rng(seed))


@points(
    3,
    part="ensemble",
    catches=("normalised-with-the-test", "learns-the-state-not-the-change"),
    hint="What the test rows look like must not be known before the test: mean and scale are those "
    "of the training rows. The targets are changes of the state.",
)
def test_the_normaliser_knows_the_training_data_alone(student, rng):
    """Both normalisers are those of the training rows, whatever the test rows look like."""
    train, test = linear_world(rng, 9), linear_world(rng, 5)
    test = Transitions(test.states * 3 + 20, test.actions - 7, test.next_states * 5)
    fit = trained(student, train, test, FitSettings(2, (3,), 1, 9, 1e-3))
    x = np.concatenate([train.states, train.actions], axis=1)
    y = train.next_states - train.states
    own = student.fit_normaliser(x)
    assert_close(own.mean, x.mean(axis=0), what="the mean of the training rows")
    for found, data in ((fit.dynamics.inputs, x), (fit.dynamics.deltas, y)):
        assert_close(found.mean, data.mean(axis=0), what="the mean")
        assert_close(found.scale, data.std(axis=0), what="the scale")


@points(
    2,
    part="ensemble",
    catches=("learns-the-state-not-the-change", "gradients-pile-up", "reports-the-training-error"),
    hint="In a linear world without noise, linear members learn the truth to many digits. The "
    "reported errors are those of the test rows, after each epoch.",
)
def test_a_linear_world_is_learned(student, rng):
    """Linear members learn a linear world, and the errors reported are those on the test rows."""
    train, test = linear_world(rng, 40), linear_world(rng, 12)
    test = Transitions(test.states, test.actions, test.next_states + 0.05)
    fit = trained(student, train, test, FitSettings(2, (), 90, 10, 0.03))
    truth = np.repeat(test.next_states[None] - 0.05, 2, axis=0)
    states = np.repeat(test.states[None], 2, axis=0)
    found = fit.dynamics.step(states, test.actions)
    assert_close(found, truth, rtol=0.0, atol=0.05, what="the predictions")
    assert_finite(fit.errors, "the errors")
    assert_close(fit.errors.shape, (90.0, 2.0), what="the shape of the errors")
    gap = found - test.next_states
    assert_close(fit.errors[-1], (gap**2).mean(axis=(1, 2)), what="the errors after training")
    assert_true(bool((fit.errors[0] > 4 * fit.errors[-1]).all()), "errors fall while one trains")


@points(
    3,
    part="ensemble",
    catches=(
        "one-bootstrap-for-all",
        "without-replacement",
        "bootstrap-in-every-epoch",
        "members-share-their-rows",
    ),
    hint="Each member keeps the rows of its own bootstrap through all epochs. Linear members then "
    "disagree as much as least squares on bootstraps does.",
)
def test_members_disagree_as_their_bootstraps_do(student, rng):
    """The members' disagreement is that of least-squares fits to bootstraps of the data."""
    members = 48
    train, query = linear_world(rng, 24, noise=1.0), linear_world(rng, 6)
    rows = student.bootstrap(60, 2, np.random.default_rng(5))
    assert_true(bool((rows[0] != rows[1]).any()), "two bootstraps differ")
    fit = trained(student, train, query, FitSettings(members, (), 200, 24, 0.05), seed=8)
    found = fit.dynamics.step(np.repeat(query.states[None], members, axis=0), query.actions)
    errors = student.one_step_errors(fit.dynamics, members, query)
    expected = ((found - query.next_states) ** 2).mean(axis=(1, 2))
    assert_close(errors, expected, what="the errors of the members")
    ones = np.ones((24, 1))
    x = np.concatenate([train.states, train.actions, ones], axis=1)
    q = np.concatenate([query.states, query.actions, ones[:6]], axis=1)
    spread = []
    for _ in range(400):
        rows = rng.integers(24, size=24)
        fitted = np.linalg.lstsq(x[rows], train.next_states[rows], rcond=None)[0]
        spread.append(q @ fitted)
    expected, spread = np.std(spread, axis=0), np.std(found, axis=0)
    ratio = float(np.exp(np.log(spread / expected).mean()))
    # Measured with the reference: see RATIO below.
    assert_true(
        RATIO[0] < ratio < RATIO[1], f"members disagree {ratio} times as much as they should"
    )
    centre = np.linalg.lstsq(x, train.next_states, rcond=None)[0]
    off = np.abs(found.mean(axis=0) - q @ centre) / expected
    assert_true(bool(off.mean() < 1.0), f"the members' mean is off by {off} deviations")


# The reference kept within it on 50 draws: see the test above. One bootstrap for all gives 0, new
# bootstraps in every epoch give less than 0.3.
RATIO = (0.6, 1.6)


# -- part 5: the cross-entropy method --------------------------------------------------------------


@points(
    1,
    part="cem",
    catches=("elites-with-the-lowest-score", "elites-of-the-largest-size"),
    hint="Scores are returns: larger is better. (np.argsort begins with the smallest.)",
)
def test_elites_have_the_largest_scores(student, rng):
    """The elites are the candidates with the largest scores, negative ones included."""
    candidates, scores = rng.normal(size=(9, 2, 3)), rng.permutation(9) - 3.3
    before = candidates.copy()
    for k in (1, 4, 9):
        best = np.argsort(scores)[9 - k :]
        found = student.elites(candidates, scores, k)
        assert_close(found.shape, (float(k), 2.0, 3.0), what="the shape")
        order = np.argsort(found[:, 0, 0])
        expected = candidates[best][np.argsort(candidates[best][:, 0, 0])]
        assert_close(found[order], expected, what="the elites")
    assert_unchanged(before, candidates, "the candidates")
    for k in (0, 10):
        with assert_raises(ValueError):
            student.elites(candidates, scores, k)


@points(
    3,
    part="cem",
    catches=(
        "smoothing-turned-round",
        "smoothing-is-ignored",
        "deviation-collapses",
        "deviation-is-the-variance",
        "deviation-of-a-sample",
        "deviation-is-not-smoothed",
        "no-floor",
    ),
    hint="Mean and standard deviation (ddof 0) over the elites, for each entry of its own; each is "
    "mixed with its old value; the floor comes last.",
)
def test_refitting_mixes_old_and_new(student, rng):
    """Mean and deviation are those of the elites, mixed with the old ones, with a floor."""
    old = Gaussian(rng.normal(size=(2, 3)) * 3.0, rng.uniform(0.5, 4.0, size=(2, 3)))
    best = rng.normal(size=(5, 2, 3)) * rng.uniform(0.3, 4.0, size=(2, 3)) + 2.0
    mean, std = best.mean(axis=0), np.sqrt(((best - best.mean(axis=0)) ** 2).mean(axis=0))
    for smoothing, floor in ((0.2, 0.0), (0.0, 0.0), (0.7, 1.5)):
        found = student.refit(old, best, smoothing, floor)
        expected = smoothing * old.mean + (1 - smoothing) * mean
        assert_close(found.mean, expected, what="the mean")
        expected = np.maximum(smoothing * old.std + (1 - smoothing) * std, floor)
        assert_close(found.std, expected, what="the deviation")
    # A single elite has no spread, and that is no accident: what stays is the smoothing's part.
    found = student.refit(old, best[:1], 0.3)
    assert_close(found.std, 0.3 * old.std, what="the deviation with one elite")


def watched(score):
    """A score that keeps a record of what it was asked, and the record."""
    record = []

    def asked(candidates):
        record.append(np.array(candidates))
        return score(record[-1])

    return asked, record


@points(
    2,
    part="cem",
    catches=("leaves-the-bounds", "noise-with-the-variance"),
    hint="Candidates come from normal distributions with the present mean and standard deviation, "
    "and are clipped to the bounds before anybody scores them.",
)
def test_candidates_are_drawn_around_the_mean_and_clipped(student, rng):
    """Candidates have the mean and deviation of the distribution and keep within the bounds."""
    shape, P = (2, 2), 8000
    start = Gaussian(rng.uniform(-1.0, 1.0, size=shape), rng.uniform(0.3, 2.5, size=shape))
    low, high = start.mean - [40.0, 1.4 * 0.3], start.mean + [40.0, 2.0]
    low, high = low.min(axis=0), high.max(axis=0)
    score, record = watched(lambda x: x.sum(axis=(1, 2)))
    settings = CemSettings(P, 40, 1, 0.3)
    dice = np.random.default_rng(int(rng.integers(2**31)))
    found = student.cem(score, start, low, high, settings, dice)
    assert_equal(len(record), 1, what="how often scores were asked for")
    (drawn,) = record
    assert_close(drawn.shape, (float(P), 2.0, 2.0), what="the shape of the candidates")
    assert_true(bool((drawn >= low - 1e-9).all() and (drawn <= high + 1e-9).all()), "bounds hold")
    best = drawn[np.argsort(drawn.sum(axis=(1, 2)))[P - 40 :]]
    expected = 0.3 * start.mean + 0.7 * best.mean(axis=0)
    assert_close(found.mean, expected, what="the mean after one refit")
    # The first column is hardly ever clipped. Standard errors are 0.011 deviations and 0.8%.
    off = np.abs(drawn[..., 0].mean(axis=0) - start.mean[:, 0]) / start.std[:, 0]
    assert_true(bool((off < 0.08).all()), f"the mean is off by {off} deviations")
    ratio = drawn[..., 0].std(axis=0) / start.std[:, 0]
    assert_true(bool((np.abs(ratio - 1) < 0.06).all()), f"the deviation is {ratio} of what it was")
    # In the second column, whoever clips has a known share at the bounds.
    for row in range(2):
        m, s = start.mean[row, 1], start.std[row, 1]
        below = float((np.abs(drawn[:, row, 1] - low[1]) < 1e-9).mean())
        expected = normal_below((low[1] - m) / s)
        assert_true(abs(below - expected) < 0.035, f"share at the bound: {below}, not {expected}")
    link = np.corrcoef(drawn[:, :, 0].T)[0, 1]
    assert_true(abs(link) < 0.08, f"entries are drawn independently: {link}")


def normal_below(z):
    """The probability that a standard normal number lies below z."""
    return 0.5 * (1.0 + float(torch.erf(torch.tensor(z / np.sqrt(2.0), dtype=torch.float64))))


@points(
    3,
    part="cem",
    catches=(
        "elites-with-the-lowest-score",
        "elites-of-the-largest-size",
        "elites-before-clipping",
        "deviation-collapses",
        "smoothing-is-ignored",
        "no-floor",
        "answers-with-the-best-candidate",
    ),
    hint="Each iteration refits to the best of the candidates as they were scored, mixes with the "
    "distribution of the iteration before, and the last distribution is the answer.",
)
def test_each_iteration_refits_to_its_elites(student, rng):
    """The answer follows from the candidates that were scored: elites, refit, again."""
    goal = rng.normal(size=3) * 2.0
    start = Gaussian(rng.normal(size=3), rng.uniform(1.0, 3.0, size=3))
    low, high = start.mean - 1.1, start.mean + 1.7
    for settings in (CemSettings(30, 6, 1, 0.0), CemSettings(24, 5, 4, 0.35, 0.25)):
        score, record = watched(lambda x: -((x - goal) ** 2).sum(axis=1) - 3.0)
        found = student.cem(score, start, low, high, settings, np.random.default_rng(7))
        assert_equal(len(record), settings.iterations, what="how often scores were asked for")
        mean, std = start.mean, start.std
        keep = settings.smoothing
        for drawn in record:
            assert_close(drawn.shape, (float(settings.population), 3.0), what="the shape")
            away = ((drawn - goal) ** 2).sum(axis=1)
            best = drawn[np.argsort(away)[: settings.elites]]
            mean = keep * mean + (1 - keep) * best.mean(axis=0)
            std = np.maximum(keep * std + (1 - keep) * best.std(axis=0), settings.min_std)
        assert_close(found.mean, mean, what="the mean")
        assert_close(found.std, std, what="the deviation")


@points(
    1,
    part="cem",
    catches=("deviation-collapses", "noise-with-the-variance"),
    hint="Later iterations draw from the refitted distribution, mean and deviation, not from the "
    "first one, and not from a narrower one.",
)
def test_later_candidates_come_from_the_refitted_distribution(student, rng):
    """The candidates of the second iteration have the mean and deviation of the first refit."""
    start = Gaussian(rng.normal(size=2), rng.uniform(2.0, 3.0, size=2))
    goal = start.mean + rng.choice([-1.0, 1.0], size=2) * 2.0
    score, record = watched(lambda x: -np.abs(x - goal).sum(axis=1))
    settings = CemSettings(4000, 400, 2, 0.25)
    dice = np.random.default_rng(int(rng.integers(2**31)))
    found = student.cem(score, start, start.mean - 50.0, start.mean + 50.0, settings, dice)
    first, second = record
    best = first[np.argsort(np.abs(first - goal).sum(axis=1))[:400]]
    mean = 0.25 * start.mean + 0.75 * best.mean(axis=0)
    std = 0.25 * start.std + 0.75 * best.std(axis=0)
    best = second[np.argsort(np.abs(second - goal).sum(axis=1))[:400]]
    expected = 0.25 * mean + 0.75 * best.mean(axis=0)
    assert_close(found.mean, expected, what="the mean after two refits")
    # Standard errors: 0.016 deviations, and 1.1%.
    off = np.abs(second.mean(axis=0) - mean) / std
    assert_true(bool((off < 0.11).all()), f"the mean is off by {off} deviations")
    ratio = second.std(axis=0) / std
    assert_true(bool((np.abs(ratio - 1) < 0.08).all()), f"the deviation is {ratio} of what it was")


@points(
    2,
    part="cem",
    catches=(
        "elites-with-the-lowest-score",
        "elites-of-the-largest-size",
        "leaves-the-bounds",
        "deviation-collapses",
    ),
    hint="A search whose deviation shrinks faster than its mean moves stops before it arrives.",
)
def test_the_optimum_of_a_quadratic_within_bounds_is_found(student, rng):
    """The search finds the best point within the bounds, also where the best of all lies outside."""
    low, high = np.array([-3.0, -3.0, -3.0]), np.array([4.0, 4.0, 4.0])
    goal = rng.uniform(-2.0, 3.0, size=3)
    goal[1] = rng.choice([-6.0, 7.0])
    weights = rng.uniform(0.5, 2.0, size=3)
    score, _ = watched(lambda x: -(weights * (x - goal) ** 2).sum(axis=1))
    start = Gaussian(np.full(3, 0.4), np.full(3, 3.0))
    settings = CemSettings(400, 100, 60, 0.2)
    dice = np.random.default_rng(int(rng.integers(2**31)))
    found = student.cem(score, start, low, high, settings, dice)
    expected = np.clip(goal, low, high)
    assert_close(found.mean, expected, rtol=0.0, atol=1e-3, what="the best point")
    for settings in (CemSettings(10, 11, 3, 0.1), CemSettings(10, 4, 3, 1.0)):
        with assert_raises(ValueError):
            student.cem(score, start, low, high, settings, dice)


# -- part 6: model-predictive control --------------------------------------------------------------


def linear(rng, members=1):
    """A world s' = s A_m + a B + c_m with two components and two actions, one for each member."""
    A = np.eye(2) * 0.8 + 0.2 * rng.normal(size=(members, 2, 2))
    B, c = rng.normal(size=(2, 2)), rng.normal(size=(members, 1, 2)) * 0.3

    def step(states, actions):
        return states @ A + np.asarray(actions) @ B + c

    return step, lambda m, s, a: s @ A[m] + a @ B + c[m, 0]


def paid(states, actions, next_states):
    """A reward that looks at all three, and tells them apart."""
    quadratic = states[..., 0] ** 2 - 0.7 * next_states[..., 1] ** 2
    return quadratic + 0.4 * actions[..., 0] + 2.0 + 0.3 * actions[..., 1] * states[..., 1]


def story(one, m, state, plan, gamma, over):
    """The discounted return of one plan in one member's imagination, up to the first end."""
    total, s = 0.0, np.array(state)
    for h, action in enumerate(plan):
        after = one(m, s, action)
        total += gamma**h * float(paid(s, action, after))
        if over(after):
            break
        s = after
    return total


@points(
    2,
    part="mpc",
    catches=("reward-one-step-late", "plans-without-discount", "first-reward-is-discounted"),
    hint="One step: reward of state, action and next state; the first one is not discounted. Each "
    "member goes on from where its own last step led.",
)
def test_a_plan_is_worth_its_discounted_rewards(student, rng):
    """A plan's return is the discounted sum of rewards along each member's own story."""
    for members in (1, 3):
        step, one = linear(rng, members)
        state, plans = rng.normal(size=2), rng.normal(size=(4, 5, 2))
        before = (state.copy(), plans.copy())
        problem = Problem(paid, never, np.full(2, -9.0), np.full(2, 9.0), 0.8)
        found = student.imagine(step, problem, state, plans, members)
        expected = [
            [story(one, m, state, plan, 0.8, lambda s: False) for plan in plans]
            for m in range(members)
        ]
        assert_close(found, np.array(expected), what="the returns")
        assert_unchanged(before[0], state, "state")
        assert_unchanged(before[1], plans, "plans")


@points(
    3,
    part="mpc",
    catches=(
        "story-goes-on-after-the-end",
        "the-end-pays-nothing",
        "multiplies-by-the-mask",
        "rises-from-the-dead",
    ),
    hint="The step that ends a story still pays. After it nothing counts: not if the state looks "
    "alive again, and not if it is nan.",
)
def test_nothing_counts_after_an_imagined_end(student, rng):
    """A story ends with its first terminal step, which pays; what comes later does not count."""
    # The state is (clock, the clock at which the story ends).
    H = 6
    last = rng.permutation(H + 1)[:5]

    def step(states, actions):
        return states + np.stack([np.ones(states.shape[:-1]), np.zeros(states.shape[:-1])], -1)

    def terminal(next_states):
        # Only the moment of the end looks like one. (nan is no end.)
        with np.errstate(invalid="ignore"):
            return np.abs(next_states[..., 0] - next_states[..., 1]) < 0.5

    for after_the_end in (7.0, np.nan):
        pays = rng.uniform(0.5, 2.0, size=H)
        pays_ = np.append(pays, 0.0)

        def reward(states, actions, next_states, pays=pays_, made_up=after_the_end):
            clock = states[..., 0]
            value = pays[np.clip(clock, 0, H).astype(int)]
            return np.where(clock > states[..., 1] - 0.5, made_up, value)

        problem = Problem(reward, terminal, np.array([-1.0]), np.array([1.0]), 0.85)
        for moment in last.tolist():
            state = np.array([0.0, moment + 1.0])
            found = student.imagine(step, problem, state, np.zeros((2, H, 1)), 3)
            steps = min(moment + 1, H)
            expected = float((0.85 ** np.arange(steps) * pays[:steps]).sum())
            assert_close(found, np.full((3, 2), expected), what="the returns")


def quadratic(rng, H):
    """A problem whose best plan is known: follow ``goal`` (H, 2), one action for each clock."""
    # No two actions are alike, and none is the middle of the bounds in both entries.
    goal = rng.permutation(np.linspace(-1.3, 2.3, 2 * H)).reshape(H, 2)
    goal += rng.uniform(-0.1, 0.1, size=(H, 2))

    def step(states, actions):
        return states + 1.0

    def reward(states, actions, next_states):
        h = np.clip(np.round(states[..., 0]), 0, H - 1).astype(int)
        return -((actions - goal[h]) ** 2).sum(axis=-1)

    return step, Problem(reward, never, np.array([-3.0, -2.0]), np.array([4.0, 5.0]), 0.95), goal


@points(
    3,
    part="mpc",
    catches=(
        "action-of-the-wrong-plan",
        "plan-is-not-shifted",
        "plan-is-shifted-in-a-circle",
        "plan-repeats-its-last-action",
        "plan-ends-with-zeros",
    ),
    hint="Do the first action of the plan that the search has just found, then think one step "
    "later: the second action becomes the first, and the new last one is the middle of the bounds.",
)
def test_the_first_action_is_done_and_the_plan_moves_up(student, rng):
    """The action is the first one of the best plan; the next search begins with the rest of it."""
    step, problem, goal = quadratic(rng, 3)
    settings = CemSettings(300, 75, 45, 0.2)
    dice = np.random.default_rng(int(rng.integers(2**31)))
    plan = rng.uniform(-1.0, 2.0, size=(3, 2))
    before = plan.copy()
    found = student.mpc_action(step, problem, 1, np.zeros(1), plan, settings, dice)
    assert_close(found.action, goal[0], rtol=0.0, atol=0.02, what="the action")
    expected = np.concatenate([goal[1:], [[0.5, 1.5]]])
    assert_close(found.plan, expected, rtol=0.0, atol=0.02, what="where the next search begins")
    assert_close(found.plan[-1], expected[-1], what="its last action")
    assert_unchanged(before, plan, "plan")


@points(
    2,
    part="mpc",
    catches="search-forgets-the-plan",
    hint="The search begins with what is left of the last plan, and with a quarter of the range as "
    "its deviation.",
)
def test_the_search_begins_with_the_plan_that_is_left(student, rng):
    """The first candidates have the given plan as their mean, and a quarter of the range."""
    low, high = np.array([-3.0, -2.0]), np.array([4.0, 5.0])
    plan = rng.uniform(-0.8, 1.8, size=(3, 2))
    problem = Problem(lambda s, a, n: 0.0 * n[..., 0], never, low, high, 0.9)
    # All candidates are elites and nothing is smoothed: what comes out is their mean.
    dice = np.random.default_rng(int(rng.integers(2**31)))
    settings = CemSettings(6000, 6000, 1, 0.0)
    found = student.mpc_action(lambda s, a: s, problem, 1, np.zeros(1), plan, settings, dice)
    nodes = (np.arange(4000) + 0.5) / 4000
    quantiles = np.sqrt(2.0) * torch.erfinv(torch.tensor(2 * nodes - 1)).numpy()
    drawn = plan[..., None] + (high - low)[:, None] / 4 * quantiles
    expected = np.clip(drawn, low[:, None], high[:, None]).mean(axis=-1)
    # The standard error is 0.02.
    assert_close(found.action, expected[0], rtol=0.0, atol=0.13, what="the action")
    assert_close(found.plan[:2], expected[1:], rtol=0.0, atol=0.13, what="the plan")
    # The deviation shows where the mean is pushed away from a bound: with a plan at the bound.
    edge = np.full((3, 2), low)
    found = student.mpc_action(lambda s, a: s, problem, 1, np.zeros(1), edge, settings, dice)
    expected = low + (high - low) / 4 / np.sqrt(2 * np.pi)
    assert_close(found.action, expected, rtol=0.0, atol=0.1, what="the action at the bound")


@points(
    2,
    part="mpc",
    catches=("trusts-one-member", "trusts-the-happiest-member"),
    hint="A plan is worth the mean of what the members imagine.",
)
def test_a_plan_is_worth_what_members_say_on_average(student, rng):
    """The best plan is the one with the largest mean over the members."""
    drift = np.array([-2.4, 0.1, 1.7]) + rng.normal(size=3) * 0.2

    def step(states, actions):
        return states + np.asarray(actions) + drift[:, None, None]

    def reward(states, actions, next_states):
        return -(next_states[..., 0] ** 2)

    problem = Problem(reward, never, np.array([-4.0]), np.array([3.0]), 0.9)
    state, dice = rng.uniform(-0.5, 0.5, size=1), np.random.default_rng(int(rng.integers(2**31)))
    settings = CemSettings(120, 24, 40, 0.1)
    found = student.mpc_action(step, problem, 3, state, np.zeros((1, 1)), settings, dice)
    expected = -state - drift.mean()
    assert_close(found.action, expected, rtol=0.0, atol=1e-3, what="the action")


@points(
    3,
    part="mpc",
    catches=("action-of-the-wrong-plan", "first-reward-is-discounted"),
    hint="With the true model of a linear world and a quadratic cost, the best action is linear in "
    "the state, and Riccati's recursion knows it.",
)
def test_with_the_true_linear_model_it_is_riccati(student, rng):
    """With the true linear model, planning finds the action of Riccati's recursion."""
    A = np.array([[1.0, 0.3], [0.0, 0.9]]) + 0.1 * rng.normal(size=(2, 2))
    B, cost, effort = np.array([[0.1], [0.6]]), np.diag([1.0, 0.4]), 0.3
    gamma, H, P = 0.9, 3, np.zeros((2, 2))
    for _ in range(H):
        M = cost + gamma * P
        K = np.linalg.solve(effort + B.T @ M @ B, B.T @ M @ A)
        P = A.T @ M @ A - A.T @ M @ B @ K
    state = rng.uniform(0.8, 1.6, size=2) * rng.choice([-1.0, 1.0], size=2)

    def step(states, actions):
        return states @ A.T + np.asarray(actions) @ B.T

    def reward(states, actions, next_states):
        return -np.einsum("...i,ij,...j", next_states, cost, next_states) - (
            effort * actions[..., 0] ** 2
        )

    problem = Problem(reward, never, np.array([-9.0]), np.array([7.0]), gamma)
    plan, s, best = [], state, None
    for h in range(H):
        P = np.zeros((2, 2))
        for _ in range(H - h):
            M = cost + gamma * P
            gain = np.linalg.solve(effort + B.T @ M @ B, B.T @ M @ A)
            P = A.T @ M @ A - A.T @ M @ B @ gain
        best = P if best is None else best
        plan.append(-gain @ s)
        s = A @ s + B @ plan[-1]
    worth = student.imagine(step, problem, state, np.array(plan)[None], 1)
    assert_close(worth, np.array([[-state @ best @ state]]), what="the return of the best plan")
    settings = CemSettings(200, 40, 60, 0.1)
    dice = np.random.default_rng(int(rng.integers(2**31)))
    found = student.mpc_action(step, problem, 1, state, np.zeros((H, 1)), settings, dice)
    assert_close(found.action, -K @ state, rtol=0.0, atol=1e-6, what="the action")


class Drifting:
    """A lent world s' = s + a + drift on a line, with a diary. Episodes are truncated by a clock.

    Each reset without a seed begins further out, by 0.3 + ``far``; a seed brings back the first
    place. ``goal``: a step that gets so close to 0 terminates. Who plays on after the time limit may
    take three steps more: the numbers are wrong then, where an exception would say less.
    """

    def __init__(self, lab, limit, far=0.0, drift=0.2, goal=0.0):
        self.limit, self.far, self.drift, self.goal = limit, far, drift, goal
        self.lent = lab.expose(self, "reset", "step")
        self.diary, self.lengths, self.seeds, self.sums = [], [], [], []
        self.resets, self.kinds, self.state, self.further = 0, [], None, 0

    def reset(self, *, seed=None, options=None):
        self.resets = one_more_reset(self.resets)
        self.further = self.further + 1 if seed is None else 0
        self.state, self.clock = np.array([1.5 + (0.3 + self.far) * self.further]), 0
        self.seeds.append(seed)
        self.lengths.append(0)
        self.sums.append(0.0)
        return self.state.astype(np.float32), {}

    def step(self, action):
        if self.state is None:
            raise RuntimeError("step() was called although the episode is over: call reset().")
        self.resets, self.clock = 0, self.clock + 1
        self.kinds.append(str(np.asarray(action).dtype))
        move = np.asarray(action, float).reshape(1)
        before = self.state.astype(np.float32).astype(float)
        self.state = self.state + move + self.drift
        after = self.state.astype(np.float32)
        reward = float(-(self.state[0] ** 2) - 1.0)
        self.diary.append((before, move, after.astype(float)))
        self.lengths[-1] += 1
        self.sums[-1] += reward
        terminated = bool(abs(self.state[0]) < self.goal) or self.clock >= self.limit + 3
        truncated = self.clock >= self.limit and not terminated
        if terminated:
            self.state = None
        return after, reward, terminated, truncated, {}


DRIFTING = Problem(lambda s, a, n: -(n[..., 0] ** 2), never, np.array([-1.0]), np.array([1.5]), 0.9)
QUICK = FitSettings(2, (), 60, 8, 0.05)


@points(
    2,
    part="mpc",
    catches=("never-plans", "planning-seeds-every-episode"),
    hint="One episode at random, then model and plan. Everything that happened is in the record.",
)
def test_after_one_random_episode_it_plans(student, lab, rng):
    """The first episode is random, the next ones are planned, and all steps are recorded."""
    env = Drifting(lab, 24, drift=float(rng.uniform(0.1, 0.3)))
    search = CemSettings(40, 8, 3, 0.1)
    dice = np.random.default_rng(int(rng.integers(2**31)))
    found = student.learn_by_planning(env.lent, DRIFTING, 3, 3, QUICK, search, dice, 17)
    assert_equal(env.lengths, [24, 24, 24], what="the lengths of the episodes")
    assert_equal(env.seeds, [17, None, None], what="the seeds of the resets")
    assert_equal(set(env.kinds) == {"float32"}, True, what="the dtype of actions")
    for k, name in enumerate(("states", "actions", "next_states")):
        recorded = np.array([step[k] for step in env.diary])
        assert_close(getattr(found.data, name), recorded, what=name)
    assert_close(found.returns, np.array(env.sums), rtol=1e-5, what="returns")
    actions = np.array([step[1][0] for step in env.diary])
    states = np.array([step[2][0] for step in env.diary])
    # 24 uniform numbers between -1 and 1.5.
    assert_true(bool((actions >= -1.0).all() and (actions <= 1.5).all()), "actions keep the bounds")
    assert_true(-0.5 < actions[:24].mean() < 1.0, "the first actions are spread over the bounds")
    assert_true(0.35 < actions[:24].std() < 1.1, "the first actions are random")
    # Whoever plans is at 0 after a few steps, and stays there.
    for episode in (1, 2):
        away = np.abs(states[24 * episode + 8 : 24 * episode + 24])
        assert_true(bool(away.max() < 0.4), f"episode {episode} is planned: {away}")
    with assert_raises(ValueError):
        student.learn_by_planning(env.lent, DRIFTING, 1, 3, QUICK, search, dice, 17)


@points(
    1,
    part="mpc",
    catches=("learns-from-the-first-episode", "plays-on-after-the-time-limit"),
    hint="Before each episode after the first, the model is fitted to all steps so far. An episode "
    "ends by an end as well as by a clock.",
)
def test_the_model_is_fitted_anew_to_all_steps(student, lab, rng):
    """Before each episode the model is fitted to the steps of all episodes before it."""
    env = Drifting(lab, 20, far=50.0)
    search = CemSettings(10, 4, 1, 0.1)
    dice = np.random.default_rng(int(rng.integers(2**31)))
    settings = QUICK._replace(epochs=3)
    found = student.learn_by_planning(env.lent, DRIFTING, 3, 2, settings, search, dice, 4)
    states = np.array([step[0][0] for step in env.diary])
    assert_close(found.data.states[:, 0], states, what="the states")
    # 36 of the first 40 rows: half of them are near 0, half are near 50.
    mean, scale = states[:40].mean(), states[:40].std()
    inputs = found.dynamics.inputs
    assert_close(inputs.mean[0], mean, rtol=0.0, atol=0.15 * scale, what="the mean of the states")
    assert_close(inputs.scale[0], scale, rtol=0.15, what="the scale of the states")
    ending = Drifting(lab, 20, drift=0.4, goal=0.7)
    found = student.learn_by_planning(ending.lent, DRIFTING, 2, 2, settings, search, dice, 4)
    assert_close(found.returns, np.array(ending.sums), rtol=1e-5, what="returns")
    assert_equal(len(ending.seeds), 2, what="the number of episodes")


@points(
    1,
    part="mpc",
    catches=("plan-begins-at-zero", "nothing-is-held-out"),
    hint="A tenth of the steps, rounded down, but at least one, is not trained on. An episode's "
    "first search begins in the middle of the bounds.",
)
def test_a_tenth_is_held_out_and_searches_begin_in_the_middle(student, lab, rng):
    """The model is trained on all steps but a tenth, and the first plan is the middle of the
    bounds."""
    # All candidates are elites and plans have one step: what is done is the mean of the search.
    search, done = CemSettings(3000, 3000, 1, 0.0), []
    dice = np.random.default_rng(int(rng.integers(2**31)))
    for limit, out in ((20, 2), (18, 1), (5, 1)):
        env = Drifting(lab, limit)
        settings = QUICK._replace(epochs=1, batch_size=30)
        found = student.learn_by_planning(env.lent, DRIFTING, 2, 1, settings, search, dice, 4)
        states = found.data.states[:limit, 0]
        assert_close(
            states, np.array([step[0][0] for step in env.diary[:limit]]), what="the states"
        )
        means = [
            (states.sum() - sum(left)) / (limit - out)
            for left in combinations(states.tolist(), out)
        ]
        gap = np.abs(np.array(means) - float(found.dynamics.inputs.mean[0])).min()
        assert_true(bool(gap < 1e-9), f"{out} of {limit} rows are held out")
        done.append([float(step[1][0]) for step in env.diary[limit : limit + 3]])
    # Standard errors are 0.0065.
    expected = np.full(3, 0.25)
    assert_close(np.mean(done, axis=0), expected, rtol=0.0, atol=0.05, what="the mean actions")


# -- part 7: how the error of a model grows --------------------------------------------------------


@points(
    2,
    part="error",
    catches=(
        "model-is-told-the-truth",
        "actions-of-the-start",
        "compares-one-step-early",
        "distance-to-the-mean",
        "distance-is-squared",
    ),
    hint="From each start, the model goes on from its own predictions, with the recorded actions of "
    "those moments. Distances are compared with the recorded states.",
)
def test_the_open_loop_error_compares_stories(student, rng):
    """After k steps without looking, the error is the mean distance to the recorded state."""
    step, one = linear(rng, 2)
    states, actions = rng.normal(size=(8, 2)), rng.normal(size=(7, 2))
    before = states.copy()
    for H in (1, 4, 7):
        gaps = np.zeros((H, 2, 7 - H + 1))
        for m in range(2):
            for start in range(7 - H + 1):
                s = states[start]
                for k in range(H):
                    s = one(m, s, actions[start + k])
                    gaps[k, m, start] = np.linalg.norm(s - states[start + k + 1])
        found = student.open_loop_errors(step, states, actions, H, 2)
        assert_close(found, gaps.mean(axis=(1, 2)), what=f"the errors up to {H} steps")
    assert_unchanged(before, states, "states")
    with assert_raises(ValueError):
        student.open_loop_errors(step, states, actions, 8, 2)


@points(
    1,
    part="error",
    catches=("growth-without-a-sum", "errors-only-add-up"),
    hint="The error so far grows by the factor L, and the step adds its own. With L = 1 errors add "
    "up; with L = 0 nothing is remembered.",
)
def test_the_bound_follows_its_recursion(student, rng):
    """The bound on the error obeys e[k + 1] = L e[k] + step error."""
    for lipschitz in (float(rng.uniform(1.1, 1.6)), float(rng.uniform(0.3, 0.9)), 1.0, 0.0):
        eps, e, expected = float(rng.uniform(0.1, 0.6)), 0.0, []
        for _ in range(6):
            e = lipschitz * e + eps
            expected.append(e)
        found = student.growth_bound(eps, lipschitz, 6)
        assert_close(found, np.array(expected), what="the bound")
    assert_close(student.growth_bound(0.3, 1.2, 1), np.array([0.3]), what="the bound of one step")
    with assert_raises(ValueError):
        student.growth_bound(0.3, -1.2, 2)
    with assert_raises(ValueError):
        student.growth_bound(0.3, 1.2, 0)


@points(
    2,
    part="error",
    catches="model-is-told-the-truth",
    hint="Where the model errs by at most eps in a step and stretches distances by at most L, the "
    "open-loop error cannot pass the bound; in one dimension it can reach it.",
)
def test_the_measured_error_keeps_within_the_bound(student, rng):
    """The open-loop error of a wrong model keeps within the bound, and reaches it on a line."""
    growth, eps = float(rng.uniform(1.05, 1.3)), float(rng.uniform(0.1, 0.4))
    actions = rng.normal(size=(9, 1))
    states = [np.array([float(rng.normal())])]
    for a in actions:
        states.append(growth * states[-1] + a)
    errors = student.open_loop_errors(
        lambda s, a: growth * s + np.asarray(a) + eps, np.array(states), actions, 5, 1
    )
    bound = student.growth_bound(eps, growth, 5)
    assert_close(errors, np.array([eps * (growth**k - 1) / (growth - 1) for k in range(1, 6)]))
    assert_close(errors, bound, what="the error on a line, which is the bound")
    # In the plane, with a wrong matrix: the bound holds, and is not reached.
    true = rng.normal(size=(2, 2))
    true *= 1.1 / np.linalg.norm(true, 2)
    wrong = true + 0.05 * rng.normal(size=(2, 2))
    walk, moves = [rng.normal(size=2)], rng.normal(size=(9, 2))
    for a in moves:
        walk.append(walk[-1] @ true + a)
    errors = student.open_loop_errors(
        lambda s, a: s @ wrong + np.asarray(a), np.array(walk), moves, 5, 1
    )
    eps = max(float(np.linalg.norm(s @ (wrong - true))) for s in walk[:9])
    bound = student.growth_bound(eps, float(np.linalg.norm(wrong, 2)), 5)
    assert_finite(errors, "the errors")
    assert_finite(bound, "the bound")
    assert_true(bool((errors <= bound + 1e-9).all()), f"errors {errors} within {bound}")


@points(
    2,
    part="error",
    catches=(
        "first-reward-is-wrong-already",
        "bound-forgets-gamma",
        "value-error-undiscounted",
        "value-error-one-step-early",
    ),
    hint="The state of the first reward is known. The k-th later one is wrong by e[k], times its "
    "discount; the value at the end has the discount gamma^H.",
)
def test_the_return_is_wrong_by_no_more_than_the_bound(student, rng):
    """The error of an imagined return keeps within the bound, and reaches it on a line."""
    growth, eps = float(rng.uniform(1.05, 1.3)), float(rng.uniform(0.1, 0.4))
    slope, gamma, H = float(rng.uniform(0.5, 2.0)), float(rng.uniform(0.7, 0.95)), 5
    plan, state = rng.normal(size=H), float(rng.normal())

    def worth(error):
        s, total = state, 0.0
        for k, action in enumerate(plan):
            total += gamma**k * (slope * s + action)
            s = growth * s + action + error
        return total

    bound = student.return_bound(eps, growth, slope, gamma, H, 0.0)
    e, expected = 0.0, 0.0
    for k in range(1, H):
        e = growth * e + eps
        expected += slope * gamma**k * e
    assert_close(bound, expected, what="the bound")
    assert_close(bound, worth(eps) - worth(0.0), what="the error on a line")
    found = student.return_bound(eps, growth, slope, gamma, H, 3.7)
    assert_close(found, expected + 3.7 * gamma**H, what="the bound with an error of the value")
    found = student.return_bound(eps, growth, slope, gamma, 1, 3.7)
    assert_close(found, 3.7 * gamma, what="the bound of one step")


# -- learning checks: any of the declared seeds may pass -------------------------------------------
#
# The bars were set with the first seeds of bars.py, those of the table, and lie far below them. Until
# `verify model_based --bars` has measured 30 seeds, no more than that is known. A correct solution
# fails a check only if all three of its seeds are below the bar.
#
#   check           what is measured                          first seeds                        bar
#   Figure 8.2      the smaller ratio of real steps           1.51, 1.94, 2.46, 2.73, 2.81       1.2
#   Pendulum-v1     better return of the last two episodes    -424, -134, -132, -131, -128, -120  -600
#
# Without planning the first ratio is 1. A random policy on Pendulum-v1 gets -1200 on average.

SOONER_BAR, SWING_UP_BAR = 1.2, -600.0


def assert_some_seed(measure, seeds, bar, what):
    """``measure(seed)`` reaches the bar for one of the seeds at least."""
    found = {}
    for seed in seeds:
        found[seed] = measure(seed)
        if found[seed] >= bar:
            return
    assert_true(False, f"{what} reaches {bar} for one of the seeds: {found}")


class DynaMaze:
    """The maze of S&B's Figure 8.2: 6 rows, 9 columns, 0 for a step and 1 for the last one."""

    WALLS = ((1, 2), (2, 2), (3, 2), (4, 5), (0, 7), (1, 7), (2, 7))
    MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
    START, GOAL = (2, 0), (0, 8)

    def __init__(self, lab, budget):
        self.place, self.left, self.lengths, self.resets = None, budget, [], 0
        self.lent = lab.expose(self, "reset", "step")

    def reset(self, *, seed=None, options=None):
        self.resets = one_more_reset(self.resets)
        self.place = self.START
        self.lengths.append(0)
        return self.place[0] * 9 + self.place[1], {}

    def step(self, action):
        if self.place is None:
            raise RuntimeError("step() was called although the episode is over: call reset().")
        self.left, self.resets = self.left - 1, 0
        if self.left < 0:
            raise RuntimeError("the budget of environment steps is used up")
        row, column = np.add(self.place, self.MOVES[int(action)]).tolist()
        if 0 <= row < 6 and 0 <= column < 9 and (row, column) not in self.WALLS:
            self.place = (row, column)
        self.lengths[-1] += 1
        shown, over = self.place[0] * 9 + self.place[1], self.place == self.GOAL
        self.place = None if over else self.place
        return shown, float(over), over, False, {}


def sooner(student, lab, seed, episodes=6, runs=2):
    """Steps per episode after the first one: the smaller of the two ratios between n = 0 and 5, and
    between 5 and 50."""
    means = {}
    for n in (0, 5, 50):
        lengths = []
        for run in range(runs):
            maze = DynaMaze(lab, budget=60_000)
            dice = np.random.default_rng([seed, run])
            student.dyna(maze.lent, (54, 4), episodes, n, 0.1, 0.95, 0.1, dice, seed)
            assert_equal(len(maze.lengths), episodes, what="the number of episodes")
            lengths += maze.lengths[1:]
        means[n] = float(np.mean(lengths))
    return min(means[0] / means[5], means[5] / means[50])


@points(
    6,
    part="loop",
    learning=True,
    seconds=60,
    hint="S&B's maze, alpha 0.1, gamma 0.95, epsilon 0.1. If the exact tests of plan_ and dyna pass, "
    "this one does.",
)
def test_planning_finds_the_goal_sooner_as_in_figure_8_2(student, lab):
    """In S&B's maze, 50 planning steps need fewer real steps than 5, and 5 fewer than none."""
    assert_some_seed(
        lambda seed: sooner(student, lab, seed), (1, 2, 3), SOONER_BAR, "the ratio of steps"
    )


class Recorded(gymnasium.Wrapper):
    """Pendulum-v1 with a record of its returns."""

    def __init__(self):
        super().__init__(gymnasium.make("Pendulum-v1"))
        self.returns = []

    def reset(self, **arguments):
        self.returns.append(0.0)
        return self.env.reset(**arguments)

    def step(self, action):
        result = self.env.step(action)
        self.returns[-1] += float(result[1])
        return result


EPISODES, HORIZON = 5, 16
FIT, SEARCH = FitSettings(3, (32, 32), 60, 64, 1e-2), CemSettings(64, 10, 2, 0.1)


def swing_up(student, lab, seed):
    """The best return of the last two episodes on Pendulum-v1."""
    env = Recorded()
    lent, _ = lab.lend(env, budget=200 * EPISODES)
    low, high = np.array([-2.0]), np.array([2.0])
    problem = Problem(student.pendulum_reward, student.never_ends, low, high, 0.99)
    dice = np.random.default_rng(seed)
    found = student.learn_by_planning(lent, problem, EPISODES, HORIZON, FIT, SEARCH, dice, seed)
    assert_close(found.returns, np.array(env.returns), rtol=1e-5, what="returns")
    lab.curve(found.returns)
    return max(env.returns[-2:])


@points(
    8,
    part="mpc",
    learning=True,
    seconds=120,
    hint="Pendulum-v1: one random episode, then four that are planned. If the exact tests of the "
    "ensemble, of cem and of mpc_action pass, this one does.",
)
def test_the_pendulum_is_swung_up_within_a_thousand_steps(student, lab):
    """Within 1000 steps of Pendulum-v1, planning with the learned model swings it up."""
    assert_some_seed(
        lambda seed: swing_up(student, lab, seed), (1, 2, 3), SWING_UP_BAR, "the return"
    )
