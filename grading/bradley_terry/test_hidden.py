"""Hidden tests of `bradley_terry`: preferences, tables, reward models, ensembles and reward
hacking.

References are written as the definitions are: loops over pairs, subsets and thresholds.
Transformers are tiny, live on the student's side, and get their weights from numbers of this file,
never from a library's initialiser. Scores are compared up to what float32 can tell.
"""

import itertools
import math
import zlib

import numpy as np
import torch

from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_finite,
    assert_frequencies,
    assert_no_grad,
    assert_raises,
    assert_true,
    assert_unchanged,
)
from autograder.judging.plugin import points

AMERICAN_LEAGUE = np.array(
    [  # 1987: Milwaukee, Detroit, Toronto, New York, Boston, Cleveland, Baltimore
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ]
)


def assert_near(actual, expected, what="the result"):
    """Close, as far as float32 inside a right solution can tell."""
    assert_close(actual, expected, rtol=1e-5, atol=1e-5, what=what)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def scores(rng, size, scale=1.5):
    return torch.tensor(rng.normal(scale=scale, size=size))


def pair_loss(gap, smoothing=0.0):
    """Loss of one pair, by definition."""
    return -(1 - smoothing) * math.log(sigmoid(gap)) - smoothing * math.log(sigmoid(-gap))


def scalar(value):
    return torch.tensor(float(value), dtype=torch.float64)


def a_table(rng, n=5, games=8):
    """A table in which every pair has played a different number of games and everybody has beaten
    everybody."""
    wins = rng.integers(1, games, size=(n, n))
    np.fill_diagonal(wins, 0)
    return wins


def slow_likelihood(wins, theta):
    n = len(wins)
    return sum(
        wins[i, j] * math.log(sigmoid(theta[i] - theta[j]))
        for i in range(n)
        for j in range(n)
        if i != j
    )


def slow_gradient(wins, theta):
    """Wins minus expected wins, one pair at a time."""
    n = len(wins)
    gradient = np.zeros(n)
    for i, j in itertools.permutations(range(n), 2):
        gradient[i] += wins[i, j] - (wins[i, j] + wins[j, i]) * sigmoid(theta[i] - theta[j])
    return gradient


def slow_information(wins, theta):
    """Fisher information, one pair at a time."""
    n = len(wins)
    information = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        p = sigmoid(theta[i] - theta[j])
        direction = np.zeros(n)
        direction[i], direction[j] = 1.0, -1.0
        information += (wins[i, j] + wins[j, i]) * p * (1 - p) * np.outer(direction, direction)
    return information


# -- Part 1: probability and loss ------------------------------------------------------------------


@points(
    1,
    part="model",
    catches="probability-of-the-other",
    hint="The probabilities of the two outcomes add up to one, and the higher score wins more "
    "often.",
)
def test_the_two_outcomes_add_up_to_one(student, rng):
    """P(i beats j) and P(j beats i) add up to one, and their log-odds are the difference of the
    scores."""
    r_i, r_j = scores(rng, 6), scores(rng, 6)
    p, q = student.bt_prob(r_i, r_j), student.bt_prob(r_j, r_i)
    assert_near(p + q, torch.ones(6, dtype=torch.float64))
    assert_near(torch.log(p) - torch.log(q), r_i - r_j)


@points(
    1,
    part="model",
    catches="exponentials-overflow",
    hint="exp(1000) is infinite: form the difference before any exponential.",
)
def test_large_scores_do_not_overflow(student):
    """Scores of a thousand, alike or not, give finite probabilities."""
    high = torch.tensor([1000.0, 1000.0, 999.0, -1000.0], dtype=torch.float64)
    low = torch.tensor([1000.0, 998.0, 1000.0, -1000.0], dtype=torch.float64)
    expected = torch.tensor([0.5, sigmoid(2.0), sigmoid(-1.0), 0.5], dtype=torch.float64)
    assert_near(student.bt_prob(high, low), expected)


@points(
    2,
    part="model",
    catches="sums-over-pairs",
    hint="A coin flip costs one bit, whatever the number of pairs.",
)
def test_equal_scores_cost_one_bit(student, rng):
    """Where both answers score alike, the loss is log 2."""
    r = scores(rng, 5)
    assert_near(student.bt_loss(r, r.clone()), scalar(math.log(2)))


@points(
    3,
    part="model",
    catches=("swapped-pair", "sums-over-pairs"),
    hint="Per pair, the gradient is the probability of the other outcome: the chosen score goes "
    "up.",
)
def test_gradient_pushes_the_surprising_pairs_most(student, rng):
    """The gradient is -sigmoid(rejected - chosen) / B on each chosen score, and its opposite on the
    rejected one."""
    chosen, rejected = scores(rng, 6).requires_grad_(), scores(rng, 6).requires_grad_()
    loss = student.bt_loss(chosen, rejected)
    push_chosen, push_rejected = torch.autograd.grad(loss, (chosen, rejected), allow_unused=True)
    gaps = (chosen - rejected).tolist()
    surprise = torch.tensor([sigmoid(-gap) for gap in gaps]).double()
    assert_near(loss.detach(), scalar(np.mean([pair_loss(gap) for gap in gaps])))
    assert_near(push_chosen, -surprise / 6, "the gradient of the chosen scores")
    assert_near(push_rejected, surprise / 6, "the gradient of the rejected scores")


