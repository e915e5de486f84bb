"""Hidden tests of `gae`: invariants of advantage estimation, each with the mistake that breaks it.

The references in this file are written as the definitions are: sums over what lies ahead, one entry
at a time, in NumPy float64. They share neither code nor method with the solution. A right solution
may compute in float32, hence ``assert_near``; rewards and values are of order one, so that every
known mistake is off by more than a hundred times its tolerance. Where ends of episodes are not the
point, the rollouts have none, so that one mistake costs the points of its own idea and not those of
all others.
"""

from typing import NamedTuple

import numpy as np
import torch

from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_frequencies,
    assert_no_grad,
    assert_raises,
    assert_true,
    assert_unchanged,
)
from autograder.judging.plugin import points

# Its answers differ from right ones by less than a name asks for.
UNNAMED = ("statistics-of-few-digits",)


def assert_near(actual, expected, what="the result"):
    """Close, as far as float32 inside a right solution can tell."""
    assert_close(actual, expected, atol=1e-4, what=what)


class Rollout(NamedTuple):
    """What gae takes, in its order; every field is a (T, N) tensor."""

    rewards: torch.Tensor
    values: torch.Tensor
    next_values: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor


def rollout(rng, *environments):
    """A random rollout, one environment for each string: '.' goes on, 'T' is terminated, '/' is
    truncated, 'X' both.

    Inside an episode next_values is the row below of values; where one ends, it is a number of its
    own.
    """
    marks = np.array([list(environment) for environment in environments]).T
    rewards, values, next_values = rng.uniform(0.5, 2.0, size=(3, *marks.shape))
    goes_on = marks[:-1] == "."
    next_values[:-1][goes_on] = values[1:][goes_on]
    ends = np.isin(marks, ["T", "X"]), np.isin(marks, ["/", "X"])
    return Rollout(*map(torch.tensor, (rewards, values, next_values, *ends)))


def ragged(rng):
    """Four environments whose episodes end in different ways and at different times, one not at
    all."""
    return rollout(rng, "..T...../...", "/....T...T..", "............", "....../..X./")


def finished(rng):
    """Three environments whose episodes, where they end, end by themselves."""
    return rollout(rng, "..T.....", "....T..T", "........")


def endless(rng):
    """Three environments in the middle of long episodes: for invariants that have nothing to do
    with ends."""
    return rollout(rng, "........", "........", "........")


def arrays(roll):
    """The rollout as NumPy arrays, and where its episodes end."""
    rewards, values, next_values, terminated, truncated = (field.detach().numpy() for field in roll)
    return rewards, values, next_values, terminated, terminated | truncated


def td_errors(roll, gamma):
    """One-step TD errors by definition. (T, N) array."""
    rewards, values, next_values, terminated, _ = arrays(roll)
    return rewards + gamma * next_values * ~terminated - values


def sum_of_td_errors(roll, gamma, lam):
    """Equation 16: all later TD errors of the episode, faded by gamma * lam for each step. (T, N)
    tensor."""
    deltas, ended = td_errors(roll, gamma), arrays(roll)[-1]
    total = np.zeros_like(deltas)
    for t, n in np.ndindex(*deltas.shape):
        weight = 1.0
        for later in range(t, len(deltas)):
            total[t, n] += weight * deltas[later, n]
            if ended[later, n]:
                break
            weight *= gamma * lam
    return torch.tensor(total)


def rewards_then_bootstrap(roll, gamma, k):
    """Equation 14: up to k discounted rewards, then the value of the next state, minus V. (T, N)
    tensor."""
    rewards, values, next_values, terminated, ended = arrays(roll)
    total = -values.copy()
    for t, n in np.ndindex(*rewards.shape):
        discount = 1.0
        for later in range(t, min(t + k, len(rewards))):
            total[t, n] += discount * rewards[later, n]
            discount *= gamma
            if ended[later, n]:
                break
        if not terminated[later, n]:
            total[t, n] += discount * next_values[later, n]
    return torch.tensor(total)


def with_gradient(roll):
    """The same rollout as a value network gives it: values that require a gradient."""
    values, next_values = (
        field.clone().requires_grad_() for field in (roll.values, roll.next_values)
    )
    return roll._replace(values=values, next_values=next_values)


def detached(tensor, what):
    """The tensor, after a check that it carries no gradient."""
    assert_no_grad(tensor, what=what)
    return tensor


# -- Part 1: one-step TD errors --------------------------------------------------------------------


@points(
    3,
    part="residuals",
    catches=("bootstraps-through-termination", "next-values-from-values"),
    hint="A TD error has three terms, and each comes from the same row of its own argument.",
)
def test_td_error_is_reward_plus_discounted_next_value_minus_value(student, rng):
    """A TD error is the reward plus the discounted value of the next state, minus the value of this
    one."""
    roll = ragged(rng)
    assert_near(student.td_residuals(*roll[:4], 0.9), torch.tensor(td_errors(roll, 0.9)))
    assert_near(student.td_residuals(*roll[:4], 0.0), roll.rewards - roll.values)


@points(
    3,
    part="residuals",
    catches="bootstraps-through-termination",
    hint="After a terminated step there is no future: whatever next_values holds there must not "
    "matter.",
)
def test_nothing_follows_termination(student, rng):
    """The value of the next state counts everywhere except after a terminated step."""
    roll = finished(rng)
    before = student.td_residuals(*roll[:4], 0.9)
    after = student.td_residuals(*roll._replace(next_values=roll.next_values + 10.0)[:4], 0.9)
    assert_near(before, torch.tensor(td_errors(roll, 0.9)))
    assert_near(after, before + 9.0 * ~roll.terminated)


@points(
    1,
    part="residuals",
    catches="zero-times-nan",
    hint="0 times nan is nan, and 0 times infinity too: torch.where and masked_fill leave out what "
    "a product only hides.",
)
def test_not_even_nan_after_termination_is_used(student, rng):
    """Nan and infinities in next_values after a terminated step change nothing."""
    roll = finished(rng)
    spoilt = without_futures(roll, rng)
    assert_near(student.td_residuals(*spoilt[:4], 0.9), torch.tensor(td_errors(roll, 0.9)))


def without_futures(roll, rng):
    """The rollout with nan and infinities in next_values where there is no next state."""
    wild = torch.tensor(rng.choice([np.nan, np.inf, -np.inf], size=roll.rewards.shape))
    return roll._replace(next_values=torch.where(roll.terminated, wild, roll.next_values))


