"""A correct solution in another style: rows of equal length are scored together without padding,
dictionaries hold the losses, NumPy does the tables."""

import copy
from collections import defaultdict

import numpy as np


class Bad(ValueError):
    pass


def ok(condition, *why):
    if not condition:
        raise Bad("not possible: " + " ".join(map(str, why)))


def flat(*xs):
    first = xs[0]
    ok(first.ndim == 1 and first.shape[0] > 0 and all(x.shape == first.shape for x in xs), "shapes differ")


def log_sigmoid(x):
    return torch.minimum(x, torch.zeros_like(x)) - torch.log1p(torch.exp(-x.abs()))


def implicit_rewards(logp, ref_logp, beta=0.1):
    flat(logp, ref_logp)
    ok(beta > 0, "beta")
    return ((logp - ref_logp) * beta).data


def preference_margin(chosen, rejected, ref_chosen, ref_rejected):
    flat(chosen, rejected, ref_chosen, ref_rejected)
    ours, theirs = chosen - rejected, (ref_chosen - ref_rejected).data
    return ours - theirs


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    ok(beta > 0 and 0 <= label_smoothing < 0.5, "beta or smoothing")
    x = preference_margin(chosen, rejected, ref_chosen, ref_rejected) * beta
    # log sigmoid(-x) = log sigmoid(x) - x
    return (label_smoothing * x - log_sigmoid(x)).mean()


def dpo_weights(margin, beta=0.1, label_smoothing=0.0):
    flat(margin)
    ok(beta > 0 and 0 <= label_smoothing < 0.5, "beta or smoothing")
    return torch.from_numpy(beta * (1 / (1 + np.exp(beta * margin.detach().numpy())) - label_smoothing))


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    ok(tau > 0, "tau")
    h = preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    return ((2 * tau * h - 1) / (2 * tau)).pow(2).mean()


def mismatched(count):
    ok(count >= 2, "one prompt alone")
    return torch.tensor([(i + 1) % count for i in range(count)])


def kto_reference_point(logp, ref_logp):
    flat(logp, ref_logp)
    return (logp - ref_logp).data.mean().clip(min=0)