@points(
    3,
    part="model",
    catches="log-of-sigmoid",
    hint="torch.nn.functional.logsigmoid; sigmoid(-1000) is 0, and its logarithm is not what you "
    "want.",
)
def test_extreme_differences_stay_finite(student):
    """Differences of plus and minus one thousand give a finite loss and the right gradient."""
    chosen = torch.tensor([1000.0, -1000.0, 0.5], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([0.0, 0.0, 0.5], dtype=torch.float64)
    loss = student.bt_loss(chosen, rejected)
    assert_near(loss.detach(), scalar((0.0 + 1000.0 + math.log(2)) / 3))
    (push,) = torch.autograd.grad(loss, chosen)
    assert_near(push, torch.tensor([0.0, -1.0, -0.5], dtype=torch.float64) / 3, "the gradient")


@points(
    2,
    part="model",
    catches=("margin-added", "swapped-pair"),
    hint="With a margin m the chosen answer must be ahead by m to be worth a coin flip.",
)
def test_margin_asks_for_a_lead(student, rng):
    """A margin is a lead that is asked for: scores that are apart by the margin cost log 2; a
    margin per pair works too."""
    r, rejected, margins = (
        scores(rng, 4),
        scores(rng, 4),
        torch.tensor([0.5, 1.0, 0.0, 2.5]).double(),
    )
    assert_near(student.bt_loss(r + 0.7, r, margin=0.7), scalar(math.log(2)))
    gaps = (r - rejected - margins).tolist()
    assert_near(
        student.bt_loss(r, rejected, margin=margins),
        scalar(np.mean([pair_loss(gap) for gap in gaps])),
    )


@points(
    3,
    part="model",
    catches=("smoothing-halved", "margin-in-one-term"),
    hint="With smoothing s, two terms: (1 - s) for the label as given, s for the label the other "
    "way round.",
)
def test_smoothing_has_a_finite_optimum(student, rng):
    """With smoothing s the loss is flat where the difference is log((1 - s) / s) above the margin,
    and exact elsewhere."""
    s, m = 0.2, 0.4
    best = math.log((1 - s) / s)
    r = scores(rng, 3)
    ahead = (r + best + m).requires_grad_()
    (push,) = torch.autograd.grad(student.bt_loss(ahead, r, margin=m, label_smoothing=s), ahead)
    assert_near(push, torch.zeros(3, dtype=torch.float64), "the gradient at the optimum")
    other = scores(rng, 3)
    gaps = (r - other - m).tolist()
    expected = scalar(np.mean([pair_loss(gap, s) for gap in gaps]))
    assert_near(student.bt_loss(r, other, margin=m, label_smoothing=s), expected)


@points(
    2,
    part="model",
    catches=("ties-count-as-right", "ties-count-as-wrong"),
    hint="What accuracy does a model deserve that gives everything the same score?",
)
def test_a_tie_is_half_right(student, rng):
    """Accuracy counts a tie as one half; swapping the answers turns it into one minus itself."""
    chosen = torch.tensor([1.0, 2.0, 3.0, 0.5, -1.0]).double() + float(rng.normal())
    rejected = chosen + torch.tensor([-1.0, 0.0, 2.0, 0.0, -0.1]).double()
    assert_close(student.accuracy(chosen, rejected), 0.6)
    assert_close(student.accuracy(rejected, chosen), 0.4)
    assert_close(student.accuracy(chosen, chosen.clone()), 0.5)


@points(
    1,
    part="model",
    catches="broadcasts-silently",
    hint="(B,) against (B, 1) becomes (B, B) without a word: refuse it with a ValueError.",
)
def test_pairs_that_do_not_match_are_refused(student, rng):
    """Scores of different shapes and impossible smoothing are refused instead of being stretched to
    fit."""
    r = scores(rng, 4)
    assert_near(student.bt_loss(r, r.clone()), scalar(math.log(2)))
    with assert_raises(ValueError):
        student.bt_loss(r, r[:1])
    with assert_raises(ValueError):
        student.bt_loss(r, r[:, None])
    with assert_raises(ValueError):
        student.bt_prob(r, r[:1])
    with assert_raises(ValueError):
        student.bt_loss(r, r.clone(), label_smoothing=1.2)


# -- Part 2: fitting a table by MM -----------------------------------------------------------------


@points(
    2,
    part="fitting",
    catches=("losses-for-wins", "log-of-sigmoid"),
    hint="wins[i, j] counts how often the row beat the column. np.logaddexp does not overflow.",
)
def test_likelihood_is_a_sum_over_games(student, rng):
    """The log-likelihood adds log P(winner beats loser) over all games, only differences of
    abilities count, and no difference is too large."""
    wins, theta = a_table(rng), rng.normal(size=5)
    expected = slow_likelihood(wins, theta)
    assert_close(student.log_likelihood(wins, theta), expected, rtol=1e-6)
    assert_close(student.log_likelihood(wins, theta + 7.0), expected, rtol=1e-6)
    wins[0, 1] = 0
    far = np.array([-900.0, 900.0, -900.0, 900.0, 900.0])
    expected = -1800.0 * (wins[0, 3] + wins[0, 4] + wins[2, [1, 3, 4]].sum())
    alike = wins[0, 2] + wins[2, 0] + wins[np.ix_([1, 3, 4], [1, 3, 4])].sum()
    found = student.log_likelihood(wins, far)
    assert_close(found, expected - alike * math.log(2), rtol=1e-6, what="far apart")


@points(
    3,
    part="fitting",
    catches=(
        "connected-by-games",
        "connected-by-one-step",
        "connected-from-the-first",
        "connected-by-a-win-and-a-loss",
    ),
    hint="Follow wins only: i reaches j if i beat j, or beat somebody who reaches j. Everybody "
    "must reach everybody.",
)
def test_connected_means_chains_of_wins(student, rng):
    """A table can be fitted if chains of wins lead from everybody to everybody, and only then."""
    n = 6
    apart = np.kron(np.eye(2, dtype=int), a_table(rng, 3))
    above = apart.copy()
    above[0, 3] = 2
    tables = {"two leagues": apart, "a league above another": above}
    # The ladders begin and end with the first player, wherever a search sets out.
    downwards = np.concatenate([[0], 1 + rng.permutation(n - 1)])
    for name, order in (("down", downwards), ("up", downwards[::-1])):
        ring = np.zeros((n, n), int)
        ring[order, np.roll(order, -1)] = rng.integers(1, 5, size=n)
        ladder = ring.copy()
        # The last win of the ring goes to the other side.
        ladder[order[-1], order[0]] = 0
        ladder[order[0], order[-1]] = 3
        tables |= {f"a ring of wins, {name}": ring, f"a ladder, {name}": ladder}
    # All are answered before one is judged, so that mistakes can be told apart.
    found = {name: student.is_connected(table) for name, table in tables.items()}
    for name, connected in found.items():
        assert_equal(connected, "ring" in name, name)


@points(
    4,
    part="fitting",
    catches=(
        "losses-for-wins",
        "wins-for-games",
        "old-ability-kept",
        "gauge-of-the-first",
        "gauge-of-the-last",
        "gauge-in-abilities",
    ),
    hint="Write the update for one player as in equation (3) of the handout, with the old "
    "abilities throughout.",
)
def test_mm_step_is_wins_over_weighted_games(student, rng):
    """One MM step sets every ability to wins over games weighted by 1 / (p_i + p_j), then the mean
    log-ability to 0."""
    wins, theta = a_table(rng), rng.normal(size=5)
    p = np.exp(theta)
    weight = [
        sum((wins[i, j] + wins[j, i]) / (p[i] + p[j]) for j in range(5) if j != i) for i in range(5)
    ]
    new = np.log(wins.sum(axis=1) / weight)
    assert_near(student.mm_step(wins, theta), new - new.mean())


@points(
    3,
    part="fitting",
    catches=("wins-for-games", "old-ability-kept", "losses-for-wins"),
    hint="A step of MM that lowers the likelihood is no step of MM: check the update against its "
    "derivation.",
)
def test_mm_never_lowers_the_likelihood(student, rng):
    """No MM step lowers the likelihood, from wherever it starts, and away from the maximum each
    raises it."""
    wins = a_table(rng, 6)
    theta = np.log(
        wins.sum(axis=1) / wins.sum(axis=0)
    )  # near the maximum: a wrong step goes down from here
    likelihoods = [slow_likelihood(wins, theta)]
    for _ in range(4):
        theta = student.mm_step(wins, theta)
        assert_equal(np.shape(theta), (6,), "the shape of the step")
        assert_finite(theta)
        likelihoods.append(slow_likelihood(wins, theta))
    assert_true(bool((np.diff(likelihoods) > -1e-7).all()), "the likelihood does not fall")
    assert_true(bool((np.diff(likelihoods[:3]) > 1e-5).all()), "the likelihood rises")


@points(
    4,
    part="fitting",
    catches=(
        "likelihood-stops-it",
        "gauge-of-the-first",
        "gauge-in-abilities",
        "abilities-not-logs",
        "abilities-in-elo",
    ),
    hint="At the maximum everybody's expected number of wins is the actual one. Stop there, not "
    "earlier.",
)
def test_fitted_players_win_as_often_as_expected(student, rng):
    """At the fitted log-abilities, which have mean 0, expected wins equal actual wins up to tol."""
    wins = a_table(rng, 6, games=12)
    theta = student.fit_bt(wins, 1e-5)
    assert_equal(np.shape(theta), (6,), "the shape of the abilities")
    assert_close(float(theta.mean()), 0.0, atol=1e-9, what="the mean")
    assert_close(
        slow_gradient(wins, theta), np.zeros(6), atol=1.1e-5, what="wins minus expected wins"
    )
    assert_true(float(np.abs(theta).max()) > 0.02, "abilities differ")
    assert_rough_and_even_fits(student.fit_bt, rng)


def assert_rough_and_even_fits(fit, rng):
    """A wide tol is kept by those who lose most, too; where all is even, all log-abilities are
    0."""
    # One player loses to all others, which are even: at the start each of them has won 3 to 5
    # games too many, and the weak one five times as many too few.
    table = 4 - 4 * np.eye(6, dtype=int)
    table[1:, 0], table[0, 1:] = rng.integers(8, 13), 2
    rough = fit(table, 6.0)
    assert_true(float(np.abs(slow_gradient(table, rough)).max()) <= 6.01, "tol holds for everybody")
    assert_near(fit(4 - 4 * np.eye(3, dtype=int), 1e-6), np.zeros(3), "players who are even")
    # At the start 2.5 games too many, and that is not more than tol.
    table = np.array([[0, 9], [4, 0]])
    rough = fit(table, 2.5)
    assert_true(float(np.abs(slow_gradient(table, rough)).max()) <= 2.51, "a mismatch of just tol")


@points(
    3,
    part="fitting",
    catches=(
        "losses-for-wins",
        "abilities-not-logs",
        "abilities-in-elo",
        "gauge-of-the-first",
        "gauge-of-the-last",
    ),
    hint="Two players: the odds are wins over losses. Seven teams: compare with the table in the "
    "handout.",
)
def test_american_league_1987(student, rng):
    """Two players' fitted odds are wins over losses; the seven teams of 1987 come out as in the
    handout."""
    a, b = (int(x) for x in rng.integers(2, 30, size=2) + np.array([0, 30]))
    half = math.log(a / b) / 2
    assert_near(student.fit_bt(np.array([[0, a], [b, 0]]), 1e-8), np.array([half, -half]))
    theta = student.fit_bt(AMERICAN_LEAGUE, 1e-8)
    relative = np.array([1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0])
    assert_close(theta, relative - relative.mean(), atol=1e-4)


@points(
    2,
    part="fitting",
    catches=("gauge-of-the-first", "wins-for-games"),
    hint="Names are arbitrary: renumbering players may only renumber results. Ten times the games: "
    "the same abilities.",
)
def test_abilities_follow_their_players(student, rng):
    """Renumbering the players renumbers the fit, and repeating every game leaves it alone."""
    wins, order = a_table(rng), np.array([3, 0, 4, 2, 1])
    theta = student.fit_bt(wins, 1e-8)
    assert_near(student.fit_bt(wins[np.ix_(order, order)], 1e-8), theta[order])
    assert_near(student.fit_bt(3 * wins, 1e-8), theta)
    assert_close(
        slow_gradient(wins, theta - theta.mean()),
        np.zeros(5),
        atol=1e-5,
        what="wins minus expected wins",
    )
    assert_close(float(theta.sum()), 0.0, atol=1e-8, what="the sum")
    assert_true(float(np.abs(theta).max()) > 0.02, "abilities differ")


@points(
    2,
    part="fitting",
    catches="fits-anything",
    hint="Somebody who never lost has no finite ability: ask is_connected first, in both fits.",
)
def test_tables_without_a_maximum_are_refused(student, rng):
    """Unbeaten players, players without a win, two leagues that never meet or of which one always
    wins, and a tol of 0 are refused."""
    wins = a_table(rng, 4)
    assert_near(slow_gradient(wins, student.fit_bt(wins, 1e-8)), np.zeros(4))
    assert_near(
        student.fit_bt(np.array([[0, 30], [10, 0]]), 1e-8), np.array([1, -1]) * math.log(3) / 2
    )
    unbeaten, winless = wins.copy(), wins.copy()
    unbeaten[:, 2] = 0
    winless[1, :] = 0
    leagues = np.kron(np.eye(2, dtype=int), a_table(rng, 3))
    above = leagues.copy()
    above[[2, 1], [3, 5]] = 4
    for table in (leagues, above, unbeaten, winless):
        with assert_raises(ValueError):
            student.fit_bt(table, 1e-6)
        with assert_raises(ValueError):
            student.fit_bt_newton(table, 1e-6)
    with assert_raises(ValueError):
        student.fit_bt(wins, 0.0)


# -- Part 3: gradient, Hessian, Newton, standard errors --------------------------------------------


@points(
    4,
    part="newton",
    catches=(
        "losses-for-wins",
        "derivatives-of-the-loss",
        "curvature-without-games",
        "curvature-of-wins",
    ),
    hint="Compare with (L(theta + h) - L(theta - h)) / 2h for one player, then the same of the "
    "gradient.",
)
def test_derivatives_agree_with_differences(student, rng):
    """Gradient and Hessian agree with finite differences of the log-likelihood."""
    wins, theta, h = a_table(rng), rng.normal(size=5), 1e-5
    gradient, hessian = student.bt_gradient_hessian(wins, theta)
    steps = h * np.eye(5)
    slopes = [
        (slow_likelihood(wins, theta + e) - slow_likelihood(wins, theta - e)) / (2 * h)
        for e in steps
    ]
    curves = [
        (slow_gradient(wins, theta + e) - slow_gradient(wins, theta - e)) / (2 * h) for e in steps
    ]
    assert_close(gradient, np.array(slopes), atol=1e-4, what="the gradient")
    assert_close(hessian, np.array(curves), atol=1e-4, what="the Hessian")


@points(
    2,
    part="newton",
    catches=("curvature-of-wins", "curvature-without-games", "derivatives-of-the-loss"),
    hint="Only differences count, so nothing curves along (1, ..., 1); everywhere else the "
    "likelihood curves down.",
)
def test_likelihood_is_concave_and_flat_along_the_gauge(student, rng):
    """The Hessian is symmetric, its rows add up to 0, its trace is that of the pairs, no eigenvalue
    is positive."""
    wins, theta = a_table(rng), rng.normal(size=5)
    gradient, hessian = student.bt_gradient_hessian(wins, theta)
    assert_equal(np.shape(hessian), (5, 5), "the shape of the Hessian")
    assert_near(hessian, hessian.T.copy(), "the Hessian")
    assert_near(hessian @ np.ones(5), np.zeros(5), "the sum of its rows")
    assert_near(
        float(np.trace(hessian)), -float(np.trace(slow_information(wins, theta))), "its trace"
    )
    assert_true(float(np.linalg.eigvalsh(hessian).max()) < 1e-6, "no positive eigenvalue")
    assert_close(float(np.sum(gradient)), 0.0, atol=1e-6, what="the sum of the gradient")


@points(
    3,
    part="newton",
    catches=("gauge-of-the-first", "gauge-of-the-last", "newton-overshoots", "losses-for-wins"),
    hint="Newton and MM climb the same hill. Where a full step would go down, halve it.",
)
def test_newton_finds_the_same_maximum(student, rng):
    """Newton arrives where expected wins equal actual wins, with mean 0, for lopsided tables
    too."""
    wins = a_table(rng, 6)
    lopsided = np.array(
        [  # full steps from theta = 0 run away
            [0, 1, 0, 1, 0],
            [0, 0, 1, 100, 0],
            [0, 1, 0, 1, 0],
            [0, 0, 10_000, 0, 1],
            [10_000, 0, 1_000, 0, 0],
        ]
    )
    for table in (AMERICAN_LEAGUE, wins, lopsided):
        theta = student.fit_bt_newton(table, 1e-7)
        assert_equal(np.shape(theta), (len(table),), "the shape of the abilities")
        assert_close(float(theta.mean()), 0.0, atol=1e-8, what="the mean")
        assert_true(float(np.abs(theta).max()) > 0.02, "abilities differ")
        assert_close(
            slow_gradient(table, theta),
            np.zeros(len(table)),
            atol=1e-6,
            what="wins minus expected wins",
        )
    assert_rough_and_even_fits(student.fit_bt_newton, rng)


@points(
    4,
    part="newton",
    catches=(
        "errors-from-the-diagonal",
        "errors-against-the-last",
        "variances-not-errors",
        "curvature-without-games",
        "derivatives-of-the-loss",
    ),
    hint="Pseudo-inverse of the information, then the diagonal, then the root.",
)
def test_standard_errors_come_from_the_fisher_information(student, rng):
    """Standard errors are those of the constrained maximum: invert the information where it can be
    inverted."""
    wins, theta = a_table(rng), rng.normal(scale=0.5, size=5)
    # a basis of the differences: the information in it is invertible, and the errors follow from
    # there
    basis = np.linalg.qr(np.column_stack([np.ones(5), np.eye(5)[:, :4]]))[0][:, 1:]
    covariance = basis @ np.linalg.inv(basis.T @ slow_information(wins, theta) @ basis) @ basis.T
    assert_near(student.standard_errors(wins, theta), np.sqrt(np.diag(covariance)))
    assert_near(
        student.standard_errors(np.array([[0, 8], [8, 0]]), np.zeros(2)), np.array([0.25, 0.25])
    )


@points(
    1,
    part="newton",
    catches=("variances-not-errors", "curvature-without-games", "errors-against-the-last"),
    hint="Four times the games halve every standard error.",
)
def test_four_times_the_games_halve_the_errors(student, rng):
    """Four times the games halve every standard error, and nobody's is zero."""
    wins, theta = a_table(rng), rng.normal(scale=0.5, size=5)
    few, many = student.standard_errors(wins, theta), student.standard_errors(4 * wins, theta)
    assert_near(2 * many, few)
    assert_true(bool((few > 0.01).all() and (few < 10).all()), "positive and finite")


@points(
    3,
    part="newton",
    catches=("normal-noise", "gumbel-upside-down", "one-noise-for-all", "noise-from-elsewhere"),
    hint="Standard Gumbel noise, P(noise <= x) = exp(-exp(-x)), drawn anew for every option of "
    "every choice.",
)
def test_the_largest_noisy_utility_wins_like_softmax(student, lab):
    """Choosing the largest utility plus Gumbel noise is choosing with probabilities
    softmax(utilities), and the generator decides how."""
    lab.seed(6)  # noise from elsewhere is the same in every run: the diagnosis knows it again
    for utilities in (np.array([0.0, 2.2]), np.array([1.5, 0.0, 0.9, -0.8])):
        choices = student.gumbel_choices(utilities, 40_000, np.random.default_rng(7))
        assert_equal(np.shape(choices), (40_000,), "the shape of the choices")
        assert_equal(
            np.unique(choices), np.arange(len(utilities)), "the options that are ever chosen"
        )
        chances = np.exp(utilities) / np.exp(utilities).sum()
        assert_frequencies(np.bincount(choices, minlength=len(utilities)), chances)
        again = student.gumbel_choices(utilities, 40_000, np.random.default_rng(7))
        assert_equal(again, choices, "the choices of the same generator")


# -- Part 4: a reward model on a transformer -------------------------------------------------------


def a_mask(*rows):
    """A mask from strings: '1' is a real token."""
    return torch.tensor([[int(mark) for mark in row] for row in rows])


@points(
    2,
    part="reward_model",
    catches=("positions-count-padding", "positions-from-one"),
    hint="The first real token of a row is at position 0, wherever it stands.",
)
def test_positions_count_real_tokens(student, rng):
    """Real tokens are numbered 0, 1, 2, ... in their row, behind any padding."""
    lengths = rng.permutation([1, 3, 4, 6])
    left = a_mask(*("0" * (6 - n) + "1" * n for n in lengths))
    right = left.flip(1)
    for mask in (left, right):
        places = student.positions(mask)
        assert_equal(
            places[mask.bool()],
            torch.cat([torch.arange(n) for n in lengths]),
            "positions of real tokens",
        )
        inside = (places >= 0) & (places < 6)
        assert_equal(inside, torch.ones(4, 6).bool(), "positions within the row")


@points(
    4,
    part="reward_model",
    catches=("pools-the-last-column", "pools-by-count", "pools-the-first-token"),
    hint="Where is the last 1 of each row of the mask? Draw a row padded on the left and one on "
    "the right.",
)
def test_pooling_takes_the_last_real_token(student, rng):
    """Pooling takes the last real token with padding on either side, and what stands under padding
    has no influence."""
    hidden = torch.tensor(rng.normal(size=(4, 6, 3)))
    for mask, last in (
        (a_mask("111100", "100000", "111111", "110000"), [3, 0, 5, 1]),
        (a_mask("001111", "000001", "111111", "000011"), [5, 5, 5, 5]),
    ):
        expected = hidden[torch.arange(4), torch.tensor(last)]
        assert_near(student.pool_last(hidden, mask), expected)
        noise = torch.tensor(rng.normal(size=(4, 6, 3))) * (1 - mask).unsqueeze(2)
        assert_near(student.pool_last(hidden + 100 * noise, mask.bool()), expected)


@points(
    1,
    part="reward_model",
    catches=("pools-the-last-column", "pools-by-count"),
    hint="Moving a row's padding from one side to the other moves its last token along.",
)
def test_pooling_does_not_care_about_the_side(student, rng):
    """A row padded on the left pools what it pools when padded on the right; the gradient goes to
    that token alone."""
    tokens = torch.tensor(rng.normal(size=(3, 2)))
    padding = torch.tensor(rng.normal(size=(2, 2)))
    rows = torch.stack(
        [torch.cat([tokens, padding]), torch.cat([padding, tokens])]
    ).requires_grad_()
    pooled = student.pool_last(rows, a_mask("11100", "00111"))
    assert_near(pooled.detach(), torch.stack([tokens[-1], tokens[-1]]))
    (push,) = torch.autograd.grad(pooled.sum(), rows)
    expected = torch.zeros(2, 5, 2).double()
    expected[0, 2], expected[1, 4] = 1.0, 1.0
    assert_near(push, expected, "the gradient")


@points(
    3,
    part="reward_model",
    catches=("attends-to-padding", "masks-after-softmax", "zero-logits-for-padding"),
    hint="The weights of a row's real tokens add up to 1; those of padding are 0 before and after.",
)
def test_attention_pooling_is_a_mean_over_real_tokens(student, rng):
    """Attention pooling is a softmax-weighted mean over real tokens; equal logits give their plain
    mean."""
    hidden, logits = torch.tensor(rng.normal(size=(3, 5, 4))), torch.tensor(rng.normal(size=(3, 5)))
    mask = a_mask("11100", "00011", "11111")
    expected = torch.zeros(3, 4).double()
    for row in range(3):
        real = mask[row].bool()
        weights = torch.exp(logits[row][real])
        expected[row] = (weights / weights.sum()) @ hidden[row][real]
    wild = torch.where(mask.bool(), logits, 50.0)
    assert_near(student.attention_pool(hidden, wild, mask), expected)
    means = torch.stack([hidden[row][mask[row].bool()].mean(dim=0) for row in range(3)])
    assert_near(student.attention_pool(hidden, torch.ones(3, 5).double(), mask.bool()), means)


@points(
    1,
    part="reward_model",
    catches=("padding-times-zero", "nan-is-cut-out-too-late"),
    hint="0 times nan is nan: what stands under padding must be left out, not weighed with 0.",
)
def test_not_even_nan_under_padding_is_used(student, lab, rng):
    """Hidden states and logits of nan under padding change nothing, and no gradient either."""
    mask = a_mask("11100", "00011")
    nothing = torch.where(mask.bool(), 0.0, torch.nan).double()
    hidden, logits = torch.tensor(rng.normal(size=(2, 5, 4))), torch.tensor(rng.normal(size=(2, 5)))
    expected = torch.stack(
        [logits[row][real].softmax(0) @ hidden[row][real] for row, real in enumerate(mask.bool())]
    )
    assert_near(student.attention_pool(hidden, logits, mask), expected, "the mean beside numbers")
    leaves = [hidden.clone().requires_grad_(), logits.clone().requires_grad_()]
    clean = torch.autograd.grad(student.attention_pool(*leaves, mask).square().sum(), leaves)
    spoilt = [hidden + nothing.unsqueeze(2), logits + nothing]
    leaves = [leaf.requires_grad_() for leaf in spoilt]
    found = student.attention_pool(*leaves, mask)
    assert_near(found.detach(), expected, "the mean")
    push = torch.autograd.grad(found.square().sum(), leaves)
    # Put on record over there: the diagnosis tells mistakes apart by answers, and these are alike.
    lab.make("builtins.int", int(all(bool(one.isfinite().all()) for one in push)))
    for name, one, other in zip(("hidden states", "logits"), push, clean, strict=True):
        assert_near(one, other, f"the gradient of {name}")
    last = student.pool_last(hidden + nothing.unsqueeze(2), mask)
    assert_near(last, torch.stack([hidden[0, 2], hidden[1, 4]]), "the last token")


VOCABULARY = 12


def a_backbone(lab, family="GPT2", dropout=0.0):
    """A tiny transformer on the student's side."""
    if family == "GPT2":
        config = lab.make(
            "transformers.GPT2Config",
            vocab_size=VOCABULARY,
            n_positions=24,
            n_embd=8,
            n_layer=1,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            embd_pdrop=dropout,
            attn_pdrop=0.0,
            resid_pdrop=0.0,
            attn_implementation="eager",
        )
        return lab.make("transformers.GPT2Model", config)
    config = lab.make(
        "transformers.LlamaConfig",
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=24,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
        attn_implementation="eager",
    )
    return lab.make("transformers.LlamaModel", config)


def set_weights(model, scale=0.4):
    """Give every weight a number that depends on its name and nothing else (norms stay near 1)."""
    state = {}
    for name, old in model.state_dict().items():
        draw = np.random.default_rng(zlib.crc32(name.encode())).normal(
            scale=scale, size=tuple(old.shape)
        )
        is_norm = "ln_" in name or "norm" in name
        state[name] = torch.tensor(draw + (1.0 if is_norm and name.endswith("weight") else 0.0))
    model.load_state_dict(state)


def a_model(student, lab, family="GPT2", head="linear", dropout=0.0):
    """A reward model in float64 with weights of ours, in evaluation mode."""
    model = student.RewardModel(a_backbone(lab, family, dropout), head=head)
    model.double()
    # The answers to this test must not hold what a library has drawn: it differs from run to run,
    # which would blind the diagnosis.
    lab.make(
        "torch.nn.utils.vector_to_parameters",
        torch.zeros(3000).double(),
        lab.kept(model).parameters(),
    )
    set_weights(model)
    model.eval()
    return model


def padded(rows, side, width, filler):
    """Lists of tokens as (ids, mask) with padding on one side."""
    ids, mask = [], []
    for row in rows:
        gap = width - len(row)
        ids.append([filler] * gap + row if side == "left" else row + [filler] * gap)
        mask.append([0] * gap + [1] * len(row) if side == "left" else [1] * len(row) + [0] * gap)
    return torch.tensor(ids), torch.tensor(mask)


def scattered(ids, mask):
    """The same with different tokens under padding, so that no two padded places look alike."""
    places = 1 + torch.arange(ids.shape[1]) % (VOCABULARY - 1)
    return torch.where(mask.bool(), ids, places), mask


def token_rows(rng, lengths):
    """Rows of that many random tokens, none of them 0."""
    ends = np.cumsum(lengths)
    tokens = rng.integers(1, VOCABULARY, size=ends[-1]).tolist()
    return [tokens[end - n : end] for n, end in zip(lengths, ends, strict=True)]


def check_padding(student, lab, rng, family, head):
    """Scores in padded batches are the scores of the rows alone; returns the scores."""
    model = a_model(student, lab, family, head)
    rows = token_rows(rng, (3, 6, 1))
    student.positions(
        padded(rows, "left", 7, 5)[1]
    )  # unchecked: tells wrong positions from positions that are not passed on
    with torch.no_grad():
        alone = torch.stack([model(*padded([row], "right", len(row), 0))[0] for row in rows])
        for side, width, filler in (("right", 8, 0), ("left", 7, 5)):
            assert_near(
                model(*scattered(*padded(rows, side, width, filler))),
                alone,
                f"scores with padding on the {side}",
            )
    assert_true(float(alone.std()) > 1e-3, "the scores of different rows differ")
    return model, rows, alone


@points(
    4,
    part="reward_model",
    catches=(
        "no-position-ids",
        "pools-the-last-column",
        "pools-by-count",
        "positions-count-padding",
    ),
    hint="GPT-2 counts positions from the left edge unless told otherwise: padding must not shift "
    "them.",
)
def test_a_row_scores_the_same_alone_and_padded(student, lab, rng):
    """On GPT-2 a linear head gives a row the same score alone and in a batch padded on either
    side."""
    check_padding(student, lab, rng, "GPT2", "linear")


@points(
    3,
    part="reward_model",
    catches=("no-attention-mask", "attends-to-padding", "masks-after-softmax", "no-position-ids"),
    hint="Which tokens may the attention of the backbone read, and which the attention of the "
    "head?",
)
def test_padding_is_never_read(student, lab, rng):
    """With attention pooling, too, nothing that stands under padding changes a score."""
    check_padding(student, lab, rng, "GPT2", "attn")


@points(
    2,
    part="reward_model",
    catches=("no-attention-mask", "pools-the-last-column", "pools-by-count"),
    hint="Another architecture, the same reward model: nothing of it may depend on GPT-2.",
)
def test_llama_is_as_good_a_backbone(student, lab, rng):
    """On a Llama the score of a row does not depend on padding either."""
    check_padding(student, lab, rng, "Llama", "mlp")


@points(
    3,
    part="reward_model",
    catches=("pools-the-first-token", "mlp-without-bend", "takes-any-head"),
    hint="Backbone, pooling, (mlp), score: take the last hidden state by hand and follow it to the "
    "score.",
)
def test_heads_read_the_last_hidden_state(student, lab, rng):
    """All three heads are the documented functions of the last hidden states, without a bias in
    score and query; unknown heads are refused."""
    ids, mask = scattered(*padded(token_rows(rng, (4, 2, 5)), "right", 7, 0))
    for head in ("linear", "mlp", "attn"):
        model = a_model(student, lab, "GPT2", head)
        with torch.no_grad():
            found = model(ids, mask)
            output = lab.kept(model.backbone)(input_ids=ids, attention_mask=mask)
            hidden = lab.value(output.last_hidden_state)
        state = model.state_dict()
        biases = sorted({"score.bias", "query.bias"} & set(state))
        assert_equal(biases, [], "biases that no difference of scores depends on")
        pooled = hidden[torch.arange(3), mask.sum(dim=1) - 1]
        if head == "attn":
            logits = hidden @ state["query.weight"][0]
            weights = [
                row[real].softmax(dim=0) for row, real in zip(logits, mask.bool(), strict=True)
            ]
            pooled = torch.stack(
                [w @ row[: len(w)] for w, row in zip(weights, hidden, strict=True)]
            )
        if head == "mlp":
            pooled = torch.tanh(pooled @ state["mlp.0.weight"].T + state["mlp.0.bias"])
        expected = pooled @ state["score.weight"][0]
        assert_near(
            found - found.mean(), expected - expected.mean(), f"differences of scores, head {head}"
        )
        assert_true(float(expected.std()) > 1e-3, "the scores differ")
    with assert_raises(ValueError):
        student.RewardModel(a_backbone(lab), head="cubic")


@points(
    3,
    part="reward_model",
    catches=("frozen-backbone", "rejected-detached", "constant-loss", "constant-with-a-graph"),
    hint="List the parameters whose gradient is None or zero. Was the backbone run under no_grad?",
)
def test_the_gradient_reaches_the_embeddings(student, lab, rng):
    """The loss sends the right gradient to the score layer and through the whole transformer to the
    embeddings."""
    model = a_model(student, lab)
    ids, mask = padded(token_rows(rng, (3, 4, 2, 4)), "right", 4, 0)
    loss = student.loss_func(model(ids, mask), {"layout": "stacked"})
    loss.backward()
    push = {
        name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()
    }
    h = 1e-6
    for name in ("score.weight", "backbone.wte.weight", "backbone.h.0.attn.c_proj.weight"):
        state = {key: value.clone() for key, value in model.state_dict().items()}
        direction = torch.tensor(rng.normal(size=tuple(state[name].shape)))
        found = []
        for step in (h, -h):
            model.load_state_dict(state | {name: state[name] + step * direction})
            with torch.no_grad():
                chosen, rejected = model(ids, mask).view(2, -1).tolist()
            found.append(np.mean([pair_loss(a - b) for a, b in zip(chosen, rejected, strict=True)]))
        model.load_state_dict(state)
        slope = (found[0] - found[1]) / (2 * h)
        assert_true(abs(slope) > 1e-7, "a direction in which the loss changes")
        assert_true(push[name] is not None, f"{name} has a gradient")
        assert_close(
            float((push[name] * direction).sum()),
            slope,
            rtol=1e-3,
            atol=1e-6,
            what=f"the slope along {name}",
        )


# -- Part 5: repairing the worker ------------------------------------------------------------------


@points(
    3,
    part="training",
    catches=("mask-from-pad-id", "pads-on-the-right-only"),
    hint="A token list may contain the padding's id, at its end even: only its length tells what "
    "is padding.",
)
def test_the_mask_comes_from_the_lengths(student, rng):
    """Batches hold every token of every list, padded on the side that was asked, also when lists
    end with the padding's id."""
    eos = 0
    chosen = [[*row, eos] for row in token_rows(rng, (2, 4, 1))]
    rejected = [[*row, eos] for row in token_rows(rng, (3, 1, 2))]
    for side in ("right", "left"):
        batch = student.collate(chosen, rejected, eos, layout="stacked", side=side)
        ids, mask = padded(chosen + rejected, side, 5, eos)
        assert_equal(batch["input_ids"], ids, "input_ids")
        assert_equal(batch["attention_mask"].long(), mask, "attention_mask")
        assert_equal(batch["layout"], "stacked", "layout")
    batch = student.collate(chosen, rejected, eos)
    ids, mask = padded(
        [row for pair in zip(chosen, rejected, strict=True) for row in pair], "right", 5, eos
    )
    assert_equal(batch["input_ids"], ids, "input_ids, interleaved")
    assert_equal(batch["attention_mask"].long(), mask, "attention_mask, interleaved")
    assert_equal(batch["layout"], "interleaved", "layout, interleaved")
    with assert_raises(ValueError):
        student.collate(chosen, rejected[:2], eos)


@points(
    4,
    part="training",
    catches=(
        "layout-ignored",
        "layouts-mixed-up",
        "swapped-rows",
        "constant-loss",
        "constant-with-a-graph",
        "sums-over-pairs",
    ),
    hint="Write the indices of the chosen rows for B = 2: interleaved 0 and 2, stacked 0 and 1.",
)
def test_each_layout_finds_its_pairs(student, rng):
    """The same pairs in either layout give the same loss, which is that of the pairs."""
    chosen, rejected = scores(rng, 4), scores(rng, 4)
    expected = scalar(
        np.mean([pair_loss(float(a - b)) for a, b in zip(chosen, rejected, strict=True)])
    )
    assert_near(
        student.bt_loss(chosen, rejected), expected, "bt_loss of the pairs"
    )  # tells a wrong loss from wrong rows
    rows = {
        "interleaved": torch.stack([chosen, rejected], dim=1).reshape(-1),
        "stacked": torch.cat([chosen, rejected]),
    }
    # Both are answered before one is judged: that tells layouts mixed up from one that is ignored.
    losses = {name: student.loss_func(row, {"layout": name}) for name, row in rows.items()}
    for name, loss in losses.items():
        assert_near(loss, expected, f"the {name} loss")


@points(
    3,
    part="training",
    catches=(
        "constant-loss",
        "constant-with-a-graph",
        "rejected-detached",
        "swapped-rows",
        "swapped-pair",
    ),
    hint="The placeholder's gradient is missing or zero. Chosen rows are pushed up and rejected "
    "rows down, equally.",
)
def test_the_repaired_loss_moves_every_row(student, rng):
    """The loss requires a gradient, which pushes every chosen row up and every rejected row down by
    the same amount."""
    output = scores(rng, 6).requires_grad_()
    loss = student.loss_func(output, {"layout": "interleaved"})
    assert_true(loss.requires_grad, "the loss requires a gradient")
    (push,) = torch.autograd.grad(loss, output, allow_unused=True)
    rows = output.detach().tolist()
    surprise = [sigmoid(rows[i + 1] - rows[i]) / 3 for i in (0, 2, 4)]
    expected = torch.tensor([sign * s for s in surprise for sign in (-1, 1)]).double()
    assert_near(push, expected, "the gradient")


@points(
    1,
    part="training",
    catches="odd-rows-dropped",
    hint="Five rows are not two and a half pairs: a ValueError with a sentence.",
)
def test_rows_without_a_partner_are_refused(student, rng):
    """An odd number of rows, no rows, a column of scores and an unknown layout are refused."""
    output = scores(rng, 4)
    gaps = (output[:2] - output[2:]).tolist()
    assert_near(
        student.loss_func(output, {"layout": "stacked"}),
        scalar(np.mean([pair_loss(gap) for gap in gaps])),
    )
    with assert_raises(ValueError):
        student.loss_func(output[:3], {"layout": "stacked"})
    with assert_raises(ValueError):
        student.loss_func(output[:0], {"layout": "stacked"})
    with assert_raises(ValueError):
        student.loss_func(output[:, None], {"layout": "stacked"})
    with assert_raises(ValueError):
        student.loss_func(output, {"layout": "zigzag"})


def an_optimizer(lab, model, rate):
    """Plain gradient descent on the student's side."""
    return lab.make("torch.optim.SGD", lab.kept(model).parameters(), lr=rate)


@points(
    5,
    part="training",
    catches=(
        "gradients-pile-up",
        "never-clips",
        "never-steps",
        "constant-loss",
        "constant-with-a-graph",
        "frozen-backbone",
    ),
    hint="Forget old gradients, backward, clip the norm over all parameters to 1, step.",
)
def test_an_update_is_one_clipped_step(student, lab, rng):
    """Each update moves the parameters once, against the gradient of its own batch, clipped to norm
    1."""
    model, rate = a_model(student, lab), 0.05
    state = model.state_dict()
    worker = student.RewardWorker(model, an_optimizer(lab, model, rate))
    parameters = dict(model.named_parameters())
    for clipped in (True, False):
        for scale in np.tile(
            1.6 ** np.arange(6), 10
        ):  # wrong pairs become steep with the scale, right ones flat
            rows = token_rows(rng, (3, 4, 2, 4))
            model.load_state_dict(state | {"score.weight": float(scale) * state["score.weight"]})
            ids, mask = padded(rows, "right", 4, 0)
            with torch.no_grad():
                order = torch.argsort(model(ids, mask), descending=not clipped)
            ids, mask = ids[order], mask[order]
            model.zero_grad()
            output = model(ids, mask)
            loss = -torch.nn.functional.logsigmoid(output[:2] - output[2:]).mean()
            loss.backward()
            push = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
            norm = math.sqrt(sum(float((g**2).sum()) for g in push.values()))
            if (norm > 1.5) if clipped else (0.05 < norm < 0.8):
                break
        assert_true(
            {"score.weight", "backbone.wte.weight"} <= set(push),
            "score and embeddings have a gradient",
        )
        assert_true(
            norm > 1.5 if clipped else 0.05 < norm < 0.8,
            "a gradient that is clipped, or one that is not",
        )
        before = {name: p.detach().clone() for name, p in parameters.items()}
        if clipped:
            # the other time the gradient stays, as if left behind by an earlier batch
            model.zero_grad()
        found = worker.update_({"input_ids": ids, "attention_mask": mask, "layout": "stacked"})
        assert_near(found, float(loss.detach()), "the loss before the step")
        after = model.state_dict()
        for name in ("score.weight", "backbone.wte.weight", "backbone.h.0.mlp.c_fc.weight"):
            expected = before[name] - rate * push[name] * min(1.0, 1.0 / norm)
            assert_close(after[name], expected, rtol=1e-6, atol=1e-8, what=name)


@points(
    2,
    part="training",
    catches=("trains-in-eval-mode", "never-steps"),
    hint="model.train() before the forward pass of an update, whatever mode it was in.",
)
def test_an_update_trains_with_dropout(student, lab, rng):
    """An update puts the model into training mode, so that its loss feels dropout, on both answers
    alike."""
    model = a_model(student, lab, dropout=0.5)
    ids, mask = padded(token_rows(rng, (4, 3)), "right", 4, 0)
    batch = {"input_ids": ids, "attention_mask": mask, "layout": "stacked"}
    with torch.no_grad():
        quiet = model(ids, mask)
    worker = student.RewardWorker(model, an_optimizer(lab, model, 1e-6))
    losses = []
    for seed in range(6):
        lab.seed(seed)
        model.eval()
        losses.append(worker.update_(batch))
    assert_finite(np.array(losses, dtype=float))
    assert_equal(model.training, True, "training mode after an update")
    assert_true(float(np.std(losses)) > 1e-4, "the losses differ from draw to draw of the dropout")
    assert_true(min(losses) > 0.0, "losses of pairs are positive")
    moved = [
        float((p - q).abs().max())
        for p, q in zip(
            model.state_dict().values(), [*batch_state(student, lab).values()], strict=True
        )
    ]
    assert_true(0.0 < max(moved) < 1e-4, "the steps are small, and are made")
    assert_true(bool(torch.isfinite(quiet).all()), "scores are finite")


def batch_state(student, lab):
    """The weights that every model of this file begins with."""
    return a_model(student, lab, dropout=0.5).state_dict()


def preference(rng, n):
    """Pairs that a child could tell apart: chosen lists are made of high tokens, rejected ones of
    low tokens."""
    chosen = [rng.integers(7, 12, size=rng.integers(2, 5)).tolist() for _ in range(n)]
    rejected = [rng.integers(1, 6, size=rng.integers(2, 5)).tolist() for _ in range(n)]
    return chosen, rejected


@points(
    4,
    part="training",
    catches=(
        "constant-with-a-graph",
        "swapped-rows",
        "swapped-pair",
        "never-steps",
        "left-in-training-mode",
    ),
    hint="Start from equal scores: the first loss is log 2, and on pairs this easy it must fall "
    "towards 0.",
)
def test_training_separates_what_can_be_separated(student, lab, rng):
    """On separable pairs the loss falls from log 2 towards 0, chosen answers end up ahead, and the
    model in evaluation mode."""
    model = a_model(student, lab)
    state = model.state_dict()
    model.load_state_dict(state | {"score.weight": torch.zeros_like(state["score.weight"])})
    chosen, rejected = preference(rng, 12)
    generator = torch.Generator().manual_seed(3)
    # On 151 draws the reference's last loss was at most 3e-4 after 40 steps (0.03 after 24).
    losses = student.train_reward_model(model, chosen, rejected, 0, 40, 6, 0.05, generator)
    assert_equal(len(losses), 40, "the number of losses")
    assert_near(float(losses[0]), math.log(2), "the first loss, with equal scores")
    assert_true(float(losses[-1]) < 0.3, "the last loss")
    assert_equal(model.training, False, "training mode after training")
    with torch.no_grad():
        ahead = model(*padded(chosen, "right", 5, 0)) - model(*padded(rejected, "right", 5, 0))
    assert_true(float((ahead > 0).double().mean()) > 0.9, "chosen answers score higher")


@points(
    4,
    part="training",
    catches=("same-batch-again", "pairs-torn-apart"),
    hint="A pass visits every pair once; chosen and rejected of a pair stay together.",
)
def test_a_pass_visits_every_pair_once(student, lab, rng):
    """With a learning rate next to nothing, the losses of one pass add up to that of all pairs; the
    generator alone decides."""
    model = a_model(student, lab)
    state = model.state_dict()
    chosen, rejected = token_rows(rng, [3] * 6), token_rows(rng, [4] * 6)
    with torch.no_grad():
        gaps = model(*padded(chosen, "right", 3, 0)) - model(*padded(rejected, "right", 4, 0))
    expected = sum(pair_loss(gap) for gap in gaps.tolist()) / 2
    runs = []
    for _ in range(2):
        model.load_state_dict(state)
        lab.seed(7)
        world = lab.global_rng_state()
        generator = torch.Generator().manual_seed(11)
        losses = student.train_reward_model(model, chosen, rejected, 0, 3, 2, 1e-9, generator)
        assert_equal(lab.global_rng_state(), world, "the global generators")
        assert_equal(len(losses), 3, "the number of losses")
        runs.append([float(loss) for loss in losses])
        assert_close(sum(runs[-1]), expected, rtol=1e-5, what="the sum of the losses of a pass")
    assert_close(runs[1], runs[0], rtol=1e-6, what="the same losses with the same generator")
    assert_true(float(np.std(gaps.numpy())) > 1e-3, "the pairs differ")


@points(
    4,
    part="training",
    catches=("last-batch-left-out", "same-order-in-each-pass", "decays-the-weights"),
    hint="Write down the pairs of each batch over two passes: all of them once in each pass, the "
    "last batch smaller, then a new order. The optimiser is Adam as it comes.",
)
def test_training_is_pass_after_pass_of_adam(student, lab, rng):
    """Each pass visits all pairs in a new order, its last batch may be smaller, and each batch is
    one step of Adam."""
    model = a_model(student, lab)
    state = model.state_dict()
    # All rows are equally long, and the second token is the number of the pair.
    pairs = list(zip(token_rows(rng, [4] * 9), token_rows(rng, [4] * 9), strict=True))
    chosen, rejected = (
        [[row[0], n, *row[2:]] for n, row in enumerate(rows)] for rows in zip(*pairs, strict=True)
    )
    seen = []
    watched = lab.kept(model).backbone.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((args or (kwargs["input_ids"],))[0][:, 1].tolist()),
        with_kwargs=True,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(5)
    losses = student.train_reward_model(model, chosen, rejected, 0, 7, 4, 0.03, generator)
    watched.remove()
    batches = [sorted(set(numbers)) for numbers in seen]
    assert_equal([len(one) for one in batches], [4, 4, 1, 4, 4, 1, 4], what="pairs of each batch")
    for first in (0, 3):
        assert_equal(
            sorted(itertools.chain(*batches[first : first + 3])), list(range(9)), what="a pass"
        )
    assert_true(batches[0] != batches[3] or batches[2] != batches[5], "each pass has its own order")
    model.load_state_dict(state)
    adam = torch.optim.Adam(list(model.parameters()), lr=0.03)
    for numbers, found in zip(batches, losses, strict=True):
        adam.zero_grad()
        ahead = model(*padded([chosen[n] for n in numbers], "right", 4, 0)) - model(
            *padded([rejected[n] for n in numbers], "right", 4, 0)
        )
        loss = -torch.nn.functional.logsigmoid(ahead).mean()
        assert_close(float(found), float(loss.detach()), rtol=1e-4, atol=1e-6, what="a loss")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), 1.0)
        adam.step()


