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


def through_the_root(tensor):
    tensor = tensor.to(communication_device(), copy=True)
    if rank_and_world()[1] > 1:
        dist.reduce(tensor, dst=0)
        dist.broadcast(tensor, src=0)
    return tensor


def from_all_ranks(row):
    rank, world = rank_and_world()
    table = row.new_zeros(world, len(row))
    table[rank] = row
    return through_the_root(table).cpu()


def merged(counts, means, squares):
    weights = (counts / counts.sum().clamp(min=1))[:, None]
    mean = (weights * means).sum(0)
    return mean, squares.sum(0) + (counts[:, None] * (means - mean) ** 2).sum(0), int(counts.sum())


def pooled(rows):
    n, width = rows.shape
    mean = rows.mean(0) if n else rows.new_zeros(width)
    table = from_all_ranks(torch.cat([rows.new_tensor([n]), mean, ((rows - mean) ** 2).sum(0)]))
    return merged(table[:, 0], table[:, 1 : 1 + width], table[:, 1 + width :])


def weighed(value, count):
    table = from_all_ranks(torch.tensor([value if count else 0.0, count], dtype=torch.float64))
    return float((table[:, 0] * table[:, 1]).sum() / table[:, 1].sum().clamp(min=1e-300))


def written(value):
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


def understood(value):
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


def shard_indices(n, rank, world):
    if n < 0 or not 0 <= rank < world:
        raise ValueError(f"n must be at least 0 and 0 <= rank < world, but n={n}, rank={rank}, world={world}.")
    low, more = divmod(n, world)
    begin = rank * low + min(rank, more)
    return torch.tensor(range(begin, begin + low + (rank < more)), dtype=torch.int64)


def rank_seed(seed, rank):
    if seed < 0 or rank < 0:
        raise ValueError(f"seed and rank must not be negative, but they are {seed} and {rank}.")
    return random.Random(f"stream {rank} of run {seed}").getrandbits(63)


def supervise(poll, stop, timeout_s, interval_s=0.02):
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


def broadcast_params_(params):
    if rank_and_world()[1] > 1:
        params = list(params)
        message = nn.utils.parameters_to_vector(params).detach().clone()
        dist.broadcast(message, src=0)
        with torch.no_grad():
            for parameter, piece in zip(params, unflatten(message, params), strict=True):
                parameter.copy_(piece)


def flatten(tensors):
    if not tensors:
        raise ValueError("there is no tensor to flatten.")
    flat = tensors[0].new_empty(sum(tensor.numel() for tensor in tensors))
    for tensor, piece in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        piece.copy_(tensor.detach().flatten())
    return flat


def unflatten(flat, like):
    if flat.ndim != 1 or len(flat) != sum(tensor.numel() for tensor in like):
        raise ValueError(f"flat has shape {tuple(flat.shape)}, which is not the size of the tensors together.")
    return [piece.view(tensor.shape) for piece, tensor in zip(flat.split([t.numel() for t in like]), like, strict=True)]


def all_reduce_grads_(params, weight):
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
        own = [torch.zeros_like(p) if p.grad is None or not share else share * p.grad for p in anywhere]
        for parameter, gradient in zip(anywhere, unflatten(through_the_root(flatten(own)), anywhere), strict=True):
            parameter.grad = gradient.clone()


def hierarchical_all_reduce_(tensor, ranks_per_node):
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


def all_reduce_moments(x, mask=None):
    if mask is not None and mask.shape != x.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, but x {tuple(x.shape)}.")
    kept = (x if mask is None else x[mask.bool()]).detach().to(torch.float64).reshape(-1, 1)
    mean, squares, count = pooled(kept)
    return Moments(float(mean[0]), float(squares[0]) / max(count, 1), count)


def normalize_advantages(advantages, mask=None, eps=1e-08):
    mean, var, _ = all_reduce_moments(advantages, mask)
    result = advantages.detach().sub(mean).div(math.sqrt(var) + eps)
    return result if mask is None else result.masked_fill(~mask.bool(), 0.0)


class DistributedRunningMeanStd:


    def update_(self, rows):
        flat = rows.detach().to(torch.float64).reshape(len(rows), self.mean.numel())
        mean, squares, count = pooled(flat)
        if count:
            old = torch.tensor(float(self.count), dtype=torch.float64)
            means = torch.stack([self.mean.reshape(-1), mean])
            parts = torch.stack([self.var.reshape(-1) * old, squares])
            mean, squares, self.count = merged(torch.stack([old, old.new_tensor(count)]), means, parts)
            self.mean, self.var = mean.reshape(self.mean.shape), (squares / self.count).reshape(self.var.shape)


