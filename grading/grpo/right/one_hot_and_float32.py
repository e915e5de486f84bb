"""A correct solution in another style: groups as a one-hot matrix, single precision inside, a
cache, inverse-CDF sampling, loss by autograd weights.

What the starter gives (configuration, text, model) is as short here as it can be; everything else
follows the handout another way.
"""


import ast
import copy
import inspect

from torch.nn.functional import one_hot


class NotSensible(ValueError):
    def __init__(self, what):
        super().__init__(f"that makes no sense: {what}")


# -- advantages -----------------------------------------------------------------------------------


def membership(rewards, group_ids):
    """(groups, B) of zeros and ones."""
    if rewards.dim() != 1 or group_ids.shape != rewards.shape:
        raise NotSensible("rewards and ids of different shapes")
    _, index = torch.unique(group_ids, return_inverse=True)
    return one_hot(index).T.bool()


def spread_of(member, rewards):
    """max - min of each group, exactly 0 where all are equal. (groups,)"""
    high = torch.where(member, rewards, -torch.inf).amax(dim=1)
    low = torch.where(member, rewards, torch.inf).amin(dim=1)
    return high - low


def group_advantages(rewards, group_ids, eps=1e-6, scale="std", ddof=1, baseline="group"):
    if eps < 0 or ddof not in {0, 1} or scale not in {"std", "none", "mean"} or baseline not in {"group", "others"}:
        raise NotSensible((eps, ddof, scale, baseline))
    if scale == "mean" and rewards.min() < 0:
        raise NotSensible("negative rewards over their mean")
    member = membership(rewards, group_ids)
    r = rewards.detach()
    sizes = member.sum(dim=1)
    means = (member * r).sum(dim=1) / sizes
    centred = torch.where(member, r - means[:, None], 0.0)
    divisor = torch.ones_like(means)
    if scale == "std":
        variance = centred.square().sum(dim=1) / (sizes - ddof).clamp(min=1)
        divisor = variance.sqrt() + eps
    if scale == "mean":
        divisor = means + eps
    if baseline == "others":
        totals = (member * r).sum(dim=1, keepdim=True)
        centred = torch.where(member, r - (totals - r) / (sizes[:, None] - 1), 0.0)
    centred = centred / divisor[:, None]
    return torch.where(spread_of(member, r)[:, None] > 0, centred, 0.0).nan_to_num(0.0).sum(dim=0)


def informative_groups(rewards, group_ids):
    member = membership(rewards, group_ids)
    return (member & (spread_of(member, rewards) > 0)[:, None]).any(dim=0)


def process_advantages(step_rewards, step_end_idx, L, eps=1e-6, ddof=1):
    lengths = [len(row) for row in step_rewards]
    if lengths != [len(row) for row in step_end_idx]:
        raise NotSensible("steps without an end")
    ends = torch.cat(step_end_idx).long()
    if len(ends) and not bool(((ends >= 0) & (ends < L)).all()):
        raise NotSensible("a step that ends nowhere")
    every = torch.cat(step_rewards)
    if not len(every):
        return torch.zeros(len(lengths), L, dtype=every.dtype)
    white = group_advantages(every, torch.zeros(len(every), dtype=torch.long), eps, "std", ddof)
    rows = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    placed = torch.zeros(len(lengths), L, dtype=white.dtype).index_put((rows, ends), white, accumulate=True)
    return placed @ torch.ones(L, L, dtype=white.dtype).tril()  # entry (s, t) is 1 where s >= t


# -- loss -----------------------------------------------------------------------------------------


def k3_kl(logp, ref_logp):
    if logp.shape != ref_logp.shape:
        raise NotSensible("two shapes")
    difference = logp - ref_logp.detach()
    return torch.exp(-difference) + difference - 1


def token_weights(mask, agg, max_len):
    """(B, L): what each token counts for in the loss."""
    m = mask.double()
    counts, rows = m.sum(dim=1, keepdim=True), len(m)
    if agg == "seq-mean-token-mean":
        return m / counts.clamp(min=1) / rows
    if agg == "token-mean":
        return m / counts.sum().clamp(min=1)
    if agg == "seq-sum-const" and max_len is not None and max_len >= 1:
        return m / (max_len * rows)
    raise NotSensible((agg, max_len))


def aggregate(losses, mask, agg="seq-mean-token-mean", max_len=None):
    if losses.dim() != 2 or losses.shape != mask.shape:
        raise NotSensible("losses and mask of different shapes")
    weights = token_weights(mask.bool(), agg, max_len).to(losses.dtype)
    return (losses.masked_fill(~mask.bool(), 0.0) * weights).sum()