# -- Part 6: more than two answers -----------------------------------------------------------------


@points(
    4,
    part="kwise",
    catches=(
        "worst-first",
        "neighbours-only",
        "both-directions",
        "all-pairs-alike",
        "prompts-add-pairs",
    ),
    hint="Average the C(K, 2) pairs of each prompt first, and then the prompts.",
)
def test_every_prompt_weighs_the_same(student, rng):
    """K-wise loss is the mean over prompts of the mean over that prompt's pairs, however many
    answers it has."""
    rankings = [scores(rng, k) for k in (2, 5, 3)]
    means = []
    for row in rankings:
        pairs = itertools.combinations(row.tolist(), 2)
        means.append(np.mean([pair_loss(better - worse) for better, worse in pairs]))
    assert_near(student.kwise_loss(rankings), scalar(np.mean(means)))
    steep = torch.tensor([0.0, 1000.0], dtype=torch.float64)
    assert_near(student.kwise_loss([steep]), scalar(1000.0))


@points(
    2,
    part="kwise",
    catches=("all-pairs-alike", "prompts-add-pairs"),
    hint="A prompt whose answers all score alike costs log 2, with two answers or with nine.",
)
def test_many_answers_do_not_outvote_few(student, rng):
    """Undecided prompts cost log 2 whatever K is, and duplicating every prompt changes nothing; one
    answer is refused."""
    flat = [torch.full((k,), float(rng.normal())).double() for k in (2, 4, 9)]
    assert_near(student.kwise_loss(flat), scalar(math.log(2)))
    rankings = [
        scores(rng, k).sort(descending=k == 2).values for k in (2, 6)
    ]  # one easy, one the wrong way round
    expected = (student.kwise_loss(rankings[:1]) + student.kwise_loss(rankings[1:])) / 2
    assert_near(student.kwise_loss(rankings), expected)
    with assert_raises(ValueError):
        student.kwise_loss([rankings[0], rankings[1][:1]])


