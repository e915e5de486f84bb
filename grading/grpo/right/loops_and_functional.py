"""A correct solution in another style: scatter sums over groups, Python loops over rows and tokens,
no cache, NumPy where it is handy."""


import copy
import re
from collections import defaultdict

import numpy as np
import torch.nn.functional as F


def refuse(condition, sentence):
    if condition:
        raise ValueError(sentence)


# -- advantages --


def whiten(values, eps, ddof, scale, baseline="group"):
    """One group as a NumPy array."""
    if values.size < 2 or np.ptp(values) == 0:
        return 0.0 * values
    compared = [np.delete(values, i).mean() if baseline == "others" else values.mean() for i in range(values.size)]
    divisors = {"none": 1.0, "std": values.std(ddof=ddof) + eps, "mean": values.mean() + eps}
    return (values - np.array(compared)) / divisors[scale]


def group_advantages(rewards, group_ids, eps=1e-6, scale="std", ddof=1, baseline="group"):
    refuse(rewards.dim() != 1 or rewards.shape != group_ids.shape, "one reward and one id for each "
                                                                   "row, please")
    refuse(eps < 0 or ddof not in (0, 1) or scale not in ("std", "none", "mean"), "no such normalisation is known here")
    refuse(baseline not in ("group", "others"), "compared with whom?")
    refuse(scale == "mean" and bool((rewards < 0).any()), "a mean of negative rewards divides badly")
    values, ids = rewards.detach().double().numpy(), group_ids.numpy()
    rows = defaultdict(list)
    for i, g in enumerate(ids):
        rows[int(g)].append(i)
    out = np.zeros_like(values)
    for members in rows.values():
        out[members] = whiten(values[members], eps, ddof, scale, baseline)
    return torch.from_numpy(out).to(rewards.dtype)


def informative_groups(rewards, group_ids):
    refuse(rewards.dim() != 1 or rewards.shape != group_ids.shape, "one reward and one id for each "
                                                                   "row, please")
    seen = defaultdict(set)
    for reward, group in zip(rewards.tolist(), group_ids.tolist(), strict=True):
        seen[group].add(reward)
    return torch.tensor([len(seen[group]) > 1 for group in group_ids.tolist()])


def process_advantages(step_rewards, step_end_idx, L, eps=1e-6, ddof=1):
    refuse(len(step_rewards) != len(step_end_idx), "rewards and ends of as many samples, please")
    refuse(eps < 0 or ddof not in (0, 1), "no such normalisation is known here")
    flat = [float(r) for row in step_rewards for r in row]
    white = iter(whiten(np.array(flat), eps, ddof, "std"))
    out = torch.zeros(len(step_rewards), L, dtype=torch.float64)
    for i, (rewards, ends) in enumerate(zip(step_rewards, step_end_idx, strict=True)):
        refuse(len(rewards) != len(ends), "each step has a reward and an end")
        at_end = torch.zeros(L, dtype=torch.float64)
        for end in ends.tolist():
            refuse(not 0 <= end < L, "a step ends outside its row")
            at_end[end] += next(white)
        out[i] = at_end.flip(0).cumsum(0).flip(0)
    return out


# -- loss --


def k3_kl(logp, ref_logp):
    refuse(logp.shape != ref_logp.shape, "two tensors of one shape, please")
    d = ref_logp.detach() - logp
    return torch.expm1(d) - d


def aggregate(losses, mask, agg="seq-mean-token-mean", max_len=None):
    refuse(losses.dim() != 2 or losses.shape != mask.shape, "losses and mask are (B, L)")
    refuse(agg not in ("seq-mean-token-mean", "token-mean", "seq-sum-const"), f"what is {agg}?")
    refuse(agg == "seq-sum-const" and (not max_len or max_len < 1), "max_len is missing here")
    rows = [row[kept] for row, kept in zip(losses, mask.bool(), strict=True)]
    if agg == "token-mean":
        every = torch.cat(rows)
        return every.sum() / max(len(every), 1)
    return sum(row.sum() / (max_len if agg == "seq-sum-const" else max(len(row), 1)) for row in rows) / len(rows)