@points(
    1,
    part="returns",
    catches="zero-times-nan",
    hint="What td_residuals leaves out must not come in again: build the other estimates on it, or "
    "leave it out in the same way.",
)
def test_no_estimate_uses_nan_after_termination(student, rng):
    """Nan and infinities in next_values after a terminated step change none of the estimates."""
    roll = finished(rng)
    spoilt = without_futures(roll, rng)
    expected = sum_of_td_errors(roll, 0.9, 0.8)
    assert_near(student.gae(*spoilt, 0.9, 0.8).advantages, expected, "advantages")
    assert_near(student.gae_scan(*spoilt, 0.9, 0.8).advantages, expected, "advantages of the scan")
    steps = rewards_then_bootstrap(roll, 0.9, 3)
    assert_near(student.k_step_advantage(*spoilt, 0.9, 3), steps, "advantages of 3 steps")
    returns = expected + roll.values
    assert_near(student.lambda_returns(*spoilt, 0.9, 0.8), returns, "lambda-returns")


@points(
    1,
    part="residuals",
    catches="bootstraps-through-termination",
    hint="A constant in all values cancels at gamma = 1, except where only one of two values "
    "counts.",
)
def test_shifting_all_values_cancels_without_discounting(student, rng):
    """With gamma = 1, raising all values by the same amount changes only TD errors of terminated
    steps."""
    roll = finished(rng)
    raised = roll._replace(values=roll.values + 5.0, next_values=roll.next_values + 5.0)
    plain = torch.tensor(td_errors(roll, 1.0))
    assert_near(student.td_residuals(*raised[:4], 1.0), plain - 5.0 * roll.terminated)


@points(
    2,
    part="residuals",
    catches="writes-into-next-values",
    hint="Work on new tensors: +=, masked assignment and methods ending in _ change the caller's "
    "data.",
)
def test_td_errors_leave_their_arguments_alone(student, rng):
    """Computing TD errors changes none of the arguments, so that a second call sees the same
    data."""
    roll = finished(rng)
    copies = [field.clone() for field in roll]
    student.td_residuals(*roll[:4], 0.9)
    without_ends = roll._replace(terminated=torch.zeros_like(roll.terminated))
    again = student.td_residuals(*without_ends[:4], 0.9)
    assert_near(again, copies[0] + 0.9 * copies[2] - copies[1])
    for name, before, after in zip(roll._fields, copies, roll, strict=True):
        assert_unchanged(before, after, what=name)


@points(
    1,
    part="residuals",
    catches="values-keep-their-gradient",
    hint="TD errors are data for the update that follows: cut them loose from the value network.",
)
def test_td_errors_carry_no_gradient(student, rng):
    """TD errors carry no gradient back into the value network."""
    roll = endless(rng)
    deltas = student.td_residuals(*with_gradient(roll)[:4], 0.9)
    assert_near(detached(deltas, "the TD errors"), torch.tensor(td_errors(roll, 0.9)))


@points(
    2,
    part="residuals",
    catches="broadcasts-silently",
    hint="Different shapes, and discounts outside [0, 1], are refused with a ValueError that says "
    "why.",
)
def test_arguments_that_do_not_fit_are_refused(student, rng):
    """Shapes that do not agree and impossible discounts are refused instead of being stretched to
    fit."""
    roll = endless(rng)
    assert_near(student.td_residuals(*roll[:4], 0.9), torch.tensor(td_errors(roll, 0.9)))
    with assert_raises(ValueError):
        student.td_residuals(
            roll.rewards, roll.values[:, :1], roll.next_values, roll.terminated, 0.9
        )
    with assert_raises(ValueError):
        student.td_residuals(roll.rewards, roll.values, roll.next_values[0], roll.terminated, 0.9)
    with assert_raises(ValueError):
        student.td_residuals(*roll[:4], 1.5)


# -- Part 2: the backward recursion ----------------------------------------------------------------


@points(
    5,
    part="recursion",
    catches=(
        "leaks-past-the-end",
        "two-flags-spoil-each-other",
        "truncation-keeps-recursion",
        "done-shifted",
        "one-end-cuts-all",
        "merged-done",
        "lambda-without-gamma",
        "recursion-starts-from-a-value",
        "normalises-too-early",
        "next-values-from-values",
    ),
    hint="Write equation 16 as a double loop over t and the steps after it; compare on T = 3.",
)
def test_gae_is_the_faded_sum_of_later_td_errors(student, rng):
    """An advantage is the sum of the episode's later TD errors, each faded by gamma * lambda per
    step."""
    roll = ragged(rng)
    for gamma, lam in ((0.9, 0.8), (1.0, 0.5)):
        result = student.gae(*roll, gamma, lam)
        assert_near(result.advantages, sum_of_td_errors(roll, gamma, lam), "advantages")


@points(
    2,
    part="recursion",
    catches=("merged-done", "normalises-too-early"),
    hint="With lambda = 0 nothing but the step's own TD error is left, on truncated steps too.",
)
def test_lambda_zero_gives_the_td_error(student, rng):
    """With lambda = 0 the advantage is the one-step TD error."""
    roll = ragged(rng)
    result = student.gae(*roll, 0.9, 0.0)
    assert_near(result.advantages, torch.tensor(td_errors(roll, 0.9)), "advantages")


@points(
    3,
    part="recursion",
    catches=(
        "merged-done",
        "lambda-without-gamma",
        "truncation-keeps-recursion",
        "recursion-starts-from-a-value",
    ),
    hint="The values in between cancel: discounted rewards, one bootstrap where the data stop, "
    "minus V.",
)
def test_lambda_one_gives_discounted_rewards_minus_value(student, rng):
    """With lambda = 1 the advantage is discounted rewards plus the bootstrap at the end, minus the
    value."""
    roll = ragged(rng)
    result = student.gae(*roll, 0.9, 1.0)
    assert_near(result.advantages, rewards_then_bootstrap(roll, 0.9, k=12), "advantages")


