"""Public tests of dqn: worked examples, in the order of the tasks.

    python -m pytest test_local.py            at first every test fails with NotImplementedError

No points are given here. The hidden tests check other things than these: laws that hold for all
numbers, and training itself.
"""

import dqn as work
import gymnasium
import numpy as np
import pytest
import torch

# -- Part 1: replay memory -------------------------------------------------------------------------


def filled(capacity, numbers):
    """A buffer of one-number observations: transition n goes from n to n + 1, pays 10 n, terminates
    if n is even."""
    buffer = work.ReplayBuffer(capacity, (1,), np.float32)
    for n in numbers:
        buffer.add(
            np.array([n], np.float32), n, 10.0 * n, np.array([n + 1], np.float32), n % 2 == 0
        )
    return buffer


def test_rows_of_a_batch_are_whole_transitions():
    batch = filled(10, [1, 2, 3]).sample(50, np.random.default_rng(0))
    n = batch.action
    assert set(n.tolist()) == {1, 2, 3}
    assert batch.obs.shape == (50, 1) and batch.reward.shape == (50,)
    assert torch.equal(batch.obs[:, 0], n.float()) and torch.equal(batch.next_obs[:, 0], n + 1.0)
    assert torch.equal(batch.reward, 10.0 * n) and torch.equal(batch.terminated, n % 2 == 0)


def test_a_full_buffer_forgets_the_oldest():
    # Three slots: transitions 1 and 2 were overwritten by 4 and 5.
    buffer = filled(3, [1, 2, 3, 4, 5])
    assert len(buffer) == 3
    assert set(buffer.sample(100, np.random.default_rng(0)).action.tolist()) == {3, 4, 5}


def test_an_empty_buffer_has_nothing_to_sample():
    with pytest.raises(ValueError):
        work.ReplayBuffer(3, (1,), np.float32).sample(1, np.random.default_rng(0))
    assert len(filled(3, [1])) == 1


# -- Part 2: network and behaviour -----------------------------------------------------------------


def test_network_has_three_linear_layers():
    # 4 * 8 + 8  +  8 * 6 + 6  +  6 * 2 + 2  =  108 numbers
    network = work.QNetwork(4, 2, (8, 6))
    assert sum(parameter.numel() for parameter in network.parameters()) == 108
    assert network(torch.zeros(5, 4)).shape == (5, 2)


def test_greedy_action():
    assert (
        work.epsilon_greedy_action(np.array([0.1, 0.7, -2.0]), 0.0, np.random.default_rng(0)) == 1
    )


def test_exploring_takes_any_action():
    rng = np.random.default_rng(0)
    actions = [work.epsilon_greedy_action(np.array([0.1, 0.7, -2.0]), 1.0, rng) for _ in range(300)]
    # 100 of each are expected; five standard deviations are 41
    assert all(60 < actions.count(action) < 140 for action in range(3))


# -- Part 3: targets -------------------------------------------------------------------------------

REWARD = torch.tensor([1.0, 2.0])
TERMINATED = torch.tensor([False, True])
NEXT_Q_TARGET = torch.tensor([[4.0, 6.0], [8.0, 9.0]])


def test_dqn_targets():
    # 1 + 0.5 * max(4, 6) = 4;  the second step terminated: 2
    targets = work.dqn_targets(REWARD, NEXT_Q_TARGET, TERMINATED, 0.5)
    assert targets.tolist() == pytest.approx([4.0, 2.0])


def test_double_dqn_targets():
    # The online network prefers action 0, which the target network values at 4: 1 + 0.5 * 4 = 3
    next_q_online = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    targets = work.double_dqn_targets(REWARD, next_q_online, NEXT_Q_TARGET, TERMINATED, 0.5)
    assert targets.tolist() == pytest.approx([3.0, 2.0])


def test_columns_are_refused():
    with pytest.raises(ValueError):
        work.dqn_targets(REWARD, NEXT_Q_TARGET, TERMINATED[:, None], 0.5)
    assert work.dqn_targets(REWARD, NEXT_Q_TARGET, TERMINATED, 1.0).tolist() == pytest.approx(
        [7.0, 2.0]
    )


# -- Part 4: loss, target network, exploration -----------------------------------------------------


