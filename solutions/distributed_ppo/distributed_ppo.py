"""Distributed PPO: several processes that train one policy, and whose numbers are those of a single
process.

Conventions, for every function of this file

* A process of the group is a *rank*; there are ``world`` of them, numbered from 0. Every rank runs
  the same program on data of its own.
* A function marked **collective** talks to the other ranks: all of them must call it, in the same
  order. A rank that skips one leaves the rest waiting.
* Without a process group (``torch.distributed`` not initialised) every function behaves as the only
  rank of a world of one.
* Ranks may hold different numbers of rows and of valid entries, even none. A mean over ranks is the
  sum of all entries divided by the number of all entries, never a mean of the ranks' means.
* Arguments are never changed, except by functions and methods whose name ends in ``_``.

Sources: Schulman, Wolski, Dhariwal, Radford and Klimov (2017), "Proximal policy optimization
algorithms", arXiv:1707.06347; Li et al. (2020), "PyTorch distributed: experiences on accelerating
data parallel training", arXiv:2006.15704; Chan, Golub and LeVeque (1983), "Algorithms for computing
the sample variance", The American Statistician 37(3); Sheng et al. (2024), "HybridFlow: a flexible
and efficient RLHF framework", arXiv:2409.19256 (single controller, worker groups, transfer
protocols).
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import gymnasium
import numpy as np
import torch
import torch.distributed as dist
from rollouts import gae
from torch import Tensor, nn


class RankError(RuntimeError):
    """A rank failed; ``rank`` says which."""

    def __init__(self, rank: int, reason: str) -> None:
        super().__init__(f"rank {rank}: {reason}")
        self.rank = rank


class WorkerError(RuntimeError):
    """A worker of a group failed in a call; ``rank`` says which."""

    def __init__(self, rank: int, method: str, reason: str) -> None:
        super().__init__(f"rank {rank} failed in {method}: {reason}")
        self.rank = rank


class Moments(NamedTuple):
    """Mean and population variance of all valid entries on all ranks, and how many there are."""

    mean: float
    var: float
    count: int


class Batch(NamedTuple):
    """Rows of experience. ``mask`` is 1 where a row counts."""

    obs: Tensor  # (B, D)
    actions: Tensor  # (B,) int64
    logp: Tensor  # (B,) log-probability of the action under the policy that took it
    advantages: Tensor  # (B,)
    returns: Tensor  # (B,)
    mask: Tensor  # (B,) bool


@dataclass(frozen=True)
class PPOConfig:
    """Numbers of one training run; those with "each" are for each rank."""

    obs_dim: int = 4
    n_actions: int = 2
    hidden: int = 64
    learning_rate: float = 3e-3
    optimizer: str = "adam"  # or "sgd"
    clip_low: float = 0.2
    clip_high: float | None = None  # None: as clip_low
    value_weight: float = 0.5
    entropy_weight: float = 0.0
    max_grad_norm: float | None = 0.5
    epochs: int = 4
    minibatches: int = 4  # optimiser steps in one epoch, the same number on every rank
    micro_batches: int = 1  # pieces of a minibatch whose gradients are accumulated
    target_kl: float | None = (
        None  # stop an update when the mean KL of all ranks exceeds 1.5 times this
    )
    gamma: float = 0.99
    lam: float = 0.95
    envs: int = 8  # environments in all, dealt out to the ranks
    rollout_steps: int = 64  # steps of each environment in one rollout
    iterations: int = 40
    dtype: str = "float32"


class Result(NamedTuple):
    """What ``train_distributed_ppo`` returns."""

    model: ActorCritic
    returns: list[float]  # undiscounted returns of this rank's finished episodes, in order
    steps: int  # environment steps of all ranks


# -- Given: the world, the networks, PPO's terms ---------------------------------------------------


def rank_and_world() -> tuple[int, int]:
    """(rank, world) of this process; (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def communication_device() -> torch.device:
    """Where tensors must lie to be communicated: the GPU under NCCL, else the CPU."""
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of every rank's ``tensor``, as a new tensor without a gradient. Collective."""
    total = tensor.detach().clone()
    if rank_and_world()[1] > 1:
        dist.all_reduce(total)
    return total


class ActorCritic(nn.Module):
    """Two small networks on one observation: logits of a categorical policy and a value."""

    def __init__(
        self, obs_dim: int, n_actions: int, hidden: int = 64, seed: int = 0, dtype: str = "float32"
    ) -> None:
        super().__init__()
        sizes = (obs_dim, hidden, hidden)
        self.actor = nn.Sequential(*_layers(sizes), nn.Linear(hidden, n_actions))
        self.critic = nn.Sequential(*_layers(sizes), nn.Linear(hidden, 1))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                scale = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.0
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
            self.actor[-1].weight.mul_(0.01)
        self.to(getattr(torch, dtype))

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> logits (B, A) and values (B,)."""
        obs = obs.to(self.critic[-1].weight)  # dtype and device
        return self.actor(obs), self.critic(obs).squeeze(-1)


def _layers(sizes: Sequence[int]) -> Iterator[nn.Module]:
    for inputs, outputs in itertools.pairwise(sizes):
        yield nn.Linear(inputs, outputs)
        yield nn.Tanh()


def make_optimizer(model: nn.Module, config: PPOConfig) -> torch.optim.Optimizer:
    """The optimiser that ``config`` names."""
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[config.optimizer]
    return kind(model.parameters(), lr=config.learning_rate)


class Terms(NamedTuple):
    """PPO's terms, one for each entry, before any sum."""

    loss: Tensor  # -min(r A, clip(r) A): carries the gradient
    clipped: Tensor  # 1.0 where the ratio is outside the bounds, else 0.0
    kl: Tensor  # (r - 1) - log r, an estimate of KL(old || new) that is never negative
    ratio: Tensor  # r = exp(logp - old_logp)


def surrogate_terms(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    clip_low: float = 0.2,
    clip_high: float | None = None,
) -> Terms:
    """The clipped surrogate of PPO entry by entry (Schulman et al. 2017, eq. 7), any shape."""
    difference = logp - old_logp.detach()
    ratio = difference.exp()
    low, high = 1 - clip_low, 1 + (clip_low if clip_high is None else clip_high)
    advantages = advantages.detach()
    loss = -torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    clipped = ((ratio < low) | (ratio > high)).to(ratio.dtype)
    fixed = ratio.detach()
    return Terms(loss, clipped, fixed - 1 - difference.detach(), fixed)


def policy_and_value_terms(model: nn.Module, batch: Batch, config: PPOConfig) -> Terms:
    """The terms of one batch with value loss and entropy bonus in ``loss`` (eq. 9). Each (B,)."""
    logits, values = model(batch.obs)
    policy = torch.distributions.Categorical(logits=logits)
    terms = surrogate_terms(
        policy.log_prob(batch.actions),
        batch.logp,
        batch.advantages,
        config.clip_low,
        config.clip_high,
    )
    value = 0.5 * (values - batch.returns) ** 2
    return terms._replace(
        loss=terms.loss + config.value_weight * value - config.entropy_weight * policy.entropy()
    )


# -- Part 1: processes and shards ------------------------------------------------------------------


def shard_indices(n: int, rank: int, world: int) -> Tensor:
    """The rows that belong to ``rank`` when n rows are dealt out to ``world`` ranks.

    Any exact partition: every row belongs to one rank, and the sizes differ by at most one.

    Args:
        n: number of rows, at least 0.
        rank, world: 0 <= rank < world.

    Returns:
        (m,) int64.

    Raises:
        ValueError: n < 0, or the rank does not exist.
    """
    if n < 0 or not 0 <= rank < world:
        raise ValueError(
            f"n must be at least 0 and 0 <= rank < world, but n={n}, rank={rank}, world={world}."
        )
    # TODO(processes): deal out all rows, the remainder too.
    ### BEGIN SOLUTION
    # BUG(drops-the-remainder): return torch.arange(rank * (n // world), (rank + 1) * (n // world))
    # WHEN rows that do not divide evenly among the ranks belong to nobody.
    # BUG(drops-the-remainder, 2): return torch.arange(n // world * world)[rank::world]
    # BUG(repeats-rows): return (torch.arange(-(-n // world) * world) % max(n, 1))[rank::world]
    # WHEN rows are repeated until all ranks have equally many, as torch's DistributedSampler has
    # WHEN it, while here every row belongs to one rank.
    # BUG(repeats-rows, 2): return (torch.arange(-(-n // world) * world) % max(n, 1)).reshape(world, -1)[rank]
    # BUG(remainder-on-one-rank): return torch.arange(rank * (n // world), n if rank == world - 1 else (rank + 1) * (n // world))
    # WHEN one rank takes the whole remainder, so that its shard is larger than the others by more
    # WHEN than one row.
    # BUG(remainder-on-one-rank, 2): return torch.arange(n)[0 if rank == 0 else n - (world - rank) * (n // world) : n - (world - 1 - rank) * (n // world)]
    return torch.arange(n)[rank::world]
    ### END SOLUTION


def rank_seed(seed: int, rank: int) -> int:
    """A seed for one stream of random numbers: different for every pair (seed, rank), the same in
    every run.

    Seeds are non-negative and below 2**63. ``seed + rank`` will not do: rank 1 of seed 0 would
    repeat rank 0 of seed 1. `numpy.random.SeedSequence` takes several integers and mixes them well.

    Raises:
        ValueError: a negative seed or rank.
    """
    if seed < 0 or rank < 0:
        raise ValueError(f"seed and rank must not be negative, but they are {seed} and {rank}.")
    # TODO(processes): mix both numbers into one.
    ### BEGIN SOLUTION
    # BUG(one-seed-for-all): return int(np.random.SeedSequence([seed]).generate_state(1, np.uint64)[0] >> 1)
    # WHEN every rank draws the same random numbers, so that all of them collect the same
    # WHEN experience.
    # BUG(one-seed-for-all, 2): return seed
    # BUG(seeds-overlap): return seed + rank
    # WHEN the seed of a rank is the sum of the run's seed and the rank, or of multiples of them, so
    # WHEN that a rank of one run repeats another rank of another run.
    # BUG(seeds-overlap, 2): return 1000 * seed + rank
    # BUG(seeds-overlap, 3): return seed + 1000 * rank
    return int(np.random.SeedSequence([seed, rank]).generate_state(1, np.uint64)[0] >> 1)
    ### END SOLUTION


def supervise(
    poll: Callable[[], list[int | None]],
    stop: Callable[[], None],
    timeout_s: float,
    interval_s: float = 0.02,
) -> None:
    """Watch the processes of all ranks until the last one has ended well, or the first one has not.

    Args:
        poll: says for each rank its exit code, or None while it runs. Call it at least once, and
            again every ``interval_s`` seconds.
        stop: ends all processes that still run. Call it exactly once when something went wrong, and
            never otherwise.
        timeout_s: seconds that the whole may take.

    Raises:
        RankError: a rank ended with an exit code other than 0; names the (lowest) rank, at once,
            even while others run.
        TimeoutError: the time is up and some rank still runs.
    """
    # TODO(processes): look at all exit codes again and again; on the first bad one stop all, then raise.
    ### BEGIN SOLUTION
    deadline = time.monotonic() + timeout_s
    while True:
        codes = poll()
        # BUG(waits-for-rank-0-first): bad = [rank for rank, code in enumerate(codes) if code and None not in codes[:rank]]
        # WHEN the ranks are waited for in order, so that a failure is seen only when all ranks
        # WHEN before it have ended.
        bad = [rank for rank, code in enumerate(codes) if code]
        if bad:
            # BUG(leaves-orphans): pass
            # WHEN the other ranks are left running after one has failed.
            stop()
            # BUG(blames-rank-0): raise RankError(0, f"ended with exit code {codes[bad[0]]}")
            # WHEN a failure is always reported as rank 0's.
            # BUG(blames-the-last): raise RankError(bad[-1], f"ended with exit code {codes[bad[-1]]}")
            # WHEN of several ranks that have failed the last one is named instead of the lowest.
            raise RankError(bad[0], f"ended with exit code {codes[bad[0]]}")
        if None not in codes:
            return
        if time.monotonic() > deadline:
            # BUG(leaves-orphans): pass
            stop()
            raise TimeoutError(f"not every rank has ended within {timeout_s:g} seconds")
        time.sleep(interval_s)
    ### END SOLUTION


def launch(
    fn: Callable[..., Any],
    world_size: int,
    backend: str = "gloo",
    timeout_s: float = 60.0,
    args: tuple[Any, ...] = (),
) -> list[Any]:
    """Run ``fn(*args)`` on ``world_size`` new processes of one process group; their results in
    order of rank. Given.

    The ranks meet through a file, so no port is fixed and no two launches can meet. An exception on
    one rank ends all of them: RankError with its traceback. A collective that waits longer than
    ``timeout_s``, or a run that takes longer, fails too. Under
    ``torchrun`` the processes are there already: ``fn`` runs as the rank that this process is, and
    the list holds its result alone.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
        with _group_to_the_end(backend, int(os.environ["LOCAL_RANK"])):
            return [fn(*args)]
    forks = (
        sys.platform == "linux" and backend == "gloo"
    )  # CUDA does not survive a fork; Windows and macOS have none to rely on
    context = multiprocessing.get_context("fork" if forks else "spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting_point = str(Path(folder, "rendezvous"))
        lines, processes = [], []
        for rank in range(world_size):
            ours, theirs = context.Pipe(duplex=False)
            settings = (fn, args, rank, world_size, backend, meeting_point, timeout_s, theirs)
            process = context.Process(target=_as_rank, args=settings, daemon=True)
            process.start()
            theirs.close()
            lines.append(ours)
            processes.append(process)
        return _results(processes, lines, timeout_s)


def _as_rank(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    rank: int,
    world: int,
    backend: str,
    path: str,
    timeout_s: float,
    line: Any,
) -> None:
    """In the new process: join the group, run, send back what came of it."""
    try:
        torch.set_num_threads(1)
        limit = timedelta(seconds=timeout_s)
        store = dist.FileStore(path, world)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=limit)
        with _group_to_the_end(backend, rank):
            line.send((None, fn(*args)))
    except BaseException:
        line.send((time.monotonic(), traceback.format_exc()))
        line.close()
        os._exit(1)


@contextlib.contextmanager
def _group_to_the_end(backend: str, local_rank: int) -> Iterator[None]:
    """Leave the group together: a rank that is done early still answers the others until they are
    done too."""
    if backend == "nccl":
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    yield
    dist.barrier()
    dist.destroy_process_group()


def _results(processes: list[Any], lines: list[Any], timeout_s: float) -> list[Any]:
    results: dict[int, Any] = {}
    failures: list[
        tuple[float, int, str]
    ] = []  # at what time (one clock for all processes of a machine), on which rank, the traceback
    codes: list[int | None] = []

    def listen() -> None:
        for rank, line in enumerate(lines):
            with contextlib.suppress(EOFError, OSError):
                while line.poll():
                    failed_at, said = line.recv()
                    if failed_at is None:
                        results[rank] = said
                    else:
                        failures.append((failed_at, rank, said))

    def poll() -> list[int | None]:
        listen()
        codes[:] = [process.exitcode for process in processes]
        return list(codes)

    def stop() -> None:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()

    try:
        supervise(poll, stop, timeout_s)
    except RankError as error:
        stop()
        listen()
        raise _cause(error, failures, codes) from None
    finally:
        stop()  # whatever happened, nobody is left
    listen()
    if early := [rank for rank in range(len(processes)) if rank not in results]:
        raise RuntimeError(f"supervise returned before rank {early[0]} had ended")
    return [results[rank] for rank in range(len(processes))]


def _cause(
    error: RankError, failures: list[tuple[float, int, str]], codes: list[int | None]
) -> RankError:
    """The failure that came first: a rank that ends makes all that wait for it fail a moment later,
    rank 0 often among them."""
    told = {rank for _, rank, _ in failures}
    silent = [
        rank for rank, code in enumerate(codes) if code and rank not in told
    ]  # killed: the others could only follow
    if silent:
        return RankError(
            silent[0], f"ended with exit code {codes[silent[0]]} and said nothing (was it killed?)"
        )
    if failures:
        _, rank, text = min(failures)
        return RankError(rank, text)
    return error


# -- Part 2: communication -------------------------------------------------------------------------


def broadcast_params_(params: Iterable[Tensor]) -> None:
    """Give every rank the parameters of rank 0, in place. Collective.

    Args:
        params: tensors, of the same shapes in the same order on all ranks; `model.parameters()` is
            an iterator.
    """
    # TODO(communication): broadcast each tensor's data from rank 0.
    ### BEGIN SOLUTION
    if rank_and_world()[1] == 1:
        return
    for parameter in params:
        # BUG(broadcasts-a-copy): dist.broadcast(parameter.detach().clone(), src=0)
        # WHEN what rank 0 sends is received into a copy and the parameters stay as they were.
        # BUG(broadcasts-from-the-last): dist.broadcast(parameter.detach(), src=rank_and_world()[1] - 1)
        # WHEN everybody starts from the last rank's parameters instead of from rank 0's.
        dist.broadcast(parameter.data, src=0)
    ### END SOLUTION


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All entries of all tensors in one new 1-D tensor, in order: one message instead of many.

    Raises:
        ValueError: there is no tensor.
    """
    if not tensors:
        raise ValueError("there is no tensor to flatten.")
    # TODO(communication): one row of numbers.
    ### BEGIN SOLUTION
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
    ### END SOLUTION


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of ``flatten``: tensors of the shapes of ``like``, filled from ``flat`` in order.

    Raises:
        ValueError: ``flat`` does not have as many entries as ``like`` together.
    """
    if flat.ndim != 1 or len(flat) != sum(tensor.numel() for tensor in like):
        raise ValueError(
            f"flat has shape {tuple(flat.shape)}, which is not the size of the tensors together."
        )
    # TODO(communication): cut the row into pieces and give them their shapes.
    ### BEGIN SOLUTION
    pieces, start = [], 0
    for tensor in like:
        pieces.append(flat[start : start + tensor.numel()].reshape(tensor.shape))
        # BUG(unflatten-from-the-start): start = 0
        # WHEN every tensor is filled from the beginning of the row.
        start += tensor.numel()
    return pieces
    ### END SOLUTION


def all_reduce_grads_(params: Iterable[Tensor], weight: float) -> None:
    """Replace each gradient by the weighted mean over ranks, in place. Collective, whatever is
    missing where.

        g <- (sum over ranks of weight_r * g_r) / (sum over ranks of weight_r)

    A gradient that is None on this rank counts as zeros (its parameter took no part in this rank's
    loss). One that is None on all ranks stays None. Send few large messages rather than many small
    ones.

    Args:
        params: the parameters, in the same order on all ranks; each one's ``.grad`` is replaced.
        weight: of this rank, at least 0: the number of its valid entries if its loss is their mean.
            With weight 0 its gradients are not used, not even if they are nan (the mean of no
            entries).

    Raises:
        ValueError: a negative weight, or weights that sum to 0 (on every rank alike).
    """
    if weight < 0:
        raise ValueError(f"weight must not be negative, but it is {weight}.")
    # TODO(communication): weigh, sum over ranks, divide; agree first on which gradients there are.
    ### BEGIN SOLUTION
    params = list(params)
    present = torch.tensor(
        [float(p.grad is not None) for p in params] + [weight], dtype=torch.float64
    )
    *found, total = sum_over_ranks(present.to(communication_device())).tolist()
    if total == 0:
        raise ValueError("the weights of all ranks sum to 0.")
    used = [parameter for parameter, anywhere in zip(params, found, strict=True) if anywhere]
    if not used:
        return
    # BUG(no-weight-times-nan): absent = [p.grad is None for p in used]
    # WHEN the gradient of a rank without weight is multiplied by 0 instead of left out: nan stays.
    absent = [p.grad is None or weight == 0 for p in used]
    gradients = [
        torch.zeros_like(p) if missing else p.grad for p, missing in zip(used, absent, strict=True)
    ]
    # BUG(mean-of-means): mean = sum_over_ranks(flatten(gradients)) / rank_and_world()[1]
    # WHEN the ranks' gradients are divided by the number of ranks, not by the sum of the weights.
    # BUG(mean-of-means, 2): mean = sum_over_ranks(flatten(gradients) * weight) / rank_and_world()[1]
    # BUG(sums-the-gradients): mean = sum_over_ranks(flatten(gradients) * weight)
    # WHEN the ranks' gradients are added up and never divided.
    # BUG(sums-the-gradients, 2): mean = sum_over_ranks(flatten(gradients))
    mean = sum_over_ranks(flatten(gradients) * weight) / total
    for parameter, gradient in zip(used, unflatten(mean, used), strict=True):
        # BUG(missing-gradient-stays-missing): parameter.grad = None if parameter.grad is None else gradient
        # WHEN a rank without a gradient of its own does not receive that of the others.
        parameter.grad = gradient
    ### END SOLUTION


def hierarchical_all_reduce_(tensor: Tensor, ranks_per_node: int) -> Tensor:
    """Sum over all ranks in three steps, in place, and return it: within nodes, between nodes,
    within nodes. Collective.

    Node k holds the ranks k * ranks_per_node, ..., (k + 1) * ranks_per_node - 1; the first of them
    is its leader. Sum within each node, sum over the leaders, and let each leader tell its node. On
    a cluster only the leaders use the slow network. ``dist.new_group`` is collective: every rank
    must make every group, also those that it is not in, in the same order.

    Raises:
        ValueError: ``ranks_per_node`` does not divide the number of ranks.
    """
    rank, world = rank_and_world()
    if ranks_per_node < 1 or world % ranks_per_node:
        raise ValueError(f"{world} ranks cannot be split into nodes of {ranks_per_node}.")
    # TODO(communication): one group for each node, one for the leaders; sum, sum, broadcast.
    ### BEGIN SOLUTION
    if not dist.is_initialized():
        return tensor
    firsts = range(0, world, ranks_per_node)
    nodes = [dist.new_group(list(range(first, first + ranks_per_node))) for first in firsts]
    leaders = dist.new_group(list(firsts))
    node, leader = nodes[rank // ranks_per_node], rank // ranks_per_node * ranks_per_node
    dist.all_reduce(tensor, group=node)
    if rank == leader:
        dist.all_reduce(tensor, group=leaders)
    # BUG(leaders-keep-the-sum): pass
    # WHEN the leaders do not tell their nodes the sum over all nodes.
    dist.broadcast(tensor, src=leader, group=node)
    return tensor
    ### END SOLUTION


# -- Part 3: statistics ----------------------------------------------------------------------------

### BEGIN SOLUTION


def _merged(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean, sum of squared deviations and count over the first axis and all ranks, feature by
    feature.

    Two passes: the deviations are taken from the mean over all ranks, so that nothing large
    cancels.
    """
    weights = valid.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    x = torch.where(weights > 0, x, 0.0)
    sums = sum_over_ranks(torch.cat([x.sum(0).reshape(-1), weights.sum().reshape(1)]))
    count = sums[-1]
    if count == 0:
        return torch.zeros_like(x.sum(0)), torch.zeros_like(x.sum(0)), 0.0
    # BUG(mean-of-the-ranks-means): mean = (sum_over_ranks(x.sum(0) / weights.sum().clamp(min=1)) / rank_and_world()[1]).reshape(x.shape[1:])
    # WHEN the means of the ranks are averaged without regard to how many entries each of them has.
    mean = (sums[:-1] / count).reshape(x.shape[1:])
    # BUG(square-of-the-sum): return mean, sum_over_ranks((weights * x**2).sum(0)) - count * mean**2, float(count)
    # WHEN the variance is the mean of squares minus the square of the mean, of which nothing is
    # WHEN left for large values.
    return mean, sum_over_ranks((weights * (x - mean) ** 2).sum(0)), float(count)


### END SOLUTION


def all_reduce_moments(x: Tensor, mask: Tensor | None = None) -> Moments:
    """Mean and population variance over the valid entries of all ranks. Collective.

    Computed in float64 and without cancellation: values around 1e8 keep their variance. A rank may
    have no valid entry; what stands under mask 0 is never used, not even nan. With no valid entry
    anywhere the mean and the variance are 0.

    Args:
        x: any shape, a different number of entries on each rank.
        mask: of the shape of x, bool or 0/1, 1 = valid; None = all are.
    """
    if mask is not None and mask.shape != x.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, but x {tuple(x.shape)}.")
    # TODO(statistics): sums and counts first, then deviations from the mean of all; or merge (count, mean, M2) by Chan's rule.
    ### BEGIN SOLUTION
    # BUG(counts-the-padding): valid = torch.ones_like(x, dtype=torch.bool)
    # WHEN entries under mask 0 take part in the statistics.
    valid = torch.ones_like(x, dtype=torch.bool) if mask is None else mask.bool()
    # BUG(moments-of-one-rank): return Moments(float(x[valid].double().mean()), float(x[valid].double().var(correction=0)), int(valid.sum()))
    # WHEN every rank uses the mean and variance of its own entries.
    # BUG(single-precision-inside): mean, squares, count = _merged(x.reshape(-1), valid.reshape(-1))
    # WHEN moments of numbers in single precision are added up in single precision.
    mean, squares, count = _merged(x.double().reshape(-1), valid.reshape(-1))
    # BUG(sample-variance): return Moments(float(mean), float(squares) / max(count - 1, 1.0), int(count))
    # WHEN the variance is the sample one, divided by the number of entries less one, while the
    # WHEN population's is asked for.
    return Moments(float(mean), float(squares) / max(count, 1.0), int(count))
    ### END SOLUTION


def normalize_advantages(
    advantages: Tensor, mask: Tensor | None = None, eps: float = 1e-8
) -> Tensor:
    """(A - mean) / (std + eps) with the moments of all ranks; exactly 0 under mask 0. Collective.

    What stands under mask 0 is never used, not even nan. Returns a new tensor of the shape and
    dtype of ``advantages``, without a gradient.
    """
    # TODO(statistics): the same mean and standard deviation on every rank.
    ### BEGIN SOLUTION
    moments = all_reduce_moments(advantages, mask)
    # BUG(variance-for-deviation): normal = (advantages.detach() - moments.mean) / (moments.var + eps)
    # WHEN advantages are divided by their variance instead of their standard deviation.
    # BUG(eps-inside-the-root): normal = (advantages.detach() - moments.mean) / (moments.var + eps) ** 0.5
    # WHEN eps is added to the variance, inside the root, while here it is added to the standard
    # WHEN deviation.
    normal = (advantages.detach() - moments.mean) / (moments.var**0.5 + eps)
    return normal if mask is None else torch.where(mask.bool(), normal, 0.0)
    ### END SOLUTION


class DistributedRunningMeanStd:
    """Running mean and population variance, feature by feature, of all rows that any rank has ever
    seen.

    ``mean`` and ``var`` are float64 tensors of shape ``shape``, at first 0 and 1; ``count`` is the
    number of rows so far, at first 0.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.ones(shape, dtype=torch.float64)
        self.count = 0

    def update_(self, rows: Tensor) -> None:
        """Take in this rank's rows, (B, *shape), and at the same time those of all others.
        Collective; B may be 0.

        Merging (Chan, Golub and LeVeque 1983): with n old and m new rows, means a and b, and sums
        of squared deviations P and Q, the sum of squared deviations of all is P + Q + (b - a)^2 n m
        / (n + m).
        """
        # TODO(statistics): statistics of the new rows of all ranks, merged into the old ones.
        ### BEGIN SOLUTION
        everything = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        new, squares, count = _merged(rows.double(), everything)
        if count == 0:
            return
        new, squares = new.cpu(), squares.cpu()
        total = self.count + count
        shift = new - self.mean
        # BUG(merge-without-the-shift): squares = squares + self.var * self.count
        # WHEN variances are merged without the term for the distance between the means.
        # BUG(square-of-the-sum, 2): squares = squares + new**2 * count + (self.var + self.mean**2) * self.count - (new * count + self.mean * self.count) ** 2 / total
        squares = squares + self.var * self.count + shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.var = squares / total
        # BUG(counts-its-own-rows): self.count += len(rows)
        # WHEN the count grows by this rank's rows only although mean and variance come from all
        # WHEN ranks.
        self.count = int(total)
        ### END SOLUTION

    def normalize(self, x: Tensor, eps: float = 1e-8) -> Tensor:
        """(x - mean) / sqrt(var + eps), in the dtype of x. Given."""
        return ((x - self.mean) / (self.var + eps).sqrt()).to(x.dtype)


# -- Part 4: the loss and one optimiser step -------------------------------------------------------


def distributed_ppo_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    clip_low: float = 0.2,
    clip_high: float | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """PPO's clipped loss on this rank, scaled so that the plain mean of the ranks' gradients is the
    gradient of the mean of all.

        loss_r = world * (sum of this rank's valid terms) / (number of valid entries on all ranks)

    Averaging gradients over ranks with equal weights is what DistributedDataParallel does; the
    scale makes it right for ranks with different numbers of entries. Collective.

    Args:
        logp, old_logp, advantages: any one shape: (B,) or (B, L). What stands under mask 0 is never
            used, not even nan, and gets a gradient of 0.
        mask: of that shape, bool or 0/1, 1 = valid; None = all are. There may be no valid entry, on
            this rank or on any: then the loss and the metrics of no entry are 0.

    Returns:
        The loss, a scalar that carries the gradient, and metrics that are the same on every rank:
        ``clip_fraction``, ``approx_kl`` and
        ``ratio_mean``, means over the valid entries of all ranks (see ``Terms``).

    Raises:
        ValueError: the shapes differ.
    """
    if (
        not logp.shape
        == old_logp.shape
        == advantages.shape
        == (logp if mask is None else mask).shape
    ):
        raise ValueError("logp, old_logp, advantages and mask must have one shape.")
    # TODO(loss): sum this rank's valid terms; let all ranks agree on the number of entries.
    ### BEGIN SOLUTION
    valid = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask.bool()
    # BUG(nan-under-the-mask-spreads): columns = (logp, old_logp, advantages)
    # WHEN nan under mask 0 is cut out of the loss only after it has been computed with: its
    # WHEN gradient is nan.
    columns = (x.masked_fill(~valid, 0.0) for x in (logp, old_logp, advantages))
    terms = surrogate_terms(*columns, clip_low, clip_high)
    loss, *sums = (torch.where(valid, term, 0.0).sum() for term in terms)
    totals = sum_over_ranks(torch.stack([*sums, valid.sum().to(logp.dtype)]))
    # BUG(metrics-of-one-rank): metrics = (torch.stack(sums) / valid.sum().clamp(min=1)).tolist()
    # WHEN the metrics are means over this rank's entries only.
    metrics = (totals[:-1] / totals[-1].clamp(min=1)).tolist()
    # BUG(local-token-mean): scaled = loss / valid.sum().clamp(min=1)
    # WHEN every rank divides by the number of its own valid entries, so that an entry counts for
    # WHEN more on a rank with few of them.
    # BUG(forgets-the-world-size): scaled = loss / totals[-1].clamp(min=1)
    # WHEN the sum is divided by the number of all entries but not multiplied by the number of
    # WHEN ranks, which averaging divides by again.
    scaled = rank_and_world()[1] * loss / totals[-1].clamp(min=1)
    return scaled, dict(zip(("clip_fraction", "approx_kl", "ratio_mean"), metrics, strict=True))
    ### END SOLUTION


def distributed_step_(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    micro_batches: Sequence[Batch],
    config: PPOConfig,
) -> dict[str, float]:
    """One optimiser step on the mean over all valid rows of all micro-batches of all ranks.
    Collective.

    The gradients of this rank's micro-batches are accumulated; they are communicated once, after
    the last one. Then they are clipped to ``config.max_grad_norm`` (if that is not None), and every
    rank makes the same step. Ranks may have different numbers of micro-batches, even none.

    Args:
        micro_batches: pieces of this rank's minibatch. Their terms: ``policy_and_value_terms``.

    Returns:
        ``clip_fraction``, ``approx_kl`` and ``ratio_mean`` over the valid rows of all ranks, and ``grad_norm``
        before clipping.
    """
    # TODO(loss): agree on the count; accumulate sums / count; reduce the gradients once; clip; step.
    ### BEGIN SOLUTION
    device = communication_device()
    # BUG(accumulates-over-steps): pass
    # WHEN the gradients of the last step are still there when the next one begins.
    optimizer.zero_grad()
    local = torch.tensor(
        [float(sum(int(batch.mask.sum()) for batch in micro_batches))], dtype=torch.float64
    )
    count = sum_over_ranks(local.to(device)).clamp(min=1).item()
    params, sums = list(model.parameters()), torch.zeros(3, dtype=torch.float64, device=device)
    for batch in micro_batches:
        terms = policy_and_value_terms(model, batch, config)
        loss, *rest = (torch.where(batch.mask.bool(), term, 0.0).sum() for term in terms)
        # BUG(mean-of-micro-batches): (rank_and_world()[1] * loss / batch.mask.sum().clamp(min=1) / len(micro_batches)).backward()
        # WHEN each micro-batch's mean counts the same, however many rows it has.
        # BUG(mean-of-micro-batches, 2): (loss / batch.mask.sum().clamp(min=1) / len(micro_batches)).backward()
        (rank_and_world()[1] * loss / count).backward()
        # BUG(reduces-every-micro-batch): sums += torch.stack(rest).double().to(device); all_reduce_grads_(params, 1.0)
        # WHEN the gradients are communicated after every micro-batch instead of once for each
        # WHEN optimiser step.
        sums += torch.stack(rest).double().to(device)
    # BUG(clips-before-reducing): torch.nn.utils.clip_grad_norm_(params, config.max_grad_norm or float("inf")); all_reduce_grads_(params, 1.0)
    # WHEN each rank clips its own gradient before the ranks' gradients are put together.
    all_reduce_grads_(params, 1.0)
    # BUG(clips-before-reducing): limit = float("inf")
    limit = float("inf") if config.max_grad_norm is None else config.max_grad_norm
    # BUG(short-gradients-are-lengthened): norm = torch.nn.utils.clip_grad_norm_(params, float("inf")); [p.grad.mul_(limit / (norm + 1e-6)) for p in params if limit < float("inf")]
    # WHEN the gradient always gets the norm max_grad_norm, also where it is shorter.
    norm = torch.nn.utils.clip_grad_norm_(params, limit)
    optimizer.step()
    clipped, kl, ratio = (sum_over_ranks(sums) / count).tolist()
    return {
        "clip_fraction": clipped,
        "approx_kl": kl,
        "ratio_mean": ratio,
        "grad_norm": float(norm),
    }
    ### END SOLUTION


# -- Part 5: decisions that all ranks take together, and checkpoints -------------------------------

### BEGIN SOLUTION


def _mean_over_ranks(value: float, count: float) -> float:
    """The mean of all entries, given each rank's mean and count."""
    # BUG(empty-rank-spoils-the-mean): value = value * 1.0
    # WHEN the mean of a rank without entries, which may be nan, takes part in the mean of all.
    value = value if count else 0.0
    # BUG(kl-is-a-mean-of-means): count = 1.0
    # WHEN the divergences of the ranks are averaged without regard to how many entries each of them
    # WHEN has.
    count = float(count)
    pair = torch.tensor([value * count, count], dtype=torch.float64)
    total, entries = sum_over_ranks(pair.to(communication_device())).tolist()
    return total / max(entries, 1.0)


### END SOLUTION


def should_stop(local_kl: float, local_count: int, target: float, factor: float = 1.5) -> bool:
    """Whether the mean KL divergence over the entries of all ranks exceeds factor * target: the
    same answer everywhere. Collective.

    A rank that decided by its own KL would leave the others waiting in their next reduction.

    Args:
        local_kl: mean over this rank's entries.
        local_count: how many there are; may be 0, then local_kl is not used.
    """
    # TODO(control): decide on what all ranks know.
    ### BEGIN SOLUTION
    # BUG(stops-alone): return local_kl > factor * target
    # WHEN each rank decides by its own KL divergence whether to stop, and leaves the others
    # WHEN waiting.
    # BUG(stops-when-anyone-would): return bool(sum_over_ranks(torch.tensor(float(local_kl > factor * target))) > 0)
    # WHEN one rank above the limit stops all although the mean over all entries is below it.
    # BUG(stops-at-the-limit): return _mean_over_ranks(local_kl, local_count) >= factor * target
    # WHEN a mean that equals the limit stops the ranks, which only one above it should.
    return _mean_over_ranks(local_kl, local_count) > factor * target
    ### END SOLUTION


def adapt_beta(beta: float, local_kl: float, local_count: int, target: float) -> float:
    """The penalty's weight after a look at the mean KL of all ranks: doubled above 1.5 * target,
    halved below target / 1.5, and otherwise as it was. Collective.

    Arguments: those of ``should_stop``. Where no rank has an entry, beta stays.

    Source: Schulman et al. (2017), Section 4.
    """
    # TODO(control): one mean, one rule, the same beta everywhere.
    ### BEGIN SOLUTION
    # BUG(beta-of-ones-own): kl = local_kl
    # WHEN each rank adapts beta to its own KL divergence, so that the ranks minimise different
    # WHEN losses from then on.
    kl = _mean_over_ranks(local_kl, local_count)
    # BUG(beta-falls-without-entries): anybody = True
    # WHEN ranks without any entry are taken for ranks with a divergence of 0, so that beta falls.
    anybody = _mean_over_ranks(1.0, local_count) > 0
    # BUG(beta-moves-at-the-limit): return 2 * beta if kl >= 1.5 * target else beta / 2 if anybody and kl <= target / 1.5 else beta
    # WHEN beta is doubled or halved at the limit, not only beyond it.
    return 2 * beta if kl > 1.5 * target else beta / 2 if anybody and kl < target / 1.5 else beta
    ### END SOLUTION


def check_finite(values: Iterable[Tensor]) -> None:
    """Raise on all ranks alike if any rank holds a value that is nan or infinite. Collective.

    Raises:
        FloatingPointError: on every rank; the message names the ranks with such values.
    """
    # TODO(control): every rank tells the others before anybody raises.
    ### BEGIN SOLUTION
    rank, world = rank_and_world()
    bad = torch.zeros(world, dtype=torch.float64, device=communication_device())
    # BUG(infinity-passes): bad[rank] = float(any(bool(torch.isnan(value).any()) for value in values))
    # WHEN only nan is looked for, and infinite values pass.
    bad[rank] = float(not all(bool(torch.isfinite(value).all()) for value in values))
    # BUG(nan-raises-alone): named = [rank] if bad[rank] else []
    # WHEN only the rank that holds the nan raises, and the others wait for it in their next
    # WHEN reduction.
    # BUG(everybody-blames-oneself): named = [rank] if float(sum_over_ranks(bad).sum()) else []
    # WHEN all ranks raise, but each names itself instead of those that hold the nan.
    # BUG(everybody-is-blamed): named = list(range(world)) if float(sum_over_ranks(bad).sum()) else []
    # WHEN all ranks are named instead of those that hold the nan.
    named = sum_over_ranks(bad).nonzero().flatten().tolist()
    if named:
        raise FloatingPointError(
            f"values that are not finite on rank {', '.join(map(str, named))}."
        )
    ### END SOLUTION


@contextlib.contextmanager
def opened(file: str | Path | BinaryIO, mode: str) -> Iterator[BinaryIO]:
    """A binary file: the one that was given, or one opened under this path. Given."""
    if isinstance(file, (str, Path)):
        with open(file, mode) as stream:
            yield stream
    else:
        yield file


def save_checkpoint(file: str | Path | BinaryIO, **state: Any) -> None:
    """Write named values: nested dicts, lists and tuples of tensors, numbers, strings, booleans and
    None.

    Args:
        file: a path, or a binary file that is open for writing (see
            ``opened``), as with ``torch.save``.
    """
    # TODO(control): torch.save will do; what matters is how it is read.
    ### BEGIN SOLUTION
    with opened(file, "wb") as stream:
        torch.save(state, stream)
    ### END SOLUTION


def load_checkpoint(file: str | Path | BinaryIO) -> dict[str, Any]:
    """The values that ``save_checkpoint`` wrote, bit for bit. Nothing in the file is ever executed:
    data only, no general unpickling.

    Raises:
        ValueError: the file is not such a checkpoint.
    """
    # TODO(control): read data, refuse everything else.
    ### BEGIN SOLUTION
    with opened(file, "rb") as stream:
        try:
            # BUG(unpickles-anything): state = torch.load(stream, weights_only=False)
            # WHEN a checkpoint may bring code along, which is run when it is read.
            state = torch.load(stream, weights_only=True)
        except Exception as error:
            raise ValueError(f"this is no checkpoint: {type(error).__name__}") from None
    if not isinstance(state, dict):
        raise ValueError("this is no checkpoint: it does not hold named values.")
    return state
    ### END SOLUTION


# -- Part 6: worker groups under one controller ----------------------------------------------------


class Dispatch(enum.Enum):
    """How a call's batch reaches the workers of a group, and how their outputs come back."""

    ONE_TO_ALL = "one_to_all"  # everyone gets the whole batch; all outputs come back, a list
    # everyone gets an equal share of the rows; the outputs' rows come back in order
    DP_COMPUTE_PROTO = "dp_compute_proto"
    ALL_TO_ALL = (
        "all_to_all"  # the batch is a list with an item for each; all outputs come back, a list
    )
    RANK_ZERO = "rank_zero"  # only rank 0 is called; its output comes back


Rows = dict[str, Tensor]  # tensors whose first axis is the rows


def dispatch(mode: Dispatch, batch: Any, world: int) -> list[Any]:
    """The argument of each worker that is called: ``world`` of them, or one under RANK_ZERO.

    DP_COMPUTE_PROTO: ``batch`` is a dict of tensors with the same number of rows, at least one.
    Every share has the same number of rows; if they do not divide evenly, rows of the batch are
    repeated at the end, as many as are needed and no more.

    Raises:
        ValueError: the batch does not fit the mode: under ALL_TO_ALL a list of another length than
            ``world``, under DP_COMPUTE_PROTO tensors with different numbers of rows, or with none.
    """
    # TODO(workers): one mode after the other.
    ### BEGIN SOLUTION
    if mode is Dispatch.RANK_ZERO:
        # BUG(rank-zero-for-everyone): return [batch] * world
        # WHEN a call that is for rank 0 alone goes to every worker.
        return [batch]
    if mode is Dispatch.ONE_TO_ALL:
        return [batch] * world
    if mode is Dispatch.ALL_TO_ALL:
        if len(batch) != world:
            raise ValueError(f"the batch has {len(batch)} items for {world} workers.")
        return list(batch)
    sizes = {len(tensor) for tensor in batch.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError("the tensors of a batch must have the same number of rows, at least one.")
    n = sizes.pop()
    share = -(-n // world)
    # BUG(drops-rows-that-do-not-divide): rows = torch.arange(max(n // world, 1) * world) % n
    # WHEN rows that do not divide evenly among the workers are never computed.
    # BUG(pads-with-zeros): batch = {name: torch.cat([x, x.new_zeros(share * world - n, *x.shape[1:])]) for name, x in batch.items()}; rows = torch.arange(share * world)
    # WHEN shares are filled up with zeros instead of rows of the batch.
    rows = torch.arange(share * world) % n
    # BUG(deals-rows-like-cards): return [{name: tensor[rows[worker::world]] for name, tensor in batch.items()} for worker in range(world)]
    # WHEN rows are dealt out one by one but put together again block by block, so that they come
    # WHEN back in another order.
    return [{name: tensor[piece] for name, tensor in batch.items()} for piece in rows.chunk(world)]
    ### END SOLUTION


def collect(mode: Dispatch, outputs: list[Any], n: int) -> Any:
    """What the caller gets, from the outputs of the workers that were called, in order of rank.

    DP_COMPUTE_PROTO: each output is a dict of tensors with a row for each row of the share; the
    result has the n rows of the batch in their order, without the repeated ones. ``n`` is not used
    by the other modes.
    """
    # TODO(workers): the way back of each mode.
    ### BEGIN SOLUTION
    if mode is Dispatch.RANK_ZERO:
        return outputs[0]
    if mode is not Dispatch.DP_COMPUTE_PROTO:
        return outputs
    joined = {name: torch.cat([output[name] for output in outputs]) for name in outputs[0]}
    # BUG(keeps-the-padding): return joined
    # WHEN rows that were repeated to make the shares equal come back as if they were results.
    return {name: tensor[:n] for name, tensor in joined.items()}
    ### END SOLUTION


class InProcessEngine:
    """Workers as objects of this process: for tests, and for one machine. Given.

    An engine has four methods, and that is all a controller knows of it.
    """

    def start(self, make: Callable[..., Any], rank: int, world: int, *args: Any) -> Any:
        """A handle to a new worker, ``make(rank, world, *args)``."""
        return make(rank, world, *args)

    def submit(self, worker: Any, method: str, *args: Any) -> Any:
        """Begin a call; a future at once."""
        try:
            return True, getattr(worker, method)(*args)
        except Exception as error:
            return False, error

    def result(self, future: Any) -> Any:
        """Wait for a call's result. Raises what the call raised."""
        well, value = future
        if not well:
            raise value
        return value

    def stop(self, workers: list[Any]) -> None:
        """End workers."""


class RayEngine:
    """Workers as Ray actors, on this machine or a cluster: `pip install ray`, then `ray.init()`.
    Given.

    ``resources`` go to each actor, as in ``RayEngine(num_gpus=1)``.
    """

    def __init__(self, **resources: Any) -> None:
        import ray

        self._ray = ray
        self._resources = {"num_cpus": 1, **resources}

    def start(self, make: Callable[..., Any], rank: int, world: int, *args: Any) -> Any:
        """A handle to a new actor."""
        return self._ray.remote(**self._resources)(make).remote(rank, world, *args)

    def submit(self, worker: Any, method: str, *args: Any) -> Any:
        """Begin a call; a future at once."""
        return getattr(worker, method).remote(*args)

    def result(self, future: Any) -> Any:
        """Wait for a call's result. Raises what the call raised, or RayActorError when the actor is
        gone."""
        try:
            return self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None

    def stop(self, workers: list[Any]) -> None:
        """End actors."""
        for worker in workers:
            self._ray.kill(worker)


class GroupCall(NamedTuple):
    """A call of a group that is under way: futures in order of rank."""

    method: str
    mode: Dispatch
    futures: list[Any]
    n: int


class WorkerGroup:
    """Workers of one role under one controller.

    group = WorkerGroup(engine, RolloutWorker, 2, config)
    call = group.begin("rollout", {"seed": seeds}, Dispatch.DP_COMPUTE_PROTO)     # returns at once
    ...                                                                # other groups work meanwhile
    rows = group.finish(call)
    """

    def __init__(self, engine: Any, make: Callable[..., Any], world: int, *args: Any) -> None:
        self.engine = engine
        self.world = world
        self.workers = [engine.start(make, rank, world, *args) for rank in range(world)]

    def begin(self, method: str, batch: Any, mode: Dispatch) -> GroupCall:
        """Submit the call to every worker that it is for, before any result is waited for."""
        # TODO(workers): dispatch and submit.
        ### BEGIN SOLUTION
        arguments = dispatch(mode, batch, self.world)
        workers = self.workers[: len(arguments)]
        futures = [
            self.engine.submit(worker, method, argument)
            for worker, argument in zip(workers, arguments, strict=True)
        ]
        n = len(next(iter(batch.values()))) if mode is Dispatch.DP_COMPUTE_PROTO else 0
        # BUG(begin-waits): return GroupCall(method, mode, [future for future in futures if (self.engine.result(future), True)[1]], n)
        # WHEN beginning a call already waits for its results, so that no two groups ever work at
        # WHEN the same time.
        return GroupCall(method, mode, futures, n)
        ### END SOLUTION

    def finish(self, call: GroupCall) -> Any:
        """Wait for all workers and collect.

        Raises:
            WorkerError: a worker failed; names the rank and the method. All workers of the group
                have been stopped, once.
        """
        # TODO(workers): results in order of rank; after a failure stop everybody.
        ### BEGIN SOLUTION
        outputs = []
        for rank, future in enumerate(call.futures):
            try:
                outputs.append(self.engine.result(future))
            except Exception as error:
                # BUG(failure-leaves-workers): pass
                # WHEN the other workers of a group are left running after one has failed.
                self.engine.stop(self.workers)
                # BUG(failure-without-a-rank): raise RuntimeError(f"a worker failed in {call.method}: {error}") from error
                # WHEN an error does not say which worker failed.
                raise WorkerError(rank, call.method, f"{type(error).__name__}: {error}") from error
        return collect(call.mode, outputs, call.n)
        ### END SOLUTION


# -- Part 7: training ------------------------------------------------------------------------------


class Learner:
    """One rank's copy of everything that training changes: model, optimiser, generator, statistics,
    step.

    All ranks begin with the parameters of rank 0, and each shuffles its rows with a generator of
    its own.
    """

    def __init__(self, config: PPOConfig, seed: int = 0) -> None:
        rank, _ = rank_and_world()
        self.config = config
        self.model = ActorCritic(
            config.obs_dim, config.n_actions, config.hidden, rank_seed(seed, rank), config.dtype
        ).to(communication_device())
        broadcast_params_(self.model.parameters())
        self.optimizer = make_optimizer(self.model, config)
        self.generator = torch.Generator().manual_seed(rank_seed(seed, rank))
        self.obs_stats = DistributedRunningMeanStd((config.obs_dim,))
        self.step = 0  # optimiser steps so far

    def update_(self, batch: Batch) -> dict[str, float]:
        """PPO's epochs on this rank's rows. Collective. Given but for the functions that it calls.

        Every epoch shuffles the rows and makes ``minibatches`` steps, each on an equal part of
        every rank's rows in
        ``micro_batches`` pieces. With ``target_kl`` all ranks stop together. Returns the metrics of the last step and ``steps``.
        """
        config, metrics, before = self.config, {}, self.step
        self.obs_stats.update_(batch.obs)
        batch = batch._replace(advantages=normalize_advantages(batch.advantages, batch.mask))
        for _ in range(config.epochs):
            order = torch.randperm(len(batch.mask), generator=self.generator)
            for rows in _split(order, config.minibatches):
                pieces = [
                    Batch(*(x[piece] for x in batch))
                    for piece in _split(rows, config.micro_batches)
                ]
                metrics = distributed_step_(self.model, self.optimizer, pieces, config)
                check_finite(self.model.parameters())
                self.step += 1
            with torch.no_grad():
                terms = policy_and_value_terms(self.model, batch, config)
            count = int(batch.mask.sum())
            kl = float(torch.where(batch.mask.bool(), terms.kl, 0.0).sum()) / max(count, 1)
            if config.target_kl is not None and should_stop(kl, count, config.target_kl):
                break
        return metrics | {"steps": float(self.step - before)}

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on, as data that ``save_checkpoint`` takes."""
        # TODO(training): what would be missed if it were fresh after a restart?
        ### BEGIN SOLUTION
        # BUG(state-is-no-data): return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "generator": self.generator, "stats": vars(self.obs_stats), "step": self.step}
        # WHEN the state holds the generator itself, which no checkpoint takes, instead of its
        # WHEN state.
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "stats": {
                "mean": self.obs_stats.mean,
                "var": self.obs_stats.var,
                "count": self.obs_stats.count,
            },
            "step": self.step,
        }
        ### END SOLUTION

    def restore_(self, state: dict[str, Any]) -> None:
        """Go on as if nothing had happened: the next updates are, bit for bit, those of an
        uninterrupted run."""
        # TODO(training): the way back of state().
        ### BEGIN SOLUTION
        self.model.load_state_dict(state["model"])
        # BUG(resumes-with-a-fresh-optimiser): pass
        # WHEN a restart forgets what the optimiser has gathered, Adam's moments for one.
        self.optimizer.load_state_dict(state["optimizer"])
        # BUG(resumes-with-a-fresh-generator): pass
        # WHEN a restart begins its random numbers anew, so that rows are shuffled otherwise than
        # WHEN without it.
        # BUG(state-is-no-data): self.generator.set_state(state["generator"].get_state())
        self.generator.set_state(state["generator"])
        # BUG(resumes-with-fresh-statistics): stats = {"mean": self.obs_stats.mean, "var": self.obs_stats.var, "count": 0}
        # WHEN a restart forgets the running statistics.
        stats = state["stats"]
        self.obs_stats.mean, self.obs_stats.var = stats["mean"], stats["var"]
        self.obs_stats.count = stats["count"]
        self.step = state["step"]
        ### END SOLUTION


def _split(rows: Tensor, parts: int) -> list[Tensor]:
    """``parts`` pieces of nearly equal size, some empty if there are fewer rows."""
    return [
        rows[part * len(rows) // parts : (part + 1) * len(rows) // parts] for part in range(parts)
    ]


class Rollouts:
    """Some Gymnasium environments of one kind side by side, stepped with a model's policy. Given.

    ``ids`` are the numbers of these environments among those of all ranks. Every environment draws
    its start states and actions from a stream of its own number, so that a run does not depend on
    how environments are dealt out.
    """

    def __init__(self, env_id: str, ids: Sequence[int], seed: int) -> None:
        self.envs = [gymnasium.make(env_id) for _ in ids]
        self.rngs = [np.random.default_rng(rank_seed(seed, int(i))) for i in ids]
        starts = [
            env.reset(seed=int(rng.integers(2**31)))[0]
            for env, rng in zip(self.envs, self.rngs, strict=True)
        ]
        self.obs = [np.asarray(start, dtype=np.float32) for start in starts]
        self.running = [0.0] * len(self.envs)
        self.returns: list[float] = []

    def collect(self, model: ActorCritic, config: PPOConfig) -> Batch:
        """``rollout_steps`` steps of each environment, as rows."""
        kept: dict[str, list[Any]] = {
            name: []
            for name in (
                "obs",
                "actions",
                "logp",
                "values",
                "rewards",
                "next_obs",
                "terminated",
                "ended",
            )
        }
        for _ in range(config.rollout_steps):
            obs = torch.from_numpy(np.stack(self.obs))
            with torch.no_grad():
                logits, values = (x.cpu() for x in model(obs))  # environments are on the CPU
            logp = logits.log_softmax(-1)
            chance = np.array([[rng.random()] for rng in self.rngs])
            cumulative = logp.exp().double().cumsum(-1).numpy()
            actions = torch.from_numpy((chance > cumulative).sum(-1).clip(max=config.n_actions - 1))
            results = [self._step(number, int(action)) for number, action in enumerate(actions)]
            rewards, next_obs, terminated, ended = (
                np.array(column) for column in zip(*results, strict=True)
            )
            row = (obs, actions, logp.gather(-1, actions[:, None])[:, 0], values)
            row += tuple(
                map(torch.from_numpy, (rewards.astype(np.float32), next_obs, terminated, ended))
            )
            for name, value in zip(kept, row, strict=True):
                kept[name].append(value)
        return self._rows(
            {name: torch.stack(values) for name, values in kept.items()}, model, config
        )

    def _step(self, number: int, action: int) -> tuple[float, np.ndarray, bool, bool]:
        obs, reward, terminated, truncated, _ = self.envs[number].step(action)
        true_next = np.asarray(obs, dtype=np.float32)
        self.running[number] += float(reward)
        if terminated or truncated:
            self.returns.append(self.running[number])
            self.running[number] = 0.0
            obs, _ = self.envs[number].reset()
        self.obs[number] = np.asarray(obs, dtype=np.float32)
        return float(reward), true_next, bool(terminated), bool(terminated or truncated)

    def _rows(self, data: dict[str, Tensor], model: ActorCritic, config: PPOConfig) -> Batch:
        with torch.no_grad():
            next_values = model(data["next_obs"])[1].cpu()
        advantages = gae(
            data["rewards"],
            data["values"],
            next_values,
            data["terminated"],
            data["ended"],
            config.gamma,
            config.lam,
        ).advantages
        returns = advantages + data["values"]
        mask = torch.ones_like(data["terminated"])
        columns = (data["obs"], data["actions"], data["logp"], advantages, returns, mask)
        return Batch(*(column.flatten(0, 1).to(communication_device()) for column in columns))


def train_distributed_ppo(env_id: str, config: PPOConfig, seed: int = 0) -> Result:
    """PPO on all ranks: each steps its share of the environments, all make the same optimiser
    steps. Collective.

    The ``config.envs`` environments are dealt out by ``shard_indices``. Each iteration collects a
    rollout with the current policy and makes one
    ``Learner.update_``; there are ``config.iterations`` of them.
    """
    # TODO(training): deal out the environments; collect, update, repeat.
    ### BEGIN SOLUTION
    rank, world = rank_and_world()
    learner = Learner(config, seed)
    # BUG(everyone-steps-all-environments): rollouts = Rollouts(env_id, range(config.envs), seed)
    # WHEN every rank steps all environments, so that the same experience is counted once for each
    # WHEN rank.
    # BUG(ranks-step-the-same-environments): rollouts = Rollouts(env_id, range(len(shard_indices(config.envs, rank, world))), seed)
    # WHEN every rank numbers its environments from 0, so that the ranks see the same episodes.
    rollouts = Rollouts(env_id, shard_indices(config.envs, rank, world).tolist(), seed)
    for _ in range(config.iterations):
        learner.update_(rollouts.collect(learner.model, config))
    steps = len(rollouts.envs) * config.rollout_steps * config.iterations
    total = sum_over_ranks(
        torch.tensor([float(steps)], dtype=torch.float64, device=communication_device())
    )
    return Result(learner.model, rollouts.returns, int(total))
    ### END SOLUTION


class RolloutWorker:
    """The role that acts: environments and a copy of the policy. Given."""

    def __init__(self, rank: int, world: int, env_id: str, config: PPOConfig, seed: int) -> None:
        self.config = config
        self.model = ActorCritic(
            config.obs_dim, config.n_actions, config.hidden, dtype=config.dtype
        )
        self.rollouts = Rollouts(env_id, shard_indices(config.envs, rank, world).tolist(), seed)
        self.seconds = 0.0

    def set_weights(self, weights: dict[str, Tensor]) -> bool:
        """Take the learner's parameters."""
        self.model.load_state_dict(weights)
        return True

    def rollout(self, _: Any) -> dict[str, Any]:
        """Rows of experience, and when they were collected: {"batch": Batch, "span": (begin, end),
        "returns": [...]}."""
        begin = time.time()
        batch = self.rollouts.collect(self.model, self.config)
        finished, self.rollouts.returns = self.rollouts.returns, []
        return {"batch": batch, "span": (begin, time.time()), "returns": finished}


class LearnerWorker:
    """The role that learns: one learner, a world of one. Given."""

    def __init__(self, rank: int, world: int, config: PPOConfig, seed: int) -> None:
        self.learner = Learner(config, seed)

    def weights(self, _: Any) -> dict[str, Tensor]:
        """The parameters."""
        return {name: value.clone() for name, value in self.learner.model.state_dict().items()}

    def update(self, batches: list[Batch]) -> dict[str, Any]:
        """One update on the rows of all rollout workers."""
        begin = time.time()
        metrics = self.learner.update_(
            Batch(*(torch.cat(column) for column in zip(*batches, strict=True)))
        )
        return {"metrics": metrics, "span": (begin, time.time())}


def train_with_workers(
    engine: Any, env_id: str, config: PPOConfig, actors: int, seed: int = 0
) -> dict[str, list[Any]]:
    """The same training under one controller: a group that acts, a group that learns. Given; runs
    on any engine.

    Returns "returns" of finished episodes and the "timeline": (role, begin, end) of every call, in
    seconds.
    """
    acting = WorkerGroup(engine, RolloutWorker, actors, env_id, config, seed)
    learning = WorkerGroup(engine, LearnerWorker, 1, config, seed)
    returns: list[float] = []
    timeline: list[tuple[str, float, float]] = []
    for _ in range(config.iterations):
        weights = learning.finish(learning.begin("weights", None, Dispatch.RANK_ZERO))
        acting.finish(acting.begin("set_weights", weights, Dispatch.ONE_TO_ALL))
        collected = acting.finish(acting.begin("rollout", None, Dispatch.ONE_TO_ALL))
        update = learning.finish(
            learning.begin("update", [c["batch"] for c in collected], Dispatch.RANK_ZERO)
        )
        returns += [value for c in collected for value in c["returns"]]
        timeline += [(f"actor {rank}", *c["span"]) for rank, c in enumerate(collected)]
        timeline.append(("learner", *update["span"]))
    for group in (acting, learning):
        engine.stop(group.workers)
    return {"returns": returns, "timeline": timeline}
