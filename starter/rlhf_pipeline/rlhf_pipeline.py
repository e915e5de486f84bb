"""RLHF with PPO, the whole pipeline: imitate, learn what people prefer, improve, and stay close.

Conventions, for every function of this file

* A batch is (B, L): B rows, L places. A row is padding, a prompt, a response, padding. Entry t of
  every tensor belongs to the token at place t: its id, its log-probability given the tokens before
  it, the value of the state *in which it was chosen*, its reward, its advantage.
* ``attention`` marks tokens, ``mask`` the response alone: what the policy wrote, the end of
  sequence included. Both follow from where things stand, never from ids: padding may be the end of
  sequence. What stands under a mask of 0 is never used, not even nan.
* ``eos=None`` means that nothing ends a response: all have ``max_new`` tokens. An ``eos`` of 0 is
  an end like any other.
* Log-probabilities are in nats, at the temperature at which the tokens were sampled.
* Models are in evaluation mode throughout: dropout would make two passes over one token differ.
* Losses are to be minimised. Only what is being trained carries a gradient.
* Arguments are never changed, except by functions whose name ends in ``_``. Random numbers come
  from the generator or seed that is handed in, never from a global generator.
* Impossible arguments raise ValueError with a sentence.

Sources: Ziegler et al. (2019), "Fine-tuning language models from human preferences",
arXiv:1909.08593; Stiennon et al. (2020), "Learning to summarize from human feedback",
arXiv:2009.01325; Ouyang et al. (2022), arXiv:2203.02155; Huang et al. (2024), "The N+
implementation details of RLHF with PPO", arXiv:2403.17031.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from tiny_lm import EOS, PAD, run_with_cache
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Metrics = dict[str, float]
Score = Callable[[Tensor, Tensor], Tensor]  # (tokens (B, L), attention (B, L)) -> scores (B,)


@dataclass(frozen=True)
class RLHFConfig:
    """Settings of the pipeline. The defaults suit responses of three tokens."""

    max_new: int = 3  # tokens of a response, the end of sequence included
    eos: int | None = EOS
    pad: int = PAD
    temperature: float = 1.0
    beta: float = 0.1  # weight of the divergence from the reference
    missing_eos_penalty: float = 0.0  # taken off the score of a response without an end
    gamma: float = 1.0
    lam: float = 0.95
    whiten_rewards: bool = False  # divide the token rewards by their deviation
    iterations: int = 60
    batch_size: int = 64  # responses of one iteration
    epochs: int = 2  # passes over them
    minibatches: int = 2  # optimiser steps of one pass
    lr: float = 3e-3  # of the first iteration; it falls linearly towards 0
    clip: float = 0.2  # ratios may leave 1 by this much
    value_clip: float | None = 0.2  # values may leave the old ones by this much; None: no limit
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    grad_norm: float = 1.0  # joint norm of all gradients of a step
    sft_steps: int = 150
    pairs: int = 256  # comparisons
    reward_steps: int = 150
    stage_batch: int = 32  # rows, or pairs, of a step of the first two stages
    stage_lr: float = 3e-3


class Samples(NamedTuple):
    """Prompts with their responses, each (B, L)."""

    tokens: Tensor  # int64
    attention: Tensor  # bool: a token, not padding
    mask: Tensor  # bool: the response


class Scores(NamedTuple):
    """What ``score_tokens`` returns, each (B, L) float."""

    logp: Tensor
    entropy: Tensor


class Advantages(NamedTuple):
    """What ``token_gae`` returns, each (B, L) float."""

    advantages: Tensor
    returns: Tensor


class Batch(NamedTuple):
    """What PPO learns from, each (B, L), none with a gradient."""

    tokens: Tensor  # int64
    attention: Tensor  # bool
    mask: Tensor  # bool
    old_logp: Tensor  # of the policy that sampled
    old_values: Tensor
    advantages: Tensor
    returns: Tensor


class Result(NamedTuple):
    """What ``train_ppo`` returns."""

    policy: Any  # the trained copy
    history: dict[str, list[float]]  # one number for each iteration


class Stages(NamedTuple):
    """What ``train_rlhf`` returns."""

    sft: Any  # the policy after imitation, which is the reference of PPO
    reward_model: Any
    result: Result


# -- Given: a network with one number at each place, adapters, imitation ---------------------------


class ScalarModel(nn.Module):
    """A transformer that puts out one number at each place: a critic, or a reward model.

    Args:
        backbone: a model of ``transformers`` without a head, such as GPT2Model.
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        self.score = nn.Linear(backbone.config.hidden_size, 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        """The numbers, (B, L): entry t has read the tokens up to place t, itself included."""
        out = self.backbone(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids
        )
        return self.score(out.last_hidden_state).squeeze(-1)


def scalar_model(policy: Any) -> ScalarModel:
    """A ScalarModel that begins with a copy of the policy's weights and puts out 0 everywhere."""
    model = ScalarModel(copy.deepcopy(policy.base_model)).to(policy.device, policy.dtype)
    nn.init.zeros_(model.score.weight)
    nn.init.zeros_(model.score.bias)
    return model.requires_grad_(True).eval()


class LoRA(nn.Module):
    """A frozen layer with a trainable update of low rank, as you wrote it in `sft`. With ``on``
    False the layer is its base."""

    def __init__(self, base: Any, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        shape = tuple(base.weight.shape)
        inputs, outputs = shape if isinstance(base, Conv1D) else shape[::-1]
        self.base, self.on, self.scale = base, True, alpha / rank
        draws = torch.randn(rank, inputs, generator=generator, dtype=base.weight.dtype)
        self.A = nn.Parameter(draws / math.sqrt(inputs))
        self.B = nn.Parameter(torch.zeros(outputs, rank, dtype=base.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """The adapted layer."""
        update = self.scale * (x @ self.A.T @ self.B.T) if self.on else 0.0
        return self.base(x) + update


def add_lora_(
    model: nn.Module, names: Sequence[str], rank: int, alpha: float, generator: torch.Generator
) -> None:
    """Freeze a model, and put a fresh ``LoRA`` around each layer whose name ends in one of these."""
    model.requires_grad_(False)
    for name in [n for n, _ in model.named_modules() if n.split(".")[-1] in names]:
        parent, _, last = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, last, LoRA(getattr(owner, last), rank, alpha, generator))


def fit_sft_(
    policy: Any, data: Samples, cfg: RLHFConfig, generator: torch.Generator
) -> list[float]:
    """Imitate the responses of ``data``: ``cfg.sft_steps`` steps of Adam. Returns the losses."""
    optimizer = torch.optim.Adam(policy.parameters(), lr=cfg.stage_lr)
    losses = []
    for _ in range(cfg.sft_steps):
        rows = torch.randint(len(data.tokens), (cfg.stage_batch,), generator=generator)
        tokens, attention, mask = (x[rows] for x in data)
        loss = -score_tokens(policy, tokens, attention).logp[mask].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _check_rows(*tensors: Tensor) -> None:
    """Refuse tensors that do not have one shape (B, L)."""
    if tensors[0].ndim != 2 or any(x.shape != tensors[0].shape for x in tensors):
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors)
        raise ValueError(f"one shape (B, L) is needed for all, but there are {shapes}.")


def _check_above_zero(**numbers: float) -> None:
    """Refuse zero and negative numbers."""
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name} must be above 0, but it is {number}.")


# -- Part 1: responses -----------------------------------------------------------------------------


def response_mask(tokens: Tensor, start: int, eos: int | None) -> Tensor:
    """Which places are the response: from ``start`` to the first end of sequence, which belongs to
    it, or to the end of the row if there is none.

    Args:
        tokens: (B, L) int64; a prompt stands before ``start``, and may hold ``eos`` itself.
        start: where all responses begin, 0 .. L - 1.
        eos: the end of sequence; None if nothing ends a response.

    Returns:
        (B, L) bool.

    Raises:
        ValueError: tokens is not (B, L), or start lies outside.
    """
    _check_rows(tokens)
    if not 0 <= start < tokens.shape[1]:
        raise ValueError(f"start must lie in 0 .. {tokens.shape[1] - 1}, but it is {start}.")
    # TODO(responses): how many ends stand before each place of the response?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(responses): how many ends stand before each place of the response?")


def sample_responses(
    model: Any, prompts: Sequence[Sequence[int]], cfg: RLHFConfig, generator: torch.Generator
) -> Samples:
    """One response to each prompt, token by token, from the model's whole distribution.

    Prompts are padded on the left with ``cfg.pad``, so that all responses begin at the same place.
    A response ends with its first ``cfg.eos`` or after ``cfg.max_new`` tokens: then it has no end,
    and none is put there. What follows an end is ``cfg.pad`` and is not attended to.

    Args:
        model: a causal language model of ``transformers``, called with ``position_ids`` that begin
            with 0 at the first real token. ``run_with_cache`` makes this fast.
        prompts: B lists of token ids, of any length from 1.
        cfg: max_new, eos, pad and temperature count: tokens are drawn from softmax(logits /
            temperature), without top-k or top-p.
        generator: the only source of randomness.

    Returns:
        Samples(tokens, attention, mask), each (B, longest prompt + max_new), without a gradient.

    Raises:
        ValueError: no prompt, an empty one, or a temperature or max_new that is not above 0.
    """
    _check_above_zero(temperature=cfg.temperature, max_new=cfg.max_new)
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError("at least one prompt is needed, and none may be empty.")
    # TODO(responses): pad on the left, mark what is real, draw max_new tokens, then cut at the end.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(responses): pad on the left, mark what is real, draw max_new tokens, then cut at the end.")


# -- Part 2: log-probabilities, entropies, values --------------------------------------------------


def positions(attention: Tensor) -> Tensor:
    """Position of every real token among the real tokens of its row: 0, 1, 2, ...

    Args:
        attention: (B, L) bool or 0/1; the 1s of a row stand together.

    Returns:
        (B, L) int64. What stands at padding must lie in 0 .. L - 1 and means nothing.

    Raises:
        ValueError: attention is not (B, L).
    """
    _check_rows(attention)
    # TODO(scoring): count the ones up to here.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(scoring): count the ones up to here.")


def score_tokens(model: Any, tokens: Tensor, attention: Tensor, temperature: float = 1.0) -> Scores:
    """The log-probability of each token given those before it, and the entropy of the choice.

    With p = softmax(logits at place t - 1 / temperature): logp_t = log p[tokens_t], entropy_t =
    -sum p log p. Padding counts for nothing: a row gives the same numbers alone and in any batch.

    Args:
        model: as in ``sample_responses``, called as ``model(input_ids=..., attention_mask=...,
            position_ids=...).logits``.
        tokens: (B, L) int64.
        attention: (B, L) bool or 0/1; the 1s of a row stand together.
        temperature: above 0.

    Returns:
        Scores(logp, entropy), each (B, L), with a gradient if the model's parameters have one;
        exactly 0 at padding and at the first token of a row, before which nothing stands.

    Raises:
        ValueError: the shapes differ or are not (B, L), or the temperature is not above 0.
    """
    _check_rows(tokens, attention)
    _check_above_zero(temperature=temperature)
    # TODO(scoring): positions, logits, temperature, shift by one, pick; the entropy at the same place.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(scoring): positions, logits, temperature, shift by one, pick; the entropy at the same place.")


def token_values(critic: Any, tokens: Tensor, attention: Tensor) -> Tensor:
    """The value of the state in which each token was chosen: of the tokens before it, not of it.

    The critic's number at place t has read token t. A value that knows what was chosen is no
    baseline, so entry t is the number at place t - 1.

    Args:
        critic: as ``ScalarModel``: called with ``input_ids``, ``attention_mask`` and
            ``position_ids``, it returns (B, L).
        tokens, attention: as in ``score_tokens``.

    Returns:
        (B, L) float, with a gradient; exactly 0 where ``score_tokens`` has 0.

    Raises:
        ValueError: the shapes differ or are not (B, L).
    """
    _check_rows(tokens, attention)
    # TODO(scoring): as for log-probabilities: positions, numbers, shift by one.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(scoring): as for log-probabilities: positions, numbers, shift by one.")


# -- Part 3: the reference -------------------------------------------------------------------------


def make_reference(policy: Any) -> Any:
    """What the policy is compared with: itself, before PPO.

    Args:
        policy: the policy as it enters PPO.

    Returns:
        None if the policy has ``LoRA`` layers and all of them are fresh, with B exactly 0: switched
        off they are the reference, and it costs no memory. Otherwise a copy in evaluation mode, of
        which no parameter requires a gradient: adapters that have learned something, in
        imitation say, are a part of the reference.
    """
    # TODO(reference): look for adapters, and whether they have learned anything; copy and freeze.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reference): look for adapters, and whether they have learned anything; copy and freeze.")


def reference_logprobs(
    policy: Any, reference: Any, tokens: Tensor, attention: Tensor, temperature: float = 1.0
) -> Tensor:
    """Log-probabilities under the reference.

    Args:
        policy: needed where the reference is None: then all its ``LoRA`` layers are switched off
            for this one pass, and afterwards each is as it was, on or off, also if the pass ends
            with an error.
        reference: what ``make_reference`` returned.
        tokens, attention, temperature: as in ``score_tokens``.

    Returns:
        (B, L) float, without a gradient.
    """
    # TODO(reference): one pass without a gradient; remember which adapters were on.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reference): one pass without a gradient; remember which adapters were on.")


# -- Part 4: rewards for tokens --------------------------------------------------------------------


def penalise_missing_ends(
    scores: Tensor, tokens: Tensor, mask: Tensor, eos: int | None, penalty: float
) -> Tensor:
    """Scores, less ``penalty`` for each response that was cut off before its end.

    Args:
        scores: (B,) float.
        tokens: (B, L) int64.
        mask: (B, L) bool or 0/1: the response. It has an end if its *last* token is ``eos``.
        eos: the end of sequence; None: nothing ends a response, and nothing is taken off.
        penalty: at least 0.

    Returns:
        (B,) float, without a gradient.

    Raises:
        ValueError: the shapes do not fit, or the penalty is negative.
    """
    _check_rows(tokens, mask)
    if scores.shape != tokens.shape[:1] or penalty < 0:
        raise ValueError("scores must be (B,), and the penalty at least 0.")
    # TODO(rewards): has each response an end? Mind ends in prompts and in padding.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(rewards): has each response an end? Mind ends in prompts and in padding.")


def token_rewards(
    scores: Tensor, logp: Tensor, ref_logp: Tensor, mask: Tensor, beta: float
) -> Tensor:
    """A reward for each token: the price of leaving the reference, and at the end the score.

    reward_t = -beta * (logp_t - ref_logp_t)  at each token of the response, and in addition the
    score at the response's *last* token. They add up to score - beta * log(pi / ref) of the
    response.

    Args:
        scores: (B,) float.
        logp, ref_logp: (B, L) float, of the policy that sampled and of the reference.
        mask: (B, L) bool or 0/1: the response, at least one token in each row.
        beta: at least 0.

    Returns:
        (B, L) float, exactly 0 under mask 0, without a gradient.

    Raises:
        ValueError: the shapes do not fit, a row has no response, or beta is negative.
    """
    _check_rows(logp, ref_logp, mask)
    if scores.shape != logp.shape[:1] or beta < 0 or not bool(mask.bool().any(dim=1).all()):
        raise ValueError("scores must be (B,), beta at least 0, and each row needs a response.")
    # TODO(rewards): a log-ratio at each token under the mask; find the last one.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(rewards): a log-ratio at each token under the mask; find the last one.")


# -- Part 5: advantages ----------------------------------------------------------------------------


def masked_whiten(x: Tensor, mask: Tensor, shift_mean: bool = True, eps: float = 1e-8) -> Tensor:
    """Standardise what stands under the mask: (x - mean) / (std + eps).

    Args:
        x: (B, L) float.
        mask: (B, L) bool or 0/1; mean and population standard deviation are those of all valid
            entries of the batch.
        shift_mean: False puts the mean back: (x - mean) / (std + eps) + mean, as is usual for
            rewards, whose sign means something.
        eps: added to the standard deviation.

    Returns:
        (B, L) float, exactly 0 under mask 0, without a gradient.

    Raises:
        ValueError: the shapes differ or are not (B, L), or nothing is valid.
    """
    _check_rows(x, mask)
    if not bool(mask.any()):
        raise ValueError("nothing stands under the mask.")
    # TODO(advantages): choose what is valid, then mean and deviation.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(advantages): choose what is valid, then mean and deviation.")


def token_gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> Advantages:
    """GAE over the tokens of each response, and returns for the critic.

    With V = A = 0 after the last token of a response,

        delta_t = r_t + gamma * V_{t+1} - V_t,    A_t = delta_t + gamma * lam * A_{t+1},
        return_t = A_t + V_t

    Args:
        rewards, values: (B, L) float. What stands under mask 0 is never used.
        mask: (B, L) bool or 0/1; the 1s of a row stand together.
        gamma, lam: in [0, 1].

    Returns:
        Advantages(advantages, returns), each (B, L) float, exactly 0 under mask 0, without a
        gradient.

    Raises:
        ValueError: the shapes differ or are not (B, L), or gamma or lam lies outside [0, 1].
    """
    _check_rows(rewards, values, mask)
    if not (0 <= gamma <= 1 and 0 <= lam <= 1):
        raise ValueError(f"gamma and lam must lie in [0, 1], but they are {gamma} and {lam}.")
    # TODO(advantages): walk backwards; after the last token of a response everything is 0.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(advantages): walk backwards; after the last token of a response everything is 0.")


# -- Part 6: the update ----------------------------------------------------------------------------


def ppo_loss(
    scores: Scores, values: Tensor, batch: Batch, cfg: RLHFConfig
) -> tuple[Tensor, Metrics]:
    """PPO's loss of a batch: means over all tokens of all responses together.

    With ratio = exp(logp - old_logp), c = cfg.clip and v = cfg.value_clip,

        policy_loss = -mean(min(ratio * A, clip(ratio, 1 - c, 1 + c) * A))
        value_loss  = 1/2 mean(max((V - R)^2, (V_old + clip(V - V_old, -v, v) - R)^2))
        loss        = policy_loss + value_coef * value_loss - entropy_coef * mean(entropy)

    Without v the value loss is 1/2 mean((V - R)^2).

    Args:
        scores: of the policy that learns, (B, L); carry a gradient.
        values: (B, L) of the critic; carry a gradient.
        batch: see ``Batch``; advantages as they are, whitened or not.
        cfg: clip, value_clip, value_coef, entropy_coef count.

    Returns:
        (loss, metrics): a scalar tensor, and floats: policy_loss, value_loss, entropy,
        clip_fraction (share of ratios outside [1 - c, 1 + c]), approx_kl (mean of ratio - 1 -
        log ratio), ratio_mean.

    Raises:
        ValueError: shapes that differ, or no token under the mask.
    """
    _check_rows(scores.logp, scores.entropy, values, *batch)
    if not bool(batch.mask.any()):
        raise ValueError("nothing stands under the mask.")
    # TODO(update): choose the valid tokens first; three terms, six metrics.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(update): choose the valid tokens first; three terms, six metrics.")


def ppo_update_(
    policy: Any, critic: Any, optimizer: torch.optim.Optimizer, batch: Batch, cfg: RLHFConfig
) -> Metrics:
    """One optimiser step on a batch: score, loss, gradient, clip its norm, step.

    Both models are put into evaluation mode. The joint norm of all gradients that belong to the
    optimiser is clipped to ``cfg.grad_norm``.

    Args:
        policy, critic: changed; as in ``score_tokens`` and ``token_values``.
        optimizer: holds the parameters of both. Old gradients are cleared first.
        batch: see ``Batch``.
        cfg: temperature and grad_norm count, and what ``ppo_loss`` needs.

    Returns:
        The metrics of ``ppo_loss`` before the step, and "loss", a float.
    """
    # TODO(update): at the temperature of sampling, without dropout.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(update): at the temperature of sampling, without dropout.")


# -- Part 7: the loop ------------------------------------------------------------------------------


def collect(
    policy: Any, critic: Any, reference: Any, score: Score, prompts: Sequence[Sequence[int]],
    cfg: RLHFConfig, generator: torch.Generator,
) -> tuple[Batch, Metrics]:  # fmt: skip
    """One iteration's experience: sample, score, compare with the reference, compute advantages.

    All models are put into evaluation mode. ``score`` gets tokens and attention of all rows, once.
    Its scores go through ``penalise_missing_ends`` and ``token_rewards`` (with ``masked_whiten(rewards, mask,
    shift_mean=False)`` if cfg.whiten_rewards), then ``token_gae``; the advantages are whitened over
    the valid tokens of the batch, the returns are not.

    Args:
        policy, critic: as in ``ppo_update_``.
        reference: what ``make_reference`` returned.
        score: (tokens, attention) -> (B,).
        prompts: B lists of ids; row i of the batch answers prompt i.
        cfg: see ``RLHFConfig``.
        generator: for the samples.

    Returns:
        (batch, metrics): metrics are floats: score (mean, before the penalty), kl (mean over
        responses of the *sum* of log-ratios), reward (mean sum of a response's token rewards,
        before whitening), length (mean tokens of a response), ended (share with an end).
    """
    # TODO(loop): each line is one function of yours.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loop): each line is one function of yours.")


def train_ppo(
    policy: Any, score: Score, prompts: Sequence[Sequence[int]], cfg: RLHFConfig, seed: int
) -> Result:
    """PPO from a policy that has learned to imitate.

    The reference is ``make_reference`` of the policy as it was handed in, the critic begins as
    ``scalar_model`` of it, and a copy learns. An iteration draws ``cfg.batch_size`` prompts,
    uniformly and with replacement, collects, and makes ``cfg.epochs`` passes over the rows, each
    in a new order, cut into ``cfg.minibatches`` nearly equal pieces (``tensor_split``), one
    ``ppo_update_`` for each. Adam on the parameters of the policy that require a gradient and on the
    critic's; the learning rate of iteration i = 0, 1, ... is cfg.lr * (1 - i / cfg.iterations).
    ``score`` is asked once in each iteration, about the sampled rows, and about nothing else.

    Args:
        policy: not changed.
        score: (tokens, attention) -> (B,).
        prompts: at least one.
        cfg: see ``RLHFConfig``.
        seed: decides everything random.

    Returns:
        Result(policy, history): the copy in evaluation mode; a list for each metric of ``collect``,
        and for clip_fraction, the mean over the iteration's updates.

    Raises:
        ValueError: no prompt.
    """
    if not prompts:
        raise ValueError("at least one prompt is needed.")
    # TODO(loop): reference, critic, optimiser; then collect and update.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loop): reference, critic, optimiser; then collect and update.")


# -- Part 8: the whole pipeline --------------------------------------------------------------------


def last_scores(model: Any, tokens: Tensor, attention: Tensor) -> Tensor:
    """What a reward model says of each row: its number at the row's last real token.

    Args:
        model: as ``ScalarModel``.
        tokens, attention: as in ``score_tokens``, at least one real token in each row.

    Returns:
        (B,) float, with a gradient if the model's parameters have one.

    Raises:
        ValueError: the shapes differ or are not (B, L), or a row is empty.
    """
    _check_rows(tokens, attention)
    if not bool(attention.bool().any(dim=1).all()):
        raise ValueError("each row needs a real token.")
    # TODO(pipeline): find the last real token; padding may stand on either side.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(pipeline): find the last real token; padding may stand on either side.")


def fit_reward_model_(
    model: Any, chosen: Samples, rejected: Samples, cfg: RLHFConfig, generator: torch.Generator
) -> list[float]:
    """Learn from comparisons: raise log sigmoid(score of chosen - score of rejected).

    ``cfg.reward_steps`` steps of Adam at ``cfg.stage_lr``, each on ``cfg.stage_batch`` pairs, drawn
    uniformly and with replacement; the loss is the mean over them.

    Args:
        model: as ``ScalarModel``; changed.
        chosen, rejected: row i of each is a pair; n rows, at least one.
        cfg, generator: see above.

    Returns:
        The losses, cfg.reward_steps floats.

    Raises:
        ValueError: there is no pair, or the numbers of rows differ.
    """
    if not len(chosen.tokens) or len(chosen.tokens) != len(rejected.tokens):
        raise ValueError("chosen and rejected need equally many rows, at least one.")
    # TODO(pipeline): draw pairs, score both sides, logsigmoid, step.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(pipeline): draw pairs, score both sides, logsigmoid, step.")


def train_rlhf(
    base: Any, demonstrations: Samples, judge: Callable[[Samples], Tensor],
    prompts: Sequence[Sequence[int]], cfg: RLHFConfig, seed: int,
) -> Stages:  # fmt: skip
    """Imitation, reward model, PPO.

    1. A copy of ``base`` imitates the demonstrations (``fit_sft_``).
    2. ``cfg.pairs`` prompts are drawn, uniformly and with replacement; the imitator answers each
       twice, in one call: rows i and cfg.pairs + i answer the same prompt. ``judge`` gives each row
       a utility u. Of a pair, the first is chosen with probability sigmoid(u_first - u_second).
       A reward model that begins as ``scalar_model`` of the imitator learns from these choices
       (``fit_reward_model_``).
    3. PPO (``train_ppo``, with ``seed``) from the imitator, which is the reference, with the scores
       of the reward model as they are (``last_scores``, without a gradient).

    Args:
        base: a language model; not changed.
        demonstrations: what to imitate.
        judge: Samples of 2 * cfg.pairs rows -> (2 * cfg.pairs,) float, in nats. It is asked once.
        prompts: at least one.
        cfg: see ``RLHFConfig``.
        seed: decides everything random.

    Returns:
        Stages(sft, reward_model, result).
    """
    # TODO(pipeline): three stages, one generator for the first two.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(pipeline): three stages, one generator for the first two.")


# -- Part 9: what the best policy would be ---------------------------------------------------------


def all_responses(vocabulary: int, length: int) -> Tensor:
    """All responses of a toy without an end of sequence, in lexicographic order.

    Args:
        vocabulary: V, at least 1: the tokens are 0 .. V - 1.
        length: n, at least 1.

    Returns:
        (V^n, n) int64: 0 .. 0 0, then 0 .. 0 1, and so on.

    Raises:
        ValueError: an argument is below 1.
    """
    _check_above_zero(vocabulary=vocabulary, length=length)
    # TODO(optimum): torch.cartesian_prod, or counting in base V.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(optimum): torch.cartesian_prod, or counting in base V.")


def response_logprobs(
    model: Any, prompt: Sequence[int], responses: Tensor, temperature: float = 1.0
) -> Tensor:
    """The log-probability of whole responses to one prompt.

    Args:
        model: as in ``score_tokens``.
        prompt: ids, at least one.
        responses: (N, n) int64, without padding.
        temperature: above 0.

    Returns:
        (N,) float, with a gradient: sums over the n tokens of each response.
    """
    # TODO(optimum): put the prompt in front; add up the response's tokens alone.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(optimum): put the prompt in front; add up the response's tokens alone.")


def rlhf_optimum(ref_logp: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """The policy that maximises mean reward - beta * KL(policy || reference), in logarithms.

    pi(y) = ref(y) * exp(r(y) / beta) / Z, with Z such that it adds up to 1.

    Args:
        ref_logp: (N,) float, of all N responses: adds up to 1.
        rewards: (N,) float.
        beta: above 0.

    Returns:
        (N,) float.

    Raises:
        ValueError: the shapes are not (N,) or differ, or beta is not above 0.
    """
    if ref_logp.ndim != 1 or ref_logp.shape != rewards.shape:
        raise ValueError("ref_logp and rewards must have one shape (N,).")
    _check_above_zero(beta=beta)
    # TODO(optimum): add, and normalise in logarithms.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(optimum): add, and normalise in logarithms.")


def rlhf_objective(logp: Tensor, ref_logp: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """What RLHF maximises, exactly: the mean of r(y) - beta * (logp(y) - ref_logp(y)) under the
    policy.

    Args:
        logp: (N,) float, the policy's, of all responses; carries a gradient.
        ref_logp, rewards: (N,) float.
        beta: at least 0.

    Returns:
        A scalar tensor. Its gradient is the exact policy gradient.

    Raises:
        ValueError: the shapes are not (N,) or differ, or beta is negative.
    """
    if logp.ndim != 1 or not logp.shape == ref_logp.shape == rewards.shape or beta < 0:
        raise ValueError("all three must have one shape (N,), and beta must be at least 0.")
    # TODO(optimum): an expectation under the policy.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(optimum): an expectation under the policy.")


# -- Part 10: two rewards --------------------------------------------------------------------------


def combine_scores(scores: Tensor, weights: Tensor) -> Tensor:
    """One score from several: their weighted sum.

    Args:
        scores: (B, K) float.
        weights: (K,) float, of any sign: (1, -multiplier) makes the second a price.

    Returns:
        (B,) float.

    Raises:
        ValueError: the shapes do not fit.
    """
    if scores.ndim != 2 or weights.shape != scores.shape[1:]:
        raise ValueError("scores must be (B, K), and weights (K,).")
    # TODO(two_rewards): one line.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(two_rewards): one line.")


def lagrangian_step(multiplier: float, costs: Tensor, limit: float, lr: float) -> float:
    """The price of a cost that must not exceed a limit, moved by one step.

    multiplier <- max(0, multiplier + lr * (mean(costs) - limit))

    While the policy costs too much the price rises; below the limit it falls, but never under 0.

    Args:
        multiplier: at least 0.
        costs: (B,) float, of the policy's responses.
        limit: what the mean cost may be.
        lr: above 0.

    Returns:
        A float.

    Raises:
        ValueError: the multiplier is negative, lr is not above 0, or costs is not (B,) with B >= 1.
    """
    _check_above_zero(lr=lr)
    if multiplier < 0 or costs.ndim != 1 or not len(costs):
        raise ValueError("the multiplier must be at least 0, and costs (B,) with B >= 1.")
    # TODO(two_rewards): a step uphill in the excess, floored.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(two_rewards): a step uphill in the excess, floored.")


def pareto_front(points: Tensor) -> Tensor:
    """Which of several policies are not beaten: no other is at least as good in everything and
    better in something.

    Args:
        points: (n, K) float, one row for each policy; more is better in each column.

    Returns:
        (n,) bool. Of two equal rows neither beats the other.

    Raises:
        ValueError: points is not (n, K).
    """
    _check_rows(points)
    # TODO(two_rewards): compare all pairs.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(two_rewards): compare all pairs.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# responses=  scoring=  reference=  rewards=  advantages=  update=  loop=  pipeline=  optimum=
# two_rewards=
