"""Hidden tests of continuous_control.

Densities are integrated, gradients are held against finite differences and against formulas that
are written down slowly, all in float64. What a test lends as actor and critic are small networks of
its own, so no test leans on another function of the student's. A gradient step of a whole agent is
repeated by hand, from the agent's weights and with the same noise. Training is watched from outside,
in environments that keep a diary.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from torch import nn

from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_frequencies,
    assert_no_grad,
    assert_raises,
    assert_true,
)
from autograder.judging.plugin import points

# All that the first one does is step an environment whose episode is over, which raises an
# exception. The second one has the loss of the solution, and in a training the numbers of
# "actor-without-entropy".
UNNAMED = ("plays-on-after-the-time-limit", "entropy-term-is-a-constant")


class Batch(NamedTuple):
    """Transitions, as the assignment names them."""

    obs: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    next_obs: torch.Tensor
    terminated: torch.Tensor


class Noise(NamedTuple):
    """The standard normal numbers of one gradient step."""

    next: torch.Tensor
    now: torch.Tensor


# -- data, and what a test computes itself ---------------------------------------------------------


def normal(rng, *shape, mean=0.0, scale=1.0):
    """A float64 tensor of normal numbers."""
    return torch.tensor(rng.normal(mean, scale, size=shape))


def layers(rng, *sizes, scale=0.7):
    """A network with tanh between its layers, in float64, with weights that were drawn."""
    parts = []
    for i, o in pairwise(sizes):
        layer = nn.Linear(i, o).double()
        with torch.no_grad():
            layer.weight.copy_(normal(rng, o, i, scale=scale))
            layer.bias.copy_(normal(rng, o, scale=0.4))
        parts += [layer, nn.Tanh()]
    return nn.Sequential(*parts[:-1])


def batch_of(rng, B=7, S=3, D=2, ends=True):
    """A batch with rows of all kinds: the first one terminated, the second one did not."""
    terminated = torch.tensor(rng.random(B) < 0.4)
    terminated[0], terminated[1] = True, False
    if not ends:
        terminated = torch.zeros(B, dtype=torch.bool)
    action = torch.tensor(rng.uniform(-0.95, 0.95, size=(B, D)))
    return Batch(normal(rng, B, S), action, normal(rng, B, mean=0.7), normal(rng, B, S), terminated)


def judged(critic, obs, action):
    """(B, K) what the critics say."""
    return critic(torch.cat([obs, action], dim=-1))


@torch.no_grad()
def apart(critic, obs, action):
    """Move the second critic until each of the two is the smaller one in half of the rows. No row
    is a tie, where styles differ in whom they pass the gradient to."""
    q = judged(critic, obs, action)
    gaps = (q[:, 0] - q[:, 1]).sort().values
    critic[-1].bias[1] += gaps[len(gaps) // 2 - 1 : len(gaps) // 2 + 1].mean()


def heads(output):
    """Means and log-deviations of an actor's output."""
    D = output.shape[-1] // 2
    return output[..., :D], output[..., D:].clamp(-20.0, 2.0)


@torch.no_grad()
def beyond(actor):
    """SAC's actor of two components, with a first log-deviation above its upper bound."""
    actor[-1].bias[2] += 6.0
    return actor


def log_density(u, mean, log_std):
    """(B,) the log-density of tanh(u), with the correction in terms of logcosh."""
    logcosh = u.abs() + torch.log1p((-2.0 * u.abs()).exp()) - math.log(2.0)
    each = torch.distributions.Normal(mean, log_std.exp()).log_prob(u) + 2.0 * logcosh
    return each.sum(dim=-1)


def drawn(actor, obs, noise):
    """(action, log-probability) with this noise."""
    mean, log_std = heads(actor(obs))
    u = mean + log_std.exp() * noise
    return torch.tanh(u), log_density(u, mean, log_std)


def expected_targets(batch, value, gamma):
    """(B,) row by row."""
    rows = zip(batch.reward.tolist(), value.tolist(), batch.terminated.tolist(), strict=True)
    return torch.tensor([r + (0.0 if end else gamma * v) for r, v, end in rows]).double()


def soft_value(batch, actor, critic, noise, alpha):
    """(B,) the soft value of the next observations."""
    action, log_prob = drawn(actor, batch.next_obs, noise)
    value = judged(critic, batch.next_obs, action).min(dim=1).values
    return (value - alpha * log_prob).detach()


