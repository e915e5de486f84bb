"""Another right answer: ranks gather what the others have, as objects, and compute for themselves;
Chan's rule rank by rank; checkpoints as NumPy archives; every member of a node takes part between
the nodes."""


import hashlib
import json
import math

# -- Given: the world, the networks, PPO's terms ---------------------------------------------------


def everybodys(value):
    """What every rank says, in order of rank."""
    said = [value] * rank_and_world()[1]
    if len(said) > 1:
        dist.all_gather_object(said, value)
    return said


def summary(rows):
    """Number of rows, mean and sum of squared deviations."""
    if len(rows) == 0:
        return 0, [], []
    mean = rows.mean(0)
    return len(rows), mean.tolist(), ((rows - mean) ** 2).sum(0).tolist()


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
    sizes = [n // world + (1 if r < n % world else 0) for r in range(world)]
    first = sum(sizes[:rank])
    return torch.arange(first, first + sizes[rank])


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
    return int.from_bytes(hashlib.sha256(f"{seed}/{rank}".encode()).digest()[:7], "big")


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
    started = time.monotonic()
    failure = None
    while failure is None:
        codes = poll()
        for rank, code in enumerate(codes):
            if code not in (None, 0):
                failure = RankError(rank, f"ended with exit code {code}")
                break
        else:
            if all(code == 0 for code in codes):
                return
            if time.monotonic() - started > timeout_s:
                failure = TimeoutError(f"some rank runs for more than {timeout_s:g} seconds")
            else:
                time.sleep(interval_s)
    stop()
    raise failure


# -- Part 2: communication -------------------------------------------------------------------------


def broadcast_params_(params: Iterable[Tensor]) -> None:
    """Give every rank the parameters of rank 0, in place. Collective.

    Args:
        params: tensors, of the same shapes in the same order on all ranks; `model.parameters()` is
            an iterator.
    """
    if rank_and_world()[1] > 1:
        params = list(params)
        row = torch.cat([p.detach().flatten() for p in params])
        dist.broadcast(row, 0)
        with torch.no_grad():
            for p, piece in zip(params, row.split([p.numel() for p in params]), strict=True):
                p.copy_(piece.view_as(p))


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All entries of all tensors in one new 1-D tensor, in order: one message instead of many.

    Raises:
        ValueError: there is no tensor.
    """
    if not tensors:
        raise ValueError("there is no tensor to flatten.")
    return torch.nn.utils.parameters_to_vector([t.detach().contiguous() for t in tensors])


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of ``flatten``: tensors of the shapes of ``like``, filled from ``flat`` in order.

    Raises:
        ValueError: ``flat`` does not have as many entries as ``like`` together.
    """
    if flat.ndim != 1 or len(flat) != sum(tensor.numel() for tensor in like):
        raise ValueError(
            f"flat has shape {tuple(flat.shape)}, which is not the size of the tensors together."
        )
    return [piece.view(t.shape) for piece, t in zip(flat.split([t.numel() for t in like]), like, strict=True)]


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
    total = sum(everybodys(float(weight)))
    if total == 0:
        raise ValueError("nobody has any weight.")
    for p in params:
        if not any(everybodys(p.grad is not None)):
            continue
        share = torch.zeros_like(p) if p.grad is None else p.grad.detach() * (weight / total)
        p.grad = sum_over_ranks(share)


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
    if world == 1:
        return tensor
    nodes = [list(range(k, k + ranks_per_node)) for k in range(0, world, ranks_per_node)]
    within = [dist.new_group(node) for node in nodes]
    across = [dist.new_group([node[i] for node in nodes]) for i in range(ranks_per_node)]
    dist.all_reduce(tensor, group=within[rank // ranks_per_node])
    dist.all_reduce(
        tensor, group=across[rank % ranks_per_node]
    )  # every member, not the leader alone: no way back is needed
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
    entries = x.detach().double() if mask is None else x.detach().double()[mask.bool()]
    heap = torch.cat(
        [torch.tensor(part, dtype=torch.float64) for part in everybodys(entries.flatten().tolist())]
    )
    if len(heap) == 0:
        return Moments(0.0, 0.0, 0)
    return Moments(heap.mean().item(), ((heap - heap.mean()) ** 2).mean().item(), len(heap))


def normalize_advantages(advantages: Tensor, mask: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """(A - mean) / (std + eps) with the moments of all ranks; exactly 0 under mask 0. Collective.

    Returns a new tensor of the shape and dtype of ``advantages``, without a gradient.
    """
    mean, var, _ = all_reduce_moments(advantages, mask)
    scaled = (advantages.detach() - mean) / (math.sqrt(var) + eps)
    return scaled if mask is None else scaled * mask.to(scaled.dtype)


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
        for n, mean, squares in everybodys(summary(rows.detach().double())):
            if n:
                mean, squares = (torch.tensor(part, dtype=torch.float64) for part in (mean, squares))
                both = self.count + n
                delta = mean - self.mean
                squares = self.var * self.count + squares + delta**2 * self.count * n / both
                self.mean = self.mean + delta * n / both
                self.var, self.count = squares / both, both


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
    mask = torch.ones_like(logp) if mask is None else mask.to(logp.dtype)
    terms = surrogate_terms(logp, old_logp, advantages, clip_low, clip_high)
    n = sum(everybodys(float(mask.sum())))
    loss = (terms.loss * mask).sum() * rank_and_world()[1] / n
    means = {}
    for name, entries in (
        ("clip_fraction", terms.clipped),
        ("approx_kl", terms.kl),
        ("ratio_mean", terms.ratio),
    ):
        means[name] = sum(everybodys(float((entries * mask).sum()))) / n
    return loss, means


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
    own = sum(float(b.mask.sum()) for b in micro_batches)
    n = sum(everybodys(own))
    for p in model.parameters():
        p.grad = None
    sums = [0.0, 0.0, 0.0]
    for b in micro_batches:
        terms = policy_and_value_terms(model, b, config)
        mask = b.mask.to(terms.loss.dtype)
        # this rank's mean: weighed by its rows below
        ((terms.loss * mask).sum() / max(own, 1)).backward()
        sums = [
            s + float((t * mask).sum())
            for s, t in zip(sums, (terms.clipped, terms.kl, terms.ratio), strict=True)
        ]
    all_reduce_grads_(model.parameters(), own)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in grads))
    if config.max_grad_norm is not None and norm > config.max_grad_norm:
        for g in grads:
            g.mul_(config.max_grad_norm / norm)
    optimizer.step()
    everyone = everybodys(sums)
    names = ("clip_fraction", "approx_kl", "ratio_mean")
    return {name: sum(s[i] for s in everyone) / n for i, name in enumerate(names)} | {"grad_norm": norm}


# -- Part 5: decisions that all ranks take together, and checkpoints -------------------------------


def should_stop(local_kl: float, local_count: int, target: float, factor: float = 1.5) -> bool:
    """Whether the mean KL divergence over the entries of all ranks exceeds factor * target: the
    same answer everywhere. Collective.

    A rank that decided by its own KL would leave the others waiting in their next reduction.

    Args:
        local_kl: mean over this rank's entries.
        local_count: how many there are; may be 0, then local_kl is not used.
    """
    pairs = everybodys((local_kl, local_count))
    n = sum(count for _, count in pairs)
    return n > 0 and sum(kl * count for kl, count in pairs if count) / n > factor * target


def adapt_beta(beta: float, local_kl: float, local_count: int, target: float) -> float:
    """The penalty's weight after a look at the mean KL of all ranks: doubled above 1.5 * target,
    halved below target / 1.5. Collective.

    Source: Schulman et al. (2017), Section 4.
    """
    pairs = everybodys((local_kl, local_count))
    kl = sum(k * count for k, count in pairs if count) / max(1, sum(count for _, count in pairs))
    if kl > 1.5 * target:
        beta *= 2
    elif kl < target / 1.5:
        beta /= 2
    return beta


def check_finite(values: Iterable[Tensor]) -> None:
    """Raise on all ranks alike if any rank holds a value that is nan or infinite. Collective.

    Raises:
        FloatingPointError: on every rank; the message names the ranks with such values.
    """
    fine = True
    for value in values:
        fine = fine and not bool((torch.isnan(value) | torch.isinf(value)).any())
    told = everybodys(fine)
    if not all(told):
        raise FloatingPointError(
            "nan or infinity on rank " + " and ".join(str(r) for r, ok in enumerate(told) if not ok)
        )


def save_checkpoint(file: str | Path | BinaryIO, **state: Any) -> None:
    """Write named values: nested dicts and lists of tensors, numbers, strings, booleans and None.

    Args:
        file: a path, or a binary file that is open for writing (see
            ``opened``), as with ``torch.save``.
    """
    arrays = []

    def plain(value):
        if isinstance(value, Tensor):
            arrays.append(value.detach().cpu().numpy())
            return {"tensor": len(arrays) - 1}
        if isinstance(value, dict):
            return {"dict": [[plain(k), plain(v)] for k, v in value.items()]}
        if isinstance(value, (list, tuple)):
            return {"tuple" if isinstance(value, tuple) else "list": [plain(v) for v in value]}
        return value

    text = json.dumps(plain(state)).encode()
    with opened(file, "wb") as stream:
        np.savez(
            stream, structure=np.frombuffer(text, dtype=np.uint8), **{str(i): a for i, a in enumerate(arrays)}
        )


def load_checkpoint(file: str | Path | BinaryIO) -> dict[str, Any]:
    """The values that ``save_checkpoint`` wrote, bit for bit. Nothing in the file is ever executed:
    data only, no general unpickling.

    Raises:
        ValueError: the file is not such a checkpoint.
    """

    def built(value, arrays):
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "tensor":
            return torch.from_numpy(arrays[str(content)])
        if kind == "dict":
            return {built(k, arrays): built(v, arrays) for k, v in content}
        return (tuple if kind == "tuple" else list)(built(v, arrays) for v in content)

    try:
        with opened(file, "rb") as stream:
            arrays = np.load(stream, allow_pickle=False)
            return built(json.loads(arrays["structure"].tobytes()), arrays)
    except Exception as error:
        raise ValueError(f"not a checkpoint of mine: {type(error).__name__}") from error


# -- Part 6: worker groups under one controller ----------------------------------------------------


def dispatch(mode: Dispatch, batch: Any, world: int) -> list[Any]:
    """The argument of each worker that is called: ``world`` of them, or one under RANK_ZERO.

    DP_COMPUTE_PROTO: ``batch`` is a dict of tensors with the same number of rows, at least one.
    Every share has the same number of rows; if they do not divide evenly, rows of the batch are
    repeated at the end, as many as are needed and no more.

    Raises:
        ValueError: the batch does not fit the mode.
    """
    if mode is Dispatch.RANK_ZERO:
        return [batch]
    if mode is Dispatch.ONE_TO_ALL:
        return [batch for _ in range(world)]
    if mode is Dispatch.ALL_TO_ALL:
        if len(batch) != world:
            raise ValueError("one item for each worker is needed.")
        return list(batch)
    lengths = [tensor.shape[0] for tensor in batch.values()]
    if not lengths or min(lengths) != max(lengths) or min(lengths) == 0:
        raise ValueError("all tensors of a batch need the same number of rows.")
    n = lengths[0]
    missing = -n % world
    filled = {name: torch.cat([t] + [t[-1:]] * missing) for name, t in batch.items()}
    share = (n + missing) // world
    return [{name: t[k * share : (k + 1) * share] for name, t in filled.items()} for k in range(world)]


def collect(mode: Dispatch, outputs: list[Any], n: int) -> Any:
    """What the caller gets, from the outputs of the workers that were called, in order of rank.

    DP_COMPUTE_PROTO: each output is a dict of tensors with a row for each row of the share; the
    result has the n rows of the batch in their order, without the repeated ones. ``n`` is not used
    by the other modes.
    """
    if mode is Dispatch.DP_COMPUTE_PROTO:
        return {name: torch.cat([output[name] for output in outputs])[:n] for name in outputs[0]}
    return outputs[0] if mode is Dispatch.RANK_ZERO else list(outputs)


class WorkerGroup:
    """Workers of one role under one controller.

    group = WorkerGroup(engine, RolloutWorker, 2, config)
    call = group.begin("rollout", {"seed": seeds}, Dispatch.DP_COMPUTE_PROTO)     # returns at once
    ...                                                                # other groups work meanwhile
    rows = group.finish(call)
    """


    def begin(self, method: str, batch: Any, mode: Dispatch) -> GroupCall:
        """Submit the call to every worker that it is for, before any result is waited for."""
        shares = dispatch(mode, batch, self.world)
        futures = []
        for worker, share in zip(self.workers, shares, strict=False):
            futures.append(self.engine.submit(worker, method, share))
        rows = len(next(iter(batch.values()))) if mode == Dispatch.DP_COMPUTE_PROTO else -1
        return GroupCall(method, mode, futures, rows)

    def finish(self, call: GroupCall) -> Any:
        """Wait for all workers and collect.

        Raises:
            WorkerError: a worker failed; names the rank and the method. All workers of the group
                have been stopped, once.
        """
        outputs, rank = [], 0
        try:
            for rank, future in enumerate(call.futures):  # noqa: B007
                outputs.append(self.engine.result(future))
        except Exception as error:
            self.engine.stop(list(self.workers))
            raise WorkerError(rank, call.method, str(error)) from error
        return collect(call.mode, outputs, call.n)


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
        )
        broadcast_params_(self.model.parameters())
        self.optimizer = make_optimizer(self.model, config)
        self.generator = torch.Generator().manual_seed(rank_seed(seed, rank))
        self.obs_stats = DistributedRunningMeanStd((config.obs_dim,))
        self.step = 0  # optimiser steps so far


    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on, as data that ``save_checkpoint`` takes."""
        stats = self.obs_stats
        return {
            "weights": [p.detach().clone() for p in self.model.parameters()],
            "optimizer": self.optimizer.state_dict(),
            "shuffle": self.generator.get_state(),
            "stats": [stats.mean, stats.var, stats.count],
            "step": self.step,
        }

    def restore_(self, state: dict[str, Any]) -> None:
        """Go on as if nothing had happened: the next updates are, bit for bit, those of an
        uninterrupted run."""
        with torch.no_grad():
            for p, value in zip(self.model.parameters(), state["weights"], strict=True):
                p.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["shuffle"])
        self.obs_stats.mean, self.obs_stats.var, self.obs_stats.count = state["stats"]
        self.step = state["step"]


def train_distributed_ppo(env_id: str, config: PPOConfig, seed: int = 0) -> Result:
    """PPO on all ranks: each steps its share of the environments, all make the same optimiser
    steps. Collective.

    The ``config.envs`` environments are dealt out by ``shard_indices``. Each iteration collects a
    rollout with the current policy and makes one
    ``Learner.update_``; there are ``config.iterations`` of them.
    """
    rank, world = rank_and_world()
    learner = Learner(config, seed)
    mine = [int(i) for i in shard_indices(config.envs, rank, world)]
    rollouts = Rollouts(env_id, mine, seed)
    steps = 0
    for _ in range(config.iterations):
        batch = rollouts.collect(learner.model, config)
        steps += len(batch.mask)
        learner.update_(batch)
    return Result(learner.model, rollouts.returns, sum(everybodys(steps)))
