"""Hidden tests of `bandits`: estimates, choices, runs and regret of k-armed bandits."""

import math

import numpy as np

from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_frequencies,
    assert_raises,
    assert_true,
    assert_unchanged,
)
from autograder.judging.plugin import points

# ---- helpers and slow references ---------------------------------------------------------------------------


def generator():
    return np.random.default_rng(7)


def an_arm(value, k):
    """The value itself, once it is known to be an int that names an arm."""
    is_int = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    assert_true(is_int and 0 <= value < k, f"an arm is an int from 0 to {k - 1}")
    return int(value)


def repeated(lab, function, *columns):
    """function(*row) for each row of these columns, on the student's side: one question."""
    return lab.make("builtins.list", lab.make("builtins.map", function, *columns))


def draws(lab, function, *arguments, n=4000):
    """(n,) The arms that n calls of function(*arguments, rng) lead to, with one generator."""
    columns = [lab.make("itertools.repeat", one, n) for one in (*arguments, generator())]
    arms = lab.value(lab.make("numpy.array", repeated(lab, function, *columns)))
    is_int = isinstance(arms, np.ndarray) and arms.dtype.kind in "iu"
    assert_true(is_int and arms.shape == (n,), "an arm is an int")
    return arms


def tally(arms, k):
    """(k,) How often each arm was drawn."""
    assert_true(bool(arms.min() >= 0 and arms.max() < k), f"an arm lies in 0 to {k - 1}")
    return np.bincount(arms, minlength=k)


def assert_drawn(counts, chances, names, what="the drawn arms"):
    """What is called so has come up about as often as its chance says, and never if that is 0.

    No count is further than 7 standard deviations from its mean, which happens to a right solution
    once in 10^10 draws of its numbers. With 4000 draws, a chance of 0.12 that is wrong by a factor
    of 1.5 is more than ten standard deviations away.
    """
    counts, chances = np.asarray(counts, float), np.asarray(chances, float)
    expected = chances * counts.sum()
    gaps = (counts - expected) / np.maximum(np.sqrt(expected * (1 - chances)), 1e-3)
    if np.abs(gaps).max() > 7:
        assert_frequencies(counts, chances, what, names)


def places(q):
    """What each arm is called in a finding."""
    ties = np.flatnonzero(q == q.max())
    order = ["the first of", *["one of"] * (len(ties) - 2), "the last of"]
    names = [f"{place} the tied arms" for place in order] if len(ties) > 1 else ["the best arm"]
    return [names[list(ties).index(arm)] if arm in ties else "a worse arm" for arm in range(len(q))]


# Steps of up to 0.5, 1, 2 and more standard deviations, and how likely they are if they are normal.
BELOW = (0.5, 1.0, 2.0)
SIZES = ("a small step", "a step of middle size", "a large step", "a very large step")
NORMAL = np.diff([0.0, *[math.erf(x / math.sqrt(2)) for x in BELOW], 1.0])


def assert_normal(steps):
    """The steps look like independent draws from Normal(0, 1).

    7 standard deviations of each statistic: a right solution fails once in 10^10. Uniform steps
    of variance 1 fail by 12 standard deviations if there are 4000.
    """
    n = len(steps)
    assert_true(bool(abs(steps.mean()) < 7 / np.sqrt(n)), "the mean is 0")
    assert_true(bool(abs(steps.var() - 1) < 7 * np.sqrt(2 / n)), "the variance is 1")
    assert_true(
        bool(abs((steps[1:] * steps[:-1]).mean()) < 7 / np.sqrt(n)), "each step is drawn anew"
    )
    assert_drawn(
        np.bincount(np.digitize(np.abs(steps), BELOW), minlength=4), NORMAL, SIZES, "the steps"
    )


def slow_softmax(h):
    weights = [float(np.exp(x)) for x in h]
    return np.array(weights) / sum(weights)


def recency_weighted(start, rewards, alpha):
    """S&B eq. 2.6, the sum written out."""
    n = len(rewards)
    return (1 - alpha) ** n * start + sum(
        alpha * (1 - alpha) ** (n - i) * r for i, r in enumerate(rewards, 1)
    )


class Recorder:
    """Pulls arm number t of a list (the first at t = 1) and writes down everything that it is
    told."""

    def __init__(self, arms):
        self.arms, self.times, self.told = arms, [], []

    def select(self, t, rng):
        self.times.append(t)
        return self.arms[(t - 1) % len(self.arms)]

    def update(self, action, reward):
        self.told.append((action, reward))


def optimal_share(student, make_agent, seed, runs=30, steps=1000):
    """How often the last 100 pulls of a run took the best arm: the mean over runs on 10-armed
    testbeds."""
    shares = []
    for run in range(runs):
        means = np.random.default_rng([seed, run]).normal(size=10)
        trace = student.run_bandit(
            make_agent(), means, steps, np.random.default_rng([seed, run, 1])
        )
        assert_close(trace.rewards, means[trace.actions], rtol=0, atol=8.0, what="the rewards")
        shares.append(np.mean(trace.actions[-100:] == np.argmax(means)))
    return float(np.mean(shares))


