"""Preference optimisation: a language model that learns from pairs of answers, without a reward
model and without sampling.

Conventions, for every function of this file

* A pair is a prompt with a chosen and a rejected response. B pairs make a batch of 2B rows: the B
  chosen rows first, then the B rejected rows in the same order.
* A batch is (B, L): B rows, L places. A row is padding, a prompt, a response, padding. Entry t of a
  tensor belongs to the token at place t. ``mask`` marks the response: prompt and padding are 0.
* Log-probabilities are natural logarithms. That of a response is the **sum** over its tokens (DPO,
  KTO) or the **mean** over its tokens (IPO, SimPO, ORPO). Every docstring says which.
* "The reference" is a frozen model. Its log-probabilities never carry a gradient: where one is
  handed in with a gradient, the gradient is ignored.
* A loss is the mean over pairs (KTO: over rows), a scalar tensor, to be minimised.
* Arguments are never changed, except by functions whose name ends in ``_``. Random numbers come
  from the seed that is handed in, never from a global generator.
* Impossible arguments raise ValueError with a sentence.

Sources: Rafailov et al. (2023), "Direct preference optimization", arXiv:2305.18290; Azar et al.
(2023), "A general theoretical paradigm to understand learning from human preferences",
arXiv:2310.12036; Ethayarajh et al. (2024), "KTO", arXiv:2402.01306; Meng et al. (2024), "SimPO",
arXiv:2405.14734; Hong et al. (2024), "ORPO", arXiv:2403.07691.
"""

from __future__ import annotations

### BEGIN SOLUTION
import copy
from collections.abc import Callable

### END SOLUTION
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from tiny_lm import (
    PAD,
    attention_mask,
    build_policy,  # noqa: F401
)
from torch import Tensor

Metrics = dict[str, float]
LOSSES = ("dpo", "ipo", "kto", "simpo", "orpo")


class Pairs(NamedTuple):
    """Comparisons: three lists of the same length, one entry for each pair."""

    prompts: list[list[int]]  # token ids, at least one
    chosen: list[list[int]]  # the response that won, its end of sequence included if it has one
    rejected: list[list[int]]  # the response that lost


class Batch(NamedTuple):
    """What ``collate_pairs`` returns: B chosen rows, then B rejected rows."""

    tokens: Tensor  # (2B, L) int64
    mask: Tensor  # (2B, L) bool: the response


class Result(NamedTuple):
    """What ``train_preferences`` returns."""

    policy: Any  # the trained model
    history: dict[str, list[float]]  # one number for each step


@dataclass(frozen=True)
class PreferenceConfig:
    """What ``preference_update_`` and ``train_preferences`` need to know."""

    loss: str = "dpo"  # one of LOSSES
    beta: float = 0.3  # also IPO's tau, and the weight of ORPO's odds ratio
    label_smoothing: float = 0.0  # of DPO
    gamma: float = 0.5  # of SimPO
    desirable_weight: float = 1.0  # of KTO
    undesirable_weight: float = 1.0  # of KTO
    steps: int = 300
    batch_size: int = 64  # pairs in one step
    lr: float = 1e-3
    grad_norm: float = 1.0  # the gradient is clipped to this norm

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, not {self.loss!r}.")
        if not self.beta > 0:
            raise ValueError(f"beta must be above 0, but it is {self.beta}.")


def _check_logps(*logps: Tensor) -> None:
    """Refuse log-probabilities that are not tensors of one shape (B,), B at least 1."""
    shapes = [tuple(x.shape) for x in logps]
    if logps[0].ndim != 1 or len(logps[0]) == 0 or len(set(shapes)) > 1:
        raise ValueError(f"log-probabilities must all be (B,) with B >= 1, but they are {shapes}.")


def _check_beta(beta: float) -> None:
    """Refuse what nothing can be scaled by."""
    if not beta > 0:
        raise ValueError(f"beta must be above 0, but it is {beta}.")


def _check_smoothing(label_smoothing: float) -> None:
    """Refuse a share of wrong labels that leaves nothing to learn."""
    if not 0.0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must lie in [0, 0.5), but it is {label_smoothing}.")


# -- Part 1: DPO -----------------------------------------------------------------------------------


def implicit_rewards(logp: Tensor, ref_logp: Tensor, beta: float = 0.1) -> Tensor:
    """The reward that a policy implies: beta * (logp - ref_logp). For reports, not for the loss.

    Args:
        logp, ref_logp: (B,) float, log-probabilities of responses.
        beta: above 0.

    Returns:
        (B,) float, without a gradient.

    Raises:
        ValueError: the shapes are not (B,) or differ, or beta is not above 0.
    """
    _check_logps(logp, ref_logp)
    _check_beta(beta)
    # TODO(dpo): one line, and no gradient.
    ### BEGIN SOLUTION
    # BUG(rewards-carry-a-gradient): return beta * (logp - ref_logp)
    # WHEN the reported rewards keep their gradient, and with it the graph of the whole model.
    # BUG(rewards-without-beta): return (logp - ref_logp).detach()
    # WHEN the reported rewards are log-ratios, without beta.
    return (beta * (logp - ref_logp)).detach()
    ### END SOLUTION


