"""Group relative policy optimisation (GRPO): teaching a small language model with a reward that can
be checked.

Conventions, for every function of this file

* A batch of token sequences is a set of tensors of shape (B, L): B rows, L places. A row is
  padding, a prompt, a response, padding. Entry t of each tensor belongs to the token at place t:
  its id, its log-probability given all tokens before it, its place in the loss.
* ``mask`` (B, L) marks the response: 1 = a token that the policy wrote, the end-of-sequence token
  included. Prompt, padding and whatever follows the first end of sequence are 0 and influence
  nothing. It may be bool or 0/1.
* Rewards and advantages are one number for each row, (B,), in any unit; rows that answer the same
  prompt form a group.
* Log-probabilities are natural logarithms, **at the temperature at which the tokens were sampled**.
* Losses are to be minimised. Only ``logp``, the policy's own log-probabilities, carries a gradient.
* Arguments are never changed, except by functions whose name ends in ``_``. Random numbers come
  from the generator or the seed that is handed in, never from a global generator.

Source: Shao et al. (2024), "DeepSeekMath: pushing the limits of mathematical reasoning in open
language models", arXiv:2402.03300. Section and equation numbers are those of that paper.
"""

from __future__ import annotations

### BEGIN SOLUTION
import ast
import copy

### END SOLUTION
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from tiny_lm import (
    EOS,
    PAD,
    attention_mask,
    build_policy,  # noqa: F401
    decode,
    draw_prompts,
    encode,
    run_with_cache,
)
from torch import Tensor

Metrics = dict[str, float]


@dataclass(frozen=True)
class GRPOConfig:
    """What ``grpo_update_`` and ``train_grpo`` need to know. The defaults learn to reverse five
    digits."""

    task: str = "reverse"  # or "sort"
    digits: int = 5
    iterations: int = 60
    prompts: int = 32  # for one iteration
    group_size: int = 8  # samples for one prompt
    max_new: int = 8  # tokens of a response, end of sequence included
    temperature: float = 1.0
    epochs: int = 1  # passes over the samples of one iteration
    minibatches: int = 4  # optimiser steps in one pass
    micro_batch: int | None = None  # rows that are scored at once; None: a whole minibatch
    lr: float = 5e-4
    warmup: int = 10  # iterations until lr is reached; then it falls linearly, to 5% of it
    grad_norm: float = 1.0
    clip_low: float = 0.2
    clip_high: float | None = None  # None: as clip_low
    beta: float = 0.0  # weight of the KL term
    scale: str = "std"
    ddof: int = 1
    eps: float = 1e-6
    baseline: str = "group"
    agg: str = "seq-mean-token-mean"
    level: str = "token"
    drop_dead_groups: bool = False  # leave groups without spread out of the update


class Samples(NamedTuple):
    """What ``sample_groups`` returns: three tensors (B, L), with L = longest prompt + max_new."""

    tokens: Tensor  # int64: padding on the left, prompt, response, padding on the right
    mask: Tensor  # bool: the response, its end of sequence included
    logp: Tensor  # float: log-probabilities under the policy that sampled, 0 where mask is 0


class Batch(NamedTuple):
    """What ``grpo_update_`` learns from. Rows may come in any order."""

    tokens: Tensor  # (B, L) int64
    mask: Tensor  # (B, L) bool
    old_logp: Tensor  # (B, L) float, of the policy that sampled
    ref_logp: Tensor  # (B, L) float, of the reference
    adv: Tensor  # (B,) float


class Result(NamedTuple):
    """What ``train_grpo`` returns."""

    policy: Any  # the trained model
    history: dict[str, list[float]]  # one number for each iteration


# -- Given: step size ------------------------------------------------------------------------------
# tiny_lm.py beside this file is given as well: text, prompts, the model, and its cache.


def learning_rate(cfg: GRPOConfig, iteration: int) -> float:
    """The step size of one iteration (0, 1, ...): warm-up, then a straight line down to 5% of
    ``cfg.lr``."""
    left = (cfg.iterations - iteration) / max(1, cfg.iterations - cfg.warmup)
    return cfg.lr * min((iteration + 1) / (cfg.warmup + 1), max(0.05, left))


# -- Part 1: advantages within a group -------------------------------------------------------------


def group_advantages(
    rewards: Tensor,
    group_ids: Tensor,
    eps: float = 1e-6,
    scale: str = "std",
    ddof: int = 1,
    baseline: str = "group",
) -> Tensor:
    """How much better than its group each sample did.

    A_i = (r_i - b_i) / (std + eps)     mean and std over the group of i             (Section 4.1.2)
    A_i = r_i - b_i                     with scale="none" (Dr. GRPO)
    A_i = (r_i - b_i) / (mean + eps)    with scale="mean" (MaxRL, arXiv:2602.02710)

    b_i is the mean of the group, or with baseline="others" the mean of the others in the group
    (RLOO, arXiv:2402.14740). "mean" and "std" are those of the whole group in either case.

    std^2 = sum of squared distances / (n - ddof) for a group of n. A group of one, and a group
    whose rewards are all equal, gets exactly 0: there is nothing to compare.

    Args:
        rewards: (B,) float; not negative with scale="mean".
        group_ids: (B,) integers, arbitrary and in any order; equal ids form a group. Groups may
            differ in size.
        eps: added to what is divided by, outside the root; not negative.
        scale: "std", "none" or "mean".
        ddof: 1 for the sample standard deviation, 0 for the population's.
        baseline: "group" or "others".

    Returns:
        (B,) float, without a gradient.

    Raises:
        ValueError: the shapes differ or are not (B,), eps < 0, an unknown scale or baseline, ddof
            other than 0 and 1, or a negative reward with scale="mean".
    """
    # TODO(advantages): refuse impossible arguments; centre and scale each group by itself.
    ### BEGIN SOLUTION
    _check_rewards(rewards, group_ids)
    _check_normalisation(eps, ddof)
    if scale not in ("std", "none", "mean"):
        # BUG(unknown-scale-passes): scale = "none"
        # WHEN an unknown name of a scale is taken for one of the known ones instead of being
        # WHEN refused.
        # BUG(unknown-scale-passes, 2): pass
        raise ValueError(f"scale must be 'std', 'none' or 'mean', but it is {scale!r}.")
    if baseline not in ("group", "others"):
        raise ValueError(f"baseline must be 'group' or 'others', but it is {baseline!r}.")
    if scale == "mean" and bool((rewards < 0).any()):
        raise ValueError("scale 'mean' divides by the mean reward: no reward may be negative.")
    # BUG(normalises-over-the-batch): rewards, group_ids = rewards.detach(), torch.zeros_like(group_ids)
    # WHEN mean and standard deviation are those of the whole batch instead of each group.
    # BUG(assumes-groups-in-a-row): rewards, group_ids = rewards.detach(), torch.arange(len(rewards)) // int((group_ids == group_ids[0]).sum())
    # WHEN the batch is cut into equal runs of neighbouring rows, whatever the group ids say.
    # BUG(assumes-groups-in-a-row, 2): rewards, group_ids = rewards.detach(), torch.arange(len(rewards)) * len(group_ids.unique()) // len(rewards)
    rewards = rewards.detach()
    # BUG(writes-into-the-rewards): advantages = rewards
    # WHEN the advantages are written into the caller's own tensor of rewards.
    advantages = torch.zeros_like(rewards)
    for group in group_ids.unique():
        member = group_ids == group
        # BUG(std-of-the-batch): advantages[member] = (rewards[member] - rewards[member].mean()) / (rewards.std() + eps)
        # WHEN the group's mean is taken off but the deviation is that of the whole batch, as TRL
        # WHEN offers it, while this course divides by each group's own.
        # BUG(std-of-the-batch, 2): advantages[member] = rewards[member] - rewards[member].mean()
        advantages[member] = _normalised(rewards[member], eps, ddof, scale, baseline)
    # BUG(normalises-over-the-batch, 2): return (rewards - rewards.mean()) / (rewards.std(correction=ddof) + eps)
    # BUG(writes-into-the-rewards, 2): return rewards.copy_(advantages)
    # BUG(std-of-the-batch, 2): return advantages / (advantages.std() + eps)
    return advantages
    ### END SOLUTION


### BEGIN SOLUTION


