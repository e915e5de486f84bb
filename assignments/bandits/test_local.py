"""Public tests of `bandits`: worked examples, no points. Run `python -m pytest test_local.py`.

At first every test fails with NotImplementedError. They follow the tasks of the handout: work from
the top down.
"""

import math

import bandits as work
import numpy as np
import pytest


def fresh_rng():
    return np.random.default_rng(2024)


# ---- Part 1: value estimates -------------------------------------------------------------------------------


def test_sample_average_of_three_rewards():
    # Rewards 4, 7, 1. Means: 4, (4 + 7)/2 = 5.5, (4 + 7 + 1)/3 = 4. The first estimate, 99, plays
    # no part.
    q = work.sample_average(99.0, 1, 4.0)
    assert q == pytest.approx(4.0)
    q = work.sample_average(q, 2, 7.0)  # 4 + (7 - 4)/2
    assert q == pytest.approx(5.5)
    q = work.sample_average(q, 3, 1.0)  # 5.5 + (1 - 5.5)/3
    assert q == pytest.approx(4.0)


def test_constant_step_moves_a_tenth_of_the_way():
    assert work.constant_step(5.0, 7.0, 0.1) == pytest.approx(5.2)  # 5 + 0.1 * (7 - 5)
    assert work.constant_step(5.2, 7.0, 0.1) == pytest.approx(5.38)  # 5.2 + 0.1 * (7 - 5.2)


def test_unbiased_step_trusts_the_first_reward():
    # alpha = 0.5. First step: o = 0 + 0.5 * 1 = 0.5, beta = 0.5/0.5 = 1, so q becomes the reward.
    q, o = work.unbiased_step(99.0, 0.0, 4.0, 0.5)
    assert (q, o) == pytest.approx((4.0, 0.5))
    # Second step: o = 0.5 + 0.5 * 0.5 = 0.75, beta = 0.5/0.75 = 2/3, q = 4 + 2/3 * (7 - 4) = 6.
    assert work.unbiased_step(q, o, 7.0, 0.5) == pytest.approx((6.0, 0.75))


def test_impossible_step_sizes_are_refused():
    with pytest.raises(ValueError):
        work.sample_average(1.0, 0, 2.0)
    with pytest.raises(ValueError):
        work.constant_step(1.0, 2.0, 0.0)


# ---- Part 2: epsilon-greedy --------------------------------------------------------------------------------


def test_argmax_finds_the_largest():
    assert work.argmax_random(np.array([1.0, 5.0, 3.0]), fresh_rng()) == 1


def test_argmax_uses_all_ties():
    rng = fresh_rng()
    seen = {work.argmax_random(np.array([2.0, 0.0, 2.0]), rng) for _ in range(50)}
    assert seen == {0, 2}


def test_epsilon_greedy_probabilities():
    # k = 4, epsilon = 0.2: everybody gets 0.2/4 = 0.05, the greedy arm 0.8 on top.
    probabilities = work.epsilon_greedy_probs(np.array([0.0, 3.0, 1.0, 2.0]), 0.2)
    assert probabilities == pytest.approx([0.05, 0.85, 0.05, 0.05])
    # Two greedy arms share the 0.8.
    probabilities = work.epsilon_greedy_probs(np.array([3.0, 3.0, 1.0, 2.0]), 0.2)
    assert probabilities == pytest.approx([0.45, 0.45, 0.05, 0.05])


def test_epsilon_greedy_explores_as_often_as_it_should():
    rng = fresh_rng()
    n = 4000
    draws = [work.epsilon_greedy(np.array([0.0, 1.0]), 0.2, rng) for _ in range(n)]
    # Arm 0 comes up by exploring only: probability 0.2/2 = 0.1, standard deviation of the share
    # 0.005.
    assert np.mean(np.array(draws) == 0) == pytest.approx(0.1, abs=0.025)


def test_epsilon_greedy_agent():
    agent = work.EpsilonGreedy(2, epsilon=0.0)
    agent.update(1, 3.0)
    agent.update(1, 5.0)
    assert agent.counts.tolist() == [0, 2]
    assert agent.q == pytest.approx([0.0, 4.0])  # the mean of 3 and 5
    assert agent.select(3, fresh_rng()) == 1
    tracker = work.EpsilonGreedy(2, epsilon=0.0, alpha=0.5, initial=8.0)
    tracker.update(0, 4.0)
    assert tracker.q == pytest.approx([6.0, 8.0])  # 8 + 0.5 * (4 - 8)