@points(
    1,
    part="kwise",
    catches=("worst-first", "neighbours-only", "all-pairs-alike", "prompts-add-pairs"),
    hint="With K = 2 a ranking is a pair, and the loss is bt_loss; the best answer is pushed up, "
    "the worst down.",
)
def test_two_answers_are_a_pair(student, rng):
    """The best answer of a ranking is pushed up, the worst down, and pushes within a prompt
    cancel."""
    row, other = scores(rng, 4).requires_grad_(), scores(rng, 2)
    loss = student.kwise_loss([row, other])
    (push,) = torch.autograd.grad(loss, row)
    expected = torch.zeros(4).double()
    for i, j in itertools.combinations(range(4), 2):
        surprise = sigmoid(float((row[j] - row[i]).detach())) / 6 / 2
        expected[i] -= surprise
        expected[j] += surprise
    assert_near(push, expected, "the gradient")


# -- Part 7: how much to believe a score -----------------------------------------------------------


@points(
    2,
    part="uncertainty",
    catches=("permutation-for-bootstrap", "one-bootstrap-for-all"),
    hint="Draw with replacement, and for each member anew: about 37% of the pairs are missing in "
    "each.",
)
def test_members_learn_from_different_samples(student):
    """Members' samples differ, repeat some pairs and miss others; draws are uniform and
    reproducible."""
    picks = student.bootstrap_indices(50, 40, np.random.default_rng(7))
    assert_equal(np.shape(picks), (40, 50), "the shape of the indices")
    assert_equal(
        picks, student.bootstrap_indices(50, 40, np.random.default_rng(7)), "the same draws again"
    )
    assert_frequencies(
        np.bincount(np.asarray(picks).reshape(-1), minlength=50), np.full(50, 1 / 50)
    )
    distinct = [len(set(row.tolist())) for row in picks]
    assert_true(
        26 <= float(np.mean(distinct)) <= 37, "about 1 - 1/e of the pairs appear in a sample"
    )
    assert_true(len({tuple(row.tolist()) for row in picks}) == 40, "members differ")


