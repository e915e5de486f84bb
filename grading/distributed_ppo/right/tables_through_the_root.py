"""Another right answer: sums go by way of rank 0; every rank fills its line of a table that all can
read; Chan's rule for all ranks at once; gradients by torch.autograd.grad, never accumulated in
.grad; checkpoints as JSON; blocks of rows."""


import base64
import copy
import json
import math
import random

# -- What the blanks share -------------------------------------------------------------------------

NAMES = ("clip_fraction", "approx_kl", "ratio_mean")


def through_the_root(tensor: Tensor) -> Tensor:
    """The sum over ranks by way of rank 0, which tells the others."""
    tensor = tensor.to(communication_device(), copy=True)
    if rank_and_world()[1] > 1:
        dist.reduce(tensor, dst=0)
        dist.broadcast(tensor, src=0)
    return tensor


def from_all_ranks(row: Tensor) -> Tensor:
    """Every rank's row, one below the other: each fills its own line of a table of zeros, and the
    tables are added up."""
    rank, world = rank_and_world()
    table = row.new_zeros(world, len(row))
    table[rank] = row
    return through_the_root(table).cpu()


def merged(counts: Tensor, means: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, int]:
    """Chan's rule for any number of samples at once: mean, squared deviations and count of all of
    them together."""
    weights = (counts / counts.sum().clamp(min=1))[:, None]
    mean = (weights * means).sum(0)
    return mean, squares.sum(0) + (counts[:, None] * (means - mean) ** 2).sum(0), int(counts.sum())


def pooled(rows: Tensor) -> tuple[Tensor, Tensor, int]:
    """``merged`` for the rows (n, D) of all ranks."""
    n, width = rows.shape
    mean = rows.mean(0) if n else rows.new_zeros(width)
    table = from_all_ranks(torch.cat([rows.new_tensor([n]), mean, ((rows - mean) ** 2).sum(0)]))
    return merged(table[:, 0], table[:, 1 : 1 + width], table[:, 1 + width :])


def weighed(value: float, count: float) -> float:
    """The mean over all ranks' entries."""
    table = from_all_ranks(torch.tensor([value if count else 0.0, count], dtype=torch.float64))
    return float((table[:, 0] * table[:, 1]).sum() / table[:, 1].sum().clamp(min=1e-300))