def gradients(loss, network):
    """The gradients of a loss at a network's parameters, all in one row; zeros where there are
    none."""
    parameters = list(network.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    pairs = zip(found, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


# -- part 1: the squashed Gaussian -----------------------------------------------------------------


@points(
    1,
    part="gaussian",
    catches=(
        "heads-swapped",
        "heads-interleaved",
        "log-std-without-bounds",
        "log-std-bounded-by-tanh",
        "log-std-through-a-relu",
        "deviation-taken-for-its-logarithm",
    ),
    hint="Means first, then logarithms of deviations; those are clipped on both sides, and nothing "
    "else is done to them.",
)
def test_the_output_is_cut_in_two_and_clipped(student, rng):
    """The first half of the actor's output are means, the second log-deviations within their
    bounds."""
    for D in (1, 3):
        output = 3.0 * normal(rng, 6, 2 * D)
        output[:, D:] = torch.tensor(rng.uniform(-15.0, 1.5, size=(6, D)))
        output[0, D:], output[1, D:] = 2.0 + rng.uniform(0.5, 9.0), -20.0 - rng.uniform(0.5, 9.0)
        mean, log_std = student.gaussian_heads(output)
        assert_close(mean, output[:, :D], what="means")
        clipped = output[:, D:].clone()
        clipped[0], clipped[1] = 2.0, -20.0
        assert_close(log_std, clipped, what="log-deviations")


@points(
    2,
    part="gaussian",
    catches=(
        "correction-without-an-epsilon",
        "epsilon-caps-the-correction",
        "correction-without-the-square",
        "correction-of-half-the-size",
        "cosh-overflows",
    ),
    hint="1 - tanh(u)^2 = 4 / (e^u + e^-u)^2. Take the logarithm with pencil and paper before the "
    "computer does: softplus(x) = log(1 + e^x).",
)
def test_the_derivative_of_tanh_is_right_far_out(student, rng):
    """log(1 - tanh(u)^2) is right near 0, at 20 and at 300, and so is its gradient."""
    near = torch.tensor(rng.uniform(-2.0, 2.0, size=(4, 3)))
    assert_close(
        student.log_tanh_derivative(near), torch.log(1.0 - torch.tanh(near) ** 2), what="near 0"
    )
    far = torch.tensor(rng.uniform(20.0, 60.0, size=4) * rng.choice([-1.0, 1.0], size=4))
    # Beyond 20, e^-2|u| is nothing in float64.
    for u in (far, torch.tensor([300.0, -300.0]).double()):
        expected = 2.0 * (math.log(2.0) - u.abs())
        assert_close(student.log_tanh_derivative(u), expected, what="far out")
    single = student.log_tanh_derivative(torch.tensor([300.0, -300.0]))
    expected = 2.0 * (math.log(2.0) - torch.tensor([300.0, 300.0]).double())
    assert_close(single.double(), expected, rtol=1e-6, what="far out, in single precision")
    u = torch.cat([near.flatten(), far]).requires_grad_()
    (slope,) = torch.autograd.grad(student.log_tanh_derivative(u).sum(), u)
    assert_close(slope, -2.0 * torch.tanh(u.detach()), what="the gradient")


def density_sum(student, mean, log_std, width=12.0, n=None):
    """The integral of the density over all squashed actions, by quadrature in u; D = 1 or 2."""
    D = len(mean)
    n = n or (4001 if D == 1 else 121)
    steps = torch.linspace(-width, width, n, dtype=torch.float64)
    u = torch.cartesian_prod(*[steps] * D).reshape(-1, D)
    log_prob = student.squashed_log_prob(u, mean.expand(len(u), D), log_std.expand(len(u), D))
    volume = ((1.0 - torch.tanh(u) ** 2) * (steps[1] - steps[0])).prod(dim=1)
    return (log_prob.exp() * volume).sum()


# The trapezoidal rule on smooth functions that vanish at both ends: exact to ten digits. At |u| = 12,
# 1 - tanh(u)^2 is 1.5e-10 and has seven digits; what lies there weighs less than 1e-9.
@points(
    3,
    part="gaussian",
    catches=(
        "density-without-its-constant",
        "density-without-its-deviation",
        "correction-with-the-wrong-sign",
        "correction-left-out",
        "tanh-applied-twice",
        "log-prob-not-summed",
        "correction-counted-once",
        "correction-of-half-the-size",
    ),
    hint="A density integrates to 1. If it does not in one dimension, look at the normal "
    "log-density and at the sign of the correction; if only in two, at the sum over components.",
)
def test_the_density_integrates_to_one(student, rng):
    """The density of the squashed action integrates to 1 over all actions, with one component or
    two."""
    for D in (1, 2, 1, 2):
        mean = torch.tensor(rng.uniform(-1.0, 1.0, size=D))
        log_std = torch.tensor(rng.uniform(-0.4, 0.5, size=D))
        total = density_sum(student, mean, log_std)
        assert_close(total, torch.tensor(1.0).double(), rtol=1e-5, what="the integral")


@points(
    1,
    part="gaussian",
    catches=("log-prob-not-summed", "correction-counted-once"),
    hint="The components of an action are independent: the log-probability of the whole is the sum "
    "of theirs, each with its own correction.",
)
def test_the_log_probability_is_a_sum_over_components(student, rng):
    """The log-probability of a whole action is the sum over its components."""
    u, mean, log_std = normal(rng, 5, 3), normal(rng, 5, 3), normal(rng, 5, 3, scale=0.4)
    found = student.squashed_log_prob(u, mean, log_std)
    assert_close(found, log_density(u, mean, log_std), what="log-probabilities")
    single = [student.squashed_log_prob(*(x[:, [d]] for x in (u, mean, log_std))) for d in range(3)]
    assert_close(found, single[0] + single[1] + single[2], what="the sum of single components")


@points(
    2,
    part="gaussian",
    catches=("correction-without-an-epsilon", "epsilon-caps-the-correction"),
    hint="At |u| = 20 tanh is 1 in floating point, and the log-probability is still a finite number "
    "that is known.",
)
def test_saturated_actions_have_a_log_probability(student, rng):
    """At |u| = 20 the log-probability is still right, in double and in single precision."""
    u = torch.tensor(20.0 * rng.choice([-1.0, 1.0], size=(4, 2)))
    mean, log_std = u + normal(rng, 4, 2), normal(rng, 4, 2, scale=0.3)
    expected = log_density(u, mean, log_std)
    assert_close(student.squashed_log_prob(u, mean, log_std), expected, what="in double precision")
    single = student.squashed_log_prob(u.float(), mean.float(), log_std.float())
    assert_close(single.double(), expected, rtol=1e-4, atol=1e-4, what="in single precision")


@points(
    2,
    part="gaussian",
    catches=(
        "noise-times-the-variance",
        "noise-times-the-logarithm",
        "log-prob-of-the-squashed-number",
        "action-not-squashed",
        "goes-back-from-the-action",
    ),
    hint="u = mean + exp(log_std) * noise; the action is tanh(u), the normal density is that of u. Do "
    "not compute u back from the action: far out, tanh(u) is 1.",
)
def test_actions_are_drawn_with_the_noise(student, rng):
    """An action is tanh of mean plus deviation times noise, and its log-probability is that of this
    very action."""
    mean, noise = normal(rng, 6, 2), normal(rng, 6, 2)
    mean[0], mean[1] = 20.0, -20.0
    log_std = torch.tensor(rng.uniform(0.2, 0.7, size=(6, 2)) * rng.choice([-1, 1], size=(6, 2)))
    action, log_prob = student.squash(mean, log_std, noise)
    u = mean + log_std.exp() * noise
    assert_close(action, torch.tanh(u), what="actions")
    assert_close(log_prob, log_density(u, mean, log_std), what="log-probabilities")
    action, _ = student.squash(mean, log_std, torch.zeros_like(noise))
    assert_close(action, torch.tanh(mean), what="actions without noise")


@points(
    3,
    part="gaussian",
    catches=("sample-without-a-gradient", "log-prob-forgets-the-sample"),
    hint="Noise is a number; mean and log_std are not. Both the action and its log-probability "
    "depend on them through u, and nothing on the way may be detached.",
)
def test_the_sample_is_reparametrised(student, rng):
    """The gradients of actions and of log-probabilities are those of finite differences with the
    same noise."""
    mean, log_std = normal(rng, 4, 2, scale=0.5), normal(rng, 4, 2, scale=0.3)
    noise, weights = normal(rng, 4, 2), 0.5 + normal(rng, 4, 2) ** 2

    def total(m, s, which):
        found = student.squash(m, s, noise)
        return (weights * found[0]).sum() if which == 0 else (weights[:, 0] * found[1]).sum()

    for which, what in enumerate(("the actions", "the log-probabilities")):
        leaves = mean.clone().requires_grad_(), log_std.clone().requires_grad_()
        loss = total(*leaves, which)
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
        for number, name in enumerate(("means", "log-deviations")):
            numbers = torch.zeros_like(mean)
            for i in range(4):
                for d in range(2):
                    step = torch.zeros_like(mean)
                    step[i, d] = 1e-5
                    up, down = ([mean, log_std] for _ in range(2))
                    up, down = list(up), list(down)
                    up[number], down[number] = up[number] + step, down[number] - step
                    numbers[i, d] = (total(*up, which) - total(*down, which)).item() / 2e-5
            slope = torch.zeros_like(mean) if found[number] is None else found[number]
            assert_close(slope, numbers, rtol=1e-5, atol=1e-6, what=f"{what}, in the {name}")


# -- part 2: the agent's scale and the environment's -----------------------------------------------


def bounds(rng, D=3):
    """(low, high), far from symmetric."""
    low = rng.uniform(-5.0, 2.0, size=D)
    return low, low + rng.uniform(0.5, 3.0, size=D)


@points(
    1,
    part="box",
    catches="box-is-symmetric",
    hint="-1 becomes low and 1 becomes high, also where the Box does not lie around 0.",
)
def test_the_ends_of_the_scale_are_the_bounds(student, rng):
    """-1 becomes the lower bound, 1 the upper one, and between them the map is linear."""
    low, high = bounds(rng)
    ones, share = np.ones(3), rng.uniform(0.1, 0.9, size=(4, 3))
    assert_close(student.to_box(-ones, low, high), low, what="the lower ends")
    assert_close(student.to_box(ones, low, high), high, what="the upper ends")
    found = student.to_box(2.0 * share - 1.0, low, high)
    assert_close(found, (1.0 - share) * low + share * high, what="between the ends")
    beyond = student.to_box(np.array([1.5, -1.5, 1.0 + 1e-7]), low, high)
    assert_close(beyond, np.array([high[0], low[1], high[2]]), what="beyond the ends")


@points(
    1,
    part="box",
    catches="inverse-of-a-symmetric-box",
    hint="from_box undoes to_box: subtract low before you divide.",
)
def test_the_way_back_is_the_inverse(student, rng):
    """from_box takes every action of the environment back to where it came from."""
    low, high = bounds(rng)
    share = rng.uniform(0.05, 0.95, size=(5, 3))
    squashed, scaled = 2.0 * share - 1.0, (1.0 - share) * low + share * high
    assert_close(student.from_box(scaled, low, high), squashed, what="squashed actions")
    there = student.from_box(student.to_box(squashed, low, high), low, high)
    assert_close(there, squashed, what="there and back")


# -- part 3: DDPG ----------------------------------------------------------------------------------


def numbers_of(network):
    """All parameters in one row."""
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@points(
    2,
    part="ddpg",
    catches=("tau-on-the-wrong-side", "moves-the-online-network"),
    hint="target <- (1 - tau) * target + tau * online; the online network stays as it is.",
)
def test_target_networks_follow_exactly(student, rng):
    """Each update closes the share tau of the gap, n of them leave (1 - tau)^n, and the online
    network stays."""
    target, online = layers(rng, 3, 4, 2), layers(rng, 3, 4, 2)
    begin, goal = numbers_of(target), numbers_of(online)
    tau = float(rng.uniform(0.1, 0.3))
    for n in range(1, 5):
        student.soft_update_(target, online, tau)
        expected = goal + (1.0 - tau) ** n * (begin - goal)
        assert_close(numbers_of(target), expected, what=f"the target network after {n} updates")
        assert_close(numbers_of(online), goal, what="the online network")
    student.soft_update_(target, online, 1.0)
    assert_close(numbers_of(target), goal, what="the target network with tau = 1")
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(1.0)
    assert_close(numbers_of(target), goal, what="the target network, after the online one moved on")


@points(
    2,
    part="ddpg",
    catches=(
        "bootstraps-through-termination",
        "mask-turned-round",
        "masks-the-reward",
        "discounts-the-reward",
    ),
    hint="The reward in any case; the discounted future where the step did not terminate.",
)
def test_a_terminated_step_is_worth_its_reward(student, rng):
    """A step is worth its reward, and gamma times the next value unless it terminated."""
    for gamma in (0.8, 0.97):
        batch, value = batch_of(rng), normal(rng, 7, mean=4.0)
        expected = expected_targets(batch, value, gamma)
        assert_close(student.bootstrapped(batch, value, gamma), expected, what="targets")
    everywhere = batch._replace(terminated=torch.ones(7, dtype=torch.bool))
    assert_close(student.bootstrapped(everywhere, value, 0.9), batch.reward, what="if all end")
    with assert_raises(ValueError):
        student.bootstrapped(batch, value[:, None], 0.9)


@points(
    2,
    part="ddpg",
    catches="targets-keep-their-gradient",
    hint="A target is a number to be reached. If a gradient passes through it, the critic pulls the "
    "target down to the prediction.",
)
def test_targets_carry_no_gradient(student, rng):
    """The targets of DDPG are right where steps end and where not, and carry no gradient; neither
    does what `bootstrapped` returns."""
    batch, actor, critic = batch_of(rng), layers(rng, 3, 2), layers(rng, 5, 4, 1)
    with torch.no_grad():
        # The future is large, so that it shows after an end.
        critic[-1].bias += 8.0
    value = judged(critic, batch.next_obs, torch.tanh(actor(batch.next_obs)))[:, 0]
    expected = expected_targets(batch, value, 0.9)
    found = {
        "DDPG's targets": student.ddpg_targets(batch, actor, critic, 0.9),
        "bootstrapped values": student.bootstrapped(batch, value, 0.9),
    }
    for name, targets in found.items():
        assert_close(targets.detach(), expected, what=name)
        assert_no_grad(targets, name)


@points(
    2,
    part="ddpg",
    catches=(
        "next-action-from-the-old-state",
        "next-action-not-squashed",
        "next-action-is-the-old-one",
        "value-of-the-old-state",
        "bootstraps-through-termination",
    ),
    hint="Both networks look at the observation *after* the step; the actor's numbers pass through "
    "tanh before the critic sees them.",
)
def test_the_target_actor_chooses_and_the_target_critic_judges(student, rng):
    """DDPG's target is the reward plus gamma times the value of the target actor's next action; with
    the optimal networks of a linear-quadratic problem it is the optimal Q."""
    for D in (1, 3):
        batch = batch_of(rng, D=D)
        actor, critic = layers(rng, 3, 4, D, scale=1.5), layers(rng, 3 + D, 5, 1)
        value = judged(critic, batch.next_obs, torch.tanh(actor(batch.next_obs)))[:, 0]
        found = student.ddpg_targets(batch, actor, critic, 0.85)
        assert_close(found, expected_targets(batch, value.detach(), 0.85), what="targets")
    # The solution of a linear-quadratic problem is a fixed point.
    world = Quadratic(rng, 0.9)
    batch = world.batch(rng)
    found = student.ddpg_targets(batch, world.best, lambda x: world.value(x)[:, None], 0.9)
    expected = world.value(torch.cat([batch.obs, batch.action], dim=1))
    assert_close(found, expected, rtol=1e-6, atol=1e-7, what="targets of the optimal networks")


@points(
    2,
    part="ddpg",
    catches=(
        "compares-everything-with-everything",
        "critics-are-averaged",
        "rows-are-summed",
        "critic-loss-is-halved",
        "one-critic-learns",
        "smaller-critic-learns",
    ),
    hint="One error for each row and each critic, against the row's own target; a mean over rows, "
    "a sum over critics.",
)
def test_the_critics_are_held_against_one_target(student, rng):
    """The loss is the sum over critics of each one's mean squared error, whatever the number of
    critics."""
    for K in (1, 2, 3):
        batch, critic, targets = batch_of(rng), layers(rng, 5, 4, K), normal(rng, 7)
        q = judged(critic, batch.obs, batch.action)
        rows = zip(q.tolist(), targets.tolist(), strict=True)
        squares = [[(one - y) ** 2 for one in row] for row, y in rows]
        expected = torch.tensor(sum(map(sum, squares)) / 7).double()
        loss = student.critic_loss(critic, batch, targets)
        assert_close(loss.detach(), expected, what=f"the loss of {K} critics")
        by_hand = ((q - targets[:, None]) ** 2).mean(dim=0).sum()
        found = gradients(loss, critic)
        assert_close(found, gradients(by_hand, critic), what="the gradient")
    with assert_raises(ValueError):
        student.critic_loss(critic, batch, targets[:, None])


@points(
    1,
    part="ddpg",
    catches="target-leaks-gradient",
    hint="The prediction moves towards the target, and not the other way round.",
)
def test_the_loss_pulls_the_prediction_alone(student, rng):
    """No gradient flows into the targets, even if they could take one."""
    batch, critic = batch_of(rng), layers(rng, 5, 4, 2)
    targets = normal(rng, 7).requires_grad_()
    loss = student.critic_loss(critic, batch, targets)
    by_hand = ((judged(critic, batch.obs, batch.action) - targets.detach()[:, None]) ** 2) / 7
    assert_close(loss.detach(), by_hand.sum().detach(), what="the loss")
    (leaked,) = torch.autograd.grad(loss, targets, allow_unused=True, retain_graph=True)
    leaked = torch.zeros(7).double() if leaked is None else leaked
    found = gradients(loss, critic)
    fixed = student.critic_loss(critic.requires_grad_(False), batch, targets)
    assert_no_grad(fixed, "the loss of critics that cannot learn")
    critic.requires_grad_(True)
    assert_close(leaked, torch.zeros(7).double(), what="the gradient in the targets")
    assert_close(found, gradients(by_hand.sum(), critic), what="the gradient")


def assert_untouched(loss_of, actor, critic, *others):
    """An actor's loss passes no gradient to the critics, and they can still learn."""
    leaked = gradients(loss_of(actor, critic, *others), critic)
    actor.requires_grad_(False)
    assert_no_grad(loss_of(actor, critic, *others), "the loss of an actor that cannot learn")
    assert_close(leaked, torch.zeros_like(leaked), what="the critics' gradient")
    can_learn = [bool(p.requires_grad) for p in critic.parameters()]
    assert_equal(can_learn, [True] * 4, what="whether the critics can still learn")


@points(
    2,
    part="ddpg",
    catches=(
        "actor-gets-no-gradient",
        "actor-minimises-the-value",
        "actor-asks-the-smaller-critic",
        "actor-asks-all-critics",
        "actor-loss-is-a-sum",
        "actor-loss-trains-the-critic",
    ),
    hint="Minus the mean of the first critic's values; the gradient flows through the action into "
    "the actor, and not into the critic: freeze it while it judges.",
)
def test_the_actor_climbs_the_first_critic(student, rng):
    """The deterministic actor's loss is minus the mean value that the first critic gives its
    actions, and so is its gradient. The critic gets none."""
    for K in (1, 2):
        actor, critic, obs = layers(rng, 3, 4, 2), layers(rng, 5, 6, K), normal(rng, 6, 3)
        if K == 2:
            apart(critic, obs, torch.tanh(actor(obs)))
        value = judged(critic, obs, torch.tanh(actor(obs)))
        loss = student.deterministic_actor_loss(actor, critic, obs)
        assert_close(loss.detach(), -value[:, 0].mean().detach(), what="the loss")
        by_hand = gradients(-value[:, 0].mean(), actor)
        assert_close(gradients(loss, actor), by_hand, what="the actor's gradient")
        assert_untouched(student.deterministic_actor_loss, actor, critic, obs)


@points(
    3,
    part="sac",
    catches="actor-loss-trains-the-critic",
    hint="The gradient has to pass through the critic to the action, and must not stop at the "
    "critic's parameters: freeze them while the critic judges, and let them learn again afterwards.",
)
def test_the_actors_loss_leaves_the_critics_alone(student, rng):
    """The loss of SAC's actor reaches the actor's parameters, and none of a critic's, which can
    still learn afterwards."""
    actor, critic = layers(rng, 3, 4, scale=0.3), layers(rng, 5, 6, 2)
    obs, noise = normal(rng, 6, 3), normal(rng, 6, 2)
    loss, _ = student.sac_actor_loss(actor, critic, obs, noise, 0.4)
    action, log_prob = drawn(actor, obs, noise)
    by_hand = (0.4 * log_prob - judged(critic, obs, action).min(dim=1).values).mean()
    assert_close(gradients(loss, actor), gradients(by_hand, actor), what="the actor's gradient")
    assert_untouched(lambda *all_: student.sac_actor_loss(*all_)[0], actor, critic, obs, noise, 0.4)


@points(
    1,
    part="ddpg",
    catches=("exploration-is-not-clipped", "exploration-with-the-variance"),
    hint="std times noise is added; the sum is clipped to [-1, 1].",
)
def test_exploration_stays_within_the_scale(student, rng):
    """A noisy action is the action plus std times noise, clipped to [-1, 1]."""
    for std in (0.3, 1.7):
        action = rng.uniform(-0.9, 0.9, size=6)
        noise = rng.choice([-1.0, 1.0], size=6) * rng.uniform(0.3, 1.0, size=6)
        noise[0], noise[1] = 7.0, -7.0
        expected = np.minimum(np.maximum(action + std * noise, -1.0), 1.0)
        assert_close(student.noisy_action(action, std, noise), expected, what="noisy actions")


# -- part 4: TD3 -----------------------------------------------------------------------------------


@points(
    2,
    part="td3",
    catches=(
        "target-noise-is-not-clipped",
        "target-noise-clipped-before-scaling",
        "target-noise-with-the-variance",
        "one-noise-for-the-batch",
        "target-noise-before-tanh",
        "target-action-is-not-clipped",
    ),
    hint="First std * noise is clipped to the given size, then the sum of action and noise to "
    "[-1, 1]. The noise is added after tanh.",
)
def test_the_target_noise_is_clipped_then_the_action(student, rng):
    """The target noise is scaled and clipped, added to the squashed action, and the sum is clipped
    again."""
    obs = normal(rng, 40, 3)
    noise = 2.0 * normal(rng, 40, 2)
    noise[:6, 0] = torch.tensor([6.0, -6.0, 0.4, -0.4, 1.0, -1.0])
    actor = layers(rng, 3, 2, scale=1.2)
    with torch.no_grad():
        # The first component is small, so that the noise is clipped and the action is not; the
        # second is often near 1.
        actor[0].weight[0] *= 0.1
        actor[0].bias[0] *= 0.1
    action = torch.tanh(actor(obs)).detach()
    for std, clip in ((0.3, 0.45), (0.2, 0.3)):
        expected = (action + (std * noise).clamp(-clip, clip)).clamp(-1.0, 1.0)
        found = student.smoothed_action(actor, obs, noise, std, clip)
        assert_close(found.detach(), expected, atol=1e-6, what="smoothed actions")
        assert_no_grad(found, "the smoothed actions")
        gap = float((found.detach() - action).abs().max())
        assert_true(gap <= clip + 1e-6, f"no action moves further than {clip}: {gap:.3f}")
    still = student.smoothed_action(actor, obs, noise, 0.0, 0.5)
    assert_close(still.detach(), action, what="actions without target noise")


@points(
    2,
    part="td3",
    catches=(
        "trusts-the-larger-critic",
        "averages-the-critics",
        "trusts-one-critic",
        "smaller-of-the-batch",
        "targets-without-smoothing",
        "next-action-from-the-old-state",
        "value-of-the-old-state",
        "bootstraps-through-termination",
        "targets-keep-their-gradient",
    ),
    hint="In each row, the smaller of the two critics; they judge the smoothed action at the "
    "observation after the step. Then `bootstrapped`.",
)
def test_the_smaller_critic_counts_in_every_row(student, rng):
    """TD3's target takes the smaller of two critics in each row, whichever of the two it is. It
    knows ends and carries no gradient."""
    batch, noise = batch_of(rng, B=12, ends=False), normal(rng, 12, 2)
    actor, critic = layers(rng, 3, 2), layers(rng, 5, 6, 2)
    action = torch.tanh(actor(batch.next_obs)).detach() + (0.3 * noise).clamp(-0.5, 0.5)
    apart(critic, batch.next_obs, action.clamp(-1.0, 1.0))
    q = judged(critic, batch.next_obs, action.clamp(-1.0, 1.0)).detach()
    found = student.td3_targets(batch, actor, critic, noise, 0.9, 0.3, 0.5)
    assert_close(
        found, expected_targets(batch, q.min(1).values, 0.9), rtol=1e-6, atol=1e-6, what="targets"
    )
    last = critic[-1]
    with torch.no_grad():
        last.weight.copy_(last.weight.flip(0).clone())
        last.bias.copy_(last.bias.flip(0).clone())
    again = student.td3_targets(batch, actor, critic, noise, 0.9, 0.3, 0.5)
    assert_close(
        again, found, rtol=1e-6, atol=1e-6, what="targets after the critics have changed places"
    )
    everywhere = batch._replace(terminated=torch.ones(12, dtype=torch.bool))
    ends = student.td3_targets(everywhere, actor, critic, noise, 0.9, 0.3, 0.5)
    assert_close(ends, batch.reward, what="targets if all steps terminate")
    assert_no_grad(found, "TD3's targets")


# -- part 5: SAC -----------------------------------------------------------------------------------


@points(
    3,
    part="sac",
    catches=(
        "entropy-left-out-of-the-target",
        "entropy-with-the-wrong-sign",
        "entropy-of-the-present-action",
        "entropy-without-temperature",
        "entropy-is-not-discounted",
        "next-action-from-the-old-state",
        "log-std-without-bounds",
        "targets-keep-their-gradient",
    ),
    hint="gamma * (value - alpha * log-probability), and both belong to the action that is drawn at "
    "the observation after the step. gaussian_heads cuts and clips what the actor says.",
)
def test_the_entropy_of_the_next_action_is_in_the_target(student, rng):
    """SAC's target holds the value and the entropy of the next action, both discounted, and carries
    no gradient."""
    for alpha, gamma in ((0.7, 0.8), (0.25, 0.93)):
        batch, noise = batch_of(rng), normal(rng, 7, 2)
        actor, critic = beyond(layers(rng, 3, 4, scale=0.4)), layers(rng, 5, 6, 2)
        expected = expected_targets(batch, soft_value(batch, actor, critic, noise, alpha), gamma)
        found = student.sac_targets(batch, actor, critic, noise, alpha, gamma)
        assert_close(found, expected, what="targets")
        assert_no_grad(found, "SAC's targets")
    # A target is linear in the temperature, and what it loses is the log-probability.
    _, log_prob = drawn(actor, batch.next_obs, noise)
    hotter = student.sac_targets(batch, actor, critic, noise, alpha + 1.0, gamma)
    fall = torch.where(batch.terminated, 0.0, -gamma * log_prob.detach())
    assert_close(hotter - found, fall, what="what a target gains if the temperature rises by 1")


@points(
    2,
    part="sac",
    catches=("entropy-after-the-end", "bootstraps-through-termination", "masks-the-reward"),
    hint="After a terminated step there is no next action, hence no value and no entropy.",
)
def test_nothing_follows_a_real_end(student, rng):
    """Where a step terminated, SAC's target is the reward alone, at any temperature."""
    batch, noise = batch_of(rng), normal(rng, 7, 2)
    actor, critic = layers(rng, 3, 4, scale=0.4), layers(rng, 5, 6, 2)
    for alpha in (0.3, 4.0):
        found = student.sac_targets(batch, actor, critic, noise, alpha, 0.9)
        ends = batch.terminated
        assert_close(found[ends], batch.reward[ends], what="targets of steps that terminated")
        soft = soft_value(batch, actor, critic, noise, alpha)
        expected = expected_targets(batch, soft, 0.9)
        assert_close(found[~ends], expected[~ends], what="targets of the other steps")


@points(
    2,
    part="sac",
    catches=(
        "trusts-the-larger-critic",
        "averages-the-critics",
        "trusts-one-critic",
        "smaller-of-the-batch",
        "value-of-the-old-state",
    ),
    hint="In each row the smaller of the two critics, for the action that was drawn at the "
    "observation after the step.",
)
def test_sac_takes_the_smaller_critic_too(student, rng):
    """At temperature 0, SAC's target is the reward and the smaller critic's value of the drawn
    action."""
    batch, noise = batch_of(rng, B=12, ends=False), normal(rng, 12, 2)
    actor, critic = layers(rng, 3, 4, scale=0.4), layers(rng, 5, 6, 2)
    action, _ = drawn(actor, batch.next_obs, noise)
    apart(critic, batch.next_obs, action)
    q = judged(critic, batch.next_obs, action).detach()
    found = student.sac_targets(batch, actor, critic, noise, 0.0, 0.9)
    assert_close(found, expected_targets(batch, q.min(dim=1).values, 0.9), what="targets")


@points(
    2,
    part="sac",
    catches=(
        "sac-actor-gets-no-gradient",
        "sac-actor-asks-one-critic",
        "sac-actor-asks-the-mean",
        "sac-actor-minimises-the-value",
        "actor-avoids-entropy",
        "actor-without-entropy",
        "sac-actor-loss-is-a-sum",
        "entropy-term-is-a-constant",
        "log-std-without-bounds",
    ),
    hint="alpha * log-probability minus the smaller value, averaged over rows; the gradient passes "
    "through the drawn action in both terms.",
)
def test_the_stochastic_actor_weighs_value_against_entropy(student, rng):
    """SAC's actor loss is the mean of alpha * log-probability minus the smaller value, and so is its
    gradient."""
    obs, noise, alpha = normal(rng, 12, 3), normal(rng, 12, 2), float(rng.uniform(0.2, 0.7))
    actor, critic = beyond(layers(rng, 3, 4, scale=0.4)), layers(rng, 5, 6, 2)
    apart(critic, obs, drawn(actor, obs, noise)[0])
    action, log_prob = drawn(actor, obs, noise)
    by_hand = (alpha * log_prob - judged(critic, obs, action).min(dim=1).values).mean()
    loss, told = student.sac_actor_loss(actor, critic, obs, noise, alpha)
    assert_close(loss.detach(), by_hand.detach(), what="the loss")
    assert_close(told.detach(), log_prob.detach(), what="the log-probabilities")
    assert_close(gradients(loss, actor), gradients(by_hand, actor), what="the actor's gradient")


# The quantile rule with 20001 points: the reference's gradients differ from those of the integral by
# less than 4e-4. The gradient that misses the way through the sample is off by 0.015 and more.
@points(
    3,
    part="sac",
    catches=(
        "sac-actor-gets-no-gradient",
        "entropy-term-is-a-constant",
        "log-prob-forgets-the-sample",
    ),
    hint="The expected loss is an integral over all actions. Move a parameter a little: how much "
    "does the integral change? Reparametrisation gives that number, if nothing on the way is "
    "detached.",
)
def test_the_gradient_is_that_of_the_expected_loss(student, rng):
    """The reparametrised gradient is the derivative of the expected loss, which finite differences
    of an integral give."""
    n, alpha = 20001, float(rng.uniform(0.3, 0.6))
    critic, weights = (
        layers(rng, 2, 5, 2),
        [float(rng.uniform(0.3, 0.8)), float(rng.uniform(-0.6, 0.2))],
    )
    shift, place = float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.5, 1.5))
    u = torch.linspace(-9.0, 9.0, 6001, dtype=torch.float64)[:, None]

    @torch.no_grad()
    def expected(mean, log_std):
        log_prob = log_density(u, torch.tensor(mean).double(), torch.tensor(log_std).double())
        density = torch.distributions.Normal(mean, math.exp(log_std)).log_prob(u[:, 0]).exp()
        value = judged(critic, torch.full_like(u, place), torch.tanh(u)).min(dim=1).values
        return float((density * (alpha * log_prob - value)).sum() * (u[1] - u[0]))

    actor = nn.Linear(1, 2).double()
    with torch.no_grad():
        actor.weight.copy_(torch.tensor([[weights[0]], [0.0]]).double())
        actor.bias.copy_(torch.tensor([shift, weights[1]]).double())
    at = weights[0] * place + shift, weights[1]
    numbers = [
        (expected(at[0] + 1e-4, at[1]) - expected(at[0] - 1e-4, at[1])) / 2e-4,
        (expected(at[0], at[1] + 1e-4) - expected(at[0], at[1] - 1e-4)) / 2e-4,
    ]
    levels = (torch.arange(n).double() + 0.5) / n
    noise = torch.distributions.Normal(0.0, 1.0).icdf(levels)[:, None]
    loss, _ = student.sac_actor_loss(
        actor, critic, torch.full((n, 1), place).double(), noise, alpha
    )
    assert_close(loss.item(), expected(*at), rtol=0, atol=2e-3, what="the expected loss")
    found = gradients(loss, actor)[2:]
    assert_close(found, torch.tensor(numbers).double(), rtol=0, atol=4e-3, what="the gradient")


