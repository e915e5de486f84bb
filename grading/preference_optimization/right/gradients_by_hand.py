"""A correct solution in another style: every loss knows its own gradient, and autograd only carries it
on to the model."""

import copy

import numpy as np


def demand(truth, sentence):
    if not truth:
        raise ValueError(sentence)


def columns(*xs):
    demand(xs[0].dim() == 1 and len(xs[0]) >= 1, "one number for each pair, please")
    demand(all(len(x.shape) == 1 and len(x) == len(xs[0]) for x in xs), "as many numbers each, please")


def with_gradient(value, *terms):
    """A number whose gradient by each tensor is the slope that comes with it."""
    total = torch.as_tensor(value).detach().clone()
    for x, slope in terms:
        carrier = (slope.detach() * x).sum()
        total = total + carrier - carrier.detach()
    return total


def softly(x):
    """-log sigmoid, without overflow."""
    return torch.logaddexp(torch.zeros_like(x), -x)


def chance(x):
    """sigmoid"""
    return torch.exp(-softly(x))


def collate_pairs(pairs):
    sizes = {len(pairs.prompts), len(pairs.chosen), len(pairs.rejected)}
    demand(len(sizes) == 1 and 0 not in sizes, "three lists of one length, please")
    jobs = [*zip(pairs.prompts, pairs.chosen, strict=False), *zip(pairs.prompts, pairs.rejected, strict=False)]
    demand(all(len(x) and len(y) for x, y in jobs), "an empty prompt or response")
    L = max(len(x) + len(y) for x, y in jobs)
    tokens = torch.empty(len(jobs), L, dtype=torch.long).fill_(PAD)
    mask = torch.zeros_like(tokens)
    for i, (x, y) in enumerate(jobs):
        tokens[i].narrow(0, 0, len(x)).copy_(torch.tensor(x))
        tokens[i].narrow(0, len(x), len(y)).copy_(torch.tensor(y))
        mask[i].narrow(0, len(x), len(y)).fill_(1)
    return Batch(tokens, mask.bool())


