"""A correct solution in another style: softplus, tanh and cross-entropy instead of logsigmoid, closed
forms, and nothing that is computed twice."""

import copy
from itertools import chain

import numpy as np
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, softplus


class Unfit(ValueError):
    def __init__(self, why):
        super().__init__(f"these arguments do not fit: {why}")


def fit(*xs):
    if xs[0].ndim != 1 or not xs[0].numel() or any(x.shape != xs[0].shape for x in xs):
        raise Unfit([tuple(x.shape) for x in xs])


def above(number, low, name):
    if not number > low:
        raise Unfit(f"{name} = {number}")


def collate_pairs(pairs):
    prompts, chosen, rejected = pairs
    if not len(prompts) == len(chosen) == len(rejected) > 0 or not all(chain(prompts, chosen, rejected)):
        raise Unfit("missing or empty entries")
    texts = [x + y for x, y in zip(prompts * 2, chosen + rejected, strict=False)]
    L = max(map(len, texts))
    tokens = torch.tensor([text + [PAD] * (L - len(text)) for text in texts])
    starts = [len(x) for x in prompts * 2]
    mask = torch.tensor([[start <= t < len(text) for t in range(L)] for start, text in zip(starts, texts, strict=False)])
    return Batch(tokens, mask)


def split_pairs(rows):
    if rows.ndim == 0 or len(rows) < 2 or len(rows) & 1:
        raise Unfit("no pairs of rows")
    return tuple(rows.tensor_split(2))


def token_logprobs(model, tokens, attention):
    if tokens.ndim != 2 or tokens.shape != attention.shape:
        raise Unfit("tokens and attention")
    attention = attention.long()
    places = attention.cumsum(1).sub(1).clamp(min=0)
    logits = model(input_ids=tokens, attention_mask=attention, position_ids=places).logits[:, :-1]
    nll = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view(len(tokens), -1)
    out = torch.zeros(tokens.shape, dtype=nll.dtype)
    out[:, 1:] = torch.where((attention[:, 1:] * attention[:, :-1]).bool(), -nll, 0.0)
    return out


def sequence_logprobs(logp, mask, average=False):
    if logp.ndim != 2 or logp.shape != mask.shape:
        raise Unfit("logp and mask")
    counts = mask.long().sum(1)
    if int(counts.min()) == 0:
        raise Unfit("a row without a response")
    pieces = logp[mask.bool()].split(counts.tolist())
    return torch.stack([piece.mean() if average else piece.sum() for piece in pieces])


def pair_logprobs(model, batch, average=False):
    # Two calls: chosen and rejected never meet.
    halves = zip(batch.tokens.tensor_split(2), batch.mask.tensor_split(2), strict=False)
    return tuple(
        sequence_logprobs(token_logprobs(model, t, attention_mask(t, m)), m, average) for t, m in halves
    )


def reference_logprobs(model, batch, average=False):
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.no_grad():
        scores = pair_logprobs(model, batch, average)
    for module, mode in modes.items():
        module.training = mode
    return scores


def implicit_rewards(logp, ref_logp, beta=0.1):
    fit(logp, ref_logp)
    above(beta, 0, "beta")
    return (logp.detach() - ref_logp.detach()).mul(beta)


def preference_margin(chosen, rejected, ref_chosen, ref_rejected):
    fit(chosen, rejected, ref_chosen, ref_rejected)
    return (chosen - ref_chosen.detach()) - (rejected - ref_rejected.detach())


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    above(beta, 0, "beta")
    if label_smoothing < 0 or label_smoothing >= 0.5:
        raise Unfit("label_smoothing")
    x = beta * preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    return binary_cross_entropy_with_logits(x, torch.full_like(x, 1 - label_smoothing))


def dpo_weights(margin, beta=0.1, label_smoothing=0.0):
    fit(margin)
    above(beta, 0, "beta")
    if label_smoothing < 0 or label_smoothing >= 0.5:
        raise Unfit("label_smoothing")
    return beta * (0.5 - 0.5 * torch.tanh(0.5 * beta * margin.detach()) - label_smoothing)


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    above(tau, 0, "tau")
    h = preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    return (h * h - h / tau).mean() + 1 / (4 * tau * tau)


