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

### BEGIN SOLUTION


def _valid(mask: Tensor | None, *tensors: Tensor) -> list[Tensor]:
    """The valid entries of each tensor, flat."""
    # BUG(mean-over-padding): return [t.flatten() if mask is None else t.masked_fill(~mask.bool(), 0.0).flatten() for t in tensors]
    # WHEN entries that the mask leaves out count as zeros in the mean instead of not at all.
    return [tensor.flatten() if mask is None else tensor[mask.bool()] for tensor in tensors]


def _metrics(ratio: Tensor, log_ratio: Tensor, low: float, high: float) -> dict[str, float]:
    """What is worth watching of the ratios of valid entries."""
    # BUG(clip-fraction-one-sided): outside = ratio > 1 + high
    # WHEN the clip fraction counts ratios on one side of the range only and forgets those on the
    # WHEN other.
    # BUG(clip-fraction-one-sided, 2): outside = ratio < 1 - low
    outside = (ratio < 1 - low) | (ratio > 1 + high)
    return {
        "clip_fraction": outside.double().mean().item(),
        "approx_kl": (torch.expm1(log_ratio) - log_ratio).mean().item(),
        "ratio_mean": ratio.mean().item(),
    }


### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(old-logp-keeps-its-gradient): pass
    # WHEN the log-probabilities of the old policy receive a gradient as if they were being learned
    # WHEN too.
    old_logp = old_logp.detach()
    # BUG(advantages-keep-their-gradient): pass
    # WHEN the advantages receive a gradient, so that the policy's loss trains whatever they were
    # WHEN computed from.
    # BUG(changes-the-advantages): adv = adv.detach().mul_(1.0 / (1e-8 + adv.detach().std(correction=0)))
    # WHEN the advantages are changed in place inside the loss.
    # BUG(changes-the-advantages, 2): adv = adv.detach().sub_(adv.detach().mean())
    adv = adv.detach()
    # BUG(symmetric-clip): high = clip_low
    # WHEN both sides are clipped at clip_low and clip_high is never looked at.
    high = clip_low if clip_high is None else clip_high
    logp, old_logp, adv = _valid(mask, logp, old_logp, adv)
    # BUG(ratio-inverted): log_ratio = old_logp - logp
    # WHEN the ratio is that of the old policy to the new one instead of the new to the old.
    # BUG(new-logp-detached): log_ratio = (logp - old_logp).detach() + 0 * logp
    # WHEN the new log-probabilities are detached, so that the loss has the right value and no
    # WHEN gradient.
    log_ratio = logp - old_logp
    # BUG(ratio-inverted, 2): ratio = (-log_ratio).exp()
    ratio = log_ratio.exp()
    # BUG(clips-the-log-ratio): clipped = ratio.log().clamp(-clip_low, high).exp()
    # WHEN the logarithm of the ratio is clipped at the two distances instead of the ratio itself.
    clipped = ratio.clamp(1 - clip_low, 1 + high)
    # BUG(min-and-max-swapped): gain = torch.maximum(ratio * adv, clipped * adv)
    # WHEN the larger of the two gains is taken, so that clipping never holds anything back.
    # BUG(only-the-clipped-term): gain = clipped * adv
    # WHEN the clipped term stands alone: an action that went the wrong way too far gets no gradient
    # WHEN to come back.
    # BUG(never-clips): gain = ratio * adv
    # WHEN the ratio is not clipped at all.
    gain = torch.minimum(ratio * adv, clipped * adv)
    # BUG(clip-fraction-where-it-bites): return -gain.mean(), _metrics(ratio, log_ratio, clip_low, high) | {"clip_fraction": (clipped * adv < ratio * adv).double().mean().item()}
    # WHEN the clip fraction counts only where clipping takes the gradient away, as some codebases
    # WHEN do; here it counts every ratio outside the range, whatever the sign of its advantage.
    # BUG(surrogate-sign-flipped): return gain.mean(), _metrics(ratio, log_ratio, clip_low, high)
    # WHEN the gain itself is returned as the loss, so that minimising it makes good actions rarer.
    return -gain.mean(), _metrics(ratio, log_ratio, clip_low, high)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(accepts-any-c, 2): if not c > 0:
    if not c > 1:
        # BUG(accepts-any-c): pass
        # WHEN a dual clip with c <= 1, which would undo the first clip, is accepted.
        raise ValueError(f"c must be above 1, but it is {c}.")
    _, metrics = clipped_surrogate(logp, old_logp, adv, clip_low, clip_high, mask)
    # BUG(symmetric-clip, 2): high = clip_low
    high = clip_low if clip_high is None else clip_high
    # BUG(old-logp-keeps-its-gradient, 2): logp, old_logp, adv = _valid(mask, logp, old_logp, adv.detach())
    # BUG(advantages-keep-their-gradient, 2): logp, old_logp, adv = _valid(mask, logp, old_logp.detach(), adv)
    logp, old_logp, adv = _valid(mask, logp, old_logp.detach(), adv.detach())
    ratio = (logp - old_logp).exp()
    # BUG(min-and-max-swapped, 2): loss = torch.minimum(-ratio * adv, -ratio.clamp(1 - clip_low, 1 + high) * adv)
    # BUG(only-the-clipped-term, 2): loss = -ratio.clamp(1 - clip_low, 1 + high) * adv
    # BUG(never-clips, 2): loss = -ratio * adv
    loss = torch.maximum(-ratio * adv, -ratio.clamp(1 - clip_low, 1 + high) * adv)
    # BUG(dual-clip-as-a-floor): bounded = torch.maximum(loss, -c * adv)
    # WHEN c times the disadvantage is the least that a bad action costs, not the most.
    # BUG(dual-clip-of-the-ratio): bounded = torch.minimum(loss, torch.full_like(adv, c))
    # WHEN the loss is bounded by c itself and not by c times the disadvantage.
    bounded = torch.minimum(loss, -c * adv)
    # BUG(dual-clip-for-good-actions): return bounded.mean(), metrics
    # WHEN the second bound is put on good actions too, whose loss is negative anyway.
    # BUG(surrogate-sign-flipped, 2): return -torch.where(adv < 0, bounded, loss).mean(), metrics
    return torch.where(adv < 0, bounded, loss).mean(), metrics
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(targets-keep-their-gradient): values, old_values, returns = _valid(mask, values, old_values, returns)
    # WHEN the returns, which are targets, receive a gradient.
    # BUG(targets-keep-their-gradient, 2): values, old_values, returns = _valid(mask, values, old_values.detach(), returns)
    # BUG(padding-times-zero): old_values, returns = old_values.detach(), returns.detach()
    # WHEN entries that the mask leaves out are multiplied by 0 instead of left out: a nan among
    # WHEN them stays nan.
    values, old_values, returns = _valid(mask, values, old_values.detach(), returns.detach())
    errors = (values - returns) ** 2
    if clip is not None:
        # BUG(clips-around-the-returns): clipped = returns + (values - returns).clamp(-clip, clip)
        # WHEN values are held near the returns instead of near the old values.
        clipped = old_values + (values - old_values).clamp(-clip, clip)
        # BUG(value-clip-takes-the-smaller-error): errors = torch.minimum(errors, (clipped - returns) ** 2)
        # WHEN the smaller of the plain and the clipped error counts.
        # BUG(value-clip-without-the-maximum): errors = (clipped - returns) ** 2
        # WHEN the error of the clipped value stands alone, as in some codebases; here the larger of
        # WHEN the plain and the clipped error counts.
        errors = torch.maximum(errors, (clipped - returns) ** 2)
    # BUG(value-loss-without-half): return errors.mean()
    # WHEN the mean squared error is not halved.
    # BUG(value-loss-without-half, 2): return errors.mean() if clip is None else 0.5 * errors.mean()
    # BUG(padding-times-zero): return 0.5 * (errors.mean() if mask is None else (errors * mask).sum() / mask.sum())
    return 0.5 * errors.mean()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(padding-times-zero): pass
    (entropy,) = _valid(mask, entropy)
    # BUG(entropy-without-gradient): return entropy.detach().mean()
    # WHEN the entropy is detached, so that it is logged but never pushes the policy.
    # BUG(padding-times-zero): return entropy.mean() if mask is None else (entropy * mask).sum() / mask.sum()
    return entropy.mean()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(entropy-punished): return policy_loss + value_coef * value_loss + entropy_coef * entropy
    # WHEN the entropy is added to the loss, so that training makes the policy as certain as it can.
    # BUG(value-coefficient-forgotten): return policy_loss + value_loss - entropy_coef * entropy
    # WHEN the value loss enters with weight 1 whatever value_coef says.
    return policy_loss + value_coef * value_loss - entropy_coef * entropy
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(kl-of-the-old-policy): logp, old_logp = _valid(mask, logp.detach(), old_logp)
    # WHEN the divergence gives its gradient to the old policy and none to the new one.
    logp, old_logp = _valid(mask, logp, old_logp.detach())
    # BUG(kl-direction-swapped): log_ratio = old_logp - logp
    # WHEN the roles of the two policies are exchanged in the logarithm of the ratio.
    log_ratio = logp - old_logp
    if kind == "k1":
        return -log_ratio.mean()
    if kind == "k2":
        # BUG(k2-without-half): return log_ratio.square().mean()
        # WHEN k2 is the squared log-ratio without the factor one half.
        return 0.5 * log_ratio.square().mean()
    # BUG(k3-with-a-plus): return (torch.expm1(log_ratio) + log_ratio).mean()
    # WHEN k3 adds the log-ratio instead of taking it off.
    return (torch.expm1(log_ratio) - log_ratio).mean()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(beta-rule-without-slack): low, high = target, target
    # WHEN the penalty reacts to every deviation from the target, without the factor 1.5 of slack.
    low, high = target / 1.5, 1.5 * target
    # BUG(beta-rule-backwards): if kl < low:
    # WHEN the penalty is relaxed when the policy moved too far and tightened when it did not.
    if kl > high:
        return 2.0 * beta
    # BUG(beta-rule-backwards): return beta / 2.0 if kl > high else float(beta)
    return beta / 2.0 if kl < low else float(beta)
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(controller-never-saturates): error = kl / self.target - 1
        # WHEN the relative error is not clipped to 20 percent, or not on both sides, so that one
        # WHEN odd batch throws beta far off.
        # BUG(controller-absolute-error): error = min(max(kl - self.target, -0.2), 0.2)
        # WHEN the error is the difference of kl and target, not relative to the target.
        # BUG(controller-never-saturates, 2): error = min(kl / self.target - 1, 0.2)
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        # BUG(controller-forgets-n-steps): factor = 1 + error / self.horizon
        # WHEN beta moves by the same factor whether few or many samples were seen.
        factor = 1 + error * n_steps / self.horizon
        # BUG(controller-adds): self.beta = self.beta + (factor - 1)
        # WHEN the correction is added to beta instead of multiplying it.
        self.beta = self.beta * factor
        return self.beta
        ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(stop-forgets-the-factor): return bool(kl > self.target)
        # WHEN an update is stopped at the target itself, without the factor.
        return bool(kl > self.factor * self.target)
        ### END SOLUTION


