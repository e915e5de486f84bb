"""Public tests of `preference_optimization`: worked examples, in the order of the tasks. No points.

    python -m pytest test_local.py               all of them
    python -m pytest test_local.py -k targets    one part
    python -m pytest test_local.py -x --pdb      stop at the first failure and look around

At first each of them fails with NotImplementedError.
"""

import numpy as np
import preference_optimization as work

# With gamma = 0.5: 1 + 0.5 * 4 = 3; the second step ends the episode, so its target is its reward.
REWARDS = np.array([1.0, 2.0])
NEXT_VALUES = np.array([4.0, 4.0])


def test_targets_of_the_worked_example():
    targets = work.td_targets(REWARDS, NEXT_VALUES, np.array([False, True]), 0.5)
    np.testing.assert_allclose(targets, [3.0, 2.0])


def test_targets_without_an_end():
    targets = work.td_targets(REWARDS, NEXT_VALUES, np.array([False, False]), 0.5)
    np.testing.assert_allclose(targets, [3.0, 4.0])
