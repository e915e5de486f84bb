"""One message for each parameter, all of them under way at once; Chan's rule two ranks at a time;
gradients are sums first, and divided by the count at the end; a learner's state as bytes."""

import functools
import io

# -- What the blanks share -------------------------------------------------------------------------

METRICS = ("clip_fraction", "approx_kl", "ratio_mean")


def everywhere(tensors, operation=dist.ReduceOp.SUM):
    """Reduce each tensor over all ranks, in place."""
    if rank_and_world()[1] > 1:
        under_way = [dist.all_reduce(x, op=operation, async_op=True) for x in tensors]
        for one in under_way:
            one.wait()


def summed(numbers):
    row = torch.tensor([float(x) for x in numbers], dtype=torch.float64, device=communication_device())
    everywhere([row])
    return row.tolist()


def gathered(row):
    rows = [torch.empty_like(row) for _ in range(rank_and_world()[1])]
    if len(rows) == 1:
        return [row]
    dist.all_gather(rows, row)
    return rows


def chan(a, b):
    """Two parts (n, mean, squared distances) as one."""
    n = a[0] + b[0]
    if n == 0:
        return a
    apart = b[1] - a[1]
    return n, a[1] + apart * (b[0] / n), a[2] + b[2] + apart**2 * (a[0] * b[0] / n)


def of_all_ranks(rows):
    """(n, mean, squared distances) of the rows (B, F) of all ranks."""
    width = rows.shape[1]
    mean = rows.mean(0) if len(rows) else rows.new_zeros(width)
    own = torch.cat([rows.new_tensor([len(rows)]), mean, (rows - mean).square().sum(0)])
    parts = [(float(x[0]), x[1 : width + 1], x[width + 1 :]) for x in gathered(own)]
    return functools.reduce(chan, parts)


# -- Part 1: processes and shards ------------------------------------------------------------------


def shard_indices(n, rank, world):
    if rank not in range(world) or n < 0:
        raise ValueError("such a shard does not exist.")
    return torch.tensor([row for row in range(n) if row % world == world - 1 - rank], dtype=torch.long)


def rank_seed(seed, rank):
    if seed < 0 or rank < 0:
        raise ValueError("negative numbers are no seeds.")
    return int(np.random.default_rng([rank, seed]).integers(2**63))


def supervise(poll, stop, timeout_s, interval_s=0.02):
    left = timeout_s
    looked = time.monotonic()
    while None in (codes := poll()) or any(codes):
        for rank, code in enumerate(codes):
            if code is not None and code != 0:
                stop()
                raise RankError(rank, f"has ended with {code}")
        now = time.monotonic()
        left, looked = left - (now - looked), now
        if left < 0:
            stop()
            raise TimeoutError("the ranks take too long.")
        time.sleep(interval_s)


# -- Part 2: communication -------------------------------------------------------------------------


def broadcast_params_(params):
    if rank_and_world()[1] > 1:
        for work in [dist.broadcast(p.data, src=0, async_op=True) for p in params]:
            work.wait()


def flatten(tensors):
    if not tensors:
        raise ValueError("one tensor is needed at least.")
    row = torch.empty(sum(x.numel() for x in tensors), dtype=tensors[0].dtype, device=tensors[0].device)
    at = 0
    for x in tensors:
        row.narrow(0, at, x.numel()).copy_(x.detach().reshape(-1))
        at += x.numel()
    return row


def unflatten(flat, like):
    if list(flat.shape) != [sum(x.numel() for x in like)]:
        raise ValueError("the row does not have as many entries as the tensors.")
    numbers = iter(flat.split([x.numel() for x in like]))
    return [next(numbers).reshape_as(x) for x in like]


def all_reduce_grads_(params, weight):
    if weight < 0:
        raise ValueError("weights begin with 0.")
    params = list(params)
    (total,) = summed([weight])
    if not total:
        raise ValueError("no rank has anything to say.")
    there = torch.tensor([p.grad is not None for p in params], dtype=torch.float64)
    there = there.to(communication_device())
    everywhere([there], dist.ReduceOp.MAX)
    reduced = []
    for p, anywhere in zip(params, there.tolist(), strict=True):
        if anywhere:
            mine = p.grad is not None and weight > 0
            p.grad = p.grad * (weight / total) if mine else torch.zeros_like(p)
            reduced.append(p.grad)
    everywhere(reduced)