def assert_keeps_means(lab, agent, rng):
    """After thousands of pulls the estimates are the means of what each arm has paid.

    The first mean passes through 0, which is an estimate like any other.
    """
    arms = np.concatenate([[0, 0, 0], rng.choice(3, size=2500, p=(0.8, 0.15, 0.05))])
    rewards = np.concatenate([[2.0, -2.0, 5.0], rng.normal(arms[3:], 1.0)])
    for arm, reward in zip(arms[:3].tolist(), rewards[:3].tolist(), strict=True):
        agent.update(arm, reward)
    assert_close(agent.q, np.array([5.0 / 3, 0.0, 0.0]), what="the estimates after 2, -2 and 5")
    repeated(lab, agent.update, arms[3:].tolist(), rewards[3:].tolist())
    assert_equal(agent.counts, np.bincount(arms, minlength=3), what="the counts")
    means = np.array([rewards[arms == arm].mean() for arm in range(3)])
    assert_close(agent.q, means, what="the estimates")


# ---- 1. estimates ------------------------------------------------------------------------------------------


@points(
    3,
    part="estimates",
    catches="n-off-by-one",
    hint="n counts the pulls including the present one: after the first reward the average is that "
    "reward.",
)
def test_sample_average_is_the_mean(student, rng):
    """Folding the rewards in one at a time gives the mean of all of them, whatever the first
    estimate was."""
    rewards = rng.normal(3.0, 2.0, size=8)
    q = 10.0
    for n, reward in enumerate(rewards, 1):
        q = student.sample_average(q, n, float(reward))
        assert_close(q, float(np.mean(rewards[:n])), what="the average")
    # However old the average is, and also where it happens to be 0.
    for old, n in ((0.0, 4), (-1.2, 30), (0.7, 60_000)):
        assert_close(
            student.sample_average(old, n, 6.0),
            old + (6.0 - old) / n,
            atol=1e-12,
            what="the average",
        )


@points(
    3,
    part="estimates",
    catches="swaps-the-weights",
    hint="Unroll the recursion: the i-th of n rewards weighs alpha (1 - alpha)^(n - i), the first "
    "estimate "
    "(1 - alpha)^n.",
)
def test_constant_step_weights_rewards_by_recency(student, rng):
    """A constant step size weighs every reward by its age, and the first estimate never quite goes
    away."""
    rewards, start, alpha = rng.normal(size=7), float(rng.normal(5.0)), 0.2
    q = start
    for n, reward in enumerate(rewards, 1):
        q = student.constant_step(q, float(reward), alpha)
        assert_close(q, float(recency_weighted(start, rewards[:n], alpha)), what="the estimate")
    assert_close(student.constant_step(4.0, -2.5, 1.0), -2.5, what="the estimate with alpha = 1")
    assert_close(student.constant_step(0.0, 3.0, alpha), 0.6, what="the estimate after one of 0")


@points(
    4,
    part="estimates",
    catches=("trace-advanced-too-late", "trace-forgotten"),
    hint="Advance the trace before you divide by it: then the first step has size 1.",
)
def test_unbiased_step_forgets_the_first_estimate(student, rng):
    """After one reward the estimate is that reward; later ones are recency-weighted averages of
    rewards alone."""
    rewards, alpha = rng.normal(size=6), 0.3
    later = student.unbiased_step(
        2.0, 0.6, 5.0, alpha
    )  # trace 0.6 + 0.3 * 0.4 = 0.72, step 0.3 / 0.72
    assert_close(later, (2.0 + 3.0 * 0.3 / 0.72, 0.72), what="the pair (estimate, trace)")
    q, o = 50.0, 0.0
    for n, reward in enumerate(rewards, 1):
        q, o = student.unbiased_step(q, o, float(reward), alpha)
        total = 1 - (1 - alpha) ** n  # the weights of n rewards, and the trace
        assert_close(
            q, float(recency_weighted(0.0, rewards[:n], alpha) / total), what="the estimate"
        )
        assert_close(o, total, what="the trace")


@points(
    2,
    part="estimates",
    catches="no-argument-checks",
    hint="The docstrings say which arguments are impossible: refuse them with ValueError and a "
    "sentence.",
)
def test_estimates_refuse_impossible_arguments(student):
    """No pull number below 1, no step size outside (0, 1]; a step size of exactly 1 is fine."""
    with assert_raises(ValueError):
        student.sample_average(1.0, 0, 2.0)
    for alpha in (0.0, -0.1, 1.5):
        with assert_raises(ValueError):
            student.constant_step(1.0, 2.0, alpha)
        with assert_raises(ValueError):
            student.unbiased_step(1.0, 0.5, 2.0, alpha)
    for trace in (-0.1, 1.2):
        with assert_raises(ValueError):
            student.unbiased_step(1.0, trace, 2.0, 0.3)
    assert_close(student.unbiased_step(1.0, 1.0, 2.0, 0.25), (1.25, 1.0))
    assert_close(student.sample_average(1.0, 4, 2.0), 1.25)
    assert_close(student.unbiased_step(1.0, 0.5, 2.0, 1.0), (2.0, 1.0))


# ---- 2. epsilon-greedy -------------------------------------------------------------------------------------


@points(
    2,
    part="greedy",
    catches="exploring-excludes-greedy",
    hint="An exploring step draws from all k arms, the greedy one included.",
)
def test_greedy_arm_has_its_share_of_exploring(student, rng):
    """The greedy arm has probability 1 - epsilon + epsilon/k, every other arm epsilon/k."""
    q = rng.permutation(5)  # integers: any dtype is welcome
    for epsilon in (0.3, 0.0, 1.0):
        expected = np.full(5, epsilon / 5)
        expected[np.flatnonzero(q == 4)] += 1 - epsilon
        assert_close(student.epsilon_greedy_probs(q, epsilon), expected, what="the probabilities")


