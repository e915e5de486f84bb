"""Hidden tests of td_learning.

Prediction is deterministic once the episodes are there, so most tests make episodes with a known
structure (a state that comes back, an end, a clock that strikes) and random numbers, and compute
the answer in a second way: by the definition, by enumeration, or by a linear solve. Behind each end
the tables hold made-up values, so that nobody can look there unnoticed.
"""

from itertools import product
from typing import NamedTuple

import numpy as np

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

# -- episodes --------------------------------------------------------------------------------------


class Episode(NamedTuple):
    """The record that the functions of the assignment take."""

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool


END = 5  # the tables of most tests have the states 0 to 4 and this end


def record(rng, states, terminated=True, n_actions=3):
    """These states, with random actions and rewards. No reward is near 0."""
    steps = len(states) - 1
    rewards = rng.uniform(0.7, 2.3, size=steps) * rng.choice([-1.0, 1.0], size=steps)
    actions = rng.integers(0, n_actions, size=steps)
    return Episode(np.array(states), actions, rewards, terminated)


def named(rng, *patterns):
    """The patterns, with the states 0 to 4 renamed at random; END stays."""
    names = [*rng.permutation(5).tolist(), END]
    return [[names[s] for s in pattern] for pattern in patterns]


def complete(rng):
    """Three terminated episodes in which states come back, next to each other and later.

    The last one ends on its way into a state in which others go on.
    """
    patterns = named(rng, [0, 1, 0, 0, 2, 1, END], [1, 3, 4, 1, END], [2, 2, 0, 3, 1])
    return [record(rng, states) for states in patterns]


def cut_off(rng):
    """Three episodes; a clock stopped the second one, in a state that the others know.

    The last one ends on its way into a state in which others go on.
    """
    patterns = named(rng, [0, 1, 0, 2, 1, END], [1, 3, 0, 1, 2], [2, 0, 3, 0])
    ends = (True, False, True)
    return [record(rng, states, end) for states, end in zip(patterns, ends, strict=True)]


def table(rng):
    """(6,) A table, with a made-up value behind the end."""
    return np.append(rng.normal(size=5), 40.0 + rng.normal())


# -- the definitions, written down slowly ----------------------------------------------------------


def return_from(episode, t, gamma):
    """The discounted sum of the rewards from step t on."""
    return float(sum(gamma ** (k - t) * episode.rewards[k] for k in range(t, len(episode.rewards))))


def n_step_return(V, episode, t, n, gamma):
    """n rewards, then the value of the state that is reached unless the episode ended there."""
    steps = len(episode.rewards)
    last = min(t + n, steps)
    paid = sum(gamma ** (k - t) * episode.rewards[k] for k in range(t, last))
    ended = last == steps and episode.terminated
    return float(paid + (0.0 if ended else gamma ** (last - t) * V[episode.states[last]]))


def lambda_return(V, episode, t, lam, gamma):
    """The n-step returns of step t, weighed; the longest one has all the weight that is left."""
    left = len(episode.rewards) - t
    looks = [n_step_return(V, episode, t, n, gamma) for n in range(1, left + 1)]
    weights = [(1 - lam) * lam ** (n - 1) for n in range(1, left)] + [lam ** (left - 1)]
    return float(np.dot(weights, looks))


def is_first(keys, t):
    """Whether keys[t] is new at t."""
    return keys[t] not in list(keys[:t])


def visited(episodes, first_visit):
    """(state, episode, t) of each visit that counts."""
    for episode in episodes:
        states = episode.states[:-1].tolist()
        for t, s in enumerate(states):
            if not first_visit or is_first(states, t):
                yield s, episode, t


def mean_returns(episodes, n_states, gamma, first_visit):
    """The mean returns and the numbers of visits."""
    found = [[] for _ in range(n_states)]
    for s, episode, t in visited(episodes, first_visit):
        found[s].append(return_from(episode, t, gamma))
    values = np.array([np.mean(one) if one else 0.0 for one in found])
    return values, np.array([len(one) for one in found])


def model_of(episodes, n_states):
    """P (S, S) and r (S,): the frequencies of the data. A terminated step leads nowhere."""
    P, r, visits = np.zeros((n_states, n_states)), np.zeros(n_states), np.zeros(n_states)
    for s, episode, t in visited(episodes, first_visit=False):
        visits[s] += 1
        r[s] += episode.rewards[t]
        if not (episode.terminated and t == len(episode.rewards) - 1):
            P[s, episode.states[t + 1]] += 1
    seen = np.maximum(visits, 1)
    return P / seen[:, None], r / seen


def value_of(P, r, gamma):
    """The solution of V = r + gamma P V."""
    return np.linalg.solve(np.eye(len(r)) - gamma * P, r)


def replay_traces(V, episodes, lam, alpha, gamma, kind):
    """What TD(lambda) makes of the table, one state at a time."""
    V = V.copy()
    for episode in episodes:
        trace, v_old = {}, 0.0
        for t, reward in enumerate(episode.rewards):
            s, ended = int(episode.states[t]), t == len(episode.rewards) - 1
            v, v2 = V[s], 0.0 if ended and episode.terminated else V[episode.states[t + 1]]
            delta = reward + gamma * v2 - v
            trace = {state: gamma * lam * z for state, z in trace.items()}
            faded = trace.get(s, 0.0)
            grown = {"accumulating": faded + 1, "replacing": 1.0}
            trace[s] = grown.get(kind, faded + 1 - alpha * faded)
            surplus = v - v_old if kind == "dutch" else 0.0
            for state, z in trace.items():
                V[state] += alpha * (delta + surplus) * z
            V[s] -= alpha * surplus
            v_old = v2
    return V


# -- part 1: returns, visits and their mean --------------------------------------------------------


@points(
    2,
    part="monte_carlo",
    catches=(
        "returns-accumulate-forwards",
        "discounts-the-reward",
        "return-forgets-gamma",
        "discount-counts-from-the-start",
    ),
    hint="The return of a step is its reward, plus gamma times the return of the next step.",
)
def test_the_return_is_the_reward_plus_the_discounted_rest(student, rng):
    """The return of each step is the discounted sum of the rewards from there to the end."""
    episode = record(rng, [0, 1, 2, 3, 4, 0, END])
    before = episode.rewards.copy()
    for gamma in (0.9, 0.35):
        expected = np.array([return_from(episode, t, gamma) for t in range(6)])
        found = student.discounted_returns(episode.rewards, gamma)
        assert_close(found, expected, what="the returns")
    assert_unchanged(before, episode.rewards, "rewards")
    assert_close(student.discounted_returns(before, 0.0), before, what="the returns, gamma = 0")
    undiscounted = np.cumsum(before[::-1])[::-1]
    assert_close(student.discounted_returns(before, 1.0), undiscounted, what="gamma = 1")


@points(
    1,
    part="monte_carlo",
    catches=("returns-accumulate-forwards", "discount-counts-from-the-start"),
    hint="An action is paid for what comes after it. What may the first return know of the last "
    "reward, and the last return of the first reward?",
)
def test_a_reward_counts_for_the_steps_before_it(student, rng):
    """One more at some step raises the returns up to that step, by powers of gamma."""
    rewards = rng.normal(size=6)
    plain = student.discounted_returns(rewards, 0.8)
    assert_close(plain[5], float(rewards[5]), what="the last return")
    for late in (0, 3, 5):
        windfall = rewards + np.where(np.arange(6) == late, 1.0, 0.0)
        gain = [0.8 ** (late - t) if t <= late else 0.0 for t in range(6)]
        found = student.discounted_returns(windfall, 0.8)
        assert_close(found - plain, np.array(gain), what="what a windfall changes")
    with assert_raises(ValueError):
        student.discounted_returns(rewards, 1.2)


@points(
    2,
    part="monte_carlo",
    catches=("first-visit-is-the-last", "only-the-latest-is-remembered"),
    hint="Walk through the keys in order of time. Which of them have you not met before?",
)
def test_a_first_visit_has_no_predecessor(student, rng):
    """A visit is the first one if its state has not occurred before in the episode."""
    for pattern in ([0, 1, 0, 0, 2, 1, 3, 2], [4, 4, 4, 1], [2, 0, 1, 3]):
        keys = np.array(named(rng, pattern)[0])
        expected = np.array([is_first(pattern, t) for t in range(len(pattern))])
        assert_equal(student.first_visits(keys), expected, what="the mask")
        assert_equal(student.first_visits(keys + 700), expected, what="the mask of large keys")


