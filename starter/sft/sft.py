"""Supervised fine-tuning: a language model learns to answer by imitating answers.

Conventions, for every function of this file

* A batch is (B, L): B rows, L places. Entry t of a tensor belongs to the token at place t. So
  ``labels[t]`` is the token at place t itself, or IGNORE. The loss shifts, and nothing else does.
* A token is *trained* if its label is not IGNORE and a token stands before it. The first place of a
  row has nothing before it: a label there is never counted.
* What is trained are the answers: the content of each assistant message, and the end token after
  it. Headers, other roles and padding are context. What a token is for follows from where it
  stands, never from its id: the padding token may be the end token, and users may type anything.
* A loss is the mean over trained tokens, in nats, to be minimised: not over rows, not over batches.
* Arguments are never changed, except by functions whose name ends in ``_``. Random numbers come
  from the generator or the seed that is handed in, never from a global generator.
* Impossible arguments raise ValueError with a sentence.

Sources: Ouyang et al. (2022), "Training language models to follow instructions with human
feedback", arXiv:2203.02155; Hu et al. (2021), "LoRA", arXiv:2106.09685; Krell et al. (2021),
"Efficient sequence packing without cross-contamination", arXiv:2107.02027.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from tiny_lm import (
    PAD,
    build_policy,  # noqa: F401
)
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

IGNORE = -100  # the label of what is not trained


class Message(NamedTuple):
    """One message of a conversation."""

    role: str  # "system", "user" or "assistant"
    content: list[int]  # token ids; may be empty


class Template(NamedTuple):
    """What a chat template puts around a message: header, content, end."""

    headers: dict[str, list[int]]  # by role, may be empty; the assistant's is the generation prompt
    end: int  # ends each message, whoever wrote it


class Example(NamedTuple):
    """A conversation that is ready for training: two lists of the same length."""

    tokens: list[int]
    labels: list[int]


class Batch(NamedTuple):
    """What ``collate`` returns, each (B, L)."""

    tokens: Tensor  # int64
    labels: Tensor  # int64
    attention: Tensor  # bool: True where a token stands, False at padding


class Packed(NamedTuple):
    """What ``pack`` returns: several conversations in a single row of N tokens."""

    tokens: Tensor  # (1, N) int64
    labels: Tensor  # (1, N) int64
    positions: Tensor  # (1, N) int64: the place of each token in its own conversation
    cu_seqlens: Tensor  # (n + 1,) int64: where each conversation begins, and N


class Evaluation(NamedTuple):
    """What ``evaluate`` returns."""

    loss: float  # mean over trained tokens, in nats
    accuracy: float  # share of trained tokens that have the largest logit
    tokens: int  # how many tokens are trained


class Limits(NamedTuple):
    """What ``imitation_limits`` returns."""

    loss: float  # the lowest loss that a student of this teacher can have
    sampled: float  # how often its answers are right if it samples them
    greedy: float  # how often they are right if it takes the likeliest token each time


class Result(NamedTuple):
    """What ``train_sft`` returns."""

    model: Any  # the trained copy
    history: dict[str, list[float]]


@dataclass(frozen=True)
class SFTConfig:
    """What ``train_sft`` needs to know."""

    steps: int = 300
    batch_size: int = 32  # examples in one step of the optimiser
    micro_batch: int = 16  # examples in one backward pass
    lr: float = 3e-3  # the highest learning rate
    warmup: int = 20  # steps
    grad_norm: float = 1.0  # the gradient is clipped to this norm
    eval_every: int = 50  # steps
    pad: int = PAD


# -- Part 1: chat template, token ids, labels ------------------------------------------------------


def _check_messages(messages: Sequence[Message], template: Template) -> None:
    """Refuse an empty conversation, and roles that the template does not know."""
    if not messages:
        raise ValueError("a conversation needs at least one message.")
    for message in messages:
        if message.role not in template.headers:
            raise ValueError(f"the template has no header for the role {message.role!r}.")


def render_prompt(messages: Sequence[Message], template: Template) -> list[int]:
    """Token ids of a conversation that the assistant is to continue: what one samples from.

    Each message becomes header, content, end; then the assistant's header follows (the generation
    prompt). ``encode_conversation`` of the same messages and an answer begins with just these ids.

    Args:
        messages: at least one.
        template: headers and end token.

    Returns:
        Token ids.

    Raises:
        ValueError: there is no message, or a role is unknown.
    """
    _check_messages(messages, template)
    # TODO(labels): header, content and end of each message, then the assistant's header.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(labels): header, content and end of each message, then the assistant's header.")


def encode_conversation(
    messages: Sequence[Message], template: Template, max_length: int | None = None
) -> Example:
    """Token ids and labels of a whole conversation.

    Each message becomes header, content, end. The labels of each assistant message are its content
    and its end; everything else is IGNORE, all headers included. All turns of the assistant are
    trained, not only the last. A longer conversation is cut to its first ``max_length`` tokens:
    what is cut off is gone, so an answer that is cut has no end token. A label at the first place
    is written down like any other, but trains nothing.

    Args:
        messages: at least one.
        template: headers and end token.
        max_length: None for no limit.

    Returns:
        Example(tokens, labels).

    Raises:
        ValueError: there is no message, a role is unknown, max_length is below 1, or no token is
            trained (no answer at all, or none left after the cut): such an example would teach
            nothing, silently.
    """
    _check_messages(messages, template)
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length must be at least 1, but it is {max_length}.")
    # TODO(labels): mark the answers while you build the ids; cut both; refuse what trains nothing.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(labels): mark the answers while you build the ids; cut both; refuse what trains nothing.")


def collate(examples: Sequence[Example], pad: int, side: str = "right") -> Batch:
    """One batch of B rows, padded to the longest of them.

    ``pad`` may be any id, the end token's too: padding is known by its place, not by its id.

    Args:
        examples: at least one.
        pad: the token that fills rows up.
        side: "right" or "left", where the padding goes.

    Returns:
        Batch(tokens, labels, attention); labels at padding are IGNORE.

    Raises:
        ValueError: there is no example, or the side is unknown.
    """
    if not examples or side not in ("right", "left"):
        raise ValueError('a batch needs an example, and the side is "right" or "left".')
    # TODO(labels): three tensors, filled row by row, by lengths.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(labels): three tensors, filled row by row, by lengths.")


# -- Part 2: the shifted cross-entropy -------------------------------------------------------------


def count_labels(labels: Tensor) -> int:
    """How many tokens of a batch are trained.

    Args:
        labels: (B, L) int64.

    Returns:
        The number of labels that are not IGNORE, without the first place of each row.

    Raises:
        ValueError: labels is not (B, L).
    """
    if labels.ndim != 2:
        raise ValueError(f"labels must be (B, L), but they are {tuple(labels.shape)}.")
    # TODO(loss): one line.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): one line.")


def sft_loss(logits: Tensor, labels: Tensor, num_items: int | None = None) -> Tensor:
    """The shifted cross-entropy: logits at place t - 1 are about the token at place t.

    The sum of -log softmax(logits[:, t - 1])[labels[:, t]] over trained tokens, divided by
    num_items.

    Args:
        logits: (B, L, V) float; may hold anything, nan included, where no label is predicted.
            Logits of +-10000 give a finite loss.
        labels: (B, L) int64, entries in 0 .. V - 1 or IGNORE.
        num_items: what to divide by, at least 1; None for the number of trained tokens of this
            batch. A part of a larger batch is given the number of trained tokens of all of it, and
            may then have none itself: its loss is 0, with a gradient of 0.

    Returns:
        A scalar tensor with the gradient of ``logits``.

    Raises:
        ValueError: the shapes do not fit, num_items is below 1, or it is None and no token is
            trained.
    """
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise ValueError(
            f"logits must be (B, L, V) and labels (B, L): {tuple(logits.shape)}, {tuple(labels.shape)}."
        )
    if num_items is not None and num_items < 1:
        raise ValueError(f"num_items must be at least 1, but it is {num_items}.")
    # TODO(loss): refuse a batch that trains nothing; shift by one; choose; sum; divide.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): refuse a batch that trains nothing; shift by one; choose; sum; divide.")


# -- Part 3: accumulation --------------------------------------------------------------------------


def padded_logits(model: Any, batch: Batch) -> Tensor:
    """Logits of a padded batch, (B, L, V): a row's are the same alone and among longer ones.

    GPT-2 of ``transformers`` does not work out positions from the attention mask. Hand them in: 0
    at the first real token of each row, on whichever side the padding is.

    Args:
        model: a causal language model of ``transformers``, called as
            ``model(input_ids=..., attention_mask=..., position_ids=...).logits``.
        batch: as ``collate`` makes it.
    """
    # TODO(accumulation): positions from the attention mask; at padding any valid one, so not -1.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(accumulation): positions from the attention mask; at padding any valid one, so not -1.")


def accumulate_(model: Any, batches: Sequence[Batch]) -> float:
    """Backward passes through K micro-batches that add up to the gradient of one large batch.

    The gradients are *added* to what stands in the parameters' ``grad``, as a backward pass does.
    There is one backward pass for each micro-batch, so that no more than one of them is in memory.

    Args:
        model: its parameters' gradients are changed.
        batches: the micro-batches, at least one; they may differ in rows, length and number of
            trained tokens, and some may have none.

    Returns:
        The loss of all of them as one batch.

    Raises:
        ValueError: there is no micro-batch, or no token of any is trained.
    """
    # TODO(accumulation): count the tokens of all micro-batches first.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(accumulation): count the tokens of all micro-batches first.")


# -- Part 4: packing -------------------------------------------------------------------------------


def first_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Which examples share a row: long ones first, each into the first row that has room.

    Args:
        lengths: n numbers of tokens, each at least 1.
        capacity: the most tokens in one row.

    Returns:
        Rows in the order in which they were opened, each a list of indices into ``lengths`` in the
        order in which they came in. Equal lengths come in the order of their indices.

    Raises:
        ValueError: a length is below 1 or above the capacity.
    """
    if any(not 1 <= length <= capacity for length in lengths):
        raise ValueError(f"each length must lie between 1 and the capacity, {capacity}.")
    # TODO(packing): sort, then look for room from the first row on.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(packing): sort, then look for room from the first row on.")