def _check_rewards(rewards: Tensor, group_ids: Tensor) -> None:
    """Refuse rewards and group ids that are not two vectors of one length."""
    if rewards.ndim != 1 or rewards.shape != group_ids.shape:
        raise ValueError(
            f"rewards and group_ids must be (B,): {tuple(rewards.shape)}, {tuple(group_ids.shape)}."
        )


def _check_normalisation(eps: float, ddof: int) -> None:
    """Refuse an eps or a ddof that no convention has."""
    if eps < 0:
        raise ValueError(f"eps must not be negative, but it is {eps}.")
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 or 1, but it is {ddof}.")


def _normalised(
    rewards: Tensor, eps: float, ddof: int, scale: str = "std", baseline: str = "group"
) -> Tensor:
    """The rewards of one group, centred and scaled; exactly 0 where there is no spread. (n,), n may
    be 0."""
    # BUG(group-of-one-gives-nan): if len(rewards) != 1 and bool((rewards == rewards[:1]).all()):
    # WHEN the standard deviation of a group of one, or of a single step, is taken, 0/0.
    # BUG(dead-groups-amplify-rounding): if len(rewards) < 2:
    # WHEN a group of equal rewards is divided by its standard deviation, which rounding has left a
    # WHEN little above 0, or by a standard deviation or mean of 0, so that rounding errors are blown
    # WHEN up, or 0/0 appears.
    # BUG(dead-groups-amplify-rounding, 2): if len(rewards) < 2 or float(rewards.std()) == 0.0:
    # BUG(dead-groups-amplify-rounding, 3): if scale != "mean" and bool((rewards == rewards[:1]).all()):
    # BUG(nobody-else-gives-nan): if (len(rewards) != 1 or baseline != "others") and bool((rewards == rewards[:1]).all()):
    # WHEN a group of one is compared with the mean of the others, of whom there are none, 0/0.
    if bool((rewards == rewards[:1]).all()):
        # BUG(group-of-one-keeps-its-reward): return rewards / (1 + eps) if len(rewards) < 2 else torch.zeros_like(rewards)
        # WHEN a group of one keeps its raw reward as its advantage, as verl has it (mean 0,
        # WHEN standard deviation 1), while this course gives it exactly 0.
        # BUG(group-of-one-keeps-its-reward, 2): return rewards if len(rewards) < 2 else torch.zeros_like(rewards)
        return torch.zeros_like(rewards)
    # BUG(no-baseline): centred = rewards
    # WHEN the rewards are scaled but the group's mean is not subtracted.
    centred = rewards - rewards.mean()
    # BUG(baseline-of-the-others): if True:
    # WHEN the baseline is the mean of the other samples (leave-one-out), as RLOO has it, while GRPO
    # WHEN takes the mean of the whole group.
    # BUG(others-include-oneself): if False:
    # WHEN the baseline is the mean of the whole group although baseline="others" asks for the mean
    # WHEN of the other samples.
    if baseline == "others":
        # BUG(nobody-else-gives-nan): centred = rewards - (rewards.sum() - rewards) / torch.tensor(len(rewards) - 1)
        centred = centred * (len(rewards) / (len(rewards) - 1))
    # BUG(always-divides-by-std): if False:
    # WHEN the advantages are divided by the standard deviation although scale is "none".
    # BUG(never-divides-by-std): if True:
    # WHEN the group's mean is subtracted and nothing more, as Dr. GRPO and nanochat have it, while
    # WHEN scale="std" asks for a division by the standard deviation.
    if scale == "none":
        return centred
    # BUG(divides-by-the-mean): if True:
    # WHEN the centred rewards are divided by the group's mean, as MaxRL has it, although scale asks
    # WHEN for its standard deviation.
    # BUG(std-for-the-mean): if False:
    # WHEN the centred rewards are divided by the standard deviation although scale="mean" asks for
    # WHEN the group's mean.
    if scale == "mean":
        return centred / (rewards.mean() + eps)
    # BUG(population-std): variance = rewards.var(correction=0)
    # WHEN the standard deviation is the population one (ddof 0), as numpy.std and CS285 have it,
    # WHEN while this course asks for ddof as given, 1 if nothing is said.
    # BUG(sample-std): variance = rewards.var(correction=1)
    # WHEN the standard deviation is the sample one (ddof 1), as torch.std has it, although ddof=0
    # WHEN was asked for.
    variance = rewards.var(correction=ddof)
    # BUG(eps-inside-the-root): return centred / (variance + eps).sqrt()
    # WHEN eps, or its square, is added to the variance, inside the root, as batch normalisation has
    # WHEN it, while this course adds eps to the standard deviation.
    # BUG(eps-inside-the-root, 2): return centred / (variance + eps**2).sqrt()
    # BUG(eps-as-a-floor): return centred / variance.sqrt().clamp(min=eps)
    # WHEN eps is the smallest standard deviation or variance that is divided by, as some code has
    # WHEN it, while this course adds it to the standard deviation.
    # BUG(eps-as-a-floor, 2): return centred / variance.clamp(min=eps).sqrt()
    # BUG(eps-forgotten): return centred / variance.sqrt()
    # WHEN eps is left out.
    # BUG(divides-by-the-variance): return centred / (variance + eps)
    # WHEN the centred rewards are divided by the variance instead of its root.
    # BUG(divides-by-the-variance, 2): return centred / (variance.sqrt() + eps) ** 2
    return centred / (variance.sqrt() + eps)


### END SOLUTION


def informative_groups(rewards: Tensor, group_ids: Tensor) -> Tensor:
    """Which rows belong to a group whose rewards are not all equal: the others teach nothing.

    This is the filter of DAPO's dynamic sampling (Yu et al. 2025, arXiv:2503.14476). A group is
    kept or dropped as a whole.

    Args:
        rewards: (B,) float.
        group_ids: (B,) integers, arbitrary and in any order.

    Returns:
        (B,) bool.

    Raises:
        ValueError: the shapes differ or are not (B,).
    """
    # TODO(advantages): a group without spread is dropped, whether all failed or all succeeded.
    ### BEGIN SOLUTION
    _check_rewards(rewards, group_ids)
    keep = torch.zeros(len(rewards), dtype=torch.bool)
    for group in group_ids.unique():
        member = group_ids == group
        # BUG(drops-failed-groups-only): keep[member] = bool((rewards[member] != 0).any())
        # WHEN only groups in which every sample failed are dropped, and those in which every sample
        # WHEN succeeded stay.
        # BUG(drops-rows-of-groups): keep[member] = rewards[member] != rewards[member].median()
        # WHEN single rows are dropped out of a group instead of whole groups.
        # BUG(drops-rows-of-groups, 2): keep[member] = rewards[member] > rewards[member].mean()
        keep[member] = bool((rewards[member] != rewards[member][:1]).any())
    return keep
    ### END SOLUTION


# -- Part 2: process supervision -------------------------------------------------------------------