@points(
    4,
    part="monte_carlo",
    catches=(
        "first-visit-is-the-last",
        "every-visit-counts",
        "repeats-drop-their-reward",
        "visit-is-the-arrival",
    ),
    hint="Take an episode that comes back to its first state. Which return belongs to the first "
    "visit: the longest or the shortest?",
)
def test_a_state_that_comes_back_tells_first_from_every_visit(student, rng):
    """Where a state comes back, first-visit Monte Carlo keeps the first return, every-visit all."""
    (states,) = named(rng, [0, 1, 0, 2, 0, END])
    episode, start = record(rng, states), states[0]
    mask = student.first_visits(np.array(states[:-1]))
    assert_equal(mask, np.array([True, True, False, True, False]), what="the mask")
    G = [return_from(episode, t, 0.9) for t in range(5)]
    first = student.mc_prediction([episode], 6, 0.9, True)
    assert_close(first.values[start], G[0], what="first-visit value of the state that comes back")
    every = student.mc_prediction([episode], 6, 0.9, False)
    expected = (G[0] + G[2] + G[4]) / 3
    assert_close(every.values[start], expected, what="its every-visit value")
    for found, first_visit in ((first, True), (every, False)):
        values, visits = mean_returns([episode], 6, 0.9, first_visit)
        assert_close(found.values, values, what="values")
        assert_equal(found.visits, visits, what="visits")


@points(
    3,
    part="monte_carlo",
    catches=(
        "divides-by-episodes",
        "mean-of-episode-means",
        "count-begins-at-one",
        "seen-is-never-cleared",
        "repeats-add-once",
        "only-the-start-counts",
    ),
    hint="Every counted visit has the same weight, whichever episode it comes from. Each episode "
    "begins with nothing seen.",
)
def test_each_counted_visit_weighs_the_same(student, rng):
    """Over several episodes, the value of a state is the mean over all of its counted visits."""
    episodes = complete(rng)
    for first_visit in (True, False):
        values, visits = mean_returns(episodes, 6, 0.8, first_visit)
        found = student.mc_prediction(episodes, 6, 0.8, first_visit)
        assert_close(found.values, values, what="values")
        assert_equal(found.visits, visits, what="visits")
    with assert_raises(ValueError):
        student.mc_prediction(cut_off(rng), 6, 0.8)


# -- part 2: one step ------------------------------------------------------------------------------


@points(
    3,
    part="td",
    catches="bootstraps-over-the-end",
    hint="Nothing follows the end of an episode: its last state is worth 0 there, whatever the "
    "table says.",
)
def test_a_terminating_step_is_worth_its_reward(student, rng):
    """A step that terminated is worth its reward alone, whatever the table says behind the end."""
    r, V = float(rng.normal()), table(rng)
    assert_close(student.td_target(r, 9.0, 0.7, True), r, what="the target of a last step")
    for made_up in (V[END], -3e5):
        one = np.append(V[:5], made_up)
        error = student.td0_update_(one, 2, r, END, True, 0.3, 0.9)
        assert_close(error, float(r - V[2]), what="the TD error of a last step")
        assert_close(one[2], float(V[2] + 0.3 * (r - V[2])), what="V[s]")
    assert_close(student.td_target(r, 9.0, 0.7, False), r + 6.3, what="the target of another step")


@points(
    1,
    part="td",
    catches=("target-discounts-the-reward", "target-forgets-gamma"),
    hint="The discount belongs to the future alone.",
)
def test_the_target_is_the_reward_plus_the_discounted_value(student, rng):
    """The target is the reward plus gamma times the value of the next state."""
    for gamma in (0.0, 0.6, 1.0):
        r, v = rng.normal(size=2) + 3.0
        found = student.td_target(float(r), float(v), gamma, False)
        assert_close(found, float(r + gamma * v), what="the target")
    with assert_raises(ValueError):
        student.td_target(1.0, 2.0, -0.1, False)


@points(
    3,
    part="td",
    catches=(
        "moves-the-next-state",
        "forgets-the-step-size",
        "subtracts-the-error",
        "returns-the-step-taken",
    ),
    hint="Compare the whole table before and after a step. The error that is returned does not "
    "know the step size.",
)
def test_one_value_moves_by_alpha_times_the_error(student, rng):
    """One entry moves, by step size times TD error; the error itself is returned."""
    for s, s2, alpha in ((0, 3, 0.3), (4, 1, 0.15), (2, 2, 1.0)):
        V, r = table(rng), float(rng.normal())
        error = float(r + 0.8 * V[s2] - V[s])
        expected = V + alpha * error * (np.arange(6) == s)
        found = student.td0_update_(V, s, r, s2, False, alpha, 0.8)
        assert_close(found, error, what="the TD error")
        assert_close(V, expected, what="the table after the step")
    with assert_raises(ValueError):
        student.td0_update_(table(rng), 0, 1.0, 1, False, 0.0, 0.9)


# -- part 3: a batch -------------------------------------------------------------------------------


def batch_reference(episodes, alpha, gamma, sweeps, error):
    """Batch updating with ``error(V, episode, t)``, one step at a time."""
    V = np.zeros(6)
    for _ in range(sweeps):
        change = np.zeros(6)
        for s, episode, t in visited(episodes, first_visit=False):
            change[s] += error(V, episode, t)
        V = V + alpha * change
    return V


@points(
    3,
    part="batch",
    catches=("changes-within-the-sweep", "batch-counts-repeats-once", "batch-averages-the-errors"),
    hint="In one sweep every error is computed with the same table. They are added up, also where "
    "a state is there several times, and the table changes once.",
)
def test_a_sweep_adds_up_the_errors_of_all_steps(student, rng):
    """A sweep adds up alpha times the errors of all steps, and then changes the table once."""
    episodes = complete(rng)

    def td_error(V, episode, t):
        return n_step_return(V, episode, t, 1, 0.9) - V[episode.states[t]]

    def mc_error(V, episode, t):
        return return_from(episode, t, 0.9) - V[episode.states[t]]

    for sweeps in (1, 2, 4):
        expected = batch_reference(episodes, 0.07, 0.9, sweeps, td_error)
        found = student.batch_td(episodes, 6, 0.07, 0.9, sweeps)
        assert_close(found, expected, what=f"batch TD after {sweeps} sweeps")
        expected = batch_reference(episodes, 0.07, 0.9, sweeps, mc_error)
        found = student.batch_mc(episodes, 6, 0.07, 0.9, sweeps)
        assert_close(found, expected, what=f"batch Monte Carlo after {sweeps} sweeps")


@points(
    3,
    part="batch",
    catches=("batch-mc-bootstraps", "model-adds-up-rewards"),
    hint="Eight episodes: A was seen once, went to B for nothing, and that episode paid 0. B paid "
    "1 in six of eight visits. What is A worth to somebody who believes in the model?",
)
def test_the_predictor_of_example_6_4(student):
    """S&B's Example 6.4: batch Monte Carlo says V(A) = 0, batch TD says V(A) = 3/4."""
    A, B, end = 0, 1, 2
    first = Episode(np.array([A, B, end]), np.zeros(2, int), np.zeros(2), True)
    rest = [
        Episode(np.array([B, end]), np.zeros(1, int), np.array([paid]), True)
        for paid in (1.0,) * 6 + (0.0,)
    ]
    batch = [first, *rest]
    # Two of the errors shrink by 0.9 and 0.2 in a sweep: nothing is left of them.
    found = student.batch_td(batch, 3, 0.1, 1.0, 240)
    assert_close(found, np.array([0.75, 0.75, 0.0]), atol=1e-6, what="batch TD")
    found = student.batch_mc(batch, 3, 0.1, 1.0, 240)
    assert_close(found, np.array([0.0, 0.75, 0.0]), atol=1e-6, what="batch Monte Carlo")
    found = student.certainty_equivalence(batch, 3, 1.0)
    assert_close(found, np.array([0.75, 0.75, 0.0]), what="the certainty-equivalence solution")


@points(
    3,
    part="batch",
    catches=(
        "model-forgets-the-end",
        "model-ends-at-the-clock",
        "model-weighs-successors-alike",
        "model-adds-up-rewards",
    ),
    hint="Build the model by hand: how often did each state lead where, and what did a step from "
    "it pay on average? Which steps lead nowhere?",
)
def test_certainty_equivalence_solves_the_model_of_the_data(student, rng):
    """The solution has no error in Bellman's equation of the world that the data describe."""
    for episodes in (complete(rng), cut_off(rng)):
        P, r = model_of(episodes, 6)
        for gamma in (0.0, 0.85):
            found = student.certainty_equivalence(episodes, 6, gamma)
            assert_close(found, value_of(P, r, gamma), what="the solution")


