"""Public tests of `sft`: small worked examples, in the order of the tasks. No points; everything is
visible.

    python -m pytest test_local.py                 all of them
    python -m pytest test_local.py -k labels       one part
    python -m pytest test_local.py -x --pdb        stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws that hold for every batch, on data that you have not seen. Importing transformers takes a
few seconds, once.
"""

import math

import pytest
import sft as work
import torch

IGNORE = work.IGNORE


def close(actual, expected, tolerance=1e-5):
    """The same shape, and the same numbers up to what float32 can tell."""
    torch.testing.assert_close(
        actual.detach().double(), torch.as_tensor(expected).double(), rtol=tolerance, atol=tolerance
    )


@pytest.fixture(scope="module")
def model():
    """A tiny GPT-2 with weights that a formula gives: nothing depends on a seed."""
    network = work.build_policy(width=8, layers=1, heads=2)
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):
            places = torch.arange(weight.numel(), dtype=torch.float32).reshape(weight.shape)
            weight.copy_(0.5 * torch.sin(1.7 * places + number))
    return network


# The picture of the handout. Users' messages begin with 11 ("r"), the assistant's with 10 (">").
TEMPLATE = work.Template(headers={"user": [11], "assistant": [10]}, end=13)
CHAT = [
    work.Message("user", [3, 1]),
    work.Message("assistant", [1, 3]),
    work.Message("user", [7]),
    work.Message("assistant", [7]),
]
SHORT = work.Example([11, 3, 10, 3], [IGNORE, IGNORE, IGNORE, 3])
LONG = work.Example([11, 5, 2, 10, 2, 5], [IGNORE] * 4 + [2, 5])


# -- Part 1: chat template and labels --------------------------------------------------------------


def test_labels_of_the_picture():
    example = work.encode_conversation(CHAT, TEMPLATE)
    #                         r   3  1  $   >   1  3  $   r   7  $   >   7  $
    assert example.tokens == [11, 3, 1, 13, 10, 1, 3, 13, 11, 7, 13, 10, 7, 13]
    trained = [label for label in example.labels if label != IGNORE]
    assert trained == [1, 3, 13, 7, 13]  # two answers, each with its end
    assert example.labels[:5] == [IGNORE] * 5


def test_labels_after_a_cut():
    # Six tokens are left: the prompt, and the first token of the first answer. No end.
    example = work.encode_conversation(CHAT, TEMPLATE, max_length=6)
    assert example.tokens == [11, 3, 1, 13, 10, 1]
    assert example.labels == [IGNORE] * 5 + [1]
    with pytest.raises(ValueError):
        work.encode_conversation(CHAT, TEMPLATE, max_length=5)


def test_labels_begin_where_the_prompt_ends():
    assert work.render_prompt(CHAT[:1], TEMPLATE) == [11, 3, 1, 13, 10]


def test_labels_in_a_batch():
    # PAD is 14. On the left, the short row is moved to the right edge.
    batch = work.collate([SHORT, LONG], 14, side="left")
    assert batch.tokens.tolist() == [[14, 14, 11, 3, 10, 3], [11, 5, 2, 10, 2, 5]]
    assert batch.labels[0].tolist() == [IGNORE] * 5 + [3]
    assert batch.attention.long().tolist() == [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]


# -- Part 2: the shifted cross-entropy -------------------------------------------------------------


def test_loss_by_hand():
    # Two tokens are trained. The logits before the first give it probability 1/2, those before the
    # second 1/8: (log 2 + log 8) / 2 = 2 log 2.
    logits = torch.zeros(1, 3, 3).double()
    logits[0, 0] = torch.tensor([0.5, 0.25, 0.25]).log()
    logits[0, 1] = torch.tensor([0.5, 0.375, 0.125]).log()
    labels = torch.tensor([[IGNORE, 0, 2]])
    assert work.count_labels(labels) == 2
    close(work.sft_loss(logits, labels), 2 * math.log(2))
    # As a part of a batch with 8 trained tokens: (log 2 + log 8) / 8.
    close(work.sft_loss(logits, labels, num_items=8), math.log(2) / 2)


def test_loss_over_nothing():
    with pytest.raises(ValueError):
        work.sft_loss(torch.zeros(1, 2, 3), torch.tensor([[1, IGNORE]]))


# -- Part 3: accumulation --------------------------------------------------------------------------


def test_accumulation_padding(model):
    # The short row alone, and beside a longer one.
    alone = work.padded_logits(model, work.collate([SHORT], 14))
    for side, places in (("right", slice(0, 4)), ("left", slice(2, 6))):
        both = work.padded_logits(model, work.collate([SHORT, LONG], 14, side))
        close(both[0, places], alone[0].detach())


def test_accumulation_of_one_and_two_tokens(model):
    # One micro-batch with one trained token, one with two: each token weighs 1/3.
    one, two = work.collate([SHORT], 14), work.collate([LONG], 14)
    losses = [
        float(work.sft_loss(work.padded_logits(model, x), x.labels).detach()) for x in (one, two)
    ]
    model.zero_grad()
    found = work.accumulate_(model, [one, two])
    assert found == pytest.approx((losses[0] + 2 * losses[1]) / 3, abs=1e-4)
    parts = model.transformer.ln_f.bias.grad.clone()
    model.zero_grad()
    work.accumulate_(model, [work.collate([SHORT, LONG], 14)])
    close(parts, model.transformer.ln_f.bias.grad, 1e-4)
    model.zero_grad()


# -- Part 4: packing -------------------------------------------------------------------------------