def process_advantages(
    step_rewards: list[Tensor], step_end_idx: list[Tensor], L: int, eps: float = 1e-6, ddof: int = 1
) -> Tensor:
    """Advantages of one group whose samples are graded step by step.

    All step rewards of the group are normalised together; a token's advantage is the sum of those
    of its own row whose step ends at the token or later (Section 4.1.3):

        r~_ij = (r_ij - mean) / (std + eps),      A_it = sum over steps j with end_ij >= t of r~_ij

    Where all step rewards are equal, or there is only one, every advantage is exactly 0.

    Args:
        step_rewards: one tensor (S_i,) float for each sample; S_i may differ, and may be 0.
        step_end_idx: one tensor (S_i,) of integers for each sample: the place of each step's last
            token.
        L: places of a row.
        eps, ddof: as in ``group_advantages``.

    Returns:
        (B, L) float, without a gradient. Tokens behind a row's last step have 0.

    Raises:
        ValueError: the lists or the tensors in them differ in length, an index lies outside 0 ..
            L-1, eps < 0, or ddof is neither 0 nor 1.
    """
    # TODO(process): normalise all steps of the group together; sum from a token to the end of its row.
    ### BEGIN SOLUTION
    _check_normalisation(eps, ddof)
    if [len(r) for r in step_rewards] != [len(e) for e in step_end_idx]:
        raise ValueError("each step needs one reward and one end: the lengths differ.")
    if any(len(ends) and (int(ends.min()) < 0 or int(ends.max()) >= L) for ends in step_end_idx):
        # BUG(clamps-step-ends): step_end_idx = [ends.clamp(0, L - 1) for ends in step_end_idx]
        # WHEN a step that ends outside the row is moved into it, or taken as it is, instead of
        # WHEN being refused.
        # BUG(clamps-step-ends, 2): pass
        raise ValueError(f"steps must end at a place from 0 to {L - 1}.")
    # BUG(steps-normalised-per-sample): normalised = [_normalised(r.detach(), eps, ddof) for r in step_rewards]
    # WHEN each sample's step rewards are normalised by themselves instead of together with the
    # WHEN whole group's.
    normalised = _normalised(torch.cat(step_rewards).detach(), eps, ddof).split(
        [len(r) for r in step_rewards]
    )
    advantages = torch.zeros(len(step_rewards), L, dtype=torch.cat(step_rewards).dtype)
    for row, rewards, ends in zip(advantages, normalised, step_end_idx, strict=True):
        # BUG(outcome-of-the-steps): for reward, end in [(rewards.sum(), L - 1)]:
        # WHEN the sum over all steps of a sample is given to each of its tokens.
        # BUG(outcome-of-the-steps, 2): for reward, end in [(rewards.sum(), ends.max() if len(ends) else 0)]:
        for reward, end in zip(rewards, ends, strict=True):
            # BUG(steps-reach-forward): row[int(end) :] += reward
            # WHEN a step's reward is given to the tokens after it instead of those that led to it.
            # BUG(steps-reach-forward, 2): row[int(end) + 1 :] += reward
            # BUG(step-misses-its-last-token): row[: int(end)] += reward
            # WHEN a step's last token does not get the step's own reward.
            # BUG(step-pays-its-own-tokens-only): row[_start(ends, end) : int(end) + 1] += reward
            # WHEN a token gets the reward of its own step alone and not those of later steps.
            row[: int(end) + 1] += reward
    return advantages
    ### END SOLUTION


### BEGIN BUGS


def _start(ends: Tensor, end: Tensor) -> int:
    """Where the step that ends at ``end`` begins."""
    earlier = ends[ends < end]
    return int(earlier.max()) + 1 if len(earlier) else 0


### END BUGS
# -- Part 3: the KL term ---------------------------------------------------------------------------