# -- a bounded linear-quadratic problem ------------------------------------------------------------


class Quadratic:
    """s' = A s + B a, reward -(s'Q s + a'R a), squashed actions; near 0 the bounds do not matter."""

    def __init__(self, rng, gamma):
        self.A = np.array([[1.0, 0.2], [0.0, 0.9]]) + 0.05 * rng.normal(size=(2, 2))
        self.B = np.array([[0.1], [0.4]]) + 0.05 * rng.normal(size=(2, 1))
        self.Q, self.R = np.diag(rng.uniform(0.3, 1.0, size=2)), np.diag(rng.uniform(0.2, 0.5, 1))
        self.gamma, self.P = gamma, np.zeros((2, 2))
        for _ in range(600):
            inner = self.R + gamma * self.B.T @ self.P @ self.B
            self.K = np.linalg.solve(inner, gamma * self.B.T @ self.P @ self.A)
            self.P = self.Q + gamma * self.A.T @ self.P @ (self.A - self.B @ self.K)

    def batch(self, rng, B=9):
        """Steps with any actions, from states and to states so near 0 that the best actions lie
        within bounds."""
        s, a = rng.uniform(-0.15, 0.15, size=(B, 2)), rng.uniform(-0.3, 0.3, size=(B, 1))
        after = s @ self.A.T + a @ self.B.T
        best = np.abs(np.concatenate([s, after]) @ self.K.T).max()
        s, a, after = (0.9 / max(best, 0.9) * x for x in (s, a, after))
        reward = -self.cost(s, self.Q) - self.cost(a, self.R)
        parts = map(torch.tensor, (s, a, reward, after, np.zeros(B, bool)))
        return Batch(*parts)

    @staticmethod
    def cost(x, matrix):
        return np.einsum("ni,ij,nj->n", x, matrix, x)

    def best(self, obs):
        """(B, 1) what an optimal actor says before tanh."""
        return torch.atanh(-obs @ torch.tensor(self.K.T))

    def value(self, x):
        """(B,) the optimal Q of observations and actions side by side."""
        s, a = np.asarray(x[:, :2]), np.asarray(x[:, 2:])
        after = s @ self.A.T + a @ self.B.T
        costs = self.cost(s, self.Q) + self.cost(a, self.R) + self.gamma * self.cost(after, self.P)
        return torch.tensor(-costs)


