"""Proximal policy optimisation (PPO): from a clipped ratio to an agent that balances a pole.

Conventions, for every function of this file

* ``logp`` is log pi(a | s) of the policy that is being changed, ``old_logp`` that of the policy
  which collected the data. Both are of the *whole* action: a Gaussian policy has summed over the
  action's components already.
* Losses are scalar tensors to be *minimised*. They carry a gradient to
  ``logp``, ``values`` and ``entropy`` and to nothing else: what was recorded during the rollout
  (``old_logp``, ``adv``, ``old_values``, ``returns``) is data.
* ``mask`` is a bool tensor, True where an entry is valid (None: everywhere). Means run over valid
  entries only, and what stands in the others, nan included, changes nothing.
* Rollouts are (T, N, ...): T steps of N environments side by side, time first.
  ``terminated`` and ``truncated`` are never merged.
* Randomness comes from the generator that is handed in. Arguments are never changed, except by
  names that end in ``_``.

Source: Schulman, Wolski, Dhariwal, Radford and Klimov (2017), "Proximal policy optimization
algorithms", arXiv:1707.06347. Equation numbers are those of that paper unless another one is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import tqdm
from policies import CategoricalPolicy, GaussianPolicy
from rollouts import RunningMeanStd, explained_variance, gae
from torch import Tensor, nn

# -- Given: settings and a small model -------------------------------------------------------------
# Nothing to write here. policies.py and rollouts.py beside this file are given as well: you wrote
# most of them in `reinforce` and `gae`. Read them once, the rest of the file builds on them.


@dataclass(frozen=True)
class PPOConfig:
    """Settings of ``ppo_update`` and ``train_ppo``. The defaults suit CartPole-v1."""

    total_steps: int = (
        50_000  # environment steps in all, counted over all environments; never exceeded
    )
    num_envs: int = 16  # environments side by side (N)
    horizon: int = 64  # steps of each environment in a rollout (T)
    epochs: int = 10  # passes over a rollout
    minibatch_size: int = (
        256  # samples of one optimiser step; the last minibatch of an epoch may be smaller
    )
    accum_steps: int = 1  # pieces of a minibatch that go through the network one after the other
    learning_rate: float = 5e-3  # of the first update
    anneal: bool = True  # lower the learning rate linearly from update to update, towards 0
    gamma: float = 0.98  # discount for one step
    lam: float = 0.95  # lambda of GAE
    clip_low: float = 0.2  # ratios below 1 - clip_low are clipped
    clip_high: float | None = None  # ratios above 1 + clip_high are clipped; None: as clip_low
    dual_clip: float | None = None  # the c of the dual clip; None: the plain surrogate
    value_clip: float | None = None  # values may move this far from old_values; None: no clipping
    value_coef: float = 0.5  # c_1 of eq. 9
    entropy_coef: float = 0.0  # c_2 of eq. 9
    normalize_advantages: bool = True  # to mean 0 and population deviation 1, within each minibatch
    max_grad_norm: float = 0.5  # joint norm of all gradients of one optimiser step
    stop_kl: float | None = None  # KL early stop: the target of KLEarlyStop; None: no stop
    kl_coef: float = 0.0  # beta of the KL penalty (eq. 8); 0: no penalty
    kl_target: float | None = (
        None  # kl_penalty_beta adapts beta to this KL after each update; None: beta stays
    )
    normalize_obs: bool = False
    normalize_rewards: bool = False
    hidden: tuple[int, ...] = (64, 64)
    shared: bool = False  # one trunk for actor and critic
    progress: bool = True  # a progress bar, where standard error is a terminal


class PPOBatch(NamedTuple):
    """The samples of one rollout, flat: B = T * N rows, none of them with a gradient."""

    obs: Tensor  # (B, ...)
    actions: Tensor  # (B,) int64 or (B, D)
    old_logp: Tensor  # (B,)
    old_values: Tensor  # (B,)
    advantages: Tensor  # (B,), not normalised
    returns: Tensor  # (B,)


class Rollout(NamedTuple):
    """What ``collect`` returns: row t of each tensor belongs to step t."""

    obs: Tensor  # (T, N, ...), what the policy saw before the step
    actions: Tensor  # (T, N) int64 or (T, N, D), as sampled: not clipped
    logp: Tensor  # (T, N), of these actions
    rewards: Tensor  # (T, N), as the environment gave them
    values: Tensor  # (T, N), V of obs
    next_values: Tensor  # (T, N), V of the state that the step really led to
    terminated: Tensor  # (T, N) bool
    truncated: Tensor  # (T, N) bool
    last_obs: np.ndarray  # (N, ...), where the next rollout begins


class Result(NamedTuple):
    """What ``train_ppo`` returns."""

    model: Any  # the trained ActorCritic
    returns: list[
        float
    ]  # undiscounted return of each finished episode, in the order in which they ended (those that
    # end in the same step: in the order of the environments)
    steps: int  # environment steps taken


class LinearActorCritic(nn.Module):
    """A model small enough to follow with a pencil: linear logits (or means), linear values. For
    tests and for debugging.

    It has the interface of ``ActorCritic``: ``policy(obs)`` and ``value(obs)``.
    """

    def __init__(self, obs_dim: int, action_dim: int, continuous: bool = False) -> None:
        super().__init__()
        self.actor = nn.Linear(obs_dim, action_dim)
        self.critic = nn.Linear(obs_dim, 1)
        self.log_std = nn.Parameter(torch.zeros(action_dim)) if continuous else None

    def policy(self, obs: Tensor) -> CategoricalPolicy | GaussianPolicy:
        """The policy at obs (B, obs_dim)."""
        if self.log_std is not None:
            return GaussianPolicy(self.actor(obs), self.log_std)
        return CategoricalPolicy(self.actor(obs))

    def value(self, obs: Tensor) -> Tensor:
        """V(obs), (B,)."""
        return self.critic(obs).squeeze(-1)


def _check_losses(mask: Tensor | None, **tensors: Tensor) -> None:
    """Refuse tensors of different shapes, and a mask without a valid entry."""
    (first, model), *others = tensors.items()
    for name, tensor in [*others, *([("mask", mask)] if mask is not None else [])]:
        if tensor.shape != model.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}, but {first} {tuple(model.shape)}."
            )
    if model.numel() == 0 or (mask is not None and not bool(mask.any())):
        raise ValueError("there is no valid entry to take a mean over.")


def _check_positive(**numbers: float) -> None:
    """Refuse zero, negative numbers and nan."""
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name} must be positive, but it is {number}.")


# -- Part 1: the clipped surrogate -----------------------------------------------------------------


def clipped_surrogate(
    logp: Tensor,
    old_logp: Tensor,
    adv: Tensor,
    clip_low: float = 0.2,
    clip_high: float | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The clipped surrogate loss: gain from an action counts only while its ratio stays near 1.

    r = exp(logp - old_logp)
    loss = -mean(min(r * adv, clip(r, 1 - clip_low, 1 + clip_high) * adv))                     (eq. 7, negated; eq. 6 is r * adv)

    Args:
        logp, old_logp, adv: float tensors of one shape, (B,) or (B, L).
        clip_low, clip_high: distances from 1, positive; clip_low below 1. ``clip_high=None`` means
            clip_low.
        mask: bool, of the same shape; None: all entries are valid.

    Returns:
        (loss, metrics): a scalar with a gradient to
        ``logp`` alone, and floats over valid entries: ``clip_fraction`` (share of ratios outside [1 -
        clip_low, 1 + clip_high]), ``approx_kl`` (mean of r - 1 - log r) and ``ratio_mean``.

    Raises:
        ValueError: shapes differ, nothing is valid, or a distance is not positive (clip_low: not
            below 1).
    """
    _check_losses(mask, logp=logp, old_logp=old_logp, adv=adv)
    _check_positive(clip_low=clip_low, clip_high=clip_low if clip_high is None else clip_high)
    if clip_low >= 1:
        raise ValueError(f"clip_low must be below 1, but it is {clip_low}.")
    # TODO(surrogate): the ratio, its clipped twin, and the smaller of the two gains.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(surrogate): the ratio, its clipped twin, and the smaller of the two gains.")


