"""Messages from neighbour to neighbour alone: every rank passes on what it has heard, until all have
heard everybody; then each adds up in order of rank. One loss and one backward pass for all
micro-batches."""

import io
import itertools

# -- What the blanks share -------------------------------------------------------------------------


def heard(row):
    """The rows of all ranks, in order of rank. (world, *row.shape)"""
    rank, world = rank_and_world()
    row = row.detach().to(communication_device()).contiguous().clone()
    rows = {rank: row}
    for step in range(1, world):
        incoming = torch.empty_like(row)
        sending = dist.isend(row, (rank + 1) % world)
        dist.recv(incoming, (rank - 1) % world)
        sending.wait()
        row = rows[(rank - step) % world] = incoming
    return torch.stack([rows[r] for r in range(world)])


def totals(*numbers):
    return heard(torch.tensor(numbers, dtype=torch.float64)).sum(0).tolist()


def pooled(rows):
    """Mean, mean squared distance and number of the rows of all ranks."""
    count = torch.tensor([float(len(rows))], dtype=torch.float64)
    sums = heard(torch.cat([count, rows.sum(0).cpu()])).sum(0)
    n = int(sums[0])
    mean = sums[1:] / max(n, 1)
    return mean, heard(((rows.cpu() - mean) ** 2).sum(0)).sum(0) / max(n, 1), n


# -- Part 1: processes and shards ------------------------------------------------------------------


def shard_indices(n, rank, world):
    if n < 0 or not 0 <= rank < world:
        raise ValueError(f"n={n}, rank={rank} and world={world} do not fit together.")
    return torch.tensor_split(torch.arange(n), world)[rank]


def rank_seed(seed, rank):
    if min(seed, rank) < 0:
        raise ValueError("neither the seed nor the rank may be negative.")
    high, low = np.random.SeedSequence(seed, spawn_key=(rank,)).generate_state(2, np.uint32).tolist()
    return (high >> 1) * 2**32 + low


def supervise(poll, stop, timeout_s, interval_s=0.02):
    begun = time.perf_counter()
    for _ in itertools.count():
        codes = dict(enumerate(poll()))
        failed = sorted(rank for rank, code in codes.items() if code)
        running = [rank for rank, code in codes.items() if code is None]
        if not failed and not running:
            return
        if failed or time.perf_counter() - begun > timeout_s:
            stop()
            if failed:
                raise RankError(failed[0], f"its exit code is {codes[failed[0]]}")
            raise TimeoutError(f"the time is up, and rank {running[0]} still runs")
        time.sleep(interval_s)


# -- Part 2: communication -------------------------------------------------------------------------


def broadcast_params_(params):
    params = list(params)
    first = heard(flatten(params))[0]
    for parameter, value in zip(params, unflatten(first, params), strict=True):
        parameter.data.copy_(value)


def flatten(tensors):
    if len(tensors) == 0:
        raise ValueError("nothing can be made of no tensors.")
    return torch.hstack([tensor.detach().flatten() for tensor in tensors])


def unflatten(flat, like):
    ends = list(itertools.accumulate(tensor.numel() for tensor in like))
    if flat.dim() != 1 or flat.numel() != (ends[-1] if ends else 0):
        raise ValueError("the row is longer or shorter than the tensors together.")
    pieces = torch.tensor_split(flat, ends[:-1])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, like, strict=True)]


def all_reduce_grads_(params, weight):
    if weight < 0:
        raise ValueError("a weight may not be negative.")
    params = list(params)
    total, *found = totals(weight, *(p.grad is not None for p in params))
    if total <= 0:
        raise ValueError("all weights are 0.")
    used = [p for p, n in zip(params, found, strict=True) if n > 0]
    if used:
        heap = []
        for p in used:
            left_out = weight == 0 or p.grad is None
            heap.append(torch.zeros_like(p) if left_out else p.grad * weight)
        mean = heard(flatten(heap)).sum(0) / total
        for p, gradient in zip(used, unflatten(mean, used), strict=True):
            p.grad = gradient.clone()


