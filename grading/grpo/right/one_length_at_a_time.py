"""Without padding: rows of one length are read together, and prompts of one length answered together.
Groups with the module statistics, losses in loops over rows, programs by a list of characters."""

import bisect
import copy
import itertools
import math
import random
import statistics


class Refused(ValueError):
    def __init__(self, *what):
        super().__init__("cannot be used: " + ", ".join(map(str, what)))


# -- advantages --


def compared(numbers, eps, ddof, scale="std", baseline="group"):
    """The advantages of one group, a list."""
    if len(set(numbers)) < 2:
        return [0.0 for _ in numbers]
    n, total = len(numbers), sum(numbers)
    away = [x - ((total - x) / (n - 1) if baseline == "others" else total / n) for x in numbers]
    if scale == "none":
        return away
    if scale == "mean":
        return [x / (total / n + eps) for x in away]
    spread = statistics.stdev(numbers) if ddof else statistics.pstdev(numbers)
    return [x / (spread + eps) for x in away]


def by_group(rewards, group_ids):
    if rewards.shape != group_ids.shape or rewards.ndim != 1:
        raise Refused("rewards", tuple(rewards.shape), "ids", tuple(group_ids.shape))
    order = sorted(range(len(rewards)), key=lambda i: int(group_ids[i]))
    return [list(rows) for _, rows in itertools.groupby(order, key=lambda i: int(group_ids[i]))]


def allowed(eps, ddof):
    if eps < 0 or ddof not in (0, 1):
        raise Refused("eps", eps, "ddof", ddof)


def group_advantages(rewards, group_ids, eps=1e-6, scale="std", ddof=1, baseline="group"):
    allowed(eps, ddof)
    if scale not in ("std", "none", "mean") or baseline not in ("group", "others"):
        raise Refused(scale, baseline)
    numbers = rewards.tolist()
    groups = by_group(rewards, group_ids)
    if scale == "mean" and min(numbers) < 0:
        raise Refused("a negative reward", min(numbers))
    result = [0.0] * len(numbers)
    for rows in groups:
        for i, x in zip(rows, compared([numbers[i] for i in rows], eps, ddof, scale, baseline), strict=True):
            result[i] = x
    return torch.tensor(result, dtype=rewards.dtype)


def informative_groups(rewards, group_ids):
    keep = set()
    for rows in by_group(rewards, group_ids):
        if any(rewards[a] != rewards[b] for a, b in itertools.pairwise(rows)):
            keep.update(rows)
    return torch.tensor([i in keep for i in range(len(rewards))])


def process_advantages(step_rewards, step_end_idx, L, eps=1e-6, ddof=1):
    allowed(eps, ddof)
    if [x.numel() for x in step_rewards] != [x.numel() for x in step_end_idx]:
        raise Refused("steps", len(step_rewards), "ends", len(step_end_idx))
    steps = [(i, int(end)) for i, ends in enumerate(step_end_idx) for end in ends]
    if any(end not in range(L) for _, end in steps):
        raise Refused("an end outside the row", steps)
    numbers = [float(x) for row in step_rewards for x in row.detach()]
    table = [[0.0] * L for _ in step_rewards]
    for (i, end), x in zip(steps, compared(numbers, eps, ddof), strict=True):
        for t in range(end + 1):
            table[i][t] += x
    kind = step_rewards[0].dtype if len(step_rewards) else torch.float32
    return torch.tensor(table, dtype=kind)


# -- loss --


def k3_kl(logp, ref_logp):
    if logp.shape != ref_logp.shape:
        raise Refused("shapes", tuple(logp.shape), tuple(ref_logp.shape))
    rho = torch.exp(ref_logp.detach() - logp)
    return rho - 1 + (logp - ref_logp.detach())


def aggregate(losses, mask, agg="seq-mean-token-mean", max_len=None):
    if losses.ndim != 2 or mask.shape != losses.shape:
        raise Refused("losses", tuple(losses.shape), "mask", tuple(mask.shape))
    if agg not in ("seq-mean-token-mean", "token-mean", "seq-sum-const"):
        raise Refused(agg)
    if agg == "seq-sum-const" and (max_len is None or max_len <= 0):
        raise Refused("max_len", max_len)
    lengths = [int(row.sum()) for row in mask]
    result = 0.0 * losses.masked_fill(~mask.bool(), 0.0).sum()
    for row, kept, n in zip(losses, mask.bool(), lengths, strict=True):
        if n:
            one = row[kept].sum()
            if agg == "token-mean":
                result = result + one / sum(lengths)
            else:
                result = result + one / ((n if agg == "seq-mean-token-mean" else max_len) * len(lengths))
    return result