@points(
    3,
    part="recursion",
    catches=("leaks-past-the-end", "truncation-keeps-recursion", "done-shifted"),
    hint="A step that ends an episode in either way cuts the recursion: nothing later reaches past "
    "it.",
)
def test_later_episodes_do_not_change_earlier_advantages(student, rng):
    """A windfall after an episode has ended leaves that episode's advantages alone."""
    roll = rollout(rng, "..T...", "../...")
    windfall = torch.tensor([0.0, 0.0, 0.0, 50.0, 50.0, 50.0]).double().unsqueeze(1)
    plain = student.gae(*roll, 0.9, 0.8)
    lucky = student.gae(*roll._replace(rewards=roll.rewards + windfall), 0.9, 0.8)
    assert_near(lucky.advantages[:3], plain.advantages[:3], "the rows before the windfall")
    assert_near(plain.advantages[5], torch.tensor(td_errors(roll, 0.9)[5]), "the last row")


@points(
    4,
    part="recursion",
    catches=("merged-done", "truncation-keeps-recursion", "bootstraps-through-termination"),
    hint="Is the next state worth something? Does the episode go on? One flag cannot answer both.",
)
def test_truncation_keeps_the_bootstrap_and_stops_the_recursion(student, rng):
    """A truncated step counts the value of its next state but nothing later; a terminated one
    neither."""
    roll = rollout(rng, "..T..", "../..", ".....")
    same = Rollout(*(field[:, :1].expand(-1, 3).clone() for field in roll[:3]), *roll[3:])
    # Where nothing ends, the next value is the value of the row below: right code may read either.
    same.next_values[2, 2] = same.values[3, 2]
    terminated, truncated, going_on = sum_of_td_errors(same, 0.9, 0.8).T
    future = 0.9 * roll.next_values[2, 0]
    advantages = student.gae(*same, 0.9, 0.8).advantages
    assert_near(advantages[:, 0], terminated, "advantages with a terminated step")
    assert_near(advantages[2, 1] - advantages[2, 0], future, "the bootstrap")
    assert_near(advantages[:, 1], truncated, "advantages with a truncated step")
    assert_near(advantages[:, 2], going_on, "advantages of an episode that goes on")


@points(
    2,
    part="recursion",
    catches=("done-shifted", "leaks-past-the-end"),
    hint="Row t of the flags says how step t ended, not how the step before or after it did.",
)
def test_flag_belongs_to_its_own_step(student, rng):
    """The flag of step t cuts between step t and step t + 1, not one row earlier or later."""
    roll = rollout(rng, "..T..", ".T...")
    roll = roll._replace(rewards=roll.rewards * torch.tensor([[1.0], [3.0], [9.0], [27.0], [81.0]]))
    # Without discounting, what becomes of gamma in the recursion is left to other tests.
    result = student.gae(*roll, 1.0, 0.7)
    assert_near(result.advantages, sum_of_td_errors(roll, 1.0, 0.7), "advantages")


@points(
    2,
    part="recursion",
    catches="normalises-too-early",
    hint="Values are fitted to advantages + values, in the units of the rewards: normalise "
    "elsewhere.",
)
def test_returns_are_advantages_plus_values(student, rng):
    """Returns are advantages plus values, both in the units of the rewards and not normalised."""
    roll = endless(rng)
    result = student.gae(*roll, 0.9, 0.8)
    assert_near(result.returns - roll.values, sum_of_td_errors(roll, 0.9, 0.8), "returns - values")
    assert_near(result.returns, result.advantages + roll.values, "returns")


@points(
    2,
    part="recursion",
    catches=("one-end-cuts-all", "normalises-too-early"),
    hint="Each column is a world of its own: run one column alone and compare.",
)
def test_environments_do_not_touch_each_other(student, rng):
    """Permuting the environments permutes the advantages, and one environment alone gets the same
    ones."""
    roll = rollout(rng, "...T....", "........", "....../.", "..T..T..")
    order = torch.tensor([2, 0, 3, 1])
    together = student.gae(*roll, 0.9, 0.8).advantages
    permuted = student.gae(*(field[:, order] for field in roll), 0.9, 0.8).advantages
    alone = student.gae(*(field[:, 1:2] for field in roll), 0.9, 0.8).advantages
    assert_near(alone, sum_of_td_errors(roll, 0.9, 0.8)[:, 1:2], "one environment")
    assert_near(together[:, 1:2], alone, "one environment among others")
    assert_near(permuted, together[:, order], "advantages in another order")


@points(
    1,
    part="recursion",
    catches="recursion-starts-from-a-value",
    hint="A rollout may be one step long: its future is in next_values, and nothing else follows.",
)
def test_one_step_is_a_rollout(student, rng):
    """A rollout of a single step has the TD errors as its advantages."""
    roll = rollout(rng, ".", ".", ".")
    result = student.gae(*roll, 0.9, 0.8)
    assert_near(result.advantages, torch.tensor(td_errors(roll, 0.9)), "advantages")
    assert_near(result.returns, torch.tensor(td_errors(roll, 0.9)) + roll.values, "returns")


@points(
    1,
    part="recursion",
    catches=("normalises-too-early", "writes-into-next-values"),
    hint="GAE is linear in rewards and values together: do not rescale, clip or change the "
    "arguments.",
)
def test_advantages_scale_with_rewards_and_values(student, rng):
    """Rewards and values in other units give advantages and returns in those units."""
    roll = rollout(rng, "........", ".......T", "........")
    copies = [field.clone() for field in roll]
    student.gae(*roll, 0.9, 0.8)
    scaled = student.gae(*(-3.0 * field for field in roll[:3]), *roll[3:], 0.9, 0.8)
    assert_near(
        scaled.advantages / -3.0, sum_of_td_errors(Rollout(*copies), 0.9, 0.8), "advantages / -3"
    )
    for name, before, after in zip(roll._fields, copies, roll, strict=True):
        assert_unchanged(before, after, what=name)


class Chain(NamedTuple):
    """A small Markov decision process with a fixed policy: the truth, and all it can do in two
    steps."""

    advantage: np.ndarray  # (A,) true Q - V in the first state
    first_action: np.ndarray  # (P,) of each possible path
    probability: np.ndarray  # (P,) of each path given its first action
    paths: Rollout  # (3, P): the two steps, then one of an unrelated episode