@points(
    2,
    part="sac",
    catches=(
        "next-action-from-the-old-state",
        "value-of-the-old-state",
        "trusts-the-larger-critic",
        "averages-the-critics",
        "discounts-the-reward",
    ),
    hint="Riccati's solution is a fixed point: with the optimal actor and the optimal Q as target "
    "critic, every target is the optimal Q itself.",
)
def test_the_optimal_q_of_a_linear_quadratic_problem_is_a_fixed_point(student, rng):
    """On a linear-quadratic problem whose solution is known, SAC's targets of the optimal networks
    at temperature 0 are the optimal Q."""
    world = Quadratic(rng, 0.9)
    batch, noise = world.batch(rng), normal(rng, 9, 1)
    expected = world.value(torch.cat([batch.obs, batch.action], dim=1))

    def two(x):
        # The second critic is an optimist.
        return torch.stack([world.value(x), world.value(x) + 0.3], dim=1)

    def wide(obs):
        return torch.cat([world.best(obs), torch.full((len(obs), 1), -20.0).double()], dim=1)

    found = student.sac_targets(batch, wide, two, noise, 0.0, 0.9)
    assert_close(found, expected, rtol=1e-6, atol=1e-7, what="targets")


# -- part 6: the temperature -----------------------------------------------------------------------


