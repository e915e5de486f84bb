"""`grpo` on a GPU: the invariants of the CPU on CUDA tensors, in float64, float32 and bf16; one
step of a larger decoder, in tokens per second.

    python -m pytest grading/grpo/test_scale.py -s                  the solution, on the GPU; skips and says why without one
    python -m pytest grading/grpo/test_scale.py -s --device cpu     a rehearsal on small sizes

``lab.make("torch.asarray", x, device=...)`` puts a tensor where the student's code lives; results
come back as data on the CPU. References are computed here, in float64. Whether points count is
course.yml's `scale`.

Tolerances, from the solution's error over 200 draws on a CPU (inputs rounded to the dtype first):
float64 none, float32 8e-8 at most, bf16 0.0007 at the median and 0.0033 at most. So 1e-9, 1e-5 and
0.01. The last is three times the worst: it says that bf16 works, not that the loss is right, for
many mistakes move it by less; float64 says that. On a GPU sums have another order. Not measured
there.
"""

import time
from typing import NamedTuple

import numpy as np
import pytest
import torch

from autograder.judging.checks import assert_close, assert_finite, assert_true
from autograder.judging.plugin import points

pytestmark = pytest.mark.gpu


class Tokens(NamedTuple):
    """The first five arguments of grpo_loss."""

    logp: torch.Tensor
    old_logp: torch.Tensor
    ref_logp: torch.Tensor
    adv: torch.Tensor
    mask: torch.Tensor


LOW, HIGH, BETA = 0.2, 0.3, 0.04


def ragged_tokens(rng, rows=8, length=32, dtype=torch.float64):
    """Responses of different lengths with ratios around 1; the numbers are those that ``dtype`` can
    hold."""
    shape = (rows, length)
    logp = torch.tensor(-1 - np.abs(rng.normal(size=shape)))
    old, ref = (logp + torch.tensor(rng.normal(size=shape) * size) for size in (0.2, 0.4))
    mask = torch.arange(length)[None] < torch.tensor(rng.integers(1, length, size=rows))[:, None]
    tokens = [x.to(dtype).double() for x in (logp, old, ref, torch.tensor(rng.normal(size=rows)))]
    return Tokens(*tokens, mask)


def reference_loss(tokens):
    """Equation 3 of Shao et al. (2024), a mean of each response's mean."""
    ratio, away = (tokens.logp - tokens.old_logp).exp(), tokens.ref_logp - tokens.logp
    adv = tokens.adv[:, None]
    terms = -torch.minimum(ratio * adv, ratio.clamp(1 - LOW, 1 + HIGH) * adv) + BETA * (
        away.exp() - away - 1
    )
    return ((terms * tokens.mask).sum(1) / tokens.mask.sum(1)).mean()


def there(lab, tensor, dtype=None):
    """The tensor on the student's device: a handle."""
    return lab.make(
        "torch.asarray",
        tensor,
        device=lab.device,
        dtype=dtype if tensor.is_floating_point() else None,
    )


@points(
    1,
    part="loss",
    hint="Make every tensor on the device of your inputs: torch.arange(n, device=x.device), "
    "zeros_like, new_zeros.",
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5), ("bfloat16", 0.01)]
)
def test_the_loss_is_that_of_the_cpu(student, lab, rng, dtype, tolerance):
    """The loss of tensors on the GPU is the one that the CPU computes in float64."""
    kind = getattr(torch, dtype)
    tokens = ragged_tokens(rng, dtype=kind)
    loss, _ = student.grpo_loss(*(there(lab, x, kind) for x in tokens), LOW, HIGH, BETA)
    assert_close(
        float(loss), float(reference_loss(tokens)), rtol=0, atol=tolerance, what="the loss"
    )


@points(
    1,
    part="advantages",
    hint="group_ids may be on the GPU: index and scatter there, and build nothing on the CPU in "
    "between.",
)
def test_advantages_are_those_of_the_cpu(student, lab, rng):
    """Each group of rewards on the GPU has mean zero and standard deviation one, in any order of
    rows."""
    ids = torch.tensor(rng.permutation(np.repeat([3, 7, 11], 4)))
    rewards = torch.tensor(rng.normal(size=12))
    groups = [rewards[ids == number] for number in ids]
    expected = [
        float((r - g.mean()) / (g.std() + 1e-6)) for r, g in zip(rewards, groups, strict=True)
    ]
    found = student.group_advantages(there(lab, rewards), there(lab, ids))
    assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6, what="advantages"
    )


WARM_UP, TIMED = 2, 5


@points(
    2,
    part="training",
    seconds=300,
    hint="On a large vocabulary gather before you convert, and let nothing pull tensors back to "
    "the CPU.",
)
def test_a_larger_decoder_steps_in_bf16(student, lab, rng):
    """A randomly initialised decoder of 340 million parameters makes finite steps in bf16 that
    lower the loss of a batch seen again."""
    big = lab.device == "cuda"
    layers, width, vocabulary, rows, length = (
        (24, 1024, 32000, 16, 512) if big else (2, 32, 50, 4, 16)
    )
    shape = {
        "n_layer": layers,
        "n_head": width // 16,
        "n_embd": width,
        "n_positions": length,
        "vocab_size": vocabulary,
    }
    quiet = {
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    lab.seed(7)
    config = lab.make("transformers.GPT2Config", **shape, **quiet)
    model = lab.kept(
        lab.kept(lab.make("transformers.GPT2LMHeadModel", config)).to(lab.device, torch.bfloat16)
    )
    optimizer = lab.make("torch.optim.AdamW", model.parameters(), lr=1e-4 if big else 1e-2)
    tokens = torch.tensor(rng.integers(2, vocabulary, size=(rows, length)))
    mask = torch.ones(rows, length, dtype=torch.bool)
    mask[:, 0] = False
    flat = torch.full((rows, length), -float(np.log(vocabulary))) * mask
    columns = [there(lab, x) for x in (tokens, mask, flat, flat, torch.linspace(0.5, 1, rows))]
    batch = lab.kept(student).Batch(*columns)
    settings = student.GRPOConfig(
        max_new=length, clip_low=0.9, clip_high=9.0, beta=0.0, grad_norm=1.0, micro_batch=rows // 2
    )
    ratios = []
    for step in range(WARM_UP + TIMED):
        if step == WARM_UP:
            begin = time.perf_counter()
        metrics = student.grpo_update_(
            model, optimizer, batch, settings
        )  # its metrics are numbers: the GPU has finished
        ratios.append(float(metrics["ratio_mean"]))
    seconds = time.perf_counter() - begin
    assert_finite(torch.tensor(ratios))
    assert_true(ratios[-1] > ratios[0], "tokens with a positive advantage become more likely")
    lab.rate("tokens per second", TIMED * rows * (length - 1) / seconds)
