"""REINFORCE: policy gradients from whole episodes, with and without a baseline.

Conventions, for every function of this file

* Time comes first. A batch of N episodes is a set of tensors (T, N), padded at the end: ``mask`` is
  True (or 1) for the steps that took place, and in every column these come first. A single episode
  may come as (T,), without a mask.
* What stands under mask 0 (any finite number) means nothing. It never influences a result, and
  where a result has an entry for it, that entry is 0.
* An episode is over when it is terminated or truncated. REINFORCE uses only rewards that were
  really earned, so both kinds of end are the same to it (for methods that bootstrap they are not).
* Returns, baselines and advantages are data: no gradient flows through them. Arguments are never
  changed.

S&B is Sutton and Barto (2018), "Reinforcement learning: an introduction", 2nd edition, chapter 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import torch
from torch import Tensor, nn


def _check_unit_interval(name: str, number: float) -> None:
    """Refuse discounts outside [0, 1]."""
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], but it is {number}.")


# -- Part 1: returns -------------------------------------------------------------------------------


def discounted_returns(rewards: Tensor, gamma: float, mask: Tensor | None = None) -> Tensor:
    """Rewards to go: what was earned from each step to the end of its episode.

    G_t = r_t + gamma * r_{t+1} + gamma^2 * r_{t+2} + ... = r_t + gamma * G_{t+1}     (S&B 3.8, 3.9)

    Row t holds the reward for the action of row t (S&B call it R_{t+1}).

    Args:
        rewards: (T,) or (T, N) float.
        gamma: discount for one step, in [0, 1].
        mask: the shape of rewards, bool or 0/1; valid steps come first in every column. None: all
            are valid.

    Returns:
        Tensor of the shape of rewards, 0 under mask 0, without a gradient.

    Raises:
        ValueError: gamma lies outside [0, 1], the mask has another shape, or a valid step follows a
            masked one.
    """
    _check_unit_interval("gamma", gamma)
    # TODO(returns): refuse a mask with holes; walk backwards from the last step.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(returns): refuse a mask with holes; walk backwards from the last step.")


# -- Part 2: policies ------------------------------------------------------------------------------


class CategoricalPolicy:
    """A distribution over A actions for each row of logits: pi(a) = exp(logits_a) / sum of exp(logits)   (S&B 13.2).

    Args:
        logits: (..., A) float, unnormalised log-probabilities. They are not probabilities and have
            no softmax yet.
    """

    def __init__(self, logits: Tensor) -> None:
        # TODO(policies): keep what the methods need; log_softmax is exact where log(softmax) is not.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(policies): keep what the methods need; log_softmax is exact where log(softmax) is not.")

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw an action for each row: (...,) int64, without a graph; all randomness comes from the
        generator."""
        # TODO(policies): draw from the probabilities, not the most probable one.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(policies): draw from the probabilities, not the most probable one.")

    def log_prob(self, action: Tensor) -> Tensor:
        """ln pi(action) for each row: (...,) float, differentiable in the logits. ``action``:
        (...,) int64."""
        # TODO(policies): pick each row's entry.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(policies): pick each row's entry.")

    def entropy(self) -> Tensor:
        """H = -sum over a of pi(a) ln pi(a), in nats: (...,) float, differentiable in the
        logits."""
        # TODO(policies): minus the mean log-probability under the policy itself.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(policies): minus the mean log-probability under the policy itself.")