@points(
    3,
    part="greedy",
    catches=("first-of-the-ties", "each-tie-gets-the-whole"),
    hint="Several arms can be greedy at once: they share 1 - epsilon equally.",
)
def test_tied_arms_share_the_greedy_probability(student, rng):
    """Tied arms are equally likely, and the probabilities sum to 1."""
    q = rng.permutation([2.5, 2.5, 2.5, -1.0, 0.0])
    probabilities = student.epsilon_greedy_probs(q, 0.4)
    assert_close(probabilities, np.where(q == 2.5, 0.08 + 0.6 / 3, 0.08), what="the probabilities")
    assert_close(
        student.epsilon_greedy_probs(np.zeros(4), 0.25), np.full(4, 0.25), what="the probabilities"
    )


@points(
    3,
    part="greedy",
    catches=("first-of-the-ties", "random-only-if-all-tie", "maximum-starts-at-zero"),
    hint="np.argmax always returns the first maximum. Find all of them, then draw one.",
)
def test_argmax_breaks_ties_evenly(student, lab, rng):
    """Equally good arms are drawn equally often, worse arms never, whatever sign the values
    have."""
    for values in ([-0.7, -0.7, -0.7, -1.1, -np.inf], [1.5, 0.0, 1.5, 1.5, 1.5], [0.0] * 4):
        q = rng.permutation(values)
        best = q == q.max()
        counts = tally(draws(lab, student.argmax_random, q), len(q))
        assert_drawn(counts, best / best.sum(), places(q))


@points(
    2,
    part="greedy",
    catches="nearly-equal-counts-as-tied",
    hint="Ties are exact: of two estimates that differ at all, one is the larger.",
)
def test_nearly_equal_is_not_tied(student, rng):
    """An arm that is better by a hair is the only greedy arm."""
    order = rng.permutation(3)
    q = np.array([0.3, 0.3 + 1e-10, -1.0])[order]
    best = int(np.argmax(q))
    assert_close(
        student.epsilon_greedy_probs(q, 0.3), 0.1 + 0.7 * (order == 1), what="the probabilities"
    )
    draws = generator()
    for _ in range(10):
        assert_equal(student.argmax_random(q, draws), best, what="the arm")


@points(
    3,
    part="greedy",
    catches="exploring-excludes-greedy",
    hint="With epsilon = 1 all k arms are equally likely; with epsilon = 0 only greedy ones occur.",
)
def test_epsilon_greedy_draws_with_its_probabilities(student, lab, rng):
    """Drawn arms have the frequencies that the formula promises."""
    for epsilon in (0.0, 0.6, 1.0):
        q = rng.permutation([-0.5, -0.5, -1.0, -2.0, -2.5])
        chances = epsilon / 5 + (1 - epsilon) / 2 * (q == -0.5)
        assert_close(student.epsilon_greedy_probs(q, epsilon), chances, what="the probabilities")
        counts = tally(draws(lab, student.epsilon_greedy, q, epsilon), 5)
        assert_drawn(counts, chances, places(q))


@points(
    2,
    part="greedy",
    catches=("first-of-the-ties", "exploring-excludes-greedy", "random-only-if-all-tie"),
    hint="The agent chooses as epsilon_greedy does: with its own epsilon, and with random ties.",
)
def test_the_agent_chooses_as_the_function_does(student, lab, rng):
    """The agent's choices have the frequencies of its own epsilon, ties included."""
    for epsilon, k, tied in ((0.0, 5, 2), (0.6, 4, 1)):
        fresh = student.EpsilonGreedy(k, epsilon)
        counts = tally(draws(lab, fresh.select, 1, n=2000), k)
        assert_drawn(counts, np.full(k, 1 / k), places(np.zeros(k)))
        agent = student.EpsilonGreedy(k, epsilon, alpha=0.25, initial=-3.0)
        good = rng.permutation(k - 1)[:tied] + 1
        for arm in good.tolist():
            agent.update(arm, 5.0)
        q = np.where(np.isin(np.arange(k), good), -1.0, -3.0)
        assert_close(agent.q, q, what="the estimates")
        counts = tally(draws(lab, agent.select, 3), k)
        assert_drawn(counts, epsilon / k + (1 - epsilon) / tied * (q == -1.0), places(q))


@points(
    3,
    part="greedy",
    catches=("n-off-by-one", "averages-despite-alpha"),
    hint="Count the pull first. The constant step size, if there is one, replaces 1/n.",
)
def test_epsilon_greedy_agent_keeps_its_estimates(student, lab, rng):
    """The agent keeps a mean for each arm, or a recency-weighted average if it was given a step
    size, however long it plays."""
    rewards = rng.normal(2.0, 1.0, size=6)
    arms = [2, 0, 2, 2, 0, 2]
    averaging = student.EpsilonGreedy(3, epsilon=0.0)
    tracking = student.EpsilonGreedy(3, epsilon=0.0, alpha=0.25, initial=5.0)
    for arm, reward in zip(arms, rewards, strict=True):
        averaging.update(arm, float(reward))
        tracking.update(arm, float(reward))
    of_arm = [[float(rewards[i]) for i in range(6) if arms[i] == arm] for arm in range(3)]
    for agent in (averaging, tracking):
        assert_equal(agent.counts, np.array([2, 0, 4]), what="the counts")
    weighted = np.array([recency_weighted(5.0, rs, 0.25) for rs in of_arm])
    assert_close(tracking.q, weighted, what="the weighted averages")
    assert_close(
        averaging.q, np.array([np.mean(rs) if rs else 0.0 for rs in of_arm]), what="the averages"
    )
    assert_equal(tracking.select(7, generator()), 1, what="the arm that still hopes for 5")
    assert_keeps_means(lab, student.EpsilonGreedy(3, epsilon=0.0), rng)