def pack(examples: Sequence[Example]) -> Packed:
    """Several conversations one after the other in a single row, without padding.

    The positions begin with 0 in each conversation. The first token of a conversation has nothing
    before it, and in a packed row a stranger stands there: its label becomes IGNORE.

    Args:
        examples: at least one, none empty.

    Returns:
        Packed(tokens, labels, positions, cu_seqlens).

    Raises:
        ValueError: there is no example, or one is empty.
    """
    if not examples or not all(example.tokens for example in examples):
        raise ValueError("packing needs at least one example, and none may be empty.")
    # TODO(packing): concatenate; four tensors.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(packing): concatenate; four tensors.")


def block_mask(cu_seqlens: Tensor) -> Tensor:
    """Which place may look at which in a packed row: its own conversation, up to itself.

    Args:
        cu_seqlens: (n + 1,) int, as in ``Packed``: begins with 0, rises, ends with N.

    Returns:
        (N, N) bool: entry (i, j) is True if the token at place i may attend to the token at j.

    Raises:
        ValueError: cu_seqlens does not begin with 0 or does not rise.
    """
    if cu_seqlens.ndim != 1 or len(cu_seqlens) < 2 or int(cu_seqlens[0]) != 0:
        raise ValueError("cu_seqlens must be (n + 1,) and begin with 0.")
    if not bool((cu_seqlens[1:] > cu_seqlens[:-1]).all()):
        raise ValueError("cu_seqlens must rise: no conversation is empty.")
    # TODO(packing): the same conversation, and not later.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(packing): the same conversation, and not later.")


