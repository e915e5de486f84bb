"""Public tests of `ppo`: small worked examples, in the order of the tasks. No points; everything is
visible.

    python -m pytest test_local.py                all of them
    python -m pytest test_local.py -k surrogate   one part
    python -m pytest test_local.py -x --pdb       stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws that hold for every batch, on data that you have not seen, and they differentiate through
your code.
"""

import math

import numpy as np
import ppo as work
import pytest
import torch


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(
        torch.as_tensor(actual, dtype=torch.float64),
        torch.as_tensor(expected, dtype=torch.float64),
        rtol=tolerance,
        atol=tolerance,
    )


# -- Part 1: the clipped surrogate -----------------------------------------------------------------

# Four samples. The old policy gave each action probability 1/2; the new one 0.75, 0.55, 0.25 and
# 0.75.
#   ratio                1.5    1.1    0.5    1.5
#   advantage            2      2     -1     -1
#   ratio * advantage    3      2.2   -0.5   -1.5
#   clipped at 0.2       2.4    2.2   -0.8   -1.2       (1.2 * 2, 1.1 * 2, 0.8 * -1, 1.2 * -1)
#   smaller of the two   2.4    2.2   -0.8   -1.5
LOGP, OLD_LOGP = numbers(0.75, 0.55, 0.25, 0.75).log(), numbers(0.5, 0.5, 0.5, 0.5).log()
ADV = numbers(2, 2, -1, -1)


def test_surrogate_of_four_samples():
    loss, _ = work.clipped_surrogate(LOGP, OLD_LOGP, ADV)
    close(loss, -(2.4 + 2.2 - 0.8 - 1.5) / 4)


def test_surrogate_pushes_only_where_nothing_is_clipped():
    logp = LOGP.clone().requires_grad_()
    loss, _ = work.clipped_surrogate(logp, OLD_LOGP, ADV)
    loss.backward()
    # d(-ratio * adv / 4) / d logp = -ratio * adv / 4, or 0 where the clipped term is the smaller
    # one
    close(logp.grad, numbers(0, -2.2 / 4, 0, 1.5 / 4))


def test_surrogate_metrics():
    _, metrics = work.clipped_surrogate(LOGP, OLD_LOGP, ADV)
    close(metrics["clip_fraction"], 3 / 4)
    close(metrics["ratio_mean"], (1.5 + 1.1 + 0.5 + 1.5) / 4)


def test_surrogate_with_a_mask():
    loss, _ = work.clipped_surrogate(
        LOGP, OLD_LOGP, ADV, mask=torch.tensor([True, False, True, False])
    )
    close(loss, -(2.4 - 0.8) / 2)


def test_surrogate_with_a_second_bound():
    # a bad action that has become four times as likely: -4 * -1 = 4 without the second bound, 3
    # with c = 3
    sample = numbers(0.8).log(), numbers(0.2).log(), numbers(-1)
    close(work.clipped_surrogate(*sample)[0], 4.0)
    close(work.dual_clip_surrogate(*sample, c=3.0)[0], 3.0)
    with pytest.raises(ValueError):
        work.dual_clip_surrogate(*sample, c=1.0)


# -- Part 2: the other terms of the loss -----------------------------------------------------------


def test_losses_value():
    values, old, returns = numbers(1, 2), numbers(0, 2), numbers(3, 3)
    close(work.value_loss(values, old, returns), (4 + 1) / 4)
    # the first value may be at most 0.5: its error is then 2.5, larger than 2, and counts
    close(work.value_loss(values, old, returns, clip=0.5), (6.25 + 1) / 4)


def test_losses_total():
    total = work.total_loss(
        torch.tensor(1.0), torch.tensor(2.0), work.entropy_bonus(numbers(0.5, 0.7)), 0.5, 0.1
    )
    close(total, 1.0 + 0.5 * 2.0 - 0.1 * 0.6)


# -- Part 3: how far has the policy moved? ---------------------------------------------------------


def test_kl_estimators_of_one_sample():
    # the action has become twice as likely: log r = log 2
    logp, old_logp = numbers(0.5).log(), numbers(0.25).log()
    close(work.approx_kl(logp, old_logp, "k1"), -math.log(2))
    close(work.approx_kl(logp, old_logp, "k2"), math.log(2) ** 2 / 2)
    close(work.approx_kl(logp, old_logp, "k3"), 2 - 1 - math.log(2))


def test_kl_penalty_rule():
    assert [work.kl_penalty_beta(1.0, kl, 0.01) for kl in (0.05, 0.01, 0.001)] == [2.0, 1.0, 0.5]


def test_kl_controller():
    controller = work.AdaptiveKLController(0.2, 0.01, 1000)
    close(controller.update_(0.011, 500), 0.2 * (1 + 0.1 * 500 / 1000))
    controller = work.AdaptiveKLController(0.2, 0.01, 1000)
    close(controller.update_(5.0, 500), 0.2 * (1 + 0.2 * 500 / 1000))  # not more than 20 percent


def test_kl_early_stop():
    stop = work.KLEarlyStop(0.01)
    assert not stop.should_stop(0.014)
    assert stop.should_stop(0.016)


# -- Part 4: network, schedule, normalisers --------------------------------------------------------