@points(
    3,
    part="batch",
    catches=(
        "batch-treats-cut-off-as-ended",
        "batch-bootstraps-over-the-end",
        "batch-mc-bootstraps",
        "batch-averages-the-errors",
    ),
    hint="After many sweeps the errors of each state's steps add up to 0. For TD this is the "
    "equation that certainty_equivalence solves.",
)
def test_batch_learning_settles_where_the_errors_cancel(student, rng):
    """Batch TD settles at the certainty-equivalence solution, batch Monte Carlo at the mean
    return."""
    ended, mixed = complete(rng), cut_off(rng)
    for episodes in (ended, mixed):
        # The slowest error shrinks by 0.87 in a sweep: 1e-7 is left of it.
        found = student.batch_td(episodes, 6, 0.15, 0.7, 120)
        expected = value_of(*model_of(episodes, 6), 0.7)
        assert_close(found, expected, rtol=1e-5, atol=1e-5, what="batch TD after many sweeps")
    found = student.batch_mc(ended, 6, 0.15, 0.7, 120)
    expected, _ = mean_returns(ended, 6, 0.7, first_visit=False)
    assert_close(found, expected, rtol=1e-5, atol=1e-5, what="batch Monte Carlo after many sweeps")
    with assert_raises(ValueError):
        student.batch_mc(mixed, 6, 0.15, 0.7, 3)


# -- part 4: n steps -------------------------------------------------------------------------------


@points(
    2,
    part="n_step",
    catches=("looks-one-step-further", "n-step-forgets-gamma", "bootstrap-has-one-discount"),
    hint="Write one n-step return down, term by term: which power of gamma has the k-th reward, "
    "and which the value at the end?",
)
def test_the_n_step_return_is_n_rewards_and_a_value(student, rng):
    """An n-step return holds n discounted rewards and the discounted value of the state reached."""
    V, (states,) = table(rng), named(rng, [0, 1, 0, 2, 3, 1, END])
    episode, before = record(rng, states), V.copy()
    for n in (1, 2, 4):
        expected = [n_step_return(V, episode, t, n, 0.75) for t in range(6)]
        found = student.n_step_returns(V, episode, n, 0.75)
        assert_close(found, np.array(expected), what=f"the {n}-step returns")
    assert_unchanged(before, V, "V")
    with assert_raises(ValueError):
        student.n_step_returns(V, episode, 0, 0.75)


@points(
    2,
    part="n_step",
    catches=("n-step-bootstraps-over-the-end", "n-step-drops-the-last-value"),
    hint="A look ahead can stop at an end, or at a clock. In one case the state there is worth "
    "nothing, in the other it keeps its value.",
)
def test_a_look_ahead_stops_at_ends_and_clocks(student, rng):
    """Where fewer than n steps are left, a real end is worth 0 and a truncated one its value."""
    V, (states,) = table(rng), named(rng, [0, 1, 2, 1, 3])
    ended = record(rng, [*states[:-1], END])
    stopped = record(rng, states, terminated=False)
    for n in (1, 3, 9):
        left = np.minimum(n, 4 - np.arange(4))
        reaches = left == 4 - np.arange(4)
        for episode, gain in ((ended, 0.0), (stopped, 0.8**left * reaches)):
            found = student.n_step_returns(V, episode, n, 0.8)
            expected = [n_step_return(V, episode, t, n, 0.8) for t in range(4)]
            assert_close(found, np.array(expected), what=f"the {n}-step returns")
            richer = V + (np.arange(6) == episode.states[-1])
            change = student.n_step_returns(richer, episode, n, 0.8) - found
            assert_close(change, gain + np.zeros(4), what="what one more in the last state changes")


@points(
    2,
    part="n_step",
    catches=("looks-one-step-further", "n-step-moves-the-state-ahead"),
    hint="With n = 1 there is one reward and one value. Compare with td0_update_, step by step.",
)
def test_with_one_step_it_is_td0(student, rng):
    """n-step TD with n = 1 is TD(0), step by step."""
    episodes, V = cut_off(rng), table(rng)
    by_steps, expected = V.copy(), replay_traces(V, episodes, 0.0, 0.3, 0.9, "accumulating")
    for episode in episodes:
        for t, r in enumerate(episode.rewards.tolist()):
            s, s2 = int(episode.states[t]), int(episode.states[t + 1])
            ended = bool(episode.terminated and t == len(episode.rewards) - 1)
            student.td0_update_(by_steps, s, r, s2, ended, 0.3, 0.9)
    assert_close(by_steps, expected, what="the table after TD(0)")
    student.n_step_td_(V, episodes, 1, 0.3, 0.9)
    assert_close(V, expected, what="the table after n-step TD with n = 1")


@points(
    2,
    part="n_step",
    catches=("short-tails-are-left-out", "n-step-bootstraps-over-the-end", "n-step-forgets-gamma"),
    hint="If n is larger than the episode, no value is left in the target. The last steps learn as "
    "well: their targets are shorter.",
)
def test_with_all_steps_it_is_monte_carlo(student, rng):
    """With n at least as large as the episode, n-step TD is Monte Carlo with a step size."""
    episodes, V = complete(rng), table(rng)
    expected = V.copy()
    for episode in episodes:
        G = [return_from(episode, t, 0.9) for t in range(len(episode.rewards))]
        assert_close(student.n_step_returns(V, episode, 50, 0.9), np.array(G), what="returns")
        for s, target in zip(episode.states[:-1].tolist(), G, strict=True):
            expected[s] += 0.3 * (target - expected[s])
    student.n_step_td_(V, episodes, 50, 0.3, 0.9)
    assert_close(V, expected, what="the table after n-step TD with n = 50")


@points(
    2,
    part="n_step",
    catches=(
        "looks-at-the-old-table",
        "learns-in-reverse",
        "short-tails-are-left-out",
        "n-step-drops-the-last-value",
    ),
    hint="The steps are learned from in order of time. Each target uses the table as it is then, "
    "with all that the steps before have changed.",
)
def test_each_step_learns_from_the_table_of_its_moment(student, rng):
    """n-step TD learns from the first step to the last, each time with the table as it is."""
    for n in (2, 3):
        episodes, V = cut_off(rng), table(rng)
        expected = V.copy()
        for episode in episodes:
            for t, s in enumerate(episode.states[:-1].tolist()):
                target = n_step_return(expected, episode, t, n, 0.8)
                expected[s] += 0.35 * (target - expected[s])
        student.n_step_td_(V, episodes, n, 0.35, 0.8)
        assert_close(V, expected, what=f"the table after {n}-step TD")


# -- part 5: traces --------------------------------------------------------------------------------


@points(
    2,
    part="traces",
    catches=("lambda-is-turned-round", "the-tail-loses-its-weight", "lambda-return-forgets-gamma"),
    hint="The weights of the n-step returns add up to 1: the longest one has all that is left.",
)
def test_the_lambda_return_is_a_mean_of_n_step_returns(student, rng):
    """The lambda-return is the mean of the n-step returns with weights that fade by lambda."""
    V, before = table(rng), None
    for episode in cut_off(rng):
        before = V.copy()
        steps = range(len(episode.rewards))
        for lam in (0.3, 0.85):
            expected = [lambda_return(V, episode, t, lam, 0.9) for t in steps]
            found = student.lambda_returns(V, episode, lam, 0.9)
            assert_close(found, np.array(expected), what="the lambda-returns")
    assert_unchanged(before, V, "V")


@points(
    2,
    part="traces",
    catches=("lambda-return-bootstraps-over-the-end", "lambda-return-drops-the-last-value"),
    hint="Which value may enter the last lambda-return of an episode that terminated, and which "
    "that of one that a clock stopped?",
)
def test_lambda_zero_is_one_step_and_lambda_one_all(student, rng):
    """lambda = 0 gives the one-step targets, lambda = 1 the returns; ends and clocks differ."""
    V, (states,) = table(rng), named(rng, [0, 1, 2, 1, 3])
    for episode in (record(rng, [*states[:-1], END]), record(rng, states, terminated=False)):
        for lam, n in ((0.0, 1), (1.0, 9)):
            expected = [n_step_return(V, episode, t, n, 0.8) for t in range(4)]
            found = student.lambda_returns(V, episode, lam, 0.8)
            assert_close(found, np.array(expected), what=f"the lambda-returns, lambda = {lam}")
        found = student.lambda_returns(V, episode, 0.6, 0.8)
        last = n_step_return(V, episode, 3, 1, 0.8)
        assert_close(found[3], last, what="the last lambda-return")
    with assert_raises(ValueError):
        student.lambda_returns(V, episode, 1.1, 0.8)


@points(
    3,
    part="traces",
    catches=(
        "backward-view-fades-after-the-visit",
        "backward-view-replaces",
        "returns-the-new-table",
        "the-tail-loses-its-weight",
    ),
    hint="Add alpha * (lambda-return - V) over the visits of each state: that is what the traces "
    "must give, to the last digit.",
)
def test_forward_and_backward_view_are_one(student, rng):
    """Offline, the traces add to each state exactly what its lambda-returns ask for."""
    V = table(rng)
    for episode in (*cut_off(rng), *complete(rng)):
        before, lam, expected = V.copy(), float(rng.uniform(0.3, 0.9)), np.zeros(6)
        forward = student.lambda_returns(V, episode, lam, 0.85)
        for t, s in enumerate(episode.states[:-1].tolist()):
            asked = lambda_return(V, episode, t, lam, 0.85)
            assert_close(forward[t], asked, what="the lambda-return")
            expected[s] += 0.2 * (asked - V[s])
        backward = student.backward_increments(V, episode, lam, 0.2, 0.85)
        assert_close(backward, expected, what="what the traces add")
        assert_unchanged(before, V, "V")