def all_paths(rng, gamma, states=3, actions=2):
    """Every way in which two steps from state 0 can go; the second is truncated unless it
    terminates."""
    policy = rng.dirichlet(np.ones(actions), size=states)
    moves = rng.dirichlet(
        3 * np.ones(states + 1), size=(states, actions)
    )  # the last column terminates
    moves = 0.8 * moves + 0.2 / (states + 1)
    reward = rng.uniform(1.0, 3.0, size=(states, actions, states + 1))
    average = np.einsum("sa,sax,sax->s", policy, moves, reward)
    V = np.linalg.solve(
        np.eye(states) - gamma * np.einsum("sa,sax->sx", policy, moves[:, :, :-1]), average
    )
    future = np.append(V, 0.0)
    Q = (moves * (reward + gamma * future)).sum(axis=2)

    # probability given the first action, first action, then three steps of five fields each
    rows = []
    shown = np.append(
        V, 6.0
    )  # next_values: what a network says about a terminal state means nothing
    stray = (rng.uniform(6.0, 9.0), rng.uniform(1.0, 3.0), rng.uniform(6.0, 9.0), False, False)
    for a in range(actions):
        for x in range(states + 1):
            chance, step = moves[0, a, x], (reward[0, a, x], V[0], shown[x], x == states, False)
            if x == states:
                rows.append((chance, a, step, stray, stray))
                continue
            for b in range(actions):
                for y in range(states + 1):
                    then = (reward[x, b, y], V[x], shown[y], y == states, y != states)
                    rows.append((chance * policy[x, b] * moves[x, b, y], a, step, then, stray))
    chances, firsts, *steps = zip(*rows, strict=True)
    fields = (torch.tensor([[path[i] for path in step] for step in steps]) for i in range(5))
    return Chain(Q[0] - V[0], np.array(firsts), np.array(chances), Rollout(*fields))


@points(
    3,
    part="recursion",
    catches=(
        "merged-done",
        "leaks-past-the-end",
        "bootstraps-through-termination",
        "truncation-keeps-recursion",
    ),
    hint="With true values every lambda is unbiased: a bias comes from the treatment of ends.",
)
def test_true_values_make_the_advantages_unbiased(student, rng):
    """With the true value function, the advantages of an action average to Q - V, whatever lambda
    is."""
    chain = all_paths(rng, gamma=0.9)
    for lam in (0.0, 0.7, 1.0):
        advantages = student.gae(*chain.paths, 0.9, lam).advantages
        assert_equal(
            advantages.shape, chain.paths.rewards.shape, what="the shape of the advantages"
        )
        for action, expected in enumerate(chain.advantage):
            chosen = chain.first_action == action
            mean = (advantages[0].double().numpy() * chain.probability)[chosen].sum()
            assert_near(mean, expected, "the mean advantage of an action")


@points(
    1,
    part="recursion",
    catches="values-keep-their-gradient",
    hint="Advantages are weights and returns are targets: neither may lead back into the value "
    "network.",
)
def test_advantages_and_returns_carry_no_gradient(student, rng):
    """Neither advantages nor returns carry a gradient back into the value network."""
    roll = endless(rng)
    result = student.gae(*with_gradient(roll), 0.9, 0.8)
    advantages = detached(result.advantages, "advantages")
    assert_near(advantages, sum_of_td_errors(roll, 0.9, 0.8), "advantages")
    assert_near(detached(result.returns, "returns"), advantages + roll.values, "returns")


@points(
    4,
    part="recursion",
    catches=(
        "k-counts-from-zero",
        "drops-short-windows",
        "merged-done",
        "leaks-past-the-end",
        "truncation-keeps-recursion",
        "done-shifted",
        "one-end-cuts-all",
        "accepts-no-steps",
    ),
    hint="At least one reward, at most k, then the value of the state after them; fewer where "
    "episode or rollout ends.",
)
def test_k_steps_are_k_rewards_and_a_bootstrap(student, rng):
    """Looking k steps ahead means k discounted rewards (as many as there are) and one bootstrap,
    minus the value."""
    roll = ragged(rng)
    for k in (1, 2, 5, 500):
        result = student.k_step_advantage(*roll, 0.9, k)
        assert_near(result, rewards_then_bootstrap(roll, 0.9, k), f"advantages of {k} steps")
    with assert_raises(ValueError):
        student.k_step_advantage(*roll, 0.9, 0)


@points(
    2,
    part="recursion",
    catches=("k-counts-from-zero", "drops-short-windows"),
    hint="The weights are (1 - lambda) * lambda^(k-1); the longest sum takes the weight that is "
    "left.",
)
def test_gae_is_the_weighted_average_of_k_step_advantages(student, rng):
    """Averaging the k-step advantages with geometric weights gives generalized advantage
    estimates."""
    roll, lam, longest = endless(rng), 0.7, 8
    average = lam ** (longest - 1) * student.k_step_advantage(*roll, 0.9, longest)
    for k in range(1, longest):
        average = average + (1 - lam) * lam ** (k - 1) * student.k_step_advantage(*roll, 0.9, k)
    assert_near(average, sum_of_td_errors(roll, 0.9, lam), "the average")


# -- Part 3: without a Python loop over time -------------------------------------------------------


@points(
    5,
    part="scan",
    catches=(
        "scan-squares-the-decay",
        "scan-does-not-double",
        "merged-done",
        "leaks-past-the-end",
        "truncation-keeps-recursion",
        "lambda-without-gamma",
        "normalises-too-early",
    ),
    hint="Compare with your own gae: first without any end of an episode, then with one inside a "
    "window.",
)
def test_scan_gives_the_same_as_the_sum(student, rng):
    """The fast form gives the faded sum of later TD errors, for rollouts of any length."""
    for length in (1, 2, 3, 21):
        roll = rollout(
            rng, "..T.....T......./T..T"[:length], "......./............."[:length], "." * length
        )
        expected = sum_of_td_errors(roll, 0.95, 0.9)
        result = student.gae_scan(*roll, 0.95, 0.9)
        assert_near(result.advantages, expected, "advantages")
        assert_near(result.returns, expected + roll.values, "returns")


@points(
    2,
    part="scan",
    catches=("scan-does-not-double", "lambda-without-gamma"),
    hint="(gamma * lambda)^T vanishes in floating point when T is large: a formula cannot divide "
    "by it.",
)
def test_scan_survives_long_rollouts(student, rng):
    """A thousand steps and a small lambda give finite, correct advantages."""
    roll = rollout(rng, "." * 1000)
    expected, later = np.empty((1000, 1)), 0.0
    for t, delta in reversed(list(enumerate(td_errors(roll, 0.9)))):
        expected[t] = later = delta + 0.9 * 0.5 * later
    fading, myopic = (student.gae_scan(*roll, 0.9, lam).advantages for lam in (0.5, 0.0))
    assert_near(fading, torch.tensor(expected), "advantages")
    assert_near(myopic, torch.tensor(td_errors(roll, 0.9)), "advantages at lambda = 0")