def hierarchical_all_reduce_(tensor, ranks_per_node):
    rank, world = rank_and_world()
    if ranks_per_node < 1 or world % ranks_per_node != 0:
        raise ValueError(f"nodes of {ranks_per_node} cannot be made of {world} ranks.")
    leader = rank - rank % ranks_per_node
    if rank != leader:
        dist.send(tensor, leader)
        dist.recv(tensor, leader)
        return tensor
    incoming = torch.empty_like(tensor)
    members = range(leader + 1, leader + ranks_per_node)
    for member in members:
        dist.recv(incoming, member)
        tensor += incoming
    others = range(ranks_per_node, world, ranks_per_node)
    if leader:
        dist.send(tensor, 0)
        dist.recv(tensor, 0)
    else:
        for other in others:
            dist.recv(incoming, other)
            tensor += incoming
        for other in others:
            dist.send(tensor, other)
    for member in members:
        dist.send(tensor, member)
    return tensor


# -- Part 3: statistics ----------------------------------------------------------------------------


def all_reduce_moments(x, mask=None):
    if mask is not None and mask.shape != x.shape:
        raise ValueError("the mask has another shape than x.")
    valid = x.detach().flatten() if mask is None else x.detach()[mask.bool()]
    (mean,), (var,), count = pooled(valid.double()[:, None])
    return Moments(mean.item(), var.item(), count)


def normalize_advantages(advantages, mask=None, eps=1e-8):
    moments = all_reduce_moments(advantages, mask)
    result = torch.zeros_like(advantages, requires_grad=False)
    on = torch.ones_like(result, dtype=torch.bool) if mask is None else mask.bool()
    result[on] = (advantages.detach()[on] - moments.mean) / (moments.var**0.5 + eps)
    return result


class DistributedRunningMeanStd:


    def update_(self, rows):
        mean, var, n = pooled(rows.detach().double().flatten(1))
        if n == 0:
            return
        mean, var = mean.view_as(self.mean), var.view_as(self.var)
        share = n / (self.count + n)
        middle = (1 - share) * self.mean + share * mean
        old = self.var + (self.mean - middle) ** 2
        new = var + (mean - middle) ** 2
        self.mean, self.var, self.count = middle, (1 - share) * old + share * new, self.count + n


# -- Part 4: the loss and one optimiser step -------------------------------------------------------


def distributed_ppo_loss(logp, old_logp, advantages, mask=None, clip_low=0.2, clip_high=None):
    on = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask
    if len({logp.shape, old_logp.shape, advantages.shape, on.shape}) > 1:
        raise ValueError("these tensors have different shapes.")
    on = on.bool()
    terms = surrogate_terms(logp[on], old_logp[on], advantages[on], clip_low, clip_high)
    n, *sums = totals(int(on.sum()), *(float(t.sum()) for t in (terms.clipped, terms.kl, terms.ratio)))
    clipped, kl, ratio = (one / max(n, 1.0) for one in sums)
    loss = terms.loss.sum() / max(n, 1.0) * rank_and_world()[1]
    return loss, {"clip_fraction": clipped, "approx_kl": kl, "ratio_mean": ratio}


def distributed_step_(model, optimizer, micro_batches, config):
    params = list(model.parameters())
    optimizer.zero_grad(set_to_none=False)
    loss, sums = 0.0 * sum(p.sum() for p in params), [0.0] * 4
    for batch in micro_batches:
        on = batch.mask.bool()
        terms = policy_and_value_terms(model, batch, config)
        loss = loss + terms.loss[on].sum()
        told = (on.sum(), *(term[on].sum() for term in (terms.clipped, terms.kl, terms.ratio)))
        sums = [a + float(b) for a, b in zip(sums, told, strict=True)]
    loss.backward()
    n, clipped, kl, ratio = totals(*sums)
    n = max(n, 1.0)
    mean = heard(flatten([p.grad for p in params])).sum(0) / n
    norm = torch.linalg.vector_norm(mean)
    if config.max_grad_norm is not None and norm > config.max_grad_norm:
        mean = mean * (config.max_grad_norm / norm)
    for p, gradient in zip(params, unflatten(mean, params), strict=True):
        p.grad.copy_(gradient)
    optimizer.step()
    metrics = {"clip_fraction": clipped / n, "approx_kl": kl / n, "ratio_mean": ratio / n}
    return metrics | {"grad_norm": norm.item()}


# -- Part 5: decisions that all ranks take together, and checkpoints -------------------------------


def agreed(value, count):
    """The mean of all entries, or None where there are none."""
    total, n = totals(value * count if count > 0 else 0.0, count)
    return total / n if n else None


def should_stop(local_kl, local_count, target, factor=1.5):
    kl = agreed(local_kl, local_count)
    return kl is not None and kl > target * factor


def adapt_beta(beta, local_kl, local_count, target):
    kl = agreed(local_kl, local_count)
    if kl is None or target / 1.5 <= kl <= 1.5 * target:
        return beta
    return beta * (2.0 if kl > target else 0.5)


