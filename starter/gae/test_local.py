"""Public tests of `gae`: small worked examples, in the order of the tasks. No points; everything is
visible.

    python -m pytest test_local.py                all of them
    python -m pytest test_local.py -k recursion   one part
    python -m pytest test_local.py -x --pdb       stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws that hold for every rollout, on data that you have not seen.
"""

import gae as work
import pytest
import torch

HERE_ONLY = (
    "test_buffer_has_a_flat_view",
)  # looks at shared memory; grading asks for it in a way of its own


def column(*numbers):
    """One environment: a (T, 1) tensor."""
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)


def flags(marks):
    """One environment's flags from a string: '1' is True. (T, 1) bool."""
    return torch.tensor([mark == "1" for mark in marks]).unsqueeze(1)


def close(actual, expected):
    """The same shape, and the same numbers up to what float32 can tell."""
    torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-5, atol=1e-5)


# One environment, four steps. Step 1 ends an episode; steps 2 and 3 belong to the next one, which
# goes on. next_values of step 1 is the value of the state that step 1 really led to: 8, not the 4
# of the row below.
REWARDS = column(1, 2, 3, 4)
VALUES = column(10, 6, 4, 2)
NEXT_VALUES = column(6, 8, 2, 6)
NEVER = flags("0000")
AT_STEP_1 = flags("0100")

# With gamma = 0.5, the TD errors are
#   step 0:   1 + 0.5 * 6 - 10 = -6
#   step 1:   2 + 0.5 * 8 - 6  =  0   when truncated,   2 - 6 = -4   when terminated
#   step 2:   3 + 0.5 * 2 - 4  =  0
#   step 3:   4 + 0.5 * 6 - 2  =  5
IF_TRUNCATED = column(-6, 0, 0, 5)
IF_TERMINATED = column(-6, -4, 0, 5)


# -- Part 1: one-step TD errors --------------------------------------------------------------------


def test_residuals_of_four_steps():
    close(work.td_residuals(REWARDS, VALUES, NEXT_VALUES, NEVER, 0.5), IF_TRUNCATED)


def test_residuals_with_a_terminated_step():
    close(work.td_residuals(REWARDS, VALUES, NEXT_VALUES, AT_STEP_1, 0.5), IF_TERMINATED)


# -- Part 2: the backward recursion ----------------------------------------------------------------


def test_recursion_over_two_episodes():
    # With gamma * lambda = 0.5 * 0.5 = 1/4, from the last row to the first:
    #   step 3:   5
    #   step 2:   0 + 1/4 * 5  = 1.25
    #   step 1:  -4            = -4       the episode ends here: nothing is added
    #   step 0:  -6 + 1/4 * -4 = -7
    result = work.gae(REWARDS, VALUES, NEXT_VALUES, AT_STEP_1, NEVER, 0.5, 0.5)
    close(result.advantages, column(-7, -4, 1.25, 5))
    close(result.returns, column(3, 2, 5.25, 7))  # advantages + values


def test_recursion_with_a_truncated_step():
    #   step 1:   0            = 0        stopped from outside: the value 8 counts, step 2 does not
    #   step 0:  -6 + 1/4 * 0  = -6
    result = work.gae(REWARDS, VALUES, NEXT_VALUES, NEVER, AT_STEP_1, 0.5, 0.5)
    close(result.advantages, column(-6, 0, 1.25, 5))


def test_recursion_k_steps_ahead():
    # k = 2, terminated at step 1:
    #   step 0:   -6 + 0.5 * -4 = -8
    #   step 1:   -4                      one step only: the episode ends
    #   step 2:    0 + 0.5 * 5  = 2.5
    #   step 3:    5                      one step only: the rollout ends
    result = work.k_step_advantage(REWARDS, VALUES, NEXT_VALUES, AT_STEP_1, NEVER, 0.5, 2)
    close(result, column(-8, -4, 2.5, 5))
    with pytest.raises(ValueError, match=" "):
        work.k_step_advantage(REWARDS, VALUES, NEXT_VALUES, AT_STEP_1, NEVER, 0.5, 0)


# -- Part 3: without a Python loop over time -------------------------------------------------------


def test_scan_gives_what_the_recursion_gives():
    result = work.gae_scan(REWARDS, VALUES, NEXT_VALUES, AT_STEP_1, NEVER, 0.5, 0.5)
    close(result.advantages, column(-7, -4, 1.25, 5))
    close(result.returns, column(3, 2, 5.25, 7))