@points(
    1,
    part="scan",
    catches="values-keep-their-gradient",
    hint="The fast form promises what gae promises: results without a gradient.",
)
def test_scan_carries_no_gradient(student, rng):
    """The fast form's results carry no gradient either."""
    roll = endless(rng)
    result = student.gae_scan(*with_gradient(roll), 0.9, 0.8)
    advantages = detached(result.advantages, "advantages")
    assert_near(advantages, sum_of_td_errors(roll, 0.9, 0.8), "advantages")
    assert_near(detached(result.returns, "returns"), advantages + roll.values, "returns")


# -- Part 4: tokens --------------------------------------------------------------------------------

MASK = torch.tensor(
    [
        [1, 1, 1, 1, 1, 1, 1, 1],  # no gap
        [0, 0, 1, 1, 1, 1, 0, 0],  # padding on both sides
        [0, 1, 1, 0, 0, 0, 1, 1],  # a tool's answer in the middle
        [1, 0, 1, 0, 0, 1, 1, 0],  # two gaps and padding
        [0, 0, 0, 0, 0, 0, 0, 0],  # nothing at all
    ]
)


def tokens(rng):
    """Rewards and values for every position of MASK, the masked ones included."""
    rewards, values = rng.uniform(0.5, 2.0, size=(2, *MASK.shape))
    return torch.tensor(rewards), torch.tensor(values)


def sequence_by_sequence(rewards, values, gamma, lam):
    """Each row's valid tokens as an episode of their own, put back where they were. (B, L)
    tensor."""
    advantages = np.zeros(MASK.shape)
    for row, mask in enumerate(MASK.bool()):
        r, v = rewards[row, mask].numpy(), values[row, mask].numpy()
        deltas = r + gamma * np.append(v[1:], 0.0) - v if len(v) else v
        fade = (gamma * lam) ** np.arange(len(v))
        advantages[row, mask.numpy()] = [
            (fade[: len(v) - i] * deltas[i:]).sum() for i in range(len(v))
        ]
    return torch.tensor(advantages)


@points(
    4,
    part="tokens",
    catches=(
        "gap-resets-the-recursion",
        "padding-takes-part",
        "gap-is-discounted",
        "padding-is-the-next-state",
        "token-advantages-whitened",
    ),
    hint="Cut the masked tokens out of one row, run it as an episode that terminates, and compare.",
)
def test_tokens_are_steps_of_one_episode(student, rng):
    """A row gives what its valid tokens give when they are cut out and run as one terminated
    episode."""
    rewards, values = tokens(rng)
    expected = sequence_by_sequence(rewards, values, 0.9, 0.8)
    result = student.token_gae(rewards, values, MASK, 0.9, 0.8)
    assert_near(result.advantages, expected, "advantages")
    single = student.token_gae(rewards[:, :1], values[:, :1], MASK[:, :1], 0.9, 0.8)
    alone = ((rewards - values) * MASK)[:, :1]
    assert_near(single.advantages, alone, "advantages of rows of one token")


@points(
    3,
    part="tokens",
    catches=("padding-takes-part", "padding-is-the-next-state", "returns-under-the-mask"),
    hint="What stands under mask 0 is neither used nor changed, and both results are exactly 0 "
    "there.",
)
def test_masked_tokens_neither_matter_nor_get_anything(student, rng):
    """Other rewards and values under the mask change nothing; both results are zero there."""
    rewards, values = tokens(rng)
    before = rewards.clone(), values.clone()
    result = student.token_gae(rewards, values, MASK, 0.9, 0.8)
    other = student.token_gae(
        rewards + 20.0 * (1 - MASK), values - 30.0 * (1 - MASK), MASK.bool(), 0.9, 0.8
    )
    assert_near(other.advantages, result.advantages, "advantages")
    assert_near(other.returns, result.returns, "returns")
    assert_near(result.advantages[0], sequence_by_sequence(*before, 0.9, 0.8)[0], "the first row")
    assert_close(
        result.advantages * (1 - MASK), torch.zeros(MASK.shape), atol=0, what="masked advantages"
    )
    assert_near(result.returns, (result.advantages + values) * MASK, "returns")
    assert_unchanged(before[0], rewards, what="rewards")
    assert_unchanged(before[1], values, what="values")


@points(
    2,
    part="tokens",
    catches=("zero-times-nan", "returns-under-the-mask"),
    hint="Entries under mask 0 are never used, so they may be nan, and 0 times nan is nan: select "
    "with torch.where, masked_fill or an index.",
)
def test_not_even_nan_under_a_mask_is_used(student, rng):
    """Nan under mask 0 changes neither token advantages nor returns."""
    rewards, values = tokens(rng)
    expected = sequence_by_sequence(rewards, values, 0.9, 0.8)
    nothing = torch.where(MASK.bool(), 0.0, torch.nan).double()
    result = student.token_gae(rewards + nothing, values + nothing, MASK, 0.9, 0.8)
    assert_near(result.advantages, expected, "advantages")
    assert_near(result.returns, (expected + values) * MASK, "returns")


@points(
    2,
    part="tokens",
    catches=("gap-resets-the-recursion", "gap-is-discounted", "padding-is-the-next-state"),
    hint="Carry advantage and value of the next valid token over the gap: no discount, no reset in "
    "it.",
)
def test_gap_costs_nothing(student, rng):
    """Three masked tokens put between two valid ones leave all advantages as they were."""
    rewards, values = torch.tensor(rng.uniform(0.5, 2.0, size=(2, 1, 7)))
    whole = torch.tensor([0, 1, 5, 6])
    mask = torch.tensor([[1, 1, 0, 0, 0, 1, 1]])
    short = student.token_gae(rewards[:, whole], values[:, whole], mask[:, whole], 0.9, 0.8)
    gapped = student.token_gae(rewards, values, mask, 0.9, 0.8)
    assert_near(gapped.advantages[:, whole], short.advantages, "advantages")
    assert_near(gapped.returns[:, whole], short.returns, "returns")
    assert_near(short.advantages[0, 3], rewards[0, 6] - values[0, 6], "the last advantage")


