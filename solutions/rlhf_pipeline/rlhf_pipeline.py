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


### BEGIN SOLUTION
def _last_place(mask: Tensor) -> Tensor:
    """The last place under each row's mask, (B,) int64."""
    return (mask.long() * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(dim=1)


### END SOLUTION
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
    ### BEGIN SOLUTION
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    # BUG(zero-is-no-end): if not eos:
    # WHEN an end of sequence whose id is 0 is taken for none.
    if eos is None:
        mask[:, start:] = True
        return mask
    ends = (tokens == eos).long()
    # BUG(end-searched-in-the-prompt): pass
    # WHEN the end is searched from the beginning of the row, so that a prompt that holds it leaves
    # WHEN no response at all.
    ends[:, :start] = 0
    # BUG(end-left-out): earlier = ends.cumsum(dim=1)
    # WHEN the end of sequence does not belong to the response, so that nobody learns to stop.
    # BUG(goes-on-after-the-end): earlier = torch.zeros_like(ends)
    # WHEN the response goes on after its end.
    earlier = ends.cumsum(dim=1) - ends
    # BUG(end-searched-in-the-prompt, 2): mask[:, start:] = ((tokens == eos).long().cumsum(dim=1) - (tokens == eos).long() == 0)[:, start:]
    mask[:, start:] = (earlier == 0)[:, start:]
    return mask
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    width = max(map(len, prompts))
    rows = [[cfg.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    tokens = torch.tensor(rows)
    first = torch.tensor([width - len(prompt) for prompt in prompts])[:, None]
    attention = torch.arange(width) >= first
    cache, start = None, 0
    for _ in range(cfg.max_new):
        # BUG(positions-count-padding, 4): places = torch.arange(tokens.shape[1]).expand_as(tokens)[:, start:]
        # BUG(positions-stand-still): places = positions(attention)[:, start:].minimum(positions(attention[:, : width + 1])[:, -1:])
        # WHEN positions stop counting at the first token of a response: all later ones stand where
        # WHEN it stands.
        places = positions(attention)[:, start:]
        with torch.no_grad():
            logits, cache = run_with_cache(model, tokens[:, start:], attention, places, cache)
        # BUG(sampled-at-temperature-one): scaled = logits[:, -1]
        # WHEN tokens are sampled at temperature 1, whatever is asked for.
        scaled = logits[:, -1] / cfg.temperature
        # BUG(samples-from-the-global-generator): drawn = torch.multinomial(scaled.softmax(dim=-1), 1)
        # WHEN tokens are drawn from the global generator.
        # BUG(takes-the-likeliest): drawn = scaled.argmax(dim=-1, keepdim=True)
        # WHEN the likeliest token is taken instead of a random one.
        # BUG(samples-from-top-five): drawn = torch.multinomial(scaled.masked_fill(scaled < scaled.topk(min(5, scaled.shape[1])).values[:, -1:], -torch.inf).softmax(dim=-1), 1, generator=generator)
        # WHEN only the five likeliest tokens can be drawn, while log-probabilities are those of the
        # WHEN whole distribution.
        drawn = torch.multinomial(scaled.softmax(dim=-1), 1, generator=generator)
        start = tokens.shape[1]
        tokens = torch.cat([tokens, drawn], dim=1)
        attention = torch.cat([attention, torch.ones_like(drawn, dtype=torch.bool)], dim=1)
    # BUG(end-forced): mask = response_mask(tokens, width, cfg.eos); tokens[:, -1] = torch.where(mask[:, -1] & (cfg.eos is not None), cfg.eos or 0, tokens[:, -1])
    # WHEN a response without an end gets one in the place of its last token, which the policy never
    # WHEN chose.
    mask = response_mask(tokens, width, cfg.eos)
    prompt = torch.arange(tokens.shape[1]) < width
    attention = (attention & prompt) | mask
    # BUG(keeps-what-follows-the-end): pass
    # WHEN the tokens after the end stay in the row instead of padding.
    # BUG(end-forced, 2): tokens = tokens.masked_fill(~attention, cfg.pad) if cfg.eos is None else torch.where(mask & (torch.arange(tokens.shape[1]) == tokens.shape[1] - 1), cfg.eos, tokens.masked_fill(~attention, cfg.pad))
    tokens = tokens.masked_fill(~attention, cfg.pad)
    # BUG(pad-is-the-end): return Samples(tokens, tokens != cfg.pad, mask)
    # WHEN padding is told by its id, so that a real token with the same id, often the end of
    # WHEN sequence, counts as padding.
    # BUG(pad-is-the-end, 2): return Samples(tokens, attention & (tokens != cfg.pad), mask & (tokens != cfg.pad))
    # BUG(attends-to-padding): return Samples(tokens, torch.ones_like(attention), mask)
    # WHEN padding is treated as if it were tokens.
    return Samples(tokens, attention, mask)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(positions-count-padding): return torch.arange(attention.shape[1]).expand(attention.shape).clone()
    # WHEN positions count padding on the left: GPT-2 does not work them out from the mask.
    # BUG(positions-begin-with-one): return attention.long().cumsum(dim=1).clamp(max=attention.shape[1] - 1)
    # WHEN positions begin with 1 instead of 0.
    return (attention.long().cumsum(dim=1) - 1).clamp(min=0)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    real = attention.bool()
    # BUG(positions-count-padding, 2): places = torch.arange(tokens.shape[1]).expand_as(tokens)
    # BUG(positions-count-padding, 3): places = None
    places = positions(real)
    # BUG(attends-to-padding, 2): logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), position_ids=places).logits
    logits = model(input_ids=tokens, attention_mask=real.long(), position_ids=places).logits
    # BUG(scored-at-temperature-one): logp = logits.log_softmax(dim=-1)
    # WHEN log-probabilities are those at temperature 1, whatever the tokens were sampled at.
    logp = (logits / temperature).log_softmax(dim=-1)
    # BUG(one-place-off): picked = logp[:, 1:].gather(2, tokens[:, 1:, None]).squeeze(2)
    # WHEN log-probabilities are one place off: logits are about the next token.
    # BUG(one-place-off, 2): picked = logp[:, :-1].gather(2, tokens[:, :-1, None]).squeeze(2)
    picked = logp[:, :-1].gather(2, tokens[:, 1:, None]).squeeze(2)
    # BUG(entropy-of-the-token): entropy = -picked
    # WHEN the entropy is minus the log-probability of the token that was drawn, not that of the
    # WHEN distribution.
    entropy = -(logp.exp() * logp).sum(dim=-1)[:, :-1]
    # BUG(first-token-is-scored): counts = real[:, 1:]
    # WHEN the first token of a row is scored too, by what padding on its left predicts.
    # BUG(padding-is-scored): counts = torch.ones_like(real[:, 1:])
    # WHEN padding has log-probabilities and entropies like a token.
    counts = real[:, 1:] & real[:, :-1]
    shifted = (nn.functional.pad(x.masked_fill(~counts, 0.0), (1, 0)) for x in (picked, entropy))
    return Scores(*shifted)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    real = attention.bool()
    places = positions(real)
    values = critic(input_ids=tokens, attention_mask=real.long(), position_ids=places)
    counts = real[:, 1:] & real[:, :-1]
    # BUG(value-has-read-the-token): return values.masked_fill(~nn.functional.pad(counts, (1, 0)), 0.0)
    # WHEN the value has read the token that it is to be a baseline for: one place off.
    # BUG(value-has-read-the-token, 2): return nn.functional.pad(values[:, 1:].masked_fill(~counts, 0.0), (1, 0))
    # BUG(value-of-the-prompt): return nn.functional.pad(values.gather(1, real.long().argmax(dim=1, keepdim=True)).expand_as(counts).masked_fill(~counts, 0.0), (1, 0))
    # WHEN all tokens have the value at one place of the prompt, and not each its own.
    return nn.functional.pad(values[:, :-1].masked_fill(~counts, 0.0), (1, 0))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    adapters = [module for module in policy.modules() if isinstance(module, LoRA)]
    # BUG(trained-adapters-are-left-out): if adapters:
    # WHEN adapters that had learned something before PPO are left out of the reference, which is
    # WHEN then another model, and the divergence is large from the first step on.
    # BUG(trained-adapters-are-left-out, 2): if adapters and any(not bool(layer.B.any()) for layer in adapters):
    if adapters and all(not bool(layer.B.any()) for layer in adapters):
        return None
    # BUG(reference-is-the-policy): return policy
    # WHEN the reference is the model that is being trained, so that the divergence is always 0.
    # BUG(reference-is-the-policy, 3): reference = copy.copy(policy)
    reference = copy.deepcopy(policy)
    # BUG(reference-not-frozen): return reference.eval()
    # WHEN the parameters of the reference require a gradient.
    # BUG(reference-keeps-its-dropout): return reference.requires_grad_(False)
    # WHEN the reference stays in training mode, so that dropout makes its log-probabilities random.
    return reference.requires_grad_(False).eval()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    adapters = [x for x in policy.modules() if isinstance(x, LoRA)] if reference is None else []
    before = [layer.on for layer in adapters]
    for layer in adapters:
        # BUG(reference-is-the-policy, 2): layer.on = layer.on
        layer.on = False
    try:
        model = policy if reference is None else reference
        # BUG(reference-has-a-gradient): if True:
        # WHEN the reference's log-probabilities carry a gradient.
        with torch.no_grad():
            # BUG(scored-at-temperature-one, 3): return score_tokens(model, tokens, attention).logp
            return score_tokens(model, tokens, attention, temperature).logp
    finally:
        for layer, on in zip(adapters, before, strict=True):
            # BUG(adapters-stay-off): layer.on = False
            # WHEN the adapters stay switched off after the reference's pass.
            # BUG(adapters-come-back-on): layer.on = True
            # WHEN all adapters are on after the reference's pass, also those that were off before.
            # BUG(adapters-off-after-an-error): layer.on = on and temperature > 0
            # WHEN the adapters stay switched off if the reference's pass ends with an error.
            layer.on = on
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(zero-is-no-end, 2): if not eos:
    if eos is None:
        return scores.detach()
    # BUG(end-in-the-prompt-counts): ended = (tokens == eos).any(dim=1)
    # WHEN an end of sequence in the prompt or in the padding counts as the response's own.
    # BUG(end-in-the-prompt-counts, 2): ended = (tokens[:, :-1] == eos).any(dim=1) | (tokens[:, -1] == eos)
    ended = ((tokens == eos) & mask.bool()).any(dim=1)
    # BUG(penalty-replaces-the-score): return torch.where(ended, scores, -penalty).detach()
    # WHEN the penalty stands in the place of the score instead of being taken off.
    # BUG(penalty-for-all): return (scores - penalty).detach()
    # WHEN all responses are penalised, whether they end or not.
    return (scores - penalty * (~ended).to(scores.dtype)).detach()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    real = mask.bool()
    # BUG(kl-turned-round): ratio = (ref_logp - logp).detach()
    # WHEN the divergence has the wrong direction, so that leaving the reference is rewarded.
    # BUG(kl-is-absolute): ratio = (logp - ref_logp).detach().abs()
    # WHEN the log-ratio is made positive: its mean is then no divergence, and the optimum is
    # WHEN another one.
    # BUG(kl-is-k3): ratio = ((ref_logp - logp).exp() - 1 - (ref_logp - logp)).detach()
    # WHEN each token pays k3 instead of its log-ratio, so that the sum is not the log-ratio of the
    # WHEN response.
    ratio = (logp - ref_logp).detach()
    # BUG(kl-of-padding): rewards = -beta * ratio
    # WHEN what stands under a mask of 0, prompt and padding, pays for its divergence too.
    # BUG(kl-of-padding, 2): rewards = -beta * ratio.masked_fill(real.flip(1).cumsum(dim=1).flip(1) == 0, 0.0)
    # BUG(kl-turned-round, 2): rewards = beta * ratio.masked_fill(~real, 0.0)
    # BUG(kl-on-the-last-token): rewards = torch.zeros_like(ratio).scatter(1, _last_place(real)[:, None], -beta * ratio.masked_fill(~real, 0.0).sum(dim=1, keepdim=True))
    # WHEN the whole divergence is paid at the last token instead of each token's at its own place.
    # BUG(beta-forgotten): rewards = -ratio.masked_fill(~real, 0.0)
    # WHEN the divergence is not multiplied by beta.
    rewards = -beta * ratio.masked_fill(~real, 0.0)
    # BUG(score-on-the-pad): last = (_last_place(real) + 1).clamp(max=real.shape[1] - 1)
    # WHEN the score lands one place behind the last token of the response, on padding if there is
    # WHEN any.
    # BUG(score-at-the-end-of-the-row): last = torch.full((len(real),), real.shape[1] - 1)
    # WHEN the score lands at the last place of the row, where padding may stand.
    # BUG(score-at-the-first-token): last = real.long().argmax(dim=1)
    # WHEN the score lands at the first token of the response.
    # BUG(score-by-the-number-of-tokens): last = real.sum(dim=1) - 1
    # WHEN the score's place is the number of the response's tokens, as if the row began with it.
    last = _last_place(real)
    # BUG(score-on-the-pad, 2): return rewards + nn.functional.pad(nn.functional.one_hot(last, real.shape[1]), (1, 0))[:, :-1] * scores.detach()[:, None]
    # BUG(score-at-every-token): return rewards + real * scores.detach()[:, None]
    # WHEN every token of a response gets the score.
    # BUG(score-replaces-the-kl): return torch.where(nn.functional.one_hot(last, real.shape[1]).bool(), scores.detach()[:, None], rewards)
    # WHEN the last token does not pay for its divergence.
    return rewards + nn.functional.one_hot(last, real.shape[1]) * scores.detach()[:, None]
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    real = mask.bool()
    # BUG(whitens-padding-too): valid = x.detach().masked_fill(~real, 0.0).flatten()
    # WHEN mean and deviation are taken over all places, prompts and padding with zeros included.
    valid = x.detach()[real]
    # BUG(deviation-with-n-minus-one): deviation = valid.std()
    # WHEN the deviation is divided by n - 1.
    deviation = valid.std(correction=0)
    whitened = (x.detach() - valid.mean()) / (deviation + eps)
    # BUG(mean-never-put-back): pass
    # WHEN the mean is taken off although it should stay.
    # BUG(mean-always-put-back): whitened = whitened + valid.mean()
    # WHEN the mean stays although it should be taken off.
    whitened = whitened + (0.0 if shift_mean else valid.mean())
    # BUG(padding-is-not-zero): return whitened
    # WHEN places under mask 0 hold numbers instead of 0.
    return whitened.masked_fill(~real, 0.0)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    real = mask.bool()
    rewards = rewards.detach().masked_fill(~real, 0.0)
    # BUG(padding-bootstraps): values = values.detach()
    # WHEN the value of the padding behind a response counts as the value after its last token.
    values = values.detach().masked_fill(~real, 0.0)
    advantages = torch.zeros_like(rewards)
    advantage = after = rewards.new_zeros(len(rewards))
    for t in range(rewards.shape[1] - 1, -1, -1):
        # BUG(no-bootstrap): delta = rewards[:, t] - values[:, t]
        # WHEN the value of the next state is left out of the error.
        # BUG(gamma-forgotten-in-delta): delta = rewards[:, t] + after - values[:, t]
        # WHEN gamma is missing before the next value.
        delta = rewards[:, t] + gamma * after - values[:, t]
        # BUG(gae-without-lambda): advantage = (delta + gamma * advantage) * real[:, t]
        # WHEN lambda is missing in the recursion.
        advantage = (delta + gamma * lam * advantage) * real[:, t]
        # BUG(rewards-for-returns, 2): advantage = (rewards[:, t] - values[:, t]) * real[:, t]
        advantages[:, t] = advantage
        after = values[:, t]
    # BUG(rewards-for-returns): return Advantages((rewards - values) * real, rewards)
    # WHEN each token's own reward is taken for the return: what comes later counts for nothing.
    # BUG(rewards-for-returns, 3): return Advantages(advantages, rewards)
    # BUG(returns-are-advantages): return Advantages(advantages, advantages)
    # WHEN the values are not added to get returns.
    return Advantages(advantages, (advantages + values).masked_fill(~real, 0.0))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    valid = batch.mask.bool()
    logp, entropy, value = (x[valid] for x in (scores.logp, scores.entropy, values))
    old_logp, old_value, adv, target = (x[valid] for x in batch[3:])
    # BUG(ratio-turned-round): log_ratio = old_logp - logp
    # WHEN the ratio is turned round: old over new.
    log_ratio = logp - old_logp
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - cfg.clip, 1 + cfg.clip)
    # BUG(always-clipped): gain = clipped * adv
    # WHEN the plain gain is left out, so that a token that went the wrong way gets no gradient.
    # BUG(never-clipped): gain = ratio * adv
    # WHEN ratios are not clipped.
    gain = torch.minimum(ratio * adv, clipped * adv)
    error = (value - target).square()
    # BUG(no-room-is-no-clip): if cfg.value_clip:
    # WHEN a value_clip of 0 is taken for none.
    if cfg.value_clip is not None:
        leashed = old_value + (value - old_value).clamp(-cfg.value_clip, cfg.value_clip)
        # BUG(value-clip-without-the-maximum): error = (leashed - target).square()
        # WHEN the clipped value's error counts alone instead of the larger of the two.
        # BUG(values-never-clipped): pass
        # WHEN values are not clipped.
        error = torch.maximum(error, (leashed - target).square())
    # BUG(mean-over-all-places): policy_loss, value_loss = -gain.sum() / valid.numel(), 0.5 * error.sum() / valid.numel()
    # WHEN the losses are divided by the number of all places, prompts and padding included.
    # BUG(mean-of-row-means): policy_loss, value_loss = (-(torch.zeros_like(values).masked_scatter(valid, gain).sum(dim=1) / valid.sum(dim=1)).mean(), 0.5 * (torch.zeros_like(values).masked_scatter(valid, error).sum(dim=1) / valid.sum(dim=1)).mean())
    # WHEN the mean is taken over each row first, so that a token of a short response weighs more.
    # BUG(value-loss-without-half): policy_loss, value_loss = -gain.mean(), error.mean()
    # WHEN the value loss lacks its factor 1/2.
    # BUG(policy-loss-not-negated): policy_loss, value_loss = gain.mean(), 0.5 * error.mean()
    # WHEN the policy's gain is minimised.
    policy_loss, value_loss = -gain.mean(), 0.5 * error.mean()
    # BUG(entropy-is-minimised): loss = policy_loss + cfg.value_coef * value_loss + cfg.entropy_coef * entropy.mean()
    # WHEN entropy is punished instead of rewarded.
    # BUG(entropy-has-no-gradient): loss = policy_loss + cfg.value_coef * value_loss - cfg.entropy_coef * entropy.mean().detach()
    # WHEN the entropy in the loss carries no gradient, so that it rewards nothing.
    loss = policy_loss + cfg.value_coef * value_loss - cfg.entropy_coef * entropy.mean()
    with torch.no_grad():
        # BUG(clip-fraction-where-it-bites): outside = ratio * adv > clipped * adv
        # WHEN clip_fraction counts only the tokens whose gradient clipping takes away.
        outside = (ratio - 1).abs() > cfg.clip
        # BUG(approx-kl-is-k1): moved = -log_ratio
        # WHEN approx_kl is the mean of -log ratio.
        moved = ratio - 1 - log_ratio
        names = ("policy_loss", "value_loss", "entropy", "clip_fraction", "approx_kl", "ratio_mean")
        numbers = (policy_loss, value_loss, entropy, outside.double(), moved, ratio)
        metrics = {name: float(x.mean()) for name, x in zip(names, numbers, strict=True)}
    return loss, metrics
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(dropout-in-the-update): pass
    # WHEN dropout is on in the update, so that ratios are not 1 in the first pass.
    # BUG(dropout-in-the-update, 2): policy.train()
    policy.eval()
    # BUG(dropout-in-the-critic): pass
    # WHEN dropout is on in the critic while it is updated.
    critic.eval()
    # BUG(scored-at-temperature-one, 2): scores = score_tokens(policy, batch.tokens, batch.attention)
    scores = score_tokens(policy, batch.tokens, batch.attention, cfg.temperature)
    values = token_values(critic, batch.tokens, batch.attention)
    loss, metrics = ppo_loss(scores, values, batch, cfg)
    # BUG(gradients-pile-up): pass
    # WHEN gradients of earlier steps are never cleared.
    # BUG(gradients-cleared-afterwards): pass
    # WHEN gradients are cleared after the step and not before the backward pass, so that what
    # WHEN another loss has left there counts.
    optimizer.zero_grad()
    loss.backward()
    learning = [p for group in optimizer.param_groups for p in group["params"]]
    # BUG(gradient-not-clipped): pass
    # WHEN the gradient is not clipped.
    nn.utils.clip_grad_norm_(learning, cfg.grad_norm)
    # BUG(gradients-cleared-afterwards): optimizer.step(); optimizer.zero_grad()
    optimizer.step()
    return metrics | {"loss": loss.item()}
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    for model in (policy, critic, reference):
        if model is not None:
            # BUG(dropout-in-the-old-pass): model.train()
            # WHEN dropout is on while experience is collected, so that the old log-probabilities,
            # WHEN values or samples are not those of the policy.
            # BUG(dropout-in-the-old-pass, 2): pass
            model.eval()
    # BUG(sampled-at-temperature-one, 2): tokens, attention, mask = sample_responses(policy, prompts, RLHFConfig(**{**vars(cfg), "temperature": 1.0}), generator)
    # BUG(samples-from-the-reference): tokens, attention, mask = sample_responses(reference or policy, prompts, cfg, generator)
    # WHEN responses are sampled from the reference instead of the policy.
    tokens, attention, mask = sample_responses(policy, prompts, cfg, generator)
    with torch.no_grad():
        # BUG(old-pass-at-temperature-one): logp = score_tokens(policy, tokens, attention).logp
        # WHEN the old log-probabilities are those at temperature 1, not those of sampling.
        logp = score_tokens(policy, tokens, attention, cfg.temperature).logp
        # BUG(value-of-the-prompt, 2): values = token_values(critic, tokens, attention).gather(1, mask.long().argmax(dim=1, keepdim=True)) * mask
        values = token_values(critic, tokens, attention)
    ref_logp = reference_logprobs(policy, reference, tokens, attention, cfg.temperature)
    scores = score(tokens, attention).detach().to(logp.dtype)
    # BUG(penalty-forgotten): final = scores
    # WHEN responses without an end are not penalised.
    final = penalise_missing_ends(scores, tokens, mask, cfg.eos, cfg.missing_eos_penalty)
    # BUG(kl-left-out): rewards = token_rewards(final, logp, ref_logp, mask, 0.0)
    # WHEN the divergence from the reference is left out of the rewards.
    rewards = token_rewards(final, logp, ref_logp, mask, cfg.beta)
    # BUG(rewards-never-whitened): used = rewards
    # WHEN rewards are not whitened although they should be.
    used = masked_whiten(rewards, mask, shift_mean=False) if cfg.whiten_rewards else rewards
    advantages, returns = token_gae(used, values, mask, cfg.gamma, cfg.lam)
    # BUG(advantages-not-whitened): whitened = advantages
    # WHEN the advantages are not whitened.
    whitened = masked_whiten(advantages, mask)
    # BUG(returns-from-whitened-advantages): batch = Batch(tokens, attention, mask, logp, values, whitened, (whitened + values).masked_fill(~mask, 0.0))
    # WHEN the returns are made of whitened advantages, whose unit is another one.
    # BUG(old-pass-at-temperature-one, 2): batch = Batch(tokens, attention, mask, score_tokens(policy, tokens, attention).logp.detach(), values, whitened, returns)
    batch = Batch(tokens, attention, mask, logp, values, whitened, returns)
    lengths = mask.sum(dim=1)
    ratios = (logp - ref_logp).masked_fill(~mask, 0.0)
    last = tokens.gather(1, _last_place(mask)[:, None])
    # BUG(zero-is-no-end, 3): ended = last == cfg.eos if cfg.eos else torch.zeros(len(tokens))
    ended = torch.zeros(len(tokens)) if cfg.eos is None else last == cfg.eos
    reported = scores.mean()
    # BUG(kl-by-token): divergence = ratios.sum() / lengths.sum()
    # WHEN the reported divergence is that of a token instead of a response.
    divergence = ratios.sum(dim=1).mean()
    numbers = (
        reported, divergence, rewards.sum(dim=1).mean(), lengths.double().mean(),
        ended.double().mean(),
    )  # fmt: skip
    names = ("score", "kl", "reward", "length", "ended")
    return batch, {name: float(number) for name, number in zip(names, numbers, strict=True)}
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(seeds-the-global-generator): generator = torch.manual_seed(seed)
    # WHEN the seed goes to the global generator, and everything random is drawn from it.
    generator = torch.Generator().manual_seed(seed)
    reference, critic = make_reference(policy), scalar_model(policy)
    # BUG(trains-its-argument): pass
    # WHEN the policy that is handed in is trained instead of a copy.
    # BUG(frozen-layers-learn-too): policy = copy.deepcopy(policy).requires_grad_(True)
    # WHEN everything in the policy learns, also the layers that are frozen behind adapters.
    policy = copy.deepcopy(policy)
    learning = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam([*learning, *critic.parameters()], lr=cfg.lr)
    history: dict[str, list[float]] = {}
    for iteration in range(cfg.iterations):
        for group in optimizer.param_groups:
            # BUG(constant-rate): group["lr"] = cfg.lr
            # WHEN the learning rate does not fall.
            group["lr"] = cfg.lr * (1 - iteration / cfg.iterations)
        # BUG(prompts-in-order): drawn = torch.arange(cfg.batch_size) % len(prompts)
        # WHEN the prompts come in order instead of at random.
        # BUG(prompts-from-the-global-generator): drawn = torch.randint(len(prompts), (cfg.batch_size,))
        # WHEN the prompts are drawn from the global generator.
        drawn = torch.randint(len(prompts), (cfg.batch_size,), generator=generator)
        asked = [prompts[i] for i in drawn.tolist()]
        # BUG(reference-moves): batch, metrics = collect(policy, critic, make_reference(policy), score, asked, cfg, generator)
        # WHEN the reference is renewed in every iteration, so that nothing holds the policy back.
        # BUG(critic-made-anew): critic = scalar_model(policy); batch, metrics = collect(policy, critic, reference, score, asked, cfg, generator)
        # WHEN the critic is made anew in each iteration, so that it never learns anything.
        batch, metrics = collect(policy, critic, reference, score, asked, cfg, generator)
        fractions = []
        # BUG(one-pass): for _ in range(1):
        # WHEN there is one pass over the batch, whatever is asked for.
        for _ in range(cfg.epochs):
            # BUG(orders-from-the-global-generator): order = torch.randperm(cfg.batch_size)
            # WHEN the order of the rows is drawn from the global generator.
            # BUG(one-order-for-all-passes): order = order if fractions else torch.randperm(cfg.batch_size, generator=generator)
            # WHEN the rows are shuffled once for all passes.
            # BUG(rows-never-shuffled): order = torch.arange(cfg.batch_size)
            # WHEN the rows are not shuffled.
            order = torch.randperm(cfg.batch_size, generator=generator)
            # BUG(last-rows-left-out): for rows in order[: cfg.batch_size // cfg.minibatches * cfg.minibatches].tensor_split(cfg.minibatches):
            # WHEN the rows that are left over when all pieces are equally large are not learned
            # WHEN from.
            for rows in order.tensor_split(cfg.minibatches):
                piece = Batch(*(x[rows] for x in batch))
                update = ppo_update_(policy, critic, optimizer, piece, cfg)
                fractions.append(update["clip_fraction"])
        # BUG(clip-fraction-of-the-last-update): metrics["clip_fraction"] = fractions[-1]
        # WHEN the reported clip_fraction is that of the last update instead of the mean.
        metrics["clip_fraction"] = sum(fractions) / len(fractions)
        for name, number in metrics.items():
            history.setdefault(name, []).append(number)
    return Result(policy.eval(), history)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    real = attention.bool()
    numbers = model(input_ids=tokens, attention_mask=real.long(), position_ids=positions(real))
    # BUG(reads-the-last-place): last = torch.full((len(real),), real.shape[1] - 1)
    # WHEN the score is read at the last place of the row, where padding may stand.
    # BUG(reads-by-the-number-of-tokens): last = real.sum(dim=1) - 1
    # WHEN the score is read at the place that the number of tokens tells, as if no padding stood on
    # WHEN the left.
    last = _last_place(real)
    # BUG(reads-the-mean): return (numbers * real).sum(dim=1) / real.sum(dim=1)
    # WHEN the score is the mean over all tokens.
    return numbers.gather(1, last[:, None]).squeeze(1)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(reward-model-by-sgd): optimizer = torch.optim.SGD(model.parameters(), lr=cfg.stage_lr)
    # WHEN the reward model learns by SGD instead of Adam.
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.stage_lr)
    losses = []
    for _ in range(cfg.reward_steps):
        # BUG(pairs-from-the-global-generator): rows = torch.randint(len(chosen.tokens), (cfg.stage_batch,))
        # WHEN the pairs of a step of the reward model are drawn from the global generator.
        # BUG(last-pairs-never-drawn): rows = torch.randint(max(1, len(chosen.tokens) - 1), (cfg.stage_batch,), generator=generator)
        # WHEN the last pairs are never drawn.
        # BUG(last-pairs-never-drawn, 2): rows = torch.randint((len(chosen.tokens) + 1) // 2, (cfg.stage_batch,), generator=generator)
        rows = torch.randint(len(chosen.tokens), (cfg.stage_batch,), generator=generator)
        # BUG(pairs-drawn-apart): others = rows[torch.randperm(len(rows), generator=generator)]
        # WHEN chosen and rejected rows of different pairs are compared.
        others = rows
        better = last_scores(model, chosen.tokens[rows], chosen.attention[rows])
        worse = last_scores(model, rejected.tokens[others], rejected.attention[others])
        # BUG(prefers-the-rejected): loss = -nn.functional.logsigmoid(worse - better).mean()
        # WHEN the rejected response is to score higher.
        # BUG(pairs-add-up): loss = -nn.functional.logsigmoid(better - worse).sum()
        # WHEN the losses of the pairs are added up instead of averaged.
        loss = -nn.functional.logsigmoid(better - worse).mean()
        # BUG(gradients-pile-up, 2): pass
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(seeds-the-global-generator): generator = torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    # BUG(changes-the-base): sft = base.eval()
    # WHEN the model that is handed in learns instead of a copy.
    sft = copy.deepcopy(base).eval()
    fit_sft_(sft, demonstrations, cfg, generator)
    drawn = torch.randint(len(prompts), (cfg.pairs,), generator=generator).tolist()
    # BUG(pairs-of-different-prompts): twice = [prompts[i] for i in [*drawn, *drawn[::-1]]]
    # WHEN the two answers of a pair are to different prompts.
    # BUG(pairs-in-turns): twice = [prompts[i] for i in drawn for _ in range(2)]
    # WHEN the two answers of a pair stand in neighbouring rows, but are read as halves.
    twice = [prompts[i] for i in [*drawn, *drawn]]
    # BUG(judges-the-base): samples = sample_responses(base, twice, cfg, generator)
    # WHEN the judge compares answers of the base model instead of the imitator.
    samples = sample_responses(sft, twice, cfg, generator)
    first, second = judge(samples).detach().double().split(cfg.pairs)
    # BUG(judge-never-errs): wins = first > second
    # WHEN the better answer is always chosen instead of with probability sigmoid(u1 - u2).
    # BUG(choices-ignore-the-judge): wins = torch.rand(cfg.pairs, generator=generator) < 1 / 2
    # WHEN choices between two answers do not depend on what the judge says of them.
    # BUG(prefers-the-rejected, 2): wins = torch.rand(cfg.pairs, generator=generator) >= (first - second).sigmoid()
    # BUG(choices-from-the-global-generator): wins = torch.rand(cfg.pairs) < (first - second).sigmoid()
    # WHEN the choices between two answers are drawn from the global generator.
    wins = torch.rand(cfg.pairs, generator=generator) < (first - second).sigmoid()
    places = torch.arange(cfg.pairs)
    better = torch.where(wins, places, places + cfg.pairs)
    worse = torch.where(wins, places + cfg.pairs, places)
    chosen, rejected = (Samples(*(x[rows] for x in samples)) for rows in (better, worse))
    # BUG(reward-model-from-the-base): reward_model = scalar_model(base)
    # WHEN the reward model begins with the base model's weights instead of the imitator's.
    reward_model = scalar_model(sft)
    fit_reward_model_(reward_model, chosen, rejected, cfg, generator)

    def score(tokens: Tensor, attention: Tensor) -> Tensor:
        with torch.no_grad():
            # BUG(scores-of-another-model): return last_scores(scalar_model(sft), tokens, attention)
            # WHEN PPO is not given the scores of the reward model that was fitted, as they are.
            # BUG(scores-of-another-model, 2): return masked_whiten(last_scores(reward_model, tokens, attention)[:, None], torch.ones_like(tokens[:, :1])).squeeze(1)
            return last_scores(reward_model, tokens, attention)

    # BUG(ppo-from-the-base): return Stages(sft, reward_model, train_ppo(base, score, prompts, cfg, seed))
    # WHEN PPO begins with the base model instead of the imitator.
    return Stages(sft, reward_model, train_ppo(sft, score, prompts, cfg, seed))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    tokens = torch.arange(vocabulary)
    # BUG(last-token-runs-slowest): return torch.cartesian_prod(*[tokens] * length).reshape(-1, length).flip(1)
    # WHEN the first token runs fastest instead of the last.
    return torch.cartesian_prod(*[tokens] * length).reshape(-1, length)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    front = torch.tensor(list(prompt)).expand(len(responses), -1)
    tokens = torch.cat([front, responses], dim=1)
    logp = score_tokens(model, tokens, torch.ones_like(tokens), temperature).logp
    # BUG(prompt-is-counted): return logp.sum(dim=1)
    # WHEN the prompt's own tokens are counted too.
    # BUG(mean-over-tokens): return logp[:, len(prompt) :].mean(dim=1)
    # WHEN the mean over the tokens is taken instead of the sum.
    return logp[:, len(prompt) :].sum(dim=1)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(optimum-without-the-reference): return (rewards / beta).log_softmax(dim=0)
    # WHEN the reference is left out of the optimum.
    # BUG(optimum-not-normalised): return ref_logp + rewards / beta
    # WHEN the optimum does not add up to 1: log Z is missing.
    return (ref_logp + rewards / beta).log_softmax(dim=0)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(mean-under-the-reference): return (ref_logp.exp() * (rewards - beta * (logp - ref_logp))).sum()
    # WHEN the mean is under the reference instead of the policy.
    # BUG(objective-adds-the-kl): return (logp.exp() * (rewards + beta * (logp - ref_logp))).sum()
    # WHEN the divergence is added instead of taken off.
    # BUG(weights-are-constants): return (logp.exp().detach() * (rewards - beta * (logp - ref_logp))).sum()
    # WHEN the policy's probabilities are constants for the gradient.
    return (logp.exp() * (rewards - beta * (logp - ref_logp))).sum()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(weights-normalised): return scores @ (weights / weights.sum())
    # WHEN the weights are made to add up to 1.
    return scores @ weights
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(price-falls-with-the-cost): moved = multiplier - lr * (float(costs.mean()) - limit)
    # WHEN the price falls where the cost is too high.
    # BUG(excess-of-each): moved = multiplier + lr * float((costs - limit).clamp(min=0).mean())
    # WHEN only the responses above the limit count, so that the price never falls.
    moved = multiplier + lr * (float(costs.mean()) - limit)
    # BUG(price-below-zero): return moved
    # WHEN the price may be negative, which rewards the cost.
    return max(0.0, moved)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    one, other = points[:, None], points[None]
    # BUG(ties-are-beaten): beaten = (other >= one).all(dim=2) & ~torch.eye(len(points), dtype=torch.bool)
    # WHEN of two equal rows each beats the other.
    # BUG(beaten-in-everything): beaten = (other > one).all(dim=2)
    # WHEN a row is only beaten by one that is strictly better in everything.
    # BUG(less-is-better): beaten = (other <= one).all(dim=2) & (other < one).any(dim=2)
    # WHEN less is better.
    beaten = (other >= one).all(dim=2) & (other > one).any(dim=2)
    return ~beaten.any(dim=1)
    ### END SOLUTION