def grpo_loss(
    logp, old_logp, ref_logp, adv, mask, clip_low=0.2, clip_high=None, beta=0.0, agg="seq-mean-token-mean", max_len=None, level="token"
):
    shapes = [tuple(x.shape) for x in (logp, old_logp, mask)]
    shapes += [] if ref_logp is None else [tuple(ref_logp.shape)]
    if logp.ndim != 2 or len(set(shapes)) != 1:
        raise Refused("shapes", *shapes)
    if tuple(adv.shape) not in (shapes[0], shapes[0][:1]):
        raise Refused("advantages of shape", tuple(adv.shape))
    clip_high = clip_high if clip_high is not None else clip_low
    if min(clip_low, clip_high, beta) < 0 or (beta > 0 and ref_logp is None):
        raise Refused("clip_low, clip_high or beta", clip_low, clip_high, beta)
    if level not in ("token", "sequence"):
        raise Refused("level", level)
    losses, seen = torch.zeros_like(logp), [[], [], [], []]
    for i, kept in enumerate(mask.bool()):
        if not kept.any():
            continue
        a = adv[i].detach() if adv.ndim == 1 else adv[i, kept].detach()
        log_ratio = logp[i, kept] - old_logp[i, kept].detach()
        if level == "sequence":
            log_ratio = torch.ones_like(log_ratio) * log_ratio.mean()
        ratio = torch.exp(log_ratio)
        inside = (ratio >= 1 - clip_low) & (ratio <= 1 + clip_high)
        bounded = torch.where(inside, ratio, torch.where(ratio > 1, 1.0 + clip_high, 1.0 - clip_low))
        loss = -torch.stack([ratio * a, bounded * a]).amin(dim=0)
        kl = torch.zeros_like(ratio) if ref_logp is None else k3_kl(logp[i, kept], ref_logp[i, kept])
        losses = losses.index_put((torch.tensor(i), kept.nonzero().flatten()), loss + beta * kl)
        for column, x in zip(seen, (~inside, ratio - 1 - log_ratio, ratio, kl), strict=True):
            column += x.double().tolist()
    # Where there is no token, the loss has a gradient of zeros.
    losses = losses + 0.0 * logp.nan_to_num(0.0, 0.0, 0.0)
    names = ("clip_fraction", "approx_kl", "ratio_mean", "kl")
    means = [statistics.fmean(column) if column else 0.0 for column in seen]
    return aggregate(losses, mask, agg, max_len), dict(zip(names, means, strict=True))


# -- log-probabilities and samples --


def token_logprobs(model, tokens, attention, temperature=1.0):
    if tokens.ndim != 2 or tokens.shape != attention.shape or temperature <= 0:
        raise Refused(tuple(tokens.shape), tuple(attention.shape), "temperature", temperature)
    real = attention.bool()
    lengths = real.sum(dim=1)
    scores = None
    for n in sorted(set(lengths.tolist()) - {0}):
        rows = (lengths == n).nonzero().flatten()
        columns = torch.stack([real[row].nonzero().flatten() for row in rows])
        ids = tokens[rows[:, None], columns]
        places = torch.arange(n).expand_as(ids)
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), position_ids=places).logits
        logits = logits[:, :-1] / temperature
        logp = logits.take_along_dim(ids[:, 1:, None], dim=2).squeeze(2) - torch.logsumexp(logits, 2)
        scores = torch.zeros(tokens.shape, dtype=logp.dtype) if scores is None else scores
        scores = scores.index_put((rows[:, None], columns[:, 1:]), logp)
    return torch.zeros(tokens.shape) if scores is None else scores


def answered(model, prompt, G, max_new, temperature, generator):
    """G answers to one prompt: lists of tokens, the end included, and their log-probabilities."""
    answers = [[] for _ in range(G)]
    scores = [[] for _ in range(G)]
    for _ in range(max_new):
        busy = [i for i in range(G) if answers[i][-1:] != [EOS]]
        if not busy:
            break
        ids = torch.tensor([prompt + answers[i] for i in busy])
        places = torch.arange(ids.shape[1]).expand_as(ids)
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), position_ids=places).logits
        logp = (logits[:, -1].double() / temperature).log_softmax(dim=-1).tolist()
        chances = torch.rand(len(busy), generator=generator, dtype=torch.float64).tolist()
        for i, row, chance in zip(busy, logp, chances, strict=True):
            sums = list(itertools.accumulate(map(math.exp, row)))
            token = min(bisect.bisect_right(sums, chance * sums[-1]), len(row) - 1)
            answers[i].append(token)
            scores[i].append(row[token])
    return answers, scores


def sample_groups(model, prompts, G, max_new, temperature=1.0, generator=None):
    if len(prompts) == 0 or any(len(prompt) == 0 for prompt in prompts):
        raise Refused("prompts", prompts)
    if G < 1 or max_new < 1 or temperature <= 0 or generator is None:
        raise Refused("G", G, "max_new", max_new, "temperature", temperature, "generator", generator)
    width = max(len(prompt) for prompt in prompts)
    tokens, masks, scores = [], [], []
    with torch.no_grad():
        for prompt in prompts:
            found = answered(model, list(prompt), G, max_new, temperature, generator)
            for answer, logp in zip(*found, strict=True):
                before, behind = width - len(prompt), max_new - len(answer)
                tokens.append([PAD] * before + list(prompt) + answer + [PAD] * behind)
                masks.append([False] * width + [True] * len(answer) + [False] * behind)
                scores.append([0.0] * width + logp + [0.0] * behind)
    return Samples(torch.tensor(tokens), torch.tensor(masks), torch.tensor(scores))


