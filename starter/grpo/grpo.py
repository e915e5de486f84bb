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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(advantages): refuse impossible arguments; centre and scale each group by itself.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(advantages): a group without spread is dropped, whether all failed or all succeeded.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(process): normalise all steps of the group together; sum from a token to the end of its row.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(kl): three terms in the log-ratio.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): ratio, clip, KL, then aggregate; select what is valid before you compute with it.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): select what is valid; then one of three averages.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(sampling): positions, logits, temperature, shift by one, pick.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(sampling): pad on the left, sample a token for all rows, note its log-probability, stop rows at EOS.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reward): work out the one text that is right, and compare.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reward): parse with ast.parse(source.strip(), mode=\"eval\"); walk the tree; allow what is listed.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): add up the gradients of all pieces, each by its share; then clip and step.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): sample, reward, compare, update; keep the books.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# advantages=  process=  kl=  loss=  sampling=  reward=  training=