# ---- Part 3: upper confidence bounds -----------------------------------------------------------------------


def test_ucb_scores():
    # ln 8 = 2.0794. Arm 0, 4 pulls: 1 + 2 * sqrt(2.0794/4) = 2.4420. Arm 2, 3 pulls: 2 *
    # sqrt(2.0794/3) = 1.6651.
    scores = work.ucb_scores(np.array([1.0, 9.0, 0.0]), np.array([4, 0, 3]), t=8, c=2.0)
    assert scores == pytest.approx([2.44203, math.inf, 1.66511], abs=1e-5)


def test_ucb_scores_at_the_very_first_step():
    assert work.ucb_scores(np.zeros(2), np.zeros(2, dtype=int), t=1, c=2.0).tolist() == [
        math.inf,
        math.inf,
    ]


def test_ucb_agent_tries_everything_first():
    agent, rng = work.UCB(4), fresh_rng()
    for t in range(1, 5):
        agent.update(agent.select(t, rng), -1.0)
    assert agent.counts.tolist() == [1, 1, 1, 1]


# ---- Part 4: gradient bandits ------------------------------------------------------------------------------


def test_softmax():
    # exp(0) : exp(ln 3) = 1 : 3
    assert work.softmax(np.array([0.0, math.log(3)])) == pytest.approx([0.25, 0.75])


def test_softmax_of_huge_preferences():
    assert work.softmax(np.array([5000.0, 5000.0])) == pytest.approx([0.5, 0.5])


def test_gradient_step():
    # Two even arms, the reward 2 above the baseline, alpha = 0.1.
    # Arm 0 gains 0.1 * 2 * (1 - 0.5), arm 1 loses 0.1 * 2 * 0.5.
    h = np.zeros(2)
    assert work.gradient_bandit_step(h, 3.0, 0, 5.0, 0.1) == pytest.approx([0.1, -0.1])
    assert h.tolist() == [0.0, 0.0]


def test_gradient_agent_baseline():
    agent = work.GradientBandit(2, alpha=0.1)
    agent.update(0, 4.0)  # baseline 0 before it: h = 0.1 * 4 * (0.5, -0.5)
    assert agent.h == pytest.approx([0.2, -0.2])
    assert agent.baseline == pytest.approx(4.0)
    agent.update(1, 4.0)  # exactly as good as the past: nothing moves
    assert agent.h == pytest.approx([0.2, -0.2])


# ---- Part 5: runs and regret -------------------------------------------------------------------------------


def test_run_follows_the_script():
    trace = work.run_bandit(work.Script([2, 0, 1]), np.array([0.0, 100.0, -100.0]), 3, fresh_rng())
    assert trace.actions.tolist() == [2, 0, 1]
    assert trace.rewards == pytest.approx(
        [-100.0, 0.0, 100.0], abs=6.0
    )  # unit noise around the means


def test_run_is_reproducible():
    means = np.array([0.0, 1.0])
    one = work.run_bandit(work.EpsilonGreedy(2, 0.5), means, 30, fresh_rng())
    two = work.run_bandit(work.EpsilonGreedy(2, 0.5), means, 30, fresh_rng())
    assert one.actions.tolist() == two.actions.tolist()
    assert one.rewards.tolist() == two.rewards.tolist()


def test_regret():
    # Best mean 5. Pulls of arms 0, 1, 1, 2 cost 5 - 4 = 1, 0, 0 and 5 - 2 = 3: cumulated 1, 1, 1, 4.
    regret = work.pseudo_regret(np.array([4.0, 5.0, 2.0]), np.array([0, 1, 1, 2]))
    assert regret == pytest.approx([1, 1, 1, 4])


# ---- Part 6: arms that drift -------------------------------------------------------------------------------


def test_random_walk_moves_every_arm():
    means = np.zeros(1000)
    moved = work.random_walk(means, 0.5, fresh_rng())
    assert np.std(moved) == pytest.approx(
        0.5, abs=0.06
    )  # a figure with a standard deviation of 0.011
    assert not means.any()  # a new array, the old one untouched


def test_walk_begins_after_the_first_reward():
    means = np.array([7.0, -7.0])
    trace = work.run_bandit(work.Script([0, 0]), means, 2, fresh_rng(), walk_sd=1000.0)
    assert trace.rewards[0] == pytest.approx(7.0, abs=6.0)
    assert abs(trace.rewards[1]) > 20.0
    assert means.tolist() == [7.0, -7.0]