@points(
    3,
    part="temperature",
    catches=("temperature-in-its-loss", "target-entropy-with-the-wrong-sign"),
    hint="minus log_alpha times the mean of log-probability plus target entropy: the logarithm, not "
    "the temperature.",
)
def test_the_logarithm_of_the_temperature_is_in_its_loss(student, rng):
    """The temperature's loss is minus log_alpha times the mean of log-probability plus target
    entropy."""
    for _ in range(2):
        log_prob, target = normal(rng, 8, mean=1.5), float(rng.uniform(-3.0, -0.5))
        log_alpha = torch.tensor(float(rng.uniform(-2.0, -0.5))).double().requires_grad_()
        loss = student.temperature_loss(log_alpha, log_prob, target)
        gap = sum(x + target for x in log_prob.tolist()) / 8
        expected = torch.tensor(-log_alpha.item() * gap).double()
        assert_close(loss.detach(), expected, what="the loss")
        (slope,) = torch.autograd.grad(loss, log_alpha)
        assert_close(slope, torch.tensor(-gap).double(), what="the gradient in log_alpha")


@points(
    2,
    part="temperature",
    catches="temperature-falls-below-the-target",
    hint="Too little entropy: the temperature must rise. Which sign must the gradient have so that a "
    "step of descent raises it?",
)
def test_the_temperature_rises_below_the_target_entropy(student, rng):
    """A gradient step raises the temperature where the entropy is below its target, and lowers it
    above."""
    target = float(rng.uniform(-2.0, 1.0))
    for gap in (float(rng.uniform(0.3, 2.0)), -float(rng.uniform(0.3, 2.0))):
        spread = normal(rng, 9, scale=0.2)
        log_prob = spread - spread.mean() - (target - gap)  # the entropy is target - gap
        log_alpha = torch.tensor(-1.2).double().requires_grad_()
        loss = student.temperature_loss(log_alpha, log_prob, target)
        (slope,) = torch.autograd.grad(loss, log_alpha)
        moved = (log_alpha - 0.1 * slope).item()
        assert_close(moved, -1.2 + 0.1 * gap, what="log_alpha after a step")


@points(
    1,
    part="temperature",
    catches="temperature-trains-the-actor",
    hint="The log-probabilities are numbers here; otherwise the actor would be paid for changing "
    "the temperature.",
)
def test_the_temperature_does_not_train_the_actor(student, rng):
    """No gradient of the temperature's loss flows into the log-probabilities."""
    log_prob = normal(rng, 6, mean=1.0).requires_grad_()
    log_alpha = torch.tensor(-0.7).double().requires_grad_()
    loss = student.temperature_loss(log_alpha, log_prob, -1.6)
    leaked, slope = torch.autograd.grad(loss, (log_prob, log_alpha), allow_unused=True)
    fixed = student.temperature_loss(log_alpha.detach(), log_prob, -1.6)
    assert_no_grad(fixed, "the loss of a temperature that cannot learn")
    leaked = torch.zeros(6).double() if leaked is None else leaked
    assert_close(leaked, torch.zeros(6).double(), what="the gradient in the log-probabilities")
    gap = torch.as_tensor(1.6 - log_prob.detach().mean())
    assert_close(slope, gap, what="the gradient in log_alpha")


# -- part 7: one gradient step of a whole agent ----------------------------------------------------


def agent_of(student, rng, S=3, D=2, **settings):
    """An agent in float64, its settings, and its weights {name: tensor}; targets stand elsewhere."""
    settings = {"hidden": (5,), "learning_rate": 0.03, "tau": 0.3, "alpha": 0.3} | settings
    agent = student.Agent(S, D, student.Config(**settings), np.random.default_rng(5)).double()
    state = {}
    for name, value in dict(agent.state_dict()).items():
        if value.ndim == 0:
            state[name] = value
            continue
        scale = 0.2 if name.startswith(("actor", "target_actor")) else 0.6
        state[name] = normal(rng, *value.shape, scale=scale)
    agent.load_state_dict(state)
    return agent, settings, state