def judges(*tables):
    """Members that look the first token up in a table of their own; lent to the student."""
    return [
        lambda input_ids, attention_mask, table=table: torch.tensor(table).double()[input_ids[:, 0]]
        for table in tables
    ]


def a_batch(*tokens, layout=None):
    ids = torch.tensor(tokens).reshape(-1, 1)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return batch if layout is None else batch | {"layout": layout}


@points(
    3,
    part="uncertainty",
    catches=("sample-deviation", "deviation-over-rows"),
    hint="torch.std divides by n - 1 unless told otherwise, and by default looks at all "
    "dimensions.",
)
def test_ensemble_statistics_are_over_members(student, rng):
    """Mean and population deviation are taken over members; identical members, and one alone, have
    deviation 0."""
    tables = rng.normal(size=(3, 5))
    ensemble = student.RewardEnsemble(judges(*tables.tolist()))
    batch = a_batch(4, 0, 2, 1)
    said = tables[:, [4, 0, 2, 1]]
    assert_near(ensemble.scores(batch), torch.tensor(said), "the scores")
    assert_near(ensemble.mean(batch), torch.tensor(said.mean(axis=0)), "the mean")
    assert_near(ensemble.std(batch), torch.tensor(said.std(axis=0)), "the deviation")
    one = student.RewardEnsemble(judges(tables[0].tolist()))
    same = student.RewardEnsemble(judges(*[tables[0].tolist()] * 3))
    for alike in (one, same):
        assert_near(
            alike.std(batch), torch.zeros(4).double(), "the deviation of members that agree"
        )
        assert_near(alike.lcb(batch, 2.0), torch.tensor(said[0]), "their lower bound")
    with assert_raises(ValueError):
        student.RewardEnsemble([])