def preference_margin(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor
) -> Tensor:
    """By how much more the policy prefers the chosen response than the reference does, in nats.

    h = (chosen - ref_chosen) - (rejected - ref_rejected)

    Args:
        chosen, rejected: (B,) float, the policy's; they carry the gradient.
        ref_chosen, ref_rejected: (B,) float, the reference's; a gradient in them is ignored.

    Returns:
        (B,) float.

    Raises:
        ValueError: the shapes are not (B,) or differ.
    """
    _check_logps(chosen, rejected, ref_chosen, ref_rejected)
    # TODO(dpo): two log-ratios and their difference.
    ### BEGIN SOLUTION
    # BUG(reference-with-a-gradient): offset = ref_chosen - ref_rejected
    # WHEN the log-probabilities of the reference keep their gradient.
    # BUG(reference-forgotten): offset = 0.0 * ref_chosen.detach()
    # WHEN the reference is left out.
    # BUG(reference-added): offset = (ref_rejected - ref_chosen).detach()
    # WHEN the reference's difference is added to the policy's instead of subtracted.
    # BUG(reference-of-the-chosen-alone): offset = ref_chosen.detach()
    # WHEN only the chosen response is compared with the reference.
    offset = (ref_chosen - ref_rejected).detach()
    # BUG(swapped-pair): return rejected - chosen + offset
    # WHEN chosen and rejected change places in the margin, so that training makes the chosen answer
    # WHEN worse.
    # BUG(swapped-pair, 2): return rejected - chosen - offset
    return chosen - rejected - offset
    ### END SOLUTION


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Direct preference optimisation, with labels that are believed to be wrong with probability s.

    With the margin h, one pair costs

        -(1 - s) * log sigmoid(beta h) - s * log sigmoid(-beta h)

    s = 0 is Rafailov et al. (2023), section 4; s > 0 is called conservative DPO (cDPO).

    Args:
        chosen, rejected, ref_chosen, ref_rejected: (B,) float, **sums** over tokens, as in
            ``preference_margin``. Margins of +-10000 give finite losses and gradients.
        beta: above 0.
        label_smoothing: s, in [0, 0.5).

    Returns:
        The mean over pairs, a scalar tensor.

    Raises:
        ValueError: the shapes are not (B,) or differ, beta is not above 0, or s is not in [0, 0.5).
    """
    _check_beta(beta)
    _check_smoothing(label_smoothing)
    # TODO(dpo): the margin, times beta, in two terms, by a function that cannot overflow.
    ### BEGIN SOLUTION
    margin = preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    # BUG(beta-forgotten): gap = margin
    # WHEN beta is left out of the loss, or a constant stands in its place.
    # BUG(beta-forgotten, 2): gap = 0.1 * margin
    # BUG(beta-on-the-policy-alone): gap = beta * (chosen - rejected) - (ref_chosen - ref_rejected).detach()
    # WHEN beta scales the policy's log-probabilities and not the reference's.
    # BUG(beta-divides): gap = margin / beta
    # WHEN the margin is divided by beta instead of multiplied by it.
    gap = beta * margin
    right, wrong = _log_sigmoid(gap), _log_sigmoid(-gap)
    # BUG(smoothing-halved): loss = -(1 - label_smoothing / 2) * right - label_smoothing / 2 * wrong
    # WHEN the smoothing is shared evenly between two classes, as classifiers have it, so that only
    # WHEN half of it reaches the other label.
    # BUG(smoothing-turned-round): loss = -label_smoothing * right - (1 - label_smoothing) * wrong if label_smoothing else -right
    # WHEN the smoothing is the weight of the label as given, and the rest that of the other label.
    # BUG(robust-smoothing): loss = (-(1 - label_smoothing) * right + label_smoothing * wrong) / (1 - 2 * label_smoothing)
    # WHEN the second term of the smoothed loss is subtracted and all is divided by 1 - 2s, as
    # WHEN robust DPO (Chowdhury et al. 2024, an option of TRL) has it, while this course has
    # WHEN conservative DPO.
    loss = -(1 - label_smoothing) * right - label_smoothing * wrong
    # BUG(beta-multiplies-the-loss): return beta * loss.mean()
    # WHEN the whole loss is multiplied by beta once more.
    # BUG(sums-over-pairs): return loss.sum()
    # WHEN the pairs are added up instead of averaged.
    return loss.mean()
    ### END SOLUTION


### BEGIN SOLUTION


def _log_sigmoid(x: Tensor) -> Tensor:
    """log sigmoid, for numbers of any size."""
    # BUG(log-of-sigmoid): return torch.sigmoid(x).log()
    # WHEN the logarithm is taken of something that has already been rounded to 0 or to infinity.
    # BUG(log-of-sigmoid, 2): return -(1 + (-x).exp()).log()
    return torch.nn.functional.logsigmoid(x)


### END SOLUTION


def dpo_weights(margin: Tensor, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """How hard DPO pulls at each pair: minus the derivative of the pair's loss by its margin.

    With s = 0 it is beta * sigmoid(-beta h), so that the gradient of the pair's loss is

        -weight * (gradient of log pi(chosen) - gradient of log pi(rejected))

    Args:
        margin: (B,) float, h of ``preference_margin``.
        beta, label_smoothing: as in ``dpo_loss``.

    Returns:
        (B,) float, without a gradient. With s > 0 it is 0 where sigmoid(beta h) = 1 - s, and
        negative beyond.

    Raises:
        ValueError: margin is not (B,), beta is not above 0, or s is not in [0, 0.5).
    """
    _check_logps(margin)
    _check_beta(beta)
    _check_smoothing(label_smoothing)
    # TODO(dpo): differentiate the loss of one pair by h, with a pencil.
    ### BEGIN SOLUTION
    # BUG(weight-of-the-right-ones): surprise = torch.sigmoid(beta * margin.detach())
    # WHEN pairs that the policy has right pull hardest, and those that it has wrong hardly at all.
    surprise = torch.sigmoid(-beta * margin.detach())
    # BUG(weight-without-smoothing): return beta * surprise
    # WHEN the weight is that of a loss without label smoothing.
    # BUG(weight-without-beta): return surprise - label_smoothing
    # WHEN the weight lacks its factor beta.
    return beta * (surprise - label_smoothing)
    ### END SOLUTION


# -- Part 2: IPO -----------------------------------------------------------------------------------


def ipo_loss(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, tau: float = 0.1
) -> Tensor:
    """Identity preference optimisation: the mean over pairs of (h - 1 / (2 tau))^2.

    h is the margin of ``preference_margin``. The loss has its minimum at a finite margin, however
    sure the labels are (Azar et al. 2023, section 5).

    Args:
        chosen, rejected, ref_chosen, ref_rejected: (B,) float. The trainer hands in **means** over
            tokens, so that tau means the same for short and long answers.
        tau: above 0.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: the shapes are not (B,) or differ, or tau is not above 0.
    """
    _check_beta(tau)
    # TODO(ipo): the margin, its target, a square.
    ### BEGIN SOLUTION
    margin = preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    # BUG(ipo-target-half-tau): target = tau / 2
    # WHEN the target margin is tau / 2 instead of 1 / (2 tau).
    # BUG(ipo-target-one-over-tau): target = 1 / tau
    # WHEN the target margin is 1 / tau, twice what it should be.
    # BUG(ipo-target-below-zero): target = -1 / (2 * tau)
    # WHEN the target margin is subtracted where it should be approached, so that the rejected
    # WHEN answer is to win.
    target = 1 / (2 * tau)
    # BUG(ipo-in-rewards): return (tau * margin - 0.5).square().mean()
    # WHEN the margin is measured in implicit rewards and its target is 1/2, as SPPO has it: the
    # WHEN same minimum, but the loss is tau^2 times as large.
    # BUG(ipo-one-sided): return (target - margin).clamp(min=0).square().mean()
    # WHEN a margin beyond its target costs nothing, as with a squared hinge.
    # BUG(ipo-halved): return 0.5 * (margin - target).square().mean()
    # WHEN the squared distance is halved.
    # BUG(ipo-of-the-mean): return (margin.mean() - target).square()
    # WHEN the mean margin of the batch is compared with the target instead of each pair's.
    return (margin - target).square().mean()
    ### END SOLUTION


# -- Part 3: KTO -----------------------------------------------------------------------------------


def mismatched(count: int) -> Tensor:
    """Which response each prompt is paired with to estimate the divergence: the next one's.

    Args:
        count: prompts in the batch, at least 2.

    Returns:
        (count,) int64: 1, 2, ..., count - 1, 0. No prompt gets its own response.

    Raises:
        ValueError: count is below 2: a single prompt has no other response.
    """
    # TODO(kto): refuse a batch of one; everybody takes the next one's.
    ### BEGIN SOLUTION
    # BUG(one-row-is-mismatched): if count < 1:
    # WHEN a batch of one row is accepted, in which the prompt meets its own response.
    if count < 2:
        raise ValueError(f"at least two prompts are needed, but there are {count}.")
    # BUG(reversed-batch): return torch.arange(count - 1, -1, -1)
    # WHEN the batch is turned round, so that in an odd batch the one in the middle keeps its own
    # WHEN response.
    # BUG(own-responses): return torch.arange(count)
    # WHEN each prompt keeps its own response.
    # BUG(previous-responses): return (torch.arange(count) - 1) % count
    # WHEN each prompt gets the response of the one before it, while this course takes the one after
    # WHEN it.
    return (torch.arange(count) + 1) % count
    ### END SOLUTION


def kto_reference_point(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """An estimate of KL(policy || reference), from responses to other prompts: z0.

    z0 = max(0, mean of (logp - ref_logp))

    Args:
        logp, ref_logp: (N,) float, **sums** over tokens, of prompts with mismatched responses.

    Returns:
        A scalar tensor, at least 0, in nats, without a gradient: the point from which gains and
        losses are counted is not to be moved.

    Raises:
        ValueError: the shapes are not (N,) or differ.
    """
    _check_logps(logp, ref_logp)
    # TODO(kto): mean, then floor, and no gradient.
    ### BEGIN SOLUTION
    # BUG(point-learns): gaps = logp - ref_logp
    # WHEN the reference point keeps its gradient, so that the policy can move the point instead of
    # WHEN the answers.
    # BUG(point-the-other-way): gaps = (ref_logp - logp).detach()
    # WHEN policy and reference have changed places in the reference point.
    gaps = (logp - ref_logp).detach()
    # BUG(point-below-zero): return gaps.mean()
    # WHEN the reference point may be negative, which a divergence is not.
    # BUG(point-clamped-by-row): return gaps.clamp(min=0).mean()
    # WHEN each row is floored at 0 before the mean is taken, so that the estimate is too large.
    # BUG(point-is-a-sum): return gaps.sum().clamp(min=0)
    # WHEN the rows are added up instead of averaged.
    # BUG(point-is-absolute): return gaps.mean().abs()
    # WHEN a negative estimate is made positive instead of 0.
    return gaps.mean().clamp(min=0)
    ### END SOLUTION


def kto_loss(
    logp: Tensor,
    ref_logp: Tensor,
    desirable: Tensor,
    point: Tensor | float,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Kahneman-Tversky optimisation: answers need no partner, only a thumb up or down.

    With the log-ratio r = logp - ref_logp and the reference point z0, a row costs

        desirable_weight * (1 - sigmoid(beta * (r - z0)))        if it is desirable
        undesirable_weight * (1 - sigmoid(beta * (z0 - r)))      if it is not

    Args:
        logp: (N,) float, **sums** over tokens, the policy's; carries the gradient.
        ref_logp: (N,) float, the reference's; a gradient in it is ignored.
        desirable: (N,) bool.
        point: z0, in nats: a scalar tensor or a number; a gradient in it is ignored.
        beta: above 0.
        desirable_weight, undesirable_weight: at least 0.

    Returns:
        The mean over all N rows, a scalar tensor.

    Raises:
        ValueError: the shapes are not (N,) or differ, or beta is not above 0.
    """
    _check_logps(logp, ref_logp, desirable)
    _check_beta(beta)
    # TODO(kto): log-ratio, distance from the point, its sign, the weight.
    ### BEGIN SOLUTION
    # BUG(reference-with-a-gradient): ratio = logp - ref_logp
    # BUG(reference-forgotten): ratio = logp
    ratio = logp - ref_logp.detach()
    # BUG(point-learns, 2): point = torch.as_tensor(point, dtype=logp.dtype)
    # BUG(point-forgotten): point = torch.zeros((), dtype=logp.dtype)
    # WHEN the reference point is left out of the loss.
    point = torch.as_tensor(point, dtype=logp.dtype).detach()
    # BUG(thumbs-down-count-as-up): sign = torch.ones_like(logp)
    # WHEN undesirable answers are pushed up like desirable ones.
    sign = torch.where(desirable, 1.0, -1.0).to(logp.dtype)
    # BUG(point-without-beta): gain = sign * (beta * ratio - point)
    # WHEN beta scales the log-ratio and not the reference point.
    # BUG(beta-forgotten): gain = sign * (ratio - point)
    # BUG(beta-forgotten, 2): gain = 0.1 * sign * (ratio - point)
    gain = beta * sign * (ratio - point)
    # BUG(weights-swapped): weight = torch.where(desirable, undesirable_weight, desirable_weight).to(logp.dtype)
    # WHEN the weights of desirable and undesirable answers have changed places.
    weight = torch.where(desirable, desirable_weight, undesirable_weight).to(logp.dtype)
    # BUG(kto-logarithm): return -(weight * _log_sigmoid(gain)).mean()
    # WHEN a row costs minus the logarithm of its sigmoid, as a binary classifier (BCO) has it,
    # WHEN while KTO takes one minus the sigmoid.
    # BUG(divides-by-the-weights): return (weight * torch.sigmoid(-gain)).sum() / weight.sum()
    # WHEN the sum is divided by the weights instead of by the number of rows.
    # BUG(mean-of-two-means): return sum((weight * torch.sigmoid(-gain))[kind].mean() for kind in (desirable, ~desirable) if bool(kind.any())) / 2
    # WHEN desirable and undesirable answers are averaged separately first.
    return (weight * torch.sigmoid(-gain)).mean()
    ### END SOLUTION


