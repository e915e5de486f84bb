"""Hidden tests of `sft`: laws of imitation, on data drawn for each submission.

Labels are compared with a separate rendering of the conversation, losses with their definition.
Language models are tiny GPT-2s made on the student's side with weights from here; what they should
answer is worked out here by a separate forward pass in float64, conversation by conversation, without
padding and without packing.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch

from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_frequencies,
    assert_no_grad,
    assert_raises,
    assert_true,
)
from autograder.judging.plugin import points

IGNORE = -100
EOS, PAD = 13, 14
TIGHT = {"rtol": 1e-5, "atol": 1e-6}  # results may have been stored in float32
SINGLE = {"rtol": 1e-4, "atol": 1e-5}  # float32 inside is a legitimate style


class Message(NamedTuple):
    """As the student's."""

    role: str
    content: list


class Template(NamedTuple):
    """As the student's."""

    headers: dict
    end: int


class Example(NamedTuple):
    """As the student's."""

    tokens: list
    labels: list


class Batch(NamedTuple):
    """As the student's."""

    tokens: torch.Tensor
    labels: torch.Tensor
    attention: torch.Tensor


class Packed(NamedTuple):
    """As the student's."""

    tokens: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    cu_seqlens: torch.Tensor


def normal(rng, *shape, scale=1.0):
    return torch.tensor(rng.normal(scale=scale, size=shape))


def scalar(value):
    return torch.tensor(float(value), dtype=torch.float64)


def apart(rng, low, high):
    """A number that is no round one."""
    return float(rng.uniform(low, high))


# -- conversations ---------------------------------------------------------------------------------

# Contents are ids 0 to 39. The ids of headers and of the end are above, so that nothing coincides.
TEMPLATE = Template({"system": [50], "user": [51, 52], "assistant": [53, 54, 55]}, 60)


def words(rng, count):
    return rng.integers(0, 40, size=count).tolist()


def conversation(rng, *turns):
    """Messages with these roles ("s", "u", "a") and lengths, as in ("u", 3)."""
    names = {"s": "system", "u": "user", "a": "assistant"}
    return [Message(names[role], words(rng, count)) for role, count in turns]


def rendered(messages, template):
    """Tokens and labels, message by message."""
    tokens, labels = [], []
    for role, content in messages:
        header = template.headers[role]
        tokens += header + content + [template.end]
        labels += [IGNORE] * len(header)
        labels += content + [template.end] if role == "assistant" else [IGNORE] * (len(content) + 1)
    return tokens, labels


def assert_example(found, tokens, labels):
    assert_equal([int(x) for x in found.tokens], tokens, what="the tokens")
    assert_equal([int(x) for x in found.labels], labels, what="the labels")


@points(
    2,
    part="labels",
    catches=(
        "prompt-trained",
        "generation-prompt-trained",
        "end-not-trained",
        "labels-shifted-already",
        "all-ends-trained",
        "end-in-front",
        "no-end-token",
    ),
    hint="Write one conversation down, token by token, and its labels below: an answer and its end, "
    "nothing else. Labels stand at the token's own place.",
)
def test_an_answer_and_its_end_are_trained(student, rng):
    """Each message is header, content, end; the labels are the answer's content and end, and
    nothing else."""
    messages = conversation(rng, ("s", 2), ("u", 4), ("a", 3))
    assert_example(student.encode_conversation(messages, TEMPLATE), *rendered(messages, TEMPLATE))


@points(
    2,
    part="labels",
    catches=("last-turn-only", "prompt-trained", "all-ends-trained"),
    hint="Several turns: each answer was written by the assistant, not only the last.",
)
def test_every_turn_of_the_assistant_is_trained(student, rng):
    """All answers of a conversation are trained, an empty one by its end token alone."""
    messages = conversation(
        rng, ("u", 2), ("a", 3), ("u", 1), ("a", 0), ("u", 3), ("a", 2), ("u", 2)
    )
    assert_example(student.encode_conversation(messages, TEMPLATE), *rendered(messages, TEMPLATE))


@points(
    2,
    part="labels",
    catches=("searches-for-the-header",),
    hint="A user may type anything, the assistant's header too. You know what each token is for when "
    "you place it; afterwards nobody can tell from the ids.",
)
def test_ids_do_not_decide_what_is_trained(student, rng):
    """Users who type headers and end tokens are not trained, and answers that hold them are trained
    whole."""
    head, end = TEMPLATE.headers["assistant"], TEMPLATE.end
    messages = [
        Message("user", [*words(rng, 1), *head, *words(rng, 2), end]),
        Message("assistant", [*words(rng, 2), end, *TEMPLATE.headers["user"], *words(rng, 1)]),
    ]
    assert_example(student.encode_conversation(messages, TEMPLATE), *rendered(messages, TEMPLATE))


@points(
    2,
    part="labels",
    catches=("cuts-inside", "cuts-from-the-left", "never-cuts", "no-end-token"),
    hint="The first max_length tokens, and their labels. Nothing is put where something was cut off.",
)
def test_a_cut_answer_has_no_end(student, rng):
    """A conversation that is too long is cut to its first tokens, wherever the cut falls."""
    messages = conversation(rng, ("u", 2), ("a", 4), ("u", 1), ("a", 3))
    tokens, labels = rendered(messages, TEMPLATE)
    first = next(place for place, label in enumerate(labels) if label != IGNORE)
    for length in range(first + 1, len(tokens) + 2):
        found = student.encode_conversation(messages, TEMPLATE, max_length=length)
        assert_example(found, tokens[:length], labels[:length])


@points(
    2,
    part="labels",
    catches=("empty-examples-pass", "label-without-a-past"),
    hint="No answer, an answer that was cut off, or one whose only token stands first: all labels "
    "that the loss sees are ignored. Say no.",
)
def test_an_example_that_trains_nothing_is_refused(student, rng):
    """A conversation without an answer, with a cut that leaves none, or with a single token at the
    first place is refused."""
    messages = conversation(rng, ("u", 3), ("a", 2))
    tokens, labels = rendered(messages, TEMPLATE)
    assert_example(student.encode_conversation(messages, TEMPLATE), tokens, labels)
    with assert_raises(ValueError):
        student.encode_conversation(messages[:1], TEMPLATE)
    with assert_raises(ValueError):
        student.encode_conversation(messages, TEMPLATE, max_length=9)
    bare = Template({"assistant": [], "user": [7]}, 60)
    opening = conversation(rng, ("a", 3), ("u", 2))
    found = student.encode_conversation(opening, bare, max_length=2)
    assert_example(found, opening[0].content[:2], opening[0].content[:2])
    with assert_raises(ValueError):
        student.encode_conversation(opening, bare, max_length=1)


@points(
    2,
    part="labels",
    catches=("prompt-without-ends", "generation-prompt-forgotten", "generation-prompt-ended"),
    hint="What the model samples from is what it was trained on, up to the first token of the answer.",
)
def test_a_prompt_is_where_the_answer_begins(student, rng):
    """The prompt is the beginning of the trained conversation, and ends just before the first
    trained token of the last answer."""
    messages = conversation(rng, ("s", 1), ("u", 2), ("a", 2), ("u", 3), ("a", 4))
    tokens, _ = rendered(messages, TEMPLATE)
    found = student.render_prompt(messages[:-1], TEMPLATE)
    assert_equal([int(x) for x in found], tokens[: len(tokens) - 5], what="the prompt")
    whole = student.encode_conversation(messages, TEMPLATE)
    answer = messages[-1].content + [TEMPLATE.end]
    ahead = [int(x) for x in whole.labels][len(found) :]
    assert_equal(ahead, answer, what="the labels after the prompt")


def some_examples(rng, lengths=((2, 3), (4, 1), (1, 5)), vocabulary=13):
    """Examples with these numbers of context and of trained tokens; no token is EOS or PAD."""
    examples = []
    for before, after in lengths:
        tokens = rng.integers(0, vocabulary, size=before + after).tolist()
        examples.append(Example(tokens, [IGNORE] * before + tokens[before:]))
    return examples


def collated(examples, side="right", pad=PAD):
    """A batch built here."""
    width = max(len(example.tokens) for example in examples)
    rows = []
    for tokens, labels in examples:
        fill = width - len(tokens)
        columns = (tokens, [pad] * fill), (labels, [IGNORE] * fill), ([True] * len(tokens), [False] * fill)  # fmt: skip
        rows.append([a + b if side == "right" else b + a for a, b in columns])
    return Batch(*(torch.tensor(list(column)) for column in zip(*rows, strict=True)))


def assert_batch(found, expected):
    for name in ("tokens", "labels", "attention"):
        assert_equal(getattr(found, name), getattr(expected, name), what=name)


