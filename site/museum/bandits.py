"""Boards of bandits: a few pulls, and a run or two."""

import numpy as np
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table

REWARDS = [4.0, 8.0, 0.0, 4.0, 9.0]


def _average(work):
    estimates = [10.0]
    for n, reward in enumerate(REWARDS, 1):
        estimates.append(work.sample_average(estimates[-1], n, reward))
    return table({"pull": range(1, 6), "reward": REWARDS}, {"estimate": estimates[1:]})


def _recent(work):
    estimates = [0.0]
    for _ in range(30):
        estimates.append(work.constant_step(estimates[-1], 10.0, 0.1))
    return curve({"pulls": range(31)}, {"estimate": estimates})


def _unbiased(work):
    q, trace, estimates = 0.0, 0.0, []
    for reward in REWARDS:
        q, trace = work.unbiased_step(q, trace, reward, 0.1)
        estimates.append(q)
    return table({"pull": range(1, 6), "reward": REWARDS}, {"estimate": estimates})


def _ties(work):
    q = np.array([-2.0, -1.0, -1.0, -3.0, -1.0])
    rng = np.random.default_rng(3)
    counts = np.bincount([work.argmax_random(q, rng) for _ in range(3000)], minlength=5)
    return table({"arm": range(5), "estimate": q}, {"times drawn": counts})


def _chances(work):
    q = np.array([1.0, 3.0, 2.0, 3.0, 0.0])
    return table(
        {"arm": range(5), "estimate": q}, {"probability": work.epsilon_greedy_probs(q, 0.2)}
    )


def _bounds(work):
    q, counts = np.array([1.0, 1.0, 1.0]), np.array([1, 10, 100])
    given = {"arm": range(3), "estimate": q, "pulls": counts}
    return table(given, {"score": work.ucb_scores(q, counts, 111, 4.0)})


def _untried(work):
    q, counts = np.array([0.0, 0.5, 0.0]), np.array([0, 3, 0])
    given = {"arm": range(3), "estimate": q, "pulls": counts}
    return table(given, {"score": work.ucb_scores(q, counts, 4, 2.0)})


def _climb(work):
    h = np.array([0.0, 0.0, 1.0])
    new = work.gradient_bandit_step(h, baseline=2.0, action=0, reward=5.0, alpha=0.5)
    given = {"arm": range(3), "preference": [0.0, 0.0, 1.0], "pulled": ["yes", "", ""]}
    return table(given, {"preference after": new})


def _preferred(work):
    agent, rng = work.GradientBandit(2, alpha=0.2), np.random.default_rng(5)
    shares = []
    for step in range(1, 121):
        action = agent.select(step, rng)
        agent.update(action, 1.0 + (action == 1))
        shares.append(work.softmax(agent.h)[1])
    return curve({"pulls": range(1, 121)}, {"probability of the better arm": shares})


MEANS = np.array([0.2, 1.0, 0.6])


def _regret(work):
    rng = np.random.default_rng(8)
    actions = np.where(rng.random(200) < np.linspace(0.8, 0.1, 200), rng.integers(3, size=200), 1)
    return curve({"step": range(1, 201)}, {"regret": work.pseudo_regret(MEANS, actions)})


def _never_best(work):
    actions = np.array([0, 2, 2, 0, 2])
    given = {"step": range(1, 6), "arm": actions, "its mean": MEANS[actions]}
    return table(given, {"regret": work.pseudo_regret(MEANS, actions)})


def _drift(work):
    rng, means, apart = np.random.default_rng(2), np.zeros(2), [0.0]
    for _ in range(300):
        means = work.random_walk(means, 0.01, rng)
        apart.append(float(means[1] - means[0]))
    return curve({"step": range(301)}, {"mean of arm 1 less that of arm 0": apart})


SCENES = (
    Scene(
        "estimates",
        "sample_average",
        "Five rewards of one arm, whose estimate begins at 10.",
        _average,
        {"n-off-by-one": "After the first pull the estimate should be its reward, 4."},
    ),
    Scene(
        "estimates",
        "constant_step",
        "An arm that always pays 10, an estimate that begins at 0, alpha = 0.1.",
        _recent,
        {"swaps-the-weights": "A step of 0.1 does not go nine tenths of the way."},
    ),
    Scene(
        "estimates",
        "unbiased_step",
        "Five rewards of one arm, alpha = 0.1.",
        _unbiased,
        {"trace-forgotten": "The zero at which it began is still in the estimate."},
    ),
    Scene(
        "greedy",
        "argmax_random",
        "3000 draws. Three arms are best, and all estimates are negative.",
        _ties,
        {
            "first-of-the-ties": "Three arms should share the draws.",
            "maximum-starts-at-zero": "Arm 0 is not among the best.",
        },
    ),
    Scene(
        "greedy",
        "epsilon_greedy_probs",
        "Five arms, two of them best, epsilon = 0.2.",
        _chances,
        {
            "exploring-excludes-greedy": "Exploring may hit a best arm, too.",
            "each-tie-gets-the-whole": "Add the probabilities up.",
        },
    ),
    Scene(
        "ucb",
        "ucb_scores",
        "Three arms with the same estimate, pulled 1, 10 and 100 times; c = 4, t = 111.",
        _bounds,
        {
            "one-count-for-all-arms": "The arm that was pulled once should stand out.",
            "c-inside-the-root": "Each bonus is half as large: the root of 4 stands for 4.",
            "logarithm-to-base-ten": "Each bonus is too small by the root of ln 10, 1.52.",
        },
    ),
    Scene(
        "ucb",
        "ucb_scores",
        "Two arms were never pulled; c = 2, t = 4.",
        _untried,
        {"tiny-number-in-the-denominator": "What was never tried should be infinite."},
    ),
    Scene(
        "gradient",
        "gradient_bandit_step",
        "Arm 0 was pulled and paid 5; the baseline is 2, alpha = 0.5.",
        _climb,
        {
            "other-arms-unmoved": "The other arms should give way.",
            "moves-downhill": "The reward lies above the baseline, and yet arm 0 loses.",
            "baseline-added": "All goes the right way, too far.",
        },
    ),
    Scene(
        "gradient",
        "GradientBandit",
        "Arm 0 always pays 1, arm 1 always pays 2, alpha = 0.2.",
        _preferred,
        {"pulls-the-largest-preference": "Whichever arm is pulled first is never left."},
    ),
    Scene(
        "run",
        "pseudo_regret",
        "200 pulls of three arms; the worse ones become rarer.",
        _regret,
        {
            "regret-averaged": "A sum of costs never falls.",
            "regret-not-accumulated": "It jumps between three values.",
        },
    ),
    Scene(
        "run",
        "pseudo_regret",
        "Five pulls, none of them of the best arm, whose mean is 1.",
        _never_best,
        {"regret-against-the-best-arm-pulled": "Two pulls of arm 2 seem to cost nothing."},
    ),
    Scene(
        "nonstationary",
        "random_walk",
        "Two arms drift for 300 steps with a standard deviation of 0.01.",
        _drift,
        {
            "one-increment-for-all-arms": "The two arms never part.",
            "variance-taken-for-sd": "Look at the scale: ten times too far.",
        },
    ),
)