@points(2, part="greedy", catches="no-argument-checks", hint="Epsilon is a probability.")
def test_epsilon_must_be_a_probability(student):
    """An epsilon outside [0, 1] is refused; both ends are fine."""
    q = np.array([0.0, 1.0])
    for epsilon in (-0.1, 1.1):
        with assert_raises(ValueError):
            student.epsilon_greedy_probs(q, epsilon)
        with assert_raises(ValueError):
            student.epsilon_greedy(q, epsilon, generator())
    assert_close(student.epsilon_greedy_probs(q, 1.0), np.full(2, 0.5), what="the probabilities")
    assert_equal(student.epsilon_greedy(q, 0.0, generator()), 1, what="the greedy arm")


# ---- 3. upper confidence bounds ----------------------------------------------------------------------------


@points(
    3,
    part="ucb",
    catches=("zero-divided-by-zero", "tiny-number-in-the-denominator"),
    hint="An arm that was never pulled could be worth anything: its bound is +inf, at t = 1 and "
    "with c = 0 too.",
)
def test_untried_arms_have_an_infinite_bound(student, rng):
    """Untried arms score +inf at every step and for every c; tried arms have finite scores."""
    q = rng.normal(size=4)
    nobody = np.zeros(4, dtype=int)
    assert_close(
        student.ucb_scores(q, nobody, 1, 2.0), np.full(4, np.inf), what="the scores at t = 1"
    )
    some = np.array([3, 0, 1, 0])
    bonus = 2.0 * np.sqrt(np.log(5) / np.array([3.0, 1.0]))
    expected = np.array([q[0] + bonus[0], np.inf, q[2] + bonus[1], np.inf])
    assert_close(student.ucb_scores(q, some, 5, 2.0), expected, what="the scores")
    assert_close(
        student.ucb_scores(q, some, 5, 0.0), np.where(some, q, np.inf), what="the scores with c = 0"
    )


@points(
    3,
    part="ucb",
    catches=(
        "logarithm-to-base-ten",
        "logarithm-of-t-plus-one",
        "one-count-for-all-arms",
        "c-inside-the-root",
    ),
    hint="The square of the bonus, times the arm's own count, is c^2 ln t: the same for every arm.",
)
def test_bonus_follows_its_law(student, rng):
    """The squared bonus shrinks with the arm's own count and grows with c^2 and with ln t."""
    q = rng.normal(size=5)
    q[2] = 0.0  # an estimate like any other
    counts = 2 + rng.permutation(5)
    scores = student.ucb_scores(q, counts, 21, 1.7)
    assert_close(
        (scores - q) ** 2 * counts,
        np.full(5, 1.7**2 * np.log(21)),
        what="the squared bonus times the count",
    )
    assert_close(student.ucb_scores(q, counts, 1, 1.7), q, what="the scores where ln t is 0")
    rarer = student.ucb_scores(q, 4 * counts, 21, 1.7)
    assert_close(rarer - q, (scores - q) / 2, what="the bonus of arms pulled four times as often")
    bolder = student.ucb_scores(q, counts, 21, 5.1)
    assert_close(bolder - q, 3 * (scores - q), what="the bonus with three times the c")


@points(
    3,
    part="ucb",
    catches=("zero-divided-by-zero", "one-count-for-all-arms"),
    hint="Infinite bounds come first, so each arm has its turn; from then on the largest score "
    "decides.",
)
def test_ucb_agent_tries_every_arm_then_follows_the_bounds(student, lab, rng):
    """The first k pulls try each arm once; every later pull takes the arm with the largest
    bound."""
    k, c, draws = 5, 2.0, generator()
    rewards = rng.normal(size=(20, k))
    agent = student.UCB(k, c)
    paid = [[] for _ in range(k)]
    for t in range(1, 16):
        arm = an_arm(agent.select(t, draws), k)
        untried = [a for a in range(k) if not paid[a]]
        if untried:
            assert_true(arm in untried, "the first k pulls try each arm once")
        else:
            bounds = [np.mean(rs) + c * np.sqrt(np.log(t) / len(rs)) for rs in paid]
            assert_equal(arm, int(np.argmax(bounds)), what="the arm with the largest bound")
        agent.update(arm, float(rewards[t, arm]))
        paid[arm].append(float(rewards[t, arm]))
    assert_equal(agent.counts, np.array([len(rs) for rs in paid]), what="the counts")
    assert_close(agent.q, np.array([np.mean(rs) for rs in paid]), what="the estimates")
    assert_keeps_means(lab, student.UCB(3, c), rng)


