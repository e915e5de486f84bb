"""Public tests of `reinforce`: small worked examples, in the order of the tasks. No points;
everything is visible.

    python -m pytest test_local.py                 all of them
    python -m pytest test_local.py -k returns      one part
    python -m pytest test_local.py -x --pdb        stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws that hold for every batch, on data that you have not seen.
"""

import math

import gymnasium
import numpy as np
import pytest
import reinforce as work
import torch


def close(actual, expected):
    """The same shape, and the same numbers up to what float32 can tell."""
    torch.testing.assert_close(
        actual.double(), torch.as_tensor(expected).double(), rtol=1e-5, atol=1e-5
    )


# -- Part 1: rewards to go -------------------------------------------------------------------------


def test_returns_of_three_steps():
    # gamma = 0.5, from the last step to the first:  4;  2 + 0.5 * 4 = 4;  1 + 0.5 * 4 = 3
    close(work.discounted_returns(torch.tensor([1.0, 2.0, 4.0]), 0.5), [3.0, 4.0, 4.0])


def test_returns_of_two_padded_episodes():
    # The second column is one step long; the 9 under mask 0 is padding.
    rewards = torch.tensor([[1.0, 5.0], [2.0, 9.0], [4.0, 9.0]])
    mask = torch.tensor([[1, 1], [1, 0], [1, 0]])
    close(work.discounted_returns(rewards, 0.5, mask), [[3.0, 5.0], [4.0, 0.0], [4.0, 0.0]])
    with pytest.raises(ValueError, match=" "):
        work.discounted_returns(rewards, 0.5, torch.tensor([[1, 1], [0, 0], [1, 0]]))


# -- Part 2: policies ------------------------------------------------------------------------------


def test_policies_categorical_log_prob():
    # Logits ln 1 and ln 3: probabilities 1/4 and 3/4.
    policy = work.CategoricalPolicy(torch.tensor([[0.0, math.log(3.0)]] * 2))
    close(policy.log_prob(torch.tensor([0, 1])), [math.log(0.25), math.log(0.75)])


def test_policies_categorical_entropy():
    # The uniform policy of four actions: ln 4.
    close(work.CategoricalPolicy(torch.zeros(4)).entropy(), math.log(4.0))


def test_policies_categorical_sample():
    actions = work.CategoricalPolicy(torch.tensor([0.0, 2.0]).expand(500, 2)).sample(
        torch.Generator().manual_seed(0)
    )
    assert actions.shape == (500,) and set(actions.tolist()) == {0, 1}


def test_policies_gaussian_log_prob():
    # Two components at distance 0 and 2 from means 0 and 1, standard deviations 1 and 2:
    #   -ln(2 pi)/2 - 0 - 0     and     -ln(2 pi)/2 - ln 2 - (2/2)^2 / 2
    policy = work.GaussianPolicy(torch.tensor([[0.0, 1.0]]), torch.tensor([0.0, math.log(2.0)]))
    close(
        policy.log_prob(torch.tensor([[0.0, 3.0]])), [-math.log(2 * math.pi) - math.log(2.0) - 0.5]
    )
    close(policy.entropy(), [math.log(2 * math.pi * math.e) + math.log(2.0)])


# -- Part 3: the loss ------------------------------------------------------------------------------


def test_loss_of_two_episodes():
    # Episode one: -(2 * -1 + 3 * -2) = 8.  Episode two, one step: -(4 * -0.5) = 2.  Their mean: 5.
    logp = torch.tensor([[-1.0, -0.5], [-2.0, -9.0]])
    weights = torch.tensor([[2.0, 4.0], [3.0, 9.0]])
    close(work.policy_gradient_loss(logp, weights, torch.tensor([[1, 1], [1, 0]])), 5.0)


def test_loss_with_discounted_states():
    # gamma = 0.5: the second step counts half. -(2 * -1 + 0.5 * 3 * -2) = 5
    loss = work.policy_gradient_loss(
        torch.tensor([-1.0, -2.0]), torch.tensor([2.0, 3.0]), None, 0.5, True
    )
    close(loss, 5.0)


