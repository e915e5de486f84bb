"""Another right answer: ranks gather what the others have, as objects, and compute for themselves;
Chan's rule rank by rank; checkpoints as NumPy archives; every member of a node takes part between
the nodes."""


import hashlib
import json
import math

# -- Given: the world, the networks, PPO's terms ---------------------------------------------------


def everybodys(value):
    said = [value] * rank_and_world()[1]
    if len(said) > 1:
        dist.all_gather_object(said, value)
    return said


def summary(rows):
    if len(rows) == 0:
        return 0, [], []
    mean = rows.mean(0)
    return len(rows), mean.tolist(), ((rows - mean) ** 2).sum(0).tolist()


# -- Part 1: processes and shards ------------------------------------------------------------------


def shard_indices(n, rank, world):
    if n < 0 or not 0 <= rank < world:
        raise ValueError(
            f"n must be at least 0 and 0 <= rank < world, but n={n}, rank={rank}, world={world}."
        )
    sizes = [n // world + (1 if r < n % world else 0) for r in range(world)]
    first = sum(sizes[:rank])
    return torch.arange(first, first + sizes[rank])


def rank_seed(seed, rank):
    if seed < 0 or rank < 0:
        raise ValueError(f"seed and rank must not be negative, but they are {seed} and {rank}.")
    return int.from_bytes(hashlib.sha256(f"{seed}/{rank}".encode()).digest()[:7], "big")


def supervise(poll, stop, timeout_s, interval_s=0.02):
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


def broadcast_params_(params):
    if rank_and_world()[1] > 1:
        params = list(params)
        row = torch.cat([p.detach().flatten() for p in params])
        dist.broadcast(row, 0)
        with torch.no_grad():
            for p, piece in zip(params, row.split([p.numel() for p in params]), strict=True):
                p.copy_(piece.view_as(p))


def flatten(tensors):
    if not tensors:
        raise ValueError("there is no tensor to flatten.")
    return torch.nn.utils.parameters_to_vector([t.detach().contiguous() for t in tensors])


def unflatten(flat, like):
    if flat.ndim != 1 or len(flat) != sum(tensor.numel() for tensor in like):
        raise ValueError(
            f"flat has shape {tuple(flat.shape)}, which is not the size of the tensors together."
        )
    return [piece.view(t.shape) for piece, t in zip(flat.split([t.numel() for t in like]), like, strict=True)]


def all_reduce_grads_(params, weight):
    if weight < 0:
        raise ValueError(f"weight must not be negative, but it is {weight}.")
    params = list(params)
    total = sum(everybodys(float(weight)))
    if total == 0:
        raise ValueError("nobody has any weight.")
    for p in params:
        if not any(everybodys(p.grad is not None)):
            continue
        own = p.grad is not None and weight > 0
        share = p.grad.detach() * (weight / total) if own else torch.zeros_like(p)
        p.grad = sum_over_ranks(share)


def hierarchical_all_reduce_(tensor, ranks_per_node):
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


def all_reduce_moments(x, mask=None):
    if mask is not None and mask.shape != x.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, but x {tuple(x.shape)}.")
    entries = x.detach().double() if mask is None else x.detach().double()[mask.bool()]
    heap = torch.cat(
        [torch.tensor(part, dtype=torch.float64) for part in everybodys(entries.flatten().tolist())]
    )
    if len(heap) == 0:
        return Moments(0.0, 0.0, 0)
    return Moments(heap.mean().item(), ((heap - heap.mean()) ** 2).mean().item(), len(heap))


def normalize_advantages(advantages, mask=None, eps=1e-08):
    mean, var, _ = all_reduce_moments(advantages, mask)
    scaled = (advantages.detach() - mean) / (math.sqrt(var) + eps)
    return scaled if mask is None else torch.where(mask.bool(), scaled, torch.zeros_like(scaled))


class DistributedRunningMeanStd:


    def update_(self, rows):
        for n, mean, squares in everybodys(summary(rows.detach().double())):
            if n:
                mean, squares = (torch.tensor(part, dtype=torch.float64) for part in (mean, squares))
                both = self.count + n
                delta = mean - self.mean
                squares = self.var * self.count + squares + delta**2 * self.count * n / both
                self.mean = self.mean + delta * n / both
                self.var, self.count = squares / both, both


# -- Part 4: the loss and one optimiser step -------------------------------------------------------


def distributed_ppo_loss(logp, old_logp, advantages, mask=None, clip_low=0.2, clip_high=None):
    if not logp.shape == old_logp.shape == advantages.shape == (logp if mask is None else mask).shape:
        raise ValueError("logp, old_logp, advantages and mask must have one shape.")
    mask = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask.bool()
    logp, old_logp, advantages = (torch.where(mask, x, 0.0) for x in (logp, old_logp, advantages))
    terms = surrogate_terms(logp, old_logp, advantages, clip_low, clip_high)
    n = max(sum(everybodys(float(mask.sum()))), 1.0)
    loss = (terms.loss * mask).sum() * rank_and_world()[1] / n
    means = {}
    for name, entries in (
        ("clip_fraction", terms.clipped),
        ("approx_kl", terms.kl),
        ("ratio_mean", terms.ratio),
    ):
        means[name] = sum(everybodys(float((entries * mask).sum()))) / n
    return loss, means


def distributed_step_(model, optimizer, micro_batches, config):
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


def should_stop(local_kl, local_count, target, factor=1.5):
    pairs = everybodys((local_kl, local_count))
    n = sum(count for _, count in pairs)
    return n > 0 and sum(kl * count for kl, count in pairs if count) / n > factor * target


def adapt_beta(beta, local_kl, local_count, target):
    pairs = everybodys((local_kl, local_count))
    n = sum(count for _, count in pairs)
    if n == 0:
        return beta
    kl = sum(k * count for k, count in pairs if count) / n
    if kl > 1.5 * target:
        beta *= 2
    elif kl < target / 1.5:
        beta /= 2
    return beta


def check_finite(values):
    fine = True
    for value in values:
        fine = fine and not bool((torch.isnan(value) | torch.isinf(value)).any())
    told = everybodys(fine)
    if not all(told):
        raise FloatingPointError(
            "nan or infinity on rank " + " and ".join(str(r) for r, ok in enumerate(told) if not ok)
        )


def save_checkpoint(file, **state):
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


def load_checkpoint(file):

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


def dispatch(mode, batch, world):
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


def collect(mode, outputs, n):
    if mode is Dispatch.DP_COMPUTE_PROTO:
        return {name: torch.cat([output[name] for output in outputs])[:n] for name in outputs[0]}
    return outputs[0] if mode is Dispatch.RANK_ZERO else list(outputs)


class WorkerGroup:


    def begin(self, method, batch, mode):
        shares = dispatch(mode, batch, self.world)
        futures = []
        for worker, share in zip(self.workers, shares, strict=False):
            futures.append(self.engine.submit(worker, method, share))
        rows = len(next(iter(batch.values()))) if mode == Dispatch.DP_COMPUTE_PROTO else -1
        return GroupCall(method, mode, futures, rows)

    def finish(self, call):
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

    def state(self):
        stats = self.obs_stats
        return {
            "weights": [p.detach().clone() for p in self.model.parameters()],
            "optimizer": self.optimizer.state_dict(),
            "shuffle": self.generator.get_state(),
            "stats": [stats.mean, stats.var, stats.count],
            "step": self.step,
        }

    def restore_(self, state):
        with torch.no_grad():
            for p, value in zip(self.model.parameters(), state["weights"], strict=True):
                p.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["shuffle"])
        self.obs_stats.mean, self.obs_stats.var, self.obs_stats.count = state["stats"]
        self.step = state["step"]


def train_distributed_ppo(env_id, config, seed=0):
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
