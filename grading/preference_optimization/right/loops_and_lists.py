"""A correct solution in another style: one pair, one row and one token at a time, in plain Python."""

import copy
import math
import random

import torch.nn.functional as F


def need(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def vectors(*xs):
    need(all(x.ndim == 1 and len(x) == len(xs[0]) > 0 for x in xs), "vectors of one length, please")


def collate_pairs(pairs):
    n = len(pairs.prompts)
    need(n > 0 and len(pairs.chosen) == n and len(pairs.rejected) == n, "lists of one length, please")
    rows = [(x, y) for side in (pairs.chosen, pairs.rejected) for x, y in zip(pairs.prompts, side, strict=True)]
    need(all(x and y for x, y in rows), "something is empty here")
    longest = max(len(x) + len(y) for x, y in rows)
    tokens, mask = [], []
    for x, y in rows:
        fill = longest - len(x) - len(y)
        tokens.append([*x, *y] + [PAD] * fill)
        mask.append([False] * len(x) + [True] * len(y) + [False] * fill)
    return Batch(torch.tensor(tokens), torch.tensor(mask))


def split_pairs(rows):
    need(rows.ndim > 0 and len(rows) > 0 and len(rows) % 2 == 0, "an even number of rows, please")
    half = len(rows) // 2
    return torch.stack([rows[i] for i in range(half)]), torch.stack([rows[half + i] for i in range(half)])


def token_logprobs(model, tokens, attention):
    need(tokens.ndim == 2 and tokens.shape == attention.shape, "two tables of one shape, please")
    if bool(attention.all()):  # no padding: all rows in one call
        logits = model(input_ids=tokens).logits
        logits = [logits[i] for i in range(len(tokens))]
    else:
        logits = [model(input_ids=ids[real][None]).logits[0] for ids, real in zip(tokens, attention.bool(), strict=True)]
    rows = []
    for ids, real, scores in zip(tokens, attention.bool().tolist(), logits, strict=True):
        places = [t for t in range(len(ids)) if real[t]]
        found = F.log_softmax(scores, dim=1)
        row = [scores.new_zeros(()) for _ in ids]
        for k in range(1, len(places)):
            row[places[k]] = found[k - 1, ids[places[k]]]
        rows.append(torch.stack(row))
    return torch.stack(rows)


def sequence_logprobs(logp, mask, average=False):
    need(logp.ndim == 2 and logp.shape == mask.shape, "two tables of one shape, please")
    out = []
    for row, marks in zip(logp, mask, strict=True):
        kept = [row[t] for t in range(len(row)) if marks[t]]
        need(kept, "this response is empty")
        total = sum(kept[1:], kept[0])
        out.append(total / len(kept) if average else total)
    return torch.stack(out)


def pair_logprobs(model, batch, average=False):
    seen = attention_mask(batch.tokens, batch.mask)
    return split_pairs(sequence_logprobs(token_logprobs(model, batch.tokens, seen), batch.mask, average))


@torch.no_grad()
def reference_logprobs(model, batch, average=False):
    was = model.training
    model.train(False)
    try:
        return pair_logprobs(model, batch, average)
    finally:
        model.train(was)


def implicit_rewards(logp, ref_logp, beta=0.1):
    vectors(logp, ref_logp)
    need(beta > 0, "beta is too small")
    return logp.detach() * beta - ref_logp.detach() * beta


def preference_margin(chosen, rejected, ref_chosen, ref_rejected):
    vectors(chosen, rejected, ref_chosen, ref_rejected)
    return torch.stack(
        [c - rc.detach() - r + rr.detach() for c, r, rc, rr in zip(chosen, rejected, ref_chosen, ref_rejected, strict=True)]
    )


def surprise(x):
    """-log sigmoid of one number."""
    return torch.log1p(torch.exp(-x)) if float(x) > 0 else torch.log1p(torch.exp(x)) - x


def average_of(parts):
    parts = list(parts)
    return sum(parts[1:], parts[0]) / len(parts)


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    need(beta > 0 and 0 <= label_smoothing < 0.5, "no such setting")
    h = preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    return average_of((1 - label_smoothing) * surprise(beta * x) + label_smoothing * surprise(-beta * x) for x in h)


def dpo_weights(margin, beta=0.1, label_smoothing=0.0):
    vectors(margin)
    need(beta > 0 and 0 <= label_smoothing < 0.5, "no such setting")
    return torch.tensor([beta / (1 + math.exp(beta * h)) - beta * label_smoothing for h in margin.tolist()], dtype=margin.dtype)


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    need(tau > 0, "tau is too small")
    return average_of((h - 0.5 / tau) ** 2 for h in preference_margin(chosen, rejected, ref_chosen, ref_rejected))


def mismatched(count):
    need(count > 1, "one prompt has no neighbour")
    return torch.tensor([*range(1, count), 0])


def kto_reference_point(logp, ref_logp):
    vectors(logp, ref_logp)
    gaps = [a - b for a, b in zip(logp.tolist(), ref_logp.tolist(), strict=True)]
    return torch.tensor(max(0.0, sum(gaps) / len(gaps)), dtype=logp.dtype)


def kto_loss(logp, ref_logp, desirable, point, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    vectors(logp, ref_logp, desirable)
    need(beta > 0, "beta is too small")
    costs = []
    for a, b, good in zip(logp, ref_logp.detach(), desirable.tolist(), strict=True):
        gain = beta * (a - b - float(point))
        costs.append(desirable_weight * (1 - torch.sigmoid(gain)) if good else undesirable_weight * (1 - torch.sigmoid(-gain)))
    return average_of(costs)


def simpo_loss(chosen, rejected, beta=2.0, gamma=0.5):
    vectors(chosen, rejected)
    need(beta > 0 and gamma >= 0, "no such setting")
    return average_of(surprise(beta * c - beta * r - gamma) for c, r in zip(chosen, rejected, strict=True))


def log_odds(logp):
    need(not (logp > 0).any(), "that is no log-probability")
    low = torch.full_like(logp, -torch.finfo(logp.dtype).eps)
    x = torch.where(logp < low, logp, low)
    return x - torch.log(-torch.expm1(x))


def orpo_loss(chosen, rejected, weight=0.1):
    vectors(chosen, rejected)
    need(weight >= 0, "no such weight")
    gaps = log_odds(chosen) - log_odds(rejected)
    return average_of(weight * surprise(gap) - c for c, gap in zip(chosen, gaps, strict=True))


def rlhf_optimum(ref_logp, rewards, beta):
    need(ref_logp.ndim > 0 and ref_logp.shape == rewards.shape and beta > 0, "tables of one shape, please")
    flat = []
    for ref, r in zip(ref_logp.reshape(-1, ref_logp.shape[-1]), rewards.reshape(-1, ref_logp.shape[-1]), strict=True):
        tilted = ref + r / beta
        flat.append(tilted - torch.logsumexp(tilted, 0))
    return torch.stack(flat).reshape(ref_logp.shape)


def rlhf_objective(logp, ref_logp, rewards, beta):
    need(logp.ndim > 0 and logp.shape == ref_logp.shape == rewards.shape and beta > 0, "tables of one shape, please")
    p = torch.exp(logp)
    return (p * rewards).sum(-1) - beta * (p * logp).sum(-1) + beta * (p * ref_logp).sum(-1)


def fit_dpo_table(ref_logp, preferences, beta):
    vectors(ref_logp)
    K = len(ref_logp)
    need(beta > 0 and K > 1 and preferences.shape == (K, K), "a square table, please")
    P = preferences.double().tolist()
    need(all(0 < P[i][j] < 1 for i in range(K) for j in range(K) if i != j), "somebody always wins")
    ability = [1.0] * K  # minorise, maximise: Zermelo's iteration
    for _ in range(20_000):
        new = [
            sum(P[i][j] for j in range(K) if j != i) / sum(1 / (ability[i] + ability[j]) for j in range(K) if j != i)
            for i in range(K)
        ]
        scale = math.exp(sum(map(math.log, new)) / K)
        new = [a / scale for a in new]
        done = max(abs(math.log(a / b)) for a, b in zip(new, ability, strict=True)) < 1e-11
        ability = new
        if done:
            break
    tilted = ref_logp.double() + torch.tensor(ability).double().log() / beta
    return tilted - tilted.logsumexp(0)


def preference_update_(policy, reference, optimizer, pairs, cfg):
    averages = cfg.loss not in ("dpo", "kto")
    batch = collate_pairs(pairs)
    won, lost = pair_logprobs(policy, batch, averages)
    free = cfg.loss in ("simpo", "orpo")
    ref_won, ref_lost = (torch.zeros_like(won),) * 2 if free else reference_logprobs(reference, batch, averages)
    if cfg.loss == "dpo":
        loss = dpo_loss(won, lost, ref_won, ref_lost, cfg.beta, cfg.label_smoothing)
    elif cfg.loss == "ipo":
        loss = ipo_loss(won, lost, ref_won, ref_lost, cfg.beta)
    elif cfg.loss == "simpo":
        loss = simpo_loss(won, lost, cfg.beta, cfg.gamma)
    elif cfg.loss == "orpo":
        loss = orpo_loss(won, lost, cfg.beta)
    else:
        need(len(won) > 1, "KTO needs two pairs")
        shifted = Pairs(pairs.prompts, pairs.chosen[1:] + pairs.chosen[:1], pairs.rejected[1:] + pairs.rejected[:1])
        strange = collate_pairs(shifted)
        with torch.no_grad():
            here = torch.cat(pair_logprobs(policy, strange))
        point = kto_reference_point(here, torch.cat(reference_logprobs(reference, strange)))
        desirable = torch.tensor([True] * len(won) + [False] * len(lost))
        loss = kto_loss(
            torch.cat([won, lost]), torch.cat([ref_won, ref_lost]), desirable, point, cfg.beta,
            cfg.desirable_weight, cfg.undesirable_weight,
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(policy.parameters()), cfg.grad_norm)
    optimizer.step()
    leads = [float(cfg.beta * ((a - b) - (c - d))) for a, b, c, d in zip(won, ref_won, lost, ref_lost, strict=True)]
    return {
        "loss": loss.item(),
        "accuracy": sum(1.0 if x > 0 else 0.5 if x == 0 else 0.0 for x in leads) / len(leads),
        "margin": sum(leads) / len(leads),
        "chosen_logp": won.mean().item(),
        "rejected_logp": lost.mean().item(),
    }


def train_preferences(policy, pairs, cfg, seed):
    need(cfg.steps >= 1 and 1 <= cfg.batch_size <= len(pairs.prompts), "too few pairs or steps")
    learner = copy.deepcopy(policy)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=cfg.lr, weight_decay=0.0)
    dice = random.Random(seed)
    history = {name: [] for name in ("loss", "accuracy", "margin", "chosen_logp", "rejected_logp")}
    queue = []
    for _ in range(cfg.steps):
        if len(queue) < cfg.batch_size:
            queue = list(zip(*pairs, strict=True))
            dice.shuffle(queue)
        taken, queue = queue[: cfg.batch_size], queue[cfg.batch_size :]
        report = preference_update_(learner, policy, optimizer, Pairs(*map(list, zip(*taken, strict=True))), cfg)
        for name in history:
            history[name].append(report[name])
    return Result(learner, history)