def k3_kl(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """An estimate of KL(policy || reference) from tokens that the policy sampled, one for each
    entry.

    k3 = exp(ref_logp - logp) - (ref_logp - logp) - 1                                        (eq. 4)

    It is never negative, 0 only where the two agree, and its mean under the policy is the
    divergence (Schulman 2020).

    Args:
        logp: float of any shape; carries the gradient.
        ref_logp: the same shape; a gradient in it is ignored.

    Returns:
        Float of the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    # TODO(kl): three terms in the log-ratio.
    ### BEGIN SOLUTION
    if logp.shape != ref_logp.shape:
        # BUG(kl-broadcasts): pass
        # WHEN log-probabilities of different shapes are stretched to a common one instead of being
        # WHEN refused.
        raise ValueError(
            f"logp has shape {tuple(logp.shape)}, but ref_logp {tuple(ref_logp.shape)}."
        )
    # BUG(reference-learns): log_ratio = ref_logp - logp
    # WHEN the reference's log-probabilities keep their gradient.
    # BUG(kl-swapped): log_ratio = logp - ref_logp.detach()
    # WHEN policy and reference have changed places in the KL estimate.
    # BUG(kl-without-gradient): log_ratio = ref_logp.detach() - logp.detach()
    # WHEN the KL estimate is computed from log-probabilities without a gradient, so that it holds
    # WHEN nothing back.
    log_ratio = ref_logp.detach() - logp
    # BUG(kl-is-k1): return -log_ratio
    # WHEN the KL estimate is k1, the plain log-ratio logp - ref_logp, as PPO-style RLHF code has
    # WHEN it, while GRPO asks for k3.
    # BUG(kl-is-clamped): return (log_ratio.clamp(-20, 20).exp() - log_ratio.clamp(-20, 20) - 1).clamp(-10, 10)
    # WHEN the KL estimate or its log-ratio is bounded, as verl has it, while this course takes k3
    # WHEN as it is.
    # BUG(kl-is-clamped, 2): return log_ratio.clamp(-20, 20).exp() - log_ratio.clamp(-20, 20) - 1
    # BUG(kl-is-k2): return log_ratio**2 / 2
    # WHEN the KL estimate is k2, half the squared log-ratio, as some libraries offer it, while GRPO
    # WHEN asks for k3.
    return log_ratio.exp() - log_ratio - 1
    ### END SOLUTION


# -- Part 4: the loss ------------------------------------------------------------------------------


def grpo_loss(
    logp: Tensor,
    old_logp: Tensor,
    ref_logp: Tensor | None,
    adv: Tensor,
    mask: Tensor,
    clip_low: float = 0.2,
    clip_high: float | None = None,
    beta: float = 0.0,
    agg: str = "seq-mean-token-mean",
    max_len: int | None = None,
    level: str = "token",
) -> tuple[Tensor, Metrics]:
    """The clipped surrogate of GRPO with its KL term, to be minimised (eq. 3, with the sign
    turned).

    For each token under ``mask``, with ratio = exp(logp - old_logp),

        loss_t = -min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A) + beta * k3

    These are put together by ``aggregate``. With level="sequence" all tokens of a row share one
    ratio, exp of the mean of logp - old_logp over the row's tokens (GSPO, arXiv:2507.18071).

    What stands under mask 0 is never used, not even nan: it changes no number and gets a gradient
    of 0.

    Args:
        logp: (B, L) float, the policy's; carries the gradient.
        old_logp: (B, L) float, of the policy that sampled; a gradient in it is ignored.
        ref_logp: (B, L) float, of the frozen reference; a gradient in it is ignored. None is
            allowed if beta is 0.
        adv: (B,) one advantage for each row, or (B, L) one for each token; a gradient in it is
            ignored.
        mask: (B, L) bool or 0/1.
        clip_low, clip_high: how far the ratio may leave 1, at least 0; clip_high=None stands for
            clip_low.
        beta: weight of the KL term, at least 0.
        agg, max_len: see ``aggregate``.
        level: "token" or "sequence": what has a ratio of its own.

    Returns:
        (loss, metrics): a scalar tensor, and floats over the tokens under ``mask`` (0.0 if there
        are none):
        clip_fraction   share of tokens whose ratio lies outside [1 - clip_low, 1 + clip_high]
        approx_kl      mean of ratio - 1 - log(ratio): how far the policy has moved since it sampled
        ratio_mean      mean of ratio
        kl              mean of k3, whatever beta is (0.0 without a reference)

    Raises:
        ValueError: shapes that do not fit, negative clip_low, clip_high or beta, an unknown agg or
            level, beta without a reference, or "seq-sum-const" without max_len or with one below 1.
    """
    # TODO(loss): ratio, clip, KL, then aggregate; select what is valid before you compute with it.
    ### BEGIN SOLUTION
    # BUG(upper-bound-is-a-constant): clip_high = 0.2 if clip_high is None else clip_high
    # WHEN clip_high=None stands for 0.2 instead of for clip_low.
    clip_high = clip_low if clip_high is None else clip_high
    _check_loss(logp, old_logp, ref_logp, adv, mask, (clip_low, clip_high, beta), level)
    valid = mask.bool()
    adv = (adv if adv.ndim == 2 else adv.unsqueeze(1).expand_as(logp)).detach()
    # BUG(nan-under-the-mask-spreads): adv = adv * valid
    # WHEN what stands under mask 0 is multiplied by 0 instead of being left out: 0 times nan is nan.
    # BUG(nan-is-cut-out-too-late): pass
    # WHEN nan under mask 0 is cut out of the loss only after it has been computed with: its
    # WHEN gradient is nan.
    adv = adv.masked_fill(~valid, 0.0)
    # BUG(old-logp-keeps-its-gradient): log_ratio = (logp - old_logp).masked_fill(~valid, 0.0)
    # WHEN the old log-probabilities keep their gradient.
    # BUG(nan-under-the-mask-spreads): log_ratio = (logp - old_logp.detach()) * valid
    # BUG(nan-is-cut-out-too-late): log_ratio = logp - old_logp.detach()
    # BUG(old-logp-recomputed, 2): log_ratio = (logp - logp.detach()).masked_fill(~valid, 0.0)
    log_ratio = (logp - old_logp.detach()).masked_fill(~valid, 0.0)
    # BUG(ratio-of-the-sequence): if True:
    # WHEN all tokens of a row share the ratio of the whole sequence, as GSPO has it, while GRPO
    # WHEN takes each token's.
    # BUG(sequence-level-ignored): if False:
    # WHEN each token has a ratio of its own although level="sequence" asks for one ratio for all
    # WHEN tokens of a row.
    if level == "sequence":
        # BUG(sequence-ratio-not-normalised): log_ratio = log_ratio.sum(dim=1, keepdim=True).expand_as(logp)
        # WHEN the ratio of a sequence is the product of its tokens' ratios, without the root of
        # WHEN GSPO that takes the length out.
        log_ratio = _sequence_log_ratio(log_ratio, valid)
    ratio = log_ratio.exp()
    kl = torch.zeros_like(ratio)
    # BUG(kl-needs-beta): if ref_logp is not None and beta > 0:
    # WHEN kl is 0.0 among the metrics whenever beta is 0, although there is a reference.
    if ref_logp is not None:
        kl = k3_kl(logp.masked_fill(~valid, 0.0), ref_logp.masked_fill(~valid, 0.0))
    # BUG(one-bound-for-both-sides): clipped = ratio.clamp(1 - clip_low, 1 + clip_low)
    # WHEN the ratio is clipped at the same distance on both sides, though clip_low and clip_high
    # WHEN differ.
    # BUG(one-bound-for-both-sides, 2): clipped = ratio.clamp(1 - clip_high, 1 + clip_high)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    # BUG(kl-in-the-reward): adv, beta = adv - beta * kl.detach(), 0.0
    # WHEN the KL term is taken off the advantage, as PPO-style RLHF code takes it off the reward,
    # WHEN while GRPO adds it to the loss.
    # BUG(kl-in-the-reward, 2): adv, beta = adv - beta * _k1(logp, ref_logp).masked_fill(~valid, 0.0), 0.0
    # BUG(kl-rewarded): beta = -beta
    # WHEN the KL term has the wrong sign, so that leaving the reference is rewarded.
    beta = float(beta)
    # BUG(clips-without-min): surrogate = clipped * adv
    # WHEN the clipped ratio is used without taking the smaller of the two terms.
    # BUG(max-for-min): surrogate = torch.maximum(ratio * adv, clipped * adv)
    # WHEN the larger of the two surrogate terms is taken instead of the smaller.
    # BUG(never-clips): surrogate = ratio * adv
    # WHEN the ratio is not clipped at all.
    # BUG(loss-with-the-wrong-sign): surrogate = -torch.minimum(ratio * adv, clipped * adv)
    # WHEN the surrogate is minimised instead of maximised.
    surrogate = torch.minimum(ratio * adv, clipped * adv)
    # BUG(kl-over-padding): loss = aggregate(-surrogate, valid, agg, max_len) + beta * _k3_everywhere(logp, ref_logp).mean()
    # WHEN the KL term also counts tokens outside the mask.
    # BUG(loss-with-the-wrong-sign, 2): loss = -aggregate(beta * kl - surrogate, valid, agg, max_len)
    loss = aggregate(beta * kl - surrogate, valid, agg, max_len)
    # BUG(metrics-count-padding): counted = torch.ones_like(valid)
    # WHEN the metrics are averaged over padding as well.
    counted = valid
    with torch.no_grad():
        # BUG(clip-fraction-from-above-only): outside = ratio > 1 + clip_high
        # WHEN the clip fraction counts only ratios above the upper bound.
        # BUG(clip-fraction-where-it-bites): outside = surrogate < ratio * adv
        # WHEN the clip fraction counts only tokens that clipping takes the gradient from, as TRL
        # WHEN and verl have it, while this course counts every ratio outside the bounds, as CleanRL
        # WHEN does.
        # BUG(clip-fraction-with-one-bound): outside = (ratio - 1).abs() > clip_low
        # WHEN the clip fraction counts ratios that are further than clip_low from 1, on either
        # WHEN side.
        outside = (ratio < 1 - clip_low) | (ratio > 1 + clip_high)
        # BUG(approx-kl-is-k1): moved = -log_ratio
        # WHEN approx_kl is k1, the mean of old minus new log-probabilities, as verl reports it,
        # WHEN while this course reports k3.
        # BUG(approx-kl-is-k2): moved = log_ratio**2 / 2
        # WHEN approx_kl is k2, the mean of half the squared log-ratio, as OpenAI's baselines report
        # WHEN it, while this course reports k3.
        moved = ratio - 1 - log_ratio
        entries = {"clip_fraction": outside, "approx_kl": moved, "ratio_mean": ratio, "kl": kl}
        return loss, {name: _mean(x.to(ratio.dtype), counted) for name, x in entries.items()}
    ### END SOLUTION


### BEGIN SOLUTION


def _check_loss(
    logp: Tensor, old_logp: Tensor, ref_logp: Tensor | None, adv: Tensor, mask: Tensor,
    numbers: tuple[float, ...], level: str,
) -> None:  # fmt: skip
    """Refuse what no loss can be computed from."""
    others = [old_logp, mask, *([] if ref_logp is None else [ref_logp])]
    if logp.ndim != 2 or any(x.shape != logp.shape for x in others):
        raise ValueError("logp, old_logp, ref_logp and mask must have one shape (B, L).")
    if adv.shape not in (logp.shape, logp.shape[:1]):
        # BUG(advantages-broadcast): pass
        # WHEN advantages of a wrong length are stretched to fit instead of being refused.
        raise ValueError(f"adv must be (B,) or (B, L), but its shape is {tuple(adv.shape)}.")
    if min(numbers) < 0:
        raise ValueError(f"clip_low, clip_high and beta must not be negative: {numbers}.")
    if ref_logp is None and numbers[2] > 0:
        raise ValueError("a KL term needs the log-probabilities of a reference.")
    if level not in ("token", "sequence"):
        # BUG(unknown-level-passes): pass
        # WHEN an unknown level is taken for "token" instead of being refused.
        raise ValueError(f"level must be 'token' or 'sequence', but it is {level!r}.")


def _sequence_log_ratio(log_ratio: Tensor, valid: Tensor) -> Tensor:
    """The mean log-ratio of a row's tokens, at each of its places. (B, L)"""
    mean = log_ratio.sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True).clamp(min=1)
    return mean.expand_as(log_ratio)


### END SOLUTION