@points(
    1,
    part="tokens",
    catches="values-keep-their-gradient",
    hint="Token advantages are data too: detach them from the value head.",
)
def test_token_advantages_carry_no_gradient(student, rng):
    """Advantages and returns of tokens carry no gradient."""
    (rewards, values), everything = tokens(rng), torch.ones_like(MASK)
    result = student.token_gae(rewards, values.clone().requires_grad_(), everything, 0.9, 0.8)
    advantages = detached(result.advantages, "advantages")
    assert_near(advantages[0], sequence_by_sequence(rewards, values, 0.9, 0.8)[0], "advantages")
    assert_near(detached(result.returns, "returns"), advantages + values, "returns")


# -- Part 5: statistics and normalisation ----------------------------------------------------------


def assert_moments(stats, samples, rtol=1e-9):
    """Mean, population variance and count of the statistics are those of all samples."""
    assert_equal(stats.count, len(samples), what="count")
    assert_close(stats.mean, torch.tensor(samples.mean(axis=0)), rtol=rtol, what="mean")
    assert_close(stats.var, torch.tensor(samples.var(axis=0)), rtol=rtol, what="var")


@points(
    3,
    part="statistics",
    catches=(
        "sample-variance",
        "counts-batches",
        "averages-the-means",
        "forgets-the-gap-between-means",
        "counts-from-a-small-number",
        "statistics-of-few-digits",
    ),
    hint="Batches weigh by their sizes, how far their means lie apart is variance too, and all is "
    "computed in float64.",
)
def test_batches_add_up_to_all_samples(student, rng):
    """Taking samples in batches of different sizes gives mean, variance and count of all of them
    together."""
    # Few digits in the batches are no reason to compute with few.
    samples = (rng.normal(size=(14, 3)) + np.linspace(0.0, 4.0, 14)[:, None]).astype(np.float32)
    stats = student.RunningMeanStd((3,))
    fresh = stats.merge(student.RunningMeanStd((3,)))
    for found, what in ((stats, "fresh statistics"), (fresh, "two fresh ones, merged")):
        assert_close(found.mean, torch.zeros(3).double(), what=f"the mean of {what}")
        assert_close(found.var, torch.ones(3).double(), what=f"the variance of {what}")
    for batch in (samples[:5], samples[5:6], samples[6:]):
        stats.update_(torch.tensor(batch, requires_grad=len(batch) == 1))
    assert_no_grad(stats.mean, what="the mean")
    assert_moments(stats, samples.astype(float))


@points(
    3,
    part="statistics",
    catches="naive-variance",
    hint="Mean of squares minus square of the mean leaves no digit when the mean is large: centre "
    "first.",
)
def test_large_offset_keeps_the_digits(student, rng):
    """Samples around a hundred million have the variance of the same samples around zero."""
    samples = rng.normal(size=24)
    stats, other = student.RunningMeanStd(), student.RunningMeanStd()
    for batch in (samples[:7], samples[7:15]):
        stats.update_(torch.tensor(batch + 1e8))
    other.update_(torch.tensor(samples[15:] + 1e8))
    assert_close(stats.var, torch.tensor(samples[:15].var()), rtol=1e-6, what="var")
    assert_close(
        stats.merge(other).var, torch.tensor(samples.var()), rtol=1e-6, what="var after the merge"
    )


@points(
    2,
    part="statistics",
    catches=("forgets-the-gap-between-means", "averages-the-means", "merge-gives-one-of-the-two"),
    hint="Means weigh by their counts; variances also need the squared distance between the means. "
    "The result is a new object, also where one of the two is empty.",
)
def test_merging_is_concatenating(student, rng):
    """Merging two statistics gives that of both samples together, and changes neither of the
    two."""
    left, right = rng.normal(0.0, 1.0, size=9), rng.normal(5.0, 2.0, size=4)
    one, two = student.RunningMeanStd(), student.RunningMeanStd()
    one.update_(torch.tensor(left))
    two.update_(torch.tensor(right))
    assert_moments(one.merge(two), np.concatenate([left, right]))
    assert_moments(student.RunningMeanStd().merge(two), right)
    assert_moments(two.merge(student.RunningMeanStd()), right)
    assert_moments(two.merge(two), np.concatenate([right, right]))
    # What comes out is new: it may be fed without a word to what went in.
    for merged in (two.merge(student.RunningMeanStd()), student.RunningMeanStd().merge(two)):
        merged.update_(torch.tensor(left))
    assert_moments(one, left)
    assert_moments(two, right)


def standardised(adv, eps=0.0):
    """All entries with mean 0 and population deviation 1."""
    return (adv - adv.mean()) / (adv.std(correction=0) + eps)


def up_to_scale(x):
    """For tests that do not care by what a standard deviation was divided."""
    return x / x.abs().max()


@points(
    3,
    part="statistics",
    catches=(
        "normalises-over-padding",
        "unbiased-std",
        "normalised-under-the-mask",
        "zero-times-nan",
    ),
    hint="Mean and population deviation of the valid entries only, which are selected and not "
    "multiplied by the mask; everything else is zero.",
)
def test_valid_entries_are_standardised(student, rng):
    """The valid entries come out with mean 0 and population deviation 1, the masked ones as 0, also
    where they were nan."""
    adv = torch.tensor(rng.normal(3.0, 2.0, size=(4, 5)))
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1]])
    chosen = adv[mask.bool()]
    expected = (adv - chosen.mean()) / chosen.std(correction=0) * mask
    assert_near(student.normalize_advantages(adv, mask), expected, "with a mask")
    wild = torch.where(mask.bool(), adv, torch.nan)
    assert_near(student.normalize_advantages(wild, mask), expected, "with nan under the mask")
    assert_near(student.normalize_advantages(adv), standardised(adv), "without a mask")
    nothing = student.normalize_advantages(adv, 0 * mask)
    assert_near(nothing, torch.zeros(4, 5).double(), "where nothing is valid")


@points(
    1,
    part="statistics",
    catches="eps-inside-the-root",
    hint="eps joins the deviation, not the variance; it keeps equal advantages from dividing by "
    "zero.",
)
def test_eps_is_added_to_the_deviation(student, rng):
    """eps is added to the standard deviation, and keeps equal advantages from a division by
    zero."""
    adv = torch.tensor(rng.normal(size=(3, 4)))
    assert_near(
        student.normalize_advantages(adv, eps=0.5), standardised(adv, eps=0.5), "with a large eps"
    )
    assert_near(
        student.normalize_advantages(torch.full((2, 3), 7.0)), torch.zeros(2, 3), "equal advantages"
    )