def grpo_loss(
    logp, old_logp, ref_logp, adv, mask, clip_low=0.2, clip_high=None, beta=0.0, agg="seq-mean-token-mean", max_len=None, level="token"
):
    high = clip_low if clip_high is None else clip_high
    refuse(logp.dim() != 2 or old_logp.shape != logp.shape or mask.shape != logp.shape, "shapes of (B, L) are needed")
    refuse(ref_logp is not None and ref_logp.shape != logp.shape, "the reference needs the shape (B, L)")
    refuse(adv.shape != logp.shape and adv.shape != logp.shape[:1], "advantages are (B,) or (B, L)")
    refuse(clip_low < 0 or high < 0 or beta < 0, "negative bounds or weights make no sense")
    refuse(beta > 0 and ref_logp is None, "where is the reference?")
    refuse(level not in ("token", "sequence"), f"what is {level}?")
    m = mask.bool()
    # only the tokens that count, as one long vector
    row = m.nonzero()[:, 0]
    a = adv.detach()[row] if adv.dim() == 1 else adv.detach()[m]
    new, old = logp[m], old_logp.detach()[m]
    log_ratio = new - old
    if level == "sequence":
        sums = torch.zeros(len(m), dtype=new.dtype).index_add(0, row, log_ratio)
        log_ratio = (sums / m.sum(1).clamp(min=1))[row]
    ratio = log_ratio.exp()
    upper, lower = ratio > 1 + high, ratio < 1 - clip_low
    stuck = (upper & (a > 0)) | (lower & (a < 0))
    bound = torch.where(upper, torch.full_like(ratio, 1 + high), torch.full_like(ratio, 1 - clip_low))
    k3 = k3_kl(new, ref_logp[m]) if ref_logp is not None else torch.zeros_like(new)
    per_token = beta * k3 - torch.where(stuck, bound, ratio) * a
    loss = aggregate(torch.zeros_like(logp).masked_scatter(m, per_token), m, agg, max_len)
    # The loss of a batch without a token has a gradient too, of zeros.
    loss = loss + 0.0 * logp[~m].nan_to_num(0, 0, 0).sum()

    def average(x):
        return x.detach().double().mean().item() if len(x) else 0.0

    metrics = {"clip_fraction": average((upper | lower).double()), "approx_kl": average(ratio - 1 - log_ratio),
               "ratio_mean": average(ratio), "kl": average(k3)}  # fmt: skip
    return loss, metrics


# -- text and models --


def logits_of(model, tokens, attention):
    first = attention.int().argmax(dim=1, keepdim=True)
    positions = (torch.arange(tokens.shape[1]) - first).clamp(min=0)
    return model(input_ids=tokens, attention_mask=attention.int(), position_ids=positions).logits


def token_logprobs(model, tokens, attention, temperature=1.0):
    refuse(tokens.dim() != 2 or tokens.shape != attention.shape, "tokens and attention are (B, L)")
    refuse(not temperature > 0, "the temperature must be positive")
    attention = attention.bool()
    logits = logits_of(model, tokens, attention)
    B, L, V = logits.shape
    nll = F.cross_entropy((logits[:, :-1] / temperature).reshape(-1, V), tokens[:, 1:].reshape(-1), reduction="none")
    real = (attention[:, 1:] & attention[:, :-1]).reshape(-1)
    return torch.cat([torch.zeros(B, 1, dtype=nll.dtype), torch.where(real, -nll, 0.0).reshape(B, L - 1)], dim=1)


@torch.no_grad()
def sample_groups(model, prompts, G, max_new, temperature=1.0, generator=None):
    """No cache: the whole batch is read again for each token. Sampling by the Gumbel trick."""
    refuse(not prompts or any(len(p) == 0 for p in prompts), "a prompt is missing")
    refuse(G < 1 or max_new < 1 or not temperature > 0 or generator is None, "sampling needs sensible numbers")
    width = max(len(p) for p in prompts)
    rows = torch.tensor([[PAD] * (width - len(p)) + list(p) for p in prompts]).repeat_interleave(G, dim=0)
    real = torch.tensor([[False] * (width - len(p)) + [True] * len(p) for p in prompts]).repeat_interleave(G, dim=0)
    tokens, mask, finished = rows, torch.zeros_like(real), torch.zeros(len(rows), dtype=torch.bool)
    for _ in range(max_new):
        logits = logits_of(model, tokens, real | mask)[:, -1] / temperature
        noise = torch.empty(logits.shape, dtype=torch.float64).exponential_(generator=generator).log()
        choice = (logits.double() - noise).argmax(dim=1)
        tokens = torch.cat([tokens, torch.where(finished, PAD, choice)[:, None]], dim=1)
        real = torch.cat([real, torch.zeros(len(rows), 1, dtype=torch.bool)], dim=1)
        mask = torch.cat([mask, ~finished[:, None]], dim=1)
        finished = finished | (choice == EOS)
    logp = token_logprobs(model, tokens, real | mask, temperature)
    return Samples(tokens, mask, torch.where(mask, logp, 0.0))


# -- rewards --


def verifiable_reward(prompt, response):
    found = re.fullmatch(r"([rs])([0-9]+)>", prompt)
    refuse(found is None, "that is no prompt at all")
    order = list(found[2])
    order = order[::-1] if found[1] == "r" else sorted(order, key=int)
    return 1.0 if [*response] == [*order, "$"] else 0.0


