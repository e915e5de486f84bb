"""`distributed_ppo` on GPUs: an NCCL process group with a rank for each, float64 and bf16 steps,
and environment steps per second.

    python -m pytest grading/distributed_ppo/test_scale.py -s                  the solution, on the GPU; skips and says why without one
    python -m pytest grading/distributed_ppo/test_scale.py -s --device cpu     a rehearsal: gloo, two ranks, small sizes

NCCL gives each rank a GPU of its own, so a machine with one has a group of one rank. Everything
happens in ranks: a process that has used CUDA cannot fork others that do. References are computed
here, in float64, on all rows. Whether points count is course.yml's `scale`.

Tolerances. float64: 1e-9; over 200 draws on a CPU the error was 1e-16 at most, and on a GPU sums
have another order. bf16: a step of plain gradient descent by 0.1 is lost where it is smaller than
2^-9 of the weight, so the direction of a step is compared, of which see `BF16_COSINE`. Not measured
on a GPU.
"""

import time
from typing import NamedTuple

import numpy as np
import pytest
import torch

from autograder.judging.checks import assert_close, assert_equal, assert_finite, assert_true
from autograder.judging.plugin import points

pytestmark = pytest.mark.gpu
OBS, ACTIONS, HIDDEN = 16, 4, 32


class Batch(NamedTuple):
    """A batch as the starter defines it."""

    obs: torch.Tensor
    actions: torch.Tensor
    logp: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    mask: torch.Tensor


def batch_of(rng, rows, obs=OBS, actions=ACTIONS, dtype=torch.float64):
    """Random rows, every fourth of which does not count; the numbers are those that ``dtype`` can
    hold."""
    floats = [
        rng.normal(size=(rows, obs)),
        np.log(1 / actions) + rng.normal(size=rows) * 0.3,
        rng.normal(size=rows),
        rng.normal(size=rows),
    ]
    observed, *rest = (torch.tensor(x).to(dtype).double() for x in floats)
    return Batch(
        observed,
        torch.tensor(rng.integers(actions, size=rows)),
        *rest,
        torch.tensor(np.arange(rows) % 4 != 2),
    )


def joined(batches):
    """All rows of all ranks."""
    return Batch(*(torch.cat(column) for column in zip(*batches, strict=True)))


def weights(rng, dtype=torch.float64):
    """Parameters of an ActorCritic, in its order."""
    shapes = [(HIDDEN, OBS), (HIDDEN,), (HIDDEN, HIDDEN), (HIDDEN,)]
    drawn = [
        rng.normal(size=s) * 0.3
        for head in (ACTIONS, 1)
        for s in [*shapes, (head, HIDDEN), (head,)]
    ]
    return [torch.tensor(x).to(dtype).double() for x in drawn]


def reference_gradient(values, batch):
    """The gradient of the mean over valid rows of the clipped surrogate and half the weighted value
    loss."""
    values = [value.clone().requires_grad_() for value in values]

    def network(w1, b1, w2, b2, w3, b3):
        return ((batch.obs @ w1.T + b1).tanh() @ w2.T + b2).tanh() @ w3.T + b3

    logp = network(*values[:6]).log_softmax(-1).gather(1, batch.actions[:, None])[:, 0]
    ratio = (logp - batch.logp).exp()
    surrogate = torch.minimum(ratio * batch.advantages, ratio.clamp(0.8, 1.2) * batch.advantages)
    errors = network(*values[6:])[:, 0] - batch.returns
    return torch.autograd.grad((-surrogate + 0.25 * errors**2)[batch.mask].mean(), values)


def group(lab):
    """A rank for each GPU, in one NCCL group; in a rehearsal two ranks in a gloo group. And how
    many there are."""
    count = (
        min(8, int(lab.value(lab.make("torch.cuda.device_count")))) if lab.device == "cuda" else 2
    )
    return lab.ranks(count, "nccl" if lab.device == "cuda" else "gloo"), count


def there(lab, device, tensor, dtype):
    """The tensor where that rank's code lives: a handle."""
    return lab.make(
        "torch.asarray", tensor, device=device, dtype=dtype if tensor.is_floating_point() else None
    )


def batch_there(student, lab, device, batch, dtype):
    """The student's own batch, on that rank's device."""
    return lab.kept(student).Batch(*(there(lab, device, column, dtype) for column in batch))


def moved(lab, values, batches, dtype):
    """By how much each parameter moves in one step of gradient descent by 0.1, rank by rank, as one
    vector; and the metrics."""
    ranks, count = group(lab)
    kind = getattr(torch, dtype)

    def program(student, rank):
        own = ranks.labs[rank]
        model = own.kept(own.kept(student).ActorCritic(OBS, ACTIONS, HIDDEN, 0, dtype))
        state = dict(
            zip(
                list(own.value(model.state_dict())),
                [value.to(kind) for value in values],
                strict=True,
            )
        )
        model.load_state_dict(state)
        model.to(lab.device)
        config = student.PPOConfig(
            obs_dim=OBS,
            n_actions=ACTIONS,
            hidden=HIDDEN,
            optimizer="sgd",
            learning_rate=0.1,
            max_grad_norm=None,
            dtype=dtype,
        )
        optimizer = own.kept(student).make_optimizer(model, config)
        metrics = student.distributed_step_(
            model, optimizer, [batch_there(student, own, lab.device, batches[rank], kind)], config
        )
        after = own.value(model.state_dict())
        return torch.cat(
            [(after[name].double() - state[name].double()).flatten() for name in state]
        ), metrics

    return ranks.run(program), joined(batches[:count])