def kto_loss(logp, ref_logp, desirable, point, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    flat(logp, ref_logp, desirable)
    ok(beta > 0, "beta")
    point = torch.as_tensor(point).data
    total = 0.0
    for kind, weight, sign in ((desirable, desirable_weight, 1), (~desirable, undesirable_weight, -1)):
        r = logp[kind] - ref_logp[kind].data
        total = total + weight * (1 - torch.sigmoid(sign * beta * (r - point))).sum()
    return total / len(logp)


def simpo_loss(chosen, rejected, beta=2.0, gamma=0.5):
    flat(chosen, rejected)
    ok(beta > 0 and gamma >= 0, "beta or gamma")
    return -log_sigmoid(beta * chosen - beta * rejected - gamma).sum() / len(chosen)


def log_odds(logp):
    ok(not bool(torch.any(logp > 0)), "above 0")
    eps = torch.finfo(logp.dtype).eps
    x = torch.where(logp > -eps, -eps * torch.ones_like(logp), logp)
    return x - torch.log(torch.special.expm1(x).neg())


def orpo_loss(chosen, rejected, weight=0.1):
    flat(chosen, rejected)
    ok(weight >= 0, "weight")
    terms = {"imitate": -chosen, "compare": -weight * log_sigmoid(log_odds(chosen) - log_odds(rejected))}
    return sum(terms.values()).mean()


def rlhf_optimum(ref_logp, rewards, beta):
    ok(ref_logp.ndim > 0 and ref_logp.shape == rewards.shape and beta > 0, "shapes or beta")
    x = ref_logp.detach().numpy() + rewards.detach().numpy() / beta
    top = x.max(axis=-1, keepdims=True)
    return torch.from_numpy(x - top - np.log(np.exp(x - top).sum(axis=-1, keepdims=True)))


def rlhf_objective(logp, ref_logp, rewards, beta):
    ok(logp.ndim > 0 and logp.shape == ref_logp.shape == rewards.shape and beta > 0, "shapes or beta")
    p, q, r = (x.detach().numpy() for x in (logp, ref_logp, rewards))
    return torch.as_tensor(np.sum(np.exp(p) * r, axis=-1) - beta * np.sum(np.exp(p) * (p - q), axis=-1))


def fit_dpo_table(ref_logp, preferences, beta):
    flat(ref_logp)
    K = ref_logp.shape[0]
    ok(beta > 0 and K >= 2 and tuple(preferences.shape) == (K, K), "shapes or beta")
    P = preferences.double().numpy().copy()
    np.fill_diagonal(P, 0.5)
    ok(P.min() > 0 and P.max() < 1, "a certain preference")
    u = np.zeros(K)
    for _ in range(4000):  # one answer at a time, until nobody moves
        before = u.copy()
        for i in range(K):
            chance = 1 / (1 + np.exp(u - u[i]))
            curve = (chance * (1 - chance)).sum() - 0.25
            u[i] += np.clip((P[i] - chance).sum() / curve, -1, 1)
        u -= u.mean()
        if np.abs(u - before).max() < 1e-12:
            break
    x = ref_logp.double().detach() + torch.from_numpy(u) / beta
    return x - torch.logsumexp(x, 0)


def collate_pairs(pairs):
    ok(pairs.prompts and len(pairs.prompts) == len(pairs.chosen) == len(pairs.rejected), "lists")
    ok(all(len(x) > 0 for column in pairs for x in column), "something is empty")
    rows = [(x, y) for column in (pairs.chosen, pairs.rejected) for x, y in zip(pairs.prompts, column, strict=True)]
    width = max(len(x) + len(y) for x, y in rows)
    tokens = np.full((len(rows), width), PAD)
    mask = np.zeros((len(rows), width), dtype=bool)
    for i, (x, y) in enumerate(rows):
        tokens[i, : len(x) + len(y)] = x + y
        mask[i, len(x) :][: len(y)] = True
    return Batch(torch.from_numpy(tokens), torch.from_numpy(mask))


def split_pairs(rows):
    ok(rows.ndim > 0 and len(rows) >= 2 and len(rows) % 2 == 0, "rows")
    return rows.narrow(0, 0, len(rows) // 2), rows.narrow(0, len(rows) // 2, len(rows) // 2)


def token_logprobs(model, tokens, attention):
    ok(tokens.ndim == 2 and tokens.shape == attention.shape, "shapes")
    real, out = attention.bool(), None
    groups = defaultdict(list)
    for i, n in enumerate(real.sum(1).tolist()):
        groups[n].append(i)
    for n, rows in groups.items():
        ids = torch.stack([tokens[i, real[i]] for i in rows])
        logp = model(input_ids=ids).logits.log_softmax(-1)
        if out is None:
            out = torch.zeros(tokens.shape, dtype=logp.dtype)
        for i, row in zip(rows, logp[:, :-1].gather(2, ids[:, 1:, None])[..., 0], strict=True):
            out = out.index_put((torch.full((n - 1,), i), real[i].nonzero()[1:, 0]), row)
    return out


def sequence_logprobs(logp, mask, average=False):
    ok(logp.ndim == 2 and logp.shape == mask.shape, "shapes")
    rows = [row[marks.bool()] for row, marks in zip(logp, mask, strict=True)]
    ok(all(len(row) for row in rows), "an empty response")
    return torch.stack([torch.mean(row) if average else torch.sum(row) for row in rows])


def pair_logprobs(model, batch, average=False):
    seen = attention_mask(batch.tokens, batch.mask)
    return split_pairs(sequence_logprobs(token_logprobs(model, batch.tokens, seen), batch.mask, average))


def reference_logprobs(model, batch, average=False):
    mode = model.training
    try:
        with torch.no_grad():
            return pair_logprobs(model.eval(), batch, average)
    finally:
        model.train(mode)


def preference_update_(policy, reference, optimizer, pairs, cfg):
    kind = cfg.loss
    average = kind in {"ipo", "simpo", "orpo"}
    batch = collate_pairs(pairs)
    scores = pair_logprobs(policy, batch, average)
    if kind in {"simpo", "orpo"}:
        refs = tuple(map(torch.zeros_like, scores))
    else:
        refs = reference_logprobs(reference, batch, average)

    def kto():
        order = mismatched(len(pairs.prompts)).tolist()
        other = collate_pairs(Pairs(pairs.prompts, *([column[i] for i in order] for column in pairs[1:])))
        here = torch.cat(pair_logprobs(policy, other)).data
        point = kto_reference_point(here, torch.cat(reference_logprobs(reference, other)))
        good = torch.arange(2 * len(order)) < len(order)
        return kto_loss(torch.cat(scores), torch.cat(refs), good, point, cfg.beta, cfg.desirable_weight, cfg.undesirable_weight)

    loss = {
        "dpo": lambda: dpo_loss(*scores, *refs, cfg.beta, cfg.label_smoothing),
        "ipo": lambda: ipo_loss(*scores, *refs, cfg.beta),
        "kto": kto,
        "simpo": lambda: simpo_loss(*scores, cfg.beta, cfg.gamma),
        "orpo": lambda: orpo_loss(*scores, cfg.beta),
    }[kind]()
    parameters = list(policy.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    size = float(torch.stack([g.norm() for g in gradients if g is not None]).norm())
    for parameter, g in zip(parameters, gradients, strict=True):
        parameter.grad = None if g is None else g * min(1.0, cfg.grad_norm / max(size, 1e-12))
    optimizer.step()
    lead = (implicit_rewards(scores[0], refs[0], cfg.beta) - implicit_rewards(scores[1], refs[1], cfg.beta)).numpy()
    return {
        "loss": float(loss), "accuracy": float(np.mean((np.sign(lead) + 1) / 2)), "margin": float(lead.mean()),
        "chosen_logp": float(scores[0].data.mean()), "rejected_logp": float(scores[1].data.mean()),
    }


def train_preferences(policy, pairs, cfg, seed):
    ok(cfg.steps > 0 and 0 < cfg.batch_size <= len(pairs.prompts), "steps or batch size")
    model, rng = copy.deepcopy(policy), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)

    def batches():
        while True:
            order = rng.permutation(len(pairs.prompts))
            for k in range(len(order) // cfg.batch_size):
                yield order[k * cfg.batch_size : (k + 1) * cfg.batch_size]

    history = defaultdict(list)
    for _, rows in zip(range(cfg.steps), batches(), strict=False):
        part = Pairs(*([column[i] for i in rows] for column in pairs))
        for name, number in preference_update_(model, policy, optimizer, part, cfg).items():
            history[name].append(number)
    return Result(model, dict(history))
