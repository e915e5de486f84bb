"""As trainers for language models have it: Categorical and masked means, the larger of two losses,
groups by index_add, a LambdaLR schedule, sampling until everybody has finished."""

import ast
import copy
import itertools
import operator
import re

from torch.distributions import Categorical


def check(fine, sentence):
    if not fine:
        raise ValueError(sentence)


def masked_sum(x, mask, dim=None):
    kept = torch.where(mask, x, torch.zeros_like(x))
    return kept.sum() if dim is None else kept.sum(dim)


def masked_mean(x, mask, dim=None):
    count = mask.sum() if dim is None else mask.sum(dim)
    return masked_sum(x, mask, dim) / count.clamp(min=1)


# -- advantages --


class Groups:
    """The sums of each group, at each of its rows."""

    def __init__(self, rewards, group_ids):
        check(rewards.dim() == 1 and rewards.shape == group_ids.shape, "one reward and one id a row.")
        ids, self.index = group_ids.unique(return_inverse=True)
        self.count, self.n = len(ids), torch.bincount(self.index, minlength=len(ids))[self.index]

    def sums(self, x):
        return x.new_zeros(self.count).index_add(0, self.index, x)[self.index]

    def spread(self, x):
        low, high = (
            x.new_zeros(self.count).scatter_reduce(0, self.index, x, how, include_self=False)
            for how in ("amin", "amax")
        )
        return (high - low)[self.index]


def group_advantages(rewards, group_ids, eps=1e-6, scale="std", ddof=1, baseline="group"):
    groups = Groups(rewards, group_ids)
    check(eps >= 0, "eps is negative.")
    check(ddof == 0 or ddof == 1, "ddof is 0 or 1.")
    check(scale in {"std", "none", "mean"}, "this scale is unknown.")
    check(baseline in {"group", "others"}, "this baseline is unknown.")
    rewards = rewards.detach()
    check(scale != "mean" or not (rewards < 0).any(), "a negative reward has no place here.")
    mean = groups.sums(rewards) / groups.n
    difference = rewards - mean
    std = (groups.sums(difference**2) / (groups.n - ddof).clamp(min=1)).sqrt()
    if baseline == "others":
        difference = rewards - (groups.sums(rewards) - rewards) / (groups.n - 1).clamp(min=1)
    if scale != "none":
        difference = difference / ((std if scale == "std" else mean) + eps)
    return difference.masked_fill(groups.spread(rewards) == 0, 0.0)


def informative_groups(rewards, group_ids):
    return Groups(rewards, group_ids).spread(rewards) > 0


def process_advantages(step_rewards, step_end_idx, L, eps=1e-6, ddof=1):
    check(eps >= 0 and ddof in (0, 1), "this normalisation is unknown.")
    check(list(map(len, step_rewards)) == list(map(len, step_end_idx)), "each reward needs an end.")
    ends = torch.cat(step_end_idx)
    check(bool(((ends >= 0) & (ends < L)).all()), "a step ends outside of its row.")
    rewards = torch.cat(step_rewards).detach()
    flat = torch.zeros_like(rewards)
    if rewards.numel() > 1 and rewards.max() > rewards.min():
        std = ((rewards - rewards.mean()) ** 2).sum().div(rewards.numel() - ddof).sqrt()
        flat = (rewards - rewards.mean()) / (std + eps)
    placed = torch.zeros(len(step_rewards), L, dtype=rewards.dtype)
    row = torch.cat([torch.full_like(e, i) for i, e in enumerate(step_end_idx)])
    placed.index_put_((row.long(), ends.long()), flat, accumulate=True)
    return placed.sum(1, keepdim=True) - placed.cumsum(1) + placed


# -- loss --


def k3_kl(logp, ref_logp):
    check(logp.shape == ref_logp.shape, "the two shapes differ.")
    kl = ref_logp.detach() - logp
    return kl.exp() - 1 - kl


def aggregate(losses, mask, agg="seq-mean-token-mean", max_len=None):
    check(losses.dim() == 2 and losses.shape == mask.shape, "losses and mask are (B, L).")
    mask = mask.bool()
    match agg:
        case "token-mean":
            return masked_mean(losses, mask)
        case "seq-mean-token-mean":
            return masked_mean(losses, mask, -1).mean()
        case "seq-sum-const":
            check(max_len is not None and max_len > 0, "the constant is missing.")
            return masked_sum(losses, mask, -1).mean() / max_len
    raise ValueError(f"no average is called {agg!r}.")