# -- Part 4: without a reference -------------------------------------------------------------------


def simpo_loss(chosen: Tensor, rejected: Tensor, beta: float = 2.0, gamma: float = 0.5) -> Tensor:
    """SimPO: no reference, means over tokens, and a margin that is asked for.

    A pair costs -log sigmoid(beta * (chosen - rejected) - gamma)      (Meng et al. 2024, section 2)

    Args:
        chosen, rejected: (B,) float, **means** over tokens.
        beta: above 0.
        gamma: the margin, at least 0, in the unit of beta * log-probability.

    Returns:
        The mean over pairs, a scalar tensor.

    Raises:
        ValueError: the shapes are not (B,) or differ, beta is not above 0, or gamma is negative.
    """
    _check_logps(chosen, rejected)
    _check_beta(beta)
    if gamma < 0:
        raise ValueError(f"gamma must not be negative, but it is {gamma}.")
    # TODO(reference_free): one line.
    ### BEGIN SOLUTION
    # BUG(gamma-beta-ratio): gap = beta * (chosen - rejected - gamma)
    # WHEN gamma is taken for the ratio gamma / beta and multiplied by beta, as some libraries have
    # WHEN it, while this course subtracts gamma as it is.
    # BUG(gamma-added): gap = beta * (chosen - rejected) + gamma
    # WHEN the margin is added to the difference: a head start instead of a demand.
    # BUG(gamma-forgotten): gap = beta * (chosen - rejected)
    # WHEN the margin is left out, or a constant stands in its place.
    # BUG(gamma-forgotten, 2): gap = beta * (chosen - rejected) - 0.5
    gap = beta * (chosen - rejected) - gamma
    # BUG(sums-over-pairs): return -_log_sigmoid(gap).sum()
    return -_log_sigmoid(gap).mean()
    ### END SOLUTION


