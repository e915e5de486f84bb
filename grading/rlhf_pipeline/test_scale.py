"""`rlhf_pipeline` on a GPU: the invariants of the CPU on CUDA tensors, the loss in float64, float32
and bf16; one update of a larger policy and its critic, in tokens per second.

    python -m pytest grading/rlhf_pipeline/test_scale.py -s                  the solution, on the GPU; skips and says why without one
    python -m pytest grading/rlhf_pipeline/test_scale.py -s --device cpu     a rehearsal on small sizes

``lab.make("torch.asarray", x, device=...)`` puts a tensor where the student's code lives; results
come back as data on the CPU. References are computed here, in float64. Whether points count is
course.yml's `scale`.

Tolerances, from the solution's error over 200 draws on a CPU (inputs rounded to the dtype first):
float64 4e-16 at most, float32 1.2e-7 at most, bf16 0.0011 at the median and 0.0048 at most. So
1e-9, 1e-5 and 0.015. The last is three times the worst: it says that bf16 works, not that the loss
is right, for many mistakes move it by less; float64 says that. On a GPU sums have another order.
Not measured there.
"""

import time
from typing import NamedTuple

import numpy as np
import pytest
import torch

from autograder.judging.checks import assert_close, assert_finite, assert_true
from autograder.judging.plugin import points

pytestmark = pytest.mark.gpu

CLIP, VALUE_CLIP, VALUE, ENTROPY, BETA = 0.2, 0.3, 0.5, 0.01, 0.1


class Tokens(NamedTuple):
    """What ppo_loss is made of, each (B, L)."""

    logp: torch.Tensor
    entropy: torch.Tensor
    values: torch.Tensor
    old_logp: torch.Tensor
    old_values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    mask: torch.Tensor


def ragged_tokens(rng, rows=8, length=32, dtype=torch.float64):
    """Responses of different lengths behind prompts of different lengths, with ratios around 1; the
    numbers are those that ``dtype`` can hold."""
    shape = (rows, length)
    first = torch.tensor(rng.integers(1, 9, size=rows))[:, None]
    count = torch.tensor(rng.integers(1, length - 9, size=rows))[:, None]
    places = torch.arange(length)[None]
    logp = torch.tensor(-1 - np.abs(rng.normal(size=shape)))
    values = torch.tensor(rng.normal(size=shape))
    old_logp, old_values = (
        x + torch.tensor(rng.normal(size=shape) * size) for x, size in ((logp, 0.2), (values, 0.4))
    )
    entropy, adv, returns = (torch.tensor(rng.normal(size=shape)) for _ in range(3))
    columns = (logp, entropy.abs(), values, old_logp, old_values, adv, returns)
    rounded = [x.to(dtype).double() for x in columns]
    return Tokens(*rounded, (first <= places) & (places < first + count))


def reference_loss(tokens):
    """The three terms of PPO's loss, means over all tokens."""
    valid = tokens.mask
    logp, entropy, values, old_logp, old_values, adv, returns = (x[valid] for x in tokens[:7])
    ratio = (logp - old_logp).exp()
    gain = torch.minimum(ratio * adv, ratio.clamp(1 - CLIP, 1 + CLIP) * adv)
    near = old_values + (values - old_values).clamp(-VALUE_CLIP, VALUE_CLIP)
    error = torch.maximum((values - returns).square(), (near - returns).square())
    return (-gain + VALUE * error / 2 - ENTROPY * entropy).mean()


def there(lab, tensor, dtype=None):
    """The tensor on the student's device: a handle."""
    dtype = dtype if tensor.is_floating_point() else None
    return lab.make("torch.asarray", tensor, device=lab.device, dtype=dtype)


@points(
    1,
    part="update",
    hint="Make every tensor on the device of your inputs: torch.arange(n, device=x.device), "
    "zeros_like, new_zeros.",
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5), ("bfloat16", 0.015)]
)
def test_the_loss_is_that_of_the_cpu(student, lab, rng, dtype, tolerance):
    """The loss of tensors on the GPU is the one that the CPU computes in float64."""
    kind = getattr(torch, dtype)
    tokens = ragged_tokens(rng, dtype=kind)
    logp, entropy, values, *old, mask = (there(lab, x, kind) for x in tokens)
    remote = lab.kept(student)
    ids = there(lab, torch.zeros(tokens.mask.shape, dtype=torch.int64))
    batch = remote.Batch(ids, mask, mask, *old)
    cfg = student.RLHFConfig(
        clip=CLIP, value_clip=VALUE_CLIP, value_coef=VALUE, entropy_coef=ENTROPY
    )
    loss, _ = student.ppo_loss(remote.Scores(logp, entropy), values, batch, cfg)
    expected = float(reference_loss(tokens))
    assert_close(float(loss), expected, rtol=0, atol=tolerance, what="the loss")


