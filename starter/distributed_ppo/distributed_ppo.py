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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(processes): deal out all rows, the remainder too.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(processes): mix both numbers into one.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(processes): look at all exit codes again and again; on the first bad one stop all, then raise.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(communication): broadcast each tensor's data from rank 0.")


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All entries of all tensors in one new 1-D tensor, in order: one message instead of many.

    Raises:
        ValueError: there is no tensor.
    """
    if not tensors:
        raise ValueError("there is no tensor to flatten.")
    # TODO(communication): one row of numbers.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(communication): one row of numbers.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(communication): cut the row into pieces and give them their shapes.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(communication): weigh, sum over ranks, divide; agree first on which gradients there are.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(communication): one group for each node, one for the leaders; sum, sum, broadcast.")


# -- Part 3: statistics ----------------------------------------------------------------------------


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(statistics): sums and counts first, then deviations from the mean of all; or merge (count, mean, M2) by Chan's rule.")


def normalize_advantages(
    advantages: Tensor, mask: Tensor | None = None, eps: float = 1e-8
) -> Tensor:
    """(A - mean) / (std + eps) with the moments of all ranks; exactly 0 under mask 0. Collective.

    What stands under mask 0 is never used, not even nan. Returns a new tensor of the shape and
    dtype of ``advantages``, without a gradient.
    """
    # TODO(statistics): the same mean and standard deviation on every rank.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(statistics): the same mean and standard deviation on every rank.")


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
        # YOUR CODE HERE
        raise NotImplementedError("TODO(statistics): statistics of the new rows of all ranks, merged into the old ones.")

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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): sum this rank's valid terms; let all ranks agree on the number of entries.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): agree on the count; accumulate sums / count; reduce the gradients once; clip; step.")


# -- Part 5: decisions that all ranks take together, and checkpoints -------------------------------


def should_stop(local_kl: float, local_count: int, target: float, factor: float = 1.5) -> bool:
    """Whether the mean KL divergence over the entries of all ranks exceeds factor * target: the
    same answer everywhere. Collective.

    A rank that decided by its own KL would leave the others waiting in their next reduction.

    Args:
        local_kl: mean over this rank's entries.
        local_count: how many there are; may be 0, then local_kl is not used.
    """
    # TODO(control): decide on what all ranks know.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(control): decide on what all ranks know.")


def adapt_beta(beta: float, local_kl: float, local_count: int, target: float) -> float:
    """The penalty's weight after a look at the mean KL of all ranks: doubled above 1.5 * target,
    halved below target / 1.5, and otherwise as it was. Collective.

    Arguments: those of ``should_stop``. Where no rank has an entry, beta stays.

    Source: Schulman et al. (2017), Section 4.
    """
    # TODO(control): one mean, one rule, the same beta everywhere.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(control): one mean, one rule, the same beta everywhere.")


def check_finite(values: Iterable[Tensor]) -> None:
    """Raise on all ranks alike if any rank holds a value that is nan or infinite. Collective.

    Raises:
        FloatingPointError: on every rank; the message names the ranks with such values.
    """
    # TODO(control): every rank tells the others before anybody raises.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(control): every rank tells the others before anybody raises.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(control): torch.save will do; what matters is how it is read.")


def load_checkpoint(file: str | Path | BinaryIO) -> dict[str, Any]:
    """The values that ``save_checkpoint`` wrote, bit for bit. Nothing in the file is ever executed:
    data only, no general unpickling.

    Raises:
        ValueError: the file is not such a checkpoint.
    """
    # TODO(control): read data, refuse everything else.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(control): read data, refuse everything else.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(workers): one mode after the other.")


def collect(mode: Dispatch, outputs: list[Any], n: int) -> Any:
    """What the caller gets, from the outputs of the workers that were called, in order of rank.

    DP_COMPUTE_PROTO: each output is a dict of tensors with a row for each row of the share; the
    result has the n rows of the batch in their order, without the repeated ones. ``n`` is not used
    by the other modes.
    """
    # TODO(workers): the way back of each mode.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(workers): the way back of each mode.")


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
        # YOUR CODE HERE
        raise NotImplementedError("TODO(workers): dispatch and submit.")

    def finish(self, call: GroupCall) -> Any:
        """Wait for all workers and collect.

        Raises:
            WorkerError: a worker failed; names the rank and the method. All workers of the group
                have been stopped, once.
        """
        # TODO(workers): results in order of rank; after a failure stop everybody.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(workers): results in order of rank; after a failure stop everybody.")


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
        # YOUR CODE HERE
        raise NotImplementedError("TODO(training): what would be missed if it were fresh after a restart?")

    def restore_(self, state: dict[str, Any]) -> None:
        """Go on as if nothing had happened: the next updates are, bit for bit, those of an
        uninterrupted run."""
        # TODO(training): the way back of state().
        # YOUR CODE HERE
        raise NotImplementedError("TODO(training): the way back of state().")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): deal out the environments; collect, update, repeat.")


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


# How many minutes did each part take? The answer is never marked; it helps the next class.
# processes=  communication=  statistics=  loss=  control=  workers=  training=