@points(
    1,
    part="labels",
    catches=("padding-trained", "padded-on-the-other-side", "always-padded-on-the-right"),
    hint="A row of the batch is the example and padding, on the side that is asked for.",
)
def test_rows_are_padded_to_the_longest(student, rng):
    """Rows are filled up on the side that is asked for; padding is neither trained nor attended
    to."""
    examples = some_examples(rng)
    for side in ("right", "left"):
        assert_batch(student.collate(examples, PAD, side), collated(examples, side))
    assert_batch(student.collate(examples, PAD), collated(examples))
    with assert_raises(ValueError):
        student.collate(examples, PAD, "middle")


@points(
    2,
    part="labels",
    catches=("pad-is-the-end", "attention-from-ids"),
    hint="In many tokenisers padding is the end token. Lengths tell which is which, ids do not.",
)
def test_padding_may_be_the_end_token(student, rng):
    """Where padding has the id of the end token, the end tokens of answers are trained and seen all
    the same."""
    examples = []
    for before, after in ((2, 3), (1, 1), (3, 4)):
        tokens = rng.integers(0, 13, size=before + after).tolist()
        tokens[before - 1], tokens[-1] = EOS, EOS
        examples.append(Example(tokens, [IGNORE] * before + tokens[before:]))
    for side in ("right", "left"):
        assert_batch(student.collate(examples, EOS, side), collated(examples, side, EOS))


# -- Part 2: the shifted cross-entropy -------------------------------------------------------------

V = 7


def some_labels(rng, marks=("x..xx.", "....x.", ".xxxxx", "..x..x")):
    """Labels in 0 .. V - 1, IGNORE at each dot."""
    rows = [[int(rng.integers(V)) if mark == "x" else IGNORE for mark in row] for row in marks]
    return torch.tensor(rows)


def trained_places(labels):
    """(row, place, label) of each trained token."""
    return [
        (row, place, label)
        for row, line in enumerate(labels.tolist())
        for place, label in enumerate(line)
        if place > 0 and label != IGNORE
    ]


def slow_sum(logits, labels):
    """The sum of minus log-probabilities over trained tokens."""
    logp = logits.log_softmax(dim=-1)
    return -sum(logp[row, place - 1, label] for row, place, label in trained_places(labels))


@points(
    3,
    part="loss",
    catches=(
        "not-shifted",
        "shifted-twice",
        "shifted-the-wrong-way",
        "mean-of-row-means",
        "divides-by-all-places",
        "counts-all-places",
    ),
    hint="Token by token: the logits one place earlier, the label here. Add up, then divide by the "
    "number of trained tokens of the whole batch.",
)
def test_the_loss_is_the_mean_over_trained_tokens(student, rng):
    """The loss is the mean of -log p over all trained tokens, each by the logits of the place
    before."""
    labels = some_labels(rng)
    logits = normal(rng, *labels.shape, V, scale=2.0)
    expected = slow_sum(logits, labels) / len(trained_places(labels))
    assert_close(student.sft_loss(logits, labels), expected, what="the loss", **TIGHT)


@points(
    2,
    part="loss",
    catches=("not-shifted", "shifted-twice", "mean-of-row-means"),
    hint="The gradient of one token: softmax minus one-hot, at the place before it.",
)
def test_the_gradient_is_softmax_minus_one_hot(student, rng):
    """Each trained token pulls at the logits of the place before it, by softmax minus one-hot over
    the number of tokens; all other logits get 0."""
    labels = some_labels(rng)
    logits = normal(rng, *labels.shape, V, scale=2.0).requires_grad_()
    (found,) = torch.autograd.grad(student.sft_loss(logits, labels), logits)
    expected, places = torch.zeros_like(logits), trained_places(labels)
    for row, place, label in places:
        pull = logits.detach()[row, place - 1].softmax(dim=-1)
        pull[label] -= 1
        expected[row, place - 1] = pull / len(places)
    assert_close(found, expected.detach(), what="the gradient", **TIGHT)


@points(
    2,
    part="loss",
    catches=("multiplies-by-the-mask", "not-shifted", "shifted-twice", "shifted-the-wrong-way"),
    hint="Choose what counts before you compute with it: 0 times nan is nan.",
)
def test_what_is_not_trained_does_not_matter(student, rng):
    """Logits that speak about no trained token may be anything, nan and infinities included."""
    labels = some_labels(rng)
    logits = normal(rng, *labels.shape, V, scale=2.0)
    expected = slow_sum(logits, labels) / len(trained_places(labels))
    assert_close(student.sft_loss(logits, labels), expected, what="the loss at first", **TIGHT)
    strange = torch.full_like(logits, torch.nan)
    strange[0, 1], strange[1, 2] = torch.inf, normal(rng, V, scale=9.0)
    for row, place, _ in trained_places(labels):
        strange[row, place - 1] = logits[row, place - 1]
    assert_close(student.sft_loss(strange, labels), expected, what="the loss", **TIGHT)


@points(
    1,
    part="loss",
    catches=("ignores-num-items", "mean-of-row-means", "divides-by-all-places"),
    hint="With num_items handed in, a loss is a share of a larger one: shares add up.",
)
def test_shares_of_a_batch_add_up(student, rng):
    """The loss of a row is the sum over its trained tokens, divided by the number handed in; a row
    that trains nothing gives 0, with a gradient of 0."""
    labels = some_labels(rng, ("..xx.x", "......", ".x....", "x....."))
    logits = normal(rng, *labels.shape, V, scale=2.0)
    total = int(rng.integers(6, 12))
    for row in range(4):
        leaf = logits[row : row + 1].clone().requires_grad_()
        loss = student.sft_loss(leaf, labels[row : row + 1], total)
        wanted = slow_sum(leaf, labels[row : row + 1]) / total
        assert_close(
            loss.detach(), torch.as_tensor(wanted).double().detach(), what="a share", **TIGHT
        )
        (found,) = torch.autograd.grad(loss, leaf)
        pull = torch.zeros_like(leaf)
        if isinstance(wanted, torch.Tensor) and wanted.requires_grad:
            (pull,) = torch.autograd.grad(wanted, leaf)
        assert_close(found, pull, what="the gradient of a share", **TIGHT)


@points(
    1,
    part="loss",
    catches="log-of-softmax",
    hint="softmax rounds a small probability to 0, and its logarithm is -inf: log_softmax.",
)
def test_extreme_logits_stay_finite(student, rng):
    """Logits of plus and minus ten thousand give a finite loss and the right gradient."""
    logits = torch.zeros(1, 3, V).double()
    logits[0, 0, 2], logits[0, 1, 4] = 10_000.0, -10_000.0
    labels = torch.tensor([[IGNORE, 5, 4]])
    leaf = logits.requires_grad_()
    loss = student.sft_loss(leaf, labels)
    expected = (10_000.0 + 10_000.0 + math.log(V - 1)) / 2
    assert_close(loss.detach(), scalar(expected), what="the loss", **TIGHT)
    (found,) = torch.autograd.grad(loss, leaf)
    pull = torch.zeros_like(logits).detach()
    pull[0, 0, 2], pull[0, 0, 5] = 0.5, -0.5
    pull[0, 1] = 0.5 / (V - 1)
    pull[0, 1, 4] = -0.5
    assert_close(found, pull, what="the gradient", **TIGHT)


@points(
    1,
    part="loss",
    catches="empty-batches-pass",
    hint="The mean over nothing is nan, and a loss of 0 is a lie. Say no.",
)
def test_a_batch_that_trains_nothing_is_refused(student, rng):
    """A loss over no trained token, or divided by less than 1, is refused."""
    labels = some_labels(rng, (".x", ".."))
    logits = normal(rng, 2, 2, V)
    found = student.sft_loss(logits, labels)
    assert_close(found, slow_sum(logits, labels), what="the loss of one token", **TIGHT)
    with assert_raises(ValueError):
        student.sft_loss(logits, labels, 0)
    for marks in (("..", ".."), ("x.", "..")):
        with assert_raises(ValueError):
            student.sft_loss(logits, some_labels(rng, marks))


@points(
    1,
    part="loss",
    catches=("counts-the-first-place", "counts-all-places"),
    hint="Count what the loss adds up: not the first place of a row, which nothing predicts.",
)
def test_tokens_are_counted_as_the_loss_adds_them(student, rng):
    """The number of trained tokens leaves out what is ignored and the first place of each row."""
    for marks in (("x..xx.", "....x.", ".xxxxx"), ("x.", "xx", ".x", ".."), ("xxx",)):
        labels = some_labels(rng, marks)
        count = len(trained_places(labels))
        assert_equal(student.count_labels(labels), count, what="the number of trained tokens")