def test_scan_of_a_hundred_equal_steps():
    # With values 0, rewards 1 and gamma * lambda = 1/2, the first advantage is 1 + 1/2 + 1/4 + ...
    # = 2.
    ones, zeros, never = torch.ones(100, 1), torch.zeros(100, 1), torch.zeros(100, 1).bool()
    advantages = work.gae_scan(ones, zeros, zeros, never, never, 1.0, 0.5).advantages
    close(advantages[0], torch.tensor([2.0]))
    close(advantages[-1], torch.tensor([1.0]))


# -- Part 4: tokens --------------------------------------------------------------------------------


def test_tokens_with_a_gap():
    # Tokens 0 and 3 are the policy's; 1 and 2 are a tool's answer. gamma = 1, lambda = 0.5.
    #   token 3:  delta = 5 - 2     = 3     the last one: nothing follows
    #   token 0:  delta = 1 + 2 - 4 = -1    the next state is token 3, with value 2
    #             A     = -1 + 0.5 * 3 = 0.5
    rewards = torch.tensor([[1.0, 70.0, 70.0, 5.0]])
    values = torch.tensor([[4.0, 90.0, 90.0, 2.0]])
    result = work.token_gae(rewards, values, torch.tensor([[1, 0, 0, 1]]), 1.0, 0.5)
    close(result.advantages, torch.tensor([[0.5, 0.0, 0.0, 3.0]]))
    close(result.returns, torch.tensor([[4.5, 0.0, 0.0, 5.0]]))


# -- Part 5: statistics and normalisation ----------------------------------------------------------


def test_statistics_in_two_batches():
    # 1, 2, 3 and 6: the mean is 3, the squared distances 4 + 1 + 0 + 9 = 14, the population
    # variance 14/4.
    stats = work.RunningMeanStd()
    stats.update_(torch.tensor([1.0, 2.0, 3.0]))
    stats.update_(torch.tensor([6.0]))
    assert stats.count == 4
    close(stats.mean, torch.tensor(3.0))
    close(stats.var, torch.tensor(3.5))


def test_statistics_merged():
    one, two = work.RunningMeanStd(), work.RunningMeanStd()
    one.update_(torch.tensor([1.0, 2.0, 3.0]))
    two.update_(torch.tensor([6.0]))
    both = one.merge(two)
    assert (one.count, two.count, both.count) == (3, 1, 4)
    close(both.mean, torch.tensor(3.0))
    close(both.var, torch.tensor(3.5))


def test_statistics_normalise_the_valid_entries():
    # The valid entries 1, 3, 5 have mean 3 and population variance 8/3.
    adv = torch.tensor([[1.0, 3.0, 99.0, 5.0]])
    mask = torch.tensor([[1, 1, 0, 1]])
    scale = (8 / 3) ** 0.5
    close(work.normalize_advantages(adv, mask), torch.tensor([[-2 / scale, 0.0, 0.0, 2 / scale]]))


# -- Part 6: the rollout buffer --------------------------------------------------------------------


def test_buffer_has_a_flat_view():
    buffer = work.RolloutBuffer(3, 2, (4,), "cpu")
    flat = buffer.flat()
    buffer.rewards[2, 1] = 7.0  # written after flat() was called
    assert flat["obs"].shape == (6, 4)
    assert flat["rewards"].tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 7.0]


def test_buffer_minibatches_meet_every_row():
    buffer = work.RolloutBuffer(5, 2, (4,), "cpu")
    batches = list(buffer.minibatches(4, torch.Generator().manual_seed(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(torch.cat(batches).tolist()) == list(range(10))


# -- Part 7: targets and diagnostics ---------------------------------------------------------------


def test_returns_mixed_by_lambda():
    # gamma = 0.5, lambda = 0.5, terminated at step 1:
    #   step 3:   4 + 0.5 * 6                     = 7       nothing is known beyond: the value stands in
    #   step 2:   3 + 0.5 * (0.5 * 2 + 0.5 * 7)   = 5.25
    #   step 1:   2                                         the task is over
    #   step 0:   1 + 0.5 * (0.5 * 6 + 0.5 * 2)   = 3
    result = work.lambda_returns(REWARDS, VALUES, NEXT_VALUES, AT_STEP_1, NEVER, 0.5, 0.5)
    close(result, column(3, 2, 5.25, 7))


def test_returns_explained_by_values():
    # The returns 0, 2, 4 have variance 8/3; the errors 0, 1, 2 have variance 2/3; 1 - (2/3) / (8/3)
    # = 0.75.
    returns = torch.tensor([0.0, 2.0, 4.0])
    assert work.explained_variance(torch.tensor([0.0, 1.0, 2.0]), returns) == pytest.approx(0.75)
    assert work.explained_variance(returns, torch.full((3,), 2.0)) == 0.0
