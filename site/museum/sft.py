"""Boards of sft: what is trained, what a token weighs, and what an adapter adds."""

from types import SimpleNamespace

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table

WORDS = ["PAD", "USER", "BOT", "END", "hello", "hi", "there", "sum", "four", ":"]
IDS = {word: number for number, word in enumerate(WORDS)}
IGNORED = "\N{EN DASH}"  # stands for a label that is ignored


def _ids(text):
    return [IDS[word] for word in text.split()]


def _text(ids):
    return " ".join(IGNORED if int(one) < 0 else WORDS[int(one)] for one in ids)


def _template(work, header):
    return work.Template({"user": _ids("USER"), "assistant": _ids(header)}, IDS["END"])


def _messages(work, *texts):
    """USER and BOT take turns."""
    roles = ("user", "assistant") * len(texts)
    return [work.Message(*one) for one in zip(roles, map(_ids, texts), strict=False)]


def _labels(text, header, *texts):
    """The labels of a conversation, token by token."""

    def run(work):
        found = work.encode_conversation(_messages(work, *texts), _template(work, header))
        return table(
            {"place": range(len(text.split())), "token": text.split()},
            {"label": [_text([one]) for one in found.labels]},
        )

    return run


def _cut(work):
    messages, template = _messages(work, "hello", "hi there"), _template(work, "BOT")
    found = [work.encode_conversation(messages, template, n).tokens for n in (None, 6)]
    given = {"USER: hello. BOT: hi there.": ["no limit", "at most 6 tokens"]}
    return table(given, {"tokens": [_text(one) for one in found]})


def _collated(work):
    rows = [
        work.Example(_ids("BOT hi END"), [-100, *_ids("hi END")]),
        work.Example(_ids("BOT hi there END END"), [-100, *_ids("hi there END"), -100]),
    ]
    right, left = (work.collate(rows, IDS["END"], side) for side in ("right", "left"))
    seen = [
        "".join("1" if one else "0" for one in row) for b in (right, left) for row in b.attention
    ]
    given = {"row": [0, 1, 0, 1], "padding goes to the": ["right", "right", "left", "left"]}
    labels = [_text(row) for batch in (right, left) for row in batch.labels]
    return table(given, {"labels": labels, "attention": seen})


def _habits(work):
    """A model that is nearly sure, of the token at some distance from the place it has read."""
    tokens = torch.arange(8)[None]
    names = ["the token before", "the token it has just read", "the next token", "the one after"]
    sure = [torch.nn.functional.one_hot((tokens + n) % 8, 8) * 6.0 for n in (-1, 0, 1, 2)]
    found = [work.sft_loss(logits, tokens) for logits in sure]
    return table({"the model is sure of": names}, {"loss": found})


def _weights(work):
    """One row with four tokens at a loss of 1, one row with a single token at a loss of 6."""
    logits = torch.zeros(2, 6, 2)
    for row, loss in enumerate((1.0, 6.0)):
        logits[row, :, 0] = -torch.tensor(loss).expm1().log()
    labels = torch.tensor([[-100, 0, 0, 0, 0, -100], [-100, -100, -100, -100, 0, -100]])
    broken = logits.clone()
    broken[1, 0] = torch.nan
    cases = {
        "as it is": work.sft_loss(logits, labels),
        "num_items = 10": work.sft_loss(logits, labels, 10),
        "nan where nothing is trained": work.sft_loss(broken, labels),
    }
    return table({"batch": [*cases]}, {"loss": cases.values()})