def written(value: Any) -> Any:
    """Data as JSON has them; what JSON has not carries a tag."""
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        raw = base64.b64encode(plain.reshape(-1).view(torch.uint8).numpy().tobytes()).decode()
        return {"tensor": [str(value.dtype).removeprefix("torch."), list(value.shape), raw]}
    if isinstance(value, dict):
        return {"dict": [[written(key), written(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [written(item) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} is no data.")


def understood(value: Any) -> Any:
    """The inverse of ``written``."""
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "tensor":
        name, shape, raw = content
        data = torch.frombuffer(bytearray(base64.b64decode(raw)), dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)
        return data.view(getattr(torch, name)).reshape(shape).clone()
    if tag == "dict":
        return {understood(key): understood(item) for key, item in content}
    return {"list": list, "tuple": tuple}[tag](map(understood, content))


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
        raise ValueError(f"n must be at least 0 and 0 <= rank < world, but n={n}, rank={rank}, world={world}.")
    low, more = divmod(n, world)
    begin = rank * low + min(rank, more)
    return torch.tensor(range(begin, begin + low + (rank < more)), dtype=torch.int64)


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
    return random.Random(f"stream {rank} of run {seed}").getrandbits(63)


def supervise(
    poll: Callable[[], list[int | None]], stop: Callable[[], None], timeout_s: float, interval_s: float = 0.02
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
    give_up = time.monotonic() + timeout_s
    while any(codes := poll()) or None in codes:
        failed = next((rank for rank, code in enumerate(codes) if code not in (None, 0)), None)
        if failed is None and time.monotonic() <= give_up:
            time.sleep(interval_s)
            continue
        stop()
        if failed is None:
            raise TimeoutError(f"ranks {[rank for rank, code in enumerate(codes) if code is None]} still run")
        raise RankError(failed, f"exit code {codes[failed]}")


# -- Part 2: communication -------------------------------------------------------------------------


def broadcast_params_(params: Iterable[Tensor]) -> None:
    """Give every rank the parameters of rank 0, in place. Collective.

    Args:
        params: tensors, of the same shapes in the same order on all ranks; `model.parameters()` is
            an iterator.
    """
    if rank_and_world()[1] > 1:
        params = list(params)
        message = nn.utils.parameters_to_vector(params).detach().clone()
        dist.broadcast(message, src=0)
        with torch.no_grad():
            for parameter, piece in zip(params, unflatten(message, params), strict=True):
                parameter.copy_(piece)


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All entries of all tensors in one new 1-D tensor, in order: one message instead of many.

    Raises:
        ValueError: there is no tensor.
    """
    if not tensors:
        raise ValueError("there is no tensor to flatten.")
    flat = tensors[0].new_empty(sum(tensor.numel() for tensor in tensors))
    for tensor, piece in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        piece.copy_(tensor.detach().flatten())
    return flat


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of ``flatten``: tensors of the shapes of ``like``, filled from ``flat`` in order.

    Raises:
        ValueError: ``flat`` does not have as many entries as ``like`` together.
    """
    if flat.ndim != 1 or len(flat) != sum(tensor.numel() for tensor in like):
        raise ValueError(f"flat has shape {tuple(flat.shape)}, which is not the size of the tensors together.")
    return [piece.view(tensor.shape) for piece, tensor in zip(flat.split([t.numel() for t in like]), like, strict=True)]


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

    Raises:
        ValueError: a negative weight, or weights that sum to 0 (on every rank alike).
    """
    if weight < 0:
        raise ValueError(f"weight must not be negative, but it is {weight}.")
    params = list(params)
    table = from_all_ranks(torch.tensor([weight, *(p.grad is not None for p in params)], dtype=torch.float64))
    shares = table[:, 0]
    if shares.sum() == 0:
        raise ValueError("no rank has a weight above 0.")
    share = float(shares[rank_and_world()[0]] / shares.sum())
    anywhere = [p for p, column in zip(params, table[:, 1:].T, strict=True) if column.any()]
    if anywhere:
        own = [torch.zeros_like(p) if p.grad is None else share * p.grad for p in anywhere]
        for parameter, gradient in zip(anywhere, unflatten(through_the_root(flatten(own)), anywhere), strict=True):
            parameter.grad = gradient.clone()


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
    if world > 1:
        members = [range(world)[first : first + ranks_per_node] for first in range(0, world, ranks_per_node)]
        groups = [(ranks, dist.new_group(list(ranks))) for ranks in members]
        heads = dist.new_group([ranks[0] for ranks in members])
        mine, node = next((ranks, group) for ranks, group in groups if rank in ranks)
        dist.reduce(tensor, dst=mine[0], group=node)
        if rank == mine[0]:
            dist.all_reduce(tensor, group=heads)
        dist.broadcast(tensor, src=mine[0], group=node)
    return tensor


# -- Part 3: statistics ----------------------------------------------------------------------------


def all_reduce_moments(x: Tensor, mask: Tensor | None = None) -> Moments:
    """Mean and population variance over the valid entries of all ranks. Collective.

    Computed in float64 and without cancellation: values around 1e8 keep their variance. A rank may
    have no valid entry; what stands under mask 0 is never used, not even nan. With no valid entry
    anywhere the mean and the variance are 0.

    Args:
        x: any shape, a different number of entries on each rank.
        mask: of the shape of x, 1 = valid; None = all are.
    """
    if mask is not None and mask.shape != x.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, but x {tuple(x.shape)}.")
    kept = (x if mask is None else x[mask.bool()]).detach().to(torch.float64).reshape(-1, 1)
    mean, squares, count = pooled(kept)
    return Moments(float(mean[0]), float(squares[0]) / max(count, 1), count)


def normalize_advantages(advantages: Tensor, mask: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """(A - mean) / (std + eps) with the moments of all ranks; exactly 0 under mask 0. Collective.

    Returns a new tensor of the shape and dtype of ``advantages``, without a gradient.
    """
    mean, var, _ = all_reduce_moments(advantages, mask)
    result = advantages.detach().sub(mean).div(math.sqrt(var) + eps)
    return result if mask is None else result.masked_fill(~mask.bool(), 0.0)


class DistributedRunningMeanStd:
    """Running mean and population variance, feature by feature, of all rows that any rank has ever
    seen.

    ``mean`` and ``var`` are float64 tensors of shape ``shape``, at first 0 and 1; ``count`` is the
    number of rows so far, at first 0.
    """


    def update_(self, rows: Tensor) -> None:
        """Take in this rank's rows, (B, *shape), and at the same time those of all others.
        Collective; B may be 0.

        Merging (Chan, Golub and LeVeque 1983): with n old and m new rows, means a and b, and sums
        of squared deviations P and Q, the sum of squared deviations of all is P + Q + (b - a)^2 n m
        / (n + m).
        """
        flat = rows.detach().to(torch.float64).reshape(len(rows), self.mean.numel())
        mean, squares, count = pooled(flat)
        if count:
            old = torch.tensor(float(self.count), dtype=torch.float64)
            means = torch.stack([self.mean.reshape(-1), mean])
            parts = torch.stack([self.var.reshape(-1) * old, squares])
            mean, squares, self.count = merged(torch.stack([old, old.new_tensor(count)]), means, parts)
            self.mean, self.var = mean.reshape(self.mean.shape), (squares / self.count).reshape(self.var.shape)


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
        logp, old_logp, advantages: any one shape: (B,) or (B, L).
        mask: of that shape, 1 = valid; None = all are.

    Returns:
        The loss, a scalar that carries the gradient, and metrics that are the same on every rank:
        ``clip_fraction``, ``approx_kl`` and
        ``ratio_mean``, means over the valid entries of all ranks (see ``Terms``).

    Raises:
        ValueError: the shapes differ.
    """
    if not logp.shape == old_logp.shape == advantages.shape == (logp if mask is None else mask).shape:
        raise ValueError("logp, old_logp, advantages and mask must have one shape.")
    chosen = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask.bool()
    terms = surrogate_terms(logp[chosen], old_logp[chosen], advantages[chosen], clip_low, clip_high)
    local = torch.stack([column.sum() for column in terms[1:]] + [chosen.sum()]).double()
    *sums, count = from_all_ranks(local.detach()).sum(0).tolist()
    metrics = {name: total / max(count, 1) for name, total in zip(NAMES, sums, strict=True)}
    return terms.loss.sum() * (rank_and_world()[1] / max(count, 1)), metrics


def distributed_step_(
    model: nn.Module, optimizer: torch.optim.Optimizer, micro_batches: Sequence[Batch], config: PPOConfig
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
    params = list(model.parameters())
    total, tally = [torch.zeros_like(p) for p in params], torch.zeros(4, dtype=torch.float64)
    for batch in micro_batches:
        terms = [column[batch.mask.bool()].sum() for column in policy_and_value_terms(model, batch, config)]
        found = torch.autograd.grad(terms[0], params, allow_unused=True)
        total = [a if g is None else a + g for a, g in zip(total, found, strict=True)]
        tally += torch.stack([column.detach().double() for column in terms[1:]] + [batch.mask.sum().double()])
    *sums, count = from_all_ranks(tally).sum(0).tolist()
    gradient = through_the_root(flatten(total)) / max(count, 1)
    norm = float(gradient.norm())
    if config.max_grad_norm is not None:
        gradient = gradient * min(1.0, config.max_grad_norm / (norm + 1e-6))
    for parameter, piece in zip(params, unflatten(gradient, params), strict=True):
        parameter.grad = piece.clone()
    optimizer.step()
    return {name: value / max(count, 1) for name, value in zip(NAMES, sums, strict=True)} | {"grad_norm": norm}


# -- Part 5: decisions that all ranks take together, and checkpoints -------------------------------


def should_stop(local_kl: float, local_count: int, target: float, factor: float = 1.5) -> bool:
    """Whether the mean KL divergence over the entries of all ranks exceeds factor * target: the
    same answer everywhere. Collective.

    A rank that decided by its own KL would leave the others waiting in their next reduction.

    Args:
        local_kl: mean over this rank's entries.
        local_count: how many there are; may be 0, then local_kl is not used.
    """
    return weighed(local_kl, local_count) > factor * target


def adapt_beta(beta: float, local_kl: float, local_count: int, target: float) -> float:
    """The penalty's weight after a look at the mean KL of all ranks: doubled above 1.5 * target,
    halved below target / 1.5. Collective.

    Source: Schulman et al. (2017), Section 4.
    """
    kl = weighed(local_kl, local_count)
    if kl > 1.5 * target:
        return 2 * beta
    return 0.5 * beta if kl < target / 1.5 else beta


def check_finite(values: Iterable[Tensor]) -> None:
    """Raise on all ranks alike if any rank holds a value that is nan or infinite. Collective.

    Raises:
        FloatingPointError: on every rank; the message names the ranks with such values.
    """
    well = min((float(torch.isfinite(value.detach()).all()) for value in values), default=1.0)
    bad = [rank for rank, (flag,) in enumerate(from_all_ranks(torch.tensor([well], dtype=torch.float64)).tolist()) if not flag]
    if bad:
        raise FloatingPointError(f"something is not finite on rank {' and '.join(map(str, bad))}.")


def save_checkpoint(file: str | Path | BinaryIO, **state: Any) -> None:
    """Write named values: nested dicts and lists of tensors, numbers, strings, booleans and None.

    Args:
        file: a path, or a binary file that is open for writing (see
            ``opened``), as with ``torch.save``.
    """
    with opened(file, "wb") as stream:
        stream.write(json.dumps({"checkpoint": written(state)}).encode())


def load_checkpoint(file: str | Path | BinaryIO) -> dict[str, Any]:
    """The values that ``save_checkpoint`` wrote, bit for bit. Nothing in the file is ever executed:
    data only, no general unpickling.

    Raises:
        ValueError: the file is not such a checkpoint.
    """
    with opened(file, "rb") as stream:
        try:
            return dict(understood(json.loads(stream.read())["checkpoint"]))
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"not a checkpoint ({error!r})") from None


# -- Part 6: worker groups under one controller ----------------------------------------------------


def dispatch(mode: Dispatch, batch: Any, world: int) -> list[Any]:
    """The argument of each worker that is called: ``world`` of them, or one under RANK_ZERO.

    DP_COMPUTE_PROTO: ``batch`` is a dict of tensors with the same number of rows, at least one.
    Every share has the same number of rows; if they do not divide evenly, rows of the batch are
    repeated at the end, as many as are needed and no more.

    Raises:
        ValueError: the batch does not fit the mode.
    """
    if mode is Dispatch.DP_COMPUTE_PROTO:
        lengths = [len(column) for column in batch.values()]
        if not lengths or min(lengths) != max(lengths) or not lengths[0]:
            raise ValueError(f"columns with {lengths} rows cannot be shared out.")
        each = math.ceil(lengths[0] / world)
        starts = range(0, each * world, each)
        numbers = torch.arange(each * world).clamp(max=lengths[0] - 1)  # the last row again
        return [{name: column[numbers[i : i + each]] for name, column in batch.items()} for i in starts]
    if mode is Dispatch.ALL_TO_ALL and len(batch) != world:
        raise ValueError(f"{world} items are needed, one for each worker, but there are {len(batch)}.")
    return list(batch) if mode is Dispatch.ALL_TO_ALL else [batch] * (1 if mode is Dispatch.RANK_ZERO else world)


def collect(mode: Dispatch, outputs: list[Any], n: int) -> Any:
    """What the caller gets, from the outputs of the workers that were called, in order of rank.

    DP_COMPUTE_PROTO: each output is a dict of tensors with a row for each row of the share; the
    result has the n rows of the batch in their order, without the repeated ones. ``n`` is not used
    by the other modes.
    """
    match mode:
        case Dispatch.RANK_ZERO:
            (output,) = outputs
            return output
        case Dispatch.DP_COMPUTE_PROTO:
            rows = {name: [row for output in outputs for row in output[name]] for name in outputs[0]}
            return {name: torch.stack(column[:n]) for name, column in rows.items()}
    return list(outputs)


class WorkerGroup:
    """Workers of one role under one controller.

        group = WorkerGroup(engine, RolloutWorker, 2, config)
        call = group.begin("rollout", {"seed": seeds}, Dispatch.DP_COMPUTE_PROTO)  # returns at once
        ...                                                            # other groups work meanwhile
        rows = group.finish(call)
    """


    def begin(self, method: str, batch: Any, mode: Dispatch) -> GroupCall:
        """Submit the call to every worker that it is for, before any result is waited for."""
        called = list(zip(self.workers, dispatch(mode, batch, self.world), strict=mode is not Dispatch.RANK_ZERO))
        rows = max((len(column) for column in batch.values()), default=0) if mode is Dispatch.DP_COMPUTE_PROTO else 0
        return GroupCall(method, mode, [self.engine.submit(worker, method, part) for worker, part in called], rows)

    def finish(self, call: GroupCall) -> Any:
        """Wait for all workers and collect.

        Raises:
            WorkerError: a worker failed; names the rank and the method. All workers of the group
                have been stopped, once.
        """
        outputs: list[Any] = []
        try:
            for future in call.futures:
                outputs.append(self.engine.result(future))
        except Exception as error:
            self.engine.stop(self.workers)
            raise WorkerError(len(outputs), call.method, repr(error)) from error
        return collect(call.mode, outputs, call.n)


# -- Part 7: training ------------------------------------------------------------------------------


class Learner:
    """One rank's copy of everything that training changes: model, optimiser, generator, statistics,
    step.

    All ranks begin with the parameters of rank 0, and each shuffles its rows with a generator of
    its own.
    """


    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on, as data that ``save_checkpoint`` takes."""
        kept = vars(self.obs_stats)
        return {
            "step": self.step,
            "statistics": {name: copy.deepcopy(value) for name, value in kept.items()},
            "random": self.generator.get_state().tolist(),
            "parts": [copy.deepcopy(part.state_dict()) for part in (self.model, self.optimizer)],
        }

    def restore_(self, state: dict[str, Any]) -> None:
        """Go on as if nothing had happened: the next updates are, bit for bit, those of an
        uninterrupted run."""
        for part, saved in zip((self.model, self.optimizer), state["parts"], strict=True):
            part.load_state_dict(copy.deepcopy(saved))
        self.generator.set_state(torch.tensor(state["random"], dtype=torch.uint8))
        vars(self.obs_stats).update(copy.deepcopy(state["statistics"]))
        self.step = state["step"]


def train_distributed_ppo(env_id: str, config: PPOConfig, seed: int = 0) -> Result:
    """PPO on all ranks: each steps its share of the environments, all make the same optimiser
    steps. Collective.

    The ``config.envs`` environments are dealt out by ``shard_indices``. Each iteration collects a
    rollout with the current policy and makes one
    ``Learner.update_``; there are ``config.iterations`` of them.
    """
    rank, world = rank_and_world()
    learner, mine = Learner(config, seed), Rollouts(env_id, shard_indices(config.envs, rank, world).tolist(), seed)
    for _ in range(config.iterations):
        learner.update_(mine.collect(learner.model, config))
    return Result(learner.model, mine.returns, config.envs * config.rollout_steps * config.iterations)
