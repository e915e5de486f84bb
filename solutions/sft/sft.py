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

### BEGIN SOLUTION
import copy

### END SOLUTION
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
    ### BEGIN SOLUTION
    tokens: list[int] = []
    for message in messages:
        # BUG(prompt-without-ends): tokens += [*template.headers[message.role], *message.content]
        # WHEN the prompt's messages have no end token, so that the model samples after something
        # WHEN that it has never been trained on.
        tokens += [*template.headers[message.role], *message.content, template.end]
    # BUG(generation-prompt-forgotten): return tokens
    # WHEN the prompt ends before the assistant's header, so that the model has to guess whose turn
    # WHEN it is.
    # BUG(generation-prompt-ended): return [*tokens, *template.headers["assistant"], template.end]
    # WHEN an end token stands after the generation prompt, as if the answer were over.
    return [*tokens, *template.headers["assistant"]]
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    tokens: list[int] = []
    labels: list[int] = []
    for message in messages:
        header = template.headers[message.role]
        # BUG(end-in-front): header, body = [*header, template.end], message.content
        # WHEN the end token stands before the content of a message instead of after it.
        # BUG(no-end-token): body = message.content if message.role == "assistant" else [*message.content, template.end]
        # WHEN answers get no end token at all, so that the model never learns to stop.
        # BUG(cuts-inside): body = [*message.content[: None if max_length is None else max(0, max_length - len(tokens) - len(header) - 1)], template.end]
        # WHEN an answer that is cut gets an end token all the same, so that the model learns to
        # WHEN stop in the middle of a sentence.
        body = [*message.content, template.end]
        # BUG(prompt-trained): trained = True
        # WHEN messages that the assistant did not write are trained like answers.
        # BUG(prompt-trained, 2): trained = message.role != "system"
        # BUG(last-turn-only): trained = message is messages[-1]
        # WHEN earlier answers are not trained, only the last message or the last answer.
        # BUG(last-turn-only, 2): labels, trained = [IGNORE] * len(labels) if message.role == "assistant" else labels, message.role == "assistant"
        trained = message.role == "assistant"
        tokens += [*header, *body]
        # BUG(generation-prompt-trained): labels += [*header, *body] if trained else [IGNORE] * len([*header, *body])
        # WHEN the assistant's header, which the user of a model always writes, is trained like an
        # WHEN answer, in whole or in part.
        # BUG(generation-prompt-trained, 2): labels += [*[IGNORE] * len(header[:-1]), *header[-1:], *body] if trained else [IGNORE] * len([*header, *body])
        # BUG(end-not-trained): labels += [IGNORE] * len(header) + ([*body[:-1], IGNORE] if trained else [IGNORE] * len(body))
        # WHEN the end token of an answer is not trained, so that the model never learns to stop.
        # BUG(end-not-trained, 2): labels += [IGNORE] * len(header) + ([IGNORE if token == template.end else token for token in body] if trained else [IGNORE] * len(body))
        # BUG(labels-shifted-already): labels += [IGNORE] * (len(header) - 1) + ([*body, IGNORE] if trained else [IGNORE] * (len(body) + 1))
        # WHEN the labels are shifted by one place already, so that the loss shifts them again.
        # BUG(all-ends-trained): labels += [IGNORE] * len(header) + (body if trained else [IGNORE] * (len(body) - 1) + [template.end])
        # WHEN the end tokens of users' messages are trained too.
        labels += [IGNORE] * len(header) + (body if trained else [IGNORE] * len(body))
    # BUG(cuts-from-the-left): tokens, labels = (tokens, labels) if max_length is None else (tokens[-max_length:], labels[-max_length:])
    # WHEN a conversation that is too long loses its beginning instead of its end.
    # BUG(never-cuts): pass
    # WHEN max_length is ignored.
    tokens, labels = tokens[:max_length], labels[:max_length]
    # BUG(empty-examples-pass): if False:
    # WHEN an example without a single trained token passes, so that it is trained on silently, with
    # WHEN a loss of 0 or nan.
    # BUG(empty-examples-pass, 2): if not any(message.role == "assistant" for message in messages):
    # BUG(label-without-a-past): if all(label == IGNORE for label in labels):
    # WHEN an example passes whose only label is at its first place, about which no logits speak.
    if all(label == IGNORE for label in labels[1:]):
        raise ValueError("no token of this conversation is trained: no answer, or none left.")
    # BUG(searches-for-the-header): return Example(tokens, _searched(tokens, template))
    # WHEN answers are looked for by searching the ids for the assistant's header, so that a user who
    # WHEN types it is trained too, and an answer seems to be over at the first end token in it.
    return Example(tokens, labels)
    ### END SOLUTION