# -- rewards --


def verifiable_reward(prompt, response):
    task, digits, sign = prompt[:1], prompt[1:-1], prompt[len(prompt) - 1 :]
    if task not in tuple("rs") or sign != ">" or not digits or set(digits) - set("0123456789"):
        raise Refused("prompt", repr(prompt))
    if task == "r":
        expected = "".join(reversed(digits))
    else:
        expected = "".join(d * digits.count(d) for d in "0123456789")
    return 1.0 if f"{expected}$" == response else 0.0


def program_reward(source, cases):
    if not cases:
        raise Refused("no test case")
    if len(source) > 200 or not set(source) <= set("0123456789x+-*() \t\n") or "**" in source:
        return 0.0
    try:
        values = [eval(source.strip(), {"__builtins__": {}}, {"x": x}) for x, _ in cases]
    except Exception:
        return 0.0
    return 1.0 if values == [y for _, y in cases] else 0.0


# -- training --


def grpo_update_(policy, optimizer, batch, cfg):
    """The whole batch is one loss; where it must be read in pieces, the loss is differentiated with
    respect to the log-probabilities first, and each piece is then read again."""
    rows = len(batch.adv)
    size = cfg.micro_batch or rows
    real = attention_mask(batch.tokens, batch.mask)
    pieces = [slice(first, first + size) for first in range(0, rows, size)]
    with torch.no_grad():
        scores = [token_logprobs(policy, batch.tokens[p], real[p], cfg.temperature) for p in pieces]
    leaf = torch.cat(scores).requires_grad_()
    loss, metrics = grpo_loss(
        leaf, batch.old_logp, batch.ref_logp, batch.adv, batch.mask, cfg.clip_low, cfg.clip_high,
        cfg.beta, cfg.agg, cfg.max_new, cfg.level,
    )  # fmt: skip
    (slope,) = torch.autograd.grad(loss, leaf)
    optimizer.zero_grad()
    for p in pieces:
        token_logprobs(policy, batch.tokens[p], real[p], cfg.temperature).backward(slope[p])
    torch.nn.utils.clip_grad_norm_(list(policy.parameters()), cfg.grad_norm)
    optimizer.step()
    return metrics | {"loss": float(loss)}


def train_grpo(policy, cfg, seed):
    trained, generator, shuffling = copy.deepcopy(policy), torch.Generator(), random.Random(seed)
    generator.manual_seed(seed)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=cfg.lr, weight_decay=0)
    history = {name: [] for name in ("reward_mean", "reward_std", "dead_groups", "kl", "length", "clip_fraction")}
    groups = [i for i in range(cfg.prompts) for _ in range(cfg.group_size)]
    for iteration in range(cfg.iterations):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(cfg, iteration)
        prompts = draw_prompts(cfg.task, cfg.digits, cfg.prompts, generator)
        samples = sample_groups(trained, list(map(encode, prompts)), cfg.group_size, cfg.max_new, cfg.temperature, generator)
        rewards = [
            verifiable_reward(prompts[g], decode(row[kept]))
            for g, row, kept in zip(groups, samples.tokens, samples.mask, strict=True)
        ]
        told = torch.tensor(rewards, dtype=torch.float64)
        ids = torch.tensor(groups)
        adv = group_advantages(told, ids, cfg.eps, cfg.scale, cfg.ddof, cfg.baseline).float()
        with torch.no_grad():
            seen = attention_mask(samples.tokens, samples.mask)
            ref = token_logprobs(policy, samples.tokens, seen, cfg.temperature)
        alive = informative_groups(told, ids).tolist()
        rows = [i for i in range(len(groups)) if alive[i] or not cfg.drop_dead_groups]
        clipped = []
        for _ in range(cfg.epochs):
            shuffling.shuffle(rows)
            for k in range(cfg.minibatches):
                piece = torch.tensor(rows[k :: cfg.minibatches], dtype=torch.long)
                if len(piece):
                    columns = (samples.tokens, samples.mask, samples.logp, ref, adv)
                    metrics = grpo_update_(trained, optimizer, Batch(*(x[piece] for x in columns)), cfg)
                    clipped.append(metrics["clip_fraction"])
        each = [[r for r, g in zip(rewards, groups, strict=True) if g == i] for i in range(cfg.prompts)]
        deviation = statistics.stdev if cfg.ddof else statistics.pstdev
        spread = [deviation(group) if len(group) > 1 else 0.0 for group in each]
        divergence = k3_kl(samples.logp, ref)[samples.mask]
        history["reward_mean"].append(statistics.fmean(rewards))
        history["reward_std"].append(statistics.fmean(spread))
        history["dead_groups"].append(alive.count(False) / len(alive))
        history["kl"].append(float(divergence.mean()))
        history["length"].append(int(samples.mask.sum()) / len(groups))
        history["clip_fraction"].append(statistics.fmean(clipped or [0.0]))
    return Result(trained, history)