@points(
    1,
    part="traces",
    catches=("returns-the-new-table", "backward-view-replaces"),
    hint="With lambda = 1 no value of a later state is left in the increments: they cancel.",
)
def test_with_lambda_one_the_traces_are_monte_carlo(student, rng):
    """Offline with lambda = 1, each visit adds alpha times return minus value."""
    V = table(rng)
    for episode in complete(rng):
        expected = np.zeros(6)
        for t, s in enumerate(episode.states[:-1].tolist()):
            expected[s] += 0.1 * (return_from(episode, t, 0.7) - V[s])
        found = student.backward_increments(V, episode, 1.0, 0.1, 0.7)
        assert_close(found, expected, what="the increments")


@points(
    2,
    part="traces",
    catches=("accumulating-traces-replace", "replacing-traces-pile-up", "trace-forgets-gamma"),
    hint="At a second visit: one kind of trace grows by 1, one is set to 1, one does something in "
    "between.",
)
def test_a_second_visit_tells_the_traces_apart(student, rng):
    """Where a state comes back, the three kinds of traces do what their formulas say."""
    (states,) = named(rng, [0, 1, 0, 0, 2, 1, END])
    episode, start = record(rng, states), table(rng)
    for kind in ("accumulating", "replacing", "dutch"):
        V = start.copy()
        student.td_lambda_(V, [episode], 0.7, 0.3, 0.8, kind)
        expected = replay_traces(start, [episode], 0.7, 0.3, 0.8, kind)
        assert_close(V, expected, what=f"the table, {kind} traces")
    with assert_raises(ValueError):
        student.td_lambda_(start, [episode], 0.7, 0.3, 0.8, "fading")


@points(
    2,
    part="traces",
    catches=(
        "trace-forgets-gamma",
        "trace-forgets-lambda",
        "only-the-present-state-learns",
        "the-end-wipes-the-traces",
        "trace-fades-after-the-visit",
    ),
    hint="A TD error k steps later reaches a state with the factor (gamma * lambda) ** k: both of "
    "them, and the present state gets all of it.",
)
def test_an_error_fades_by_gamma_and_lambda_on_its_way_back(student, rng):
    """A late reward reaches each earlier state, fainter by gamma times lambda with every step."""
    episode = Episode(np.array([0, 1, 2, 3, END]), np.zeros(4, int), np.zeros(4), True)
    for late in (3, 1):
        paid = float(rng.uniform(1.0, 3.0))
        rewards = np.where(np.arange(4) == late, paid, 0.0)
        for kind in ("accumulating", "replacing"):
            V = np.zeros(6)
            student.td_lambda_(V, [episode._replace(rewards=rewards)], 0.6, 0.4, 0.9, kind)
            back = late - np.arange(6)
            expected = 0.4 * paid * np.where(back >= 0, 0.54 ** np.abs(back), 0.0)
            assert_close(V, expected, what="the table after one late reward")
    V, start = table(rng), None
    start = V.copy()
    full = episode._replace(rewards=rng.uniform(1.0, 2.0, size=4))
    student.td_lambda_(V, [full], 0.6, 0.4, 0.9)
    expected = replay_traces(start, [full], 0.6, 0.4, 0.9, "accumulating")
    assert_close(V, expected, what="the table after four rewards")


@points(
    1,
    part="traces",
    catches=("trace-fades-after-the-visit", "trace-step-bootstraps-over-the-end"),
    hint="With lambda = 0 every trace but that of the present state is 0, whatever its kind.",
)
def test_with_lambda_zero_it_is_td0(student, rng):
    """TD(lambda) with lambda = 0 is TD(0), with each kind of traces."""
    for kind in ("accumulating", "replacing", "dutch"):
        episodes, V = cut_off(rng), table(rng)
        expected = V.copy()
        for episode in episodes:
            for t, s in enumerate(episode.states[:-1].tolist()):
                target = n_step_return(expected, episode, t, 1, 0.85)
                expected[s] += 0.25 * (target - expected[s])
        student.td_lambda_(V, episodes, 0.0, 0.25, 0.85, kind)
        assert_close(V, expected, what=f"the table, {kind} traces")


@points(
    2,
    part="traces",
    catches="traces-survive-the-episode",
    hint="What happens in one episode is not the doing of the states of the one before.",
)
def test_traces_begin_anew_with_each_episode(student, rng):
    """Two episodes in one call are the same as two calls."""
    first, second = (record(rng, [0, 1, 0, END]), record(rng, [2, 3, 2, 4], terminated=False))
    for episodes, kind in (
        ([first, second], "accumulating"),
        ([second, first], "replacing"),
        ([first, second, first], "dutch"),
    ):
        start = table(rng)
        together, apart = start.copy(), start.copy()
        for episode in episodes:
            student.td_lambda_(apart, [episode], 0.8, 0.3, 0.9, kind)
        expected = replay_traces(start, episodes, 0.8, 0.3, 0.9, kind)
        assert_close(apart, expected, what="the table after one call for each episode")
        student.td_lambda_(together, episodes, 0.8, 0.3, 0.9, kind)
        assert_close(together, expected, what="the table after one call")


@points(
    2,
    part="traces",
    catches=(
        "trace-step-bootstraps-over-the-end",
        "trace-step-drops-the-last-value",
        "the-end-wipes-the-traces",
    ),
    hint="At a real end the future is worth 0, but the traces are as long as ever: who came before "
    "must hear of the last reward.",
)
def test_the_last_step_is_heard_by_all_traces(student, rng):
    """An end takes the future's value away, not the past; a clock takes nothing away."""
    (states,) = named(rng, [0, 1, 2, 1, 3])
    for episode in (record(rng, [*states[:-1], END]), record(rng, states, terminated=False)):
        for kind in ("accumulating", "dutch"):
            V = table(rng)
            expected = replay_traces(V, [episode], 0.9, 0.2, 0.8, kind)
            student.td_lambda_(V, [episode], 0.9, 0.2, 0.8, kind)
            assert_close(V, expected, what=f"the table, {kind} traces")


def online_lambda_return(V, episode, lam, alpha, gamma):
    """The online lambda-return algorithm: at each new horizon the episode is learned from anew,
    with the lambda-returns that can be known by then."""
    start, latest = V.copy(), [V.copy()]  # latest[h]: the table at horizon h
    for h in range(1, len(episode.rewards) + 1):
        W = start.copy()
        for t in range(h):
            # The state after n steps is judged by the table of the time when it was reached.
            looks = [
                n_step_return(latest[t + n - 1], episode, t, n, gamma) for n in range(1, h - t + 1)
            ]
            weights = [(1 - lam) * lam ** (n - 1) for n in range(1, h - t)] + [lam ** (h - t - 1)]
            s = episode.states[t]
            W[s] += alpha * (np.dot(weights, looks) - W[s])
        latest.append(W)
    return latest[-1]


@points(
    2,
    part="traces",
    catches=("dutch-without-correction", "dutch-traces-pile-up"),
    hint="The two corrections make up for what the table has learned since the previous step. "
    "v_old is a number that was read before the update.",
)
def test_dutch_traces_are_the_online_lambda_return(student, rng):
    """True online TD(lambda) gives what one gets by learning the episode anew at each step."""
    for terminated in (True, False):
        (states,) = named(rng, [0, 1, 0, 0, 2, 1, 3])
        states = [*states[:-1], END] if terminated else states
        episode, V = record(rng, states, terminated), table(rng)
        expected = online_lambda_return(V, episode, 0.8, 0.4, 0.9)
        student.td_lambda_(V, [episode], 0.8, 0.4, 0.9, "dutch")
        assert_close(V, expected, what="the table")


# -- part 6: another policy's episodes -------------------------------------------------------------


def policy(rng, n_states=6, n_actions=3):
    """(S, A) Probabilities, none of them small."""
    weights = rng.uniform(0.3, 1.5, size=(n_states, n_actions))
    return weights / weights.sum(axis=1, keepdims=True)


def ratio(episode, t, target, behaviour):
    """The importance ratio of step t."""
    pair = episode.states[t], episode.actions[t]
    return target[pair] / behaviour[pair]


def weight_from(episode, t, target, behaviour):
    """The product of the ratios from step t to the last one."""
    steps = range(t, len(episode.rewards))
    return float(np.prod([ratio(episode, k, target, behaviour) for k in steps]))


def weighted_mean(terms, weighted):
    """The estimate from pairs (W, G) of one state, by its definition."""
    total = sum(W * G for W, G in terms)
    divisor = sum(W for W, _ in terms) if weighted else len(terms)
    return total / divisor if divisor > 0 else 0.0