class ByHand:
    """The agent's gradient step, repeated here."""

    def __init__(self, algorithm, settings, state, D):
        self.algorithm, self.settings, self.D, self.taken = algorithm, settings, D, 0
        self.weights = {n: w.clone() for n, w in state.items()}
        self.target_entropy = settings.get("target_entropy")
        self.target_entropy = -float(D) if self.target_entropy is None else self.target_entropy
        self.groups = {}
        for part in ("actor", "critic", "log_alpha"):
            mine = [w for n, w in self.weights.items() if n.split(".")[0] == part]
            for w in mine:
                w.requires_grad_()
            self.groups[part] = torch.optim.Adam(mine, lr=settings["learning_rate"])

    def network(self, part):
        """One of the networks, as a function."""
        layer = {n.split(".")[1]: w for n, w in self.weights.items() if n.split(".")[0] == part}

        def apply(x):
            outputs = []
            for k in range(len(layer["weight_0"])):
                y = x
                for number in range(len(layer) // 2):
                    y = torch.relu(y) if number else y
                    y = y @ layer[f"weight_{number}"][k] + layer[f"bias_{number}"][k]
                outputs.append(y)
            return torch.cat(outputs, dim=1)

        return apply

    def descend(self, part, loss):
        """A step of Adam on these weights and no others."""
        optimizer = self.groups[part]
        mine = optimizer.param_groups[0]["params"]
        for w, g in zip(mine, torch.autograd.grad(loss, mine), strict=True):
            w.grad = g
        optimizer.step()

    def targets(self, batch, noise, alpha):
        s, critic = self.settings, self.network("target_critic")
        if self.algorithm == "sac":
            value = soft_value(batch, self.network("actor"), critic, noise.next, alpha)
        else:
            action = torch.tanh(self.network("target_actor")(batch.next_obs))
            if self.algorithm == "td3":
                clip = s["target_clip"]
                action = (action + (s["target_std"] * noise.next).clamp(-clip, clip)).clamp(-1, 1)
            value = judged(critic, batch.next_obs, action).min(dim=1).values.detach()
        return expected_targets(batch, value, s["gamma"])

    def step(self, batch, noise):
        """The critics' loss before the step."""
        s, alpha = self.settings, self.weights["log_alpha"].detach().exp()
        error = judged(self.network("critic"), batch.obs, batch.action)
        error = error - self.targets(batch, noise, alpha)[:, None]
        loss = (error**2).mean(dim=0).sum()
        self.descend("critic", loss)
        self.taken += 1
        if self.taken % s["policy_delay"] == 0:
            self.improve(batch, noise, alpha)
            for name, w in self.weights.items():
                if name.startswith("target_"):
                    goal = self.weights[name.removeprefix("target_")].detach()
                    self.weights[name] = (1 - s["tau"]) * w + s["tau"] * goal
        return loss.item()

    def improve(self, batch, noise, alpha):
        actor, critic = self.network("actor"), self.network("critic")
        if self.algorithm != "sac":
            value = judged(critic, batch.obs, torch.tanh(actor(batch.obs)))[:, 0]
            self.descend("actor", -value.mean())
            return
        action, log_prob = drawn(actor, batch.obs, noise.now)
        value = judged(critic, batch.obs, action).min(dim=1).values
        self.descend("actor", (alpha * log_prob - value).mean())
        if self.settings["learn_alpha"]:
            gap = (log_prob.detach() + self.target_entropy).mean()
            self.descend("log_alpha", -self.weights["log_alpha"] * gap)


def assert_steps_by_hand(student, rng, algorithm, steps, **settings):
    """Several gradient steps lead to the weights to which they lead by hand.

    A step of Adam moves a weight by about the learning rate, 0.03: 10,000 times the tolerance.
    """
    defaults = {
        "algorithm": algorithm, "policy_delay": 1, "gamma": 0.9, "target_std": 0.3, "target_clip": 0.4,
        "learn_alpha": True,
    }  # fmt: skip
    agent, settings, state = agent_of(student, rng, **defaults | settings)
    mine = ByHand(algorithm, settings, state, 2)
    for number in range(1, steps + 1):
        batch, noise = batch_of(rng, B=8), Noise(normal(rng, 8, 2), normal(rng, 8, 2))
        loss = student.update_(agent, batch, noise)
        expected = mine.step(batch, noise)
        assert_close(float(loss), expected, rtol=1e-5, what=f"the loss of step {number}")
        assert_equal(int(agent.gradient_steps), number, what="gradient_steps")
        found = dict(agent.state_dict())
        for name, value in mine.weights.items():
            if algorithm == "sac" and name.startswith("target_actor"):
                continue
            what = f"{name} after step {number}"
            assert_close(found[name], value.detach(), rtol=1e-5, atol=3e-6, what=what)


@points(
    5,
    part="train",
    catches=(
        "targets-from-the-online-critic",
        "sac-draws-from-a-target-actor",
        "one-noise-for-both",
        "actor-asks-the-target-critic",
        "actor-improves-at-the-next-state",
        "temperature-is-not-exponentiated",
        "target-critic-stands-still",
        "ignores-target-entropy",
        "temperature-is-not-delayed",
        "temperature-asks-the-new-actor",
    ),
    hint="Critics first, with targets from the target critics; then the actor, with the critics as "
    "they are now; then the temperature; then the target networks. Each of the two noises has its "
    "place.",
)
def test_sac_steps_are_those_of_the_handout(student, rng):
    """Gradient steps of SAC, repeated by hand: critics, actor, temperature, target networks, the
    latter three in every policy_delay-th step."""
    # A target near the entropy of these actors, about 1.3, lets the temperature turn round: what
    # Adam does with a gradient then shows its size.
    for delay, target in ((1, float(rng.uniform(1.0, 1.4))), (2, 0.0)):
        settings = {"policy_delay": delay, "target_entropy": target}
        assert_steps_by_hand(student, rng, "sac", 2 * delay + 1, **settings)


@points(
    1,
    part="train",
    catches=("temperature-always-learns", "gradients-pile-up", "clips-gradients"),
    hint="zero_grad, backward, step, for each optimiser; the temperature only if learn_alpha.",
)
def test_a_fixed_temperature_stays_what_it_is(student, rng):
    """With learn_alpha=False the temperature stays, and every gradient is that of its own batch,
    unclipped."""
    settings = {"learn_alpha": False, "policy_delay": 2, "alpha": 0.8}
    assert_steps_by_hand(student, rng, "sac", 5, **settings)


@points(
    4,
    part="train",
    catches=(
        "actor-is-not-delayed",
        "targets-are-not-delayed",
        "delay-is-out-of-step",
        "targets-from-the-online-actor",
        "target-actor-stands-still",
    ),
    hint="Actor and target networks move when the number of gradient steps, the present one "
    "included, is a multiple of policy_delay.",
)
def test_td3_delays_the_actor_and_the_target_networks(student, rng):
    """Gradient steps of TD3, repeated by hand: the critics move in each of them, all else in every
    policy_delay-th."""
    for delay in (2, 3):
        assert_steps_by_hand(student, rng, "td3", 2 * delay + 1, policy_delay=delay)


@points(
    2,
    part="train",
    catches=(
        "targets-from-the-online-actor",
        "target-actor-stands-still",
        "gradients-pile-up",
        "ddpg-is-not-delayed",
    ),
    hint="DDPG: one critic, both target networks, no target noise. policy_delay counts here, too.",
)
def test_ddpg_steps_are_those_of_the_handout(student, rng):
    """Gradient steps of DDPG, repeated by hand."""
    for delay in (1, 2):
        assert_steps_by_hand(student, rng, "ddpg", 4, policy_delay=delay)


@points(
    2,
    part="train",
    catches=(
        "evaluates-without-tanh",
        "sac-explores-around-its-mean",
        "acts-with-the-target-actor",
        "never-explores",
        "log-std-without-bounds",
    ),
    hint="Without noise: tanh of what the online actor says, SAC of its means. With noise: SAC draws "
    "(from what gaussian_heads says), the others add noise after tanh and clip.",
)
def test_actions_are_those_of_the_algorithm(student, rng):
    """Without noise an action is tanh of the actor's means; with noise each algorithm explores in
    its own way."""
    for algorithm in ("sac", "td3", "ddpg"):
        std = float(rng.uniform(0.3, 0.6))
        agent, settings, state = agent_of(student, rng, algorithm=algorithm, exploration_std=std)
        if algorithm == "sac":
            # The first log-deviation is above its bound; little noise keeps the action away from 1.
            state["actor.bias_1"][..., 2] += 6.0
            agent.load_state_dict(state)
        actor = ByHand(algorithm, settings, state, 2).network("actor")
        for _ in range(3):
            obs, noise = rng.normal(size=3), rng.normal(size=2) * np.array([0.1, 1.0])
            said = actor(torch.tensor(obs)[None]).detach()
            mean, log_std = heads(said) if algorithm == "sac" else (said, None)
            best = torch.tanh(mean)[0].numpy()
            found = student.act(agent, obs)
            assert_close(found, best, rtol=1e-5, atol=1e-6, what=f"{algorithm} without noise")
            found = student.act(agent, obs, noise)
            expected = np.clip(best + std * noise, -1.0, 1.0)
            if log_std is not None:
                expected = torch.tanh(mean + log_std.exp() * torch.tensor(noise))[0].numpy()
            assert_close(found, expected, rtol=1e-5, atol=1e-6, what=f"{algorithm} with noise")


# -- part 7: training, watched from outside --------------------------------------------------------

# No bound is the other's opposite, and the first component's Box holds [-1, 1].
LOW, HIGH = np.array([-2.0, -0.5], np.float32), np.array([3.0, 0.9], np.float32)


class Step(NamedTuple):
    """One line of the diary."""

    obs: np.ndarray
    action: np.ndarray
    reward: float
    after: np.ndarray
    terminated: bool
    truncated: bool


class World(gymnasium.Env):
    """Observations that nobody has seen before, episodes of the given lengths; every other episode
    really ends. The reward depends on the action and on luck, which a seed brings back."""

    def __init__(self, rng, lengths, low=LOW, high=HIGH):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = gymnasium.spaces.Box(low, high, low.shape, np.float32)
        self.noise, self.lengths = rng, lengths
        self.table, self.luck = rng.normal(size=101), 0
        self.diary, self.seeds, self.obs = [], [], None

    def reset(self, *, seed=None, options=None):
        self.luck = 0 if seed is not None else self.luck
        self.left = self.lengths[len(self.seeds) % len(self.lengths)]
        self.seeds.append(seed)
        self.obs = self.noise.normal(size=3).astype(np.float32)
        return self.obs, {}

    def step(self, action):
        if self.obs is None:
            raise RuntimeError("step() was called although the episode is over: call reset().")
        self.left, self.luck = self.left - 1, self.luck + 1
        after = self.noise.normal(size=3).astype(np.float32)
        reward = float(self.table[self.luck % 101] + 0.5 * np.sum(action))
        ended, real = self.left == 0, len(self.seeds) % 2 == 0
        line = Step(self.obs, np.array(action), reward, after, ended and real, ended and not real)
        self.diary.append(line)
        self.obs = None if ended else after
        return after, reward, line.terminated, line.truncated, {}

    def ends(self):
        """How many steps had been taken when each episode ended."""
        return [t for t, step in enumerate(self.diary, 1) if step.terminated or step.truncated]

    def sums(self):
        """The undiscounted returns of the episodes that ended."""
        edges = [0, *self.ends()]
        return np.array([sum(s.reward for s in self.diary[a:b]) for a, b in pairwise(edges)])


TINY = {
    "algorithm": "sac", "total_steps": 60, "warmup_steps": 20, "train_every": 1, "gradient_steps": 1, "batch_size": 8,
    "buffer_capacity": 5_000, "gamma": 0.9, "tau": 0.1, "learning_rate": 0.01, "hidden": (6,), "policy_delay": 1,
    "exploration_std": 0.1, "alpha": 0.2,
}  # fmt: skip


def train(student, lab, env, seed=3, **settings):
    """student.train in a lent environment. What comes back stays over there."""
    settings = TINY | settings
    lent, _ = lab.lend(env, budget=settings["total_steps"])
    return lab.kept(student).train(lent, student.Config(**settings), seed)


def stored(lab, result, n):
    """The transitions in the result's memory."""
    return lab.value(result.buffer.rows(np.arange(n)))


def assert_story(lab, result, env):
    """Returns and steps are those of the diary."""
    assert_close(lab.value(result.returns), env.sums(), rtol=1e-5, atol=1e-6, what="returns")
    assert_equal(lab.value(result.steps), np.array(env.ends()), what="steps")


def squashed(actions):
    """(N, D) the squashed actions of the environment's."""
    actions = np.asarray(actions, float)
    low, high = (bound[: actions.shape[1]].astype(float) for bound in (LOW, HIGH))
    return 2.0 * (actions - low) / (high - low) - 1.0


@points(
    4,
    part="train",
    catches=(
        "time-limit-is-an-ending",
        "stores-the-scaled-action",
        "action-rescaled-twice",
        "action-not-rescaled",
        "stores-obs-twice",
        "stores-the-reset-observation",
        "observation-stands-still",
        "plays-on-after-the-time-limit",
        "box-is-symmetric",
    ),
    hint="The environment gets to_box(action), the memory the squashed action. next_obs is what the "
    "step led to, and only terminated is stored: a time limit still has a future.",
)
def test_the_memory_tells_what_has_happened(student, lab, rng):
    """The memory holds what the diary of the environment says: squashed actions, observations before
    and after, real ends only."""
    env = World(rng, [5, 3, 7, 4])
    result = train(student, lab, env, total_steps=57, warmup_steps=30)
    assert_equal(len(env.diary), 57, what="the number of environment steps")
    batch, diary = stored(lab, result, 57), env.diary
    actions = squashed([step.action for step in diary])
    assert_close(
        np.asarray(batch.action, float), actions, rtol=1e-4, atol=1e-5, what="squashed actions"
    )
    for name, told in (("obs", "obs"), ("next_obs", "after"), ("reward", "reward")):
        expected = np.array([getattr(step, told) for step in diary], float)
        assert_close(
            np.asarray(getattr(batch, name), float), expected, rtol=1e-5, atol=1e-6, what=name
        )
    flags = torch.tensor([step.terminated for step in diary])
    assert_equal(batch.terminated, flags, what="terminated")
    assert_story(lab, result, env)


@points(
    2,
    part="train",
    catches=(
        "warm-up-with-normal-noise",
        "warm-up-asks-the-actor",
        "warm-up-ends-too-early",
        "action-not-rescaled",
    ),
    hint="In the warm-up every squashed action is equally likely: uniform in [-1, 1] in each "
    "component, on its own.",
)
def test_the_warm_up_is_uniform(student, lab, rng):
    """Actions of the warm-up are uniform over the whole Box, independently in each component, and
    then the actor takes over."""
    env = World(rng, [40])
    settings = {
        "total_steps": 2004,
        "warmup_steps": 2000,
        "gradient_steps": 0,
        "exploration_std": 0.0,
    }
    result = train(student, lab, env, algorithm="td3", **settings)
    actions = squashed([step.action for step in env.diary])
    held = np.asarray(stored(lab, result, 2004).action, float)
    assert_close(held, actions, rtol=1e-4, atol=1e-5, what="squashed actions in the memory")
    cells = np.clip(((actions[:2000] + 1.0) * 2.5).astype(int), 0, 4)
    counts = np.zeros((5, 5))
    np.add.at(counts, (cells[:, 0], cells[:, 1]), 1)
    assert_frequencies(counts, np.full((5, 5), 1 / 25), "where the actions of the warm-up lie")
    pairs = np.zeros((3, 3))
    thirds = np.clip(((actions[:2000, 0] + 1.0) * 1.5).astype(int), 0, 2)
    np.add.at(pairs, (thirds[:-1:2], thirds[1::2]), 1)
    assert_frequencies(pairs, np.full((3, 3), 1 / 9), "one action and the next one")
    # Exploration is off, so what follows is the actor's.
    obs = torch.tensor(np.array([step.obs for step in env.diary[1999:]]))
    said = torch.tanh(lab.value(result.agent.actor(obs))).detach().numpy()
    gaps = np.abs(said - actions[1999:]).max(axis=1)
    assert_true(bool((gaps[1:] < 1e-3).all()), "after the warm-up the actor chooses")
    assert_true(bool(gaps[0] > 1e-3), "the last action of the warm-up is not the actor's")
    assert_story(lab, result, env)


def normal_cells(noise, edges=4):
    """Numbers that should be standard normal, as cells that should be equally likely."""
    share = torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(noise)).numpy()
    return np.clip((share * edges).astype(int), 0, edges - 1)


