"""A correct solution in another style: one-hot products, einsum, and single precision inside losses."""

import copy

import numpy as np
from torch.nn.functional import logsigmoid, one_hot


def refuse_if(wrong, why):
    if wrong:
        raise ValueError(f"this cannot be: {why}")


def same(*xs):
    refuse_if(xs[0].dim() != 1 or len(xs[0]) < 1 or any(x.shape != xs[0].shape for x in xs), "shapes differ")
    return [x.float() for x in xs]


def collate_pairs(pairs):
    refuse_if(not pairs.prompts or len(pairs.prompts) != len(pairs.chosen) or len(pairs.prompts) != len(pairs.rejected), "lists differ")
    xs, ys = pairs.prompts + pairs.prompts, pairs.chosen + pairs.rejected
    refuse_if(any(not x or not y for x, y in zip(xs, ys, strict=False)), "something is empty")
    begin = torch.tensor([len(x) for x in xs])[:, None]
    end = begin + torch.tensor([len(y) for y in ys])[:, None]
    place = torch.arange(int(end.max()))[None]
    tokens = torch.where(place < end, 0, PAD).expand(len(xs), -1).clone()
    tokens[place.expand_as(tokens) < end] = torch.tensor([t for x, y in zip(xs, ys, strict=False) for t in x + y])
    return Batch(tokens, (place >= begin) & (place < end))


def split_pairs(rows):
    refuse_if(rows.dim() == 0 or len(rows) == 0 or len(rows) % 2 != 0, "rows are odd")
    both = rows.reshape(2, len(rows) // 2, *rows.shape[1:])
    return both[0], both[1]


def token_logprobs(model, tokens, attention):
    refuse_if(tokens.dim() != 2 or attention.shape != tokens.shape, "shapes")
    real = attention.bool()
    first = real.int().argmax(dim=1, keepdim=True)
    places = (torch.arange(tokens.shape[1])[None] - first).clamp(min=0)
    logits = model(input_ids=tokens, attention_mask=real.int(), position_ids=places).logits
    logp = logits - logits.logsumexp(-1, keepdim=True)
    hot = one_hot(tokens, logits.shape[-1]).to(logp.dtype)
    picked = torch.einsum("blv,blv->bl", logp[:, :-1], hot[:, 1:]) * (real[:, 1:] & real[:, :-1])
    return torch.cat([torch.zeros_like(picked[:, :1]), picked], dim=1)


def sequence_logprobs(logp, mask, average=False):
    refuse_if(logp.dim() != 2 or mask.shape != logp.shape, "shapes")
    kept = mask.bool()
    refuse_if(not kept.any(1).all(), "a row without a response")
    rows = torch.arange(len(kept))[:, None].expand_as(kept)[kept]
    total = torch.zeros(len(kept), dtype=logp.dtype).index_add(0, rows, logp[kept])
    return total / torch.bincount(rows, minlength=len(kept)) if average else total


def pair_logprobs(model, batch, average=False):
    seen = (batch.tokens != PAD) | batch.mask.bool()
    return split_pairs(sequence_logprobs(token_logprobs(model, batch.tokens, seen), batch.mask, average))


def reference_logprobs(model, batch, average=False):
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    return tuple(x.detach() for x in pair_logprobs(frozen, batch, average))


def implicit_rewards(logp, ref_logp, beta=0.1):
    _a, _b = same(logp, ref_logp)
    refuse_if(beta <= 0, beta)
    return (beta * (logp - ref_logp)).detach()


def preference_margin(chosen, rejected, ref_chosen, ref_rejected):
    same(chosen, rejected, ref_chosen, ref_rejected)
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=chosen.dtype)
    stacked = torch.stack([chosen, rejected, ref_chosen.detach(), ref_rejected.detach()])
    return torch.einsum("k,kb->b", signs, stacked)


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    refuse_if(beta <= 0 or not 0 <= label_smoothing < 0.5, "settings")
    x = beta * preference_margin(chosen, rejected, ref_chosen, ref_rejected).float()
    mix = torch.tensor([1 - label_smoothing, label_smoothing])
    return (mix @ torch.stack([-logsigmoid(x), -logsigmoid(-x)])).mean().to(chosen.dtype)


def dpo_weights(margin, beta=0.1, label_smoothing=0.0):
    (_h,) = same(margin)
    refuse_if(beta <= 0 or not 0 <= label_smoothing < 0.5, "settings")
    return (beta * (1 - label_smoothing) - beta * torch.sigmoid(beta * margin)).detach()


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    refuse_if(tau <= 0, tau)
    off = preference_margin(chosen, rejected, ref_chosen, ref_rejected) - 0.5 / tau
    return off @ off / len(off)


def mismatched(count):
    refuse_if(count < 2, count)
    return torch.eye(count).roll(1, dims=1).argmax(dim=1)


def kto_reference_point(logp, ref_logp):
    same(logp, ref_logp)
    return torch.relu((logp - ref_logp).detach().mean())


def kto_loss(logp, ref_logp, desirable, point, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    a, b, _ = same(logp, ref_logp, desirable)
    refuse_if(beta <= 0, beta)
    kinds = torch.stack([desirable, ~desirable]).float()
    gain = beta * (a - b.detach() - float(point))
    cost = torch.stack([desirable_weight * torch.sigmoid(-gain), undesirable_weight * torch.sigmoid(gain)])
    return ((kinds * cost).sum() / len(a)).to(logp.dtype)


def simpo_loss(chosen, rejected, beta=2.0, gamma=0.5):
    a, b = same(chosen, rejected)
    refuse_if(beta <= 0 or gamma < 0, "settings")
    return -logsigmoid(beta * (a - b) - gamma).mean().to(chosen.dtype)


def log_odds(logp):
    refuse_if(bool((logp > 0).any()), "above 0")
    x = logp.double().clamp(max=-torch.finfo(logp.dtype).eps)
    return (x - (-x.expm1()).log()).to(logp.dtype)


def orpo_loss(chosen, rejected, weight=0.1):
    same(chosen, rejected)
    refuse_if(weight < 0, weight)
    return -(chosen + weight * logsigmoid(log_odds(chosen) - log_odds(rejected))).mean()


def rlhf_optimum(ref_logp, rewards, beta):
    refuse_if(ref_logp.dim() == 0 or rewards.shape != ref_logp.shape or beta <= 0, "shapes or beta")
    return (ref_logp.exp() * (rewards / beta).softmax(-1)).log().log_softmax(-1)


def rlhf_objective(logp, ref_logp, rewards, beta):
    refuse_if(logp.dim() == 0 or ref_logp.shape != logp.shape or rewards.shape != logp.shape or beta <= 0, "shapes or beta")
    return torch.einsum("...k,...k->...", logp.exp(), rewards + beta * ref_logp - beta * logp)


def fit_dpo_table(ref_logp, preferences, beta):
    same(ref_logp)
    K = len(ref_logp)
    refuse_if(beta <= 0 or K < 2 or preferences.shape != (K, K), "shapes or beta")
    P = preferences.double() + torch.diag(torch.full((K,), 0.5).double() - preferences.double().diagonal())
    refuse_if(bool(((P <= 0) | (P >= 1)).any()), "certainty")
    u = torch.zeros(K).double()
    for _ in range(20_000):  # plain gradient ascent: a step of 2 / K is short enough for sigmoids
        slope = (P - torch.sigmoid(u[:, None] - u[None, :])).sum(1)
        u = u + 3.0 * slope / K
        if slope.abs().max() < 1e-11:
            break
    return (ref_logp.double() + u / beta).log_softmax(0)


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