def packed_logits(model: Any, packed: Packed) -> Tensor:
    """Logits of a packed row, (1, N, V): each conversation's are what they are alone.

    With ``attn_implementation="eager"`` ``transformers`` *adds* a mask of four dimensions to the
    attention scores: (1, 1, N, N), of the model's dtype, 0 where a place may look and
    ``torch.finfo(dtype).min`` where it may not. A bool mask would be added too, as 0 and 1.

    Args:
        model: as in ``padded_logits``.
        packed: as ``pack`` makes it.
    """
    # TODO(packing): the block mask as numbers, the positions, one call.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(packing): the block mask as numbers, the positions, one call.")


# -- Part 5: LoRA ----------------------------------------------------------------------------------


class LoRA(nn.Module):
    """A frozen linear layer with a trainable update of low rank: y = base(x) + (alpha / r) B A x.

    ``base`` is an ``nn.Linear``, whose weight is (out, in), or a ``Conv1D`` of ``transformers``,
    whose weight is (in, out): GPT-2 has these.

    Attributes:
        base: the layer; its parameters get no gradient.
        A: parameter, (r, in); each entry drawn from Normal(0, 1 / in), by ``generator``.
        B: parameter, (out, r); zeros, so that the new layer begins as the old one.
        scale: alpha / r, a float.
        on: True; if False the layer is its base.

    Args:
        base: the layer to adapt.
        rank: r, at least 1 and at most min(in, out).
        alpha: above 0.
        generator: on the CPU.

    Raises:
        ValueError: the rank or alpha is impossible.
    """

    def __init__(self, base: Any, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.transposed = isinstance(base, Conv1D)
        shape = tuple(base.weight.shape)
        inputs, outputs = shape if self.transposed else shape[::-1]
        if not 1 <= rank <= min(inputs, outputs) or not alpha > 0:
            raise ValueError(f"rank must lie in 1 .. {min(inputs, outputs)}, alpha above 0.")
        self.base, self.on = base, True
        # TODO(lora): freeze the base; A and B of the base's dtype; the scale.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(lora): freeze the base; A and B of the base's dtype; the scale.")

    def forward(self, x: Tensor) -> Tensor:
        """The adapted layer.

        Args:
            x: (..., in) float.

        Returns:
            (..., out) float: base(x), and scale * B A x if ``on``.
        """
        # TODO(lora): do not build the large matrix B A.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(lora): do not build the large matrix B A.")

    def delta(self) -> Tensor:
        """What the update adds to the base's weight: scale * B A, in the base weight's shape.

        Returns:
            (out, in) float for an ``nn.Linear``, (in, out) for a ``Conv1D``; without a gradient.
        """
        # TODO(lora): mind the two layouts.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(lora): mind the two layouts.")


def add_lora_(
    model: nn.Module, names: Sequence[str], rank: int, alpha: float, generator: torch.Generator
) -> list[str]:
    """Freeze a model, and put a ``LoRA`` around each of its layers with one of these names.

    A layer is meant if the last part of its name in ``model.named_modules()`` is in ``names``:
    "c_attn" means "transformer.h.0.attn.c_attn" and all its like. Afterwards only A and B of the
    new layers require a gradient.

    Args:
        model: changed in place.
        names: at least one.
        rank, alpha, generator: as in ``LoRA``; the layers draw one after the other.

    Returns:
        The full names of the layers, in the order of ``named_modules``.

    Raises:
        ValueError: a name means no layer at all: nothing would be trained there, silently.
    """
    # TODO(lora): refuse names that mean nothing; freeze everything; replace layer by layer.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(lora): refuse names that mean nothing; freeze everything; replace layer by layer.")


def switch_lora_(model: nn.Module, on: bool) -> None:
    """Switch all adapters of a model on or off: off, the model is its own reference.

    Args:
        model: changed in place.
        on: whether the updates count.
    """
    # TODO(lora): go through the modules.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(lora): go through the modules.")


def merge_lora_(model: nn.Module) -> None:
    """Add each update to its base's weight, and put the base back where it was.

    Afterwards the model has the layers that it had before ``add_lora_``, and answers as it did with
    its adapters on, whether they were on or off. Its parameters stay frozen.

    Args:
        model: changed in place.
    """
    # TODO(lora): weight + delta, and the plain layer back in its place.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(lora): weight + delta, and the plain layer back in its place.")


# -- Part 6: training and evaluation ---------------------------------------------------------------


def evaluate(model: Any, examples: Sequence[Example], batch_size: int, pad: int) -> Evaluation:
    """Loss and accuracy over all trained tokens of some examples.

    In evaluation mode and without a gradient; the model leaves in the mode in which it came. The
    result does not depend on ``batch_size``.

    Args:
        model: as in ``padded_logits``.
        examples: at least one; together they train at least one token.
        batch_size: examples in one call of the model, at least 1.
        pad: the token that fills rows up.

    Returns:
        Evaluation(loss, accuracy, tokens). A token is right if no other has a larger logit.

    Raises:
        ValueError: there is no example, batch_size is below 1, or no token is trained.
    """
    if not examples or batch_size < 1:
        raise ValueError("at least one example, and at least one in a batch, please.")
    # TODO(training): sums over all tokens; one division at the end.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): sums over all tokens; one division at the end.")


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """The learning rate of one step: a straight line up, then half a cosine down.

    peak * (step + 1) / warmup                                               if step < warmup
    peak * (1 + cos(pi * (step - warmup) / (steps - warmup))) / 2            otherwise

    So the first step is not wasted on a rate of 0, and step ``warmup`` has the peak.

    Args:
        step: counted from 0, below steps.
        steps: of the whole run.
        peak: at least 0.
        warmup: steps of the line, at least 0 and below steps.

    Raises:
        ValueError: step, peak or warmup is out of its range.
    """
    if not 0 <= step < steps or not 0 <= warmup < steps or peak < 0:
        raise ValueError("0 <= step < steps, 0 <= warmup < steps and 0 <= peak, please.")
    # TODO(training): two lines.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): two lines.")


def sft_update_(
    model: Any,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[Example],
    micro_batch: int,
    grad_norm: float,
    pad: int,
) -> float:
    """One step of the optimiser down the loss of some examples, taken together as one batch.

    Old gradients are forgotten. The examples go through the model ``micro_batch`` at a time. The
    norm of the whole gradient is clipped to ``grad_norm`` once, before the step.

    Args:
        model: trained in place, in the mode in which it is.
        optimizer: of the model's trainable parameters.
        examples: at least one.
        micro_batch: examples in one backward pass, at least 1; changes nothing but memory.
        grad_norm: above 0.
        pad: the token that fills rows up.

    Returns:
        The loss before the step.

    Raises:
        ValueError: there is no example, micro_batch is below 1, or no token is trained.
    """
    if not examples or micro_batch < 1:
        raise ValueError("at least one example, and at least one in a micro-batch, please.")
    # TODO(training): cut, accumulate, clip once, step.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): cut, accumulate, clip once, step.")


def train_sft(
    model: Any, train: Sequence[Example], valid: Sequence[Example], cfg: SFTConfig, seed: int
) -> Result:
    """Fine-tune a copy of a model, and return the weights that did best on held-out examples.

    Each pass goes over ``train`` in a new random order, in batches of cfg.batch_size; examples left
    over at the end of a pass, too few for a batch, are left out of it. Adam without weight decay,
    over the parameters that require a gradient, with the rate of ``learning_rate``; the copy is in
    training mode. It is evaluated on ``valid`` after every cfg.eval_every steps and after the last.

    Args:
        model: a model of ``transformers``; it is not changed.
        train: at least cfg.batch_size examples.
        valid: at least one.
        cfg: everything else.
        seed: decides the order of the examples.

    Returns:
        Result(model, history). The model is a copy in evaluation mode with the weights of the
        evaluation with the lowest loss, the earliest if several share it. The history has lists of
        floats: "loss" and "lr", one for each step; "valid_step" (steps done), "valid_loss" and
        "valid_accuracy", one for each evaluation.

    Raises:
        ValueError: there are fewer examples than a batch needs, fewer than one step is asked for,
            or eval_every is below 1.
    """
    if cfg.steps < 1 or cfg.eval_every < 1 or not 1 <= cfg.batch_size <= len(train):
        raise ValueError("at least one step, and at least as many examples as a batch, please.")
    # TODO(training): copy, shuffle, cut, set the rate, update; evaluate, and keep the best weights.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): copy, shuffle, cut, set the rate, update; evaluate, and keep the best weights.")


# -- Part 7: what imitation alone cannot do --------------------------------------------------------


def _check_confusion(confusion: Tensor) -> None:
    """Refuse what is no table of probabilities."""
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"confusion must be (K, K), but it is {tuple(confusion.shape)}.")
    sums = confusion.sum(dim=1)
    if bool((confusion < 0).any()) or not torch.allclose(sums, torch.ones_like(sums), atol=1e-5):
        raise ValueError("each row of confusion must be a distribution.")


