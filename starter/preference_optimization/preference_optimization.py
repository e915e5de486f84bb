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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(dpo): one line, and no gradient.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(dpo): two log-ratios and their difference.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(dpo): the margin, times beta, in two terms, by a function that cannot overflow.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(dpo): differentiate the loss of one pair by h, with a pencil.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ipo): the margin, its target, a square.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(kto): refuse a batch of one; everybody takes the next one's.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(kto): mean, then floor, and no gradient.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(kto): log-ratio, distance from the point, its sign, the weight.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reference_free): one line.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reference_free): torch.expm1 is exp(x) - 1 without the loss of digits.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reference_free): two terms.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(optimum): add, and normalise in logarithms.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(optimum): an expectation under the policy.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(optimum): refuse certainties; Newton's method, or anything else, for u; then ref * exp(u / beta) / Z.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(logprobs): chosen rows, then rejected rows; pad on the right; mark each response by its length.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(logprobs): cut in the middle.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(logprobs): positions from the attention mask, logits, shift by one, pick, zero where nothing stands.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(logprobs): refuse rows without a response; add up what is under the mask; divide if asked.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(logprobs): tiny_lm.attention_mask(tokens, mask), token_logprobs, sequence_logprobs, split_pairs.")


def reference_logprobs(model: Any, batch: Batch, average: bool = False) -> tuple[Tensor, Tensor]:
    """``pair_logprobs`` of a frozen model: in evaluation mode, without a gradient.

    The model leaves as it came: if it was in training mode, it is in training mode again.

    Args:
        model, batch, average: as in ``pair_logprobs``.

    Returns:
        (chosen, rejected), each (B,) float, without a gradient.
    """
    # TODO(logprobs): evaluation mode, no gradient, and the old mode again.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(logprobs): evaluation mode, no gradient, and the old mode again.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): log-probabilities of both models, the loss, one clipped step, the report.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): copy the policy, shuffle, cut, update, keep the books.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# dpo=  ipo=  kto=  reference_free=  optimum=  logprobs=  training=
