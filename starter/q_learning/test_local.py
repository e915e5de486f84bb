"""Public tests of q_learning: worked examples, in the order of the tasks.

    python -m pytest test_local.py            at first every test fails with NotImplementedError

No points are given here. The hidden tests check other things than these: laws that hold for all
numbers.
"""

import gymnasium
import numpy as np
import pytest
import q_learning as work

# -- Part 1: the Q-learning target and update ------------------------------------------------------


def test_target_of_a_step_in_the_middle_of_an_episode():
    # r + gamma * max = 1 + 0.5 * max(2, 6, 4) = 1 + 3 = 4
    assert work.q_target(1.0, np.array([2.0, 6.0, 4.0]), 0.5, False) == pytest.approx(4.0)


def test_target_of_the_last_step():
    # The episode has terminated: no future, whatever the table says about the next state.
    assert work.q_target(1.0, np.array([2.0, 6.0, 4.0]), 0.5, True) == pytest.approx(1.0)


def test_update_moves_one_entry_towards_the_target():
    Q = np.array([[0.0, 2.0], [3.0, 5.0]])
    # target = -1 + 0.8 * max(3, 5) = 3;  error = 3 - 2 = 1;  Q[0, 1] = 2 + 0.1 * 1 = 2.1
    error = work.q_learning_update_(Q, 0, 1, -1.0, 1, False, 0.1, 0.8)
    assert error == pytest.approx(1.0)
    assert np.allclose(Q, [[0.0, 2.1], [3.0, 5.0]])


def test_impossible_step_size_is_refused():
    Q = np.zeros((2, 2))
    with pytest.raises(ValueError):
        work.q_learning_update_(Q, 0, 0, 1.0, 1, False, 0.0, 0.9)
    # alpha = 1 is allowed: the entry jumps onto the target, 1 + 0.9 * 0 = 1
    work.q_learning_update_(Q, 0, 0, 1.0, 1, False, 1.0, 0.9)
    assert Q[0, 0] == pytest.approx(1.0)


# -- Part 2: the on-policy targets -----------------------------------------------------------------


def test_sarsa_uses_the_action_that_is_taken_next():
    # The agent will take action 2, a poor one: 1 + 0.5 * 4 = 3
    assert work.sarsa_target(1.0, np.array([2.0, 6.0, 4.0]), 2, 0.5, False) == pytest.approx(3.0)


def test_expected_sarsa_weighs_the_actions():
    # 1 + 0.5 * (0.25 * 2 + 0.5 * 6 + 0.25 * 4) = 1 + 0.5 * 4.5 = 3.25
    q_next, pi_next = np.array([2.0, 6.0, 4.0]), np.array([0.25, 0.5, 0.25])
    assert work.expected_sarsa_target(1.0, q_next, pi_next, 0.5, False) == pytest.approx(3.25)


def test_on_policy_targets_of_the_last_step():
    q_next, pi_next = np.array([2.0, 6.0]), np.array([0.5, 0.5])
    assert work.sarsa_target(1.0, q_next, 0, 0.5, True) == pytest.approx(1.0)
    assert work.expected_sarsa_target(1.0, q_next, pi_next, 0.5, True) == pytest.approx(1.0)


# -- Part 3: training ------------------------------------------------------------------------------


class Corridor:
    """States 0, 1, 2; the only action walks one to the right. Reward 1 for each step; state 2 is
    the end.

    The clock stops the first episode after
    ``step_limits[0]`` steps, the second after ``step_limits[1]``, ...
    """

    observation_space = gymnasium.spaces.Discrete(3)
    action_space = gymnasium.spaces.Discrete(1)

    def __init__(self, *step_limits):
        self.step_limits = list(step_limits)

    def reset(self, *, seed=None, options=None):
        self.state, self.left = 0, self.step_limits.pop(0) if self.step_limits else 10
        return self.state, {}

    def step(self, action):
        self.state, self.left = self.state + 1, self.left - 1
        terminated = self.state == 2
        return self.state, 1.0, terminated, self.left == 0 and not terminated, {}