# -- Part 4: network, schedule, normalisers --------------------------------------------------------

### BEGIN SOLUTION


def _layer(inputs: int, outputs: int, gain: float, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with orthogonal weights (W W^T or W^T W is gain^2 times the identity) and no
    bias at first."""
    layer = nn.utils.skip_init(
        nn.Linear, inputs, outputs
    )  # nn.Linear alone would draw from the global generator
    # BUG(normal-initialisation): nn.init.normal_(layer.weight, std=gain * inputs**-0.5, generator=generator)
    # WHEN the numbers of a weight are drawn one by one and not made orthogonal.
    # BUG(one-gain-for-all-layers): nn.init.orthogonal_(layer.weight, gain=math.sqrt(2), generator=generator)
    # WHEN a head is initialised with the gain of the hidden layers.
    # BUG(normal-initialisation, 2): nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    nn.init.orthogonal_(layer.weight, gain=gain, generator=generator)
    # BUG(biases-not-zero): nn.init.uniform_(layer.bias, -(inputs**-0.5), inputs**-0.5, generator=generator)
    # WHEN biases do not start at zero.
    # BUG(biases-not-zero, 2): nn.init.constant_(layer.bias, 0.01)
    nn.init.zeros_(layer.bias)
    return layer


def _trunk(
    obs_dim: int, hidden: tuple[int, ...], generator: torch.Generator | None
) -> nn.Sequential:
    """Hidden layers with tanh."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip((obs_dim, *hidden), hidden, strict=False):
        # BUG(relu-instead-of-tanh): layers += [_layer(inputs, outputs, math.sqrt(2), generator), nn.ReLU()]
        # WHEN hidden layers use ReLU where the docstring asks for tanh.
        layers += [_layer(inputs, outputs, math.sqrt(2), generator), nn.Tanh()]
    return nn.Sequential(*layers)


### END SOLUTION


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
        ### BEGIN SOLUTION
        width = (obs_dim, *hidden)[-1]
        self.actor_trunk = _trunk(obs_dim, hidden, generator)
        # BUG(trunk-always-shared): self.critic_trunk = self.actor_trunk
        # WHEN actor and critic share their hidden layers although shared is False.
        # BUG(trunk-never-shared): self.critic_trunk = _trunk(obs_dim, hidden, generator)
        # WHEN actor and critic have hidden layers of their own although shared is True.
        self.critic_trunk = self.actor_trunk if shared else _trunk(obs_dim, hidden, generator)
        # BUG(one-gain-for-all-layers, 2): self.actor_head = _layer(width, action_dim, math.sqrt(2), generator)
        self.actor_head = _layer(width, action_dim, 0.01, generator)
        # BUG(small-value-head): self.critic_head = _layer(width, 1, 0.01, generator)
        # WHEN the value's last layer starts with the small gain that belongs to the policy's.
        self.critic_head = _layer(width, 1, 1.0, generator)
        # BUG(log-std-starts-at-one): self.log_std = nn.Parameter(torch.ones(action_dim)) if continuous else None
        # WHEN the log standard deviation starts at 1, as if it were the deviation itself.
        self.log_std = nn.Parameter(torch.zeros(action_dim)) if continuous else None
        ### END SOLUTION

    def policy(self, obs: Tensor) -> CategoricalPolicy | GaussianPolicy:
        """The policy at observations (B, obs_dim), a distribution over B actions."""
        # TODO(network): normalise the observations if there is a normaliser; then trunk and head.
        ### BEGIN SOLUTION
        # BUG(model-forgets-its-normaliser, 3): output = self.actor_head(self.actor_trunk(obs))
        output = self.actor_head(self.actor_trunk(self._normalized(obs)))
        if self.log_std is not None:
            # BUG(wrong-distribution): return GaussianPolicy(output, self.log_std.exp())
            # WHEN the deviation is handed over where its logarithm is asked for.
            return GaussianPolicy(output, self.log_std)
        # BUG(softmax-twice): return CategoricalPolicy(output.softmax(dim=-1))
        # WHEN the logits have gone through a softmax before the policy takes its own.
        return CategoricalPolicy(output)
        ### END SOLUTION

    def value(self, obs: Tensor) -> Tensor:
        """V at observations (B, obs_dim), (B,)."""
        # TODO(network): the same for the value; mind the shape.
        ### BEGIN SOLUTION
        # BUG(trunk-always-shared, 2): output = self.critic_head(self.actor_trunk(self._normalized(obs)))
        # BUG(model-forgets-its-normaliser, 2): output = self.critic_head(self.critic_trunk(obs))
        output = self.critic_head(self.critic_trunk(self._normalized(obs)))
        # BUG(value-keeps-its-column): return output
        # WHEN values come as a column (B, 1) and not as (B,).
        return output.squeeze(-1)
        ### END SOLUTION

    ### BEGIN SOLUTION

    def _normalized(self, obs: Tensor) -> Tensor:
        # BUG(model-forgets-its-normaliser): return obs
        # WHEN the model does not ask its normaliser, be it for the policy, for the value or for
        # WHEN both.
        # BUG(normaliser-learns-when-read, 2): return obs if self.normalizer is None else (self.normalizer.update_(obs), self.normalizer.normalize(obs))[1]
        return obs if self.normalizer is None else self.normalizer.normalize(obs)

    ### END SOLUTION


def linear_schedule(start: float, end: float, progress: float) -> float:
    """A straight line from start (progress 0) to end (progress 1).

    Raises:
        ValueError: progress lies outside [0, 1].
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must lie in [0, 1], but it is {progress}.")
    # TODO(network): a straight line.
    ### BEGIN SOLUTION
    # BUG(schedule-backwards): return end + (start - end) * progress
    # WHEN the schedule runs from the end to the start.
    # BUG(schedule-ignores-the-end): return start * (1 - progress)
    # WHEN the schedule always runs down to zero, whatever its end is.
    return start + (end - start) * progress
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    there = [grad for grad in grads if grad is not None]
    # BUG(largest-entry-as-norm): norm = float(max(grad.abs().max() for grad in there)) if there else 0.0
    # WHEN the largest entry is taken for the norm.
    norm = float(torch.linalg.vector_norm(torch.stack([g.norm() for g in there]))) if there else 0.0
    for grad in there:
        # BUG(clips-each-tensor-alone): grad.mul_(min(1.0, max_norm / (float(grad.norm()) + 1e-12)))
        # WHEN each tensor is clipped by its own norm, which turns the joint gradient into another
        # WHEN direction.
        # BUG(scales-small-gradients-up): grad.mul_(max_norm / (norm + 1e-12))
        # WHEN gradients are always scaled to the largest norm allowed, small ones too.
        grad.mul_(max_norm / max(norm, max_norm))
    return norm
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        self.stats.update_(obs)
        ### END SOLUTION

    def normalize(self, obs: Tensor) -> Tensor:
        """clip((obs - mean) / sqrt(var + 1e-8)), of the dtype of obs (n, *shape). Reads the
        statistics and leaves them as they are."""
        # TODO(network): subtract, divide, clip; change nothing.
        ### BEGIN SOLUTION
        # BUG(normaliser-learns-when-read): self.stats.update_(obs); mean, std = self.stats.mean.to(obs.dtype), (self.stats.var + 1e-8).sqrt().to(obs.dtype)
        # WHEN reading the normaliser also updates it, so that evaluation changes what it evaluates.
        mean, std = self.stats.mean.to(obs.dtype), (self.stats.var + 1e-8).sqrt().to(obs.dtype)
        # BUG(divides-by-the-variance): scaled = (obs - mean) / std**2
        # WHEN observations are divided by their variance instead of their deviation.
        scaled = (obs - mean) / std
        # BUG(normaliser-without-clip): return scaled
        # WHEN normalised observations are not clipped, or on one side only.
        # BUG(normaliser-without-clip, 2): return scaled.clamp(max=self.clip)
        return scaled.clamp(-self.clip, self.clip)
        ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(statistics-of-rewards): self.returns = rewards.double()
        # WHEN rewards are scaled by their own deviation and not by that of the discounted return.
        self.returns = self.gamma * self.returns + rewards.double()
        self.stats.update_(self.returns)
        # BUG(return-runs-past-the-end): pass
        # WHEN the discounted return is carried over from one episode into the next.
        self.returns = torch.where(ended.bool(), 0.0, self.returns)
        ### END SOLUTION

    def normalize(self, rewards: Tensor) -> Tensor:
        """clip(rewards / sqrt(var + 1e-8)), any shape, of the dtype of rewards."""
        # TODO(network): divide and clip, without a shift.
        ### BEGIN SOLUTION
        std = (self.stats.var + 1e-8).sqrt().to(rewards.dtype)
        # BUG(shifts-rewards): return ((rewards - self.stats.mean.to(rewards.dtype)) / std).clamp(-self.clip, self.clip)
        # WHEN the mean is taken off the rewards, which changes what the agent is paid for
        # WHEN surviving.
        return (rewards / std).clamp(-self.clip, self.clip)
        ### END SOLUTION


# -- Part 5: one update ----------------------------------------------------------------------------

### BEGIN SOLUTION


def _normalized(adv: Tensor) -> Tensor:
    """Mean 0 and population deviation 1."""
    # BUG(deviation-with-n-minus-one): return (adv - adv.mean()) / (adv.std() + 1e-8)
    # WHEN the deviation of a minibatch divides by n - 1, as torch.std does by default; here it is
    # WHEN the population deviation, which divides by n.
    return (adv - adv.mean()) / (adv.std(correction=0) + 1e-8)


def _loss(
    model: nn.Module, batch: PPOBatch, rows: Tensor, adv: Tensor, cfg: PPOConfig
) -> tuple[Tensor, dict]:
    """The total loss of some rows of the batch, as a mean over them, and what is worth watching."""
    obs, actions, old_logp = batch.obs[rows], batch.actions[rows], batch.old_logp[rows]
    policy = model.policy(obs)
    # BUG(mean-over-action-components): logp = policy.log_prob(actions) / max(1, actions[0].numel())
    # WHEN the log-probability of an action with several components is their mean instead of their
    # WHEN sum.
    logp = policy.log_prob(actions)
    if cfg.dual_clip is None:
        surrogate, metrics = clipped_surrogate(logp, old_logp, adv, cfg.clip_low, cfg.clip_high)
    else:
        # BUG(dual-clip-setting-ignored): surrogate, metrics = clipped_surrogate(logp, old_logp, adv, cfg.clip_low, cfg.clip_high)
        # WHEN cfg.dual_clip is set and the plain surrogate is used all the same.
        # BUG(dual-clip-keeps-its-distances): surrogate, metrics = dual_clip_surrogate(logp, old_logp, adv, c=cfg.dual_clip)
        # WHEN cfg.clip_low and cfg.clip_high are forgotten where cfg.dual_clip is set.
        surrogate, metrics = dual_clip_surrogate(
            logp, old_logp, adv, cfg.clip_low, cfg.clip_high, cfg.dual_clip
        )
    critic = value_loss(
        model.value(obs), batch.old_values[rows], batch.returns[rows], cfg.value_clip
    )
    # BUG(entropy-without-gradient, 2): entropy = entropy_bonus(policy.entropy().detach())
    entropy = entropy_bonus(policy.entropy())
    # BUG(entropy-punished, 2): loss = surrogate + cfg.value_coef * critic + cfg.entropy_coef * entropy
    # BUG(value-coefficient-forgotten, 2): loss = total_loss(surrogate, critic, entropy, 1.0, cfg.entropy_coef)
    loss = total_loss(surrogate, critic, entropy, cfg.value_coef, cfg.entropy_coef)
    # BUG(kl-penalty-subtracted): loss = loss - cfg.kl_coef * approx_kl(logp, old_logp) if cfg.kl_coef else loss
    # WHEN the KL penalty is taken off the loss, so that moving away from the old policy pays.
    # BUG(kl-of-the-old-policy, 2): loss = loss + cfg.kl_coef * approx_kl(old_logp, logp) if cfg.kl_coef else loss
    loss = loss + cfg.kl_coef * approx_kl(logp, old_logp) if cfg.kl_coef else loss
    watched = {
        "policy_loss": surrogate.item(),
        "value_loss": critic.item(),
        "entropy": entropy.item(),
    }
    return loss, metrics | watched


def _accumulate(
    model: nn.Module, batch: PPOBatch, rows: Tensor, cfg: PPOConfig
) -> dict[str, float]:
    """Add the gradient of one minibatch to the parameters, piece by piece; means over the minibatch
    come back."""
    adv, means = batch.advantages[rows], {}
    if cfg.normalize_advantages:
        # BUG(normalises-over-the-whole-batch): adv = (adv - batch.advantages.mean()) / (batch.advantages.std(correction=0) + 1e-8)
        # WHEN advantages are normalised with the statistics of the whole batch, not of each
        # WHEN minibatch.
        adv = _normalized(adv)
    pieces = min(cfg.accum_steps, len(rows))
    for piece, piece_adv in zip(rows.tensor_split(pieces), adv.tensor_split(pieces), strict=True):
        share = len(piece) / len(rows)
        # BUG(normalises-each-piece): loss, metrics = _loss(model, batch, piece, _normalized(piece_adv) if cfg.normalize_advantages else piece_adv, cfg)
        # WHEN advantages are normalised within each accumulated piece, not within the minibatch.
        loss, metrics = _loss(model, batch, piece, piece_adv, cfg)
        # BUG(steps-on-nan): pass
        # WHEN a loss that is nan or infinite is not noticed and its gradient is applied to the
        # WHEN parameters.
        _refuse_nonfinite(loss)
        # BUG(divides-by-the-number-of-pieces): (loss / pieces).backward()
        # WHEN each piece counts alike in the accumulated gradient, however many samples it has.
        # BUG(adds-up-the-pieces): loss.backward()
        # WHEN the gradients of the pieces are added without any weights.
        # BUG(clips-each-piece): (share * loss).backward(); clip_grad_norm_([p.grad for p in model.parameters()], cfg.max_grad_norm)
        # WHEN the gradient norm is clipped after each accumulated piece and not once for the whole
        # WHEN minibatch.
        (share * loss).backward()
        for name, number in metrics.items():
            # BUG(metrics-of-the-last-piece): means[name] = number
            # WHEN the metrics of a minibatch in pieces are those of its last piece.
            means[name] = means.get(name, 0.0) + share * number
    return means


def _refuse_nonfinite(loss: Tensor) -> None:
    # BUG(steps-on-nan, 2): if math.isnan(loss.item()):
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"the loss is {loss.item()}: the parameters are left as they are.")


### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(stop-forgets-the-factor, 2): stop = KLEarlyStop(cfg.stop_kl, 1.0) if cfg.stop_kl is not None else None
    stop = KLEarlyStop(cfg.stop_kl) if cfg.stop_kl is not None else None
    seen: list[dict[str, float]] = []
    steps = epochs = 0
    # BUG(stops-after-the-step, 3): for _ in (e for e in range(cfg.epochs) if not (seen and stop is not None and stop.should_stop(seen[-1]["approx_kl"]))):
    for _ in range(cfg.epochs):
        # BUG(same-order-every-epoch): order = order if epochs else torch.randperm(len(batch.obs), generator=generator)
        # WHEN every epoch cuts the same minibatches, because the rows are shuffled only once or not
        # WHEN at all.
        # BUG(draws-with-replacement): order = torch.randint(len(batch.obs), (len(batch.obs),), generator=generator)
        # WHEN rows are drawn with replacement, so that an epoch sees some twice and others never.
        # BUG(shuffles-with-the-global-generator): order = torch.randperm(len(batch.obs))
        # WHEN the order of the rows is drawn from a global generator.
        # BUG(same-order-every-epoch, 2): order = torch.arange(len(batch.obs))
        # BUG(shuffles-with-the-global-generator, 2): order = torch.from_numpy(np.random.permutation(len(batch.obs)))
        order = torch.randperm(len(batch.obs), generator=generator)
        # BUG(drops-the-last-minibatch): for rows in order[: len(order) // cfg.minibatch_size * cfg.minibatch_size].split(cfg.minibatch_size):
        # WHEN rows that do not fill a minibatch are dropped.
        for rows in order.split(cfg.minibatch_size):
            # BUG(forgets-zero-grad): pass
            # WHEN gradients of earlier minibatches are still there when the next one is added.
            opt.zero_grad()
            seen.append(_accumulate(model, batch, rows, cfg))
            # BUG(stops-after-the-step, 2): if stop is not None and len(seen) > 1 and stop.should_stop(seen[-2]["approx_kl"]):
            # BUG(stops-after-the-step, 3): if False:
            if stop is not None and stop.should_stop(seen[-1]["approx_kl"]):
                # BUG(stops-one-epoch-only): break
                # WHEN the early stop ends one epoch and the next one begins all the same.
                # BUG(stops-after-the-step): _step(model, opt, cfg); return _summary(seen, steps, epochs)
                # WHEN the step that the early stop should have prevented is taken.
                # BUG(stop-leaves-its-minibatch-out): return _summary(seen[:-1], steps, epochs)
                # WHEN the minibatch at which the update stops is missing in the metrics.
                return _summary(seen, steps, epochs)
            seen[-1]["grad_norm"] = _step(model, opt, cfg)
            steps += 1
        epochs += 1
    return _summary(seen, steps, epochs)
    ### END SOLUTION


### BEGIN SOLUTION


def _step(model: nn.Module, opt: torch.optim.Optimizer, cfg: PPOConfig) -> float:
    """Clip the joint gradient and step; the norm before clipping comes back."""
    # BUG(never-clips-the-gradient): norm = clip_grad_norm_([p.grad for p in model.parameters()], 1e9)
    # WHEN the gradient norm is not clipped before the step.
    norm = clip_grad_norm_([p.grad for p in model.parameters()], cfg.max_grad_norm)
    opt.step()
    return norm


def _summary(seen: list[dict[str, float]], steps: int, epochs: int) -> dict[str, float]:
    """Means over minibatches, and how far the update came."""
    columns = {
        name: [means[name] for means in seen if name in means] for means in seen for name in means
    }
    # BUG(metrics-of-the-last-minibatch): means = {name: numbers[-1] for name, numbers in columns.items()}
    # WHEN the metrics are those of the last minibatch and not means over all.
    means = {name: sum(numbers) / len(numbers) for name, numbers in columns.items()}
    return means | {"steps": steps, "epochs": epochs}


### END SOLUTION


# -- Part 6: rollouts and training -----------------------------------------------------------------

### BEGIN SOLUTION


def _true_next(obs: np.ndarray, info: dict[str, Any]) -> np.ndarray:
    """The observations that a step really led to: where an episode ended, ``obs`` already belongs
    to the next one."""
    if "final_obs" not in info:
        return obs
    true, ended = obs.copy(), info["_final_obs"]
    # BUG(bootstraps-from-the-reset): pass
    # WHEN the value of the next state is asked for at the first observation of the next episode.
    # BUG(mask-of-final-obs-ignored): true[:] = np.stack([x if x is not None else 0 * obs[0] for x in info["final_obs"]])
    # WHEN final_obs is read for all environments as soon as one episode has ended.
    true[ended] = np.stack(list(info["final_obs"][ended]))
    return true


def _to_env(actions: Tensor, space: Any) -> np.ndarray:
    """Actions as the environment takes them: a continuous one is clipped to its bounds."""
    array = actions.numpy()
    return (
        array
        if array.dtype.kind == "i"
        else np.clip(array, space.low, space.high).astype(space.dtype)
    )


### END SOLUTION


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
    ### BEGIN SOLUTION
    dtype = next(model.parameters()).dtype
    columns: list[list[Any]] = [[] for _ in range(7)]
    for _ in range(horizon):
        seen = torch.as_tensor(obs, dtype=dtype)
        policy = model.policy(seen)
        action = policy.sample(generator)
        # BUG(stores-clipped-actions): action = torch.as_tensor(_to_env(action, env.single_action_space)).to(action.dtype); logp = policy.log_prob(action)
        # WHEN a continuous action is stored as the environment got it, clipped, and not as it was
        # WHEN sampled.
        logp = policy.log_prob(action)
        obs, rewards, terminated, truncated, info = env.step(
            _to_env(action, env.single_action_space)
        )
        # BUG(stores-the-next-observation): seen = torch.as_tensor(obs, dtype=dtype); row = (seen, action, logp, rewards, _true_next(obs, info), terminated, truncated)
        # WHEN the observation after the step is stored in the place of the one before it.
        # BUG(flags-merged): row = (seen, action, logp, rewards, _true_next(obs, info), terminated, terminated | truncated)
        # WHEN a terminated step is stored as a truncated one as well.
        # BUG(stores-clipped-actions, 2): row = (seen, torch.as_tensor(_to_env(action, env.single_action_space)).to(action.dtype), logp, rewards, _true_next(obs, info), terminated, truncated)
        row = (seen, action, logp, rewards, _true_next(obs, info), terminated, truncated)
        for column, entry in zip(columns, row, strict=True):
            column.append(entry)
    observations, actions, logps = (torch.stack(column) for column in columns[:3])
    rewards, successors = (
        torch.as_tensor(np.stack(column), dtype=dtype) for column in columns[3:5]
    )
    terminated, truncated = (
        torch.as_tensor(np.stack(column), dtype=torch.bool) for column in columns[5:]
    )
    values, next_values = (
        model.value(x.flatten(0, 1)).view(horizon, -1) for x in (observations, successors)
    )
    return Rollout(
        observations, actions, logps, rewards, values, next_values, terminated, truncated, obs
    )
    ### END SOLUTION


### BEGIN SOLUTION


class _Training:
    """The state of one training run."""

    def __init__(self, env: Any, cfg: PPOConfig, seed: int) -> None:
        self.env, self.cfg = env, cfg
        self.generator = torch.Generator().manual_seed(seed)
        obs_space, action_space = env.single_observation_space, env.single_action_space
        continuous = not hasattr(action_space, "n")
        action_dim = action_space.shape[0] if continuous else int(action_space.n)
        # BUG(network-ignores-its-settings): self.model = ActorCritic(obs_space.shape[0], action_dim, continuous=continuous, generator=self.generator)
        # WHEN train_ppo builds its network without looking at cfg.hidden and cfg.shared.
        self.model = ActorCritic(
            obs_space.shape[0], action_dim, cfg.hidden, cfg.shared, continuous, self.generator
        )
        if cfg.normalize_obs:
            self.model.normalizer = ObservationNormalizer(obs_space.shape)
        # BUG(rewards-scaled-with-another-gamma): self.reward_normalizer = RewardNormalizer(cfg.num_envs, 0.99) if cfg.normalize_rewards else None
        # WHEN the normaliser of the rewards discounts with a gamma of its own, not with cfg.gamma.
        self.reward_normalizer = (
            RewardNormalizer(cfg.num_envs, cfg.gamma) if cfg.normalize_rewards else None
        )
        # BUG(adam-with-its-own-epsilon): self.opt = torch.optim.Adam(self.model.parameters(), lr=cfg.learning_rate, fused=True)
        # WHEN Adam keeps its own eps of 1e-8 instead of the 1e-5 that the docstring asks for.
        self.opt = torch.optim.Adam(
            self.model.parameters(), lr=cfg.learning_rate, eps=1e-5, fused=True
        )
        self.beta = cfg.kl_coef
        self.returns: list[float] = []
        self._running = torch.zeros(cfg.num_envs)

    def scaled(self, rollout: Rollout) -> Tensor:
        """Rewards as the learner sees them; episodes that end are noted with what they really
        earned."""
        # BUG(reward-statistics-start-anew): ended = rollout.terminated | rollout.truncated; self.reward_normalizer = self.reward_normalizer and RewardNormalizer(self.cfg.num_envs, self.cfg.gamma)
        # WHEN the normaliser of the rewards starts anew with every rollout.
        ended = rollout.terminated | rollout.truncated
        for rewards, over in zip(rollout.rewards, ended, strict=True):
            # BUG(returns-of-scaled-rewards): self._running = self._running + (rewards if self.reward_normalizer is None else self.reward_normalizer.normalize(rewards))
            # WHEN the returns that are reported are sums of normalised rewards.
            self._running = self._running + rewards
            self.returns += self._running[over].tolist()
            # BUG(one-end-ends-all): self._running = torch.where(over.any(), 0.0, self._running)
            # WHEN the sums of all environments start again from 0 as soon as the episode of one
            # WHEN of them has ended.
            self._running = torch.where(over, 0.0, self._running)
            if self.reward_normalizer is not None:
                # BUG(rewards-stay-unscaled): pass
                # WHEN the learner sees the environment's own rewards although
                # WHEN cfg.normalize_rewards is set: the normaliser is shown none, or not asked.
                # BUG(return-runs-past-the-end, 2): self.reward_normalizer.update_(rewards, torch.zeros_like(over))
                self.reward_normalizer.update_(rewards, over)
        if self.reward_normalizer is None:
            return rollout.rewards
        # BUG(rewards-stay-unscaled, 2): return rollout.rewards
        return self.reward_normalizer.normalize(rollout.rewards)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """One PPO update from one rollout."""
        cfg = self.cfg
        # BUG(truncation-as-termination): ends = (rollout.terminated | rollout.truncated, rollout.truncated)
        # WHEN an episode that was cut short counts as one that came to its end, worth nothing from
        # WHEN there on.
        # BUG(bootstraps-through-termination): ends = (torch.zeros_like(rollout.terminated), rollout.terminated | rollout.truncated)
        # WHEN a terminated step still counts the value of a next state.
        # BUG(episodes-never-end): ends = (torch.zeros_like(rollout.terminated), torch.zeros_like(rollout.truncated))
        # WHEN the advantages run on from one episode into the next.
        ends = (rollout.terminated, rollout.truncated)
        rewards = self.scaled(rollout)
        # BUG(gamma-and-lambda-swapped): targets = gae(rewards, rollout.values, rollout.next_values, *ends, cfg.lam, cfg.gamma)
        # WHEN the discount and lambda change places in the call of gae.
        # BUG(truncation-as-termination, 2): targets = gae(rewards, rollout.values, rollout.next_values * ~ends[1], *ends, cfg.gamma, cfg.lam)
        targets = gae(rewards, rollout.values, rollout.next_values, *ends, cfg.gamma, cfg.lam)
        # BUG(returns-are-rewards): advantages, returns = targets[0], rewards
        # WHEN the values are fitted to the rewards instead of the returns.
        advantages, returns = targets
        columns = (rollout.obs, rollout.actions, rollout.logp, rollout.values, advantages, returns)
        # BUG(normaliser-fed-before-the-update): batch = PPOBatch(*(column.flatten(0, 1) for column in columns)); self.model.normalizer is None or self.model.normalizer.update_(batch.obs)
        # WHEN the observation normaliser takes in a rollout before the update that learns from it,
        # WHEN so that old_logp is no longer the policy's own log-probability.
        batch = PPOBatch(*(column.flatten(0, 1) for column in columns))
        metrics = ppo_update(self.model, self.opt, batch, self._current(), self.generator)
        if cfg.kl_target is not None:
            # BUG(beta-stays-as-it-was): pass
            # WHEN the weight of the KL penalty stays what it was at the start although cfg.kl_target
            # WHEN is set.
            self.beta = kl_penalty_beta(self.beta, metrics["approx_kl"], cfg.kl_target)
        if self.model.normalizer is not None:
            # BUG(normaliser-never-fed): pass
            # WHEN the observation normaliser is never shown an observation.
            # BUG(normaliser-fed-before-the-update): pass
            self.model.normalizer.update_(batch.obs)
        # BUG(explained-variance-the-wrong-way-round): explained = explained_variance(batch.returns, batch.old_values)
        # WHEN the explained variance says how well the returns predict the values instead of how
        # WHEN well the values predict the returns.
        # BUG(explained-variance-after-the-update): explained = explained_variance(self.model.value(batch.obs).detach(), batch.returns)
        # WHEN the explained variance is that of the values after the update, which have been fitted
        # WHEN to these returns, instead of the values before it.
        explained = explained_variance(batch.old_values, batch.returns)
        return metrics | {"explained_variance": explained, "beta": self.beta}

    def _current(self) -> PPOConfig:
        """The settings, with beta as it stands."""
        # BUG(beta-stays-as-it-was, 2): return self.cfg
        return PPOConfig(**(vars(self.cfg) | {"kl_coef": self.beta}))

    def set_learning_rate(self, progress: float) -> float:
        """The learning rate of the next update."""
        cfg = self.cfg
        # BUG(anneals-without-being-asked): rate = linear_schedule(cfg.learning_rate, 0.0, progress)
        # WHEN the learning rate falls from update to update although cfg.anneal is False.
        rate = (
            linear_schedule(cfg.learning_rate, 0.0, progress) if cfg.anneal else cfg.learning_rate
        )
        for group in self.opt.param_groups:
            group["lr"] = rate
        return rate


### END SOLUTION


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
    ### BEGIN SOLUTION
    env = make_env(cfg.num_envs)
    # BUG(global-generator): torch.manual_seed(seed); obs, _ = env.reset(seed=seed)
    # WHEN a global generator is seeded.
    obs, _ = env.reset(seed=seed)
    training, updates = _Training(env, cfg, seed), cfg.total_steps // per_update
    done = 0
    with tqdm.tqdm(
        total=updates * per_update, unit="step", disable=None if cfg.progress else True
    ) as bar:
        for update in range(updates):
            # BUG(first-update-at-rate-zero): rate = training.set_learning_rate((update + 1) / updates)
            # WHEN the schedule is one update ahead: a training of a single update has a learning
            # WHEN rate of zero.
            rate = training.set_learning_rate(update / updates)
            # BUG(same-dice-in-every-update): rollout = collect(env, training.model, obs, cfg.horizon, training.generator.manual_seed(seed))
            # WHEN the generator is seeded anew in every update, which then draws what the one
            # WHEN before it drew.
            # BUG(plays-one-step-more): rollout = collect(env, training.model, obs, cfg.horizon + 1, training.generator)
            # WHEN each rollout plays one step more than the horizon.
            rollout = collect(env, training.model, obs, cfg.horizon, training.generator)
            # BUG(resets-before-each-rollout): obs, _ = env.reset()
            # WHEN every rollout begins with new episodes, so that long episodes are never seen to
            # WHEN their end.
            obs = rollout.last_obs
            metrics = training.update(rollout)
            done += per_update
            metrics |= {"total_steps": float(done), "learning_rate": rate}
            # BUG(mean-return-of-all-episodes): metrics["mean_return"] = float(np.mean(training.returns)) if training.returns else math.nan
            # WHEN mean_return is the mean of all episodes since the training began, not of the last
            # WHEN 100.
            metrics["mean_return"] = (
                float(np.mean(training.returns[-100:])) if training.returns else math.nan
            )
            bar.set_postfix(mean_return=f"{metrics['mean_return']:.1f}", refresh=False)
            bar.update(per_update)
            if on_update is not None and on_update(training.model, metrics):
                # BUG(ignores-on-update): pass
                # WHEN the answer of on_update is not listened to.
                break
    env.close()
    return Result(training.model, training.returns, done)
    ### END SOLUTION