def aggregate(
    losses: Tensor, mask: Tensor, agg: str = "seq-mean-token-mean", max_len: int | None = None
) -> Tensor:
    """One number from the losses of all tokens of B rows, put together as ``agg`` says:

        "seq-mean-token-mean"   mean of a row's tokens, then mean of the B rows        (GRPO, eq. 3)
        "token-mean"            sum of all tokens / number of all tokens                 (DAPO)
        "seq-sum-const"         sum of a row's tokens / max_len, then mean of the B rows (Dr. GRPO)

    A row without a token counts as 0 and stays in B; a batch without any token has loss 0.

    Args:
        losses: (B, L) float; carries the gradient. What stands under mask 0 is never used, not even
            nan.
        mask: (B, L) bool or 0/1.
        agg: see above.
        max_len: the constant of "seq-sum-const", at least 1; required there and not used elsewhere.

    Returns:
        A scalar tensor that hangs on ``losses`` even without any token: then its gradient is 0.

    Raises:
        ValueError: the shapes differ or are not (B, L), an unknown agg, or "seq-sum-const" without
            max_len or with one below 1.
    """
    # TODO(loss): select what is valid; then one of three averages.
    ### BEGIN SOLUTION
    if losses.ndim != 2 or losses.shape != mask.shape:
        raise ValueError("losses and mask must have one shape (B, L).")
    if agg not in ("seq-mean-token-mean", "token-mean", "seq-sum-const"):
        raise ValueError(f"{agg!r} is no aggregation.")
    if agg == "seq-sum-const" and (max_len is None or max_len < 1):
        # BUG(max-len-may-be-missing): max_len = losses.shape[1]
        # WHEN a missing max_len is made up instead of being refused.
        raise ValueError("'seq-sum-const' needs max_len, at least 1.")
    valid = mask.bool()
    # BUG(nan-under-the-mask-spreads): losses = losses * valid
    # BUG(adds-up-under-the-mask): pass
    # WHEN losses under mask 0 are added up with the others.
    # BUG(nothing-has-no-gradient): losses = torch.where(valid, losses, 0.0) if bool(valid.any()) else torch.zeros_like(losses)
    # WHEN the loss of a batch without any token is a constant that hangs on nothing.
    losses = torch.where(valid, losses, 0.0)
    lengths = valid.sum(dim=1)
    # BUG(always-token-mean): if True:
    # WHEN the loss is the mean over all tokens of the batch, as DAPO has it, whatever agg says; in
    # WHEN the default every row weighs the same.
    # BUG(never-token-mean): if False:
    # WHEN "token-mean" takes the mean of each row first, so that a token in a long row weighs less.
    if agg == "token-mean":
        # BUG(token-mean-over-padding): return losses.mean()
        # WHEN "token-mean" divides by the number of all places, padding included.
        # BUG(empty-rows-give-nan, 2): return losses.sum() / lengths.sum()
        return losses.sum() / lengths.sum().clamp(min=1)
    if agg == "seq-sum-const":
        # BUG(constant-is-the-row-width): rows = losses.sum(dim=1) / losses.shape[1]
        # WHEN the sums are divided by the padded width of the batch, as some libraries have it,
        # WHEN instead of max_len.
        # BUG(constant-is-the-longest-row): rows = losses.sum(dim=1) / lengths.max().clamp(min=1)
        # WHEN the sums are divided by the longest response of the batch instead of max_len.
        rows = losses.sum(dim=1) / max_len
    else:
        # BUG(row-mean-over-padding): rows = losses.sum(dim=1) / losses.shape[1]
        # WHEN a row is averaged over its padded width instead of its tokens.
        # BUG(empty-rows-give-nan): rows = losses.sum(dim=1) / lengths
        # WHEN a row or a batch without a token is averaged over its zero tokens, 0/0.
        # BUG(row-sum): rows = losses.sum(dim=1)
        # WHEN a row's tokens are added up instead of averaged, as verl's seq-mean-token-sum has it.
        rows = losses.sum(dim=1) / lengths.clamp(min=1)
    # BUG(empty-rows-leave-the-mean): return rows.sum() / (lengths > 0).sum().clamp(min=1)
    # WHEN rows without a token are left out of the number of rows, as some libraries have it, while
    # WHEN this course counts them as 0.
    # BUG(sums-the-rows): return rows.sum()
    # WHEN the rows are added up instead of averaged.
    return rows.mean()
    ### END SOLUTION


### BEGIN SOLUTION


def _mean(x: Tensor, valid: Tensor) -> float:
    """Mean over valid entries, 0.0 if there are none."""
    return float(torch.where(valid, x, 0.0).sum() / valid.sum().clamp(min=1))


### END SOLUTION
### BEGIN BUGS


def _k3_everywhere(logp: Tensor, ref_logp: Tensor | None) -> Tensor:
    """k3 at every place, padding included."""
    return torch.zeros_like(logp) if ref_logp is None else k3_kl(logp, ref_logp)


def _k1(logp: Tensor, ref_logp: Tensor | None) -> Tensor:
    """k1 at every place, without a gradient."""
    return torch.zeros_like(logp) if ref_logp is None else (logp - ref_logp).detach()


### END BUGS
# -- Part 5: log-probabilities and samples ---------------------------------------------------------


def token_logprobs(
    model: Any, tokens: Tensor, attention: Tensor, temperature: float = 1.0
) -> Tensor:
    """The log-probability of each token of a batch, given the tokens before it in its row.

    Entry t = log softmax(logits_{t-1} / temperature)[tokens_t]: the logits at a place are about the
    *next* token. Padding counts for nothing: a row gives the same numbers alone and among longer
    ones. GPT-2 of ``transformers`` does not work out positions from the attention mask, so hand it
    ``position_ids`` that begin with 0 at the first real token.

    Args:
        model: a causal language model of ``transformers``, called as
            ``model(input_ids=..., attention_mask=..., position_ids=...).logits``.
        tokens: (B, L) int64.
        attention: (B, L) bool or 0/1, 1 = a token, 0 = padding; the 1s of a row stand together.
        temperature: above 0.

    Returns:
        (B, L) float, with a gradient if the model's parameters have one. Exactly 0 at padding and
        at the first token of a row, before which nothing stands.

    Raises:
        ValueError: the shapes differ or are not (B, L), or the temperature is not above 0.
    """
    # TODO(sampling): positions, logits, temperature, shift by one, pick.
    ### BEGIN SOLUTION
    if tokens.ndim != 2 or tokens.shape != attention.shape:
        raise ValueError(
            f"tokens and attention must be (B, L): {tuple(tokens.shape)}, {tuple(attention.shape)}."
        )
    _check_temperature(temperature)
    real = attention.bool()
    # BUG(scores-without-gradient): logits = model(input_ids=tokens, attention_mask=real.long(), position_ids=_positions(real)).logits.detach()
    # WHEN the log-probabilities are cut off from the model that they came from, so that it cannot
    # WHEN learn.
    logits = model(
        input_ids=tokens, attention_mask=real.long(), position_ids=_positions(real)
    ).logits
    # BUG(scored-at-temperature-one): logp = logits.log_softmax(dim=-1)
    # WHEN tokens are scored at temperature 1, whatever the temperature at which they were sampled.
    # BUG(temperature-multiplies): logp = (logits * temperature).log_softmax(dim=-1)
    # WHEN the logits are multiplied by the temperature instead of divided by it.
    logp = (logits / temperature).log_softmax(dim=-1)
    # BUG(logits-not-shifted): picked = logp[:, 1:].gather(2, tokens[:, 1:, None]).squeeze(2)
    # WHEN the logits at a token's own place are asked about it; they are about the next one.
    picked = logp[:, :-1].gather(2, tokens[:, 1:, None]).squeeze(2)
    follows = real[:, 1:] & real[:, :-1]
    # BUG(first-token-dropped): return torch.nn.functional.pad(picked.masked_fill(~follows, 0.0), (0, 1))
    # WHEN each log-probability stands one place too early, at the token before its own.
    return torch.nn.functional.pad(picked.masked_fill(~follows, 0.0), (1, 0))
    ### END SOLUTION


### BEGIN SOLUTION


def _check_temperature(temperature: float) -> None:
    """Refuse what logits cannot be divided by."""
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, but it is {temperature}.")


def _positions(real: Tensor) -> Tensor:
    """Places counted from the first real token of each row. (B, L) int64"""
    # BUG(positions-count-padding): return torch.arange(real.shape[1]).expand_as(real)
    # WHEN positions are counted from the left edge of the batch, padding included.
    # BUG(positions-begin-with-one): return real.long().cumsum(dim=1)
    # WHEN the positions of a row begin with 1, as a sum that counts its own token gives them.
    return (real.long().cumsum(dim=1) - 1).clamp(min=0)


### END SOLUTION