def split_pairs(rows):
    demand(rows.dim() > 0 and len(rows) >= 2 and len(rows) % 2 == 0, "rows do not make pairs")
    return tuple(rows.split(len(rows) // 2))


def token_logprobs(model, tokens, attention):
    demand(tokens.dim() == 2 and tokens.shape == attention.shape, "two tables of one shape, please")
    real = attention.bool()
    starts = [int(row.nonzero()[0]) for row in real]
    lengths = [int(row.sum()) for row in real]
    left = torch.full_like(tokens, PAD)[:, : max(lengths)]  # every row moved to the left edge
    seen = torch.zeros_like(left)
    for i, (a, n) in enumerate(zip(starts, lengths, strict=False)):
        left[i, :n], seen[i, :n] = tokens[i, a : a + n], 1
    logits = model(input_ids=left, attention_mask=seen).logits
    logp = torch.log_softmax(logits, 2)[:, :-1].gather(2, left[:, 1:].unsqueeze(2)).squeeze(2)
    out = torch.zeros(tokens.shape, dtype=logp.dtype)
    rows = [
        torch.cat([out[i, : a + 1], logp[i, : n - 1], out[i, a + n :]])
        for i, (a, n) in enumerate(zip(starts, lengths, strict=False))
    ]
    return torch.stack(rows)


def sequence_logprobs(logp, mask, average=False):
    demand(logp.dim() == 2 and logp.shape == mask.shape, "two tables of one shape, please")
    weight = mask.to(logp.dtype)
    counts = weight.sum(1, keepdim=True)
    demand(bool((counts > 0).all()), "nothing is left of a response")
    clean = torch.where(mask.bool(), logp, 0.0)
    return (clean * (weight / counts if average else weight)).sum(1)


def pair_logprobs(model, batch, average=False):
    logp = token_logprobs(model, batch.tokens, attention_mask(batch.tokens, batch.mask))
    first, second = split_pairs(logp)
    up, down = split_pairs(batch.mask)
    return sequence_logprobs(first, up, average), sequence_logprobs(second, down, average)


def reference_logprobs(model, batch, average=False):
    training, _ = model.training, model.eval()
    with torch.set_grad_enabled(False):
        both = pair_logprobs(model, batch, average)
    if training:
        model.train()
    return both


def implicit_rewards(logp, ref_logp, beta=0.1):
    columns(logp, ref_logp)
    demand(beta > 0, "beta must be positive")
    return beta * (logp.detach() - ref_logp.detach())


def preference_margin(chosen, rejected, ref_chosen, ref_rejected):
    columns(chosen, rejected, ref_chosen, ref_rejected)
    return chosen - rejected - ref_chosen.detach() + ref_rejected.detach()


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    h = preference_margin(chosen, rejected, ref_chosen, ref_rejected).detach()
    pull = dpo_weights(h, beta, label_smoothing) / len(h)
    value = ((1 - label_smoothing) * softly(beta * h) + label_smoothing * softly(-beta * h)).mean()
    return with_gradient(value, (chosen, -pull), (rejected, pull))


def dpo_weights(margin, beta=0.1, label_smoothing=0.0):
    columns(margin)
    demand(beta > 0, "beta must be positive")
    demand(0 <= label_smoothing < 0.5, "at most half of the labels may be wrong")
    x = beta * margin.detach()
    return beta * ((1 - label_smoothing) * chance(-x) - label_smoothing * chance(x))


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    demand(tau > 0, "tau must be positive")
    off = preference_margin(chosen, rejected, ref_chosen, ref_rejected).detach() - 1 / (2 * tau)
    slope = 2 * off / len(off)
    return with_gradient((off**2).mean(), (chosen, slope), (rejected, -slope))


def mismatched(count):
    demand(count >= 2, "a single prompt has no neighbour")
    order = torch.arange(1, count + 1)
    order[-1] = 0
    return order


def kto_reference_point(logp, ref_logp):
    columns(logp, ref_logp)
    return ((logp - ref_logp).sum() / len(logp)).detach().clamp_min(0.0)


def kto_loss(logp, ref_logp, desirable, point, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    columns(logp, ref_logp, desirable)
    demand(beta > 0, "beta must be positive")
    sign = desirable.to(logp.dtype) * 2 - 1
    weight = torch.full_like(sign, undesirable_weight).masked_fill(desirable, desirable_weight)
    x = beta * sign * (logp.detach() - ref_logp.detach() - float(point))
    slope = -weight * beta * sign * chance(x) * chance(-x) / len(x)
    return with_gradient((weight * chance(-x)).mean(), (logp, slope))


def simpo_loss(chosen, rejected, beta=2.0, gamma=0.5):
    columns(chosen, rejected)
    demand(beta > 0 and gamma >= 0, "beta must be positive, and gamma not negative")
    x = beta * (chosen.detach() - rejected.detach()) - gamma
    slope = -beta * chance(-x) / len(x)
    return with_gradient(softly(x).mean(), (chosen, slope), (rejected, -slope))


def log_odds(logp):
    demand(bool((logp <= 0).all()), "a probability is at most 1")
    x = logp.detach().clamp(max=-torch.finfo(logp.dtype).eps)
    rest = -torch.expm1(x)  # 1 - p
    inside = (logp.detach() <= x).to(x.dtype)
    return x - rest.log() + (logp - logp.detach()) * inside / rest


def orpo_loss(chosen, rejected, weight=0.1):
    columns(chosen, rejected)
    demand(weight >= 0, "weight must not be negative")
    gap = log_odds(chosen) - log_odds(rejected)
    return torch.logaddexp(torch.zeros_like(gap), -gap).mean() * weight - chosen.mean()


def rlhf_optimum(ref_logp, rewards, beta):
    demand(ref_logp.dim() and ref_logp.shape == rewards.shape and beta > 0, "one shape, and beta above 0")
    return torch.log_softmax(ref_logp + rewards / beta, -1)


def rlhf_objective(logp, ref_logp, rewards, beta):
    demand(logp.dim() and logp.shape == ref_logp.shape and logp.shape == rewards.shape, "one shape, please")
    demand(beta > 0, "beta must be positive")
    worth = rewards - beta * logp + beta * ref_logp
    return torch.exp(logp).mul(worth).sum(-1)


def fit_dpo_table(ref_logp, preferences, beta):
    columns(ref_logp)
    K = len(ref_logp)
    demand(beta > 0 and K > 1 and preferences.shape == (K, K), "a square table, please")
    P = preferences.double().clone().fill_diagonal_(0.5)
    demand(bool((P > 0).all() and (P < 1).all()), "a certain preference has no finite fit")
    logp, speed = ref_logp.double().clone(), torch.zeros(K).double()
    for _ in range(40_000):  # gradient descent with momentum, on the log-probabilities themselves
        u = beta * (logp - ref_logp.double())
        slope = (torch.sigmoid(u[:, None] - u[None, :]) - P).sum(1)
        speed = 0.8 * speed - slope / K
        logp = logp + speed / beta
        if float(slope.abs().max()) < 1e-11:
            break
    return logp.log_softmax(0)


def preference_update_(policy, reference, optimizer, pairs, cfg):
    batch, mean = collate_pairs(pairs), cfg.loss in ("ipo", "simpo", "orpo")
    ours = pair_logprobs(policy, batch, mean)
    free = cfg.loss in ("simpo", "orpo")
    theirs = tuple(torch.zeros_like(x) for x in ours) if free else reference_logprobs(reference, batch, mean)
    if cfg.loss == "dpo":
        loss = dpo_loss(*ours, *theirs, cfg.beta, cfg.label_smoothing)
    elif cfg.loss == "ipo":
        loss = ipo_loss(*ours, *theirs, cfg.beta)
    elif cfg.loss == "simpo":
        loss = simpo_loss(*ours, cfg.beta, cfg.gamma)
    elif cfg.loss == "orpo":
        loss = orpo_loss(*ours, cfg.beta)
    else:
        order = mismatched(len(pairs.prompts))
        strangers = collate_pairs(Pairs(pairs.prompts, *([side[int(k)] for k in order] for side in pairs[1:])))
        point = kto_reference_point(
            torch.cat([x.detach() for x in pair_logprobs(policy, strangers)]), torch.cat(reference_logprobs(reference, strangers))
        )
        up = torch.cat([torch.ones(len(ours[0])), torch.zeros(len(ours[1]))]).bool()
        loss = kto_loss(torch.cat(ours), torch.cat(theirs), up, point, cfg.beta, cfg.desirable_weight, cfg.undesirable_weight)
    for parameter in policy.parameters():
        parameter.grad = None
    loss.backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in policy.parameters() if p.grad is not None))
    if float(norm) > cfg.grad_norm:
        for parameter in policy.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(cfg.grad_norm / float(norm))
    optimizer.step()
    won, lost = (implicit_rewards(a, b, cfg.beta) for a, b in zip(ours, theirs, strict=False))
    return {
        "loss": float(loss.detach()),
        "accuracy": float(torch.heaviside(won - lost, torch.tensor(0.5, dtype=won.dtype)).mean()),
        "margin": float(won.mean() - lost.mean()),
        "chosen_logp": float(ours[0].detach().mean()),
        "rejected_logp": float(ours[1].detach().mean()),
    }


def train_preferences(policy, pairs, cfg, seed):
    n = len(pairs.prompts)
    if cfg.steps < 1 or cfg.batch_size < 1 or n < cfg.batch_size:
        raise ValueError("steps or pairs are missing")
    pupil = copy.deepcopy(policy)
    optimizer = torch.optim.Adam([p for p in pupil.parameters() if p.requires_grad], lr=cfg.lr)
    shuffle = np.random.default_rng(seed)
    each = n // cfg.batch_size
    reports = []
    for step in range(cfg.steps):
        if step % each == 0:
            order = shuffle.permutation(n).tolist()
        rows = order[step % each * cfg.batch_size :][: cfg.batch_size]
        part = Pairs(*([side[i] for i in rows] for side in pairs))
        reports.append(preference_update_(pupil, policy, optimizer, part, cfg))
    return Result(pupil, {name: [report[name] for report in reports] for name in reports[0]})