@points(
    2,
    part="train",
    catches=(
        "warm-up-never-ends",
        "explores-with-uniform-noise",
        "one-noise-for-all-components",
        "trains-without-exploring",
        "sac-explores-around-its-mean",
        "observation-stands-still",
        "never-explores",
    ),
    hint="After the warm-up every action is act(agent, obs, noise), at the present observation, with "
    "standard normal numbers of its own for every component and every step.",
)
def test_exploration_is_normal_and_fresh(student, lab, rng):
    """After the warm-up the noise of exploration is standard normal, new in each step and in each
    component, for SAC and TD3."""
    for algorithm in ("sac", "td3"):
        env = World(rng, [40])
        settings = {"total_steps": 900, "warmup_steps": 0, "gradient_steps": 0, "hidden": ()}
        result = train(student, lab, env, algorithm=algorithm, exploration_std=0.05, **settings)
        obs = torch.tensor(np.array([step.obs for step in env.diary]))
        said = lab.value(result.agent.actor(obs)).detach().double()
        taken = squashed([step.action for step in env.diary])
        held = np.asarray(stored(lab, result, 900).action, float)
        assert_close(held, taken, rtol=1e-4, atol=1e-5, what="squashed actions in the memory")
        # Where distributions are broad or lie near a bound, actions have no digits left, or are
        # clipped. These rows are left out by what the actor said, whatever was drawn.
        if algorithm == "sac":
            mean, log_std = heads(said)
            fit = ((mean.abs() < 1.5) & (log_std < 0.5)).all(dim=1).numpy()
            noise = (np.arctanh(taken.clip(-0.9999, 0.9999)) - mean.numpy()) / log_std.exp().numpy()
        else:
            fit = (said.abs() < 1.1).all(dim=1).numpy()
            noise = (taken - torch.tanh(said).numpy()) / 0.05
        assert_true(bool(fit.sum() > 100), f"enough rows are left: {fit.sum()}")
        cells = normal_cells(noise)
        counts = np.zeros((4, 4))
        np.add.at(counts, (cells[fit, 0], cells[fit, 1]), 1)
        what = f"the noise of {algorithm}, in both components"
        assert_frequencies(counts, np.full((4, 4), 1 / 16), what)
        counts = np.zeros((4, 4))
        pairs = fit[:-1:2] & fit[1::2]
        np.add.at(counts, (cells[:-1:2, 0][pairs], cells[1::2, 0][pairs]), 1)
        what = f"the noise of {algorithm}, in two steps that follow each other"
        assert_frequencies(counts, np.full((4, 4), 1 / 16), what)
        assert_story(lab, result, env)


@points(
    3,
    part="train",
    catches=("learns-during-warmup", "learns-every-step", "one-gradient-step-a-round"),
    hint="A round of gradient steps comes at t >= warmup_steps when t is a multiple of train_every. "
    "callback is told after each round, and True ends the training.",
)
def test_gradient_steps_come_when_they_are_due(student, lab, rng):
    """Rounds of gradient steps begin when the warm-up is over, come when they are due, and the
    callback is told after each."""
    env, told, agents = World(rng, [1, 2, 1]), [], []

    def listen(news):
        agents.append(news.agent)
        told.append((int(news.step), int(news.gradient_steps), float(news.critic_loss), float(news.running_return)))  # fmt: skip
        return len(told) == 4

    settings = {"total_steps": 200, "warmup_steps": 26, "train_every": 4, "gradient_steps": 3}
    result = train(student, lab, env, callback=listen, **settings)
    assert_story(lab, result, env)
    steps = [28, 32, 36, 40]
    expected = [(t, 3 * n) for n, t in enumerate(steps, 1)]
    assert_equal([line[:2] for line in told], expected, what="steps and gradient steps")
    assert_equal(len(env.diary), 40, what="the number of environment steps")
    assert_equal(int(result.agent.gradient_steps), 12, what="gradient_steps of the agent")
    assert_true(all(np.isfinite(line[2]) and line[2] > 0 for line in told), f"losses: {told}")
    ended = np.searchsorted(env.ends(), steps, side="right")
    running = [float(env.sums()[:n][-10:].mean()) for n in ended]
    assert_close([line[3] for line in told], running, rtol=1e-5, atol=1e-6, what="running returns")
    obs = normal(rng, 5, 3).float()
    said = lab.value(result.agent.actor(obs)).detach()
    assert_close(agents[0].actor(obs).detach(), said, what="the agent of the first news")


@points(
    1,
    part="train",
    catches="ignores-batch-size",
    hint="Each gradient step draws its own batch of batch_size transitions. running_return is nan "
    "before the first episode has ended, then the mean of the latest ten at most.",
)
def test_batches_have_the_size_that_was_asked_for(student, lab, rng):
    """A gradient step on one transition is a step on one transition: its loss is that of a single
    row. The running return is nan until an episode has ended."""
    # gamma = 0 and no weight moves: the loss of a single row is one of few numbers.
    env, losses, running = World(rng, [14]), [], []

    def listen(news):
        losses.append(float(news.critic_loss))
        running.append(float(news.running_return))

    settings = {
        "total_steps": 30,
        "warmup_steps": 12,
        "gamma": 0.0,
        "batch_size": 1,
        "policy_delay": 1000,
    }
    result = train(
        student, lab, env, algorithm="td3", callback=listen, learning_rate=1e-12, **settings
    )
    batch = stored(lab, result, 30)
    x = torch.cat([batch.obs, batch.action], dim=1)
    said = lab.value(result.agent.critic(x)).detach()
    rows = ((said - batch.reward[:, None]) ** 2).sum(dim=1).double().tolist()
    nearest = [
        min(rows[: 12 + n], key=lambda row: abs(row - loss)) for n, loss in enumerate(losses)
    ]
    assert_equal(len(losses), 19, what="the number of rounds")
    assert_close(losses, nearest, rtol=2e-5, atol=1e-6, what="losses of single transitions")
    assert_true(len(set(nearest)) > 3, "different transitions are drawn")
    ended = np.searchsorted(env.ends(), range(12, 31), side="right")
    means = [float(env.sums()[:n].mean()) if n else math.nan for n in ended]
    assert_close(running, means, rtol=1e-5, atol=1e-6, what="running returns")


def lines(lab, agent, inputs):
    """(inputs, K) weights and (K,) biases of critics without hidden layers, by what they say."""
    probes = torch.cat([torch.zeros(1, inputs), torch.eye(inputs)])
    said = lab.value(agent.critic(probes)).detach()
    return said[1:] - said[0], said[0]


# With a batch for each step, the weight that moves least moves by 0.02 to 4.3 learning rates in 60
# draws; with one batch for all eight steps, by 7.98 and more.
def moved_least(student, lab, rng):
    """By how many learning rates eight gradient steps move the weight that moves least."""
    settings = {
        "algorithm": "td3", "total_steps": 12, "warmup_steps": 12, "gamma": 0.0, "batch_size": 1, "hidden": (),
        "learning_rate": 1e-4, "policy_delay": 1000,
    }  # fmt: skip
    weights = []
    for steps in (0, 8):
        agent = train(student, lab, World(rng, [50]), gradient_steps=steps, **settings).agent
        weights.append(lines(lab, agent, 5)[0])
    return float((weights[1] - weights[0]).abs().min()) / 1e-4