def sample_groups(
    model: Any,
    prompts: list[list[int]],
    G: int,
    max_new: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Samples:
    """Sample G responses to each prompt, token by token, from the model's whole distribution.

    Rows i*G .. i*G + G - 1 answer prompt i. Prompts are padded on the left, so that all responses
    begin at the same place. A response ends with its first end of sequence (which belongs to it) or
    after max_new tokens; the rest of the row is PAD. The log-probabilities are those of
    ``token_logprobs`` at this temperature: no top-k, no top-p.

    Args:
        model: as in ``token_logprobs``. A cache (``run_with_cache``) makes this several times
            faster and changes nothing.
        prompts: P lists of token ids, of any length from 1.
        G: samples for each prompt, at least 1.
        max_new: tokens of a response, at least 1.
        temperature: above 0; 1 is the model's own distribution.
        generator: the only source of randomness; required.

    Returns:
        Samples(tokens, mask, logp), each (P*G, longest prompt + max_new), without a gradient.

    Raises:
        ValueError: no prompt or an empty one, G < 1, max_new < 1, a temperature that is not above
            0, or no generator.
    """
    # TODO(sampling): pad on the left, sample a token for all rows, note its log-probability, stop rows at EOS.
    ### BEGIN SOLUTION
    _check_temperature(temperature)
    if not prompts or not all(prompts):
        raise ValueError("at least one prompt is needed, and none may be empty.")
    if G < 1 or max_new < 1:
        # BUG(accepts-empty-groups): G, max_new = max(G, 1), max(max_new, 1)
        # WHEN an impossible number of samples or tokens is replaced by 1 instead of being refused.
        raise ValueError(f"G and max_new must be at least 1, but they are {G} and {max_new}.")
    if generator is None:
        raise ValueError("a generator is needed: all randomness comes from it.")
    width = max(map(len, prompts))
    # BUG(prompts-take-turns): rows = [prompt for _ in range(G) for prompt in prompts]
    # WHEN the prompts take turns (repeat) instead of each filling G rows in a row
    # WHEN (repeat_interleave).
    rows = [prompt for prompt in prompts for _ in range(G)]
    # BUG(pads-on-the-right): filled = [prompt + [PAD] * (width - len(prompt)) for prompt in rows]
    # WHEN prompts are padded on the right, so that padding stands between a short prompt and its
    # WHEN response.
    filled = [[PAD] * (width - len(prompt)) + prompt for prompt in rows]
    tokens = torch.nn.functional.pad(torch.tensor(filled), (0, max_new), value=PAD)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    real = (
        torch.arange(tokens.shape[1])
        >= torch.tensor([width - len(prompt) for prompt in rows])[:, None]
    )
    scores: list[Tensor] = []
    alive, start, cache = torch.ones(len(rows), dtype=torch.bool), 0, None
    for t in range(width, width + max_new):
        real[:, t] = mask[:, t] = alive
        places = _positions(real[:, :t])[:, start:]
        with torch.no_grad():
            logits, cache = run_with_cache(model, tokens[:, start:t], real[:, :t], places, cache)
        # BUG(temperature-multiplies): scaled = logits[:, -1] * temperature
        scaled = logits[:, -1] / temperature
        # BUG(samples-from-top-five): distribution = _likeliest_five(scaled).log_softmax(dim=-1)
        # WHEN only the most likely tokens can be sampled (top-k or top-p), as some sampling code has
        # WHEN it by default.
        # BUG(samples-from-top-five, 2): distribution = _nucleus(scaled).log_softmax(dim=-1)
        distribution = scaled.log_softmax(dim=-1)
        # BUG(uses-the-global-generator): choice = torch.multinomial(distribution.exp(), 1)
        # WHEN random numbers come from the global generator instead of the one that was handed in.
        # BUG(uses-the-global-generator, 2): choice = torch.distributions.Categorical(logits=scaled).sample()[:, None]
        # BUG(always-the-likeliest): choice = distribution.argmax(dim=-1, keepdim=True)
        # WHEN the likeliest token is taken instead of a sampled one, so that all samples of a group
        # WHEN are alike.
        choice = torch.multinomial(distribution.exp(), 1, generator=generator)
        # BUG(scored-at-temperature-one): picked = logits[:, -1].log_softmax(dim=-1).gather(1, choice).squeeze(1)
        picked = distribution.gather(1, choice).squeeze(1)
        scores.append(picked.masked_fill(~alive, 0.0))
        # BUG(writes-after-the-end): tokens[:, t] = choice.squeeze(1)
        # WHEN the row goes on with sampled tokens after its end of sequence instead of padding.
        tokens[:, t] = choice.squeeze(1).masked_fill(~alive, PAD)
        # BUG(goes-on-after-the-end): alive = alive & True
        # WHEN a response goes on after its end of sequence.
        alive = alive & (tokens[:, t] != EOS)
        start = t
    logp = torch.nn.functional.pad(torch.stack(scores, dim=1), (width, 0))
    # BUG(as-wide-as-the-longest-response): return Samples(*(x[:, : int(mask.any(dim=0).nonzero().max()) + 1] for x in (tokens, mask, logp)))
    # WHEN the tensors end with the longest response, where sampling could stop, instead of having
    # WHEN the width of the longest prompt and max_new.
    # BUG(end-of-sequence-masked): return Samples(tokens, mask & (tokens != EOS), logp)
    # WHEN the end of sequence is left out of the mask, so that the policy never learns when to
    # WHEN stop.
    # BUG(end-of-sequence-masked, 2): return Samples(tokens, mask & (tokens != EOS), logp * (tokens != EOS))
    # BUG(mask-covers-the-prompt): return Samples(tokens, real | mask, logp)
    # WHEN the mask covers the prompt as well.
    # BUG(mask-covers-the-prompt, 2): return Samples(tokens, tokens != PAD, logp)
    return Samples(tokens, mask, logp)
    ### END SOLUTION


### BEGIN BUGS


def _likeliest_five(logits: Tensor) -> Tensor:
    """The logits of the five likeliest tokens, -inf elsewhere: what a known mistake samples
    from."""
    return logits.masked_fill(logits < logits.topk(5).values[:, -1:], -torch.inf)


def _nucleus(logits: Tensor) -> Tensor:
    """The logits of the likeliest tokens that together have 0.9 of the probability, -inf
    elsewhere."""
    ordered, places = logits.sort(dim=-1, descending=True)
    before = ordered.softmax(dim=-1).cumsum(dim=-1).roll(1, dims=-1)
    before[:, 0] = 0.0
    return ordered.masked_fill(before > 0.9, -torch.inf).gather(1, places.argsort(dim=-1))


### END BUGS
# -- Part 6: rewards that can be checked -----------------------------------------------------------


def verifiable_reward(prompt: str, response: str) -> float:
    """1.0 for the right answer in the right form, 0.0 for everything else.

    The prompt "r31425>" asks for the digits in reverse order, "s31425>" for the digits in ascending
    order. The right response is the answer, then
    "$" (end of sequence), and nothing else: ("r312>", "213$") earns 1.0. There is no credit for
    part of the answer, for an answer without its end, or for one with anything before or after it.
    A response may be any text at all, for it was written by a policy that looks for holes in this
    very function.

    Args:
        prompt: "r" or "s", at least one digit (0-9), ">".
        response: the decoded tokens under the mask.

    Returns:
        0.0 or 1.0.

    Raises:
        ValueError: the prompt is not of that form. (Never because of the response.)
    """
    # TODO(reward): work out the one text that is right, and compare.
    ### BEGIN SOLUTION
    digits = prompt[1:-1]
    if (
        prompt[:1] not in ("r", "s")
        or prompt[-1:] != ">"
        or not digits
        or not set(digits) <= set("0123456789")
    ):
        # BUG(accepts-malformed-prompts): return 0.0
        # WHEN a prompt that asks for nothing earns 0 instead of being refused.
        raise ValueError(f"a prompt looks like 'r31425>' or 's3142>', but this one is {prompt!r}.")
    # BUG(sorts-nothing): answer = digits[::-1]
    # WHEN every prompt is taken for one that asks for the reverse.
    # BUG(repeated-digits-are-lost): answer = digits[::-1] if prompt[0] == "r" else "".join(sorted(set(digits)))
    # WHEN a digit that occurs twice is sorted once, as sorting a set does it.
    answer = digits[::-1] if prompt[0] == "r" else "".join(sorted(digits))
    # BUG(end-not-required): return float(response.removesuffix("$") == answer)
    # WHEN an answer without its end of sequence is accepted.
    # BUG(end-not-required, 2): return float(response.rstrip("$") == answer)
    # BUG(prefix-is-enough): return float(response.startswith(answer))
    # WHEN a response is accepted as soon as it begins with the answer, or with the answer and its
    # WHEN end, whatever follows.
    # BUG(prefix-is-enough, 2): return float(response.startswith(answer + "$"))
    # BUG(answer-anywhere): return float(answer + "$" in response)
    # WHEN a response is accepted if it holds the answer somewhere, or ends with it, whatever stands
    # WHEN before, so that trying out several answers pays.
    # BUG(answer-anywhere, 2): return float(answer in response)
    # BUG(answer-anywhere, 3): return float(response.endswith(answer + "$"))
    # BUG(compares-numbers): return float(response[:-1].isdigit() and response[-1:] == "$" and int(response[:-1]) == int(answer))
    # WHEN answers are compared as numbers, so that leading zeros do not matter.
    # BUG(newline-passes): return float(__import__("re").match(answer + r"\$$", response) is not None)
    # WHEN a line break or a blank before or after the answer is accepted, as strip() does it, and a
    # WHEN regular expression that ends with $.
    # BUG(newline-passes, 2): return float(response.strip() == answer + "$")
    # BUG(partial-credit): return sum(a == b for a, b in zip(answer + "$", response)) / (len(answer) + 1)
    # WHEN each right character earns a share of the reward.
    # BUG(partial-credit, 2): return sum(a == b for a, b in zip(answer, response)) / len(answer)
    return float(response == answer + "$")
    ### END SOLUTION


def program_reward(source: str, cases: Sequence[tuple[int, int]]) -> float:
    """1.0 if a little program gives the right number in all test cases, else 0.0.

    A program is an arithmetic expression in Python's notation: whole numbers, the variable x, +, -,
    *, parentheses and signs, and nothing else: no other name, no call, no power (``9**9**9**9``
    would keep the grader busy for ever), at most 200 characters. ("2*x + 1", [(0, 1), (3, 7)])
    earns 1.0, with or without blanks around it. Text that is not a program earns 0.0; it never
    raises. Do not hand it to ``eval``.

    Args:
        source: the program, as a policy wrote it.
        cases: pairs (x, right result), at least one.

    Returns:
        0.0 or 1.0.

    Raises:
        ValueError: there is no test case.
    """
    # TODO(reward): parse with ast.parse(source.strip(), mode="eval"); walk the tree; allow what is listed.
    ### BEGIN SOLUTION
    if not cases:
        # BUG(no-case-is-success): return 1.0
        # WHEN a program without a single test case earns the reward, as all() of nothing is true.
        raise ValueError("at least one test case is needed.")
    # BUG(programs-of-any-length): limit = 10**6
    # WHEN programs may be longer than 200 characters.
    limit = 200
    try:
        tree = ast.parse(source.strip(), mode="eval").body if len(source) <= limit else None
        # BUG(hands-it-to-eval): results = [eval(source, {"__builtins__": {}}, {"x": x}) == y for x, y in cases]
        # WHEN the text is handed to eval, which knows far more than the language allows.
        # BUG(hands-it-to-eval, 2): results = [eval(source.strip(), {"x": x}) == y for x, y in cases]
        results = [_value(tree, x) == y for x, y in cases]
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError, NameError):
        return 0.0
    # BUG(cases-are-averaged): return sum(results) / len(results)
    # WHEN a program earns the share of test cases that it passes.
    # BUG(first-case-decides): return float(results[0])
    # WHEN only the first test case is looked at.
    return float(all(results))
    ### END SOLUTION