@points(
    1,
    part="advantages",
    hint="The mask is on the GPU: find last tokens and walk backwards there, and build nothing on the "
    "CPU in between.",
)
def test_advantages_are_those_of_the_cpu(student, lab, rng):
    """On the GPU each token pays for its log-ratio, the last one has the score, and advantages are
    sums of weighed errors, whitened over the batch."""
    tokens, gamma, lam = ragged_tokens(rng), 0.9, 0.8
    scores = torch.tensor(rng.normal(size=len(tokens.mask)))
    rewards = torch.zeros_like(tokens.logp)
    advantages, returns = torch.zeros_like(rewards), torch.zeros_like(rewards)
    for row, real in enumerate(tokens.mask):
        places = real.nonzero().flatten().tolist()
        for t in places:
            rewards[row, t] = -BETA * (tokens.logp[row, t] - tokens.old_logp[row, t])
        rewards[row, places[-1]] += scores[row]
        ahead = after = 0.0
        for t in reversed(places):
            value = float(tokens.values[row, t])
            ahead = float(rewards[row, t]) + gamma * after - value + gamma * lam * ahead
            advantages[row, t], returns[row, t], after = ahead, ahead + value, value
    mask = there(lab, tokens.mask)
    found = student.token_rewards(
        there(lab, scores), there(lab, tokens.logp), there(lab, tokens.old_logp), mask, BETA
    )
    assert_close(found, rewards, rtol=0, atol=1e-6, what="rewards")
    found = student.token_gae(there(lab, rewards), there(lab, tokens.values), mask, gamma, lam)
    assert_close(found.advantages, advantages, rtol=0, atol=1e-6, what="advantages")
    assert_close(found.returns, returns, rtol=0, atol=1e-6, what="returns")
    chosen = advantages[tokens.mask]
    expected = (advantages - chosen.mean()) / chosen.std(correction=0) * tokens.mask
    found = student.masked_whiten(there(lab, advantages), mask)
    assert_close(found, expected, rtol=0, atol=1e-6, what="whitened advantages")


WARM_UP, TIMED = 2, 5


def larger_models(student, lab, length, vocabulary):
    """A policy of 340 million parameters and its critic, in bf16 on the student's device."""
    layers, width = (24, 1024) if lab.device == "cuda" else (2, 32)
    drop = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = lab.make(
        "transformers.GPT2Config", n_layer=layers, n_head=width // 16, n_embd=width,
        n_positions=length, vocab_size=vocabulary, bos_token_id=1, eos_token_id=1, **drop,
    )  # fmt: skip
    model = lab.kept(lab.make("transformers.GPT2LMHeadModel", config))
    policy = lab.kept(model.to(lab.device, torch.bfloat16))
    return policy, lab.kept(lab.kept(student).scalar_model(policy))


@points(
    2,
    part="update",
    seconds=300,
    hint="On a large vocabulary make no more tensors of the size of the logits than you need, and let "
    "nothing pull tensors back to the CPU.",
)
def test_a_larger_policy_steps_in_bf16(student, lab, rng):
    """A randomly initialised policy of 340 million parameters and its critic make finite steps in
    bf16: the tokens of a batch seen again become likelier, and values come nearer to the returns."""
    big = lab.device == "cuda"
    vocabulary, rows, length = (32000, 8, 512) if big else (50, 4, 16)
    lab.seed(7)
    policy, critic = larger_models(student, lab, length, vocabulary)
    both = lab.make(
        "operator.add",
        *(lab.make("builtins.list", model.parameters()) for model in (policy, critic)),
    )
    optimizer = lab.make("torch.optim.AdamW", both, lr=1e-4 if big else 1e-2)
    tokens = torch.tensor(rng.integers(2, vocabulary, size=(rows, length)))
    attention = torch.ones(rows, length, dtype=torch.bool)
    mask = attention.clone()
    mask[:, 0] = False
    flat = torch.full((rows, length), -float(np.log(vocabulary))) * mask
    adv = torch.linspace(0.5, 1, rows)[:, None].expand(rows, length).contiguous()
    columns = (
        tokens,
        attention,
        mask,
        flat,
        torch.zeros_like(flat),
        adv,
        20 * torch.ones_like(flat),
    )
    batch = lab.kept(student).Batch(*(there(lab, x) for x in columns))
    cfg = student.RLHFConfig(clip=9.0, value_clip=None, value_coef=0.01, grad_norm=1.0)
    ratios, errors = [], []
    for step in range(WARM_UP + TIMED):
        if step == WARM_UP:
            begin = time.perf_counter()
        # Its metrics are numbers: the GPU has finished.
        metrics = student.ppo_update_(policy, critic, optimizer, batch, cfg)
        ratios.append(float(metrics["ratio_mean"]))
        errors.append(float(metrics["value_loss"]))
    seconds = time.perf_counter() - begin
    assert_finite(torch.tensor(ratios + errors))
    assert_true(ratios[-1] > ratios[0], "tokens with a positive advantage become more likely")
    assert_true(errors[-1] < errors[0], "values come nearer to the returns")
    lab.rate("tokens per second", TIMED * rows * (length - 1) / seconds)