class Reader:
    """A recursive-descent parser: expression = term (+|- term)*, term = factor (* factor)*, factor
    = sign factor | number | x | (...)."""

    def __init__(self, text):
        self.items = re.findall(r"\d+|\S", text)
        self.place = 0

    def peek(self):
        return self.items[self.place] if self.place < len(self.items) else ""

    def take(self):
        item = self.peek()
        self.place += 1
        return item

    def expression(self, x):
        value = self.term(x)
        while self.peek() in ("+", "-") and self.peek():
            value = value + self.term(x) if self.take() == "+" else value - self.term(x)
        return value

    def term(self, x):
        value = self.factor(x)
        while self.peek() == "*":
            self.take()
            value *= self.factor(x)
        return value

    def factor(self, x):
        item = self.take()
        if item == "-":
            return -self.factor(x)
        if item == "+":
            return self.factor(x)
        if item == "(":
            value = self.expression(x)
            refuse(self.take() != ")", "a parenthesis is open")
            return value
        if item == "x":
            return x
        refuse(not re.fullmatch("[0-9]+", item), "no number")
        return int(item)


def program_reward(source, cases):
    refuse(len(cases) == 0, "a test case is needed")
    if len(source) > 200:
        return 0.0
    for x, y in cases:
        reader = Reader(source)
        try:
            value = reader.expression(x)
        except ValueError:
            return 0.0
        if reader.peek() or value != y:
            return 0.0
    return 1.0


# -- training --


def grpo_update_(policy, optimizer, batch, cfg):
    """The loss's weights are fixed for the whole batch first; pieces then only add up."""
    optimizer.zero_grad(set_to_none=True)
    B, total = len(batch.adv), int(batch.mask.sum())
    size = cfg.micro_batch or B
    sums = defaultdict(float)
    for first in range(0, B, size):
        part = Batch(*[x[first : first + size] for x in batch])
        logp = token_logprobs(policy, part.tokens, attention_mask(part.tokens, part.mask), cfg.temperature)
        loss, metrics = grpo_loss(logp, part.old_logp, part.ref_logp, part.adv, part.mask, cfg.clip_low, cfg.clip_high, cfg.beta,
                                  cfg.agg, cfg.max_new, cfg.level)  # fmt: skip
        here = int(part.mask.sum())
        factor = here / max(total, 1) if cfg.agg == "token-mean" else len(part.adv) / B
        (factor * loss).backward()
        sums["loss"] += factor * loss.item()
        for name, value in metrics.items():
            sums[name] += value * here / max(total, 1)
    parameters = [p for p in policy.parameters() if p.grad is not None]
    norm = torch.sqrt(sum(p.grad.pow(2).sum() for p in parameters))
    for p in parameters:
        p.grad.mul_(min(1.0, cfg.grad_norm / (float(norm) + 1e-6)))
    optimizer.step()
    return dict(sums)


def train_grpo(policy, cfg, seed):
    learner = copy.deepcopy(policy)
    draws, order = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=cfg.lr, weight_decay=0.0)
    history = defaultdict(list)
    for iteration in range(cfg.iterations):
        optimizer.param_groups[0]["lr"] = learning_rate(cfg, iteration)
        prompts = draw_prompts(cfg.task, cfg.digits, cfg.prompts, draws)
        got = sample_groups(learner, [encode(p) for p in prompts], cfg.group_size, cfg.max_new, cfg.temperature, draws)
        ids = torch.tensor([i for i in range(cfg.prompts) for _ in range(cfg.group_size)])
        rewards = torch.tensor([verifiable_reward(prompts[int(i)], decode(t[m])) for i, t, m in zip(ids, got.tokens, got.mask, strict=True)])
        adv = group_advantages(rewards, ids, cfg.eps, cfg.scale, cfg.ddof, cfg.baseline)
        with torch.no_grad():
            ref = token_logprobs(policy, got.tokens, attention_mask(got.tokens, got.mask), cfg.temperature) * got.mask
        everything = Batch(got.tokens, got.mask, got.logp, ref, adv)
        alive = informative_groups(rewards, ids)
        usable = np.flatnonzero(alive.numpy()) if cfg.drop_dead_groups else np.arange(len(ids))
        fractions = [
            grpo_update_(learner, optimizer, Batch(*[x[torch.from_numpy(rows)] for x in everything]), cfg)["clip_fraction"]
            for _ in range(cfg.epochs)
            for rows in np.array_split(order.permutation(usable), cfg.minibatches)
            if len(rows)
        ]
        table = rewards.reshape(cfg.prompts, cfg.group_size).double().numpy()
        history["reward_mean"].append(float(table.mean()))
        history["reward_std"].append(float(table.std(axis=1, ddof=cfg.ddof).mean()) if cfg.group_size > 1 else 0.0)
        history["dead_groups"].append(float((np.ptp(table, axis=1) == 0).mean()))
        history["kl"].append(k3_kl(got.logp, ref)[got.mask].mean().item())
        history["length"].append(got.mask.sum().item() / len(ids))
        history["clip_fraction"].append(float(np.mean(fractions)) if fractions else 0.0)
    return Result(learner, dict(history))