def dual_clip_surrogate(
    logp: Tensor,
    old_logp: Tensor,
    adv: Tensor,
    clip_low: float = 0.2,
    clip_high: float | None = None,
    c: float = 3.0,
    mask: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The clipped surrogate with a second bound: a bad action's loss is at most c times its
    disadvantage.

    adv >= 0:  as clipped_surrogate
    adv <  0:  loss = min(max(-r * adv, -clip(r) * adv), -c * adv)         (Ye et al. 2020, arXiv:1912.09729, as a loss; eq. not numbered here)

    Without it an old, much more probable bad action (r large) has a loss and a gradient without any
    bound.

    Args:
        As clipped_surrogate, and c: the second bound, above 1.

    Returns:
        (loss, metrics) as clipped_surrogate; the metrics do not depend on c.

    Raises:
        ValueError: as clipped_surrogate, or c <= 1.
    """
    _check_losses(mask, logp=logp, old_logp=old_logp, adv=adv)
    # TODO(surrogate): refuse c <= 1; bound the loss where the advantage is negative.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(surrogate): refuse c <= 1; bound the loss where the advantage is negative.")


# -- Part 2: the other terms of the loss -----------------------------------------------------------


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    clip: float | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Half the mean squared error of the values, with an optional leash to the old ones.

    clip is None:  1/2 * mean((V - R)^2)
    otherwise:     1/2 * mean(max((V - R)^2, (V_old + clip(V - V_old, -clip, clip) - R)^2))        (no equation in the paper; its authors' code)

    Args:
        values, old_values, returns: float tensors of one shape.
        clip: how far a value may move from its old one towards the return before its gradient
            vanishes, positive; in the unit of the returns.
        mask: bool, of the same shape.

    Returns:
        A scalar with a gradient to ``values`` alone.

    Raises:
        ValueError: shapes differ, nothing is valid, or clip is not positive.
    """
    _check_losses(mask, values=values, old_values=old_values, returns=returns)
    if clip is not None:
        _check_positive(clip=clip)
    # TODO(losses): squared errors of the plain and of the clipped values; the larger one counts.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(losses): squared errors of the plain and of the clipped values; the larger one counts.")


def entropy_bonus(entropy: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean entropy of the policy over valid entries: S of eq. 9.

    Args:
        entropy: float tensor of any shape, in nats.
        mask: bool, of the same shape.

    Returns:
        A scalar with a gradient to ``entropy``.

    Raises:
        ValueError: shapes differ or nothing is valid.
    """
    _check_losses(mask, entropy=entropy)
    # TODO(losses): a mean over valid entries.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(losses): a mean over valid entries.")


def total_loss(
    policy_loss: Tensor, value_loss: Tensor, entropy: Tensor, value_coef: float, entropy_coef: float
) -> Tensor:
    """The three terms together, as something to minimise.

    loss = policy_loss + value_coef * value_loss - entropy_coef * entropy           (eq. 9, negated)

    Args:
        policy_loss, value_loss, entropy: scalars.
        value_coef, entropy_coef: weights, not negative.

    Returns:
        A scalar.

    Raises:
        ValueError: a weight is negative.
    """
    if value_coef < 0 or entropy_coef < 0:
        raise ValueError(
            f"weights may not be negative, but they are {value_coef} and {entropy_coef}."
        )
    # TODO(losses): mind which of the three should grow.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(losses): mind which of the three should grow.")


# -- Part 3: how far has the policy moved? ---------------------------------------------------------


def approx_kl(
    logp: Tensor, old_logp: Tensor, kind: str = "k3", mask: Tensor | None = None
) -> Tensor:
    """Estimate KL(old || new) from actions that the old policy took.

    With log r = logp - old_logp:  k1 = -log r,  k2 = (log r)^2 / 2,  k3 = r - 1 - log r   (Schulman 2020, "Approximating KL divergence")

    k1 and k3 are unbiased; k2 and k3 are never negative.

    Args:
        logp, old_logp: float tensors of one shape.
        kind: "k1", "k2" or "k3".
        mask: bool, of the same shape.

    Returns:
        A scalar, the mean over valid entries, with a gradient to ``logp`` alone.

    Raises:
        ValueError: shapes differ, nothing is valid, or the kind is unknown.
    """
    _check_losses(mask, logp=logp, old_logp=old_logp)
    if kind not in ("k1", "k2", "k3"):
        raise ValueError(f"the kind must be 'k1', 'k2' or 'k3', but it is {kind!r}.")
    # TODO(kl): three estimators of one number.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(kl): three estimators of one number.")


def kl_penalty_beta(beta: float, kl: float, target: float) -> float:
    """The next weight of the KL penalty (Section 4): doubled if the policy moved too far, halved if
    not far enough.

    kl > 1.5 * target: 2 * beta        kl < target / 1.5: beta / 2        otherwise: beta

    Args:
        beta: weight of the penalty so far, not negative.
        kl: KL(old || new) of the update that is over: the ``approx_kl`` of its metrics.
        target: the KL that one update should cause, positive.

    Returns:
        float.

    Raises:
        ValueError: beta is negative or target is not positive.
    """
    _check_positive(target=target)
    if beta < 0:
        raise ValueError(f"beta may not be negative, but it is {beta}.")
    # TODO(kl): two comparisons; between them nothing changes.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(kl): two comparisons; between them nothing changes.")


class AdaptiveKLController:
    """A proportional controller for the weight of a KL penalty (Ziegler et al. 2019,
    arXiv:1909.08593, Section 2.2, who have a constant in the place of n_steps / horizon).

    e = clip(kl / target - 1, -0.2, 0.2)         beta <- beta * (1 + e * n_steps / horizon)

    Args:
        init: first weight, positive.
        target: the KL to hold, positive.
        horizon: samples over which a saturated error changes beta by about 20 %, positive.

    Raises:
        ValueError: an argument is not positive.
    """

    def __init__(self, init: float, target: float, horizon: float) -> None:
        _check_positive(init=init, target=target, horizon=horizon)
        self.beta = float(init)
        self.target = float(target)
        self.horizon = float(horizon)

    def update_(self, kl: float, n_steps: int) -> float:
        """Move beta after n_steps samples whose KL was kl, and return it.

        Raises:
            ValueError: n_steps is below 1.
        """
        if n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, but it is {n_steps}.")
        # TODO(kl): a clipped relative error; beta moves by a factor, not by a summand.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(kl): a clipped relative error; beta moves by a factor, not by a summand.")


class KLEarlyStop:
    """Ends the epochs of an update once the policy has moved too far.

    Args:
        target: the KL that an update should cause, positive.
        factor: how far beyond the target is too far, at least 1.

    Raises:
        ValueError: target is not positive or factor is below 1.
    """

    def __init__(self, target: float, factor: float = 1.5) -> None:
        _check_positive(target=target)
        if not factor >= 1:
            raise ValueError(f"factor must be at least 1, but it is {factor}.")
        self.target = target
        self.factor = factor

    def should_stop(self, kl: float) -> bool:
        """True if kl exceeds factor * target."""
        # TODO(kl): one comparison.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(kl): one comparison.")


# -- Part 4: network, schedule, normalisers --------------------------------------------------------


class ActorCritic(nn.Module):
    """A policy and a value function, each with its own hidden layers, or on one common trunk.

    Hidden layers use tanh. All weights start orthogonal, hidden layers with gain sqrt(2), the
    policy's last layer with gain 0.01 (all actions are almost equally likely at first), the value's
    last layer with gain 1; all biases start at 0. A continuous policy has a log standard deviation
    of its own for each component, independent of the state, which starts at 0.

    Args:
        obs_dim: numbers in an observation.
        action_dim: number of discrete actions, or of components of a continuous one.
        hidden: sizes of the hidden layers, from the observation on; () means linear.
        shared: True: one trunk for both; False: no parameter is used by both.
        continuous: True: policy() is a GaussianPolicy; False: a CategoricalPolicy.
        generator: source of the first weights; None: torch's global one, as everywhere in torch.nn.

    Attributes:
        normalizer: None, or an ObservationNormalizer that policy() and value() apply to what they
            are given (without updating it).
    """

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        hidden: tuple[int, ...] = (64, 64),
        shared: bool = False,
        continuous: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.normalizer: ObservationNormalizer | None = None
        # TODO(network): one trunk or two, two heads, and a log_std for continuous actions.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): one trunk or two, two heads, and a log_std for continuous actions.")

    def policy(self, obs: Tensor) -> CategoricalPolicy | GaussianPolicy:
        """The policy at observations (B, obs_dim), a distribution over B actions."""
        # TODO(network): normalise the observations if there is a normaliser; then trunk and head.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): normalise the observations if there is a normaliser; then trunk and head.")

    def value(self, obs: Tensor) -> Tensor:
        """V at observations (B, obs_dim), (B,)."""
        # TODO(network): the same for the value; mind the shape.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): the same for the value; mind the shape.")


def linear_schedule(start: float, end: float, progress: float) -> float:
    """A straight line from start (progress 0) to end (progress 1).

    Raises:
        ValueError: progress lies outside [0, 1].
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must lie in [0, 1], but it is {progress}.")
    # TODO(network): a straight line.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(network): a straight line.")


def clip_grad_norm_(grads: Iterable[Tensor | None], max_norm: float) -> float:
    """Scale gradients, in place, so that their joint Euclidean norm is at most max_norm.

    All of them together are one long vector: they are scaled by one common factor min(1, max_norm /
    norm), which keeps its direction. (torch.nn.utils.clip_grad_norm_ does the same to parameters.)

    Args:
        grads: tensors of any shapes; None entries are skipped.
        max_norm: positive.

    Returns:
        The joint norm before scaling, a float; 0.0 where every entry is None.

    Raises:
        ValueError: max_norm is not positive.
    """
    _check_positive(max_norm=max_norm)
    # TODO(network): one norm, one factor, and never a factor above 1.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(network): one norm, one factor, and never a factor above 1.")


class ObservationNormalizer:
    """Shifts and scales observations to mean 0 and deviation 1 of all that was seen in training.

    Args:
        shape: of one observation.
        clip: results are limited to [-clip, clip].
    """

    def __init__(self, shape: tuple[int, ...], clip: float = 10.0) -> None:
        _check_positive(clip=clip)
        self.stats = RunningMeanStd(shape)
        self.clip = clip

    def update_(self, obs: Tensor) -> None:
        """Take observations (n, *shape) into the statistics: in training only, never in
        evaluation."""
        # TODO(network): the statistics are given above.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): the statistics are given above.")

    def normalize(self, obs: Tensor) -> Tensor:
        """clip((obs - mean) / sqrt(var + 1e-8)), of the dtype of obs (n, *shape). Reads the
        statistics and leaves them as they are."""
        # TODO(network): subtract, divide, clip; change nothing.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): subtract, divide, clip; change nothing.")


class RewardNormalizer:
    """Scales rewards by the deviation of the discounted return, which each environment accumulates
    as it goes.

    G <- gamma * G + r for each environment; the statistics see every G; after the last step of an
    episode G starts again from 0. Rewards are divided by sqrt(Var(G) + 1e-8) and never shifted: a
    shift would change which policy is best.

    Args:
        num_envs: environments side by side (N).
        gamma: discount for one step, in [0, 1].
        clip: results are limited to [-clip, clip].
    """

    def __init__(self, num_envs: int, gamma: float, clip: float = 10.0) -> None:
        _check_positive(num_envs=num_envs, clip=clip)
        if not 0.0 <= gamma <= 1.0:
            raise ValueError(f"gamma must lie in [0, 1], but it is {gamma}.")
        self.stats = RunningMeanStd()
        self.gamma = gamma
        self.clip = clip
        self.returns = torch.zeros(num_envs, dtype=torch.float64)  # G of each environment

    def update_(self, rewards: Tensor, ended: Tensor) -> None:
        """Take in one step of all environments: rewards (N,) float, ended (N,) bool (terminated or
        truncated)."""
        # TODO(network): accumulate, show G to the statistics, then start again where an episode ended.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): accumulate, show G to the statistics, then start again where an episode ended.")

    def normalize(self, rewards: Tensor) -> Tensor:
        """clip(rewards / sqrt(var + 1e-8)), any shape, of the dtype of rewards."""
        # TODO(network): divide and clip, without a shift.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): divide and clip, without a shift.")


# -- Part 5: one update ----------------------------------------------------------------------------


def ppo_update(
    model: nn.Module,
    opt: torch.optim.Optimizer,
    batch: PPOBatch,
    cfg: PPOConfig,
    generator: torch.Generator,
) -> dict[str, float]:
    """Improve the model on one batch: cfg.epochs passes, each over all rows in a new order, cut
    into minibatches.

    For each minibatch: normalise its advantages (cfg.normalize_advantages: mean 0, population
    deviation 1, within the minibatch, divided by deviation + 1e-8); the loss is total_loss of the
    (dual) clipped surrogate, value_loss and entropy_bonus, each a mean over the minibatch, plus
    cfg.kl_coef * approx_kl (k3); one backward pass, in cfg.accum_steps pieces (no more than it has
    rows) of nearly equal size, whose gradients add up to that of the whole minibatch; clip the
    joint gradient norm once; one step of ``opt``.

    Early stop (cfg.stop_kl): if the approx_kl of a minibatch, measured before its step, makes
    KLEarlyStop(cfg.stop_kl) stop, that step is not taken and the whole update ends there.

    Args:
        model: has policy(obs) and value(obs) as ActorCritic does. Its parameters are changed
            through ``opt``.
        opt: an optimiser of the model's parameters, whose learning rate is set already.
        batch: B rows, without gradients.
        cfg: see PPOConfig.
        generator: decides the order of the rows.

    Returns:
        Floats: policy_loss, value_loss, entropy, approx_kl, clip_fraction and ratio_mean, each a
            mean over the minibatches that were looked at, the one at which the update stops
            included (weighted by their rows or not). Those of a minibatch are those of all its
            rows, in however many pieces. grad_norm (before clipping), a mean over those whose step
            was taken (one at which the update stops may count or not); ``steps``, the optimiser
            steps taken; ``epochs``, the complete epochs.

    Raises:
        FloatingPointError: a loss is nan or infinite; the step is not taken.
        ValueError: epochs, minibatch_size or accum_steps is below 1.
    """
    _check_positive(
        epochs=cfg.epochs, minibatch_size=cfg.minibatch_size, accum_steps=cfg.accum_steps
    )
    # TODO(update): two loops; in each minibatch: gradients of all pieces, early stop, clip, step.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(update): two loops; in each minibatch: gradients of all pieces, early stop, clip, step.")


# -- Part 6: rollouts and training -----------------------------------------------------------------


@torch.no_grad()
def collect(
    env: Any, model: nn.Module, obs: np.ndarray, horizon: int, generator: torch.Generator
) -> Rollout:
    """Play ``horizon`` steps of a vector environment with the model's policy.

    ``env`` is a Gymnasium vector environment in SAME_STEP mode: ``step(actions)`` returns (obs,
    rewards, terminated, truncated, info) for N environments, and where an episode ended, ``obs`` is
    already the first observation of the next one. The observation that the step really led to is
    then in ``info["final_obs"]`` (index it with the bool mask ``info["_final_obs"]``; both are
    absent when no episode ended).

    ``next_values`` is V of the observation that the step really led to. Continuous actions are
    clipped to ``env.single_action_space`` for the environment only: what is stored is what was
    sampled, and logp belongs to it.

    Args:
        env: N environments, already reset.
        model: has policy(obs) and value(obs).
        obs: (N, ...), where the rollout begins.
        horizon: steps of each environment (T).
        generator: source of the actions.

    Returns:
        A Rollout of floats of the dtype of the model's parameters, without gradients.
    """
    # TODO(training): step by step, then all values in one go.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): step by step, then all values in one go.")


def train_ppo(
    make_env: Callable[[int], Any],
    cfg: PPOConfig,
    seed: int,
    on_update: Callable[[Any, dict[str, float]], bool | None] | None = None,
) -> Result:
    """Train an ActorCritic with PPO.

    An update is: collect cfg.horizon steps of cfg.num_envs environments, gae with
    ``terminated`` and ``truncated`` apart, ppo_update. There are cfg.total_steps // (horizon *
    num_envs) updates. With cfg.anneal, update k of K (from 0) uses the learning rate
    linear_schedule(cfg.learning_rate, 0, k / K): the first one the full rate. The optimiser is Adam
    with eps 1e-5.

    With cfg.kl_target, beta follows ``kl_penalty_beta`` after each update, fed with the
    ``approx_kl`` of that update's metrics (the mean over its minibatches, each measured before its
    step). The ``beta`` that is reported is the one for the next update.

    With cfg.normalize_rewards the learner sees normalised rewards: the one normaliser of the
    training, with cfg.gamma, takes in each step (or the whole rollout, step by step) before it
    scales it. ``returns`` are what the environment paid. With cfg.normalize_obs the model has a
    normalizer, which is updated after each update and stays as it is in between, so that old_logp
    is the policy's own log-probability when an update begins.

    Args:
        make_env: make_env(N) is a vector environment of N environments in SAME_STEP mode (see
            ``collect``) with flat observations.
        cfg: see PPOConfig.
        seed: seeds the environments (``env.reset(seed=seed)``, once), the first weights and all
            draws. Global generators stay as they are.
        on_update: called after each update with the model and a dict of floats (those of
            ppo_update, and ``total_steps``, ``mean_return`` of the last 100 episodes (nan before
            the first one has ended), ``learning_rate``, ``beta``, and ``explained_variance`` of
            the rollout's returns by the values that it was played with); returning True ends the
            training.

    Returns:
        Result(model, returns, steps). The model takes raw observations.

    Raises:
        ValueError: cfg.total_steps is less than one rollout.
    """
    per_update = cfg.horizon * cfg.num_envs
    if cfg.total_steps < per_update:
        raise ValueError(
            f"total_steps is {cfg.total_steps}, less than one rollout of {per_update} steps."
        )
    # TODO(training): the loop of collect, gae and ppo_update, with a progress bar.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): the loop of collect, gae and ppo_update, with a progress bar.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# surrogate=  losses=  kl=  network=  update=  training=