class GaussianPolicy:
    """Independent normal distributions over D action components         (S&B 13.19, one component).

    Args:
        mean: (..., D) float.
        log_std: (..., D) or (D,) float, ln of the standard deviations; it is broadcast to the shape
            of mean.
    """

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        # TODO(policies): keep both, log_std in the shape of mean.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(policies): keep both, log_std in the shape of mean.")

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw an action for each row: (..., D) float, without a graph; all randomness comes from
        the generator."""
        # TODO(policies): mean plus standard deviation times standard normal noise.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(policies): mean plus standard deviation times standard normal noise.")

    def log_prob(self, action: Tensor) -> Tensor:
        """ln of the joint density of all D components: (...,) float, differentiable in mean and
        log_std."""
        # TODO(policies): independent components: their log-densities add up.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(policies): independent components: their log-densities add up.")

    def entropy(self) -> Tensor:
        """H = sum over components of log_std + ln(2 pi e) / 2, in nats: (...,) float; negative for
        narrow ones."""
        # TODO(policies): one value for each row.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(policies): one value for each row.")


# -- Part 3: the loss ------------------------------------------------------------------------------


def policy_gradient_loss(
    logp: Tensor,
    weights: Tensor,
    mask: Tensor | None = None,
    gamma: float = 1.0,
    discount_state_weight: bool = False,
) -> Tensor:
    """The loss whose gradient step is REINFORCE's update: minus the sum over time of weights_t * ln
    pi(a_t | s_t).

    It is summed over the steps of an episode and averaged over episodes (columns with at least one
    valid step). With ``discount_state_weight`` step t also counts gamma^t, as the policy gradient
    theorem has it for a discounted objective (S&B, the boxed algorithm of section 13.3; equation
    13.8 is without it); nearly everybody leaves that factor out, and so do we by default.

    Args:
        logp: (T,) or (T, N) float, ln pi of the actions that were taken; carries the gradient.
        weights: the shape of logp, returns or advantages; data, so no gradient flows into them.
        mask: the shape of logp, bool or 0/1. None: all are valid.
        gamma: discount for one step, in [0, 1]; used only with discount_state_weight.
        discount_state_weight: whether step t counts gamma^t.

    Returns:
        Scalar tensor. Its value says nothing about progress: only its gradient means something.

    Raises:
        ValueError: shapes differ, gamma lies outside [0, 1], or no step is valid.
    """
    _check_unit_interval("gamma", gamma)
    if weights.shape != logp.shape:
        raise ValueError(f"weights has shape {tuple(weights.shape)}, but logp {tuple(logp.shape)}.")
    # TODO(loss): sum over time, mean over episodes, and the sign that makes descent climb.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): sum over time, mean over episodes, and the sign that makes descent climb.")


# -- Part 4: baselines -----------------------------------------------------------------------------


def standardize(x: Tensor, mask: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """(x - mean) / (std + eps) over the valid entries, with the population standard deviation.

    Args:
        x: any shape, float.
        mask: the shape of x, bool or 0/1. None: all are valid.
        eps: keeps constant input finite, which gives zeros (a single entry is constant input).

    Returns:
        Tensor of the shape of x, 0 under mask 0, without a gradient.

    Raises:
        ValueError: the mask has another shape, or no entry is valid.
    """
    # TODO(baselines): statistics of the valid entries alone.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(baselines): statistics of the valid entries alone.")


def value_loss(values: Tensor, returns: Tensor, mask: Tensor | None = None) -> Tensor:
    """Half the mean squared error of a value baseline over valid steps: its descent is the update
    of w in S&B, section 13.4.

    Args:
        values: (T,) or (T, N) float; carries the gradient.
        returns: the shape of values; data, so no gradient flows into them.
        mask: the shape of values, bool or 0/1. None: all are valid.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: shapes differ (a silent (T,) - (T, 1) is a classic), or no step is valid.
    """
    # TODO(baselines): refuse other shapes; mean over valid steps.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(baselines): refuse other shapes; mean over valid steps.")


def leave_one_out_baseline(returns: Tensor) -> Tensor:
    """For each episode, the mean return of the others: b_i = sum over j != i of G_j / (N - 1).

    It is unbiased because it does not depend on the episode that it is subtracted from. Source:
    Kool, van Hoof and Welling (2019), "Buy 4 REINFORCE samples, get a baseline for free!", ICLR
    workshop.

    Args:
        returns: (N,) float, of N episodes that began alike.

    Returns:
        (N,) float, without a gradient.

    Raises:
        ValueError: returns is not (N,), or N < 2.
    """
    # TODO(baselines): refuse fewer than two episodes; leave each one out in turn.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(baselines): refuse fewer than two episodes; leave each one out in turn.")


# -- Part 5: the exact gradient --------------------------------------------------------------------


class ExactGradient(NamedTuple):
    """What ``exact_policy_gradient`` returns."""

    J: Tensor  # scalar: the expected discounted return from the start distribution
    gradient: Tensor  # (S, A): its derivative with respect to theta


def exact_policy_gradient(
    P: Tensor, R: Tensor, gamma: float, start: Tensor, theta: Tensor
) -> ExactGradient:
    """Objective and gradient of a tabular softmax policy, without sampling: the policy gradient
    theorem (S&B 13.5).

    pi(a|s) = softmax(theta[s])_a,   v = r_pi + gamma * P_pi v,   q(s, a) = R(s, a) + gamma * sum of P(s, a, s') v(s')
    eta(s)  = sum over t of gamma^t Pr(s_t = s):   eta = start + gamma * P_pi^T eta        (visits, not normalised)
    dJ/dtheta[s, a] = eta(s) * sum over b of q(s, b) * d pi(b|s) / d theta[s, a]

    Args:
        P: (S, A, S) float, P[s, a, s'] = probability of s' after a in s. A row may sum to less than
            1: the rest ends the episode.
        R: (S, A) float, expected reward.
        gamma: in [0, 1).
        start: (S,) float, start distribution.
        theta: (S, A) float, preferences.

    Returns:
        ExactGradient(J, gradient): J = start . v, and dJ/dtheta (S, A); both without a graph, in
        the dtype of theta.

    Raises:
        ValueError: gamma lies outside [0, 1).
    """
    if not 0.0 <= gamma < 1.0:
        raise ValueError(f"gamma must lie in [0, 1), but it is {gamma}.")
    # TODO(exact): two linear systems, one for v and one for the visits.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(exact): two linear systems, one for v and one for the visits.")


# -- Part 6: training ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    """What ``train_reinforce`` may be told."""

    max_steps: int = 50_000  # calls of env.step, at most
    episodes_per_update: int = 8
    gamma: float = 0.99
    learning_rate: float = 1e-2  # of Adam, for the policy
    baseline: str = "standardize"  # or "none", "leave_one_out", "value"
    value_learning_rate: float = 1e-2  # of Adam, for the value network
    value_updates: int = 5  # steps of the value network for each update of the policy
    entropy_coefficient: float = (
        0.0  # how much the entropy, averaged over valid steps, counts against the loss
    )
    hidden: int = 64
    progress: bool = True  # a bar with the running return; never shown where there is no terminal


class Result(NamedTuple):
    """What ``train_reinforce`` returns."""

    policy: nn.Module  # policy(observations (..., obs_dim)) -> CategoricalPolicy or GaussianPolicy
    returns: list[float]  # undiscounted return of each finished episode, in order
    steps: int  # how often env.step was called
    value: nn.Module | None = (
        None  # value(observations (..., obs_dim)) -> (..., 1); None without a value baseline
    )


class PolicyNetwork(nn.Module):
    """One hidden layer; its output parametrises a categorical or, for a Box of actions, a Gaussian
    policy."""

    def __init__(self, observation_space: Any, action_space: Any, hidden: int) -> None:
        super().__init__()
        self.continuous = not isinstance(action_space, gymnasium.spaces.Discrete)
        outputs = math.prod(action_space.shape) if self.continuous else int(action_space.n)
        self.body = _network(observation_space, outputs, hidden)
        if self.continuous:
            self.log_std = nn.Parameter(torch.full((outputs,), -0.5))

    def forward(self, observations: Tensor) -> CategoricalPolicy | GaussianPolicy:
        """The policy for each observation: (..., obs_dim) float."""
        out = self.body(observations)
        return GaussianPolicy(out, self.log_std) if self.continuous else CategoricalPolicy(out)


def _network(observation_space: Any, outputs: int, hidden: int) -> nn.Sequential:
    """Observations in, ``outputs`` numbers out."""
    inputs = math.prod(observation_space.shape)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, outputs))


def make_networks(env: Any, config: Config, seed: int) -> tuple[PolicyNetwork, nn.Sequential]:
    """A policy and a value network whose first weights depend on the seed alone; global generators
    stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = PolicyNetwork(env.observation_space, env.action_space, config.hidden)
        return policy, _network(env.observation_space, 1, config.hidden)


def train_reinforce(env: Any, config: Config, seed: int) -> Result:
    """REINFORCE (S&B section 13.3), with a baseline if asked for (13.4), on batches of whole
    episodes.

    Plays ``episodes_per_update`` episodes to their ends, makes one update of the policy from them,
    throws them away, and goes on until ``max_steps`` calls of ``env.step`` have been made. An
    episode that the budget cuts short is dropped: it is neither learned from nor reported. Whether
    the last, incomplete batch still makes an update is up to you.

    * Weights are discounted rewards to go; "none" leaves them as they are; "standardize" standardises them over the batch's valid
      steps; "leave_one_out" subtracts, at each time, the mean over the batch's other episodes
      (those that are over count 0; where there are no others, nothing is subtracted); "value"
      subtracts V(s_t) of a value network as it was before this batch, and then fits it to the same
      returns.
    * Continuous actions are clipped to the bounds of the action space on their way to the
      environment, and only there: log_prob is that of the action that was drawn.
    * The environment is seeded at the first reset, with ``seed``, and never with the same seed
      again. Everything else depends on ``seed`` alone: the same call gives the same result. Global
      generators stay as they are.
    * ``PolicyNetwork`` and ``make_networks`` are given; other networks are as good.

    Args:
        env: a Gymnasium environment (not a vector of them) with a Box of observations, and Discrete
            or Box actions.
        config: see ``Config``.
        seed: of networks, sampling and environment.

    Returns:
        Result(policy, returns, steps, value).

    Raises:
        ValueError: an unknown baseline, or fewer than one episode an update.
    """
    # TODO(train): refuse what the docstring names; then play, pad, weigh, step, with the functions above.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(train): refuse what the docstring names; then play, pad, weigh, step, with the functions above.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# returns=  policies=  loss=  baselines=  exact=  train=