def grpo_loss(
    logp, old_logp, ref_logp, adv, mask, clip_low=0.2, clip_high=None, beta=0.0, agg="seq-mean-token-mean", max_len=None, level="token"
):
    low, high = clip_low, clip_low if clip_high is None else clip_high
    if logp.dim() != 2 or not logp.shape == old_logp.shape == mask.shape:
        raise NotSensible("tokens of different shapes")
    if (ref_logp is None and beta > 0) or (ref_logp is not None and ref_logp.shape != logp.shape):
        raise NotSensible("a reference is missing, or of another shape")
    if adv.shape != logp.shape and adv.shape != (len(logp),):
        raise NotSensible("advantages are (B,) or (B, L)")
    if low < 0 or high < 0 or beta < 0 or level not in {"token", "sequence"}:
        raise NotSensible((low, high, beta, level))
    on = mask.bool()
    a = torch.where(on, adv.detach().reshape(len(logp), -1), 0.0)
    log_ratio = torch.where(on, logp, 0.0) - torch.where(on, old_logp.detach(), 0.0)
    if level == "sequence":
        log_ratio = torch.where(on, (log_ratio / on.sum(dim=1, keepdim=True).clamp(min=1)).sum(dim=1, keepdim=True), 0.0)
    ratio = torch.exp(log_ratio)
    best = torch.where(a > 0, 1.0 + high, torch.inf)  # where the objective stops to grow
    worst = torch.where(a < 0, 1.0 - low, 0.0)
    objective = torch.maximum(torch.minimum(ratio, best), worst) * a
    kl = torch.zeros_like(ratio) if ref_logp is None else k3_kl(torch.where(on, logp, 0.0), torch.where(on, ref_logp, 0.0))
    loss = aggregate(beta * kl - objective, on, agg, max_len)
    share = token_weights(on, "token-mean", None)
    with torch.no_grad():
        found = {"clip_fraction": (ratio - 1 > high) | (1 - ratio > low), "approx_kl": torch.expm1(log_ratio) - log_ratio,
                 "ratio_mean": ratio, "kl": kl}  # fmt: skip
        return loss, {name: (value.double() * share).sum().item() for name, value in found.items()}


# -- log-probabilities and samples ----------------------------------------------------------------


def token_logprobs(model, tokens, attention, temperature=1.0):
    if tokens.dim() != 2 or tokens.shape != attention.shape or not temperature > 0:
        raise NotSensible("tokens, attention or temperature")
    seen = attention.bool()
    places = torch.relu(seen.long().cumsum(dim=-1) - 1)
    logits = model(input_ids=tokens, attention_mask=seen.float(), position_ids=places).logits[:, :-1].div(temperature)
    chosen = (logits * one_hot(tokens[:, 1:], logits.shape[-1])).sum(dim=-1) - logits.logsumexp(dim=-1)
    scores = torch.zeros_like(tokens, dtype=chosen.dtype)
    scores[:, 1:] = chosen * (seen[:, 1:] & seen[:, :-1])
    return scores


@torch.no_grad()
def sample_groups(model, prompts, G, max_new, temperature=1.0, generator=None):
    if not prompts or not all(len(p) for p in prompts) or min(G, max_new) < 1 or not temperature > 0 or generator is None:
        raise NotSensible("a prompt, a number, the temperature or the generator")
    lengths = torch.tensor([len(p) for p in prompts]).repeat_interleave(G)
    width = int(lengths.max())
    tokens = torch.full((len(lengths), width + max_new), PAD)
    for i, prompt in enumerate(prompts):
        tokens[i * G : (i + 1) * G, width - len(prompt) : width] = torch.tensor(prompt)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    columns = torch.arange(tokens.shape[1])
    seen = (columns >= width - lengths[:, None]) & (columns < width)
    offset = width - lengths  # of positions
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    memory, begin = None, 0
    scores = torch.zeros(tokens.shape)
    running = torch.ones(len(lengths), dtype=torch.bool)
    for t in range(width, width + max_new):
        places = (columns[begin:t] - offset[:, None]).clamp(min=0)
        out = model(input_ids=tokens[:, begin:t], attention_mask=seen[:, :t].long(), position_ids=places, use_cache=True, **{name: memory})
        memory, begin = getattr(out, name), t
        logp = (out.logits[:, -1].double() / temperature).log_softmax(dim=-1)
        level = torch.rand(len(lengths), 1, generator=generator, dtype=torch.float64)
        drawn = torch.searchsorted(logp.exp().cumsum(dim=-1), level).clamp(max=logp.shape[-1] - 1)
        tokens[running, t] = drawn[running, 0]
        scores[running, t] = logp.gather(1, drawn)[running, 0].float()
        seen[:, t] = mask[:, t] = running
        running = running & (drawn[:, 0] != EOS)
        if not running.any():
            break
    return Samples(tokens, mask, scores)


# -- rewards --------------------------------------------------------------------------------------


def verifiable_reward(prompt, response):
    head, digits, tail = prompt[:1], list(prompt[1:-1]), prompt[-1:]
    if head not in {"r", "s"} or tail != ">" or not digits or any(d not in "0123456789" for d in digits):
        raise NotSensible(prompt)
    wanted = reversed(digits) if head == "r" else sorted(digits)
    return float(tuple(response) == (*wanted, "$"))