@points(
    3,
    part="uncertainty",
    catches=("upper-bound", "error-of-the-mean", "sample-deviation"),
    hint="The lower bound lies below the mean by k deviations of the members, not of their mean.",
)
def test_lower_bound_gives_up_what_is_doubtful(student, rng):
    """The bound is the mean for k = 0, never above it, and falls by exactly k deviations."""
    tables = rng.normal(size=(4, 5))
    ensemble = student.RewardEnsemble(judges(*tables.tolist()))
    batch = a_batch(3, 1, 0)
    said = tables[:, [3, 1, 0]]
    assert_near(ensemble.lcb(batch, 0.0), torch.tensor(said.mean(axis=0)), "k = 0")
    assert_near(
        ensemble.lcb(batch, 1.5),
        torch.tensor(said.mean(axis=0) - 1.5 * said.std(axis=0)),
        "k = 1.5",
    )
    with assert_raises(ValueError):
        ensemble.lcb(batch, -1.0)


@points(
    3,
    part="uncertainty",
    catches=("offsets-count-as-doubt", "one-offset-for-all"),
    hint="A constant added to one member's scores changes none of its preferences: should it "
    "change what is doubted?",
)
def test_the_zero_of_a_member_is_arbitrary(student, rng):
    """With a reference batch, members have mean 0 there, and adding a constant to a member changes
    nothing."""
    tables = rng.normal(size=(3, 5))
    moved = tables + np.array([[0.0], [6.0], [-11.0]])
    reference, batch = a_batch(0, 1, 2, 3), a_batch(4, 2)
    expected = tables[:, [4, 2]] - tables[:, :4].mean(axis=1, keepdims=True)
    for version in (tables, moved):
        ensemble = student.RewardEnsemble(judges(*version.tolist()), reference)
        assert_near(ensemble.scores(batch), torch.tensor(expected), "the scores")
        assert_near(ensemble.std(batch), torch.tensor(expected.std(axis=0)), "the deviation")