def train(env, algo="q_learning", episodes=1, alpha=0.5, epsilon=0.1, gamma=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return work.train(env, algo, episodes, alpha, lambda episode: epsilon, gamma, rng, seed)


@pytest.mark.parametrize("algo", ["q_learning", "sarsa", "expected_sarsa"])
def test_two_episodes_in_a_corridor(algo):
    # Episode 1:  Q[0] = 0.5 * (1 + 0) = 0.5;                 Q[1] = 0.5 * 1 = 0.5     (the end is worth 0)
    # Episode 2:  Q[0] = 0.5 + 0.5 * (1 + 0.5 - 0.5) = 1.0;   Q[1] = 0.5 + 0.5 * (1 - 0.5) = 0.75
    result = train(Corridor(), algo, episodes=2)
    assert np.allclose(result.Q, [[1.0], [0.75], [0.0]])
    assert np.allclose(result.returns, [2.0, 2.0])


@pytest.mark.parametrize("algo", ["q_learning", "sarsa", "expected_sarsa"])
def test_time_limit_ends_the_episode_but_not_the_future(algo):
    # Episode 1 walks to the end: Q[0] = 0.5 * (1 + 0) = 0.5 and Q[1] = 0.5 * 1 = 0.5.
    # The clock stops episode 2 in state 1, which is still worth its 0.5:
    # Q[0] = 0.5 + 0.5 * (1 + 0.5 - 0.5) = 1.0, not 0.5 + 0.5 * (1 - 0.5) = 0.75.
    result = train(Corridor(10, 1), algo, episodes=2)
    assert np.allclose(result.Q, [[1.0], [0.5], [0.0]])
    assert np.allclose(result.returns, [2.0, 1.0])


class Carousel:
    """One state; action a earns a + 1; the fifth step is the last one. It remembers the actions
    that it got."""

    observation_space = gymnasium.spaces.Discrete(1)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        self.actions = []
        return 0, {}

    def step(self, action):
        self.actions.append(int(action))
        return 0, action + 1.0, len(self.actions) == 5, False, {}


def test_sarsa_looks_ahead_to_the_action_that_it_takes():
    # With epsilon = 1 every action is drawn. The actions that it took give its table by hand.
    for seed in range(5):
        env = Carousel()
        result = train(env, "sarsa", epsilon=1.0, gamma=0.9, seed=seed)
        q = np.zeros(3)
        for action, following in zip(env.actions, [*env.actions[1:], None], strict=True):
            future = 0.0 if following is None else q[following]
            q[action] += 0.5 * (action + 1 + 0.9 * future - q[action])
        assert np.allclose(result.Q, [q])


def test_dry_lake_is_crossed():
    # Six moves to the goal, reward 1 at the last of them: Q*(start) = 0.99 ** 5 = 0.951
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    result = train(env, episodes=1500, alpha=0.5, gamma=0.99)
    assert result.Q.shape == (16, 4)
    assert result.Q[0].max() == pytest.approx(0.99**5, abs=1e-3)
    assert result.returns[-100:].mean() > 0.3


def test_unknown_algorithm_is_refused():
    with pytest.raises(ValueError):
        train(Corridor(), "monte_carlo")
    assert train(Corridor()).returns.shape == (1,)


# -- Part 4: continuous observations ---------------------------------------------------------------


def test_one_dimension_cut_into_four():
    # Edges at -0.5, 0 and 0.5; a value on an edge belongs to the upper bin.
    cells = work.Discretizer([-1.0], [1.0], [4])
    assert cells.n_states == 4
    assert [cells.encode([x]) for x in (-1.0, -0.6, -0.5, 0.2, 0.5, 1.0)] == [0, 0, 1, 2, 3, 3]


def test_two_dimensions_are_numbered_row_by_row():
    # The number is 3 * (bin of the first) + (bin of the second).
    cells = work.Discretizer([0.0, 0.0], [2.0, 3.0], [2, 3])
    assert cells.n_states == 6
    assert [cells.encode([x, y]) for x in (0.5, 1.5) for y in (0.5, 1.5, 2.5)] == [0, 1, 2, 3, 4, 5]


def test_cartpole_fits_in():
    # Speeds are unbounded in CartPole: they are cut at -4 and 4; anything faster falls into an
    # outer bin.
    space = gymnasium.make("CartPole-v1").observation_space
    cells = work.Discretizer(space.low, space.high, [1, 4, 1, 1])
    assert cells.n_states == 4
    found = [
        cells.encode([0.0, speed, 0.0, 0.0]) for speed in (-100.0, -3.0, -1.0, 1.0, 3.0, 100.0)
    ]
    assert found == [0, 0, 1, 2, 3, 3]


# -- Part 5: on-policy against off-policy ----------------------------------------------------------


def test_cliff_is_walked_differently():
    # gamma = 1, reward -1 per step: the shortest path is worth -13, and Q-learning knows it.
    env = gymnasium.make("CliffWalking-v1", max_episode_steps=500)
    q_learning = train(env, "q_learning", episodes=400)
    assert q_learning.Q[36].max() == pytest.approx(-13.0, abs=0.1)
    # SARSA counts its own exploration, so its start looks worse than -13: it goes the long way
    # round.
    sarsa = train(env, "sarsa", episodes=400)
    assert sarsa.Q[36].max() < -14.0


# -- Part 6: Double Q-learning ---------------------------------------------------------------------


def test_one_table_chooses_the_other_judges():
    Q1, Q2 = np.array([[0.0, 0.0], [5.0, 1.0]]), np.array([[0.0, 0.0], [2.0, 8.0]])
    error = work.double_q_update_(Q1, Q2, 0, 0, 1.0, 1, False, 0.5, 0.5, np.random.default_rng(0))
    # Heads: Q1 chooses action 0, Q2 says 2: error = 1 + 0.5 * 2 = 2, Q1[0, 0] = 1.
    # Tails: Q2 chooses action 1, Q1 says 1: error = 1 + 0.5 * 1 = 1.5, Q2[0, 0] = 0.75.
    heads = Q1[0, 0] != 0.0
    assert error == pytest.approx(2.0 if heads else 1.5)
    assert (Q1[0, 0], Q2[0, 0]) == pytest.approx((1.0, 0.0) if heads else (0.0, 0.75))


def test_both_tables_get_their_turn():
    rng, heads = np.random.default_rng(0), 0
    for _ in range(400):
        Q1, Q2 = np.zeros((2, 2)), np.zeros((2, 2))
        work.double_q_update_(Q1, Q2, 0, 0, 1.0, 1, True, 0.5, 0.5, rng)
        heads += Q1[0, 0] == 0.5
    assert 130 < heads < 270  # 200 on average, with a standard deviation of 10


def test_training_with_two_tables():
    # A fair share of steps for each of two tables: half as fast as one table, the same values in
    # the end.
    result = train(Corridor(), "double_q", episodes=200)
    assert np.allclose(result.Q, [[2.0], [1.0], [0.0]], atol=1e-3)