### BEGIN BUGS


def _searched(tokens: list[int], template: Template) -> list[int]:
    """Labels by searching: trained from an assistant's header to the next end token."""
    header, labels, on = template.headers["assistant"], [], False
    for place, token in enumerate(tokens):
        seen = bool(header) and tokens[:place][-len(header) :] == header
        on = on or seen
        labels.append(token if on else IGNORE)
        on = on and token != template.end
    return labels


### END BUGS


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
    ### BEGIN SOLUTION
    width = max(len(example.tokens) for example in examples)
    tokens = torch.full((len(examples), width), pad)
    # BUG(padding-trained): labels = torch.full((len(examples), width), pad)
    # WHEN padding is trained.
    labels = torch.full((len(examples), width), IGNORE)
    attention = torch.zeros(len(examples), width, dtype=torch.bool)
    for row, example in enumerate(examples):
        length = len(example.tokens)
        # BUG(padded-on-the-other-side): place = slice(0, length) if side == "left" else slice(width - length, width)
        # WHEN left and right have changed places.
        # BUG(always-padded-on-the-right): place = slice(0, length)
        # WHEN rows are padded on the right whatever is asked for.
        place = slice(0, length) if side == "right" else slice(width - length, width)
        tokens[row, place] = torch.tensor(example.tokens)
        # BUG(pad-is-the-end, 2): labels[row, place] = torch.tensor([IGNORE if token == pad else label for token, label in zip(*example, strict=True)])
        labels[row, place] = torch.tensor(example.labels)
        attention[row, place] = True
    # BUG(pad-is-the-end): return Batch(tokens, labels.masked_fill(tokens == pad, IGNORE), attention)
    # WHEN every token with the id of padding is masked, so that the end token, which often has the
    # WHEN same id, is never trained.
    # BUG(attention-from-ids): return Batch(tokens, labels, tokens != pad)
    # WHEN padding is recognised by its id, so that a real token with this id is hidden from the
    # WHEN model.
    return Batch(tokens, labels, attention)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(counts-the-first-place): return int((labels != IGNORE).sum())
    # WHEN a label at the first place of a row counts, although no logits speak about it.
    # BUG(counts-all-places): return labels[:, 1:].numel()
    # WHEN prompt and padding count as trained tokens.
    return int((labels[:, 1:] != IGNORE).sum())
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    if num_items is None:
        num_items = count_labels(labels)
        if num_items == 0:
            # BUG(empty-batches-pass): num_items = 1
            # WHEN a batch in which nothing is trained gives a loss of 0 or nan instead of being
            # WHEN refused.
            # BUG(empty-batches-pass, 2): pass
            raise ValueError("no token of this batch is trained: all labels are ignored.")
    # BUG(not-shifted): spoken, targets = logits, labels
    # WHEN the logits at a place are compared with the token at the same place, which the model has
    # WHEN just read.
    # BUG(shifted-twice): spoken, targets = logits[:, :-2], labels[:, 2:]
    # WHEN the shift is made twice, so that the model learns the token after the next one.
    # BUG(shifted-twice, 2): spoken, targets = logits[:, :-1], torch.nn.functional.pad(labels, (0, 1), value=IGNORE)[:, 2:]
    # BUG(shifted-the-wrong-way): spoken, targets = logits[:, 1:], labels[:, :-1]
    # WHEN the shift goes the wrong way: the model is asked about the token before.
    spoken, targets = logits[:, :-1], labels[:, 1:]
    kept = targets != IGNORE
    # BUG(multiplies-by-the-mask): return -(spoken.log_softmax(dim=-1).gather(2, targets.clamp(min=0)[..., None]).squeeze(2) * kept).sum() / num_items
    # WHEN what is not trained is multiplied by 0, so that a nan there is still added.
    # BUG(mean-of-row-means): return torch.stack([-x[k].log_softmax(dim=-1).gather(1, y[k][:, None]).mean() for x, y, k in zip(spoken, targets, kept, strict=True) if bool(k.any())]).mean() * max(1, count_labels(labels)) / num_items
    # WHEN each row is averaged first, so that a token of a short answer weighs more than one of a
    # WHEN long answer.
    # BUG(log-of-softmax): logp = spoken[kept].softmax(dim=-1).log()
    # WHEN large logits make exp infinite or round a probability to 0, so that the loss is not
    # WHEN finite.
    # BUG(log-of-softmax, 2): logp = spoken[kept] - spoken[kept].exp().sum(dim=-1, keepdim=True).log()
    logp = spoken[kept].log_softmax(dim=-1)
    # BUG(divides-by-all-places): return -logp.gather(1, targets[kept][:, None]).sum() / targets.numel()
    # WHEN the sum is divided by all places of the batch, prompt and padding included.
    # BUG(ignores-num-items): return -logp.gather(1, targets[kept][:, None]).sum() / max(1, count_labels(labels))
    # WHEN the loss is divided by this batch's own number of tokens whatever is asked for.
    return -logp.gather(1, targets[kept][:, None]).sum() / num_items
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(positions-count-padding): places = torch.arange(batch.tokens.shape[1]).expand_as(batch.tokens)
    # WHEN positions are counted from the left edge of the batch, padding included.
    places = (batch.attention.long().cumsum(dim=1) - 1).clamp(min=0)
    # BUG(attends-to-padding): seen = torch.ones_like(batch.tokens)
    # WHEN the model is not told which places are padding, so that it reads them.
    seen = batch.attention.long()
    return model(input_ids=batch.tokens, attention_mask=seen, position_ids=places).logits
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(counts-padding-when-accumulating): total = sum(batch.labels[:, 1:].numel() for batch in batches)
    # WHEN the sum over micro-batches is divided by all their places, prompt and padding included.
    # BUG(counts-the-first-place, 2): total = sum(int((batch.labels != IGNORE).sum()) for batch in batches)
    total = sum(count_labels(batch.labels) for batch in batches)
    if total == 0:
        raise ValueError("no token of these micro-batches is trained.")
    # BUG(clears-old-gradients): loss = model.zero_grad() or 0.0
    # WHEN the gradients that stood there before are cleared instead of being added to.
    loss = 0.0
    for batch in batches:
        logits = padded_logits(model, batch)
        # BUG(mean-of-means): part = sft_loss(logits, batch.labels, max(1, count_labels(batch.labels))) / len(batches)
        # WHEN each micro-batch is averaged first, and then the means, so that tokens no longer
        # WHEN weigh the same.
        # BUG(mean-of-means, 2): part = sft_loss(logits, batch.labels, max(1, count_labels(batch.labels))) * len(batch.labels) / sum(len(b.labels) for b in batches)
        # BUG(sum-of-means): part = sft_loss(logits, batch.labels, max(1, count_labels(batch.labels)))
        # WHEN the micro-batches' means are added up, so that the gradient grows with their number.
        # BUG(divided-twice): part = sft_loss(logits, batch.labels, total) / len(batches)
        # WHEN the loss is divided by the number of tokens and then by the number of micro-batches
        # WHEN too.
        part = sft_loss(logits, batch.labels, total)
        # BUG(forgets-earlier-micro-batches): model.zero_grad(); part.backward()
        # WHEN the gradients are cleared before each micro-batch, so that only the last one counts.
        part.backward()
        # BUG(reports-the-last-micro-batch): loss = part.item()
        # WHEN the reported loss is that of the last micro-batch alone.
        loss += part.item()
    return loss
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    rows: list[list[int]] = []
    room: list[int] = []
    # BUG(short-ones-first): for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
    # WHEN the short examples come first, so that the long ones find no room.
    # BUG(first-come-first-served): for index in range(len(lengths)):
    # WHEN the examples come in their order in the data instead of by length.
    # BUG(ties-turned-round): for index in sorted(range(len(lengths)), key=lambda i: lengths[i])[::-1]:
    # WHEN examples of equal length come in reverse order.
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        # BUG(next-fit): fits = [row for row in range(len(rows)) if row == len(rows) - 1 and room[row] >= lengths[index]]
        # WHEN only the row that was opened last is tried, and room in earlier ones is wasted.
        # BUG(best-fit): fits = sorted((row for row in range(len(rows)) if room[row] >= lengths[index]), key=lambda row: room[row])
        # WHEN an example goes into the fullest row that has room instead of the first.
        # BUG(full-rows-refused): fits = [row for row in range(len(rows)) if room[row] > lengths[index]]
        # WHEN a row is never filled to the last token.
        fits = [row for row in range(len(rows)) if room[row] >= lengths[index]]
        if fits:
            rows[fits[0]].append(index)
            room[fits[0]] -= lengths[index]
        else:
            rows.append([index])
            room.append(capacity - lengths[index])
    return rows
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    lengths = torch.tensor([len(example.tokens) for example in examples])
    tokens = [token for example in examples for token in example.tokens]
    # BUG(first-label-crosses-over): labels = [label for example in examples for label in example.labels]
    # WHEN the first token of a conversation is trained, to be guessed from the last token of a
    # WHEN stranger's.
    # BUG(first-label-crosses-over, 2): labels = [IGNORE, *[label for example in examples for label in example.labels][1:]]
    # BUG(last-label-lost): labels = [label for example in examples for label in [*example.labels[:-1], IGNORE]]
    # WHEN the last token of each conversation is not trained.
    labels = [label for example in examples for label in [IGNORE, *example.labels[1:]]]
    # BUG(positions-run-on): positions = torch.arange(len(tokens))
    # WHEN the positions run on through the row instead of beginning anew with each conversation.
    positions = torch.cat([torch.arange(int(length)) for length in lengths])
    # BUG(lengths-for-boundaries): boundaries = torch.cat([torch.zeros(1).long(), lengths])
    # WHEN cu_seqlens holds the lengths themselves instead of their running sum.
    # BUG(boundaries-without-zero): boundaries = torch.cat([lengths.cumsum(dim=0), torch.tensor([len(tokens)])])
    # WHEN cu_seqlens does not begin with 0.
    boundaries = torch.cat([torch.zeros(1).long(), lengths.cumsum(dim=0)])
    return Packed(torch.tensor([tokens]), torch.tensor([labels]), positions[None], boundaries)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    places = torch.arange(int(cu_seqlens[-1]))
    # BUG(boundary-belongs-to-the-left): owner = torch.bucketize(places, cu_seqlens)
    # WHEN the first token of each conversation is counted with the one before it.
    owner = torch.bucketize(places, cu_seqlens, right=True)
    # BUG(neighbours-are-seen): return places[:, None] >= places[None, :]
    # WHEN a conversation sees those that stand before it in its row.
    # BUG(looks-ahead): return owner[:, None] == owner[None, :]
    # WHEN tokens see the tokens that come after them.
    # BUG(blind-to-itself): return (owner[:, None] == owner[None, :]) & (places[:, None] > places[None, :])
    # WHEN a token does not see itself.
    # BUG(mask-transposed): return (owner[:, None] == owner[None, :]) & (places[:, None] <= places[None, :])
    # WHEN rows and columns of the mask have changed places: tokens see only themselves and what
    # WHEN follows.
    return (owner[:, None] == owner[None, :]) & (places[:, None] >= places[None, :])
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    dtype = next(model.parameters()).dtype
    # BUG(neighbours-are-seen, 2): allowed = torch.ones(packed.tokens.shape[1], packed.tokens.shape[1]).tril().bool()
    allowed = block_mask(packed.cu_seqlens)
    # BUG(bool-mask-added): mask = allowed
    # WHEN the model is handed a mask of True and False, which it adds to the scores as 1 and 0.
    mask = torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
    # BUG(positions-run-on, 2): positions = torch.arange(packed.tokens.shape[1])[None]
    positions = packed.positions
    return model(
        input_ids=packed.tokens, attention_mask=mask[None, None], position_ids=positions
    ).logits
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(base-still-learns): pass
        # WHEN the layer under the adapter goes on learning, or its bias alone.
        # BUG(base-still-learns, 2): base.weight.requires_grad_(False)
        base.requires_grad_(False)
        draws = torch.randn(rank, inputs, generator=generator, dtype=base.weight.dtype)
        # BUG(unit-deviation): self.A = nn.Parameter(draws)
        # WHEN the entries of A are standard normal, whatever the number of inputs.
        # BUG(deviation-for-variance): self.A = nn.Parameter(draws / inputs)
        # WHEN 1 / in is taken for the standard deviation of A instead of its variance.
        # BUG(deviation-of-the-rank): self.A = nn.Parameter(draws / math.sqrt(rank))
        # WHEN the variance of A is 1 / r instead of 1 / in.
        # BUG(uniform-a): self.A = nn.Parameter((2 * torch.rand(rank, inputs, generator=generator, dtype=base.weight.dtype) - 1) / math.sqrt(inputs))
        # WHEN A is drawn from a uniform distribution, as loralib and PEFT have it, while this
        # WHEN course has a normal one, as in the paper.
        # BUG(both-zero): self.A = nn.Parameter(torch.zeros_like(draws))
        # WHEN A and B both begin with zeros, so that neither ever gets a gradient.
        # BUG(ignores-the-generator): self.A = nn.Parameter(torch.randn_like(draws) / math.sqrt(inputs))
        # WHEN A is drawn from the global generator instead of the given one.
        self.A = nn.Parameter(draws / math.sqrt(inputs))
        # BUG(b-not-zero): self.B = nn.Parameter(torch.ones(outputs, rank, dtype=base.weight.dtype) / inputs)
        # WHEN B does not begin with zeros, so that the model is changed before it has learnt
        # WHEN anything.
        self.B = nn.Parameter(torch.zeros(outputs, rank, dtype=base.weight.dtype))
        # BUG(alpha-for-scale): self.scale = float(alpha)
        # WHEN the update is scaled by alpha instead of alpha / r.
        # BUG(rank-stabilised): self.scale = alpha / math.sqrt(rank)
        # WHEN the update is scaled by alpha / sqrt(r), as rank-stabilised LoRA has it, while this
        # WHEN course has alpha / r.
        self.scale = alpha / rank
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """The adapted layer.

        Args:
            x: (..., in) float.

        Returns:
            (..., out) float: base(x), and scale * B A x if ``on``.
        """
        # TODO(lora): do not build the large matrix B A.
        ### BEGIN SOLUTION
        # BUG(cannot-be-switched-off): if False:
        # WHEN the adapter stays on although it was switched off.
        if not self.on:
            return self.base(x)
        # BUG(alpha-for-scale, 2): return self.base(x) + self.scale * len(self.A) * (x @ self.A.T @ self.B.T)
        # BUG(update-without-scale): return self.base(x) + x @ self.A.T @ self.B.T
        # WHEN the update is added without its scale.
        # BUG(update-instead-of-base): return self.scale * (x @ self.A.T @ self.B.T)
        # WHEN the update takes the place of the layer instead of being added to it.
        # BUG(scales-the-base-too): return self.scale * (self.base(x) + x @ self.A.T @ self.B.T)
        # WHEN the scale is on the whole layer.
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)
        ### END SOLUTION

    def delta(self) -> Tensor:
        """What the update adds to the base's weight: scale * B A, in the base weight's shape.

        Returns:
            (out, in) float for an ``nn.Linear``, (in, out) for a ``Conv1D``; without a gradient.
        """
        # TODO(lora): mind the two layouts.
        ### BEGIN SOLUTION
        # BUG(alpha-for-scale, 2): update = self.scale * len(self.A) * (self.B.detach() @ self.A.detach())
        # BUG(merged-without-scale): update = self.B.detach() @ self.A.detach()
        # WHEN the merged weight lacks the scale of the update.
        update = self.scale * (self.B.detach() @ self.A.detach())
        # BUG(merged-transposed): return update.reshape(self.base.weight.shape)
        # WHEN the update of a Conv1D, whose weight lies the other way round, is merged untransposed.
        return update.T if self.transposed else update
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    found = [name for name, _ in model.named_modules() if name.split(".")[-1] in names]
    # BUG(unknown-names-pass): if not found:
    # WHEN a name that means no layer is passed over, at least beside one that means some.
    # BUG(unknown-names-pass, 2): if False:
    if not names or set(names) - {name.split(".")[-1] for name in found}:
        raise ValueError(f"some of {list(names)} mean no layer of this model.")
    # BUG(rest-still-learns): pass
    # WHEN what has no adapter goes on learning: embeddings, norms, the other layers.
    model.requires_grad_(False)
    for name in found:
        parent, _, last = name.rpartition(".")
        owner = model.get_submodule(parent)
        # BUG(same-draws-everywhere): setattr(owner, last, LoRA(getattr(owner, last), rank, alpha, torch.Generator().manual_seed(generator.initial_seed())))
        # WHEN all layers begin with the same A.
        setattr(owner, last, LoRA(getattr(owner, last), rank, alpha, generator))
    return found
    ### END SOLUTION