# -- a language model ------------------------------------------------------------------------------

WIDTH, HEADS, PLACES = 8, 2, 24


def weights(rng, width=WIDTH, scale=0.5):
    """Weights of a GPT-2 with one layer."""
    shapes = {
        "wte.weight": (15, width), "wpe.weight": (PLACES, width), "h.0.ln_1.weight": (width,), "h.0.ln_1.bias": (width,),
        "h.0.attn.c_attn.weight": (width, 3 * width), "h.0.attn.c_attn.bias": (3 * width,),
        "h.0.attn.c_proj.weight": (width, width), "h.0.attn.c_proj.bias": (width,), "h.0.ln_2.weight": (width,), "h.0.ln_2.bias": (width,),
        "h.0.mlp.c_fc.weight": (width, 4 * width), "h.0.mlp.c_fc.bias": (4 * width,),
        "h.0.mlp.c_proj.weight": (4 * width, width), "h.0.mlp.c_proj.bias": (width,), "ln_f.weight": (width,), "ln_f.bias": (width,),
    }  # fmt: skip
    state = {f"transformer.{name}": normal(rng, *s, scale=scale) for name, s in shapes.items()}
    return state | {"lm_head.weight": state["transformer.wte.weight"]}


def network(lab, state, dropout=0.0):
    """A GPT-2 of transformers on the student's side with these weights."""
    config = lab.make(
        "transformers.GPT2Config", vocab_size=15, n_positions=PLACES, n_embd=state["transformer.wte.weight"].shape[1],
        n_layer=1, n_head=HEADS, resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
        bos_token_id=EOS, eos_token_id=EOS, pad_token_id=PAD, attn_implementation="eager",
    )  # fmt: skip
    model = lab.make("transformers.GPT2LMHeadModel", config)
    if state["transformer.wte.weight"].dtype == torch.float64:
        model.double()
    model.load_state_dict(state)
    return model.eval()


def forward(state, ids):
    """GPT-2 (Radford et al. 2019) with one layer over rows of equal length, (B, n) int64 -> logits
    (B, n, V): a separate forward pass."""
    get = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    rows, n = ids.shape
    x = get["wte.weight"][ids] + get["wpe.weight"][:n]

    def norm(x, name):
        x = x - x.mean(dim=-1, keepdim=True)
        deviation = (x.pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return x / deviation * get[f"{name}.weight"] + get[f"{name}.bias"]

    def linear(x, name):
        return x @ get[f"{name}.weight"] + get[f"{name}.bias"]

    q, k, v = (
        y.reshape(rows, n, HEADS, -1).transpose(1, 2)
        for y in linear(norm(x, "h.0.ln_1"), "h.0.attn.c_attn").chunk(3, dim=-1)
    )
    future = torch.ones(n, n).triu(1).bool()
    scores = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).masked_fill(future, -torch.inf)
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(rows, n, -1)
    x = x + linear(mixed, "h.0.attn.c_proj")
    hidden = linear(norm(x, "h.0.ln_2"), "h.0.mlp.c_fc")
    bent = torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3))
    x = x + linear(0.5 * hidden * (1 + bent), "h.0.mlp.c_proj")
    return norm(x, "ln_f") @ get["wte.weight"].T


def alone(state, tokens):
    """Logits of one conversation alone, (n, V)."""
    return forward(state, torch.tensor([list(tokens)]))[0]


def slow_loss(state, examples):
    """The loss of examples taken together, each through the model alone."""
    total, count = 0.0, 0
    for tokens, labels in examples:
        logp = alone(state, tokens).log_softmax(dim=-1)
        for place in range(1, len(tokens)):
            if labels[place] != IGNORE:
                total, count = total - logp[place - 1, labels[place]], count + 1
    return total / count


def slow_gradient(state, examples):
    """The gradient of that loss by name, and the loss. The head shares the embedding's weights."""
    leaves = {
        name: tensor.clone().requires_grad_(True)
        for name, tensor in state.items()
        if name != "lm_head.weight"
    }
    loss = slow_loss(leaves, examples)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True)), loss


def assert_gradient(model, wanted, what="the gradient"):
    """All gradients, compared as one vector."""
    found = dict(model.named_parameters())
    names = sorted(wanted)
    got = torch.cat([found[name].grad.flatten() for name in names])
    expected = torch.cat([wanted[name].flatten() for name in names])
    size = float(expected.abs().max())
    assert_close(got / size, expected / size, what=what, rtol=1e-4, atol=1e-4)


# -- Part 3: accumulation --------------------------------------------------------------------------


@points(
    2,
    part="accumulation",
    catches=("positions-count-padding", "attends-to-padding"),
    hint="Push one row through the model alone, and then in a padded batch: the same logits at its "
    "tokens, on whichever side the padding is, whatever stands in it.",
)
def test_padding_changes_nothing(student, lab, rng):
    """A row has the logits that it has alone, with padding on either side and any token in it."""
    state, examples = weights(rng), some_examples(rng)
    model = network(lab, state)
    for side in ("right", "left"):
        for pad in (PAD, int(rng.integers(0, 13))):
            batch = collated(examples, side, pad)
            logits = student.padded_logits(model, batch)
            for row, example in enumerate(examples):
                found = logits[row, batch.attention[row]].detach()
                assert_close(found, alone(state, example.tokens), what="logits of a row", **SINGLE)


@points(
    3,
    part="accumulation",
    catches=(
        "mean-of-means",
        "sum-of-means",
        "divided-twice",
        "forgets-earlier-micro-batches",
        "counts-padding-when-accumulating",
        "counts-all-places",
        "ignores-num-items",
        "reports-the-last-micro-batch",
    ),
    hint="Each token of the large batch has the same weight, in whichever micro-batch it is: count "
    "the tokens of all of them before the first backward pass.",
)
def test_micro_batches_add_up_to_one_batch(student, lab, rng):
    """Micro-batches of different sizes leave the gradient and the loss of one batch, also if one of
    them trains nothing."""
    state = weights(rng)
    examples = some_examples(rng, ((2, 1), (3, 5), (1, 2), (2, 4), (4, 0), (1, 6)))
    wanted, loss = slow_gradient(state, examples)
    for cuts in ((1, 3, 2), (6,), (4, 1, 1)):
        model, rows = network(lab, state), iter(examples)
        batches = [collated(list(itertools.islice(rows, count))) for count in cuts]
        found = student.accumulate_(model, batches)
        assert_close(found, float(loss.detach()), what="the loss", **SINGLE)
        assert_gradient(model, wanted)


@points(
    2,
    part="accumulation",
    catches=("counts-the-first-place", "clears-old-gradients", "forgets-earlier-micro-batches"),
    hint="A backward pass adds to what is there. And a label at the first place of a row is not "
    "counted.",
)
def test_gradients_are_added_to_those_that_stand_there(student, lab, rng):
    """Twice the same gives twice the gradient; labels at the first place of a row change nothing;
    micro-batches that train nothing at all are refused."""
    state, examples = weights(rng), some_examples(rng, ((2, 2), (1, 4), (0, 3), (0, 2)))
    wanted, loss = slow_gradient(state, examples)
    model = network(lab, state)
    batches = [collated(examples[:3]), collated(examples[3:])]
    for _ in range(2):
        found = student.accumulate_(model, batches)
        assert_close(found, float(loss.detach()), what="the loss", **SINGLE)
    assert_gradient(model, {name: 2 * gradient for name, gradient in wanted.items()})
    for nothing in ([collated(some_examples(rng, ((3, 0), (2, 0))))], []):
        with assert_raises(ValueError):
            student.accumulate_(model, nothing)


# -- Part 4: packing -------------------------------------------------------------------------------


def slow_rows(lengths, capacity):
    """First fit, longest first."""
    rows = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for row in rows:
            if sum(lengths[i] for i in row) + lengths[index] <= capacity:
                row.append(index)
                break
        else:
            rows.append([index])
    return rows


@points(
    2,
    part="packing",
    catches=(
        "short-ones-first",
        "first-come-first-served",
        "ties-turned-round",
        "next-fit",
        "best-fit",
        "full-rows-refused",
    ),
    hint="Sort by length, longest first and ties by index; look for room from the first row on; open "
    "a new row only if there is none.",
)
def test_long_ones_first_each_into_the_first_room(student, rng):
    """Examples go by length into the first row that has room, to the last token of it."""
    cases = [([6, 3, 7, 4, 3, 2, 4], 10), ([8, 2, 13, 10], 20), ([4], 4)]
    for count in (8, 15, 30):
        cases.append((rng.integers(1, 12, size=count).tolist(), int(rng.integers(12, 25))))
    for lengths, capacity in cases:
        rows = student.first_fit_decreasing(lengths, capacity)
        found = [[int(i) for i in row] for row in rows]
        assert_equal(found, slow_rows(lengths, capacity), what="the rows")
    with assert_raises(ValueError):
        student.first_fit_decreasing([3, 11], 10)