### BEGIN SOLUTION


def _value(node: ast.AST | None, x: int) -> int:
    """What an expression is worth. Raises ValueError for what is not in the language."""
    match node:
        case ast.Constant(value=int(number)) if type(number) is int:
            return number
        case ast.Name(id="x"):
            return x
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _value(inner, x)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, x)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left, x) + _value(right, x)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _value(left, x) - _value(right, x)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left, x) * _value(right, x)
    raise ValueError("that is not in the language.")


### END SOLUTION
# -- Part 7: training ------------------------------------------------------------------------------


def grpo_update_(
    policy: Any, optimizer: torch.optim.Optimizer, batch: Batch, cfg: GRPOConfig
) -> Metrics:
    """One optimiser step on a batch: score, loss, gradient, clip its norm, step. Changes
    ``policy``.

    The rows are scored ``cfg.micro_batch`` at a time and the gradients added up, so that a large
    batch fits into a small memory. The step must not depend on that: it is the step that
    ``grpo_loss`` of the whole batch gives, at
    ``cfg.temperature``, with ``cfg.clip_low``, ``clip_high``, ``beta``, ``agg``, ``level``, and ``max_len = cfg.max_new``.
    So each piece's loss is weighed by its share: of the rows where rows are averaged, of the tokens
    where tokens are. The norm of the whole gradient is clipped to ``cfg.grad_norm`` once. A batch
    without any token is allowed: its loss, its metrics and its gradient are 0.

    Args:
        policy: as in ``token_logprobs``.
        optimizer: holds the policy's parameters. Gradients left over from before are cleared first.
        batch: see ``Batch``.
        cfg: see ``GRPOConfig``.

    Returns:
        The metrics of ``grpo_loss`` over all tokens of the batch, before the step, and "loss": the
        value of ``grpo_loss`` of the whole batch, a float.
    """
    # TODO(training): add up the gradients of all pieces, each by its share; then clip and step.
    ### BEGIN SOLUTION
    # BUG(keeps-old-gradients): pass
    # WHEN gradients that were there before the update are not cleared.
    # BUG(keeps-old-gradients, 2): pass
    optimizer.zero_grad()
    rows, total = len(batch.adv), int(batch.mask.sum())
    size = cfg.micro_batch or rows
    metrics: Metrics = {"clip_fraction": 0.0, "approx_kl": 0.0, "ratio_mean": 0.0, "kl": 0.0}
    whole = 0.0
    for start in range(0, rows, size):
        piece = Batch(*(x[start : start + size] for x in batch))
        attention = attention_mask(piece.tokens, piece.mask)
        # BUG(prompts-are-scored-too): piece = piece._replace(mask=attention)
        # WHEN the prompt's tokens enter the loss, although the policy did not write them.
        piece = piece._replace(mask=piece.mask.bool())
        tokens = int(piece.mask.sum()) / max(total, 1)
        # BUG(update-at-temperature-one): logp = token_logprobs(policy, piece.tokens, attention)
        # WHEN the update scores the tokens at temperature 1, although they were sampled at another.
        logp = token_logprobs(policy, piece.tokens, attention, cfg.temperature)
        loss, part = grpo_loss(
            logp, piece.old_logp, piece.ref_logp, piece.adv, piece.mask,
            cfg.clip_low, cfg.clip_high, cfg.beta, cfg.agg, cfg.max_new, cfg.level,
        )  # fmt: skip
        # BUG(pieces-weigh-the-same): share = 1 / -(-rows // size)
        # WHEN the loss of each piece is divided by the number of pieces, as many training loops
        # WHEN have it: right only when all pieces are equally large.
        # BUG(pieces-are-summed): share = 1.0
        # WHEN the losses of the pieces are added up without a weight, so that more pieces make a
        # WHEN larger step.
        # BUG(pieces-weigh-by-rows): share = len(piece.adv) / rows
        # WHEN pieces are weighed by their rows although the loss is a mean over tokens.
        share = tokens if cfg.agg == "token-mean" else len(piece.adv) / rows
        (loss * share).backward()
        # BUG(loss-of-the-last-piece): whole = loss.item()
        # WHEN the loss that is reported is that of the last piece instead of the whole batch.
        whole += share * loss.item()
        # BUG(clips-every-piece): torch.nn.utils.clip_grad_norm_(policy.parameters(), cfg.grad_norm)
        # WHEN the gradient's norm is clipped after every piece instead of once at the end.
        # BUG(metrics-of-the-last-piece): metrics = part
        # WHEN the metrics are those of the last piece instead of the whole batch.
        metrics = {name: value + tokens * part[name] for name, value in metrics.items()}
    # BUG(gradient-not-clipped): pass
    # WHEN the norm of the gradient is not clipped.
    # BUG(gradient-not-clipped, 2): torch.nn.utils.clip_grad_value_(policy.parameters(), cfg.grad_norm)
    torch.nn.utils.clip_grad_norm_(policy.parameters(), cfg.grad_norm)
    # BUG(keeps-old-gradients, 2): optimizer.step(); optimizer.zero_grad()
    optimizer.step()
    return metrics | {"loss": whole}
    ### END SOLUTION


