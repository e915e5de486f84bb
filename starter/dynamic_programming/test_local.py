"""Public tests: worked examples, in the order of the tasks. Run them with `pytest test_local.py`.

They earn no points and do not find every mistake; the hidden tests check what must hold for *any*
problem.
"""

from types import SimpleNamespace

import dynamic_programming as work
import gymnasium
import numpy as np
import pytest

# A machine that is either new (state 0) or worn (state 1). Run it (action 0) or service it (action
# 1). A new machine earns 4 a day and wears out with probability 1/2; a worn one earns 2 and stays
# worn. Servicing costs 1 and makes the machine new.
MACHINE = work.MDP(
    P=np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]),
    R=np.array([[4.0, -1.0], [2.0, -1.0]]),
    terminal=np.array([False, False]),
    gamma=0.5,
)
COIN = np.array([[0.5, 0.5], [0.5, 0.5]])  # the policy that tosses a coin
RUN = np.array([[1.0, 0.0], [1.0, 0.0]])  # the policy that never services


# -- part 1: the model -----------------------------------------------------------------------------


def test_a_transition_table_becomes_arrays():
    # State 0, action 0: with 1/4 + 1/4 stay and earn 2 or 6, with 1/2 reach state 1 and the end,
    # earning 10.
    table = {
        0: {0: [(0.25, 0, 2.0, False), (0.25, 0, 6.0, False), (0.5, 1, 10.0, True)]},
        1: {0: [(1.0, 0, 99.0, False)]},  # moves of a terminal state never happen
    }
    mdp = work.mdp_from_gym(SimpleNamespace(unwrapped=SimpleNamespace(P=table)), 0.9)
    assert mdp.P[0, 0] == pytest.approx([0.5, 0.0])  # 1/4 + 1/4; the move into the end is left out
    assert mdp.R[0, 0] == pytest.approx(7.0)  # 2/4 + 6/4 + 10/2
    assert mdp.terminal.tolist() == [False, True]
    assert mdp.P[1].sum() == 0 and mdp.R[1].sum() == 0
    assert mdp.gamma == 0.9


def test_the_lake_has_five_places_where_episodes_end():
    mdp = work.mdp_from_gym(gymnasium.make("FrozenLake-v1", is_slippery=True), 0.99)
    assert mdp.P.shape == (16, 4, 16) and mdp.R.shape == (16, 4)
    assert np.flatnonzero(mdp.terminal).tolist() == [5, 7, 11, 12, 15]  # four holes and the goal
    # Going left in the corner: left and up bump into the edge, down slips away.
    assert mdp.P[0, 0, 0] == pytest.approx(2 / 3)
    assert mdp.P[0, 0, 4] == pytest.approx(1 / 3)


def test_a_small_grid():
    # States: 0 1 2 in the first row, 3 4 in the second; the wall has no number.
    mdp = work.grid_mdp(["S..", ".#G"], slip=0.0, gamma=0.9)
    assert mdp.terminal.tolist() == [False, False, False, False, True]
    left, down, right, up = range(4)
    assert mdp.P[0, right, 1] == 1.0
    assert mdp.P[0, down, 3] == 1.0
    assert mdp.P[0, up, 0] == 1.0  # off the grid: bump and stay
    assert mdp.P[1, down, 1] == 1.0  # a wall: bump and stay
    assert mdp.P[2, down].sum() == 0.0  # into the goal: the episode is over
    assert mdp.P[0, left, 0] == 1.0
    assert mdp.R[:, 0].tolist() == [-1.0, -1.0, -1.0, -1.0, 0.0]


def test_slips_go_to_either_side():
    mdp = work.grid_mdp(["...", "...", "..."], slip=0.4)
    # Going right from the middle (state 4): 0.6 to the right (5), 0.2 up (1), 0.2 down (7).
    assert mdp.P[4, 2, [5, 1, 7]] == pytest.approx([0.6, 0.2, 0.2])
    assert mdp.P[4, 2].sum() == pytest.approx(1.0)


# -- part 2: evaluation ----------------------------------------------------------------------------


def test_one_sweep_under_a_policy():
    # v = (10, 20). New: run gives 4 + 0.5 * 15 = 11.5, service gives -1 + 0.5 * 10 = 4; the mean is
    # 7.75. Worn: run gives 2 + 0.5 * 20 = 12, service gives 4; the mean is 8.
    assert work.bellman_expectation(np.array([10.0, 20.0]), COIN, MACHINE) == pytest.approx(
        [7.75, 8.0]
    )