def own_pack(examples):
    """Conversations one after the other."""
    tokens = [token for example in examples for token in example.tokens]
    labels = [x for _, line in examples for x in [IGNORE, *line[1:]]]
    positions = [place for example in examples for place in range(len(example.tokens))]
    ends = itertools.accumulate((len(example.tokens) for example in examples), initial=0)
    return Packed(
        torch.tensor([tokens]), torch.tensor([labels]), torch.tensor([positions]), torch.tensor(list(ends))
    )  # fmt: skip


@points(
    2,
    part="packing",
    catches=(
        "first-label-crosses-over",
        "last-label-lost",
        "positions-run-on",
        "lengths-for-boundaries",
        "boundaries-without-zero",
    ),
    hint="Two conversations of 3 and 2 tokens: positions 0 1 2 0 1, cu_seqlens 0 3 5. Who predicts "
    "the first token of the second?",
)
def test_conversations_stand_one_after_the_other(student, rng):
    """Tokens and labels are joined, positions begin anew, cu_seqlens holds the boundaries, and the
    first token of each conversation is not trained."""
    examples = some_examples(rng, ((2, 3), (0, 4), (1, 1), (3, 2)))
    expected = own_pack(examples)
    found = student.pack(examples)
    for name in ("tokens", "labels", "positions"):
        assert_equal(getattr(found, name), getattr(expected, name), what=name)
    assert_equal(found.cu_seqlens.tolist(), expected.cu_seqlens.tolist(), what="cu_seqlens")


@points(
    2,
    part="packing",
    catches=(
        "neighbours-are-seen",
        "looks-ahead",
        "blind-to-itself",
        "mask-transposed",
        "boundary-belongs-to-the-left",
    ),
    hint="Draw it for 3 and 2 tokens: two triangles on the diagonal.",
)
def test_the_mask_is_triangles_on_the_diagonal(student, rng):
    """A place may look at the places of its own conversation up to itself, and at no others."""
    lengths = [3, 1, *rng.integers(2, 5, size=2).tolist()]
    ends = list(itertools.accumulate(lengths, initial=0))
    expected = torch.zeros(ends[-1], ends[-1]).bool()
    for start, end in itertools.pairwise(ends):
        for i in range(start, end):
            expected[i, start : i + 1] = True
    found = student.block_mask(torch.tensor(ends))
    assert_equal(found, expected, what="the mask")


@points(
    3,
    part="packing",
    catches=("neighbours-are-seen", "bool-mask-added"),
    hint="The second conversation of a row must not notice the first: neither by attention nor by "
    "its positions.",
)
def test_a_packed_conversation_is_as_it_is_alone(student, lab, rng):
    """Each conversation in a packed row has the logits that it has alone."""
    state, examples = weights(rng), some_examples(rng, ((2, 3), (1, 4), (3, 2)))
    student.block_mask(torch.tensor([0, 2, 3]))  # tells whose mistake wrong logits are
    student.pack(examples)
    logits = student.packed_logits(network(lab, state), own_pack(examples))
    expected = torch.cat([alone(state, example.tokens) for example in examples])
    assert_close(logits.detach(), expected[None], what="the logits", **SINGLE)


@points(
    2,
    part="packing",
    catches=("neighbours-are-seen", "bool-mask-added"),
    hint="Change one token of the first conversation: what changes in the second?",
)
def test_a_neighbour_changes_nothing(student, lab, rng):
    """Other tokens in one conversation of a row leave the logits of the others as they were."""
    state, examples = weights(rng), some_examples(rng, ((2, 3), (1, 4), (3, 2)))
    model = network(lab, state)
    student.block_mask(torch.tensor([0, 2, 3]))
    plain = student.packed_logits(model, own_pack(examples)).detach()
    other = [(token + 5) % 13 for token in examples[0].tokens]
    changed = own_pack([Example(other, examples[0].labels), *examples[1:]])
    found = student.packed_logits(model, changed).detach()
    assert_close(found[:, 5:], plain[:, 5:], rtol=0.0, atol=1e-9, what="logits of the others")
    assert_close(found[0, :5], alone(state, other), what="its own logits", **SINGLE)
    assert_close(
        found[0, 5:10], alone(state, examples[1].tokens), what="logits of the next", **SINGLE
    )


@points(
    2,
    part="packing",
    catches=(
        "first-label-crosses-over",
        "last-label-lost",
        "positions-run-on",
        "neighbours-are-seen",
    ),
    hint="A packed row and a padded batch are two ways to write the same examples down: one loss, "
    "one gradient.",
)
def test_packed_and_padded_train_alike(student, lab, rng):
    """The loss of a packed row and its gradient are those of the examples one by one."""
    state, examples = weights(rng), some_examples(rng, ((2, 3), (0, 4), (3, 2)))
    wanted, loss = slow_gradient(state, examples)
    model, packed = network(lab, state), student.pack(examples)
    student.block_mask(torch.tensor([0, 2, 3]))
    logits = student.packed_logits(model, Packed(*(getattr(packed, x) for x in Packed._fields)))
    found = student.sft_loss(logits, packed.labels)
    assert_close(found.detach(), loss.detach(), what="the loss", **SINGLE)
    found.backward()
    assert_gradient(model, wanted)


# -- Part 5: LoRA ----------------------------------------------------------------------------------

KINDS = ("torch.nn.Linear", "transformers.pytorch_utils.Conv1D")


def layer(lab, rng, kind, inputs=5, outputs=4):
    """A layer with weights from here; its (out, in) weight and its bias."""
    sizes = (inputs, outputs) if kind == KINDS[0] else (outputs, inputs)
    base = lab.make(kind, *sizes)
    base.double()
    weight, bias = normal(rng, outputs, inputs), normal(rng, outputs)
    base.load_state_dict(
        {"weight": weight if kind == KINDS[0] else weight.T.contiguous(), "bias": bias}
    )
    return base, weight, bias


def source(seed=3):
    return torch.Generator().manual_seed(seed)


def give_(adapted, rng):
    """New numbers for A and B; both are returned."""
    state = adapted.state_dict()
    a, b = normal(rng, *state["A"].shape), normal(rng, *state["B"].shape)
    adapted.load_state_dict(dict(state) | {"A": a, "B": b})
    return a, b


@points(
    2,
    part="lora",
    catches=("b-not-zero", "update-instead-of-base", "scales-the-base-too", "base-still-learns"),
    hint="B begins with zeros: before the first step nothing may have changed, not even the last "
    "bit. And the base is frozen, weight and bias.",
)
def test_an_adapter_begins_as_nothing(student, lab, rng):
    """A new adapter gives the numbers of its base, to the last bit, for both kinds of layers, and
    nothing but A and B is left to learn."""
    x = normal(rng, 3, 5)
    for kind in KINDS:
        base, weight, bias = layer(lab, rng, kind)
        before = base(x).detach()
        assert_close(before, x @ weight.T + bias, what="the base", **TIGHT)
        adapted = student.LoRA(base, 2, 3.0, source())
        found = adapted(x).detach()
        assert_close(found, before, rtol=0.0, atol=0.0, what="the adapted layer")
        learning = sorted(name for name, p in adapted.named_parameters() if p.requires_grad)
        assert_equal(learning, ["A", "B"], what="what learns")


@points(
    3,
    part="lora",
    catches=("alpha-for-scale", "rank-stabilised", "update-without-scale", "scales-the-base-too"),
    hint="y = base(x) + (alpha / r) B A x, with A (r, in) and B (out, r).",
)
def test_the_update_is_scaled_by_alpha_over_r(student, lab, rng):
    """The adapted layer adds alpha / r times B A x to its base."""
    x = normal(rng, 2, 3, 5)
    for kind, rank in itertools.product(KINDS, (2, 3)):
        base, weight, bias = layer(lab, rng, kind)
        alpha = apart(rng, 4.0, 9.0)
        adapted = student.LoRA(base, rank, alpha, source())
        a, b = give_(adapted, rng)
        expected = x @ weight.T + bias + alpha / rank * (x @ a.T @ b.T)
        assert_close(adapted(x).detach(), expected, what="the adapted layer", **SINGLE)
        assert_close(adapted.scale, alpha / rank, what="the scale", **TIGHT)