@points(
    3,
    part="statistics",
    catches=("updates-the-stats", "takes-any-mode"),
    hint="Running mode reads the statistics that it must be given; any third mode is refused with "
    "a ValueError.",
)
def test_running_mode_only_reads_the_statistics(student, rng):
    """Running mode normalises with the statistics it is given, without changing them; there is no
    third mode."""
    history, adv = rng.normal(2.0, 3.0, size=10), torch.tensor(rng.normal(size=(2, 6)))
    mask = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]])
    stats = student.RunningMeanStd()
    stats.update_(torch.tensor(history))
    result = student.normalize_advantages(adv, mask, "running", stats)
    assert_near(result, (adv - history.mean()) / history.std() * mask, "normalised advantages")
    large = student.normalize_advantages(adv, mask, "running", stats, 0.5)
    expected = (adv - history.mean()) / (history.std() + 0.5) * mask
    assert_near(large, expected, "normalised with a large eps")
    assert_moments(stats, history)
    with assert_raises(ValueError):
        student.normalize_advantages(adv, mask, "global", stats)
    with assert_raises(ValueError):
        student.normalize_advantages(adv, mask, "running")


@points(
    1,
    part="statistics",
    catches="values-keep-their-gradient",
    hint="Normalised advantages are weights for a loss: they carry no gradient, whatever came in.",
)
def test_normalised_advantages_carry_no_gradient(student, rng):
    """Normalised advantages carry no gradient."""
    adv = torch.tensor(rng.normal(size=(3, 4)))
    result = student.normalize_advantages(adv.clone().requires_grad_())
    data = detached(result, "normalised advantages")
    assert_near(
        up_to_scale(data), up_to_scale(standardised(adv)), "normalised advantages, scaled to 1"
    )


# -- Part 6: the rollout buffer --------------------------------------------------------------------


@points(
    1,
    part="buffer",
    catches="fields-share-one-storage",
    hint="a = b = torch.zeros(...) makes one tensor with two names: every field needs its own "
    "call.",
)
def test_each_field_has_its_own_storage(student, lab):
    """Every field has the shape it should, and writing to one leaves the others as they are."""
    buffer = student.RolloutBuffer(3, 2, (4,), "cpu")
    names = ("logp", "rewards", "values", "next_values")
    for number, name in enumerate(names, start=1):
        getattr(lab.kept(buffer), name)[2, 1] = float(number)
    flat = buffer.flat()
    for number, name in enumerate(names, start=1):
        expected = torch.zeros(3, 2)
        expected[2, 1] = number
        assert_close(getattr(buffer, name), expected, what=name)
        assert_close(flat[name], expected.flatten(), what=f"flat {name}")
    assert_close(buffer.obs, torch.zeros(3, 2, 4), what="obs")
    assert_equal(buffer.actions, torch.zeros(3, 2, dtype=torch.int64), what="actions")
    assert_equal(buffer.terminated, torch.zeros(3, 2, dtype=torch.bool), what="terminated")
    assert_equal(buffer.truncated, torch.zeros(3, 2, dtype=torch.bool), what="truncated")
    other = student.RolloutBuffer(2, 1, (), "cpu", (3,), torch.float32)
    assert_close(other.actions, torch.zeros(2, 1, 3), what="actions of another shape and kind")
    assert_close(other.obs, torch.zeros(2, 1), what="observations that are numbers")


@points(
    4,
    part="buffer",
    catches=("flat-copies", "environment-major", "flags-share-one-storage"),
    hint="A view shares its storage and keeps the order in memory: row t * N + n is step t of "
    "environment n.",
)
def test_flat_is_a_window_and_not_a_copy(student, lab):
    """What flat() returns shares its storage with the buffer, for good; row t * N + n is step t of
    environment n."""
    kept = lab.kept(student.RolloutBuffer(3, 2, (4,), "cpu"))
    kept.rewards[0, 1] = 7.0
    flat = kept.flat()
    kept.rewards[1, 1] = 8.0
    kept.rewards[2, 1] = 9.0
    kept.obs[2, 1] = 4.0
    kept.truncated[1, 0] = True
    written = torch.tensor([0.0, 7.0, 0.0, 8.0, 0.0, 9.0])
    assert_close(lab.value(flat["rewards"]), written, what="flat rewards")
    assert_close(
        lab.value(flat["obs"]),
        (4.0 * (torch.arange(6) == 5)).unsqueeze(1).expand(6, 4),
        what="flat obs",
    )
    assert_equal(lab.value(flat["truncated"]), torch.arange(6) == 2, what="flat truncated")
    untouched = torch.zeros(3, 2, dtype=torch.bool)
    assert_equal(lab.value(kept.terminated), untouched, what="terminated")
    flat["values"][5] = 3.0
    assert_close(
        lab.value(kept.values), torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 3.0]]), what="values"
    )
    address = lab.value(kept.rewards.data_ptr())
    assert_equal(
        lab.value(kept.flat()["rewards"].data_ptr()), address, what="where flat rewards lie"
    )
    assert_equal(lab.value(kept.rewards.data_ptr()), address, what="where rewards lie after flat()")


def numbered(student, lab, T, N):
    """A buffer in which each action is the number of its row, and the actions as flat() shows
    them."""
    buffer = student.RolloutBuffer(T, N, (2,), "cpu")
    lab.kept(buffer).actions.copy_(torch.arange(T * N).reshape(T, N))
    return buffer, buffer.flat()["actions"]


def one_pass(buffer, size, seed, sizes):
    """All rows in the order of one pass, after a check that they come as index tensors of these
    sizes."""
    batches = list(buffer.minibatches(size, torch.Generator().manual_seed(seed)))
    assert_equal(len(batches), len(sizes), what="the number of minibatches")
    for batch, rows in zip(batches, sizes, strict=True):
        assert_equal(batch * 0, torch.zeros(rows, dtype=torch.int64), what="a minibatch times zero")
    return torch.cat(batches)