def test_loss_gives_no_gradient_to_the_weights():
    logp, weights = (
        torch.tensor([-1.0, -2.0]).requires_grad_(),
        torch.tensor([2.0, 3.0]).requires_grad_(),
    )
    work.policy_gradient_loss(logp, weights).backward()
    close(logp.grad, [-2.0, -3.0])
    assert weights.grad is None or not weights.grad.any()


# -- Part 4: baselines -----------------------------------------------------------------------------


def test_baselines_standardize():
    # 1, 3, 5 have mean 3 and population variance 8/3; the 99 is padding.
    found = work.standardize(torch.tensor([1.0, 3.0, 99.0, 5.0]), torch.tensor([1, 1, 0, 1]))
    close(found, [-2 / (8 / 3) ** 0.5, 0.0, 0.0, 2 / (8 / 3) ** 0.5])
    close(work.standardize(torch.tensor([7.0])), [0.0])  # and not nan


def test_baselines_value_loss():
    # Errors 1 and 3, the third is padding: (1 + 9) / 2 / 2 = 2.5
    found = work.value_loss(torch.tensor([1.0, 3.0, 9.0]), torch.zeros(3), torch.tensor([1, 1, 0]))
    close(found, 2.5)


def test_baselines_leave_one_out():
    # Means of the others: (4 + 6) / 2, (2 + 6) / 2, (2 + 4) / 2
    close(work.leave_one_out_baseline(torch.tensor([2.0, 4.0, 6.0])), [5.0, 4.0, 3.0])


# -- Part 5: the exact gradient --------------------------------------------------------------------


def test_exact_gradient_of_a_bandit():
    # One state that ends at once, probabilities 1/4 and 3/4, rewards 4 and 0: J = 1.
    #   action 0:  1/4 * (4 - 1) = 0.75     action 1:  3/4 * (0 - 1) = -0.75
    found = work.exact_policy_gradient(
        torch.zeros(1, 2, 1),
        torch.tensor([[4.0, 0.0]]),
        0.9,
        torch.ones(1),
        torch.tensor([[0.0, math.log(3.0)]]),
    )
    close(found.J, 1.0)
    close(found.gradient, [[0.75, -0.75]])


def test_exact_gradient_of_two_steps():
    # From state 0 both actions lead to state 1, which pays 8 for action 0 and ends. gamma = 0.5,
    # both policies 1/2:
    #   J = 0.5 * (1/2 * 8) = 2; state 1 is visited with weight 0.5:  0.5 * 1/2 * (8 - 4) = 1
    P = torch.zeros(2, 2, 2)
    P[0, :, 1] = 1.0
    found = work.exact_policy_gradient(
        P, torch.tensor([[0.0, 0.0], [8.0, 0.0]]), 0.5, torch.tensor([1.0, 0.0]), torch.zeros(2, 2)
    )
    close(found.J, 2.0)
    close(found.gradient, [[0.0, 0.0], [1.0, -1.0]])


# -- Part 6: training ------------------------------------------------------------------------------


class PaysOneAction(gymnasium.Env):
    """A probe: one step, and only action 1 pays."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), float(action == 1), True, False, {}


@pytest.mark.parametrize("baseline", ["none", "standardize", "leave_one_out", "value"])
def test_train_finds_the_action_that_pays(baseline):
    config = work.Config(
        max_steps=400, learning_rate=0.05, hidden=16, baseline=baseline, progress=False
    )
    result = work.train_reinforce(PaysOneAction(), config, seed=1)
    assert result.steps == 400 and len(result.returns) == 400
    with torch.no_grad():
        assert result.policy(torch.ones(1, 1)).log_prob(torch.tensor([1])).exp().item() > 0.8


def test_train_in_cartpole_keeps_to_the_budget():
    result = work.train_reinforce(
        gymnasium.make("CartPole-v1"), work.Config(max_steps=500, progress=False), seed=1
    )
    assert result.steps == 500
    assert 450 <= sum(result.returns) <= 500  # one reward for each step of the episodes that ended