@points(
    2,
    part="lora",
    catches=(
        "unit-deviation",
        "deviation-for-variance",
        "deviation-of-the-rank",
        "uniform-a",
        "both-zero",
        "ignores-the-generator",
    ),
    hint="torch.randn with the generator, divided by the square root of the number of inputs.",
)
def test_a_is_normal_and_b_zero(student, lab, rng):
    """A has mean 0, variance 1 / in and a normal's tails, and comes from the generator; B is
    zero."""
    base, _, _ = layer(lab, rng, KINDS[0], 240, 80)
    seed, draws = int(rng.integers(1, 10_000)), []
    for count, number in enumerate((seed, seed, seed + 1)):
        lab.seed(count + 1)
        before = lab.global_rng_state()
        state = student.LoRA(base, 60, 2.0, source(number)).state_dict()
        assert_equal(lab.global_rng_state(), before, what="the state of the global generators")
        assert_equal(tuple(state["A"].shape), (60, 240), what="the shape of A")
        assert_close(state["B"], torch.zeros(80, 60).double(), what="B", **TIGHT)
        draws.append(state["A"].double())
    assert_close(draws[1], draws[0], rtol=0.0, atol=0.0, what="A of the same generator")
    assert_true(float((draws[2] - draws[0]).abs().max()) > 0.01, "another generator, another A")
    z = draws[0].flatten() * math.sqrt(240)
    # 14,400 numbers: the deviation varies by 0.6 %, the mean by 0.8 %, the fourth moment by 0.08.
    assert_close(float(z.std()), 1.0, rtol=0.05, what="the deviation of A, times the root of in")
    assert_close(float(z.mean()), 0.0, rtol=0.0, atol=0.06, what="the mean of A")
    assert_close(float(z.pow(4).mean()), 3.0, rtol=0.0, atol=0.6, what="the fourth moment of A")


@points(
    2,
    part="lora",
    catches=("merged-without-scale", "merged-transposed", "alpha-for-scale"),
    hint="scale * B A is (out, in). How does a Conv1D store its weight? A square layer hides it.",
)
def test_delta_lies_as_the_weight_does(student, lab, rng):
    """delta is scale * B A in the layout of the base's weight, square layers included, of rank r at
    most, without a gradient."""
    for kind, outputs in itertools.product(KINDS, (4, 5)):
        base, _, _ = layer(lab, rng, kind, 5, outputs)
        alpha = apart(rng, 4.0, 9.0)
        adapted = student.LoRA(base, 2, alpha, source())
        a, b = give_(adapted, rng)
        expected = alpha / 2 * b @ a
        found = adapted.delta()
        assert_close(found, expected if kind == KINDS[0] else expected.T, what="delta", **SINGLE)
        assert_no_grad(found, what="delta")


NAMES = ("c_attn", "c_proj")
LAYERS = [
    "transformer.h.0.attn.c_attn",
    "transformer.h.0.attn.c_proj",
    "transformer.h.0.mlp.c_proj",
]


def adapted_network(student, lab, state, rng=None, rank=3, alpha=5.0):
    """A network with adapters, with numbers in them if rng is given; and its merged weights."""
    model = network(lab, state)
    student.add_lora_(model, list(NAMES), rank, alpha, source())
    merged = dict(state)
    if rng is not None:
        new = dict(model.state_dict())
        for name in LAYERS:
            for part in "AB":
                new[f"{name}.{part}"] = normal(rng, *new[f"{name}.{part}"].shape, scale=0.4)
            update = alpha / rank * new[f"{name}.B"] @ new[f"{name}.A"]
            merged[f"{name}.weight"] = state[f"{name}.weight"] + update.T
        model.load_state_dict(new)
    return model, merged


def logits_of(lab, model, ids):
    return lab.value(lab.kept(model)(input_ids=ids).logits.detach())


@points(
    3,
    part="lora",
    catches=("rest-still-learns", "both-zero", "same-draws-everywhere"),
    hint="Freeze the whole model first, then wrap the layers. Look at requires_grad of each "
    "parameter.",
)
def test_only_a_and_b_learn(student, lab, rng):
    """All layers with these names are wrapped, each with its own A; only A and B have gradients,
    and those of B are not zero from the first step on."""
    state = weights(rng)
    model = network(lab, state)
    found = student.add_lora_(model, list(NAMES), 2, 5.0, source())
    assert_equal(list(found), LAYERS, what="the names of the layers")
    ids = torch.tensor(rng.integers(0, 13, size=(2, 6)))
    lab.kept(model)(input_ids=ids).logits.square().sum().backward()
    parameters = dict(model.named_parameters())
    learning = sorted(name for name, p in parameters.items() if p.requires_grad)
    wanted = sorted(f"{name}.{part}" for name in LAYERS for part in "AB")
    assert_equal(learning, wanted, what="what learns")
    touched = sorted(name for name, p in parameters.items() if p.grad is not None)
    assert_equal(touched, wanted, what="what has a gradient")
    for name in LAYERS:
        pull = float(parameters[f"{name}.B"].grad.abs().max())
        assert_true(pull > 1e-9, "B of each layer is pulled at")
    first, second = (parameters[f"{name}.A"].detach() for name in LAYERS[:2])
    assert_true(float((first - second).abs().max()) > 0.01, "each layer has an A of its own")


@points(
    1,
    part="lora",
    catches="unknown-names-pass",
    hint="A name from another architecture means no layer here, and training would do nothing.",
)
def test_names_that_mean_nothing_are_refused(student, lab, rng):
    """A name that no layer has is refused, also beside one that means something."""
    state = weights(rng)
    model, _ = adapted_network(student, lab, state)
    ids = torch.tensor(rng.integers(0, 13, size=(1, 5)))
    assert_close(logits_of(lab, model, ids), forward(state, ids), what="the logits", **SINGLE)
    for names in (["q_proj"], ["c_attn", "q_proj"], []):
        with assert_raises(ValueError):
            student.add_lora_(network(lab, state), names, 2, 5.0, source())


@points(
    2,
    part="lora",
    catches=("cannot-be-switched-off", "switch-only-off"),
    hint="Off, the model is its own reference; on, it is what it has learnt.",
)
def test_switched_off_the_model_is_its_reference(student, lab, rng):
    """With its adapters off the model answers as the base does, and with them on as adapted."""
    state = weights(rng)
    model, merged = adapted_network(student, lab, state, rng)
    ids = torch.tensor(rng.integers(0, 13, size=(2, 6)))
    for on in (True, False, True):
        student.switch_lora_(model, on)
        expected = forward(merged if on else state, ids)
        assert_close(logits_of(lab, model, ids), expected, what="the logits", **SINGLE)


@points(
    2,
    part="lora",
    catches=("merged-away", "merged-twice", "merged-without-scale", "merged-transposed"),
    hint="weight + delta, once, and the plain layer back in its place.",
)
def test_merged_is_as_unmerged(student, lab, rng):
    """After merging the model has its old layers, each changed by a matrix of rank r, and answers
    as it did with its adapters on."""
    state = weights(rng)
    ids = torch.tensor(rng.integers(0, 13, size=(2, 6)))
    for on in (True, False):
        model, merged = adapted_network(student, lab, state, rng)
        student.switch_lora_(model, on)
        student.merge_lora_(model)
        assert_close(logits_of(lab, model, ids), forward(merged, ids), what="the logits", **SINGLE)
        found = model.state_dict()
        assert_equal(sorted(found), sorted(state), what="names of weights")
        for name in LAYERS:
            update = (found[f"{name}.weight"] - state[f"{name}.weight"]).double()
            rank = int(torch.linalg.matrix_rank(update, atol=1e-4))
            assert_equal(rank, 3, what="the rank of the change")


# -- Part 6: training and evaluation ---------------------------------------------------------------


def slow_accuracy(state, examples, shift=1):
    """Share of trained tokens with the largest logit, and their number."""
    right = []
    for tokens, labels in examples:
        guesses = alone(state, tokens).argmax(dim=-1).tolist()
        right += [
            guesses[place - shift] == labels[place]
            for place in range(1, len(tokens))
            if labels[place] != IGNORE
        ]
    return sum(right) / len(right), len(right)


def teachable(rng, state, lengths):
    """Examples of which the model gets some tokens right, and others if the shift is forgotten."""
    while True:
        examples = half_likely(rng, state, lengths)
        share, unshifted = (slow_accuracy(state, examples, shift)[0] for shift in (1, 0))
        if abs(share - unshifted) > 0.01 and 0 < share < 1:
            return examples


def half_likely(rng, state, lengths):
    """Examples whose tokens are the model's likeliest in about half of the cases."""
    examples = []
    for before, after in lengths:
        tokens = rng.integers(0, 13, size=before).tolist()
        for _ in range(after):
            likely = int(alone(state, tokens)[-1, :13].argmax())
            tokens.append(likely if rng.uniform() < 0.5 else int(rng.integers(13)))
        examples.append(Example(tokens, [IGNORE] * before + tokens[before:]))
    return examples