def grpo_loss(
    logp, old_logp, ref_logp, adv, mask, clip_low=0.2, clip_high=None, beta=0.0, agg="seq-mean-token-mean", max_len=None, level="token"
):
    if clip_high is None:
        clip_high = clip_low
    check(logp.dim() == 2, "log-probabilities are (B, L).")
    for x in (old_logp, mask, logp if ref_logp is None else ref_logp):
        check(x.shape == logp.shape, "all must have the shape of logp.")
    check(adv.shape in (logp.shape, logp.shape[:1]), "one advantage for a row or for a token.")
    check(clip_low >= 0 and clip_high >= 0 and beta >= 0, "nothing may be negative.")
    check(ref_logp is not None or not beta > 0, "the divergence from what?")
    check(level in ("token", "sequence"), "this level is unknown.")
    mask = mask.bool()

    def kept(x):
        return torch.where(mask, x, torch.zeros_like(x))

    logp, old_logp = kept(logp), kept(old_logp).detach()
    adv = kept(adv.unsqueeze(-1).expand_as(logp) if adv.dim() == 1 else adv).detach()
    log_importance = logp - old_logp
    if level == "sequence":
        log_importance = kept(masked_mean(log_importance, mask, -1).unsqueeze(-1).expand_as(logp))
    coef_1 = log_importance.exp()
    coef_2 = coef_1.clamp(1 - clip_low, 1 + clip_high)
    per_token_loss = torch.max(-coef_1 * adv, -coef_2 * adv)
    per_token_kl = torch.zeros_like(logp) if ref_logp is None else k3_kl(logp, kept(ref_logp))
    if beta > 0:
        per_token_loss = per_token_loss + beta * per_token_kl
    with torch.no_grad():
        outside = coef_1.ne(coef_2).to(logp.dtype)
        metrics = {
            "clip_fraction": masked_mean(outside, mask).item(),
            "approx_kl": masked_mean((coef_1 - 1) - log_importance, mask).item(),
            "ratio_mean": masked_mean(coef_1, mask).item(),
            "kl": masked_mean(per_token_kl, mask).item(),
        }
    return aggregate(per_token_loss, mask, agg, max_len), metrics


# -- log-probabilities and samples --


def token_logprobs(model, tokens, attention, temperature=1.0):
    check(tokens.dim() == 2 and tokens.shape == attention.shape, "tokens and attention are (B, L).")
    check(temperature > 0, "the temperature is not above 0.")
    attention = attention.long()
    position_ids = (attention.cumsum(-1) - 1).masked_fill(attention == 0, 1)
    logits = model(input_ids=tokens, attention_mask=attention, position_ids=position_ids).logits
    logps = Categorical(logits=logits[:, :-1] / temperature, validate_args=False).log_prob(tokens[:, 1:])
    known = attention[:, 1:].bool() & attention[:, :-1].bool()
    return torch.cat([torch.zeros_like(logits[:, :1, 0]), logps.where(known, torch.zeros_like(logps))], 1)


def sample_groups(model, prompts, G, max_new, temperature=1.0, generator=None):
    check(len(prompts) > 0 and min(map(len, prompts)) > 0, "there is nothing to answer.")
    check(min(G, max_new) >= 1, "a group needs a sample, and a response a token.")
    check(temperature > 0, "the temperature is not above 0.")
    check(generator is not None, "random numbers come from a generator.")
    width = max(map(len, prompts))
    padded = [[PAD] * (width - len(p)) + list(p) for p in prompts for _ in range(G)]
    seen = [[0] * (width - len(p)) + [1] * len(p) for p in prompts for _ in range(G)]
    tokens = torch.nn.functional.pad(torch.tensor(padded), (0, max_new), value=PAD)
    attention = torch.nn.functional.pad(torch.tensor(seen), (0, max_new))
    mask = torch.zeros_like(attention, dtype=torch.bool)
    unfinished, t, done, cache = torch.ones(len(tokens), dtype=torch.bool), width, 0, None
    with torch.inference_mode():
        while t < width + max_new and unfinished.any():
            position_ids = (attention[:, :t].cumsum(-1) - 1).clamp(min=0)[:, done:]
            logits, cache = run_with_cache(model, tokens[:, done:t], attention[:, :t], position_ids, cache)
            probs = torch.softmax(logits[:, -1] / temperature, dim=-1)
            new = torch.multinomial(probs, num_samples=1, generator=generator).squeeze(1)
            tokens[:, t] = torch.where(unfinished, new, PAD)
            attention[:, t] = mask[:, t] = unfinished
            unfinished = unfinished & new.ne(EOS)
            t, done = t + 1, t
        logp = token_logprobs(model, tokens, attention, temperature)
    return Samples(tokens, mask, torch.where(mask, logp, torch.zeros_like(logp)).clone())


# -- rewards --


def verifiable_reward(prompt, response):
    found = re.fullmatch(r"(?P<task>[rs])(?P<digits>[0-9]+)>", prompt)
    check(found, "a prompt is r or s, digits and the sign >.")
    digits = found["digits"]
    solution = digits[::-1] if found["task"] == "r" else "".join(sorted(digits))
    return 1.0 if re.fullmatch(re.escape(solution + "$"), response) else 0.0


SIGNS = {ast.UAdd: operator.pos, ast.USub: operator.neg}
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