@points(
    2,
    part="uncertainty",
    catches="share-for-disagreement",
    hint="Two members drawn at random: how often do they vote for different answers of the pair?",
)
def test_disagreement_counts_split_votes(student, rng):
    """Disagreement is 0 where all agree, 1/2 where votes are even, and blind to the scale of a
    member."""
    tables = np.array(
        [[1.0, 2.0, 3.0, 0.0], [1.0, 3.0, 2.0, 0.0], [5.0, 1.0, 9.0, 9.0], [0.0, 4.0, 7.0, -1.0]]
    )
    tables = tables * rng.uniform(0.5, 2.0, size=(4, 1)) + rng.normal(size=(4, 1))
    ensemble = student.RewardEnsemble(judges(*tables.tolist()))
    # pairs (2, 0): all for the first; (1, 0): 3 of 4; (2, 3): 3 and a tie
    expected = torch.tensor([0.0, 2 * 0.75 * 0.25, 2 * 0.875 * 0.125]).double()
    assert_near(ensemble.disagreement(a_batch(2, 0, 1, 0, 2, 3, layout="interleaved")), expected)
    assert_near(ensemble.disagreement(a_batch(2, 1, 2, 0, 0, 3, layout="stacked")), expected)


@points(
    2,
    part="uncertainty",
    catches=("scores-with-dropout", "reference-with-dropout", "learns-in-the-end"),
    hint="Scoring is no training: evaluation mode, no gradient, and the mode put back in the end.",
)
def test_an_ensemble_scores_without_dropout(student, lab, rng):
    """A member left in training mode scores as in evaluation mode, without a gradient, also the
    reference batch, and gets back the mode that it was in."""
    model = a_model(student, lab, dropout=0.5)
    ids, mask = padded(token_rows(rng, (4, 2, 3)), "right", 4, 0)
    with torch.no_grad():
        quiet = model(ids, mask)
    model.train()
    ensemble = student.RewardEnsemble([model])
    lab.seed(
        5
    )  # if there is dropout after all, the same in every run: the diagnosis knows it again
    batch = {"input_ids": ids, "attention_mask": mask}
    found = ensemble.scores(batch)
    assert_no_grad(found, "the scores")
    assert_near(found, quiet.unsqueeze(0), "the scores")
    assert_equal(model.training, True, "training mode afterwards")
    found = student.RewardEnsemble([model], batch).scores(batch)
    assert_no_grad(found, "the scores beside a reference")
    assert_near(found, (quiet - quiet.mean()).unsqueeze(0), "the scores beside a reference")
    model.eval()
    ensemble.scores(batch)
    assert_equal(model.training, False, "training mode afterwards, of a member that had left it")
    assert_true(float(quiet.std()) > 1e-3, "the scores differ")


@points(
    4,
    part="uncertainty",
    catches=(
        "ties-split",
        "ks-of-one-side",
        "p-value-of-all",
        "p-value-of-scipy",
        "p-value-of-scipy-asymptotic",
        "p-value-with-a-correction",
    ),
    hint="At every x: the share of each sample that is <= x. Equal values step up together.",
)
def test_ks_is_the_largest_gap_of_shares(student, rng):
    """KS is the largest gap between the shares of the two samples below any threshold, ties and
    direction notwithstanding."""
    ref, new = np.round(rng.normal(size=40), 1), np.round(rng.normal(0.4, 1.3, size=25), 1)
    for one, other in (
        (ref, new),
        (new, ref),
        (ref, ref[:30] + 2.0),
        (ref + 2.0, new),
        (ref, ref.copy()),
    ):
        places = np.concatenate([one, other])
        ks = max(abs(float((one <= x).mean() - (other <= x).mean())) for x in places)
        found = student.shift_detector(one, other)
        assert_close(found.ks, ks, atol=1e-9, what="ks")
        t = ks * math.sqrt(len(one) * len(other) / (len(one) + len(other)))
        p = (
            2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * t * t) for k in range(1, 101))
            if t >= 0.1
            else 1.0
        )
        assert_close(found.p_value, min(1.0, max(0.0, p)), rtol=1e-5, atol=1e-9, what="p_value")


def slow_psi(ref, new, edges):
    """Both directions of the divergence, bin by bin; values on an edge lie above it."""
    total, bins = 0.0, len(edges) + 1
    for low, high in itertools.pairwise([-math.inf, *edges, math.inf]):
        p, q = (
            (sum(low <= x < high for x in sample) + 0.5) / (len(sample) + bins / 2)
            for sample in (ref, new)
        )
        total += (q - p) * math.log(q / p)
    return total


@points(
    4,
    part="uncertainty",
    catches=(
        "bins-of-the-new",
        "bins-of-equal-width",
        "outliers-fall-out",
        "psi-of-one-side",
        "edge-belongs-below",
        "equal-quantiles-are-merged",
    ),
    hint="Bins by the quantiles of the reference, open at both ends, an edge with the bin above it; "
    "both directions of the divergence.",
)
def test_psi_counts_in_the_bins_of_the_reference(student, rng):
    """PSI compares the shares in the reference's quantile bins, outliers included, and is 0 for the
    same sample."""
    ref, new = rng.normal(size=58), 1.5 * rng.standard_t(2, size=37) + 1.0
    new[:4] = (30.0, -20.0, 11.0, 40.0)
    expected = slow_psi(ref, new, [float(np.quantile(ref, k / 10)) for k in range(1, 10)])
    assert_close(student.shift_detector(ref, new).psi, expected, rtol=1e-6, what="psi")
    # With 61 values and four bins the edges are values of the reference themselves.
    ref = rng.permutation(np.arange(61) + rng.uniform(0, 0.5, size=61))
    new = np.concatenate(
        [rng.uniform(0, 60, size=20), np.repeat(np.sort(ref)[[15, 30, 45]], [11, 6, 1])]
    )
    found, edges = student.shift_detector(ref, new, 4).psi, np.sort(ref)[[15, 30, 45]]
    expected = slow_psi(ref, new, edges)
    assert_close(found, expected, rtol=1e-6, what="psi with values on the edges")
    # One value so often that two or three of the quantiles are equal: a bin between them is empty.
    ref[:40] = ref[0]
    new = np.concatenate([new, np.full(5, ref[0])])
    found, edges = student.shift_detector(ref, new, 4).psi, np.sort(ref)[[15, 30, 45]]
    assert_close(found, slow_psi(ref, new, edges), rtol=1e-6, what="psi with equal quantiles")
    assert_close(
        student.shift_detector(ref, ref.copy()).psi, 0.0, atol=1e-9, what="psi of the same sample"
    )
    with assert_raises(ValueError):
        student.shift_detector(ref, new[:0])