@points(
    2,
    part="training",
    catches=(
        "mean-of-batch-means",
        "last-batch-dropped",
        "accuracy-not-shifted",
        "perplexity-for-loss",
    ),
    hint="Two sums and a count over all tokens of all batches, one division at the end.",
)
def test_an_evaluation_does_not_depend_on_batches(student, lab, rng):
    """Loss, accuracy and count are over all trained tokens, whatever the batch size."""
    state = weights(rng)
    examples = teachable(rng, state, ((1, 7), (3, 1), (2, 2), (1, 1), (2, 6)))
    expected, (share, count) = float(slow_loss(state, examples)), slow_accuracy(state, examples)
    model = network(lab, state)
    for batch_size in (2, 1, 3, 8):
        found = student.evaluate(model, examples, batch_size, PAD)
        assert_close(found.loss, expected, what="the loss", **SINGLE)
        assert_close(found.accuracy, share, what="the accuracy", **SINGLE)
        assert_equal(found.tokens, count, what="the number of tokens")
    with assert_raises(ValueError):
        student.evaluate(model, some_examples(rng, ((3, 0),)), 2, PAD)


@points(
    2,
    part="training",
    catches=("evaluates-in-training-mode", "mode-not-restored"),
    hint="model.eval() before, the old mode again afterwards.",
)
def test_an_evaluation_is_without_dropout(student, lab, rng):
    """An evaluation switches dropout off, and leaves the model in the mode in which it came."""
    state, examples = weights(rng), some_examples(rng)
    model = network(lab, state, dropout=0.4)
    expected = float(slow_loss(state, examples))
    for training in (True, False):
        model.train(training)
        lab.seed(5)  # dropout, where there is any, is the same for everybody
        found = student.evaluate(model, examples, 2, PAD)
        assert_close(found.loss, expected, what="the loss", **SINGLE)
        assert_equal(lab.value(model.training), training, what="training mode afterwards")


@points(
    1,
    part="training",
    catches=(
        "no-warm-up",
        "first-rate-is-zero",
        "cosine-over-all-steps",
        "linear-decay",
        "cosine-comes-back",
    ),
    hint="(step + 1) / warmup on the way up; half a cosine from the peak at step = warmup.",
)
def test_the_rate_rises_and_falls(student, rng):
    """The learning rate is a line up to the peak and half a cosine down, step by step."""
    peak = apart(rng, 0.2, 0.9)
    for steps, warmup in ((12, 4), (9, 0), (7, 1), (1, 0)):
        for step in range(steps):
            angle = math.pi * (step - warmup) / (steps - warmup)
            expected = peak * ((step + 1) / warmup if step < warmup else (1 + math.cos(angle)) / 2)
            found = student.learning_rate(step, steps, peak, warmup)
            assert_close(found, expected, what="the learning rate", **TIGHT)


def slow_step(state, examples, rate, limit):
    """The weights after one step of clipped gradient descent, and the loss."""
    gradient, loss = slow_gradient(state, examples)
    norm = float(torch.cat([g.flatten() for g in gradient.values()]).norm())
    factor = min(1.0, limit / (norm + 1e-6))
    new = {name: (state[name] - rate * factor * g).detach() for name, g in gradient.items()}
    return new | {"lm_head.weight": new["transformer.wte.weight"]}, float(loss.detach())


def largest_entry(state, examples):
    """Of the gradient: a norm below it is below that of some parameters, and of some entries."""
    gradient, _ = slow_gradient(state, examples)
    return max(float(g.abs().max()) for g in gradient.values())


def assert_same_weights(actual, expected, before):
    """All weights, compared as one vector of changes."""
    names = sorted(expected)
    assert_equal(sorted(actual), names, what="names of weights")
    changes = [
        torch.cat([(state[name] - before[name]).flatten() for name in names])
        for state in (actual, expected)
    ]
    size = float(changes[1].abs().max())
    assert_close(changes[0] / size, changes[1] / size, what="the change of the weights", rtol=1e-4, atol=1e-4)  # fmt: skip


@points(
    3,
    part="training",
    catches=("keeps-old-gradients", "mean-of-means", "sum-of-means", "ignores-num-items"),
    hint="Old gradients cleared, all micro-batches accumulated, one step: recompute it by hand.",
)
def test_an_update_is_one_step_down_the_loss(student, lab, rng):
    """Two updates move the weights down the gradient of the loss of all examples together, however
    many go through the model at a time."""
    state = weights(rng)
    examples = some_examples(rng, ((2, 1), (3, 5), (1, 2), (2, 4), (1, 1)))
    student.accumulate_(network(lab, state), [collated(examples)])  # tells whose mistake it is
    for micro_batch in (2, 1, 9):
        model, expected = network(lab, state), state
        optimizer = lab.make("torch.optim.SGD", lab.kept(model).parameters(), lr=0.02)
        for _ in range(2):
            expected, value = slow_step(expected, examples, 0.02, 1e9)
            loss = student.sft_update_(model, optimizer, examples, micro_batch, 1e9, PAD)
            assert_close(loss, value, what="the loss", **SINGLE)
        assert_same_weights(model.state_dict(), expected, state)


@points(
    2,
    part="training",
    catches=("gradient-not-clipped", "clips-each-entry", "clips-each-parameter"),
    hint="One norm for the gradient of all parameters together, clipped once, after the last "
    "micro-batch.",
)
def test_a_long_gradient_is_shortened(student, lab, rng):
    """A gradient longer than grad_norm is shortened to it as a whole, and a shorter one is left
    alone."""
    state, examples = weights(rng), some_examples(rng)
    for limit in (largest_entry(state, examples) / 2, 1e3):
        model = network(lab, state)
        optimizer = lab.make("torch.optim.SGD", lab.kept(model).parameters(), lr=0.02)
        student.sft_update_(model, optimizer, examples, 2, limit, PAD)
        expected, _ = slow_step(state, examples, 0.02, limit)
        assert_same_weights(model.state_dict(), expected, state)


def trained(student, lab, state, train, valid, seed=3, dropout=0.0, **changes):
    """A short run: the model handed in, and the result, whose model stays there."""
    cfg = {
        "steps": 5, "batch_size": 2, "micro_batch": 2, "lr": 5e-3, "warmup": 0, "grad_norm": 1e9,
        "eval_every": 2,
    } | changes  # fmt: skip
    model = network(lab, state, dropout)
    return model, student.train_sft(model, train, valid, student.SFTConfig(**cfg), seed)


def book(result, name, count):
    """One list of the history, as floats, of the right length."""
    found = [float(x) for x in result.history[name]]
    assert_equal(len(found), count, what=f"entries of {name}")
    return found


NINE = [(1 + i % 3, 1 + (2 * i) % 5) for i in range(9)]


@points(
    2,
    part="training",
    catches=("draws-with-replacement", "never-shuffles"),
    hint="A pass is a permutation: each example once, in a new order each time, cut into batches.",
)
def test_a_pass_sees_each_example_once(student, lab, rng):
    """With a learning rate of 0 the losses tell which examples a step saw: in each pass every one
    once, in an order that changes."""
    state, train = weights(rng), some_examples(rng, NINE)
    _, result = trained(student, lab, state, train, train[:1], steps=18, batch_size=1, lr=0.0)
    losses = book(result, "loss", 18)
    own = sorted(float(slow_loss(state, [example])) for example in train)
    for seen in (losses[:9], losses[9:]):
        assert_close(sorted(seen), own, what="the losses of a pass", **SINGLE)
    assert_true(losses[:9] != losses[9:], "the order changes from pass to pass")
    equal = [(2, 2)] * 5
    train = some_examples(rng, equal)
    _, result = trained(student, lab, state, train, train[:1], steps=4, batch_size=2, lr=0.0)
    losses = book(result, "loss", 4)
    own = [float(slow_loss(state, [example])) for example in train]
    for first in (0, 2):
        left_out = [sum(own) - 2 * sum(losses[first : first + 2]) - x for x in own]
        nearest = min(left_out, key=abs)
        assert_close(nearest, 0.0, what="what a pass of two batches of two leaves out", rtol=0.0, atol=1e-3)  # fmt: skip


def flat(state):
    """All weights as one vector."""
    return torch.cat([state[name].flatten() for name in sorted(state)])