@points(
    1,
    part="ucb",
    catches=(
        "one-count-for-all-arms",
        "logarithm-to-base-ten",
        "logarithm-of-t-plus-one",
        "c-inside-the-root",
    ),
    hint="The agent's c and the step t that select is given decide between a good arm and one that "
    "is hardly known.",
)
def test_ucb_agent_weighs_with_its_own_c(student, rng):
    """Where one step more or less would decide otherwise, the agent decides by its c and by t."""
    for c, pulls in ((0.5, 6), (3.1, 11)):
        t = pulls + 2
        # The lead that makes up for pulls of one arm and a single one of the other.
        lead = [c * np.sqrt(np.log(x)) * (1 - 1 / np.sqrt(pulls)) for x in (t - 1, t, t + 1)]
        gaps = [(1.3 * lead[1], 0), (0.8 * lead[1], 1)]
        gaps += [(0.4 * lead[0] + 0.6 * lead[1], 1), (0.6 * lead[1] + 0.4 * lead[2], 0)]
        for gap, chosen in gaps:
            agent, base = student.UCB(2, c), float(rng.normal())
            for arm, reward in ((1, base), *[(0, base + gap)] * pulls):
                agent.update(arm, reward)
            assert_equal(agent.counts, np.array([pulls, 1]), what="the counts")
            assert_close(agent.q, np.array([base + gap, base]), what="the estimates")
            assert_equal(agent.select(t, generator()), chosen, what="the arm")


@points(
    2,
    part="ucb",
    catches="first-of-the-ties",
    hint="Untried arms tie at +inf, and ties are broken at random: no arm has to be the first.",
)
def test_ucb_breaks_ties_at_random(student, lab, rng):
    """Arms with equal bounds are drawn equally often: untried ones, and those that are equally
    good."""
    for tried in (0, 2, 5):
        agent, order = student.UCB(5, 1.3), rng.permutation(5)
        for arm in order[:tried].tolist():
            agent.update(arm, -0.5)
        assert_equal(agent.counts, 1 * np.isin(np.arange(5), order[:tried]), what="the counts")
        tied = np.ones(5) if tried == 5 else 1.0 - np.isin(np.arange(5), order[:tried])
        counts = tally(draws(lab, agent.select, tried + 1, n=1600), 5)
        assert_drawn(counts, tied / tied.sum(), places(tied))


@points(
    2,
    part="ucb",
    catches="no-argument-checks",
    hint="Steps are counted from 1, c is not negative, and each arm has one estimate and one "
    "count.",
)
def test_ucb_refuses_impossible_arguments(student):
    """No step 0, no negative c, no negative counts, no estimates without counts."""
    q, counts = np.array([1.0, 2.0]), np.array([4, 9])
    for t, c in ((0, 1.0), (5, -1.0)):
        with assert_raises(ValueError):
            student.ucb_scores(q, counts, t, c)
    for bad in (np.array([4, -1]), np.array([4, 9, 1])):
        with assert_raises(ValueError):
            student.ucb_scores(q, bad, 5, 1.0)
    assert_close(student.ucb_scores(q, counts, 1, 0.0), q, what="the scores")


# ---- 4. gradient bandits -----------------------------------------------------------------------------------


@points(
    3,
    part="gradient",
    catches="softmax-overflows",
    hint="Subtract the largest preference before you exponentiate: the ratios stay the same.",
)
def test_softmax_depends_on_differences_only(student, rng):
    """Adding a constant to all preferences changes nothing, even when it is 1000; ratios are exp of
    differences."""
    h = rng.normal(size=5)
    plain = student.softmax(h)
    assert_close(plain, slow_softmax(h), what="the probabilities")
    for shift in (1000.0, -1000.0):
        assert_close(student.softmax(h + shift), plain, what="the probabilities after a shift")
    assert_close(
        student.softmax(np.array([0, 2000])), np.array([0.0, 1.0]), what="the probabilities"
    )


@points(
    3,
    part="gradient",
    catches=("other-arms-unmoved", "baseline-for-one-arm-only"),
    hint="What the pulled arm gains the other arms lose, each in proportion to its probability.",
)
def test_step_conserves_the_sum_of_preferences(student, rng):
    """The preferences always sum to the same number: one arm's gain is the others' loss."""
    h, alpha, baseline = rng.normal(size=4), 0.3, 0.7
    pi = slow_softmax(h)
    for action, reward in ((1, 2.5), (3, -1.5)):
        new = student.gradient_bandit_step(h, baseline, action, reward, alpha)
        change = alpha * (reward - baseline) * (np.eye(4)[action] - pi)
        assert_close(new - h, change, what="the change of the preferences")
        assert_close(float(np.sum(new)), float(np.sum(h)), what="the sum of the preferences")


@points(
    5,
    part="gradient",
    catches=("moves-downhill", "baseline-for-one-arm-only", "other-arms-unmoved", "baseline-added"),
    hint="Average the step over the arms with their probabilities: the baseline drops out, the "
    "gradient stays.",
)
def test_expected_step_is_the_gradient_for_any_baseline(student, rng):
    """Averaged over the arms, the step is alpha times the gradient of the expected reward, whatever
    the baseline."""
    h, means, alpha = rng.normal(size=4), rng.normal(1.0, 2.0, size=4), 0.25
    pi = slow_softmax(h)
    nudges = 1e-5 * np.eye(4)
    gradient = np.array(
        [(slow_softmax(h + n) - slow_softmax(h - n)) @ means / 2e-5 for n in nudges]
    )
    for baseline in (0.0, 1.3, -6.0):
        steps = [
            student.gradient_bandit_step(h, baseline, a, float(means[a]), alpha) for a in range(4)
        ]
        assert_close(
            steps[0], h + alpha * (means[0] - baseline) * (np.eye(4)[0] - pi), what="one step"
        )
        expected = sum(pi[a] * (steps[a] - h) for a in range(4)) / alpha
        # Central differences are right to about 1e-9.
        assert_close(expected, gradient, rtol=1e-6, atol=1e-7, what="the expected step")