def test_sweeps_are_counted():
    # A worn machine that runs for ever: 2, then 2 + 1 = 3, then 3.5, ...; a new one: 4, 4 + 0.25 *
    # (4 + 2) = 5.5, ...
    v, sweeps = work.policy_evaluation(MACHINE, RUN, theta=2.0)
    assert sweeps == 2  # the changes are 4 and 1.5
    assert v == pytest.approx([5.5, 3.0])


def test_the_exact_value_is_what_the_sweeps_approach():
    # Worn: w = 2 + w/2, so w = 4. New: n = 4 + (n + w)/4, so n = 5 * 4/3.
    assert work.policy_value_exact(MACHINE, RUN) == pytest.approx([20 / 3, 4.0])
    assert work.policy_evaluation(MACHINE, RUN, theta=1e-9)[0] == pytest.approx([20 / 3, 4.0])


# -- part 3: improvement ---------------------------------------------------------------------------


def test_action_values_of_a_machine_that_always_runs():
    # New: run 4 + (20/3 + 4)/4 = 20/3, service -1 + 10/3 = 7/3. Worn: run 2 + 2 = 4, service -1 +
    # 10/3 = 7/3.
    q = work.q_from_v(np.array([20 / 3, 4.0]), MACHINE)
    assert q == pytest.approx(np.array([[20 / 3, 7 / 3], [4.0, 7 / 3]]))


def test_ties_share_the_probability():
    q = np.array([[1.0, 3.0, 3.0], [0.2, 0.1, 0.1]])
    assert work.greedy(q) == pytest.approx(np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]))


# -- part 4: policy iteration ----------------------------------------------------------------------


def test_a_patient_owner_services_the_worn_machine():
    # With gamma = 0.9: n = 4 + 0.45 (n + w) and w = -1 + 0.9 n, so n = 3.55 / 0.145 = 24.5 and w =
    # 21.0. Running for ever would be worth 2 / (1 - 0.9) = 20 to the owner of a worn machine.
    pi, v, iters = work.policy_iteration(MACHINE._replace(gamma=0.9))
    assert pi == pytest.approx(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert v == pytest.approx([3.55 / 0.145, -1 + 0.9 * 3.55 / 0.145])
    assert iters >= 1


def test_equally_good_ways_do_not_keep_policy_iteration_busy():
    # On an open floor there are many shortest ways to the goal, so there are many ties.
    _, v, iters = work.policy_iteration(work.grid_mdp(["....", "....", "...G"], gamma=0.9))
    assert v[0] == pytest.approx(-(1 - 0.9**5) / 0.1)  # five steps
    assert iters < 10


# -- part 5: value iteration -----------------------------------------------------------------------


def test_one_sweep_of_value_iteration():
    # The better of the two numbers that test_one_sweep_under_a_policy averages.
    assert work.bellman_optimality(np.array([10.0, 20.0]), MACHINE) == pytest.approx([11.5, 12.0])


def test_every_change_is_recorded():
    v, pi, errors = work.value_iteration(MACHINE, theta=2.0)
    assert errors == pytest.approx([4.0, 1.5])  # running is best in both sweeps, so v is as above
    assert v == pytest.approx([5.5, 3.0])
    assert pi == pytest.approx(RUN)


def test_the_best_walk_along_the_cliff():
    mdp = work.mdp_from_gym(gymnasium.make("CliffWalking-v1"), 0.99)
    v, _, _ = work.value_iteration(mdp, theta=1e-9)
    assert v[36] == pytest.approx(-(1 - 0.99**13) / 0.01)  # 13 steps: -12.2479


# -- part 6: contraction ---------------------------------------------------------------------------


def test_the_number_of_sweeps():
    # gamma = 1/2, so the error is at most 2 after 0 sweeps, then 1, 1/2, 1/4.
    assert work.stopping_sweeps(0.5, 0.3) == 3
    assert work.stopping_sweeps(0.5, 2.5) == 0


def test_a_constant_shift_shrinks_by_gamma():
    v = np.array([1.0, 3.0])
    assert work.contraction_ratio(v, v + 7.0, MACHINE) == pytest.approx(0.5)