# -- Part 4: the loss and one optimiser step -------------------------------------------------------


def distributed_ppo_loss(logp, old_logp, advantages, mask=None, clip_low=0.2, clip_high=None):
    if not logp.shape == old_logp.shape == advantages.shape == (logp if mask is None else mask).shape:
        raise ValueError("logp, old_logp, advantages and mask must have one shape.")
    chosen = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask.bool()
    terms = surrogate_terms(logp[chosen], old_logp[chosen], advantages[chosen], clip_low, clip_high)
    local = torch.stack([column.sum() for column in terms[1:]] + [chosen.sum()]).double()
    *sums, count = from_all_ranks(local.detach()).sum(0).tolist()
    metrics = {name: total / max(count, 1) for name, total in zip(NAMES, sums, strict=True)}
    return terms.loss.sum() * (rank_and_world()[1] / max(count, 1)), metrics


def distributed_step_(model, optimizer, micro_batches, config):
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


def should_stop(local_kl, local_count, target, factor=1.5):
    return weighed(local_kl, local_count) > factor * target


def adapt_beta(beta, local_kl, local_count, target):
    kl = weighed(local_kl, local_count)
    if not from_all_ranks(torch.tensor([float(local_count)])).any():
        return beta
    if kl > 1.5 * target:
        return 2 * beta
    return 0.5 * beta if kl < target / 1.5 else beta


def check_finite(values):
    well = min((float(torch.isfinite(value.detach()).all()) for value in values), default=1.0)
    bad = [rank for rank, (flag,) in enumerate(from_all_ranks(torch.tensor([well], dtype=torch.float64)).tolist()) if not flag]
    if bad:
        raise FloatingPointError(f"something is not finite on rank {' and '.join(map(str, bad))}.")


def save_checkpoint(file, **state):
    with opened(file, "wb") as stream:
        stream.write(json.dumps({"checkpoint": written(state)}).encode())


def load_checkpoint(file):
    with opened(file, "rb") as stream:
        try:
            return dict(understood(json.loads(stream.read())["checkpoint"]))
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"not a checkpoint ({error!r})") from None


# -- Part 6: worker groups under one controller ----------------------------------------------------


def dispatch(mode, batch, world):
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


def collect(mode, outputs, n):
    match mode:
        case Dispatch.RANK_ZERO:
            (output,) = outputs
            return output
        case Dispatch.DP_COMPUTE_PROTO:
            rows = {name: [row for output in outputs for row in output[name]] for name in outputs[0]}
            return {name: torch.stack(column[:n]) for name, column in rows.items()}
    return list(outputs)


class WorkerGroup:


    def begin(self, method, batch, mode):
        called = list(zip(self.workers, dispatch(mode, batch, self.world), strict=mode is not Dispatch.RANK_ZERO))
        rows = max((len(column) for column in batch.values()), default=0) if mode is Dispatch.DP_COMPUTE_PROTO else 0
        return GroupCall(method, mode, [self.engine.submit(worker, method, part) for worker, part in called], rows)

    def finish(self, call):
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


    def state(self):
        kept = vars(self.obs_stats)
        return {
            "step": self.step,
            "statistics": {name: copy.deepcopy(value) for name, value in kept.items()},
            "random": self.generator.get_state().tolist(),
            "parts": [copy.deepcopy(part.state_dict()) for part in (self.model, self.optimizer)],
        }

    def restore_(self, state):
        for part, saved in zip((self.model, self.optimizer), state["parts"], strict=True):
            part.load_state_dict(copy.deepcopy(saved))
        self.generator.set_state(torch.tensor(state["random"], dtype=torch.uint8))
        vars(self.obs_stats).update(copy.deepcopy(state["statistics"]))
        self.step = state["step"]


def train_distributed_ppo(env_id, config, seed=0):
    rank, world = rank_and_world()
    learner, mine = Learner(config, seed), Rollouts(env_id, shard_indices(config.envs, rank, world).tolist(), seed)
    for _ in range(config.iterations):
        learner.update_(mine.collect(learner.model, config))
    return Result(learner.model, mine.returns, config.envs * config.rollout_steps * config.iterations)