@points(
    2,
    part="gradient",
    catches="changes-h-in-place",
    hint="h += ... changes the array of the caller. Build a new one.",
)
def test_step_leaves_the_callers_preferences_alone(student, rng):
    """The step returns new preferences; the old ones stay as they were."""
    h = rng.normal(size=3)
    before = h.copy()
    first = student.gradient_bandit_step(h, 0.5, 2, 1.5, 0.1)
    assert_unchanged(before, h, what="h")
    assert_close(
        first, before + 0.1 * (np.eye(3)[2] - slow_softmax(before)), what="the new preferences"
    )
    assert_close(
        student.gradient_bandit_step(np.array([0, 0]), 0.0, 0, 1.0, 0.5),
        np.array([0.25, -0.25]),
        what="the step from integer preferences",
    )


@points(
    4,
    part="gradient",
    catches=("baseline-includes-this-reward", "other-arms-unmoved", "moves-downhill"),
    hint="The baseline of a step is the mean of the rewards before it: move the preferences first.",
)
def test_gradient_agent_compares_with_its_past(student, lab, rng):
    """The agent's baseline is the mean of the earlier rewards, and stays 0 if it is not in use."""
    rewards, arms = rng.normal(4.0, 1.0, size=5), [0, 2, 2, 1, 0]
    for use_baseline in (True, False):
        agent = student.GradientBandit(3, alpha=0.2, use_baseline=use_baseline)
        h, past = np.zeros(3), []
        for arm, reward in zip(arms, rewards, strict=True):
            agent.update(arm, float(reward))
            baseline = float(np.mean(past)) if past and use_baseline else 0.0
            h = h + 0.2 * (reward - baseline) * (np.eye(3)[arm] - slow_softmax(h))
            past.append(reward)
            if len(past) > 1:  # after one step, other mistakes look like a missing baseline
                assert_close(agent.h, h, what="the preferences")
        assert_close(
            agent.baseline, float(np.mean(past)) if use_baseline else 0.0, what="the baseline"
        )
    agent, rewards = student.GradientBandit(3, alpha=0.01), rng.normal(0.3, 1.0, size=2000)
    repeated(lab, agent.update, rng.integers(3, size=2000).tolist(), rewards.tolist())
    assert_close(agent.baseline, float(np.mean(rewards)), what="the baseline of many rewards")


@points(
    3,
    part="gradient",
    catches=("pulls-the-largest-preference", "gradient-agent-has-dice-of-its-own"),
    hint="Preferences are not values: draw an arm with the probabilities softmax(h).",
)
def test_gradient_agent_draws_from_its_softmax(student, lab):
    """Arms are drawn with the probabilities softmax(h), the less preferred ones too."""
    agent = student.GradientBandit(3, alpha=2.1)
    agent.update(1, 1.0)
    h = 2.1 * (np.eye(3)[1] - 1 / 3)
    assert_close(agent.h, h, what="the preferences")
    names = ("a less preferred arm", "the preferred arm", "a less preferred arm")
    assert_drawn(tally(draws(lab, agent.select, 2, n=8000), 3), slow_softmax(h), names)
    again = draws(lab, agent.select, 2, n=40)
    assert_equal(draws(lab, agent.select, 2, n=40), again, what="arms of the same generator")


@points(
    2,
    part="gradient",
    catches="no-argument-checks",
    hint="There are k arms, numbered from 0, and a step size is positive.",
)
def test_gradient_step_refuses_impossible_arguments(student):
    """No arm that does not exist, no step size of 0 or below."""
    h = np.zeros(2)
    for action, alpha in ((2, 0.1), (-1, 0.1), (0, 0.0), (0, -0.1)):
        with assert_raises(ValueError):
            student.gradient_bandit_step(h, 0.0, action, 1.0, alpha)
    assert_close(
        student.gradient_bandit_step(h, 0.0, 1, 1.0, 0.1),
        np.array([-0.05, 0.05]),
        what="the preferences",
    )


# ---- 5. runs and regret ------------------------------------------------------------------------------------


@points(
    3,
    part="run",
    catches=("time-starts-at-zero", "agent-learns-of-another-reward"),
    hint="Steps are counted from 1, and the agent learns of the very reward that stands in the "
    "trace.",
)
def test_run_keeps_to_the_protocol(student, lab):
    """select(1), update, select(2), update, ...: the agent is told what the trace tells."""
    arms = [1, 0, 2, 2, 0, 1, 1, 2, 0, 0]
    means = np.array([-100.0, 0.0, 100.0])
    agent = Recorder(arms)
    trace = student.run_bandit(lab.expose(agent, "select", "update"), means, 10, generator())
    assert_equal(agent.times, list(range(1, 11)), what="the times that select was given")
    assert_equal(trace.actions, np.array(arms), what="the actions")
    assert_close(
        trace.rewards, means[arms], rtol=0, atol=8.0, what="the rewards"
    )  # 8 standard deviations
    assert_equal([action for action, _ in agent.told], arms, what="the arms that update was given")
    assert_close(
        [reward for _, reward in agent.told],
        trace.rewards.tolist(),
        what="the rewards that update was given",
    )