class Evaluator(ast.NodeVisitor):
    def __init__(self, x):
        self.x = x

    def generic_visit(self, node):
        raise ValueError(f"{type(node).__name__} is not known.")

    def visit_Expression(self, node):
        return self.visit(node.body)

    def visit_Constant(self, node):
        check(type(node.value) is int, "numbers are whole.")
        return node.value

    def visit_Name(self, node):
        check(node.id == "x", "there is one variable.")
        return self.x

    def visit_UnaryOp(self, node):
        check(type(node.op) in SIGNS, "there are two signs.")
        return SIGNS[type(node.op)](self.visit(node.operand))

    def visit_BinOp(self, node):
        check(type(node.op) in OPERATORS, "there are three operators.")
        return OPERATORS[type(node.op)](self.visit(node.left), self.visit(node.right))


def program_reward(source, cases):
    check(cases, "at least one case is needed.")
    if len(source) > 200:
        return 0.0
    try:
        tree = ast.parse(source.strip(), mode="eval")
        return float(all(Evaluator(x).visit(tree) == y for x, y in cases))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return 0.0


# -- training --


def grpo_update_(policy, optimizer, batch, cfg):
    """Sums of token losses are divided by what the whole batch has, not by what a piece has."""
    optimizer.zero_grad(set_to_none=True)
    rows, lengths = len(batch.adv), batch.mask.sum(1).clamp(min=1).to(batch.old_logp.dtype)
    total = max(int(batch.mask.sum()), 1)
    share = {
        "seq-mean-token-mean": 1 / (rows * lengths),
        "token-mean": torch.full_like(lengths, 1 / total),
        "seq-sum-const": torch.full_like(lengths, 1 / (rows * cfg.max_new)),
    }[cfg.agg]
    metrics, value = {}, 0.0
    for i in range(0, rows, cfg.micro_batch or rows):
        part = slice(i, i + (cfg.micro_batch or rows))
        tokens, mask, old, ref, adv = (x[part] for x in batch)
        logp = token_logprobs(policy, tokens, attention_mask(tokens, mask), cfg.temperature)
        loss = 0.0
        for r in range(len(adv)):
            one = slice(r, r + 1)
            summed, found = grpo_loss(
                logp[one], old[one], ref[one], adv[one], mask[one], cfg.clip_low, cfg.clip_high,
                cfg.beta, "seq-sum-const", 1, cfg.level,
            )  # fmt: skip
            loss = loss + summed * share[i + r]
            for name, number in found.items():
                metrics[name] = metrics.get(name, 0.0) + number * int(mask[r].sum()) / total
        loss.backward()
        value += loss.item()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), max_norm=cfg.grad_norm)
    optimizer.step()
    return {"loss": value, **metrics}


def train_grpo(policy, cfg, seed):
    model = copy.deepcopy(policy)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: learning_rate(cfg, i) / cfg.lr)
    log = {}

    def score(scorer, samples):
        seen = attention_mask(samples.tokens, samples.mask)
        with torch.no_grad():
            return torch.where(samples.mask, token_logprobs(scorer, samples.tokens, seen, cfg.temperature), 0.0)

    for _ in range(cfg.iterations):
        prompts = draw_prompts(cfg.task, cfg.digits, cfg.prompts, generator)
        samples = sample_groups(model, [encode(p) for p in prompts], cfg.group_size, cfg.max_new, cfg.temperature, generator)
        asked = [p for p in prompts for _ in range(cfg.group_size)]
        texts = [decode(t[m]) for t, m in zip(samples.tokens, samples.mask, strict=True)]
        rewards = torch.tensor(list(map(verifiable_reward, asked, texts)), dtype=torch.float64)
        ids = torch.arange(cfg.prompts).repeat_interleave(cfg.group_size)
        adv = group_advantages(rewards, ids, cfg.eps, cfg.scale, cfg.ddof, cfg.baseline).float()
        batch = Batch(samples.tokens, samples.mask, score(model, samples), score(policy, samples), adv)
        alive = informative_groups(rewards, ids)
        rows = torch.nonzero(alive).flatten() if cfg.drop_dead_groups else torch.arange(len(ids))
        clip = []
        for _ in range(cfg.epochs):
            shuffled = rows[torch.randperm(len(rows), generator=generator)]
            cuts = [len(rows) * k // cfg.minibatches for k in range(cfg.minibatches + 1)]
            for a, b in itertools.pairwise(cuts):
                if b > a:
                    piece = Batch(*(x.index_select(0, shuffled[a:b]) for x in batch))
                    clip.append(grpo_update_(model, optimizer, piece, cfg)["clip_fraction"])
        scheduler.step()
        grouped = rewards.view(cfg.prompts, cfg.group_size)
        spread = grouped.std(1, correction=cfg.ddof) if cfg.group_size > 1 else torch.zeros(1)
        for name, number in (
            ("reward_mean", rewards.mean()),
            ("reward_std", spread.mean()),
            ("dead_groups", 1.0 - alive.double().mean()),
            ("kl", masked_mean(k3_kl(batch.old_logp, batch.ref_logp), batch.mask)),
            ("length", batch.mask.sum(1).double().mean()),
            ("clip_fraction", torch.tensor(clip or [0.0]).mean()),
        ):
            log.setdefault(name, []).append(float(number))
    return Result(model, log)