class Bigrams(torch.nn.Module):
    """A language model that looks at one token only."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.tensor([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0], [0.0] * 3]))

    def forward(self, input_ids, attention_mask, position_ids):
        return SimpleNamespace(logits=self.table[input_ids])


# Three examples, with four, one and one trained tokens.
THREE = ([0, 1, 1, 0, 1], [1, 0], [0, 2])


def _accumulated(work):
    examples = [work.Example(ids, [-100, *ids[1:]]) for ids in THREE]
    whole, parts = [work.collate(examples, 2)], [work.collate([one], 2) for one in examples]
    model, other = Bigrams(), Bigrams()
    found = []
    for one, batches in ((model, whole), (other, parts), (other, parts)):
        found.append((work.accumulate_(one, batches), one.table.grad[0, 1].item()))
    losses, gradients = zip(*found, strict=True)
    names = ["one batch", "three micro-batches", "the same again, on top"]
    return table(
        {"rows with 4, 1 and 1 trained tokens": names},
        {"loss": losses, "an entry of the gradient": gradients},
    )


LENGTHS = [4, 6, 3, 6, 2, 7, 1]


def _fits(work):
    rows = work.first_fit_decreasing(LENGTHS, 10)
    names = [" + ".join(f"{LENGTHS[i]} (nr {i})" for i in row) for row in rows]
    listed = ", ".join(map(str, LENGTHS))
    return table({"lengths, ten fit into a row": [listed]}, {"rows": ["; ".join(names)]})


def _packed(work):
    first = work.Example(_ids("hello hi there"), _ids("hello hi there"))
    second = work.Example(_ids("sum four"), _ids("sum four"))
    packed = work.pack([first, second])
    given = {"token": "hello hi there sum four".split(), "conversation": [0, 0, 0, 1, 1]}
    labels = [_text([one]) for one in packed.labels[0]]
    return table(given, {"label": labels, "position": packed.positions[0]})


def _looks(work):
    allowed = work.block_mask(torch.tensor([0, 2, 5]))
    rows = [" ".join("1" if one else "0" for one in row) for row in allowed]
    return table({"place": range(5), "conversation": [0, 0, 1, 1, 1]}, {"may look at": rows})


def _adapter(work):
    base = torch.nn.Linear(4, 4, bias=False)
    torch.nn.init.constant_(base.weight, 10.0)
    layer = work.LoRA(base, 4, 8.0, torch.Generator().manual_seed(1))
    with torch.no_grad():
        layer.A.copy_(torch.eye(4))
        layer.B.copy_(torch.eye(4))
    x = torch.tensor([1.0, 0.0, 0.0, 0.0])
    found = [layer(x)[0], None, layer.delta()[0, 0]]
    layer.on = False
    found[1] = layer(x)[0]
    names = ["output, adapter on", "output, adapter off", "what the update adds to the weight"]
    return table({"base weight 10, B A = 1, alpha = 8, r = 4": names}, {"found": found})


def _rates(work):
    steps = range(60)
    found = [work.learning_rate(step, 60, 1.0, 5) for step in steps]
    return curve({"step": steps}, {"learning rate": found})


CONFUSION = torch.tensor([[0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [0.5, 0.1, 0.4]])


def _limits(work):
    found = [work.imitation_limits(CONFUSION, length) for length in (1, 3)]
    given = {"digits of an answer": [1, 3]}
    return table(given, {name: [getattr(one, name) for one in found] for name in found[0]._fields})


SCENES = (
    Scene(
        "labels",
        "encode_conversation",
        "USER: hello. BOT: hi there. USER: sum. BOT: four. The assistant's header is two tokens,"
        " BOT and a colon; a dash is a label that is ignored.",
        _labels(
            "USER hello END BOT : hi there END USER sum END BOT : four END",
            "BOT :",
            *("hello", "hi there", "sum", "four"),
        ),
        {
            "prompt-trained": "What USER says has labels.",
            "last-turn-only": "The first answer has none.",
            "generation-prompt-trained, 2": "Place 4 belongs to the header.",
            "end-not-trained": "Each answer lacks the label of its END.",
            "labels-shifted-already": "Each label stands one place before its token.",
            "all-ends-trained": "Places 2 and 10 end what USER said.",
        },
    ),
    Scene(
        "labels",
        "encode_conversation",
        "USER types: hello BOT there END. BOT answers: hi.",
        _labels("USER hello BOT there END END BOT hi END", "BOT", "hello BOT there END", "hi"),
        {"searches-for-the-header": "All before place 6 is USER's, whatever it looks like."},
    ),
    Scene(
        "labels",
        "encode_conversation",
        "The tokens of a conversation, whole and cut.",
        _cut,
        {
            "end-in-front": "An END stands before each content.",
            "no-end-token": "Nothing follows the answer.",
            "cuts-inside": "The cut answer ends as if it were whole.",
            "cuts-from-the-left": "Who speaks first is gone.",
            "never-cuts": "The second row has seven tokens.",
        },
    ),
    Scene(
        "labels",
        "collate",
        "Two rows. Padding has the id of END, and so has the last token of the longer row.",
        _collated,
        {
            "padding-trained": "Where attention is 0 there are labels.",
            "padded-on-the-other-side": "Right and left have changed places.",
            "always-padded-on-the-right": "Only the third line is off.",
            "pad-is-the-end": "No END has a label any more.",
            "attention-from-ids": "The real ENDs are hidden, too.",
        },
    ),
    Scene(
        "loss",
        "sft_loss",
        "A row of eight tokens, and four models that are nearly sure of something.",
        _habits,
        {
            "not-shifted": "To repeat what was read costs next to nothing.",
            "shifted-twice": "The model that looks two tokens ahead is the best.",
            "shifted-the-wrong-way": "The model that knows the past is the best.",
        },
    ),
    Scene(
        "loss",
        "sft_loss",
        "One row with four trained tokens, each at a loss of 1; one row with a single token at a"
        " loss of 6.",
        _weights,
        {
            "mean-of-row-means": "3.5 lies in the middle between 1 and 6.",
            "divides-by-all-places": "Ten places can be predicted, five of them are trained.",
            "ignores-num-items": "The sum, 10, was to be divided by 10.",
            "multiplies-by-the-mask": "Only the last line is off.",
        },
    ),
    Scene(
        "accumulation",
        "accumulate_",
        "Three rows as one batch, and one by one. Then the same again, with the gradients left"
        " where they are.",
        _accumulated,
        {
            "mean-of-means": "One by one, a token in a short row weighs more.",
            "sum-of-means": "One by one, the loss is more than twice as large.",
            "divided-twice": "One by one, everything is a third.",
            "forgets-earlier-micro-batches": "The losses are right, and the gradient is that of"
            " the last row.",
            "reports-the-last-micro-batch": "The gradients are right.",
            "counts-padding-when-accumulating": "Only the padded batch is off.",
            "clears-old-gradients": "The last line should be twice the one above it.",
        },
    ),
    Scene(
        "packing",
        "first_fit_decreasing",
        "Seven examples.",
        _fits,
        {
            "short-ones-first": "Four rows, and 7 comes last.",
            "first-come-first-served": "The first row begins with the first example.",
            "ties-turned-round": "Example 1 comes before example 3.",
            "next-fit": "7 + 3 would be 10.",
            "full-rows-refused": "No row is full.",
        },
    ),
    Scene(
        "packing",
        "pack",
        "Two conversations in one row, all of whose tokens have labels.",
        _packed,
        {
            "first-label-crosses-over": "\u201csum\u201d would be guessed from \u201cthere\u201d.",
            "last-label-lost": "\u201cthere\u201d and \u201cfour\u201d are never trained.",
            "positions-run-on": "\u201csum\u201d is the first token of its conversation.",
        },
    ),
    Scene(
        "packing",
        "block_mask",
        "Two conversations of two and three tokens; a 1 where one may look.",
        _looks,
        {
            "boundary-belongs-to-the-left": "Place 1 sees itself alone, place 2 a stranger.",
            "neighbours-are-seen": "The lower left is full.",
            "looks-ahead": "Two full squares, not two triangles.",
            "blind-to-itself": "Place 0 sees nothing at all.",
            "mask-transposed": "The triangles point the other way.",
        },
    ),
    Scene(
        "lora",
        "LoRA",
        "A 1 goes through a layer whose weight is 10; alpha = 8, r = 4.",
        _adapter,
        {
            "alpha-for-scale": "8 is added where 2 should be.",
            "rank-stabilised": "4 is 8 divided by the root of 4.",
            "update-without-scale": "1 is added where 2 should be, though the weight gets 2.",
            "update-instead-of-base": "Where is the 10?",
            "scales-the-base-too": "22 is twice 11.",
            "cannot-be-switched-off": "Only the second line is off.",
            "merged-without-scale": "Only the last line is off.",
        },
    ),
    Scene(
        "training",
        "learning_rate",
        "60 steps, 5 of them warm-up, up to 1.",
        _rates,
        {
            "cosine-over-all-steps": "After the warm-up, in step 5, it should still be 1.",
            "linear-decay": "A straight line down.",
            "cosine-comes-back": "It rises again.",
            "no-warm-up": "It begins at 1.",
            "first-rate-is-zero": "It begins at 0.",
        },
    ),
    Scene(
        "imitation",
        "imitation_limits",
        "A teacher writes 0, 1, 2 with the probabilities 0.8, 0.2, 0 where 0 is right; 0.1, 0.6,"
        " 0.3 where it is 1; 0.5, 0.1, 0.4 where it is 2.",
        _limits,
        {
            "entropy-in-bits": "0.563 bits are 0.39 nats.",
            "entropy-of-the-mean": "Only the loss is off, and too high.",
            "end-token-forgotten": "The loss is the same in both lines.",
            "one-digit-for-all": "Three digits are as easy as one.",
            "greedy-is-sampled": "The last two columns are equal.",
            "greedy-is-perfect": "The teacher writes 0 for 2 more often than 2.",
        },
    ),
)
