"""`grpo` on a GPU: one step of the loss on a larger, randomly initialised decoder in bf16, and tokens a second. No score depends on it.

    python -m pytest -m gpu grading/grpo/test_scale.py -s
"""

import importlib.util
import sys
import time
from pathlib import Path

import pytest
import torch

from autograder.source import Source

SOLUTION = Path(__file__).resolve().parents[2] / "solutions" / "grpo" / "grpo.py"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: torch.cuda.is_available() is False")
pytestmark = [pytest.mark.gpu, needs_gpu]


@pytest.fixture(scope="module")
def work():
    """The solution as a module."""
    spec = importlib.util.spec_from_loader("grpo", loader=None)
    module = importlib.util.module_from_spec(spec)
    sys.modules["grpo"] = module
    exec(compile(Source(SOLUTION).solution(), "grpo.py", "exec"), vars(module))
    yield module
    del sys.modules["grpo"]


def inputs(device, rows=8, length=32):
    """Log-probabilities, advantages and a ragged mask, the same on every device."""
    draw = torch.Generator().manual_seed(0)
    logp, old, ref = (torch.rand(rows, length, generator=draw, dtype=torch.float64) - 1.5 for _ in range(3))
    advantages = torch.rand(rows, generator=draw, dtype=torch.float64) - 0.5
    mask = torch.arange(length)[None] < torch.arange(length - rows, length)[:, None]
    return [tensor.to(device) for tensor in (logp, old, ref, advantages, mask.to(torch.float64))]


def test_the_loss_is_the_same_on_both_devices(work):
    values = [float(work.grpo_loss(*inputs(device), 0.2, 0.2, 0.04)[0]) for device in ("cpu", "cuda")]
    assert values[0] == pytest.approx(values[1], abs=1e-10)


def test_tokens_a_second_of_a_larger_decoder_are_reported(work):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=24, n_head=16, n_embd=1024, n_positions=512, vocab_size=32000)
    model = transformers.GPT2LMHeadModel(config).to("cuda", torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    tokens = torch.randint(32000, (16, 512), generator=torch.Generator().manual_seed(0)).cuda()
    advantages, mask = torch.linspace(-1, 1, 16, device="cuda"), torch.ones(16, 511, device="cuda")
    for step in range(7):
        if step == 2:
            torch.cuda.synchronize()
            begin = time.perf_counter()
        logits = model(tokens[:, :-1]).logits
        logp = logits.float().log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        loss, _ = work.grpo_loss(logp, logp.detach(), logp.detach(), advantages, mask, 0.2, 0.2, 0.04)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.cuda.synchronize()
    rate = 5 * 16 * 511 / (time.perf_counter() - begin)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, {size:.0f}M parameters, bf16: {rate:,.0f} tokens/s")
    assert torch.isfinite(loss)