def test_packing_rows():
    # Longest first: 7 opens a row, 6 another. 4 fits beside the 6 (index 3). The 3s: the first goes
    # beside the 7, the second finds room nowhere and opens a third row.
    assert work.first_fit_decreasing([6, 3, 7, 4, 3], 10) == [[2, 1], [0, 3], [4]]


def test_packing_two_conversations():
    packed = work.pack([SHORT, LONG])
    assert packed.tokens.tolist() == [[11, 3, 10, 3, 11, 5, 2, 10, 2, 5]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 4, 5]]
    assert packed.cu_seqlens.tolist() == [0, 4, 10]


def test_packing_mask():
    # Conversations of 2 and 3 tokens: two triangles.
    assert work.block_mask(torch.tensor([0, 2, 5])).long().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 1],
    ]


def test_packing_and_padding_agree(model):
    packed = work.packed_logits(model, work.pack([SHORT, LONG]))
    alone = work.padded_logits(model, work.collate([LONG], 14))
    close(packed[0, 4:], alone[0].detach(), 1e-4)


# -- Part 5: LoRA ----------------------------------------------------------------------------------


def test_lora_by_hand():
    # alpha / r = 6 / 2 = 3. A x = (1, 2), B A x = 1 * 1 + 2 * 0.5 = 2, three times that is 6; the
    # base gives 1 * 1 + 1 * 2 = 3.
    base = torch.nn.Linear(2, 2, bias=False)
    weight = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    base.load_state_dict({"weight": weight})
    layer = work.LoRA(base, rank=2, alpha=6.0, generator=torch.Generator().manual_seed(0))
    x = torch.tensor([1.0, 2.0])
    close(layer(x), [3.0, 2.0])  # B is zero at first
    b = torch.tensor([[1.0, 0.5], [0.0, 0.0]])
    layer.load_state_dict({"base.weight": weight, "A": torch.eye(2), "B": b})
    close(layer(x), [9.0, 2.0])
    close(layer.delta(), [[3.0, 1.5], [0.0, 0.0]])


def test_lora_of_a_model(model):
    adapted = work.build_policy(model.state_dict(), width=8, layers=1, heads=2)
    generator = torch.Generator().manual_seed(0)
    assert work.add_lora_(adapted, ["c_attn"], 2, 4.0, generator) == ["transformer.h.0.attn.c_attn"]
    learning = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert learning == ["transformer.h.0.attn.c_attn.A", "transformer.h.0.attn.c_attn.B"]
    state = dict(adapted.state_dict())
    state["transformer.h.0.attn.c_attn.B"] = torch.full((24, 2), 0.3)
    adapted.load_state_dict(state)
    batch = work.collate([SHORT], 14)
    on = work.padded_logits(adapted, batch)
    work.switch_lora_(adapted, False)
    close(work.padded_logits(adapted, batch), work.padded_logits(model, batch).detach())
    work.merge_lora_(adapted)
    close(work.padded_logits(adapted, batch), on.detach(), 1e-4)


# -- Part 6: training and evaluation ---------------------------------------------------------------


def test_training_rates():
    # Four steps up, then down: the peak comes at step 3 and again at step 4, half of it in the
    # middle of what is left.
    rates = [work.learning_rate(step, 12, 0.8, 4) for step in range(12)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert rates[8] == pytest.approx(0.4)


def test_training_evaluation(model):
    # One token and two: the mean over three tokens, in batches of one or of two.
    small = work.evaluate(model, [SHORT, LONG], 1, 14)
    large = work.evaluate(model, [SHORT, LONG], 2, 14)
    assert small.tokens == large.tokens == 3
    assert small.loss == pytest.approx(large.loss, abs=1e-4)
    assert small.accuracy == pytest.approx(large.accuracy)


def test_training_a_few_steps(model):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    cfg = work.SFTConfig(steps=40, batch_size=2, micro_batch=1, lr=0.03, warmup=2, eval_every=20)
    result = work.train_sft(model, [SHORT, LONG], [SHORT, LONG], cfg, seed=0)
    assert len(result.history["loss"]) == 40
    assert result.history["valid_step"] == [20, 40]
    assert min(result.history["valid_loss"]) < 0.5 * result.history["loss"][0]
    assert not result.model.training
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])  # a copy was trained


# -- Part 7: what imitation cannot do --------------------------------------------------------------


def test_imitation_by_hand():
    # Two digits. The teacher is right about 0 in 3 of 4 cases, about 1 in 2 of 5: it takes most
    # ones for zeros. One digit and the end: entropies 0.5623 and 0.6730, mean 0.6177, over two
    # tokens 0.3088. Sampled: (0.75 + 0.4) / 2. Greedy: right about 0 alone.
    table = torch.tensor([[0.75, 0.25], [0.6, 0.4]])
    limits = work.imitation_limits(table, 1)
    assert limits.loss == pytest.approx(0.308837, abs=1e-5)
    assert limits.sampled == pytest.approx(0.575)
    assert limits.greedy == pytest.approx(0.5)
    # Two tries: 1 - 1/16 for the zero, 1 - 0.36 for the one: (0.9375 + 0.64) / 2.
    assert work.verified_rate(table, 1, 2) == pytest.approx(0.78875)


def test_imitation_teacher():
    right = torch.zeros(4000, 1).long()
    table = torch.tensor([[0.75, 0.25], [0.6, 0.4]])
    written = work.teacher_answers(right, table, torch.Generator().manual_seed(0))
    assert written.shape == (4000, 1)
    assert float(written.double().mean()) == pytest.approx(0.25, abs=0.05)