def expected_move(values, batch):
    """The same, in float64 and on all rows at once."""
    return torch.cat([-0.1 * gradient.flatten() for gradient in reference_gradient(values, batch)])


@points(
    2,
    part="loss",
    seconds=120,
    hint="Everything that is communicated must lie where communication_device() says, and so must "
    "what it is added to.",
)
def test_float64_steps_are_those_of_the_cpu(lab, rng):
    """A step of all ranks on GPUs is the step that one CPU makes with all rows."""
    values, batches = weights(rng), [batch_of(rng, 48 + 16 * rank) for rank in range(8)]
    found, rows = moved(lab, values, batches, "float64")
    for move, metrics in found:
        assert_close(move, expected_move(values, rows), rtol=0, atol=1e-9, what="the step")
        assert_true(0 <= float(metrics["clip_fraction"]) <= 1, "the share of clipped rows is one")


# Over 200 draws of the solution on a CPU (one rank, 192 rows) the cosine between the two directions
# was 0.977 at the median and 0.922 at least.
BF16_COSINE = 0.8


@points(
    1, part="loss", seconds=120, hint="Add up in float32 or more, and round to bf16 at the end."
)
def test_bf16_steps_point_the_same_way(lab, rng):
    """A step in bf16 goes in the direction of the step in float64."""
    values = weights(rng, torch.bfloat16)
    batches = [batch_of(rng, 192 + 64 * rank, dtype=torch.bfloat16) for rank in range(8)]
    found, rows = moved(lab, values, batches, "bfloat16")
    for move, _ in found:
        cosine = float(
            torch.nn.functional.cosine_similarity(move, expected_move(values, rows), dim=0)
        )
        assert_true(cosine > BF16_COSINE, f"the directions agree: their cosine is {cosine:.4f}")


WARM_UP, TIMED = 3, 10


@points(
    1,
    part="loss",
    seconds=300,
    hint="Let nothing pull rows back to the CPU, and reduce once for each optimiser step.",
)
def test_a_wide_network_steps_in_bf16(lab, rng):
    """Steps of a wide network on many rows are finite, equal on all ranks, and their speed is
    noted."""
    ranks, count = group(lab)
    rows, hidden = (65536, 4096) if lab.device == "cuda" else (256, 64)
    batches = [
        batch_of(np.random.default_rng(int(rng.integers(2**31))), rows) for _ in range(count)
    ]

    def program(student, rank):
        own = ranks.labs[rank]
        config = student.PPOConfig(obs_dim=OBS, n_actions=ACTIONS, hidden=hidden)
        model = own.kept(
            own.kept(own.kept(student).ActorCritic(OBS, ACTIONS, hidden, 0, "bfloat16")).to(
                lab.device
            )
        )
        optimizer = own.kept(student).make_optimizer(model, config)
        batch = batch_there(student, own, lab.device, batches[rank], torch.bfloat16)
        for step in range(WARM_UP + TIMED):
            if step == WARM_UP:
                begin = time.perf_counter()
            metrics = student.distributed_step_(
                model, optimizer, [batch], config
            )  # numbers: the GPU has finished
        return (
            time.perf_counter() - begin,
            float(metrics["grad_norm"]),
            own.value(model.state_dict()["actor.0.bias"]),
        )

    seconds, norms, biases = zip(*ranks.run(program), strict=True)
    assert_finite(torch.tensor(norms))
    assert_true(min(norms) > 0, "there is a gradient")
    for bias in biases[1:]:
        assert_equal(
            bias.view(torch.int16),
            biases[0].view(torch.int16),
            what="the bits of a parameter on another rank",
        )
    lab.rate("rows per second", TIMED * rows * count / max(seconds))


@points(
    1,
    part="training",
    seconds=300,
    hint="The environments are on the CPU: what they give goes to the model's device, and actions "
    "come back.",
)
def test_training_runs_in_a_group_on_gpus(lab):
    """All ranks train together on CartPole, end with the same parameters, and count everybody's
    environment steps."""
    ranks, count = group(lab)
    iterations, envs, steps = (8, 8 * count, 64) if lab.device == "cuda" else (2, 4, 16)

    def program(student, rank):
        config = student.PPOConfig(iterations=iterations, envs=envs, rollout_steps=steps)
        begin = time.perf_counter()
        result = ranks.labs[rank].kept(student).train_distributed_ppo("CartPole-v1", config, 0)
        seconds = time.perf_counter() - begin
        return (
            seconds,
            ranks.labs[rank].value(result.steps),
            list(ranks.labs[rank].value(result.model.state_dict()).values()),
        )

    seconds, counted, states = zip(*ranks.run(program), strict=True)
    for taken in counted:
        assert_equal(taken, iterations * envs * steps, what="environment steps of all ranks")
    for state in states:
        for one, other in zip(state, states[0], strict=True):
            assert_close(one, other, rtol=0, atol=0, what="a parameter on another rank")
    lab.rate("environment steps per second", iterations * envs * steps / max(seconds))