def hierarchical_all_reduce_(tensor, ranks_per_node):
    rank, world = rank_and_world()
    if ranks_per_node < 1 or world % ranks_per_node:
        raise ValueError("the nodes would be of different sizes.")
    if world > 1:
        heads = [r for r in range(world) if r % ranks_per_node == 0]
        groups = {head: dist.new_group([head + k for k in range(ranks_per_node)]) for head in heads}
        between = dist.new_group(heads)
        head = max(h for h in heads if h <= rank)
        dist.reduce(tensor, dst=head, group=groups[head])
        if head == rank:
            sums = [torch.empty_like(tensor) for _ in heads]
            dist.all_gather(sums, tensor, group=between)
            tensor.copy_(torch.stack(sums).sum(0))
        dist.broadcast(tensor, src=head, group=groups[head])
    return tensor


# -- Part 3: statistics ----------------------------------------------------------------------------


def all_reduce_moments(x, mask=None):
    if mask is not None and mask.shape != x.shape:
        raise ValueError("x and its mask have different shapes.")
    column = x.detach().double().reshape(-1, 1)
    if mask is not None:
        column = column[mask.reshape(-1).bool()]
    n, mean, squares = of_all_ranks(column)
    return Moments(float(mean), float(squares) / n if n else 0.0, int(n))


def normalize_advantages(advantages, mask=None, eps=1e-8):
    with torch.no_grad():
        mean, var, _ = all_reduce_moments(advantages, mask)
        normal = torch.sub(advantages, mean) / (np.sqrt(var).item() + eps)
        return normal if mask is None else normal.where(mask.bool(), torch.zeros_like(normal))


class DistributedRunningMeanStd:


    def update_(self, rows):
        new = of_all_ranks(rows.detach().double().reshape(len(rows), self.mean.numel()))
        old = (float(self.count), self.mean.reshape(-1), self.var.reshape(-1) * self.count)
        n, mean, squares = chan(old, new)
        if n:
            self.count = round(n)
            self.mean, self.var = mean.view(self.mean.shape), (squares / n).view(self.mean.shape)


# -- Part 4: the loss and one optimiser step -------------------------------------------------------


def distributed_ppo_loss(logp, old_logp, advantages, mask=None, clip_low=0.2, clip_high=None):
    for other in (old_logp, advantages, mask):
        if other is not None and other.shape != logp.shape:
            raise ValueError("all arguments have one shape.")
    keep = (torch.ones_like(logp) if mask is None else mask).bool()
    zero = torch.zeros((), dtype=logp.dtype, device=logp.device)
    logp, old_logp, advantages = (x.where(keep, zero) for x in (logp, old_logp, advantages))
    terms = Terms(*(x * keep for x in surrogate_terms(logp, old_logp, advantages, clip_low, clip_high)))
    count, *found = summed([keep.sum(), terms.clipped.sum(), terms.kl.sum(), terms.ratio.sum()])
    share = 1 / count if count else 0.0
    loss = terms.loss.sum() * share * rank_and_world()[1]
    return loss, {name: x * share for name, x in zip(METRICS, found, strict=True)}


def distributed_step_(model, optimizer, micro_batches, config):
    params = list(model.parameters())
    for p in params:
        p.grad = torch.zeros_like(p)
    told = torch.zeros(4, dtype=torch.float64)
    for batch in micro_batches:
        keep = batch.mask.bool()
        if keep.any():
            terms = policy_and_value_terms(model, Batch(*(x[keep] for x in batch)), config)
            terms.loss.sum().backward()
            told += torch.stack([keep.sum(), terms.clipped.sum(), terms.kl.sum(), terms.ratio.sum()]).cpu()
    count, *found = summed(told)
    everywhere([p.grad for p in params])
    for p in params:
        p.grad /= max(count, 1.0)
    norm = sum(float(p.grad.double().square().sum()) for p in params) ** 0.5
    if config.max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(params, config.max_grad_norm)
    optimizer.step()
    return {"grad_norm": norm} | {name: x / max(count, 1.0) for name, x in zip(METRICS, found, strict=True)}


# -- Part 5: decisions that all ranks take together, and checkpoints -------------------------------


def mean_kl(local_kl, local_count):
    total, count = summed([local_kl * local_count if local_count else 0.0, local_count])
    return (total / count, count) if count else (0.0, 0)


