"""`distributed_ppo` on a GPU: an NCCL process group, bf16, and rows a second. No score depends on these tests.

    python -m pytest -m gpu grading/distributed_ppo/test_scale.py -s
"""

import importlib.util
import sys
import time
from pathlib import Path

import pytest
import torch

from autograder.source import Source

SOLUTION = Path(__file__).resolve().parents[2] / "solutions" / "distributed_ppo" / "distributed_ppo.py"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: torch.cuda.is_available() is False")
pytestmark = [pytest.mark.gpu, needs_gpu]


@pytest.fixture(scope="module")
def work():
    """The solution, with a process group of one rank on the GPU."""
    spec = importlib.util.spec_from_loader("distributed_ppo", loader=None)
    module = importlib.util.module_from_spec(spec)
    sys.modules["distributed_ppo"] = module
    exec(compile(Source(SOLUTION).solution(), "distributed_ppo.py", "exec"), vars(module))
    store = torch.distributed.HashStore()
    torch.cuda.set_device(0)
    torch.distributed.init_process_group("nccl", store=store, rank=0, world_size=1)
    yield module
    torch.distributed.destroy_process_group()
    del sys.modules["distributed_ppo"]


def batch_of(work, rows, device, dtype):
    """Random rows, the same on every device."""
    draw = torch.Generator().manual_seed(0)
    obs = torch.rand(rows, 64, generator=draw)
    numbers = [torch.rand(rows, generator=draw) for _ in range(3)]
    logp, advantages, returns = (number.to(device, dtype) for number in (numbers[0] - 1.2, numbers[1] - 0.5, numbers[2]))
    actions = torch.arange(rows) % 2
    return work.Batch(obs.to(device, dtype), actions.to(device), logp, advantages, returns, torch.ones(rows, dtype=torch.bool, device=device))


def stepped(work, device, dtype, steps=3):
    """Parameters after some steps of gradient descent, on the CPU in float64."""
    config = work.PPOConfig(obs_dim=64, hidden=128, optimizer="sgd", learning_rate=0.1, max_grad_norm=1.0)
    model = work.ActorCritic(64, 2, 128).to(device, dtype)
    optimizer = work.make_optimizer(model, config)
    batch = batch_of(work, 512, device, dtype)
    for _ in range(steps):
        work.distributed_step_(model, optimizer, [batch], config)
    return [parameter.detach().cpu().double() for parameter in model.parameters()]


def test_float64_steps_on_the_gpu_are_those_of_the_cpu(work):
    for one, other in zip(stepped(work, "cuda", torch.float64), stepped(work, "cpu", torch.float64), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-9)


def test_bf16_steps_point_the_same_way(work):
    """bf16 keeps 8 bits: the direction of three steps is compared, not the digits. The bound is to be calibrated on a device."""
    start = [p.detach().double() for p in work.ActorCritic(64, 2, 128).parameters()]
    moves = [
        torch.cat([(end - begin).reshape(-1) for end, begin in zip(stepped(work, device, dtype), start, strict=True)])
        for device, dtype in (("cuda", torch.bfloat16), ("cpu", torch.float64))
    ]
    assert float(torch.nn.functional.cosine_similarity(*moves, dim=0)) > 0.9


def test_rows_a_second_are_reported(work):
    config = work.PPOConfig(obs_dim=64, hidden=4096, micro_batches=1)
    model = work.ActorCritic(64, 2, 4096).to("cuda", torch.bfloat16)
    optimizer, batch = work.make_optimizer(model, config), batch_of(work, 65536, "cuda", torch.bfloat16)
    for step in range(12):
        if step == 2:
            torch.cuda.synchronize()
            begin = time.perf_counter()
        work.distributed_step_(model, optimizer, [batch], config)
    torch.cuda.synchronize()
    rate = 10 * 65536 / (time.perf_counter() - begin)
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, NCCL {torch.cuda.nccl.version()}: {rate:,.0f} rows/s")
    assert rate > 0