@points(
    1,
    part="training",
    catches="uses-the-global-generator",
    hint="torch.Generator().manual_seed(seed) decides the order; global generators are not touched.",
)
def test_the_seed_decides_the_run(student, lab, rng):
    """The same seed gives the same run, another seed another, and global generators are left
    alone."""
    state, train = weights(rng), some_examples(rng, NINE)
    lab.seed(1)
    before, runs = lab.global_rng_state(), []
    model = network(lab, state)
    cfg = student.SFTConfig(steps=5, batch_size=2, micro_batch=2, warmup=0, eval_every=5)
    lab.seed(1)
    for seed in (5, 5, 6):
        result = student.train_sft(model, train, train, cfg, seed)
        runs.append(book(result, "loss", 5))
        if seed == 5:
            assert_equal(lab.global_rng_state(), before, what="the state of the global generators")
            lab.seed(len(runs) + 1)
            before = lab.global_rng_state()
    assert_close(runs[1], runs[0], rtol=0.0, atol=1e-7, what="the losses of a second run")
    gap = max(abs(a - b) for a, b in zip(runs[0], runs[2], strict=True))
    assert_true(gap > 1e-5, "another seed gives another run")


def slow_run(state, examples, steps, peak, warmup, limit):
    """Training on all examples at each step, by an Adam written here: losses, rates, and the weights after
    each step."""
    names = [name for name in state if name != "lm_head.weight"]
    mean = {name: torch.zeros_like(state[name]) for name in names}
    square, losses, rates, states = dict(mean), [], [], []
    for step in range(steps):
        gradient, loss = slow_gradient(state, examples)
        losses.append(float(loss.detach()))
        factor = min(1.0, limit / (float(torch.cat([g.flatten() for g in gradient.values()]).norm()) + 1e-6))  # fmt: skip
        angle = math.pi * (step - warmup) / (steps - warmup)
        rate = peak * ((step + 1) / warmup if step < warmup else (1 + math.cos(angle)) / 2)
        rates.append(rate)
        new = {}
        for name in names:
            g = factor * gradient[name]
            mean[name] = 0.9 * mean[name] + 0.1 * g
            square[name] = 0.999 * square[name] + 0.001 * g * g
            size = (square[name] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            new[name] = state[name] - rate * mean[name] / (1 - 0.9 ** (step + 1)) / size
        state = new | {"lm_head.weight": new["transformer.wte.weight"]}
        states.append(state)
    return losses, rates, states


@points(
    2,
    part="training",
    catches=("constant-rate", "gradient-not-clipped", "first-rate-is-zero"),
    hint="At each step: the rate of the schedule goes to the optimiser, then one clipped update.",
)
def test_training_follows_the_schedule(student, lab, rng):
    """With all examples in each batch, the losses are those of Adam with clipped gradients and the
    scheduled rates."""
    state, train = weights(rng), some_examples(rng)
    limit = largest_entry(state, train) / 2
    cfg = {"steps": 6, "batch_size": 3, "micro_batch": 2, "lr": 0.02, "warmup": 3, "grad_norm": limit}  # fmt: skip
    losses, rates, _ = slow_run(state, train, 6, 0.02, 3, limit)
    student.learning_rate(1, 6, 0.02, 3)  # tells whose mistake a wrong rate is
    _, result = trained(student, lab, state, train, train, **cfg)
    assert_close(book(result, "lr", 6), rates, what="the rates", **TIGHT)
    assert_close(book(result, "loss", 6), losses, what="the losses", rtol=1e-3, atol=1e-4)


@points(
    2,
    part="training",
    catches=("trains-its-argument", "trains-in-evaluation-mode", "returned-in-training-mode"),
    hint="A copy learns, in training mode; what comes back is in evaluation mode.",
)
def test_a_copy_learns_in_training_mode(student, lab, rng):
    """The model handed in is not changed, dropout is on while the copy learns, and the copy comes
    back in evaluation mode."""
    state, train = weights(rng), some_examples(rng)
    lab.seed(5)  # dropout is the same for everybody who asks as often
    model, result = trained(student, lab, state, train, train, dropout=0.4, steps=4, batch_size=3, lr=0.0)  # fmt: skip
    own = float(slow_loss(state, train))
    assert_close(book(result, "valid_loss", 2), [own, own], what="losses without dropout", **SINGLE)
    losses = book(result, "loss", 4)
    assert_true(max(losses) - min(losses) > 1e-4, "dropout tells the steps apart")
    assert_equal(lab.value(result.model.training), False, what="training mode afterwards")
    model, result = trained(student, lab, state, train, train, steps=4, batch_size=3)
    unchanged = flat(model.state_dict())
    assert_close(unchanged, flat(state), rtol=0.0, atol=0.0, what="the model handed in")
    moved = float((flat(result.model.state_dict()) - flat(state)).abs().max())
    assert_true(moved > 1e-3, "the returned model has learnt something")


def a_turning_point(rng):
    """A model, two examples, and two examples with the same questions and other answers. While one
    learns the former, their loss falls to the end, their accuracy has its maximum in between, and
    the loss of the latter rises."""
    while True:
        state, train = weights(rng), some_examples(rng, ((2, 3), (1, 4)))
        other = []
        for (tokens, labels), n in zip(train, (3, 4), strict=True):
            answer = [(token + 4) % 13 for token in tokens[-n:]]
            other.append(Example(tokens[:-n] + answer, labels[:-n] + answer))
        _, _, states = slow_run(state, train, 7, 0.05, 0, 1e9)
        falls, rises = ([float(slow_loss(new, x)) for new in states] for x in (train, other))
        right = [slow_accuracy(new, train)[0] for new in states]
        most_accurate = falls[right.index(max(right))]
        orderly = falls[-1] == min(falls) and falls[0] == max(falls)
        between = falls[-1] + 0.01 < most_accurate < falls[0] - 0.02
        if orderly and between and rises[-1] > min(rises) + 0.02:
            return state, train, other, falls, rises


@points(
    2,
    part="training",
    catches=(
        "keeps-the-last",
        "keeps-the-worst",
        "keeps-the-most-accurate",
        "evaluates-on-the-training-set",
    ),
    hint="state_dict() holds the weights themselves, not a copy: what you remembered goes on "
    "learning.",
)
def test_the_best_weights_come_back(student, lab, rng):
    """The returned weights have the lowest of the reported losses on held-out examples, whether
    that was early or late."""
    state, train, other, falls, rises = a_turning_point(rng)
    for held_out, losses in ((train, falls), (other, rises)):
        changes = {"steps": 7, "eval_every": 1, "lr": 0.05}
        _, result = trained(student, lab, state, train, held_out, **changes)
        found = book(result, "valid_loss", 7)
        assert_close(found, losses, what="the losses on held-out examples", rtol=1e-3, atol=1e-3)
        new = {name: tensor.double() for name, tensor in result.model.state_dict().items()}
        best = float(slow_loss(new, held_out))
        assert_close(best, min(found), what="the loss of the returned weights", **SINGLE)


@points(
    2,
    part="training",
    catches=(
        "last-weights-not-evaluated",
        "evaluates-a-step-late",
        "evaluates-on-the-training-set",
    ),
    hint="After n, 2n, 3n steps, and after the last: on the held-out examples.",
)
def test_evaluations_come_when_they_should(student, lab, rng):
    """Held-out examples are evaluated after every eval_every steps and after the last one."""
    state = weights(rng)
    train = some_examples(rng)
    valid = teachable(rng, state, ((2, 4), (1, 3)))
    expected, (share, _) = float(slow_loss(state, valid)), slow_accuracy(state, valid)
    for steps, wanted in ((7, [3, 6, 7]), (6, [3, 6]), (2, [2])):
        _, result = trained(student, lab, state, train, valid, steps=steps, eval_every=3, lr=0.0)
        count = len(wanted)
        assert_equal(
            book(result, "valid_step", count), [float(n) for n in wanted], what="the steps"
        )
        assert_close(
            book(result, "valid_loss", count), [expected] * count, what="the losses", **SINGLE
        )
        assert_close(book(result, "valid_accuracy", count), [share] * count, what="the accuracies", **SINGLE)  # fmt: skip


# -- Part 7: what imitation alone cannot do --------------------------------------------------------


def some_confusion(rng, K=3):
    """A teacher of K digits who is right more often than not, but not with all digits alike."""
    table = rng.dirichlet(np.ones(K), size=K) * 0.5
    table[np.arange(K), np.arange(K)] += 0.5
    return torch.tensor(table)


@points(
    2,
    part="imitation",
    catches=("columns-for-rows", "teacher-never-errs", "mistakes-are-uniform", "one-draw-for-all"),
    hint="The row of the right digit is the distribution of the written one: a draw for each digit.",
)
def test_the_teacher_errs_as_its_table_says(student, rng):
    """Written digits have the frequencies of the table, and two digits of an answer are drawn apart
    from each other."""
    table = torch.tensor([[0.55, 0.28, 0.17], [0.2, 0.56, 0.24], [0.33, 0.16, 0.51]]).double()
    # Turned, not shuffled: in some orders the table is nearly its own transpose.
    table = table[(np.arange(3) + int(rng.integers(3))) % 3]
    right = torch.tensor(rng.integers(0, 3, size=(6000, 2)))
    found = student.teacher_answers(right, table, source(int(rng.integers(1, 10_000))))
    assert_equal(tuple(found.shape), (6000, 2), what="the shape of the answers")
    for one, two in itertools.product(range(3), range(3)):
        pairs = found[(right[:, 0] == one) & (right[:, 1] == two)]
        counts = np.zeros((3, 3))
        np.add.at(counts, (pairs[:, 0].numpy(), pairs[:, 1].numpy()), 1)
        assert_frequencies(counts, np.outer(table[one].numpy(), table[two].numpy()))


@points(
    1,
    part="imitation",
    catches="teacher-ignores-the-generator",
    hint="torch.multinomial takes a generator.",
)
def test_the_generator_decides_the_teacher(student, lab, rng):
    """The same generator gives the same answers, another one others; digits that are certain are
    never wrong, and a table that is none is refused."""
    table, right = some_confusion(rng, 4), torch.tensor(rng.integers(0, 4, size=(40, 3)))
    lab.seed(1)
    before, draws = lab.global_rng_state(), []
    for seed in (5, 5, 6):
        draws.append(student.teacher_answers(right, table, source(seed)))
        assert_equal(lab.global_rng_state(), before, what="the state of the global generators")
        lab.seed(len(draws) + 1)
        before = lab.global_rng_state()
    assert_equal(draws[1], draws[0], what="the answers of the same generator")
    assert_true(bool((draws[2] != draws[0]).any()), "another generator, other answers")
    sure = student.teacher_answers(right, torch.eye(4).double(), source())
    assert_equal(sure, right, what="answers of a teacher who is never wrong")
    with assert_raises(ValueError):
        student.teacher_answers(right, 1.1 * table, source())


LIMIT_BUGS = (
    "entropy-in-bits",
    "entropy-of-the-mean",
    "end-token-forgotten",
    "one-digit-for-all",
    "greedy-is-sampled",
    "greedy-is-perfect",
)


@points(
    2,
    part="imitation",
    catches=LIMIT_BUGS,
    hint="List all right answers and all written ones for K = 3 and n = 2, and count.",
)
def test_limits_are_those_of_enumeration(student, rng):
    """Loss, sampled and greedy accuracy are those of a perfect student, by listing all answers."""
    table = some_confusion(rng).numpy()
    biased = table[[1, 0, 2]]  # takes two digits for each other
    for C, n in ((table, 2), (biased, 2), (biased, 3), (table, 1)):
        loss = sampled = greedy = 0.0
        answers = list(itertools.product(range(3), repeat=n))
        for right in answers:
            for written in answers:
                p = math.prod(C[i, j] for i, j in zip(right, written, strict=True))
                loss -= p * math.log(p) / (n + 1) / len(answers)
                sampled += p * (written == right) / len(answers)
            greedy += all(C[i].argmax() == i for i in right) / len(answers)
        found = student.imitation_limits(torch.tensor(C), n)
        expected = [loss, sampled, greedy]
        assert_close(
            [found.loss, found.sampled, found.greedy], expected, what="the limits", **SINGLE
        )


@points(
    1,
    part="imitation",
    catches=("greedy-ties-count", "greedy-is-perfect"),
    hint="A digit that is as likely as a wrong one is not the likeliest. And 0 log 0 is 0.",
)
def test_ties_and_certainties(student, rng):
    """A tie with a wrong digit does not count as right, and a teacher who never errs has loss 0."""
    tied = torch.tensor([[0.4, 0.4, 0.2], [0.1, 0.3, 0.6], [0.0, 0.25, 0.75]]).double()
    found = student.imitation_limits(tied, 2)
    assert_close(found.greedy, 1 / 9, what="greedy accuracy", **SINGLE)
    assert_close(found.sampled, (1.45 / 3) ** 2, what="sampled accuracy", **SINGLE)
    found = student.imitation_limits(torch.eye(4).double(), 3)
    limits = [found.loss, found.sampled, found.greedy]
    assert_close(limits, [0.0, 1.0, 1.0], what="limits of certainty", **SINGLE)


@points(
    2,
    part="imitation",
    catches=("mean-inside-the-power", "tries-add-up", "all-tries-right", "one-try"),
    hint="For each right answer apart: one minus the chance that all tries are wrong. Then the mean.",
)
def test_a_verifier_finds_one_right_try(student, rng):
    """The rate is the mean over all right answers of 1 - (1 - p)^tries."""
    table = some_confusion(rng)
    C = table.numpy()
    for n, tries in ((2, 1), (2, 3), (3, 7), (1, 2)):
        chances = [
            math.prod(C[i, i] for i in right) for right in itertools.product(range(3), repeat=n)
        ]
        expected = float(np.mean([1 - (1 - p) ** tries for p in chances]))
        found = student.verified_rate(table, n, tries)
        assert_close(found, expected, what="the rate", **SINGLE)


# -- learning --------------------------------------------------------------------------------------

# Questions are three digits, right answers the same in reverse. The teacher gets a quarter of the
# digits wrong at random, and takes most of one digit for another: its answers are right in a
# third of all cases. Agreement: how often the student's greedy answer to a new question is the
# teacher's likeliest one, in all digits and with its end. A student who answers at random agrees in
# 1 of 1000 cases, one who answers as a sample of the teacher in 0.43. The proof has the figures of
# the reference in 30 worlds. One of three worlds is enough.
LEARNING_SEEDS = (31, 32, 33)
THRESHOLD = 0.7


def noisy_examples(rng, asked, table):
    """What the teacher answers: "r314$>413$"."""
    found = []
    for question in asked.tolist():
        answer = [int(rng.choice(10, p=table[digit])) for digit in question[::-1]]
        found.append(Example([11, *question, EOS, 10, *answer, EOS], [IGNORE] * 6 + [*answer, EOS]))
    return found


def agreement(student, lab, seed):
    """How often the student of one seed's teacher answers as the teacher most likely would."""
    rng = np.random.default_rng(seed)
    state = {name: tensor.float() for name, tensor in weights(rng, 32, scale=0.1).items()}
    for name in state:
        if "ln_" in name and name.endswith("weight"):
            state[name] = torch.ones_like(state[name])
    state["lm_head.weight"] = state["transformer.wte.weight"]
    table = np.full((10, 10), 0.25 / 9)
    np.fill_diagonal(table, 0.75)
    one, other = rng.choice(10, size=2, replace=False)
    table[one] = 0.0
    table[one, one], table[one, other] = 0.2, 0.8
    everything = rng.permutation(1000)
    digits = np.stack([everything // 100, everything // 10 % 10, everything % 10], axis=1)
    train = noisy_examples(rng, digits[rng.integers(0, 800, size=3000)], table)
    valid = noisy_examples(rng, digits[800:900], table)
    cfg = student.SFTConfig(
        steps=250, batch_size=32, micro_batch=32, lr=0.01, warmup=20, eval_every=125
    )
    result = student.train_sft(network(lab, state), train, valid, cfg, seed)
    found = {name: tensor.float() for name, tensor in result.model.state_dict().items()}
    assert_equal(sorted(found), sorted(state), what="names of weights")
    for name, tensor in state.items():
        assert_equal(found[name].shape == tensor.shape, True, what="the shapes are those handed in")
    asked = torch.tensor(digits[900:])
    likely = torch.tensor(table.argmax(axis=1))[asked.flip(1)]
    ids = torch.cat(
        [torch.full((100, 1), 11), asked, torch.tensor([EOS, 10]).expand(100, 2)], dim=1
    )
    with torch.no_grad():
        for _ in range(4):
            ids = torch.cat([ids, forward(found, ids)[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    wanted = torch.cat([likely, torch.full((100, 1), EOS)], dim=1)
    return float((ids[:, -4:] == wanted).all(dim=1).double().mean())


@points(
    8,
    part="training",
    learning=True,
    seconds=120,
    hint="Look at report.py: does the loss on held-out examples fall, are greedy answers better than "
    "the teacher's own?",
)
def test_a_student_learns_what_its_teacher_means(student, lab):
    """From 3000 answers of a teacher who errs, training learns his likeliest answer to at least 70%
    of new questions, in one of three worlds."""
    shares = []
    for seed in LEARNING_SEEDS:
        shares.append(agreement(student, lab, seed))
        if shares[-1] >= THRESHOLD:
            return
    assert_true(max(shares) >= THRESHOLD, f"shares {shares} reach {THRESHOLD}")