def test_losses_by_hand():
    q = torch.tensor([[1.0, 5.0], [2.0, 3.0]])
    action, target = torch.tensor([0, 1]), torch.tensor([1.5, 0.0])
    # Errors of the actions that were taken: 1 - 1.5 = -0.5 and 3 - 0 = 3
    assert work.td_loss(q, action, target, "mse").item() == pytest.approx((0.25 + 9.0) / 2)
    # Huber: 0.5 * 0.25 = 0.125 and 3 - 0.5 = 2.5
    assert work.td_loss(q, action, target, "huber").item() == pytest.approx((0.125 + 2.5) / 2)


def constant(value):
    """A layer all of whose weights are ``value``."""
    layer = torch.nn.Linear(2, 2)
    for parameter in layer.parameters():
        torch.nn.init.constant_(parameter, value)
    return layer


def test_soft_update():
    # 0.75 * 1 + 0.25 * 5 = 2
    target, online = constant(1.0), constant(5.0)
    work.soft_update_(target, online, 0.25)
    assert torch.allclose(target.weight, torch.tensor(2.0))
    assert torch.allclose(online.weight, torch.tensor(5.0))


def test_hard_update_lets_go():
    target, online = constant(1.0), constant(5.0)
    work.hard_update_(target, online)
    assert torch.allclose(target.bias, torch.tensor(5.0))
    torch.nn.init.constant_(online.bias, 7.0)
    assert torch.allclose(target.bias, torch.tensor(5.0))


def test_linear_epsilon():
    # From 1 to 0.2 in 8 steps: 0.1 less with every step, and no further
    assert work.linear_epsilon(0, 1.0, 0.2, 8) == pytest.approx(1.0)
    assert work.linear_epsilon(3, 1.0, 0.2, 8) == pytest.approx(0.7)
    assert work.linear_epsilon(99, 1.0, 0.2, 8) == pytest.approx(0.2)


# -- Part 5: training ------------------------------------------------------------------------------


class Corridor(gymnasium.Env):
    """Observations 0 and 1. The first step pays 0, the second one 1; what ends there is up to the
    test."""

    observation_space = gymnasium.spaces.Box(0.0, 2.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(1)

    def __init__(self, steps=2, terminates=True):
        self.steps, self.terminates = steps, terminates

    def reset(self, *, seed=None, options=None):
        self.at = 0
        return np.array([0.0], np.float32), {}

    def step(self, action):
        self.at += 1
        over = self.at == self.steps
        obs = np.array([min(self.at, 1)], np.float32)
        return obs, float(self.at > 1), over and self.terminates, over and not self.terminates, {}


def learned(env, **settings):
    """Q(0) and Q(1) after a short training with a discount of 1/2."""
    config = work.DQNConfig(
        total_steps=600, warmup_steps=50, train_every=2, target_every=20, batch_size=32, gamma=0.5,
        learning_rate=0.01, hidden=(16,), loss="mse", epsilon_start=1.0, epsilon_end=1.0, **settings,
    )  # fmt: skip
    result = work.train_dqn(env, config, seed=0)
    with torch.no_grad():
        return result, result.network(torch.tensor([[0.0], [1.0]])).flatten().tolist()


def test_a_reward_two_steps_away():
    # Q(1) = 1, Q(0) = 0 + 0.5 * 1
    result, q = learned(Corridor())
    assert q == pytest.approx([0.5, 1.0], abs=0.02)
    assert result.returns.tolist() == [1.0] * 300
    assert result.steps[:3].tolist() == [2, 4, 6]


def test_a_time_limit_is_not_an_ending():
    # After the first step every step pays 1 and leads to observation 1 again; a clock stops the
    # episode at step 4. Q(1) = 1 + 0.5 * Q(1) = 2, Q(0) = 0 + 0.5 * 2 = 1
    _, q = learned(Corridor(steps=4, terminates=False))
    assert q == pytest.approx([1.0, 2.0], abs=0.05)


def test_double_dqn_learns_the_same_here():
    _, q = learned(Corridor(), double=True)
    assert q == pytest.approx([0.5, 1.0], abs=0.02)


def test_evaluation_plays_greedily():
    network = torch.nn.Linear(1, 1)
    assert work.evaluate(network, Corridor(steps=4), 3, seed=0).tolist() == [3.0, 3.0, 3.0]


def test_cartpole_runs():
    # A few hundred steps teach nothing yet; they show that the loop runs on the real thing.
    env = gymnasium.make("CartPole-v1")
    config = work.DQNConfig(total_steps=600, warmup_steps=100)
    result = work.train_dqn(env, config, seed=0)
    assert len(result.returns) > 5 and result.returns.min() >= 1.0
    assert result.steps[-1] <= 600