ALLOWED = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Add, ast.Sub, ast.Mult, ast.UAdd, ast.USub, ast.Constant, ast.Name, ast.Load)


def program_reward(source, cases):
    """Only what is on the list gets as far as being computed."""
    if not cases:
        raise NotSensible("no test case")
    if len(source) > 200:
        return 0.0
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0.0
    for node in ast.walk(tree):
        number = isinstance(node, ast.Constant) and type(node.value) is not int
        if not isinstance(node, ALLOWED) or number or (isinstance(node, ast.Name) and node.id != "x"):
            return 0.0
    program = compile(tree, "program", "eval")
    return float(all(eval(program, {"__builtins__": {}, "x": x}) == y for x, y in cases))


# -- training -------------------------------------------------------------------------------------


def grpo_update_(policy, optimizer, batch, cfg):
    """The gradient of the sum of weighted token losses is collected piece by piece with the weights
    of the whole batch."""
    optimizer.zero_grad()
    rows, tokens = len(batch.adv), max(int(batch.mask.sum()), 1)
    totals, value = dict.fromkeys(("clip_fraction", "approx_kl", "ratio_mean", "kl"), 0.0), 0.0
    for piece in zip(*(x.split(cfg.micro_batch or rows) for x in batch), strict=True):
        part = Batch(*piece)
        logp = token_logprobs(policy, part.tokens, attention_mask(part.tokens, part.mask), cfg.temperature)
        count = int(part.mask.sum())
        # a constant divisor turns any of the three averages into a plain sum of this piece's share
        loss, metrics = grpo_loss(logp, part.old_logp, part.ref_logp, part.adv, part.mask, cfg.clip_low, cfg.clip_high, cfg.beta,
                                  cfg.agg, cfg.max_new, cfg.level)  # fmt: skip
        loss = loss * {"token-mean": count / tokens}.get(cfg.agg, len(part.adv) / rows)
        loss.backward()
        value += float(loss)
        for name in totals:
            totals[name] += metrics[name] * count / tokens
    torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], cfg.grad_norm)
    optimizer.step()
    return {**totals, "loss": value}


def rollout(policy, reference, cfg, generator):
    prompts = draw_prompts(cfg.task, cfg.digits, cfg.prompts, generator)
    samples = sample_groups(policy, list(map(encode, prompts)), cfg.group_size, cfg.max_new, cfg.temperature, generator)
    texts = [decode(row[on]) for row, on in zip(samples.tokens, samples.mask, strict=True)]
    rewards = torch.tensor([verifiable_reward(prompts[i // cfg.group_size], text) for i, text in enumerate(texts)])
    ids = torch.div(torch.arange(len(texts)), cfg.group_size, rounding_mode="floor")
    with torch.no_grad():
        ref = token_logprobs(reference, samples.tokens, attention_mask(samples.tokens, samples.mask), cfg.temperature)
    adv = group_advantages(rewards, ids, cfg.eps, cfg.scale, cfg.ddof, cfg.baseline)
    return Batch(samples.tokens, samples.mask, samples.logp, torch.where(samples.mask, ref, 0.0), adv), rewards, ids


def train_grpo(policy, cfg, seed):
    learner, generator = copy.deepcopy(policy), torch.Generator()
    generator.manual_seed(seed)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=cfg.lr, weight_decay=0.0)
    books = {name: [] for name in ("reward_mean", "reward_std", "dead_groups", "kl", "length", "clip_fraction")}
    for iteration in range(cfg.iterations):
        optimizer.param_groups[0].update(lr=learning_rate(cfg, iteration))
        batch, rewards, ids = rollout(learner, policy, cfg, generator)
        alive = informative_groups(rewards, ids)
        used = torch.arange(len(ids))[alive] if cfg.drop_dead_groups else torch.arange(len(ids))
        clipped = []
        for _ in range(cfg.epochs):
            shuffled = used[torch.rand(len(used), generator=generator).argsort()]
            pieces = [piece for piece in torch.tensor_split(shuffled, cfg.minibatches) if piece.numel()]
            clipped += [grpo_update_(learner, optimizer, Batch(*(x[piece] for x in batch)), cfg)["clip_fraction"] for piece in pieces]
        member, per_token = membership(rewards, ids), token_weights(batch.mask, "token-mean", None)
        sizes = member.sum(dim=1)
        means = (member * rewards).sum(dim=1) / sizes
        squares = (member * (rewards - means[:, None]).square()).sum(dim=1)
        books["reward_mean"].append(rewards.mean().item())
        books["reward_std"].append((squares / (sizes - cfg.ddof).clamp(min=1)).sqrt().mean().item())
        books["dead_groups"].append(1 - alive.double().mean().item())
        books["kl"].append((k3_kl(batch.old_logp, batch.ref_logp) * per_token).sum().item())
        books["length"].append(batch.mask.sum().item() / len(ids))
        books["clip_fraction"].append(sum(clipped) / len(clipped) if clipped else 0.0)
    return Result(learner, books)