def off_policy_values(episodes, target, behaviour, gamma, weighted, first_visit):
    """(S,) The state values."""
    terms = [[] for _ in range(6)]
    for s, episode, t in visited(episodes, first_visit):
        W = weight_from(episode, t, target, behaviour)
        terms[s].append((W, return_from(episode, t, gamma)))
    return np.array([weighted_mean(one, weighted) for one in terms])


def off_policy_pairs(episodes, target, behaviour, gamma, weighted, first_visit):
    """(S, A) The action values, and how many visits counted."""
    terms = {pair: [] for pair in product(range(6), range(3))}
    for episode in episodes:
        pairs = list(zip(episode.states[:-1].tolist(), episode.actions.tolist(), strict=True))
        for t, pair in enumerate(pairs):
            if not first_visit or is_first(pairs, t):
                W = weight_from(episode, t + 1, target, behaviour)
                terms[pair].append((W, return_from(episode, t, gamma)))
    values = [weighted_mean(one, weighted) for one in terms.values()]
    visits = [len(one) for one in terms.values()]
    return np.reshape(values, (6, 3)), np.reshape(visits, (6, 3))


@points(
    1,
    part="off_policy",
    catches=("ratio-is-upside-down", "ratio-of-the-next-state"),
    hint="An action that the target policy likes better than the behaviour has a ratio above 1.",
)
def test_the_ratio_is_target_over_behaviour(student, rng):
    """The ratio of a step is the target's probability of the action over the behaviour's."""
    (episode, *_), target, behaviour = complete(rng), policy(rng), policy(rng)
    expected = [ratio(episode, t, target, behaviour) for t in range(len(episode.rewards))]
    found = student.importance_ratios(episode, target, behaviour)
    assert_close(found, np.array(expected), what="the ratios")
    never = behaviour.copy()
    never[episode.states[1], episode.actions[1]] = 0.0
    with assert_raises(ValueError):
        student.importance_ratios(episode, target, never)


@points(
    2,
    part="off_policy",
    catches=(
        "weight-of-the-whole-episode",
        "weight-of-the-past",
        "weight-of-one-step",
        "v-leaves-its-own-action-out",
        "weighted-divides-by-visits",
        "ordinary-divides-by-weights",
    ),
    hint="With one episode: what has been done before a visit cannot be changed any more, and what "
    "comes from there on must be as likely as under the target policy.",
)
def test_one_episode_is_weighed_from_the_visit_to_the_end(student, rng):
    """From one visit, ordinary sampling gives weight times return, weighted sampling the return."""
    (states,), target, behaviour = named(rng, [0, 1, 2, 3, END]), policy(rng), policy(rng)
    episode = record(rng, states)
    plain = student.off_policy_v([episode], target, behaviour, 0.9, False)
    weighted = student.off_policy_v([episode], target, behaviour, 0.9, True)
    for t, s in enumerate(states[:-1]):
        G, W = return_from(episode, t, 0.9), weight_from(episode, t, target, behaviour)
        assert_close(plain.values[s], W * G, what="the ordinary estimate")
        assert_close(weighted.values[s], G, what="the weighted estimate")


@points(
    2,
    part="off_policy",
    catches=(
        "weighted-divides-by-visits",
        "ordinary-divides-by-weights",
        "weight-of-the-whole-episode",
        "weight-of-the-past",
        "off-policy-counts-every-visit",
    ),
    hint="Ordinary importance sampling divides by the number of visits, weighted by the sum of "
    "their weights. Where that is 0, so is the estimate.",
)
def test_two_ways_to_divide(student, rng):
    """Over several episodes, ordinary divides by the visits and weighted by their weights."""
    episodes, target, behaviour = complete(rng), policy(rng), policy(rng)
    for weighted, first_visit in product((False, True), (True, False)):
        arguments = (episodes, target, behaviour, 0.8, weighted, first_visit)
        found = student.off_policy_v(*arguments)
        assert_close(found.values, off_policy_values(*arguments), what="the state values")
        _, visits = mean_returns(episodes, 6, 0.8, first_visit)
        assert_equal(found.visits, visits, what="visits")
    # A target policy that would never have done the last step: all weights are 0.
    (one, *_) = episodes
    never = target.copy()
    never[one.states[-2], one.actions[-1]] = 0.0
    for weighted in (False, True):
        found = student.off_policy_v([one], never, behaviour, 0.8, weighted)
        assert_close(found.values, np.zeros(6), what="values where all weights are 0")
    with assert_raises(ValueError):
        student.off_policy_v(cut_off(rng), target, behaviour, 0.8)


@points(
    2,
    part="off_policy",
    catches=("q-counts-its-own-action", "pair-needs-a-new-state", "weight-of-the-past"),
    hint="The action of a pair is given. Only what comes after it has to be corrected, and at the "
    "last step nothing has.",
)
def test_the_given_action_needs_no_correction(student, rng):
    """An action value leaves the ratio of its own action out; first visits are those of pairs."""
    episodes, target, behaviour = complete(rng), policy(rng), policy(rng)
    # In the first episode a pair comes back, and a state with another action.
    first = episodes[0]
    episodes[0] = first._replace(actions=np.array([0, 1, 2, 0, 1, 1]))
    for weighted, first_visit in product((False, True), (True, False)):
        arguments = (episodes, target, behaviour, 0.8, weighted, first_visit)
        values, visits = off_policy_pairs(*arguments)
        found = student.off_policy_q(*arguments)
        assert_close(found.values, values, what="the action values")
        assert_equal(found.visits, visits, what="visits")


@points(
    1,
    part="off_policy",
    catches="off-policy-counts-every-visit",
    hint="If both policies are the same, all ratios are 1. What is left?",
)
def test_identical_policies_are_plain_monte_carlo(student, rng):
    """If both policies are one, both estimates are plain Monte Carlo."""
    episodes, same = complete(rng), policy(rng)
    for weighted, first_visit in product((False, True), (True, False)):
        values, visits = mean_returns(episodes, 6, 0.9, first_visit)
        found = student.off_policy_v(episodes, same, same, 0.9, weighted, first_visit)
        assert_close(found.values, values, what="values")
        plain = student.mc_prediction(episodes, 6, 0.9, first_visit)
        assert_close(plain.values, values, what="plain Monte Carlo's values")
        assert_equal(found.visits, visits, what="visits")


@points(
    2,
    part="off_policy",
    catches=(
        "ratio-is-upside-down",
        "v-leaves-its-own-action-out",
        "weight-of-one-step",
        "q-counts-its-own-action",
        "off-policy-counts-every-visit",
    ),
    hint="Play all episodes of a tiny world, each as often as the behaviour plays it. The mean of "
    "the ordinary estimates is the target policy's value, exactly.",
)
def test_ordinary_importance_sampling_is_unbiased(student, rng):
    """The mean of the ordinary estimate over all possible episodes is the target policy's value."""
    # Two steps: from state 0 to state 0 or 1, and from there to the end.
    target, behaviour = policy(rng, 3, 2), policy(rng, 3, 2)
    moves, pay = rng.uniform(0.2, 0.8, size=2), rng.normal(size=(2, 2, 2)) + 2.0
    mean, truth = 0.0, 0.0
    pairs, true_pairs = np.zeros(2), np.zeros(2)
    for a, s, b in product(range(2), repeat=3):
        rewards = np.array([pay[0, a, s], pay[1, s, b]])
        episode = Episode(np.array([0, s, 2]), np.array([a, b]), rewards, True)
        G = return_from(episode, 0, 0.9)
        luck = moves[a] if s else 1 - moves[a]
        found = student.off_policy_v([episode], target, behaviour, 0.9, False)
        mean += luck * behaviour[0, a] * behaviour[s, b] * found.values[0]
        truth += luck * target[0, a] * target[s, b] * G
        found = student.off_policy_q([episode], target, behaviour, 0.9, False)
        pairs[a] += luck * behaviour[s, b] * found.values[0, a]
        true_pairs[a] += luck * target[s, b] * G
    assert_close(float(mean), float(truth), what="the mean estimate of the start's value")
    assert_close(pairs, true_pairs, what="the mean estimates of its action values")