def log_odds(logp: Tensor) -> Tensor:
    """log(p / (1 - p)) from log p, exact for tiny p and for p that is nearly 1.

    p = 1 - 1e-15 has log-odds 34.5; "1 - exp(log p)" has lost nearly all digits there. A log p above
    -eps (``torch.finfo(logp.dtype).eps``), 0 included, counts as -eps, so that the result is finite.

    Args:
        logp: float of any shape, at most 0.

    Returns:
        Float of the same shape, with a gradient.

    Raises:
        ValueError: an entry is above 0: that is no logarithm of a probability.
    """
    if bool((logp > 0).any()):
        raise ValueError("the logarithm of a probability is at most 0.")
    # TODO(reference_free): torch.expm1 is exp(x) - 1 without the loss of digits.
    ### BEGIN SOLUTION
    # BUG(odds-of-certainty): pass
    # WHEN a probability of exactly 1 gives infinite odds.
    logp = logp.clamp(max=-torch.finfo(logp.dtype).eps)
    # BUG(odds-lose-digits): return logp - (1 - logp.exp()).log()
    # WHEN 1 - p is computed from a p that has been rounded to nearly 1, so that its digits are lost.
    # BUG(odds-lose-digits, 2): return logp - torch.log1p(-logp.exp())
    # BUG(odds-shifted): return logp - (1.0001 - logp.exp()).log()
    # WHEN 1 - p has a small constant added against division by zero, or may not fall below such a
    # WHEN constant, which bends the odds of likely answers.
    # BUG(odds-shifted, 2): return logp - (1 - logp.exp()).clamp(min=1e-6).log()
    # BUG(ratio-for-odds): return logp
    # WHEN the probability itself is taken for the odds, so that the term is a ratio of
    # WHEN probabilities.
    return logp - (-torch.expm1(logp)).log()
    ### END SOLUTION


def orpo_loss(chosen: Tensor, rejected: Tensor, weight: float = 0.1) -> Tensor:
    """ORPO: imitation of the chosen answer, and an odds ratio on top, without a reference.

    A pair costs -chosen - weight * log sigmoid(log_odds(chosen) - log_odds(rejected))
                                                                      (Hong et al. 2024, section 4)

    Args:
        chosen, rejected: (B,) float, **means** over tokens, at most 0.
        weight: at least 0; lambda in the paper, called beta elsewhere.

    Returns:
        The mean over pairs, a scalar tensor.

    Raises:
        ValueError: the shapes are not (B,) or differ, an entry is above 0, or weight is negative.
    """
    _check_logps(chosen, rejected)
    if weight < 0:
        raise ValueError(f"weight must not be negative, but it is {weight}.")
    # TODO(reference_free): two terms.
    ### BEGIN SOLUTION
    preferred = -_log_sigmoid(log_odds(chosen) - log_odds(rejected))
    # BUG(orpo-without-imitation): return weight * preferred.mean()
    # WHEN the imitation term is left out.
    # BUG(orpo-imitates-both): return (weight * preferred - (chosen + rejected) / 2).mean()
    # WHEN the rejected answer is imitated like the chosen one.
    # BUG(orpo-imitates-both, 2): return (weight * preferred - chosen - rejected).mean()
    # BUG(orpo-odds-turned-round): return (-chosen - weight * preferred).mean()
    # WHEN the odds-ratio term has the wrong sign, so that the rejected answer is to win.
    # BUG(orpo-weights-the-imitation): return (preferred - weight * chosen).mean()
    # WHEN the weight is put on the imitation term instead of the odds-ratio term.
    # BUG(sums-over-pairs): return (weight * preferred - chosen).sum()
    return (weight * preferred - chosen).mean()
    ### END SOLUTION


# -- Part 5: the optimum that all this is about ----------------------------------------------------