def target_noise_ranks(student, lab, rng, n=400, m=303):
    """(n,) The rank of each critic loss of a training among m losses with noise of the test's own,
    and which rows are fit for it.

    The memory holds the latest step alone and no weight moves, so what is left is the noise in TD3's
    targets. Ranks of a correct solution are uniform over 0, 1, ..., m.
    """
    env, losses = World(rng, [n], LOW[:1], HIGH[:1]), []
    # All targets are above all values, so that a larger target has a larger loss.
    env.table += 20.0
    settings = {
        "algorithm": "td3", "total_steps": n, "warmup_steps": 1, "batch_size": 1, "buffer_capacity": 1, "hidden": (),
        "learning_rate": 1e-12, "policy_delay": 10**6, "target_std": 0.1, "target_clip": 1.0,
    }  # fmt: skip

    def listen(news):
        losses.append(float(news.critic_loss))

    agent = train(student, lab, env, callback=listen, **settings).agent
    columns = ([getattr(step, name) for step in env.diary] for name in ("obs", "after", "reward"))
    obs, after, reward = (torch.tensor(np.array(column)).float() for column in columns)
    action = torch.tensor(squashed([step.action for step in env.diary])).float()
    q = lab.value(agent.critic(torch.cat([obs, action], dim=1))).detach()
    said = torch.tanh(lab.value(agent.actor(after)).detach())
    noisy = (said + 0.1 * normal(rng, n, m).float()).reshape(n * m, 1)
    x = torch.cat([after.repeat_interleave(m, dim=0), noisy], dim=1)
    # Without hidden layers critics are linear, and the targets' copies are like them.
    weight, bias = lines(lab, agent, 4)
    targets = reward[:, None] + 0.9 * (x @ weight + bias).amin(dim=1).reshape(n, m)
    mine = ((q[:, None, :] - targets[:, :, None]) ** 2).sum(dim=2)
    ranks = (mine < torch.tensor(losses)[:, None]).sum(dim=1).numpy()
    # Near a bound actions are clipped: these rows are left out by what the actor said.
    return ranks, (said.abs() < 0.6)[:, 0].numpy()


@points(
    1,
    part="train",
    catches=("one-batch-a-round", "learns-with-the-same-noise", "learns-with-uniform-noise"),
    hint="Inside the loop over gradient steps: sample a batch, draw standard normal numbers, update_.",
)
def test_every_gradient_step_has_a_batch_and_a_noise_of_its_own(student, lab, rng):
    """Each gradient step of a round draws a batch of its own, and standard normal noise of its
    own."""
    assert_true(moved_least(student, lab, rng) < 7.5, "different batches are drawn in a round")
    # In 78 draws of the reference, chi-square was at most 18.2 with 7 degrees of freedom, and 10.6
    # with 3; with uniform noise in the place of normal noise the first is 77 and more.
    ranks, fit = target_noise_ranks(student, lab, rng)
    assert_true(bool(fit.sum() > 100), f"enough rows are left: {fit.sum()}")
    counts = np.bincount(ranks[fit] * 8 // 304, minlength=8)
    assert_frequencies(counts, np.full(8, 1 / 8), "the noise in the targets, by ranks of losses")
    pairs, halves, both = np.zeros((2, 2)), ranks * 2 // 304, fit[:-1:2] & fit[1::2]
    np.add.at(pairs, (halves[:-1:2][both], halves[1::2][both]), 1)
    what = "the noise in the targets of two steps that follow each other"
    assert_frequencies(pairs, np.full((2, 2), 1 / 4), what)


@points(
    1,
    part="train",
    catches=(
        "reseeds-every-episode",
        "return-runs-on",
        "ignores-the-capacity",
        "agent-has-a-seed-of-its-own",
    ),
    hint="Seed the first reset; a reset without a seed goes on with the environment's own dice. A "
    "return is the sum of one episode's rewards. The generator of the seed makes the agent before "
    "it makes anything else, and the memory holds buffer_capacity transitions.",
)
def test_only_the_first_reset_is_seeded(student, lab, rng):
    """The seed goes to the first reset and to no other, its generator makes the agent first, and
    returns and memory are those of the episodes."""
    env = World(rng, [6, 4])
    settings = {"total_steps": 45, "gradient_steps": 0, "buffer_capacity": 20}
    result = train(student, lab, env, seed=41, **settings)
    assert_equal(len(result.buffer), 20, what="the number of transitions in the memory")
    idle = student.Agent(3, 2, student.Config(**TINY), np.random.default_rng(41))
    obs = normal(rng, 5, 3).float()
    said = lab.value(result.agent.actor(obs)).detach()
    assert_close(said, idle.actor(obs).detach(), what="what the agent's actor says")
    assert_story(lab, result, env)
    assert_equal(env.seeds[0], 41, what="the seed of the first reset")
    later = set(env.seeds[1:])
    assert_true(len(env.seeds) >= 8 and later == {None}, f"the later resets: {env.seeds}")


@points(
    1,
    part="train",
    catches="draws-from-global-dice",
    hint="All randomness comes from one generator, which the seed makes. Global generators belong to "
    "the program that called.",
)
def test_a_seed_decides_everything(student, lab, rng):
    """The same seed gives the same run, another seed another one, and global generators stay as they
    are."""
    noise, runs = int(rng.integers(1000)), []
    for global_seed, seed in ((1, 5), (2, 5), (2, 6)):
        env = World(np.random.default_rng(noise), [9])
        lab.seed(global_seed)
        before = lab.global_rng_state()
        result = train(student, lab, env, seed=seed)
        after = lab.global_rng_state()
        assert_story(lab, result, env)
        assert_equal(after, before, what="the state of the global generators")
        runs.append(np.array([step.action for step in env.diary]))
    assert_close(runs[1], runs[0], rtol=1e-5, atol=1e-6, what="the actions of a second run")
    assert_true(bool(np.abs(runs[2] - runs[0]).max() > 1e-2), "another seed gives another run")


@points(
    2,
    part="train",
    catches=("explores-in-evaluation", "evaluation-rescales-twice", "evaluation-reseeds"),
    hint="Evaluation asks how good the policy is: no noise, actions in the environment's units, the "
    "seed for the first reset only.",
)
def test_evaluation_is_without_noise(student, lab, rng):
    """Evaluation takes the agent's best guess at every step, in the environment's units, and returns
    the sum of each episode's rewards."""
    for algorithm in ("sac", "ddpg"):
        config = student.Config(algorithm=algorithm, hidden=(5,), exploration_std=0.4)
        agent = student.Agent(3, 2, config, np.random.default_rng(int(rng.integers(1000))))
        env = World(rng, [30, 20, 25])
        lent, _ = lab.lend(env, budget=75)
        returns = student.evaluate(agent, lent, 3, 17)
        said = agent.actor(torch.tensor(np.array([step.obs for step in env.diary]))).detach()
        best = torch.tanh(said[:, :2]).numpy()
        taken = squashed([step.action for step in env.diary])
        assert_close(taken, best.astype(float), rtol=1e-4, atol=1e-4, what="actions")
        assert_close(returns, env.sums(), rtol=1e-5, atol=1e-6, what="returns")
        assert_equal(env.seeds[0], 17, what="the seed of the first reset")
        later = set(env.seeds[1:])
        assert_true(len(env.seeds) >= 3 and later == {None}, f"the later resets: {env.seeds}")
    with assert_raises(ValueError):
        student.evaluate(agent, lent, 0, 17)


# -- learning check --------------------------------------------------------------------------------
#
# `verify continuous_control --bars` measures 30 reference seeds, and the proof keeps the figures:
# median -178, lowest -724, none below the bar. A policy that does nothing gets about -1240, a random one about -1230. Each seed has the same chance to fail, so
# four of them fail together with its fourth power: 8.1e-5 if it is 9.5%, which is the bound (95%
# confidence) if none of 30 fails.

PENDULUM_BAR, PENDULUM_SEEDS = -900.0, (1, 2, 3, 4)
PENDULUM = {
    "algorithm": "sac", "total_steps": 2_200, "warmup_steps": 300, "batch_size": 64, "gamma": 0.97, "hidden": (64, 64),
    "learning_rate": 3e-3, "tau": 0.02, "alpha": 0.2,
}  # fmt: skip


def swing_up(student, lab, seed):
    """The mean return of the trained actor without noise, over 20 episodes side by side."""
    env = lab.practice("Pendulum-v1", budget=PENDULUM["total_steps"])
    result = lab.kept(student).train(env, student.Config(**PENDULUM), seed)
    lab.curve(lab.value(result.returns))
    envs = gymnasium.make_vec("Pendulum-v1", num_envs=20, vectorization_mode="sync")
    obs, _ = envs.reset(seed=1000 + seed)
    total = np.zeros(20)
    for _ in range(200):
        said = lab.value(result.agent.actor(torch.tensor(obs, dtype=torch.float32))).detach()
        assert_close(said * 0.0, torch.zeros(20, 2), what="the actor's output times zero")
        obs, rewards, *_ = envs.step(2.0 * torch.tanh(said[:, :1]).numpy())
        total += rewards
    return float(total.mean())


@points(
    12,
    part="train",
    learning=True,
    seconds=180,
    hint="If every exact test passes and this one does not, look at what only the loop does: fresh "
    "batches, fresh noise, the present observation.",
)
def test_the_pendulum_is_swung_up(student, lab):
    """After 2200 environment steps of Pendulum-v1, SAC's actor swings the pendulum up."""
    found = {}
    for seed in PENDULUM_SEEDS:
        found[seed] = swing_up(student, lab, seed)
        if found[seed] >= PENDULUM_BAR:
            return
    assert_true(False, f"one of the seeds reaches {PENDULUM_BAR}: {found}")