@points(
    2,
    part="off_policy",
    catches=("weighted-divides-by-visits", "ratio-is-upside-down"),
    hint="One state, two actions. The target always goes left, the behaviour tosses a coin: each "
    "step left doubles the weight of what follows.",
)
def test_infinite_variance_in_example_5_5(student):
    """S&B's Example 5.5: the ordinary estimate has mean 1 and no variance that ends; the weighted
    one is 1."""
    target, behaviour = np.array([[1.0, 0.0], [1.0, 0.0]]), np.full((2, 2), 0.5)

    def walk(lefts, ends_right):
        steps = lefts + ends_right
        actions = np.array([0] * lefts + [1] * ends_right)
        rewards = np.where(np.arange(steps) == steps - 1, 0.0 if ends_right else 1.0, 0.0)
        return Episode(np.append(np.zeros(steps, int), 1), actions, rewards, True)

    mean, square = 0.0, 0.0
    for lefts in range(1, 31):
        chance = 0.5**lefts * 0.9 ** (lefts - 1) * 0.1
        found = student.off_policy_v([walk(lefts, False)], target, behaviour, 1.0, False)
        assert_close(found.values[0], 2.0**lefts, what="the ordinary estimate")
        mean += chance * found.values[0]
        square += chance * found.values[0] ** 2
    assert_close(float(mean), 1.0 - 0.9**30, what="its mean, walks of up to 30 steps")
    # The terms of the second moment are 0.2 * 1.8 ** (lefts - 1): their sum has no bound.
    assert_close(float(square), 0.25 * (1.8**30 - 1.0), what="its second moment")
    batch = [walk(3, True), walk(2, False), walk(1, True), walk(6, False)]
    found = student.off_policy_v(batch, target, behaviour, 1.0, True)
    assert_close(found.values, np.array([1.0, 0.0]), what="the weighted estimate")
    found = student.off_policy_v(batch, target, behaviour, 1.0, False)
    assert_close(found.values, np.array([17.0, 0.0]), what="the ordinary estimate of four walks")


@points(
    2,
    part="off_policy",
    catches=(
        "rho-on-the-reward-alone",
        "rho-on-the-target-alone",
        "rho-is-forgotten",
        "returns-the-weighted-error",
    ),
    hint="Average the change over the actions of the behaviour: it must be what the target policy "
    "would have changed. And rho = 0 changes nothing.",
)
def test_the_ratio_weighs_the_whole_error(student, rng):
    """On average over the behaviour's actions, the step is the target policy's; ratio 0 moves
    nothing."""
    V, pay = table(rng), rng.normal(size=3)
    (target,), (behaviour,) = policy(rng, 1), policy(rng, 1)
    errors = pay + 0.9 * V[[1, 3, END]] - V[0]
    errors[2] = pay[2] - V[0]  # the third action ends the episode
    mean = 0.0
    for a, s2 in enumerate((1, 3, END)):
        one, rho = V.copy(), float(target[a] / behaviour[a])
        step = (0, float(pay[a]), s2, s2 == END)
        error = student.off_policy_td0_update_(one, *step, rho, 0.3, 0.9)
        assert_close(error, float(errors[a]), what="the TD error")
        expected = V + 0.3 * rho * errors[a] * (np.arange(6) == 0)
        assert_close(one, expected, what="the table after the step")
        mean += behaviour[a] * (one[0] - V[0])
    assert_close(float(mean), float(0.3 * target @ errors), what="the mean change")
    one = V.copy()
    student.off_policy_td0_update_(one, 0, 5.0, 1, False, 0.0, 0.3, 0.9)
    assert_close(one, V, what="the table after a step with ratio 0")
    with assert_raises(ValueError):
        student.off_policy_td0_update_(one, 0, 5.0, 1, False, -0.5, 0.3, 0.9)


# -- part 7: control -------------------------------------------------------------------------------