@points(
    2,
    part="run",
    catches="rewards-without-noise",
    hint="A reward is drawn anew for each pull, from a normal distribution around the arm's mean "
    "with "
    "standard deviation 1.",
)
def test_rewards_are_means_plus_unit_noise(student, rng):
    """Rewards scatter around the mean of their arm with standard deviation 1, independently from
    step to step."""
    n, means = 4000, np.array([-20.0, 5.0, 40.0])
    arms = rng.integers(3, size=n)
    trace = student.run_bandit(student.Script(arms.tolist()), means, n, generator())
    assert_equal(trace.actions, arms, what="the actions")
    assert_close(trace.rewards, means[arms], rtol=0, atol=8.0, what="the rewards")
    assert_normal(trace.rewards - means[arms])


@points(
    3,
    part="run",
    catches="global-random-numbers",
    hint="All random numbers come from the rng that is handed in, none from np.random or random.",
)
def test_same_generator_same_run(student, lab):
    """The generator decides the whole run: same state, same trace; the global generators stay
    untouched."""
    means = np.array([0.0, 0.0, 0.5])
    lab.seed(11)
    before = lab.global_rng_state()
    one = student.run_bandit(student.EpsilonGreedy(3, 0.5), means, 40, np.random.default_rng(7))
    lab.seed(12)
    two = student.run_bandit(student.EpsilonGreedy(3, 0.5), means, 40, np.random.default_rng(7))
    other = student.run_bandit(student.EpsilonGreedy(3, 0.5), means, 40, np.random.default_rng(8))
    assert_close(one.rewards, two.rewards, what="the rewards of the repeated run")
    assert_equal(one.actions, two.actions, what="the actions of the repeated run")
    assert_close(one.rewards, means[one.actions], rtol=0, atol=8.0, what="the rewards")
    assert_true(
        bool(np.abs(one.rewards - other.rewards).max() > 1e-3), "another seed gives another run"
    )
    lab.seed(11)
    student.run_bandit(student.EpsilonGreedy(3, 0.5), means, 5, np.random.default_rng(7))
    assert_equal(lab.global_rng_state(), before, what="the state of the global generators")


@points(
    3,
    part="run",
    catches=("regret-against-the-best-arm-pulled", "regret-not-accumulated", "regret-averaged"),
    hint="Each pull costs the best mean minus its own mean; the regret is the running sum of these "
    "gaps.",
)
def test_regret_counts_what_each_pull_costs(student, rng):
    """Regret is the number of pulls of each arm times its gap; it never falls, and the best arm
    costs nothing."""
    means = np.sort(rng.normal(size=4))  # arm 3 is the best
    actions = rng.permutation(np.repeat([0, 1, 2], [2, 1, 4]))
    regret = student.pseudo_regret(means, actions)
    total = sum(int(np.sum(actions == arm)) * (means[3] - means[arm]) for arm in range(3))
    assert_close(regret[-1], float(total), what="the last entry")
    assert_close(np.diff(regret), means[3] - means[actions[1:]], what="the increments")
    assert_close(
        student.pseudo_regret(means + 10, actions),
        regret,
        what="the regret when all arms pay 10 more",
    )
    assert_close(
        student.pseudo_regret(means, np.append(actions, [3, 3])),
        np.append(regret, [total, total]),
        what="the regret when the best arm is pulled at last",
    )


@points(
    1,
    part="run",
    catches="no-argument-checks",
    hint="A run has at least one step, and only arms that exist can be regretted.",
)
def test_runs_refuse_impossible_arguments(student):
    """No run of 0 steps, no negative walk, no arm beyond the last or before the first."""
    means = np.array([1.0, 3.0])
    with assert_raises(ValueError):
        student.run_bandit(student.Script([0]), means, 0, generator())
    with assert_raises(ValueError):
        student.run_bandit(student.Script([0]), means, 1, generator(), walk_sd=-0.1)
    for action in (2, -1):
        with assert_raises(ValueError):
            student.pseudo_regret(means, np.array([0, action]))
    with assert_raises(ValueError):
        student.pseudo_regret(means, np.array([[0, 1], [1, 0]]))
    one = student.run_bandit(student.Script([1]), means, 1, generator())
    assert_equal(one.actions, np.array([1]), what="the actions of a run of one step")
    assert_close(
        student.pseudo_regret(means, np.array([0, 1, 0])),
        np.array([2.0, 2.0, 4.0]),
        what="the regret",
    )


# ---- 6. arms that drift ------------------------------------------------------------------------------------


@points(
    3,
    part="nonstationary",
    catches=("one-increment-for-all-arms", "variance-taken-for-sd", "walk-has-dice-of-its-own"),
    hint="Each arm draws an increment of its own, and walk_sd is a standard deviation.",
)
def test_every_arm_walks_on_its_own(student, rng):
    """The increments of many arms scatter around 0 with standard deviation walk_sd; with walk_sd =
    0 nothing moves."""
    means = rng.normal(size=8000)
    for walk_sd in (0.01, 2.5):
        assert_normal((student.random_walk(means, walk_sd, generator()) - means) / walk_sd)
    assert_close(
        student.random_walk(means, 0.0, generator()), means, what="the means that stand still"
    )
    one, two = (student.random_walk(means, 2.5, generator()) for _ in range(2))
    assert_close(two, one, what="the steps of the same generator")
    with assert_raises(ValueError):
        student.random_walk(means, -0.1, generator())