def test_network_shapes():
    for shared in (False, True):
        model = work.ActorCritic(4, 3, hidden=(8,), shared=shared)
        assert model.value(torch.zeros(5, 4)).shape == (5,)
        close(
            model.policy(torch.zeros(5, 4)).entropy().detach(), torch.full((5,), math.log(3)), 1e-3
        )


def test_network_initialisation():
    model = work.ActorCritic(4, 3, hidden=(8,))
    for parameter in model.parameters():
        if parameter.shape == (8, 4):
            close(parameter.detach().T @ parameter.detach(), 2 * torch.eye(4))


def test_network_schedule():
    assert [work.linear_schedule(2.0, 1.0, progress) for progress in (0.0, 0.5, 1.0)] == [
        2.0,
        1.5,
        1.0,
    ]


def test_network_gradient_norm():
    grads = [numbers(3, 0), numbers(4)]
    close(work.clip_grad_norm_(grads, 1.0), 5.0)
    close(torch.cat(grads), numbers(0.6, 0, 0.8))


def test_network_normalisers():
    normalizer = work.ObservationNormalizer((1,))
    normalizer.update_(numbers(1, 3).unsqueeze(1))  # mean 2, deviation 1
    close(normalizer.normalize(numbers(5).unsqueeze(1)), numbers(3).unsqueeze(1))
    rewards = work.RewardNormalizer(2, gamma=0.5)
    rewards.update_(numbers(1, 3), torch.tensor([False, True]))  # G = 1, 3; then 1, 0
    rewards.update_(numbers(1, 1), torch.tensor([False, False]))  # G = 1.5, 1
    close(rewards.normalize(numbers(1)), numbers(1 / np.std([1, 3, 1.5, 1])))


# -- Part 5: one update ----------------------------------------------------------------------------


def one_update(**changes):
    """A linear model, a batch of eight rows, and what an update with plain gradient descent makes
    of them."""
    torch.manual_seed(0)
    model = work.LinearActorCritic(2, 3).double()
    obs, actions = torch.randn(8, 2).double(), torch.arange(8) % 3
    with torch.no_grad():
        old_logp, values = model.policy(obs).log_prob(actions), model.value(obs)
    batch = work.PPOBatch(
        obs, actions, old_logp, values, torch.randn(8).double(), torch.randn(8).double()
    )
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {"epochs": 2, "minibatch_size": 8, "progress": False} | changes
    metrics = work.ppo_update(
        model, opt, batch, work.PPOConfig(**settings), torch.Generator().manual_seed(1)
    )
    return torch.cat([p.detach().flatten() for p in model.parameters()]), metrics


def test_update_counts_its_steps():
    _, metrics = one_update(minibatch_size=3)  # 3 + 3 + 2 rows, twice
    assert (metrics["steps"], metrics["epochs"]) == (6, 2)


def test_update_in_pieces_is_the_same_update():
    whole, _ = one_update()
    for pieces in (2, 3, 8):
        close(one_update(accum_steps=pieces)[0], whole, 1e-10)


def test_update_stops_early():
    _, metrics = one_update(epochs=50, stop_kl=1e-4)
    assert metrics["steps"] == metrics["epochs"] < 50


def test_update_refuses_nan():
    with pytest.raises(FloatingPointError):
        one_update(value_coef=float("inf"))


# -- Part 6: rollouts and training -----------------------------------------------------------------


class Clock:
    """Two environments that pay 1 for each step and are cut short after two. The observation is the
    time: 0, 1, 2."""

    num_envs = 2

    def __init__(self, num_envs=2):
        import gymnasium

        self.single_observation_space = gymnasium.spaces.Box(0.0, 2.0, (1,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(2)
        self.time = 0

    def reset(self, seed=None, options=None):
        self.time = 0
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions):
        assert actions.shape == (2,)
        self.time += 1
        ended, info = np.full(2, self.time == 2), {}
        if (
            self.time == 2
        ):  # SAME_STEP: the next episode begins at once, and its first observation is shown
            final = np.empty(2, object)
            final[:] = [np.array([2.0], np.float32)] * 2
            self.time, info = 0, {"final_obs": final, "_final_obs": ended}
        return np.full((2, 1), self.time, np.float32), np.ones(2), np.zeros(2, bool), ended, info

    def close(self):
        pass


def test_training_rollout_looks_at_the_true_successor():
    model = work.LinearActorCritic(1, 2)
    torch.nn.init.ones_(model.critic.weight)
    torch.nn.init.zeros_(model.critic.bias)  # V(obs) = obs
    rollout = work.collect(
        Clock(), model, np.zeros((2, 1), np.float32), 3, torch.Generator().manual_seed(0)
    )
    close(rollout.values[:, 0], numbers(0, 1, 0))
    close(
        rollout.next_values[:, 0], numbers(1, 2, 1)
    )  # 2 at the end, not the 0 of the next episode


def test_training_values_a_clock():
    cfg = work.PPOConfig(
        total_steps=1280,
        num_envs=2,
        horizon=8,
        minibatch_size=16,
        gamma=0.5,
        learning_rate=2e-2,
        hidden=(16,),
        progress=False,
    )
    result = work.train_ppo(Clock, cfg, seed=0)
    assert result.steps == 1280
    assert result.returns == [2.0] * 640
    # cut short is not the end: 1 + 1/2 + 1/4 + ... = 2, at time 0 and at time 1
    close(result.model.value(torch.tensor([[0.0], [1.0]])).detach(), numbers(2, 2), 0.15)