class Scripted:
    """A small lent world with a diary. Its observations are pairs (row, column) of a 2 by 3 board.

    ``length``: an episode terminates after so many steps. ``overtime``: who plays on after the
    time limit may take so many steps more, and one that terminates: the numbers are wrong then,
    where an exception would say less. ``luck``: added to each reward, once more for each reset, and
    a seed brings back the luck of the beginning.
    """

    def __init__(
        self, lab, moves, rewards, *, end=5, limit=1000, overtime=0, length=10_000, luck=0.0
    ):
        self.moves, self.rewards = np.asarray(moves), np.asarray(rewards, float)
        self.end, self.limit, self.overtime = end, limit, overtime
        self.length, self.luck, self.lucky = length, luck, 0
        self.lent = lab.expose(self, "reset", "step")
        self.diary, self.seeds, self.resets, self.state = [], [], 0, None

    def reset(self, *, seed=None, options=None):
        self.resets = one_more_reset(self.resets)
        self.state, self.clock = 0, 0
        self.lucky = self.lucky + 1 if seed is None else 0
        self.seeds.append(seed)
        self.diary.append([])
        return self.shown(), {}

    def shown(self):
        return (self.state // 3, self.state % 3)

    def step(self, action):
        s, a, self.resets = self.state, int(action), 0
        if s is None:
            raise RuntimeError("step() was called although the episode is over: call reset().")
        if not 0 <= a < self.moves.shape[1]:
            raise ValueError(f"There is no action {a}.")
        self.clock += 1
        self.state = int(self.moves[s, a])
        terminated = self.state == self.end or self.clock >= self.length
        terminated = terminated or self.clock > self.limit + self.overtime
        truncated = self.clock >= self.limit and not terminated
        reward = float(self.rewards[s, a]) + self.luck * self.lucky
        self.diary[-1].append((s, a, reward, self.state, terminated, truncated))
        observation = self.shown()
        if terminated or (truncated and not self.overtime):
            self.state = None
        return observation, reward, terminated, truncated, {}

    def episodes(self):
        """The diary as records."""
        return [
            Episode(
                np.array([one[0][0]] + [step[3] for step in one]),
                np.array([step[1] for step in one]),
                np.array([step[2] for step in one]),
                one[-1][4],
            )
            for one in self.diary
        ]


SHAPE = (2, 3)
# Action 1 walks on to the end; action 0 stays or steps back, so that states and pairs come back.
MOVES = [[1, 1], [0, 2], [2, 3], [1, 5], [0, 5], [5, 5]]


def control_values(episodes, gamma):
    """(6, 2) The mean return of the first visits to each pair, and their numbers."""
    found = {pair: [] for pair in product(range(6), range(2))}
    for episode in episodes:
        pairs = list(zip(episode.states[:-1].tolist(), episode.actions.tolist(), strict=True))
        for t, pair in enumerate(pairs):
            if episode.terminated and is_first(pairs, t):
                found[pair].append(return_from(episode, t, gamma))
    values = [np.mean(one) if one else 0.0 for one in found.values()]
    return np.reshape(values, (6, 2)), np.reshape([len(one) for one in found.values()], (6, 2))


@points(
    2,
    part="control",
    catches=(
        "exploring-skips-the-best",
        "epsilon-and-greed-exchanged",
        "the-best-gets-no-share",
        "ties-go-to-the-first-action",
    ),
    hint="Every action has epsilon / A, the best ones too. They share what is left, and each row "
    "sums to 1.",
)
def test_a_soft_policy_never_excludes_an_action(student, rng):
    """Every action has at least epsilon / A; the best ones share the rest equally."""
    Q = rng.normal(size=(4, 5))
    Q[1, [0, 3]] = 4.0
    Q[2] = -1.5
    before = Q.copy()
    for epsilon in (0.0, 0.15, 0.6, 1.0):
        best = (Q.max(axis=1, keepdims=True) == Q).astype(float)
        greedy = best / best.sum(axis=1, keepdims=True)
        found = student.soft_policy(Q, epsilon)
        assert_close(found, epsilon / 5 + (1 - epsilon) * greedy, what="the policy")
        assert_close(found.sum(axis=1), np.ones(4), what="the sums of its rows")
        assert_true(bool(found.min() > epsilon / 5 - 1e-9), "every action has epsilon / A")
    assert_unchanged(before, Q, "Q")
    with assert_raises(ValueError):
        student.soft_policy(Q, 1.5)


@points(
    2,
    part="control",
    catches=("plays-greedily", "ignores-the-policy", "global-dice"),
    hint="Each action is a draw from the policy's row of the state, with the rng that is passed "
    "in.",
)
def test_play_draws_from_the_policy(student, lab, rng):
    """The actions of an episode are drawn from the policy, with the generator passed in."""
    moves = rng.integers(0, 5, size=(6, 3))
    moves[:5, 0] = rng.permutation(5)  # no state is left for good
    chances, pay = policy(rng), rng.normal(size=(6, 3))
    env = Scripted(lab, moves, pay, limit=1500)
    before = lab.global_rng_state()
    episode = student.play(env.lent, chances, SHAPE, np.random.default_rng(3))
    assert_equal(lab.global_rng_state(), before, what="the state of the global generators")
    assert_close(episode.rewards, env.episodes()[0].rewards, what="rewards")
    assert_equal(len(env.diary[0]), 1500, what="the number of steps")
    counts = np.zeros((6, 3))
    for s, a, *_ in env.diary[0]:
        counts[s, a] += 1
    expected = chances * counts.sum(axis=1, keepdims=True)
    assert_frequencies(counts.ravel(), expected.ravel(), what="how often each action was taken")
    env = Scripted(lab, moves, pay, limit=50)
    again = student.play(env.lent, chances, SHAPE, np.random.default_rng(3))
    assert_equal(again.actions, episode.actions[:50], what="actions with the same generator")


@points(
    1,
    part="control",
    catches=("a-time-limit-is-an-ending", "plays-on-after-the-time-limit"),
    hint="Write down what you see: T + 1 states, T actions, T rewards, and which of the two flags "
    "ended it.",
)
def test_play_records_what_happened(student, lab, rng):
    """The record holds the states, actions and rewards as they happened, and how it ended."""
    chances = np.full((6, 2), 0.5)
    for limit, ended in ((4, False), (1000, True)):
        env = Scripted(lab, MOVES, rng.normal(size=(6, 2)), limit=limit, overtime=3)
        if not ended:
            env.end = None  # nothing terminates
        episode = student.play(env.lent, chances, SHAPE, np.random.default_rng(5), 17)
        (expected,) = env.episodes()
        assert_equal(episode.terminated, ended, what="terminated")
        assert_equal(episode.states, expected.states, what="states")
        assert_equal(episode.actions, expected.actions, what="actions")
        assert_close(episode.rewards, expected.rewards, what="rewards")
        assert_equal(env.seeds, [17], what="the seeds of the resets")


@points(
    2,
    part="control",
    catches=(
        "control-counts-every-visit",
        "control-needs-a-new-state",
        "averages-with-the-old-count",
        "first-visit-is-the-last",
    ),
    hint="After all episodes, Q[s, a] is the mean of the returns of the first visits to that pair: "
    "one for each episode in which it occurs.",
)
def test_control_averages_the_first_visits_to_each_pair(student, lab, rng):
    """Q is the mean return of all first visits to each pair, over the episodes that were played."""
    env = Scripted(lab, MOVES, rng.uniform(1.0, 2.0, size=(6, 2)))
    arguments = (2, SHAPE, 25, 0.8, 0.9, np.random.default_rng(11), 23)
    found = student.mc_control(env.lent, *arguments)
    values, visits = control_values(env.episodes(), 0.9)
    assert_equal(len(env.diary), 25, what="the number of episodes")
    assert_close(found.Q, values, what="Q")
    assert_equal(found.visits, visits, what="visits")


@points(
    2,
    part="control",
    catches=(
        "policy-never-improves",
        "control-plays-greedily",
        "exploring-skips-the-best",
        "plays-greedily",
    ),
    hint="Each episode is played with soft_policy of the table as it is then: what was learned "
    "steers, and epsilon keeps every action alive.",
)
def test_control_plays_the_soft_policy_of_its_table(student, lab, rng):
    """Once the best action is known, it is taken with 1 - epsilon + epsilon / A, each other one
    with epsilon / A."""
    best = int(rng.integers(4))
    pay = np.where(np.arange(4) == best, 2.0, -1.0)
    # Nobody looks ahead (gamma is 0), and so Q is the reward itself from the first visit on.
    env = Scripted(lab, np.zeros((6, 4), int), np.tile(pay, (6, 1)), length=50)
    found = student.mc_control(env.lent, 4, SHAPE, 32, 0.4, 0.0, np.random.default_rng(1), 2)
    actions, counts = np.array([[step[1] for step in one] for one in env.diary]), np.zeros(4)
    known = np.zeros(4, bool)
    for episode in actions:
        if known.all():
            counts += np.bincount(episode, minlength=4)
        known[episode] = True
    assert_close(found.Q[0], np.where(known, pay, 0.0), what="Q of the start")
    assert_close(found.returns, pay[actions].sum(axis=1), what="returns")
    expected = np.where(np.arange(4) == best, 0.7, 0.1)
    share = student.soft_policy(pay[None], 0.4)
    assert_close(share, expected[None], what="the soft policy of the true values")
    assert_frequencies(counts, expected, what="how often each action was taken")


@points(
    1,
    part="control",
    catches=("learns-from-cut-off-episodes", "a-time-limit-is-an-ending"),
    hint="Nobody knows the return of an episode that a clock cut off.",
)
def test_control_learns_nothing_from_a_truncated_episode(student, lab, rng):
    """Truncated episodes are recorded in the returns, and do not enter Q."""
    env = Scripted(lab, MOVES, rng.uniform(1.0, 2.0, size=(6, 2)), limit=2)
    one = student.play(env.lent, np.full((6, 2), 0.5), SHAPE, np.random.default_rng(2))
    assert_equal(one.terminated, False, what="terminated, of an episode of two steps")
    assert_close(one.rewards, env.episodes()[0].rewards, what="its rewards")
    env = Scripted(lab, MOVES, env.rewards, limit=5)
    arguments = (2, SHAPE, 60, 1.0, 0.9, np.random.default_rng(4), 3)
    found = student.mc_control(env.lent, *arguments)
    episodes = env.episodes()
    values, visits = control_values(episodes, 0.9)
    assert_close(found.Q, values, what="Q")
    assert_equal(found.visits, visits, what="visits")
    assert_close(found.returns, np.array([one.rewards.sum() for one in episodes]), what="returns")


@points(
    1,
    part="control",
    catches=("seeds-every-episode", "control-discounts-the-record"),
    hint="The seed goes to the first reset. What is recorded of an episode is its plain sum of "
    "rewards.",
)
def test_control_seeds_once_and_records_plain_sums(student, lab, rng):
    """The seed is given to the first reset alone, and the recorded sums are not discounted."""
    env = Scripted(lab, MOVES, rng.uniform(1.0, 2.0, size=(6, 2)), luck=0.3)
    arguments = (2, SHAPE, 6, 0.7, 0.6, np.random.default_rng(8), 31)
    found = student.mc_control(env.lent, *arguments)
    sums = np.array([one.rewards.sum() for one in env.episodes()])
    assert_close(found.returns, sums, what="returns")
    assert_equal(env.seeds, [31] + [None] * 5, what="the seeds of the resets")
    with assert_raises(ValueError):
        student.mc_control(env.lent, 2, SHAPE, 0, 0.7, 0.6, np.random.default_rng(8), 31)


# -- learning checks: any of the declared seeds may pass -------------------------------------------
#
# The first four compare algorithms on random walks, as figures of S&B do: the episodes come from
# here, and nothing about the submission is random. Blackjack is learned on the submission's side,
# and the greedy policy of the table is then evaluated exactly. The bars were set with 100 runs of
# each measure (grading/td_learning/bars.py; run as a script, it prints these figures). No run was
# below its bar, so a correct solution fails one of three seeds with a probability below 3 / 100
# (the upper 95% bound), and all three with less than 3e-5.
#
#   check          what is measured                      mean      sd   lowest     bar
#   Example 6.2    lead of TD(0) in RMS error           0.050   0.013    0.015   0.005
#   batch          lead of the model of the data        0.038   0.009    0.018   0.008
#   Figure 7.2     lead of n = 4                        0.080   0.015    0.043   0.010
#   Figure 12.3    lead of lambda = 0.8                 0.078   0.010    0.052   0.030
#   Blackjack      exact value of the greedy policy    -0.113   0.012   -0.143  -0.150
#
# At the table, never taking a card is worth -0.183, and a coin -0.394.

EXAMPLE_6_2_BAR, BATCH_BAR, N_STEP_BAR, LAMBDA_BAR = 0.005, 0.008, 0.01, 0.03
BLACKJACK_BAR = -0.15


def walk(rng, n, left):
    """A random walk over the states 1 to n, from the middle; ``left`` is paid at state 0, 1 at
    n + 1."""
    states = [(n + 1) // 2]
    while 0 < states[-1] <= n:
        states.append(states[-1] + int(rng.choice([-1, 1])))
    actions = (np.diff(states) > 0).astype(int)
    rewards = np.zeros(len(actions))
    rewards[-1] = 1.0 if states[-1] else left
    return Episode(np.array(states), actions, rewards, True)


def error_of(V, left, what):
    """The root mean square error of a table over the states of a walk."""
    assert_finite(V, what)
    assert_close(0.0 * V, np.zeros(len(V)), what=f"0 * {what}")
    truth = left + (1.0 - left) * np.arange(len(V)) / (len(V) - 1)
    return float(np.sqrt(np.mean((np.asarray(V, float) - truth)[1:-1] ** 2)))


def assert_some_seed(measure, seeds, bar, what):
    """``measure(seed)`` reaches the bar for one of the seeds at least."""
    found = {}
    for seed in seeds:
        found[seed] = measure(seed)
        if found[seed] >= bar:
            return
    assert_true(False, f"{what} reaches {bar} for one of the seeds: {found}")


def lead_online(student, seed, runs=8, episodes=50):
    """Example 6.2: by how much TD(0) is closer to the truth than the best of four Monte Carlos."""
    rng, errors = np.random.default_rng([seed, 1]), np.zeros((runs, 5))
    settings = ((1, 0.05), (1000, 0.01), (1000, 0.02), (1000, 0.03), (1000, 0.04))
    for run in range(runs):
        batch = [walk(rng, 5, 0.0) for _ in range(episodes)]
        for k, (n, alpha) in enumerate(settings):
            V = np.array([0.0, *[0.5] * 5, 0.0])
            student.n_step_td_(V, batch, n, alpha, 1.0)
            errors[run, k] = error_of(V, 0.0, "V")
    mean = errors.mean(axis=0)
    return float(mean[1:].min() - mean[0])


def lead_batch(student, seed, runs=40, episodes=25):
    """By how much batch TD's answer is closer to the truth than batch Monte Carlo's."""
    rng, errors = np.random.default_rng([seed, 2]), np.zeros((runs, 2))
    for run in range(runs):
        batch = [walk(rng, 5, 0.0) for _ in range(episodes)]
        errors[run, 0] = error_of(student.certainty_equivalence(batch, 7, 1.0), 0.0, "V")
        errors[run, 1] = error_of(student.mc_prediction(batch, 7, 1.0, False).values, 0.0, "V")
    return float(errors[:, 1].mean() - errors[:, 0].mean())


def mean_error(learn, seed, runs, settings):
    """{setting: error over the first ten episodes of walks with 19 states, mean over runs}."""
    rng, errors = np.random.default_rng([seed, 3]), {setting: [] for setting in settings}
    for _ in range(runs):
        batch = [walk(rng, 19, -1.0) for _ in range(10)]
        for setting in settings:
            V = np.zeros(21)
            for episode in batch:
                learn(V, episode, *setting)
                errors[setting].append(error_of(V, -1.0, "V"))
    return {setting: float(np.mean(found)) for setting, found in errors.items()}


def lead_of_the_middle(errors, middle):
    """By how much the best setting of the middle beats the best of all others."""
    others = [error for (dial, _), error in errors.items() if dial != middle]
    return min(others) - min(error for (dial, _), error in errors.items() if dial == middle)


def lead_n_step(student, seed, runs=4):
    """Figure 7.2: the lead of n = 4 over n = 1 and n = 512.

    (Whoever computes all returns of an episode anew for each of its steps takes cubic time.)
    """

    def learn(V, episode, n, alpha):
        student.n_step_td_(V, [episode], n, alpha, 1.0)

    settings = ((1, 0.6), (1, 0.8), (4, 0.3), (4, 0.4), (512, 0.05))
    return lead_of_the_middle(mean_error(learn, seed, runs, settings), 4)


def lead_lambda(student, seed, runs=8):
    """As in Figure 12.3: the lead of lambda = 0.8 over 0 and 1, here with true online TD.

    (A lambda-return from its definition takes cubic time, and some walks have 500 steps.)
    """

    def learn(V, episode, lam, alpha):
        student.td_lambda_(V, [episode], lam, alpha, 1.0, "dutch")

    settings = ((0.0, 0.6), (0.0, 0.8), (0.8, 0.3), (1.0, 0.03), (1.0, 0.06))
    return lead_of_the_middle(mean_error(learn, seed, runs, settings), 0.8)


@points(
    3,
    part="td",
    learning=True,
    hint="TD(0) and constant-alpha Monte Carlo on a walk of five states. If the exact tests of "
    "n_step_td_ pass, this one does.",
)
def test_td_beats_monte_carlo_in_example_6_2(student):
    """On the walk of five states, TD(0) gets closer to the true values than Monte Carlo."""
    assert_some_seed(
        lambda seed: lead_online(student, seed), (1, 2, 3), EXAMPLE_6_2_BAR, "the lead of TD(0)"
    )


@points(
    2,
    part="batch",
    learning=True,
    hint="Both answers fit the same data. One fits the returns, the other the model.",
)
def test_the_model_of_the_data_predicts_better_than_its_returns(student):
    """On the walk of five states, the certainty-equivalence solution is closer to the truth than
    the mean returns."""
    assert_some_seed(
        lambda seed: lead_batch(student, seed), (1, 2, 3), BATCH_BAR, "the lead of batch TD"
    )


@points(
    3,
    part="n_step",
    learning=True,
    seconds=60,
    hint="A walk of 19 states, ten episodes. Neither one step nor all of them is best.",
)
def test_a_few_steps_are_best_in_figure_7_2(student):
    """On the walk of 19 states, n = 4 beats both n = 1 and n = 512."""
    assert_some_seed(
        lambda seed: lead_n_step(student, seed), (1, 2, 3), N_STEP_BAR, "the lead of n = 4"
    )


@points(
    3,
    part="traces",
    learning=True,
    hint="The same walk with true online TD(lambda): neither end of the dial is best.",
)
def test_the_middle_of_the_dial_is_best_in_figure_12_3(student):
    """On the walk of 19 states, lambda = 0.8 with dutch traces beats both 0 and 1."""
    assert_some_seed(
        lambda seed: lead_lambda(student, seed), (1, 2, 3), LAMBDA_BAR, "the lead of lambda = 0.8"
    )


# The deck of Blackjack-v1 has no end: an ace, the numbers 2 to 9, and four kinds of ten.
CARDS = np.array([0.0, *[1 / 13] * 9, 4 / 13])
TABLE = (32, 11, 2)  # the player's sum, the dealer's card, whether an ace counts 11


def with_card(total, ace, card):
    """The sum of a hand with one more card, and whether an ace counts 11 in it."""
    hard = total - 10 * ace + card
    soft = int((ace or card == 1) and hard <= 11)
    return hard + 10 * soft, soft


def dealer_chances(card):
    """(27,) How probable each final sum of the dealer is; sums above 21 are busts."""
    chances, hands = np.zeros(27), {with_card(0, 0, card): 1.0}
    drawn = 1
    while hands:
        after = {}
        for (total, ace), chance in hands.items():
            if drawn > 1 and total >= 17:
                chances[total] += chance
                continue
            for another in range(1, 11):
                hand = with_card(total, ace, another)
                after[hand] = after.get(hand, 0.0) + chance * CARDS[another]
        hands, drawn = after, drawn + 1
    return chances


def value_at_the_table(chances_to_hit):
    """The expected reward of a hand of Blackjack-v1 with sab=True, exactly.

    ``chances_to_hit``: (32, 11, 2) the policy. A natural wins against a dealer's other 21.
    """
    value = 0.0
    for card in range(1, 11):
        final = dealer_chances(card)
        final[22:], final[0] = 0.0, final[22:].sum()  # a bust counts as 0
        stick = [final[:total].sum() - final[total + 1 : 22].sum() for total in range(22)]
        V = np.full((32, 2), -1.0)  # worth -1 above 21
        # Hard sums from above, then soft ones, then small hard sums, which an ace can make soft.
        order = [*((t, 0) for t in range(21, 10, -1)), *((t, 1) for t in range(21, 10, -1))]
        for total, ace in [*order, *((t, 0) for t in range(10, 3, -1))]:
            hit = sum(CARDS[one] * V[with_card(total, ace, one)] for one in range(1, 11))
            p = chances_to_hit[total, card, ace]
            V[total, ace] = p * hit + (1 - p) * stick[total]
        natural = CARDS[10] if card == 1 else CARDS[1] if card == 10 else 0.0
        bonus = (1 - chances_to_hit[21, card, 1]) * (final[21] - natural)
        for one, two in product(range(1, 11), repeat=2):
            hand = with_card(*with_card(0, 0, one), two)
            worth = V[hand] + (bonus if hand == (21, 1) else 0.0)
            value += CARDS[card] * CARDS[one] * CARDS[two] * worth
    return float(value)


def at_the_table(student, lab, seed, episodes=5000):
    """The exact value of the greedy policy of Q after Monte Carlo control."""
    env = lab.make("gymnasium.make", "Blackjack-v1", sab=True)
    rng = np.random.default_rng(seed)
    found = student.mc_control(env, 2, TABLE, episodes, 0.1, 1.0, rng, seed)
    assert_finite(found.Q, "Q")
    assert_close(0.0 * found.Q, np.zeros((704, 2)), what="0 * Q")
    lab.curve(found.returns)
    Q = np.asarray(found.Q, float).reshape(*TABLE, 2)
    best = Q.max(axis=-1, keepdims=True) == Q
    return value_at_the_table((best / best.sum(axis=-1, keepdims=True))[..., 1])


@points(
    4,
    part="control",
    learning=True,
    hint="If the exact tests of mc_control pass, so does this one: 5000 hands of Blackjack are "
    "enough to lose less than by never taking a card.",
)
def test_monte_carlo_control_learns_blackjack(student, lab):
    """After 5000 hands of Blackjack, the greedy policy of Q loses little."""
    assert_some_seed(
        lambda seed: at_the_table(student, lab, seed),
        (1, 2, 3),
        BLACKJACK_BAR,
        "the expected reward of the greedy policy",
    )