def should_stop(local_kl, local_count, target, factor=1.5):
    kl, count = mean_kl(local_kl, local_count)
    return bool(count) and kl > factor * target


def adapt_beta(beta, local_kl, local_count, target):
    kl, count = mean_kl(local_kl, local_count)
    if not count:
        factor = 1.0
    elif kl > 1.5 * target:
        factor = 2.0
    elif kl < target / 1.5:
        factor = 0.5
    else:
        factor = 1.0
    return factor * beta


def check_finite(values):
    own = [float(bool(value.isfinite().all())) for value in values]
    told = [bool(x) for x in gathered(torch.tensor([min(own, default=1.0)], device=communication_device()))]
    if not all(told):
        where = [rank for rank, fine in enumerate(told) if not fine]
        raise FloatingPointError(f"not every number is finite: rank {where}")


def save_checkpoint(file, **state):
    with opened(file, "wb") as stream:
        torch.save({"checkpoint": state}, stream)


def load_checkpoint(file):
    try:
        with opened(file, "rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)["checkpoint"]
    except Exception as error:
        raise ValueError("no checkpoint of this course can be read from there.") from error


# -- Part 6: worker groups under one controller ----------------------------------------------------


def dispatch(mode, batch, world):
    match mode:
        case Dispatch.RANK_ZERO:
            return [batch]
        case Dispatch.ONE_TO_ALL:
            return world * [batch]
        case Dispatch.ALL_TO_ALL:
            if len(batch) == world:
                return batch[:]
            raise ValueError(f"{len(batch)} items cannot go to {world} workers.")
    sizes = [len(x) for x in batch.values()]
    if not sizes or sizes != sizes[:1] * len(sizes) or sizes[0] == 0:
        raise ValueError("all tensors need the same number of rows, and one at least.")
    rows = list(range(sizes[0]))
    while len(rows) % world:
        rows.append(0)
    each = len(rows) // world
    return [{name: x[rows[k : k + each]] for name, x in batch.items()} for k in range(0, len(rows), each)]


def collect(mode, outputs, n):
    if mode is Dispatch.RANK_ZERO:
        return outputs[-1]
    if mode is Dispatch.DP_COMPUTE_PROTO:
        together = {}
        for output in outputs:
            for name, x in output.items():
                together.setdefault(name, []).append(x)
        return {name: torch.cat(parts).narrow(0, 0, n) for name, parts in together.items()}
    return outputs


class WorkerGroup:


    def begin(self, method, batch, mode):
        n, futures = 0, []
        if mode is Dispatch.DP_COMPUTE_PROTO:
            n = min(map(len, batch.values()), default=0)
        for rank, part in enumerate(dispatch(mode, batch, self.world)):
            futures += [self.engine.submit(self.workers[rank], method, part)]
        return GroupCall(method, mode, futures, n)

    def finish(self, call):
        def wait(rank):
            try:
                return self.engine.result(call.futures[rank])
            except Exception as error:
                self.engine.stop(self.workers)
                raise WorkerError(rank, call.method, repr(error)) from error

        return collect(call.mode, [wait(rank) for rank in range(len(call.futures))], call.n)


# -- Part 7: training ------------------------------------------------------------------------------


class Learner:


    def state(self):
        memory = io.BytesIO()
        everything = (self.model.state_dict(), self.optimizer.state_dict(), self.generator.get_state(),
                      vars(self.obs_stats), self.step)  # fmt: skip
        torch.save(everything, memory)
        return {"bytes": torch.frombuffer(bytearray(memory.getvalue()), dtype=torch.uint8)}

    def restore_(self, state):
        memory = io.BytesIO(state["bytes"].numpy().tobytes())
        model, optimizer, generator, stats, self.step = torch.load(memory, weights_only=True)
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)
        self.generator.set_state(generator)
        for name, value in stats.items():
            setattr(self.obs_stats, name, value)


def train_distributed_ppo(env_id, config, seed=0):
    learner = Learner(config, seed)
    rollouts = Rollouts(env_id, shard_indices(config.envs, *rank_and_world()).tolist(), seed)
    for _ in range(config.iterations):
        learner.update_(rollouts.collect(learner.model, config))
    (environments,) = summed([len(rollouts.envs)])
    return Result(learner.model, rollouts.returns, round(environments) * config.rollout_steps * config.iterations)