def rlhf_optimum(ref_logp: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """The policy that maximises reward minus beta times the divergence from the reference.

    log pi*(y) = ref_logp(y) + rewards(y) / beta - log Z                (Rafailov et al., section 4)

    Args:
        ref_logp: (..., K) float, the reference's log-probabilities of all K answers to a prompt.
        rewards: (..., K) float.
        beta: above 0.

    Returns:
        (..., K) float; the exponentials of each row add up to 1.

    Raises:
        ValueError: the shapes differ, or beta is not above 0.
    """
    if ref_logp.ndim == 0 or ref_logp.shape != rewards.shape:
        raise ValueError("ref_logp and rewards must have one shape (..., K).")
    _check_beta(beta)
    # TODO(optimum): add, and normalise in logarithms.
    ### BEGIN SOLUTION
    # BUG(optimum-without-the-reference): return (rewards / beta).log_softmax(dim=-1)
    # WHEN the reference is left out of the optimum, as if all answers were equally likely at first.
    # BUG(reward-times-beta): return (ref_logp + beta * rewards).log_softmax(dim=-1)
    # WHEN rewards are multiplied by beta instead of divided by it.
    # BUG(optimum-not-normalised): return ref_logp + rewards / beta
    # WHEN the partition function is left out, so that the probabilities do not add up to 1.
    # BUG(optimum-of-the-batch): return (ref_logp + rewards / beta) - (ref_logp + rewards / beta).flatten().logsumexp(dim=0)
    # WHEN the partition function is that of all prompts together.
    return (ref_logp + rewards / beta).log_softmax(dim=-1)
    ### END SOLUTION


def rlhf_objective(logp: Tensor, ref_logp: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """What RLHF maximises: the mean reward minus beta * KL(policy || reference), exactly.

    Args:
        logp, ref_logp: (..., K) float, log-probabilities of all K answers; both may leave some
            probability to answers that are not listed.
        rewards: (..., K) float.
        beta: above 0.

    Returns:
        (...) float: the sum over y of pi(y) * (reward(y) - beta * (log pi(y) - log ref(y))).

    Raises:
        ValueError: the shapes differ, or beta is not above 0.
    """
    if logp.ndim == 0 or not logp.shape == ref_logp.shape == rewards.shape:
        raise ValueError("logp, ref_logp and rewards must have one shape (..., K).")
    _check_beta(beta)
    # TODO(optimum): an expectation under the policy.
    ### BEGIN SOLUTION
    # BUG(objective-under-the-reference): chance = ref_logp.exp()
    # WHEN the expectation is taken under the reference.
    chance = logp.exp()
    # BUG(penalty-added): return (chance * (rewards + beta * (logp - ref_logp))).sum(dim=-1)
    # WHEN the divergence is added to the reward instead of subtracted.
    # BUG(penalty-the-other-way): return (chance * rewards).sum(dim=-1) - beta * (ref_logp.exp() * (ref_logp - logp)).sum(dim=-1)
    # WHEN the divergence is that of the reference from the policy, the other way round.
    # BUG(penalty-without-beta): return (chance * (rewards - (logp - ref_logp))).sum(dim=-1)
    # WHEN the divergence is not multiplied by beta.
    # BUG(objective-without-the-penalty): return (chance * rewards).sum(dim=-1)
    # WHEN the divergence is left out.
    return (chance * (rewards - beta * (logp - ref_logp))).sum(dim=-1)
    ### END SOLUTION


def fit_dpo_table(ref_logp: Tensor, preferences: Tensor, beta: float) -> Tensor:
    """The minimiser of DPO's loss over all policies on K answers to one prompt.

    The loss is the sum over i and j != i of preferences[i, j] * (-log sigmoid(beta * h_ij)), with
    h_ij = (log pi_i - ref_i) - (log pi_j - ref_j).

    It depends on u_i = beta * (log pi_i - ref_i) alone, and only through differences: first find u
    (this is a Bradley-Terry fit), then the policy that belongs to it.

    Args:
        ref_logp: (K,) float, normalised, K at least 2.
        preferences: (K, K) float; preferences[i, j] is the share of comparisons of i with j that i
            won: strictly between 0 and 1 off the diagonal, and preferences[i, j] +
            preferences[j, i] = 1. The diagonal is ignored.
        beta: above 0.

    Returns:
        (K,) float64, log-probabilities, normalised, correct to 1e-6.

    Raises:
        ValueError: the shapes do not fit, beta is not above 0, or a preference is not strictly
            between 0 and 1: then the loss has no minimum.
    """
    _check_logps(ref_logp)
    _check_beta(beta)
    K = len(ref_logp)
    if K < 2 or preferences.shape != (K, K):
        raise ValueError(f"preferences must be (K, K) with K = {K} >= 2.")
    # TODO(optimum): refuse certainties; Newton's method, or anything else, for u; then ref * exp(u / beta) / Z.
    ### BEGIN SOLUTION
    other = ~torch.eye(K, dtype=torch.bool)
    # Where one answer always won, the other one never did.
    # BUG(fits-certainties): if False:
    # WHEN preferences of 0 and 1 are fitted although the loss then has no minimum.
    if not bool((preferences > 0)[other].all()):
        raise ValueError("preferences must lie strictly between 0 and 1: otherwise no minimum.")
    # BUG(losses-for-wins): wins = preferences.double().T.masked_fill(~other, 0.0)
    # WHEN rows and columns of the preferences are mixed up.
    wins = preferences.double().masked_fill(~other, 0.0)
    u = torch.zeros(K, dtype=torch.float64)
    # BUG(fit-stops-after-one-step): for _ in range(1):
    # WHEN the fit stops after a single step.
    for _ in range(100):
        chance = torch.sigmoid(u[:, None] - u[None, :]).masked_fill(~other, 0.0)
        slope = (wins - chance).sum(dim=1)
        curve = chance * chance.T
        # The term 1 / K makes the matrix regular, and changes nothing else: slopes add up to 0.
        curve = torch.diag(curve.sum(dim=1)) - curve + 1 / K
        u = u + torch.linalg.solve(curve, slope)
    # BUG(fit-without-the-reference): return (u / beta).log_softmax(dim=0)
    # WHEN the fitted policy forgets the reference that it is a ratio to.
    # BUG(fit-forgets-beta): return (ref_logp.double() + u).log_softmax(dim=0)
    # WHEN the fitted rewards are taken for log-ratios, without dividing by beta.
    return (ref_logp.double() + u / beta).log_softmax(dim=0)
    ### END SOLUTION


# -- Part 6: log-probabilities of responses --------------------------------------------------------


def collate_pairs(pairs: Pairs) -> Batch:
    """One batch of 2B rows: prompt and chosen response B times, then prompt and rejected response.

    Rows are padded with PAD on the right, to the longest row of the batch. The mask is made from
    lengths, not from ids: a response may hold any token, PAD included.

    Args:
        pairs: B prompts with their two responses.

    Returns:
        Batch(tokens, mask), both (2B, L).

    Raises:
        ValueError: there is no pair, the three lists differ in length, or a prompt or a response is
            empty.
    """
    if not pairs.prompts or not len(pairs.prompts) == len(pairs.chosen) == len(pairs.rejected):
        raise ValueError("pairs need as many prompts as chosen and rejected responses, at least 1.")
    if not all(map(len, [*pairs.prompts, *pairs.chosen, *pairs.rejected])):
        raise ValueError("no prompt and no response may be empty.")
    # TODO(logprobs): chosen rows, then rejected rows; pad on the right; mark each response by its length.
    ### BEGIN SOLUTION
    prompts = [*pairs.prompts, *pairs.prompts]
    # BUG(halves-swapped, 2): responses = [*pairs.rejected, *pairs.chosen]
    # BUG(reads-interleaved, 2): prompts, responses = [p for p in pairs.prompts for _ in range(2)], [y for both in zip(pairs.chosen, pairs.rejected) for y in both]
    responses = [*pairs.chosen, *pairs.rejected]
    width = max(len(x) + len(y) for x, y in zip(prompts, responses, strict=True))
    tokens = torch.full((len(prompts), width), PAD)
    mask = torch.zeros(len(prompts), width, dtype=torch.bool)
    for row, (x, y) in enumerate(zip(prompts, responses, strict=True)):
        tokens[row, : len(x) + len(y)] = torch.tensor([*x, *y])
        # BUG(pads-counted): mask[row, len(x) :] = True
        # WHEN padding counts as part of the response.
        # BUG(prompt-counted): mask[row, : len(x) + len(y)] = True
        # WHEN the prompt counts as part of the response.
        # BUG(mask-one-place-early): mask[row, len(x) - 1 : len(x) + len(y) - 1] = True
        # WHEN the mask marks the places whose logits speak about the response, one before the
        # WHEN response itself.
        # BUG(last-token-dropped): mask[row, len(x) : len(x) + len(y) - 1] = True
        # WHEN the last token of a response is left out of the mask.
        mask[row, len(x) : len(x) + len(y)] = True
    # BUG(mask-from-ids): return Batch(tokens, mask & (tokens != PAD))
    # WHEN the mask is made from ids, so that a response that holds the padding token loses it.
    return Batch(tokens, mask)
    ### END SOLUTION


def split_pairs(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Take a batch of 2B rows apart: the first half is chosen, the second rejected.

    Args:
        rows: (2B, ...), B at least 1.

    Returns:
        (chosen, rejected), each (B, ...).

    Raises:
        ValueError: the number of rows is odd or 0.
    """
    if rows.ndim == 0 or len(rows) == 0 or len(rows) % 2:
        raise ValueError("pairs need an even number of rows, at least 2.")
    # TODO(logprobs): cut in the middle.
    ### BEGIN SOLUTION
    # BUG(halves-swapped): return rows[len(rows) // 2 :], rows[: len(rows) // 2]
    # WHEN the halves of a batch have changed places, so that the rejected rows count as chosen.
    # BUG(reads-interleaved): return rows[0::2], rows[1::2]
    # WHEN the rows of a batch take turns (chosen, rejected, chosen, ...), while this course has all
    # WHEN chosen rows first.
    return rows[: len(rows) // 2], rows[len(rows) // 2 :]
    ### END SOLUTION


def token_logprobs(model: Any, tokens: Tensor, attention: Tensor) -> Tensor:
    """The log-probability of each token of a batch, given the tokens before it in its row.

    Entry t = log softmax(logits_{t-1})[tokens_t]: the logits at a place are about the *next* token.
    A row gives the same numbers alone and among longer ones, with padding on either side. GPT-2 of
    ``transformers`` does not work out positions from the attention mask, so hand it
    ``position_ids`` that begin with 0 at the first real token.

    Args:
        model: a causal language model of ``transformers``, called as
            ``model(input_ids=..., attention_mask=..., position_ids=...).logits``.
        tokens: (B, L) int64.
        attention: (B, L) bool or 0/1, 1 = a token, 0 = padding; the 1s of a row stand together.

    Returns:
        (B, L) float, with a gradient if the model's parameters have one. Exactly 0 at padding and
        at the first token of a row, before which nothing stands.

    Raises:
        ValueError: the shapes differ or are not (B, L).
    """
    if tokens.ndim != 2 or tokens.shape != attention.shape:
        raise ValueError(
            f"tokens and attention must be (B, L): {tuple(tokens.shape)}, {tuple(attention.shape)}."
        )
    # TODO(logprobs): positions from the attention mask, logits, shift by one, pick, zero where nothing stands.
    ### BEGIN SOLUTION
    real = attention.bool()
    # BUG(positions-count-padding): places = torch.arange(real.shape[1]).expand_as(real)
    # WHEN positions are counted from the left edge of the batch, padding included.
    places = (real.long().cumsum(dim=1) - 1).clamp(min=0)
    # BUG(attends-to-padding): seen = torch.ones_like(real)
    # WHEN the model is not told which places are padding, so that it reads them.
    seen = real
    logits = model(input_ids=tokens, attention_mask=seen.long(), position_ids=places).logits
    # BUG(scores-without-gradient): logp = logits.detach().log_softmax(dim=-1)
    # WHEN the log-probabilities are cut off from the model that they came from, so that it cannot
    # WHEN learn.
    # BUG(raw-logits): logp = logits
    # WHEN logits are taken for log-probabilities, without a softmax over the vocabulary.
    logp = logits.log_softmax(dim=-1)
    # BUG(logits-not-shifted): picked = logp[:, 1:].gather(2, tokens[:, 1:, None]).squeeze(2)
    # WHEN the logits are asked about another token than the next one.
    # BUG(logits-not-shifted, 2): picked = torch.nn.functional.pad(logp[:, :-2].gather(2, tokens[:, 2:, None]).squeeze(2), (1, 0))
    picked = logp[:, :-1].gather(2, tokens[:, 1:, None]).squeeze(2)
    follows = real[:, 1:] & real[:, :-1]
    # BUG(one-place-early): return torch.nn.functional.pad(picked.masked_fill(~follows, 0.0), (0, 1))
    # WHEN each log-probability stands one place too early, at the token before its own.
    return torch.nn.functional.pad(picked.masked_fill(~follows, 0.0), (1, 0))
    ### END SOLUTION


def sequence_logprobs(logp: Tensor, mask: Tensor, average: bool = False) -> Tensor:
    """The log-probability of each response: the sum, or the mean, over the tokens under ``mask``.

    Args:
        logp: (B, L) float; may hold anything outside ``mask``, nan and infinities included.
        mask: (B, L) bool or 0/1, at least one 1 in each row.
        average: False for the sum, which is log pi(y | x); True for the mean over the row's own
            tokens.

    Returns:
        (B,) float, with the gradient of ``logp``.

    Raises:
        ValueError: the shapes differ or are not (B, L), or a row has no token under ``mask``, as
            happens when a long prompt was cut and nothing of the response is left.
    """
    if logp.ndim != 2 or logp.shape != mask.shape:
        raise ValueError(f"logp and mask must be (B, L): {tuple(logp.shape)}, {tuple(mask.shape)}.")
    # TODO(logprobs): refuse rows without a response; add up what is under the mask; divide if asked.
    ### BEGIN SOLUTION
    # BUG(pads-counted, 2): kept = mask.long().cumsum(dim=1) > 0
    # BUG(prompt-counted, 2): kept = mask.flip(1).long().cumsum(dim=1).flip(1) > 0
    kept = mask.bool()
    # BUG(empty-rows-pass): if False:
    # WHEN a row without a response counts as a response of log-probability 0 instead of being
    # WHEN refused.
    if not bool(kept.any(dim=1).all()):
        raise ValueError("a row has no response: its mask marks no token.")
    # BUG(multiplies-by-the-mask): total = (logp * kept).sum(dim=1)
    # WHEN what is outside the mask is multiplied by 0, so that a nan or an infinity there is still
    # WHEN added.
    total = logp.masked_fill(~kept, 0.0).sum(dim=1)
    # BUG(mean-for-dpo, 2): if True:
    # BUG(sum-for-ipo, 2): if False:
    if average:
        # BUG(mean-over-the-width): return total / kept.shape[1]
        # WHEN a response is averaged over the padded width of the batch instead of its own tokens.
        # BUG(mean-over-all-tokens): return total / kept.sum(dim=1).double().mean()
        # WHEN a response is divided by the mean length of the batch instead of its own.
        return total / kept.sum(dim=1)
    return total
    ### END SOLUTION


def pair_logprobs(model: Any, batch: Batch, average: bool = False) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the chosen and of the rejected responses, from one call of the model.

    Args:
        model: as in ``token_logprobs``.
        batch: (2B, L), as ``collate_pairs`` makes it.
        average: as in ``sequence_logprobs``.

    Returns:
        (chosen, rejected), each (B,) float, with a gradient if the model's parameters have one.
    """
    # TODO(logprobs): tiny_lm.attention_mask(tokens, mask), token_logprobs, sequence_logprobs, split_pairs.
    ### BEGIN SOLUTION
    logp = token_logprobs(model, batch.tokens, attention_mask(batch.tokens, batch.mask))
    return split_pairs(sequence_logprobs(logp, batch.mask, average))
    ### END SOLUTION


def reference_logprobs(model: Any, batch: Batch, average: bool = False) -> tuple[Tensor, Tensor]:
    """``pair_logprobs`` of a frozen model: in evaluation mode, without a gradient.

    The model leaves as it came: if it was in training mode, it is in training mode again.

    Args:
        model, batch, average: as in ``pair_logprobs``.

    Returns:
        (chosen, rejected), each (B,) float, without a gradient.
    """
    # TODO(logprobs): evaluation mode, no gradient, and the old mode again.
    ### BEGIN SOLUTION
    training = model.training
    # BUG(reference-in-training-mode): pass
    # WHEN the reference scores in training mode, so that dropout changes its log-probabilities.
    # BUG(reference-in-training-mode, 2): model.train()
    model.eval()
    # BUG(reference-with-a-gradient, 2): with torch.enable_grad():
    with torch.no_grad():
        scores = pair_logprobs(model, batch, average)
    # BUG(mode-not-restored): pass
    # WHEN the model does not get its mode back after it was used as a reference.
    # BUG(mode-not-restored, 2): model.train()
    model.train(training)
    return scores
    ### END SOLUTION


# -- Part 7: training ------------------------------------------------------------------------------


def preference_update_(
    policy: Any,
    reference: Any,
    optimizer: torch.optim.Optimizer,
    pairs: Pairs,
    cfg: PreferenceConfig,
) -> Metrics:
    """One step of the optimiser down the loss that ``cfg`` names, on all pairs at once.

    The responses' log-probabilities are sums for "dpo" and "kto", means for "ipo" (with tau =
    cfg.beta), "simpo" and "orpo" (with weight = cfg.beta). For "kto" the chosen rows are desirable
    and the rejected ones undesirable; the reference point comes from 2B rows in which prompt i
    meets the chosen and the rejected response of pair ``mismatched(B)[i]``. Old gradients are
    forgotten, and the norm of the gradient is clipped to cfg.grad_norm.

    Args:
        policy: trained in place, in the mode in which it is.
        reference: a frozen model of the same kind; "simpo" and "orpo" do not ask it.
        optimizer: of the policy's parameters.
        pairs: B pairs; "kto" needs two at least.
        cfg: loss, beta and the other settings of the loss, and grad_norm.

    Returns:
        Floats, all from before the step:

        loss: the loss.
        accuracy: share of pairs whose chosen answer has the larger implicit reward; ties count 1/2.
        margin: mean difference of the implicit rewards, chosen minus rejected.
        chosen_logp, rejected_logp: means over pairs of the responses' log-probabilities.

        The implicit reward is beta * (logp - ref_logp), without a reference beta * logp, with the
        log-probabilities (sums or means) that the loss uses.

    Raises:
        ValueError: the pairs are impossible, or "kto" has a single one.
    """
    # TODO(training): log-probabilities of both models, the loss, one clipped step, the report.
    ### BEGIN SOLUTION
    batch = collate_pairs(pairs)
    # BUG(mean-for-dpo): average = True
    # WHEN log-probabilities are averaged over tokens where DPO and KTO ask for their sum, as some
    # WHEN published code has it.
    # BUG(sum-for-ipo): average = cfg.loss in ("simpo", "orpo")
    # WHEN log-probabilities are added up where their mean over tokens is asked for, as TRL had it
    # WHEN for IPO at first.
    average = cfg.loss in ("ipo", "simpo", "orpo")
    chosen, rejected = pair_logprobs(policy, batch, average)
    if cfg.loss in ("simpo", "orpo"):
        ref_chosen, ref_rejected = torch.zeros_like(chosen), torch.zeros_like(rejected)
    else:
        # BUG(reference-is-the-policy): ref_chosen, ref_rejected = reference_logprobs(policy, batch, average)
        # WHEN the policy is its own reference, so that the loss stays at log 2.
        ref_chosen, ref_rejected = reference_logprobs(reference, batch, average)
    scores = chosen, rejected, ref_chosen, ref_rejected
    loss = _loss(scores, cfg, lambda: _point(policy, reference, pairs))
    # BUG(keeps-old-gradients): pass
    # WHEN the gradients of earlier steps are not cleared.
    optimizer.zero_grad()
    loss.backward()
    # BUG(gradient-not-clipped): pass
    # WHEN the gradient's norm is not clipped to what the configuration says.
    # BUG(gradient-not-clipped, 2): torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    torch.nn.utils.clip_grad_norm_(policy.parameters(), cfg.grad_norm)
    optimizer.step()
    return {"loss": loss.item()} | _report(*scores, cfg.beta)
    ### END SOLUTION


### BEGIN SOLUTION


def _loss(scores: tuple[Tensor, ...], cfg: PreferenceConfig, point: Callable[[], Tensor]) -> Tensor:
    """The loss that ``cfg`` names, from log-probabilities that are sums or means as it asks.

    ``point`` gives KTO's reference point, which no other loss needs.
    """
    if cfg.loss == "dpo":
        return dpo_loss(*scores, cfg.beta, cfg.label_smoothing)
    if cfg.loss == "ipo":
        return ipo_loss(*scores, cfg.beta)
    chosen, rejected, ref_chosen, ref_rejected = scores
    if cfg.loss == "simpo":
        return simpo_loss(chosen, rejected, cfg.beta, cfg.gamma)
    if cfg.loss == "orpo":
        return orpo_loss(chosen, rejected, cfg.beta)
    logp, ref_logp = torch.cat([chosen, rejected]), torch.cat([ref_chosen, ref_rejected])
    desirable = torch.arange(len(logp)) < len(chosen)
    weights = cfg.desirable_weight, cfg.undesirable_weight
    # BUG(point-of-the-own-responses): return kto_loss(logp, ref_logp, desirable, kto_reference_point(logp, ref_logp), cfg.beta, *weights)
    # WHEN the reference point is estimated from the very answers that are trained on instead of
    # WHEN mismatched ones.
    return kto_loss(logp, ref_logp, desirable, point(), cfg.beta, *weights)


def _point(policy: Any, reference: Any, pairs: Pairs) -> Tensor:
    """KTO's reference point, from mismatched responses."""
    order = mismatched(len(pairs.prompts)).tolist()
    batch = collate_pairs(
        Pairs(pairs.prompts, [pairs.chosen[j] for j in order], [pairs.rejected[j] for j in order])
    )
    with torch.no_grad():
        logp = torch.cat(pair_logprobs(policy, batch))
    return kto_reference_point(logp, torch.cat(reference_logprobs(reference, batch)))


def _report(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float
) -> Metrics:
    """What one looks at while a run goes on."""
    # BUG(accuracy-of-log-probabilities): lead = beta * (chosen - rejected)
    # WHEN accuracy and margin compare log-probabilities instead of implicit rewards.
    # BUG(margin-without-beta): lead = implicit_rewards(chosen, ref_chosen, 1.0) - implicit_rewards(rejected, ref_rejected, 1.0)
    # WHEN the reported margin is a difference of log-ratios, without beta.
    lead = implicit_rewards(chosen, ref_chosen, beta) - implicit_rewards(
        rejected, ref_rejected, beta
    )
    # BUG(ties-count-as-right): right = (lead >= 0).double()
    # WHEN a tie counts as a right answer, so that a policy that has learnt nothing is always right.
    # BUG(ties-count-as-wrong): right = (lead > 0).double()
    # WHEN a tie counts as a wrong answer.
    right = 0.5 * (lead > 0).double() + 0.5 * (lead >= 0).double()
    return {
        "accuracy": float(right.mean()),
        "margin": float(lead.mean()),
        "chosen_logp": chosen.mean().item(),
        "rejected_logp": rejected.mean().item(),
    }


### END SOLUTION


def train_preferences(policy: Any, pairs: Pairs, cfg: PreferenceConfig, seed: int) -> Result:
    """Train a copy of a policy on comparisons; the policy handed in is the reference.

    Each pass goes over the pairs in a new random order, in batches of cfg.batch_size; pairs left
    over at the end of a pass, too few for a batch, are left out of it. Adam with step size cfg.lr
    and no weight decay.

    Args:
        policy: a model of ``transformers``; it is not changed.
        pairs: at least cfg.batch_size of them.
        cfg: everything else.
        seed: decides the order of the pairs.

    Returns:
        Result(policy, history): the trained copy, and the metrics of ``preference_update_``, by
        name, each a list of cfg.steps floats.

    Raises:
        ValueError: there are fewer pairs than a batch needs, or fewer than one step is asked for.
    """
    if cfg.steps < 1 or not 1 <= cfg.batch_size <= len(pairs.prompts):
        raise ValueError("at least one step, and at least as many pairs as a batch needs, please.")
    # TODO(training): copy the policy, shuffle, cut, update, keep the books.
    ### BEGIN SOLUTION
    # BUG(trains-its-argument): trained, reference = policy, copy.deepcopy(policy)
    # WHEN the policy that is handed in is trained, instead of a copy.
    # BUG(reference-is-the-policy, 2): trained = reference = copy.deepcopy(policy)
    trained, reference = copy.deepcopy(policy), policy
    optimizer = torch.optim.Adam(trained.parameters(), lr=cfg.lr)
    generator = torch.Generator().manual_seed(seed)
    history: dict[str, list[float]] = {}
    order: list[int] = []
    for _ in range(cfg.steps):
        if len(order) < cfg.batch_size:
            # BUG(uses-the-global-generator): order = torch.randperm(len(pairs.prompts)).tolist()
            # WHEN random numbers come from the global generator instead of the seed.
            # BUG(draws-with-replacement): order = torch.randint(len(pairs.prompts), (len(pairs.prompts),), generator=generator).tolist()
            # WHEN pairs are drawn with replacement, so that a pass sees some twice and others not
            # WHEN at all.
            # BUG(never-shuffles): order = list(range(len(pairs.prompts)))
            # WHEN the pairs come in the same order in every pass.
            # BUG(never-shuffles, 2): order = torch.randperm(len(pairs.prompts), generator=torch.Generator().manual_seed(seed)).tolist()
            order = torch.randperm(len(pairs.prompts), generator=generator).tolist()
        batch, order = order[: cfg.batch_size], order[cfg.batch_size :]
        part = Pairs(*([column[i] for i in batch] for column in pairs))
        for name, number in preference_update_(trained, reference, optimizer, part, cfg).items():
            history.setdefault(name, []).append(number)
    return Result(trained, history)
    ### END SOLUTION