@points(
    3,
    part="buffer",
    catches=(
        "minibatches-with-replacement",
        "drops-the-last-minibatch",
        "accepts-empty-minibatches",
    ),
    hint="Shuffle all rows, then cut: each comes exactly once, the last piece may be smaller, none "
    "may be empty.",
)
def test_minibatches_cover_every_row_once(student, lab):
    """One pass over the minibatches meets every row exactly once, in pieces of the size asked for
    (at least one)."""
    buffer, actions = numbered(student, lab, 7, 4)
    for size, sizes in ((8, [8, 8, 8, 4]), (28, [28]), (100, [28]), (1, [1] * 28)):
        order = one_pass(buffer, size, 3, sizes)
        assert_equal(order.sort().values, torch.arange(28), what="all rows, sorted")
        assert_equal(actions[order].sort().values, torch.arange(28), what="all actions, sorted")
    with assert_raises(ValueError):
        list(buffer.minibatches(0, torch.Generator().manual_seed(3)))


@points(
    2,
    part="buffer",
    catches=(
        "minibatches-ignore-the-generator",
        "minibatches-are-not-shuffled",
        "every-pass-begins-anew",
    ),
    hint="All randomness comes from the generator that is handed in, and nothing else is touched.",
)
def test_minibatches_are_shuffled_by_their_generator_alone(student, lab):
    """The order is random, the same for the same generator, and drawn from no other one."""
    buffer, actions = numbered(student, lab, 10, 4)
    lab.seed(1)
    before = lab.global_rng_state()
    first, again, other = (one_pass(buffer, 20, seed, [20, 20]) for seed in (7, 7, 8))
    assert_equal(actions[first].sort().values, torch.arange(40), what="all actions, sorted")
    assert_true(not torch.equal(first, torch.arange(40)), "the rows are shuffled")
    assert_true(not torch.equal(first, other), "another seed gives another order")
    assert_equal(again, first, what="the order of a second pass with the same seed")
    assert_equal(lab.global_rng_state(), before, what="the state of the global generators")
    # Without a generator the order is torch's own.
    passes = []
    for seed in (2, None, 2):
        if seed is not None:
            lab.seed(seed)
        passes.append(torch.cat(list(buffer.minibatches(20))))
    assert_true(not torch.equal(passes[0], passes[1]), "the next pass has another order")
    assert_equal(passes[2], passes[0], what="the order with the same global seed")


@points(
    2,
    part="buffer",
    catches=("shuffles-whole-minibatches", "minibatches-are-not-shuffled"),
    hint="Shuffle rows, not minibatches: every row is as likely in one minibatch as in another, "
    "whatever its neighbours are.",
)
def test_every_row_may_come_anywhere(student, lab):
    """A row may come at any place of a pass, whatever step and environment it is from."""
    buffer, actions = numbered(student, lab, 3000, 4)
    order = actions[one_pass(buffer, 1000, 5, [1000] * 12)]
    assert_equal(order.sort().values, torch.arange(12_000), what="all actions, sorted")
    # Six sixths of the rows, four environments, and six sixths of the pass: 12,000 draws in 144
    # cells see a factor of 1.5 in one of them.
    place = torch.arange(12_000) // 2000
    cell = (order // 2000) * 24 + (order % 4) * 6 + place
    counts = np.bincount(cell.numpy(), minlength=144).reshape(6, 4, 6)
    assert_frequencies(counts, np.full((6, 4, 6), 1 / 144), what="where rows come")


# -- Part 7: targets and diagnostics ---------------------------------------------------------------


@points(
    4,
    part="returns",
    catches=(
        "swaps-the-mixing-weights",
        "merged-done",
        "truncation-keeps-recursion",
        "leaks-past-the-end",
        "done-shifted",
        "bootstraps-through-termination",
    ),
    hint="The weights are (1 - lambda) * lambda^(n-1); the longest return takes the weight that is "
    "left.",
)
def test_lambda_return_averages_n_step_returns(student, rng):
    """A lambda-return is the geometrically weighted average of all n-step returns, from one step to
    all."""
    roll, lam, longest = ragged(rng), 0.7, 12
    expected = roll.values + lam ** (longest - 1) * rewards_then_bootstrap(roll, 0.9, longest)
    for n in range(1, longest):
        expected = expected + (1 - lam) * lam ** (n - 1) * rewards_then_bootstrap(roll, 0.9, n)
    assert_near(student.lambda_returns(*roll, 0.9, lam), expected, "lambda-returns")
    one_step, monte_carlo = (
        rewards_then_bootstrap(roll, 0.9, k) + roll.values for k in (1, longest)
    )
    assert_near(student.lambda_returns(*roll, 0.9, 0.0), one_step, "lambda-returns at 0")
    assert_near(student.lambda_returns(*roll, 0.9, 1.0), monte_carlo, "lambda-returns at 1")


@points(
    1,
    part="returns",
    catches="values-keep-their-gradient",
    hint="A target that leads back into the network it trains is no target: detach it.",
)
def test_lambda_returns_carry_no_gradient(student, rng):
    """Lambda-returns carry no gradient."""
    roll = endless(rng)
    result = student.lambda_returns(*with_gradient(roll), 0.9, 1.0)
    returns = detached(result, "lambda-returns")
    assert_near(
        returns - roll.values, rewards_then_bootstrap(roll, 0.9, 8), "lambda-returns minus values"
    )


@points(
    3,
    part="returns",
    catches=("divides-by-the-variance-of-values", "counts-a-constant-error"),
    hint="1 - Var(returns - values) / Var(returns): the returns are what is to be explained, up to "
    "a constant.",
)
def test_explained_variance_is_the_share_that_values_explain(student, rng):
    """Values that are right, or off by a constant, explain all of the variance, constants none,
    others their share."""
    returns, noise = torch.tensor(rng.normal(2.0, 3.0, size=(2, 5, 4)))
    share = 1.0 - np.var(noise.numpy()) / np.var(returns.numpy())
    assert_near(student.explained_variance(returns + noise, returns), float(share))
    assert_near(student.explained_variance(returns, returns), 1.0)
    assert_near(student.explained_variance(returns - 3.0, returns), 1.0)
    assert_near(student.explained_variance(torch.full((5, 4), 2.0).double(), returns), 0.0)


@points(
    1,
    part="returns",
    catches=("divides-by-zero-variance", "nan-for-constants"),
    hint="Constant returns have no variance to explain: the answer is 0.0, not nan.",
)
def test_constant_returns_have_nothing_to_explain(student, rng):
    """Constant returns give 0.0 instead of a division by zero."""
    values = torch.tensor(rng.normal(size=(3, 2)))
    assert_near(student.explained_variance(values, torch.full((3, 2), 3.0).double()), 0.0)
    assert_near(student.explained_variance(values, 3.0 * values), 5.0 / 9.0)