def train_grpo(policy: Any, cfg: GRPOConfig, seed: int) -> Result:
    """GRPO from a warm start: the loop of the paper's algorithm 1, with outcome rewards and a fixed
    reference.

    An iteration draws ``cfg.prompts`` prompts (``draw_prompts``), samples ``cfg.group_size``
    responses to each
    (``sample_groups``), rewards them (``verifiable_reward``), compares within groups (``group_advantages``
    with cfg.eps, cfg.scale, cfg.ddof and cfg.baseline), and makes ``cfg.epochs`` passes over the rows, in a new
    order each, cut into
    ``cfg.minibatches`` minibatches whose sizes differ by at most one, one ``grpo_update_`` for each.
    Empty minibatches, where there are fewer rows than minibatches, are skipped. One AdamW without
    weight decay makes all steps; ``learning_rate`` gives its step size in each iteration.
    With ``cfg.drop_dead_groups`` the rows of groups without spread are left out first; an iteration
    without any other makes no step.

    The old log-probabilities are those of the policy that sampled, through all passes. The
    reference is the policy as it was handed in; neither is changed: training works on a copy.

    Args:
        policy: as in ``token_logprobs``.
        cfg: see ``GRPOConfig``.
        seed: decides everything random.

    Returns:
        Result(policy, history). Entry i of each list of the history is about iteration i:
        reward_mean     mean reward of the samples
        reward_std      mean over groups of the standard deviation (with cfg.ddof) within the group; groups of one: 0.0
        dead_groups     share of groups without spread
        kl           mean k3 between the sampling policy and the reference, over all response tokens
        length          mean number of tokens of a response
        clip_fraction   mean over the iteration's updates, 0.0 if there was none
    """
    # TODO(training): sample, reward, compare, update; keep the books.
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    # BUG(trains-its-argument): reference, policy = copy.deepcopy(policy), policy
    # WHEN the model that was handed in is trained itself instead of a copy.
    # BUG(reference-follows-the-policy): reference = policy = copy.deepcopy(policy)
    # WHEN reference and policy are one and the same object, so that their divergence stays 0.
    reference, policy = policy, copy.deepcopy(policy)
    # BUG(decays-the-weights): optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr, weight_decay=1.0)
    # WHEN the optimiser lets the weights decay, so that they change where nothing is to be learnt.
    # BUG(decays-the-weights, 2): optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr, weight_decay=0.0)
    history: dict[str, list[float]] = {
        name: []
        for name in ("reward_mean", "reward_std", "dead_groups", "kl", "length", "clip_fraction")
    }
    for iteration in range(cfg.iterations):
        for group in optimizer.param_groups:
            # BUG(learning-rate-one-ahead): group["lr"] = learning_rate(cfg, iteration + 1)
            # WHEN each iteration has the learning rate of the one after it.
            # BUG(learning-rate-stays): pass
            # WHEN the learning rate stays what it was at first, without warm-up and decay.
            # BUG(new-optimiser-each-iteration): optimizer = torch.optim.AdamW(policy.parameters(), lr=learning_rate(cfg, iteration), weight_decay=0.0)
            # WHEN each iteration makes an optimiser of its own, which knows nothing of the steps
            # WHEN before.
            group["lr"] = learning_rate(cfg, iteration)
        batch, rewards, groups = _collect(policy, reference, cfg, generator)
        keep = informative_groups(rewards, groups)
        fractions = []
        # BUG(filter-keeps-the-dead): chosen = torch.arange(len(keep))
        # WHEN the rows of groups without spread stay in the update although they are to be dropped.
        chosen = keep.nonzero().flatten() if cfg.drop_dead_groups else torch.arange(len(keep))
        for _ in range(cfg.epochs):
            # BUG(passes-keep-their-order): order = chosen
            # WHEN the rows come in the same order in every pass.
            # BUG(passes-keep-their-order, 2): order = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))]
            order = chosen[torch.randperm(len(chosen), generator=generator)]
            # BUG(last-rows-left-out): for rows in order.split(max(len(order) // cfg.minibatches, 1))[: cfg.minibatches]:
            # WHEN rows that do not divide evenly into minibatches are left out of a pass.
            for rows in order.tensor_split(cfg.minibatches):
                if len(rows):
                    piece = Batch(*(x[rows] for x in batch))
                    # BUG(old-logp-recomputed): old_logp = _score(policy, piece, cfg)
                    # WHEN the old log-probabilities are those of the policy that learns, computed
                    # WHEN anew, so that no ratio ever leaves 1 and nothing is clipped.
                    # BUG(learning-rate-of-steps): old_logp, optimizer.param_groups[0]["lr"] = piece.old_logp, learning_rate(cfg, cfg.epochs * cfg.minibatches * iteration + len(fractions))
                    # WHEN learning_rate is asked about steps of the optimiser instead of iterations.
                    old_logp = piece.old_logp
                    metrics = grpo_update_(
                        policy, optimizer, piece._replace(old_logp=old_logp), cfg
                    )
                    fractions.append(metrics["clip_fraction"])
        spread = [_std(rewards[groups == g], cfg.ddof) for g in groups.unique()]
        history["reward_mean"].append(float(rewards.mean()))
        history["reward_std"].append(sum(spread) / len(spread))
        # BUG(counts-failed-groups-only): keep = keep | (rewards > 0)
        # WHEN the share of dead groups leaves out those in which every sample succeeded.
        history["dead_groups"].append(float((~keep).double().mean()))
        # BUG(history-kl-the-wrong-way-round): history["kl"].append(_mean(k3_kl(batch.ref_logp, batch.old_logp), batch.mask))
        # WHEN the divergence in the history is estimated with the two policies changed over: the
        # WHEN samples are those of the sampling policy, so it has to come first.
        history["kl"].append(_mean(k3_kl(batch.old_logp, batch.ref_logp), batch.mask))
        # BUG(length-without-the-end): history["length"].append(float((batch.mask & (batch.tokens != EOS)).sum(dim=1).double().mean()))
        # WHEN the end of sequence is not counted as a token of the response.
        history["length"].append(float(batch.mask.sum(dim=1).double().mean()))
        # BUG(clip-fraction-is-summed): history["clip_fraction"].append(sum(fractions))
        # WHEN the clip fraction of an iteration is the sum over its updates instead of their mean.
        history["clip_fraction"].append(sum(fractions) / max(len(fractions), 1))
    return Result(policy, history)
    ### END SOLUTION


### BEGIN SOLUTION


def _collect(
    policy: Any, reference: Any, cfg: GRPOConfig, generator: torch.Generator
) -> tuple[Batch, Tensor, Tensor]:
    """Samples of one iteration with their advantages; rewards (B,) and group ids (B,)."""
    prompts = draw_prompts(cfg.task, cfg.digits, cfg.prompts, generator)
    # BUG(training-samples-at-one): samples = sample_groups(policy, [encode(p) for p in prompts], cfg.group_size, cfg.max_new, 1.0, generator)
    # WHEN training samples at temperature 1, whatever temperature it was given.
    samples = sample_groups(
        policy,
        [encode(prompt) for prompt in prompts],
        cfg.group_size,
        cfg.max_new,
        cfg.temperature,
        generator,
    )
    groups = torch.arange(cfg.prompts).repeat_interleave(cfg.group_size)
    answers = [decode(row[kept]) for row, kept in zip(samples.tokens, samples.mask, strict=True)]
    rewards = torch.tensor(
        [verifiable_reward(prompts[g], text) for g, text in zip(groups, answers, strict=True)]
    )
    # BUG(training-forgets-its-scale): adv = group_advantages(rewards.double(), groups)
    # WHEN training takes the default advantages, whatever scale, ddof and eps it was given.
    # BUG(training-forgets-its-baseline): adv = group_advantages(rewards.double(), groups, cfg.eps, cfg.scale, cfg.ddof)
    # WHEN training compares with the group's mean, whatever baseline it was given.
    adv = group_advantages(rewards.double(), groups, cfg.eps, cfg.scale, cfg.ddof, cfg.baseline)
    batch = Batch(
        samples.tokens, samples.mask, samples.logp, samples.logp, adv.to(samples.logp.dtype)
    )
    return batch._replace(ref_logp=_score(reference, batch, cfg)), rewards, groups


def _score(model: Any, batch: Batch, cfg: GRPOConfig) -> Tensor:
    """Log-probabilities of a batch's tokens under a model, without a gradient. (B, L)"""
    with torch.no_grad():
        # BUG(reference-scored-at-one): return token_logprobs(model, batch.tokens, attention_mask(batch.tokens, batch.mask))
        # WHEN the reference is scored at temperature 1, although the samples were drawn at another.
        return token_logprobs(
            model, batch.tokens, attention_mask(batch.tokens, batch.mask), cfg.temperature
        )


def _std(x: Tensor, ddof: int) -> float:
    """Standard deviation, 0.0 for a single number."""
    return float(x.std(correction=ddof)) if len(x) > 1 else 0.0


### END SOLUTION