# -- Part 8: reward hacking ------------------------------------------------------------------------


@points(
    5,
    part="hacking",
    catches=("picks-by-value", "picks-the-worst", "draws-with-replacement", "ranks-shifted"),
    hint="With N = 4 and n = 2 list the six sets by hand, and who is picked in each.",
)
def test_best_of_n_is_a_mean_over_all_sets(student, rng):
    """Best-of-n is the mean, over all sets of n answers, of the value of the answer with the
    highest score."""
    selector, value = rng.permutation(8) + rng.uniform(0, 0.5, size=8), rng.normal(size=8)
    copies = selector.copy(), value.copy()
    for n in (1, 2, 3, 7, 8):
        sets = list(itertools.combinations(range(8), n))
        picks = [copies[1][max(chosen, key=lambda i: copies[0][i])] for chosen in sets]
        assert_near(student.best_of_n(selector, value, n), float(np.mean(picks)), f"best of {n}")
    assert_unchanged(copies[0], selector, "selector")
    assert_unchanged(copies[1], value, "value")


@points(
    2,
    part="hacking",
    catches=("picks-the-worst", "draws-with-replacement", "ranks-shifted"),
    hint="The best of all N is the best; the best of thousands must not overflow a binomial "
    "coefficient.",
)
def test_best_of_all_is_the_best(student, rng):
    """Chosen by itself the best of n grows with n up to the maximum, with thousands of answers too;
    n beyond N is refused."""
    proxy = rng.normal(size=3000)
    found = [student.best_of_n(proxy, proxy, n) for n in (1, 10, 1000, 3000)]
    assert_near(found[0], float(proxy.mean()), "best of 1")
    assert_near(found[3], float(proxy.max()), "best of all")
    assert_finite(np.array(found, dtype=float))
    assert_true(bool((np.diff(found) > 0).all()), "growing with n")
    with assert_raises(ValueError):
        student.best_of_n(proxy, proxy, 3001)
    with assert_raises(ValueError):
        student.best_of_n(proxy, proxy[:-1], 2)


@points(
    2,
    part="hacking",
    catches="kl-is-log-n",
    hint="Best of 1 is the policy itself: no distance. Best of n has density n F^(n-1): integrate "
    "its logarithm.",
)
def test_kl_of_best_of_n(student):
    """The price of best-of-n is the integral of n u^(n-1) log(n u^(n-1)) over ranks u from 0 to 1:
    nothing for n = 1."""
    for n in (1, 2, 5, 64):
        nodes, weights = np.polynomial.legendre.leggauss(80)
        u = (nodes + 1) / 2
        density = n * u ** (n - 1)
        expected = float((weights / 2 * density * np.log(density)).sum())
        assert_close(student.best_of_n_kl(n), expected, atol=1e-4)
    with assert_raises(ValueError):
        student.best_of_n_kl(0)


# -- learning checks -------------------------------------------------------------------------------
#
# Over 36 reference seeds (1000 to 1035) of `learned`, 2.5 s of processor time each:
#
#                               mean      sd       min      max
#     correlation               0.9722    0.0067   0.9539   0.9822
#     NLL - entropy, in nats    0.0133    0.0032   0.0082   0.0221
#
# Over 40 seeds (1000 to 1039) of the fit of 5000 games: correlation 0.9943, sd 0.0026, min 0.9872;
# share within two standard errors 0.96, min 0.75; largest standard error 0.077, max 0.083.
#
# No threshold below was missed by any of these seeds, so a correct solution misses one for one seed
# with probability below 3/36 = 0.083 (95 % confidence), and for all four declared seeds with
# probability below 0.083^4 = 4.8e-5. All weights are drawn in this file: how a library initialises
# a model from a seed has no influence.

LEARNING_SEEDS = (1, 2, 3, 4)
UTILITY = np.array(
    [0.0, -1.4, 0.9, -0.5, 1.6, 0.2, -1.0, 0.6, -1.8, 1.2, -0.2, 1.9]
)  # of a token, in nats


def utility(rows):
    """Of each row: twice the mean utility of its tokens."""
    lengths = np.array([len(row) for row in rows])
    of_tokens = UTILITY[list(itertools.chain.from_iterable(rows))]
    return 2.0 * np.add.reduceat(of_tokens, np.cumsum(lengths) - lengths) / lengths


def labelled_pairs(rng, n):
    """Pairs of 2 to 6 random tokens; the label is drawn with the probability that Bradley and Terry
    give it."""
    one, other = (token_rows(rng, rng.integers(2, 7, size=n)) for _ in range(2))
    p = 1 / (1 + np.exp(utility(other) - utility(one)))
    first = rng.random(n) < p
    chosen = [a if f else b for a, b, f in zip(one, other, first, strict=True)]
    rejected = [b if f else a for a, b, f in zip(one, other, first, strict=True)]
    return chosen, rejected


def random_weights(model, rng):
    """Fresh weights from the test's numbers, whatever the library would have drawn."""
    state = {}
    for name, old in model.state_dict().items():
        is_norm = "ln_" in name or "norm" in name
        draw = (
            np.ones(tuple(old.shape)) if is_norm else rng.normal(scale=0.15, size=tuple(old.shape))
        )
        state[name] = torch.tensor(draw * (not name.endswith("bias")), dtype=torch.float32)
    model.load_state_dict(state)


def learned(student, lab, seed):
    """Train on 5000 pairs; the correlation with the true utility and the excess of the NLL over the
    entropy, on new rows."""
    rng = np.random.default_rng(seed)
    chosen, rejected = labelled_pairs(rng, 5000)
    config = lab.make(
        "transformers.GPT2Config",
        vocab_size=VOCABULARY,
        n_positions=8,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        attn_implementation="eager",
    )
    model = student.RewardModel(lab.make("transformers.GPT2Model", config), head="attn")
    random_weights(model, rng)
    student.train_reward_model(
        model, chosen, rejected, 0, 200, 128, 2e-3, torch.Generator().manual_seed(seed)
    )
    rows, others = (token_rows(rng, rng.integers(2, 7, size=1000)) for _ in range(2))
    with torch.no_grad():
        said, said_other = (
            model(*padded(r, "right", 6, 0)).double().numpy() for r in (rows, others)
        )
    gap, true_gap = said - said_other, utility(rows) - utility(others)
    p = 1 / (1 + np.exp(-true_gap))
    nll = (p * np.logaddexp(0, -gap) + (1 - p) * np.logaddexp(0, gap)).mean()
    entropy = (p * np.logaddexp(0, -true_gap) + (1 - p) * np.logaddexp(0, true_gap)).mean()
    return float(np.corrcoef(said, utility(rows))[0, 1]), float(nll - entropy)


@points(
    12,
    part="training",
    learning=True,
    seconds=300,
    hint="5000 pairs of short rows, 200 steps of 128 pairs: the scores should line up with the "
    "utilities behind them.",
)
def test_the_model_recovers_the_utility(student, lab):
    """Trained on 5000 noisy pairs, the scores correlate with the true utility by 0.95, and predict
    choices nearly as well."""
    for seed in LEARNING_SEEDS:
        correlation, excess = learned(student, lab, seed)
        if correlation >= 0.95 and excess <= 0.03:
            return
    assert_true(
        False,
        f"correlation >= 0.95, excess NLL <= 0.03; last seed: {correlation:.3f}, {excess:.4f}",
    )


@points(
    4,
    part="fitting",
    learning=True,
    hint="Draw 5000 games between players of known ability, count wins, fit: about as good as the "
    "data allow.",
)
def test_the_fit_recovers_the_abilities(student):
    """From 5000 games the fit recovers known abilities, and most lie within two standard errors."""
    for seed in LEARNING_SEEDS:
        rng = np.random.default_rng(seed)
        abilities = np.sort(rng.uniform(-1.2, 1.2, size=12))
        abilities -= abilities.mean()
        wins = np.zeros((12, 12), int)
        i, j = rng.permuted(np.tile(np.arange(12), (5000, 1)), axis=1)[:, :2].T
        i_wins = rng.random(5000) < sigmoid(abilities[i] - abilities[j])
        np.add.at(wins, (np.where(i_wins, i, j), np.where(i_wins, j, i)), 1)
        theta = student.fit_bt(wins, 1e-6)
        errors = student.standard_errors(wins, theta)
        assert_equal(
            (np.shape(theta), np.shape(errors)),
            ((12,), (12,)),
            "the shapes of abilities and errors",
        )
        inside = float((np.abs(theta - abilities) < 2 * errors).mean())
        correlation = float(np.corrcoef(theta, abilities)[0, 1])
        if correlation >= 0.98 and inside >= 0.7 and float(np.max(errors)) < 0.12:
            return
    assert_true(
        False, f"correlation >= 0.98, 70% inside; last seed: {correlation:.4f}, {inside:.2f}"
    )