def teacher_answers(right: Tensor, confusion: Tensor, generator: torch.Generator) -> Tensor:
    """Answers of a teacher who makes mistakes: each digit is drawn for itself.

    Args:
        right: (B, n) int64, the right digits, in 0 .. K - 1.
        confusion: (K, K) float; confusion[i, j] is the probability that the teacher writes j where
            i is right.
        generator: on the CPU.

    Returns:
        (B, n) int64.

    Raises:
        ValueError: right is not (B, n), or a row of confusion is not a distribution.
    """
    _check_confusion(confusion)
    if right.ndim != 2:
        raise ValueError(f"right must be (B, n), but it is {tuple(right.shape)}.")
    # TODO(imitation): one draw for each digit, from the row of the right one.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(imitation): one draw for each digit, from the row of the right one.")


def imitation_limits(confusion: Tensor, length: int) -> Limits:
    """How good a student can be who imitates such a teacher perfectly.

    The right answers are uniform over all K^length; the answer ends with an end token, about which
    the teacher is never wrong.

    Args:
        confusion: (K, K) float, as in ``teacher_answers``.
        length: n, digits of an answer, at least 1.

    Returns:
        Limits(loss, sampled, greedy), floats. loss: the mean cross-entropy over the n + 1 trained
        tokens of a student with the teacher's own probabilities. sampled: the probability that an
        answer drawn from them is right in all digits. greedy: the same, if each digit is the
        likeliest one; a right digit must be likelier than any other to count.

    Raises:
        ValueError: a row of confusion is not a distribution, or length is below 1.
    """
    _check_confusion(confusion)
    if length < 1:
        raise ValueError(f"length must be at least 1, but it is {length}.")
    # TODO(imitation): an entropy, a mean of the diagonal, a share of rows; the powers.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(imitation): an entropy, a mean of the diagonal, a share of rows; the powers.")


def verified_rate(confusion: Tensor, length: int, tries: int) -> float:
    """How often one of several answers of the teacher is right: what a verifier could pick out.

    A right answer y has p(y) = product of confusion[d, d] over its digits d. The result is the mean
    of 1 - (1 - p(y))^tries over all K^length answers y.

    Args:
        confusion: (K, K) float, as in ``teacher_answers``.
        length: digits of an answer, at least 1; K^length is small enough to be listed.
        tries: independent answers to one question, at least 1.

    Returns:
        A float.

    Raises:
        ValueError: a row of confusion is not a distribution, or length or tries is below 1.
    """
    _check_confusion(confusion)
    if length < 1 or tries < 1:
        raise ValueError("length and tries must be at least 1.")
    # TODO(imitation): list p(y) for all answers, then average.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(imitation): list p(y) for all answers, then average.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# labels=  loss=  accumulation=  packing=  lora=  training=  imitation=