def mismatched(count):
    above(count, 1, "count")
    return torch.remainder(torch.arange(1, count + 1), count)


def kto_reference_point(logp, ref_logp):
    fit(logp, ref_logp)
    mean = (logp.detach() - ref_logp.detach()).mean()
    return torch.maximum(mean, torch.zeros_like(mean))


def kto_loss(logp, ref_logp, desirable, point, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    fit(logp, ref_logp, desirable)
    above(beta, 0, "beta")
    z = point.detach() if hasattr(point, "detach") else point
    up = desirable.to(logp.dtype)
    value = 0.5 + 0.5 * torch.tanh(0.5 * beta * (logp - ref_logp.detach() - z) * (2 * up - 1))
    lam = desirable_weight * up + undesirable_weight * (1 - up)
    return (lam - lam * value).mean()


def simpo_loss(chosen, rejected, beta=2.0, gamma=0.5):
    fit(chosen, rejected)
    above(beta, 0, "beta")
    if gamma < 0:
        raise Unfit("gamma")
    return softplus(gamma + beta * (rejected - chosen), threshold=40).mean()


def log_odds(logp):
    if float(logp.max()) > 0:
        raise Unfit("log-probabilities above 0")
    x = torch.minimum(logp, torch.tensor(-torch.finfo(logp.dtype).eps, dtype=logp.dtype))
    # p / (1 - p) = 1 / (exp(-x) - 1); for tiny p the exponential would overflow, and x is exact.
    middle = x.clamp(min=-30.0)
    return torch.where(x > -30.0, -torch.expm1(-middle).log(), x)


def orpo_loss(chosen, rejected, weight=0.1):
    fit(chosen, rejected)
    if weight < 0:
        raise Unfit("weight")
    return weight * softplus(log_odds(rejected) - log_odds(chosen), threshold=40).mean() - chosen.mean()


def rlhf_optimum(ref_logp, rewards, beta):
    if not ref_logp.ndim or ref_logp.shape != rewards.shape:
        raise Unfit("ref_logp and rewards")
    above(beta, 0, "beta")
    tilted = torch.add(ref_logp, rewards, alpha=1 / beta)
    return tilted - tilted.logsumexp(-1, keepdim=True)


def rlhf_objective(logp, ref_logp, rewards, beta):
    if not logp.ndim or not logp.shape == ref_logp.shape == rewards.shape:
        raise Unfit("logp, ref_logp and rewards")
    above(beta, 0, "beta")
    kl = (logp.exp() * (logp - ref_logp)).sum(-1)
    return (logp.exp() * rewards).sum(-1).sub(kl, alpha=beta)


def fit_dpo_table(ref_logp, preferences, beta):
    fit(ref_logp)
    above(beta, 0, "beta")
    K = ref_logp.numel()
    if K < 2 or tuple(preferences.shape) != (K, K):
        raise Unfit("preferences")
    i, j = (x.flatten() for x in torch.meshgrid(torch.arange(K), torch.arange(K), indexing="ij"))
    i, j = i[i != j], j[i != j]
    p = preferences.double()[i, j]
    if float(p.min()) <= 0 or float(p.max()) >= 1:
        raise Unfit("a certain preference")
    design = torch.zeros(len(i), K).double()
    design[torch.arange(len(i)), i], design[torch.arange(len(i)), j] = 1.0, -1.0
    u = torch.zeros(K).double()
    for _ in range(300):  # iteratively reweighted least squares, damped
        mu = torch.sigmoid(design @ u)
        H = design.T @ (design * (mu * (1 - mu))[:, None]) + 1e-12 * torch.eye(K)
        step = torch.linalg.lstsq(H + torch.ones(K, K) / K, (design.T @ (p - mu))[:, None]).solution[:, 0]
        u = u + step.clamp(-0.7, 0.7)
        if float(step.abs().max()) < 1e-11:
            break
    tilted = ref_logp.double() + u / beta
    return tilted - tilted.logsumexp(0)


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