def check_finite(values):
    bad = sum(int((~torch.isfinite(value.detach())).sum()) for value in values)
    counts = heard(torch.tensor([float(bad)], dtype=torch.float64)).flatten().tolist()
    names = [str(rank) for rank, count in enumerate(counts) if count]
    if names:
        raise FloatingPointError(f"nan or infinity on rank {', '.join(names)}")


MAGIC = b"checkpoint 1\n"


def save_checkpoint(file, **state):
    memory = io.BytesIO()
    torch.save(state, memory)
    with opened(file, "wb") as stream:
        stream.write(MAGIC + memory.getvalue())


def load_checkpoint(file):
    with opened(file, "rb") as stream:
        content = stream.read()
    if not content.startswith(MAGIC):
        raise ValueError("the file does not begin like a checkpoint.")
    try:
        return dict(torch.load(io.BytesIO(content[len(MAGIC) :]), weights_only=True))
    except Exception as error:
        raise ValueError(f"the checkpoint cannot be read: {error}") from error


# -- Part 6: worker groups under one controller ----------------------------------------------------


def dispatch(mode, batch, world):
    if mode in (Dispatch.ONE_TO_ALL, Dispatch.RANK_ZERO):
        return list(itertools.repeat(batch, world if mode is Dispatch.ONE_TO_ALL else 1))
    if mode is Dispatch.ALL_TO_ALL:
        if len(batch) != world:
            raise ValueError("each worker needs one item.")
        return [*batch]
    lengths = {x.size(0) for x in batch.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError("the rows of a batch cannot be counted.")
    (n,) = lengths
    share = (n + world - 1) // world
    numbers = torch.arange(share * world).remainder(n).view(world, share)
    return [{name: x.index_select(0, mine) for name, x in batch.items()} for mine in numbers]


def collect(mode, outputs, n):
    if mode in (Dispatch.ONE_TO_ALL, Dispatch.ALL_TO_ALL):
        return list(outputs)
    if mode is Dispatch.RANK_ZERO:
        return outputs[0]
    return {name: torch.vstack([o[name].reshape(len(o[name]), -1) for o in outputs])[:n].reshape(n, *x.shape[1:])
            for name, x in outputs[0].items()}  # fmt: skip


class WorkerGroup:


    def begin(self, method, batch, mode):
        parts = dispatch(mode, batch, self.world)
        n = len(next(iter(batch.values()))) if mode is Dispatch.DP_COMPUTE_PROTO else 0
        called = range(len(parts))
        futures = [self.engine.submit(self.workers[k], method, parts[k]) for k in called]
        return GroupCall(method=method, mode=mode, futures=futures, n=n)

    def finish(self, call):
        outputs = {}
        for rank, future in enumerate(call.futures):
            try:
                outputs[rank] = self.engine.result(future)
            except Exception as error:
                failure = WorkerError(rank, call.method, str(error))
                break
        else:
            return collect(call.mode, [outputs[rank] for rank in sorted(outputs)], call.n)
        self.engine.stop(self.workers)
        raise failure


# -- Part 7: training ------------------------------------------------------------------------------


class Learner:


    def state(self):
        stats = self.obs_stats
        return {
            "weights": [p.detach().clone() for p in self.model.parameters()],
            "adam": self.optimizer.state_dict(),
            "shuffling": self.generator.get_state(),
            "counts": [self.step, stats.count],
            "moments": torch.stack([stats.mean, stats.var]),
        }

    def restore_(self, state):
        with torch.no_grad():
            for p, value in zip(self.model.parameters(), state["weights"], strict=True):
                p.copy_(value)
        self.optimizer.load_state_dict(state["adam"])
        self.generator.set_state(state["shuffling"])
        self.step, self.obs_stats.count = state["counts"]
        self.obs_stats.mean, self.obs_stats.var = state["moments"].clone().unbind()


def train_distributed_ppo(env_id, config, seed=0):
    rank, world = rank_and_world()
    mine = shard_indices(config.envs, rank, world)
    learner, rollouts = Learner(config, seed), Rollouts(env_id, mine.tolist(), seed)
    steps = 0
    for _ in range(config.iterations):
        batch = rollouts.collect(learner.model, config)
        steps += len(batch.mask)
        learner.update_(batch)
    (every,) = totals(steps)
    return Result(model=learner.model, returns=rollouts.returns, steps=int(every))