def switch_lora_(model: nn.Module, on: bool) -> None:
    """Switch all adapters of a model on or off: off, the model is its own reference.

    Args:
        model: changed in place.
        on: whether the updates count.
    """
    # TODO(lora): go through the modules.
    ### BEGIN SOLUTION
    for module in model.modules():
        if isinstance(module, LoRA):
            # BUG(switch-only-off): module.on = False
            # WHEN an adapter that was switched off cannot be switched on again.
            # BUG(cannot-be-switched-off, 2): module.on = True
            module.on = on
    ### END SOLUTION


def merge_lora_(model: nn.Module) -> None:
    """Add each update to its base's weight, and put the base back where it was.

    Afterwards the model has the layers that it had before ``add_lora_``, and answers as it did with
    its adapters on, whether they were on or off. Its parameters stay frozen.

    Args:
        model: changed in place.
    """
    # TODO(lora): weight + delta, and the plain layer back in its place.
    ### BEGIN SOLUTION
    for name, module in list(model.named_modules()):
        if isinstance(module, LoRA):
            # BUG(merged-away): pass
            # WHEN the update is thrown away when the layers are put back.
            # BUG(merged-twice): module.base.weight += 2 * module.delta()
            # WHEN the update is merged and then added once more.
            module.base.weight += module.delta()
            parent, _, last = name.rpartition(".")
            # BUG(merged-twice, 2): continue
            setattr(model.get_submodule(parent), last, module.base)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    training = model.training
    # BUG(evaluates-in-training-mode): pass
    # WHEN dropout stays on while the model is evaluated.
    # BUG(evaluates-in-training-mode, 2): model.train()
    model.eval()
    loss, right, tokens = 0.0, 0, 0
    # BUG(last-batch-dropped): for start in range(0, max(batch_size, len(examples) - len(examples) % batch_size), batch_size):
    # WHEN examples that do not fill a whole batch are left out of the evaluation.
    for start in range(0, len(examples), batch_size):
        batch = collate(examples[start : start + batch_size], pad)
        with torch.no_grad():
            logits = padded_logits(model, batch)
        count = count_labels(batch.labels)
        kept = batch.labels[:, 1:] != IGNORE
        # BUG(accuracy-not-shifted): guesses = logits[:, 1:][kept].argmax(dim=-1)
        # WHEN the accuracy compares the logits at a place with the token at the same place.
        guesses = logits[:, :-1][kept].argmax(dim=-1)
        right += int((guesses == batch.labels[:, 1:][kept]).sum())
        # BUG(mean-of-batch-means): loss += float(sft_loss(logits, batch.labels, max(1, count))) * len(batch.labels) / len(examples)
        # WHEN the loss is averaged over batches or rows instead of tokens.
        # BUG(mean-of-batch-means, 2): loss += float(sft_loss(logits, batch.labels, max(1, count))) / (-(-len(examples) // batch_size))
        loss += float(sft_loss(logits, batch.labels, 1))
        tokens += count
    # BUG(mode-not-restored): pass
    # WHEN the model does not get its mode back after an evaluation: dropout is off while it is
    # WHEN trained, or on while it is used.
    # BUG(mode-not-restored, 2): model.train()
    model.train(training)
    if tokens == 0:
        raise ValueError("no token of these examples is trained.")
    # BUG(mean-of-batch-means): return Evaluation(loss, right / tokens, tokens)
    # BUG(mean-of-batch-means, 2): return Evaluation(loss, right / tokens, tokens)
    # BUG(perplexity-for-loss): return Evaluation(math.exp(loss / tokens), right / tokens, tokens)
    # WHEN the perplexity is reported as the loss.
    return Evaluation(loss / tokens, right / tokens, tokens)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    if step < warmup:
        # BUG(no-warm-up): return peak
        # WHEN there is no warm-up: the rate begins at the peak.
        # BUG(first-rate-is-zero): return peak * step / warmup
        # WHEN the first step has a learning rate of 0 and does nothing.
        return peak * (step + 1) / warmup
    # BUG(cosine-over-all-steps): return peak * (1 + math.cos(math.pi * step / steps)) / 2
    # WHEN the cosine is that of the whole run, so that it does not begin at the peak.
    # BUG(linear-decay): return peak * (steps - step) / (steps - warmup)
    # WHEN the learning rate falls along a straight line instead of half a cosine.
    # BUG(cosine-comes-back): return peak * (1 + math.cos(2 * math.pi * (step - warmup) / (steps - warmup))) / 2
    # WHEN the cosine runs through a whole period, so that the rate rises again at the end.
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    parts = [
        collate(examples[start : start + micro_batch], pad)
        for start in range(0, len(examples), micro_batch)
    ]
    # BUG(keeps-old-gradients): pass
    # WHEN the gradients of earlier steps are not cleared.
    optimizer.zero_grad()
    loss = accumulate_(model, parts)
    # BUG(gradient-not-clipped): pass
    # WHEN the norm of the gradient is not clipped to what is asked for.
    # BUG(gradient-not-clipped, 2): nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    # BUG(clips-each-entry): nn.utils.clip_grad_value_(model.parameters(), grad_norm)
    # WHEN each entry of the gradient is clipped instead of its norm.
    # BUG(clips-each-parameter): [nn.utils.clip_grad_norm_([p], grad_norm) for p in model.parameters()]
    # WHEN each parameter's gradient is clipped for itself, which changes the direction of the step.
    nn.utils.clip_grad_norm_(model.parameters(), grad_norm)
    optimizer.step()
    return loss
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(trains-its-argument): student = model
    # WHEN the model that is handed in is trained, instead of a copy.
    student = copy.deepcopy(model)
    # BUG(trains-in-evaluation-mode): student.eval()
    # WHEN dropout is off while the model is trained.
    student.train()
    optimizer = torch.optim.Adam([p for p in student.parameters() if p.requires_grad], lr=cfg.lr)
    generator = torch.Generator().manual_seed(seed)
    names = ("loss", "lr", "valid_step", "valid_loss", "valid_accuracy")
    history: dict[str, list[float]] = {name: [] for name in names}
    best: dict[str, Tensor] = {}
    order: list[int] = []
    for step in range(cfg.steps):
        if len(order) < cfg.batch_size:
            # BUG(uses-the-global-generator): order = torch.randperm(len(train)).tolist()
            # WHEN random numbers come from the global generator instead of the seed.
            # BUG(draws-with-replacement): order = torch.randint(len(train), (len(train),), generator=generator).tolist()
            # WHEN examples are drawn with replacement, so that a pass sees some twice and others
            # WHEN not at all.
            # BUG(never-shuffles): order = list(range(len(train)))
            # WHEN the examples come in the same order in every pass.
            # BUG(never-shuffles, 2): order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed)).tolist()
            order = torch.randperm(len(train), generator=generator).tolist()
        batch, order = order[: cfg.batch_size], order[cfg.batch_size :]
        rate = learning_rate(step, cfg.steps, cfg.lr, cfg.warmup)
        for group in optimizer.param_groups:
            # BUG(constant-rate): group["lr"] = cfg.lr
            # WHEN the optimiser never hears of the schedule.
            group["lr"] = rate
        loss = sft_update_(
            student, optimizer, [train[i] for i in batch], cfg.micro_batch, cfg.grad_norm, cfg.pad
        )
        history["loss"].append(loss)
        history["lr"].append(rate)
        # BUG(last-weights-not-evaluated): if (step + 1) % cfg.eval_every == 0:
        # WHEN the weights after the last step are not evaluated.
        # BUG(evaluates-a-step-late): if step % cfg.eval_every == 0 or step + 1 == cfg.steps:
        # WHEN the model is evaluated after steps 1, 1 + n, 1 + 2n instead of n, 2n, 3n.
        if (step + 1) % cfg.eval_every == 0 or step + 1 == cfg.steps:
            # BUG(evaluates-on-the-training-set): report = evaluate(student, train, cfg.micro_batch, cfg.pad)
            # WHEN the evaluation uses the examples that the model is trained on.
            report = evaluate(student, valid, cfg.micro_batch, cfg.pad)
            # BUG(keeps-the-last, 4): if True:
            # BUG(keeps-the-worst): if not history["valid_loss"] or report.loss > max(history["valid_loss"]):
            # WHEN the weights with the highest loss are kept.
            # BUG(keeps-the-most-accurate): if not history["valid_loss"] or report.accuracy > max(history["valid_accuracy"]):
            # WHEN the weights with the highest accuracy are kept instead of the lowest loss.
            if not history["valid_loss"] or report.loss < min(history["valid_loss"]):
                # BUG(keeps-the-last): best = student.state_dict()
                # WHEN the weights after the last step come back, not those that did best; it looks
                # WHEN right, and happens, if state_dict() is remembered without a copy.
                # BUG(keeps-the-last, 2): best = dict(student.state_dict())
                best = {name: tensor.clone() for name, tensor in student.state_dict().items()}
            history["valid_step"].append(step + 1)
            history["valid_loss"].append(report.loss)
            history["valid_accuracy"].append(report.accuracy)
    # BUG(keeps-the-last, 3): pass
    student.load_state_dict(best)
    # BUG(returned-in-training-mode): return Result(student, history)
    # WHEN the model comes back in training mode, so that dropout spoils its first answers.
    return Result(student.eval(), history)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(columns-for-rows): rows = confusion.T[right.flatten()]
    # WHEN rows and columns of the table have changed places: right and written digit.
    rows = confusion[right.flatten()]
    # BUG(teacher-ignores-the-generator): drawn = torch.multinomial(rows, 1)
    # WHEN the teacher draws from the global generator instead of the given one.
    # BUG(teacher-never-errs): drawn = rows.argmax(dim=1, keepdim=True)
    # WHEN the teacher always writes the likeliest digit.
    # BUG(one-draw-for-all): drawn = torch.multinomial(confusion, 1, generator=generator)[right.flatten()]
    # WHEN one draw serves all places with the same right digit, so that mistakes repeat.
    # BUG(mistakes-are-uniform): drawn = torch.where(torch.rand(len(rows), 1, generator=generator) < rows.gather(1, right.flatten()[:, None]), right.flatten()[:, None], torch.randint(len(confusion), (len(rows), 1), generator=generator))
    # WHEN a mistake is any digit alike, the right one included, whatever the table says.
    drawn = torch.multinomial(rows, 1, generator=generator)
    return drawn.reshape(right.shape)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    table = confusion.double()
    # BUG(entropy-in-bits): entropy = float(-torch.special.xlogy(table, table).sum(dim=1).mean() / math.log(2))
    # WHEN the entropy is in bits instead of nats.
    # BUG(entropy-of-the-mean): entropy = float(-torch.special.xlogy(table.mean(dim=0), table.mean(dim=0)).sum())
    # WHEN the entropy is that of the mean row instead of the mean of the rows' entropies.
    entropy = float(-torch.special.xlogy(table, table).sum(dim=1).mean())
    chance = float(table.diagonal().mean())
    others = table - 2 * torch.eye(len(table), dtype=torch.float64)
    # BUG(greedy-ties-count): best = table.diagonal() >= others.max(dim=1).values
    # WHEN a digit that ties with a wrong one counts as the likeliest.
    best = table.diagonal() > others.max(dim=1).values
    # BUG(end-token-forgotten): loss = entropy
    # WHEN the mean leaves out the end token, which costs nothing.
    loss = length * entropy / (length + 1)
    # BUG(one-digit-for-all): return Limits(loss, chance, float(best.double().mean()))
    # WHEN one digit's chance is taken for that of the whole answer.
    # BUG(greedy-is-sampled): return Limits(loss, chance**length, chance**length)
    # WHEN greedy answers are thought to be no better than sampled ones.
    # BUG(greedy-is-perfect): return Limits(loss, chance**length, 1.0)
    # WHEN greedy answers are thought to be always right, also where a wrong digit is the
    # WHEN likeliest.
    return Limits(loss, chance**length, float(best.double().mean()) ** length)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    chance = torch.ones(1, dtype=torch.float64)
    for _ in range(length):
        chance = (chance[:, None] * confusion.double().diagonal()[None, :]).flatten()
    # BUG(mean-inside-the-power): return float(1 - (1 - chance.mean()) ** tries)
    # WHEN the mean over answers is taken before the power: easy and hard questions are mixed up.
    # BUG(tries-add-up): return float((tries * chance).clamp(max=1).mean())
    # WHEN the chances of the tries are added up.
    # BUG(all-tries-right): return float((chance**tries).mean())
    # WHEN all tries have to be right instead of one.
    # BUG(one-try): return float(chance.mean())
    # WHEN the number of tries changes nothing.
    return float((1 - (1 - chance) ** tries).mean())
    ### END SOLUTION