@points(
    3,
    part="nonstationary",
    catches=("moves-the-callers-means", "walks-first"),
    hint="The first reward comes from the means as they were handed in, and the walk happens on a "
    "copy.",
)
def test_walk_starts_where_the_caller_said(student):
    """The first reward is drawn before anything moves, and the caller's means never move."""
    means = np.array([3.0, -50.0])
    before = means.copy()
    moved = student.random_walk(means, 1e6, generator())
    assert_true(bool(np.abs(moved - before).max() > 1.0), "the means move")
    assert_unchanged(before, means, what="means")
    trace = student.run_bandit(student.Script([1, 1, 0]), means, 3, generator(), walk_sd=1e6)
    assert_unchanged(before, means, what="means")
    assert_close(trace.rewards[0], -50.0, rtol=0, atol=8.0, what="the first reward")
    assert_true(
        bool(abs(trace.rewards[1] + 50.0) > 8.0),
        "the second reward comes from means that have moved",
    )


@points(
    4,
    part="nonstationary",
    catches=("noise-around-fixed-means", "only-one-arm-walks", "one-increment-for-all-arms"),
    hint="All arms move after every step, pulled or not, and each step starts where the last one "
    "ended.",
)
def test_walks_add_up_for_all_arms(student):
    """Means drift further and further, and the arms that nobody pulls drift too."""
    sd, watched, others = 1000.0, 4000, 20
    arms = [0] * watched + list(range(1, others + 1))
    trace = student.run_bandit(
        student.Script(arms), np.zeros(others + 1), len(arms), generator(), walk_sd=sd
    )
    assert_equal(trace.actions, np.array(arms), what="the actions")
    rewards = trace.rewards / sd  # the unit noise is a thousandth of a step
    # Noise around fixed means would have mean square 2.
    assert_normal(np.diff(rewards[:watched]))
    # Arms that were not pulled for 4000 steps have variance 4000. The variance of 20 such arms,
    # over 4000, is a chi-square with 19 degrees of freedom over 20: below 0.02 with probability
    # 2e-13. Arms that stood still, or that walk together, give 0.005 at most.
    assert_true(
        bool(rewards[watched:].var() / watched > 0.02),
        "arms that are not pulled move too, each on its own",
    )
    # A short step is one, too: consecutive rewards differ by it and by the noise of both, with
    # variance 2.64. Seven standard deviations are 0.47, and without the walk it is 2.
    trace = student.run_bandit(
        student.Script([0] * watched), np.zeros(1), watched, generator(), walk_sd=0.8
    )
    assert_true(
        bool(abs(np.diff(trace.rewards).var() - 2.64) < 0.47), "the means take short steps too"
    )


# ---- learning checks ---------------------------------------------------------------------------------------
#
# Share of optimal pulls among the last 100 of 1000, mean over 30 runs, over 60 reference seeds
# (1000 to 1059):
#
#                                     mean     sd      min     max
#     epsilon-greedy, epsilon = 0.1   0.798   0.045   0.697   0.889
#     greedy                          0.344   0.092   0.133   0.533
#     the difference of the two       0.454   0.096   0.197
#     UCB, c = 2                      0.867   0.037   0.781   0.943
#     optimistic, Q = 5, alpha = 0.1  0.863   0.057   0.725   0.999
#
# No threshold below was missed by any of the 60 seeds, so a correct solution misses it for one seed
# with probability below 3/60 = 0.05 (95 % confidence), and for all four declared seeds with
# probability below 0.05^4 = 6.3e-6. The thresholds lie about four standard deviations from the
# means.

SEEDS = (1, 2, 3, 4)


@points(
    4,
    part="greedy",
    learning=True,
    hint="Run epsilon = 0.1 and epsilon = 0 on 10-armed testbeds: exploring finds the best arm "
    "twice as often.",
)
def test_exploring_beats_greed(student):
    """On the 10-armed testbed, epsilon = 0.1 ends up on the best arm mostly, and far more often
    than greed."""
    for seed in SEEDS:
        explorer = optimal_share(student, lambda: student.EpsilonGreedy(10, 0.1), seed)
        greedy = optimal_share(student, lambda: student.EpsilonGreedy(10, 0.0), seed)
        if explorer >= 0.62 and greedy <= explorer - 0.08:
            return
    assert_true(
        False,
        f"explorer >= 0.62, greedy <= explorer - 0.08; last seed: {explorer:.3f}, {greedy:.3f}",
    )


@points(
    3,
    part="ucb",
    learning=True,
    hint="Run UCB with c = 2 on 10-armed testbeds: in the end it pulls the best arm more than "
    "eight times in ten.",
)
def test_ucb_finds_the_best_arm(student):
    """On the 10-armed testbed, UCB with c = 2 ends up on the best arm most of the time."""
    for seed in SEEDS:
        share = optimal_share(student, lambda: student.UCB(10, 2.0), seed)
        if share >= 0.71:
            return
    assert_true(False, f"share >= 0.71; last seed: {share:.3f}")


@points(
    3,
    part="greedy",
    learning=True,
    hint="With first estimates of 5 and alpha = 0.1, every arm disappoints until all of them are "
    "known.",
)
def test_optimism_explores(student):
    """On the 10-armed testbed, a greedy agent that hopes for 5 from every arm ends up on the best
    one."""
    for seed in SEEDS:
        share = optimal_share(
            student, lambda: student.EpsilonGreedy(10, 0.0, 0.1, initial=5.0), seed
        )
        if share >= 0.63:
            return
    assert_true(False, f"share >= 0.63; last seed: {share:.3f}")
