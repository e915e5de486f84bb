"""A correct solution in another style: labels of -100, cross-entropy, and one table of losses, as the
large libraries have it."""

import copy

from torch.nn.functional import cross_entropy, logsigmoid, pad

IGNORE = -100


def check(*logps, beta=1.0):
    shapes = {tuple(x.shape) for x in logps}
    if len(shapes) != 1 or logps[0].dim() != 1 or not logps[0].numel():
        raise ValueError(f"shapes {shapes} do not fit")
    if not beta > 0:
        raise ValueError("the temperature must be positive")


def collate_pairs(pairs):
    if not pairs.prompts or len({len(column) for column in pairs}) != 1:
        raise ValueError("columns of one length are needed")
    if min(len(entry) for column in pairs for entry in column) == 0:
        raise ValueError("an entry without tokens")
    rows = [torch.tensor(x + y) for side in pairs[1:] for x, y in zip(pairs.prompts, side, strict=True)]
    labels = [torch.tensor([IGNORE] * len(x) + y) for side in pairs[1:] for x, y in zip(pairs.prompts, side, strict=True)]
    stack = torch.nn.utils.rnn.pad_sequence
    tokens = stack(rows, batch_first=True, padding_value=PAD)
    return Batch(tokens, stack(labels, batch_first=True, padding_value=IGNORE) != IGNORE)


def split_pairs(rows):
    if rows.dim() == 0 or rows.shape[0] < 2 or rows.shape[0] % 2 == 1:
        raise ValueError("these rows are no pairs")
    return rows.chunk(2)


def token_logprobs(model, tokens, attention):
    if tokens.dim() != 2 or tokens.shape != attention.shape:
        raise ValueError("(B, L) for both, please")
    real = attention.to(torch.long)
    places = (real.cumsum(-1) - 1).masked_fill(real == 0, 1)
    logits = model(input_ids=tokens, attention_mask=real, position_ids=places).logits
    labels = tokens.masked_fill(real == 0, IGNORE)
    labels[:, 1:].masked_fill_(real[:, :-1] == 0, IGNORE)
    nll = cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=IGNORE, reduction="none")
    return pad(-nll, (1, 0))


def sequence_logprobs(logp, mask, average=False):
    if logp.dim() != 2 or logp.shape != mask.shape:
        raise ValueError("(B, L) for both, please")
    keep = mask == 1
    lengths = keep.sum(-1)
    if (lengths == 0).any():
        raise ValueError("a response has been cut away")
    total = torch.where(keep, logp, torch.zeros_like(logp)).sum(-1)
    return total / lengths if average else total


def pair_logprobs(model, batch, average=False):
    logp = token_logprobs(model, batch.tokens, attention_mask(batch.tokens, batch.mask))
    return tuple(split_pairs(sequence_logprobs(logp, batch.mask, average)))


def reference_logprobs(model, batch, average=False):
    mode = model.training
    model.eval()
    with torch.inference_mode():
        found = pair_logprobs(model, batch, average)
    model.train(mode)
    return tuple(x.clone() for x in found)


def implicit_rewards(logp, ref_logp, beta=0.1):
    check(logp, ref_logp, beta=beta)
    with torch.no_grad():
        return beta * (logp - ref_logp)


def preference_margin(chosen, rejected, ref_chosen, ref_rejected):
    check(chosen, rejected, ref_chosen, ref_rejected)
    pi_logratios = chosen - rejected
    with torch.no_grad():
        ref_logratios = ref_chosen - ref_rejected
    return pi_logratios - ref_logratios


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    if not 0 <= label_smoothing < 0.5 or not beta > 0:
        raise ValueError("smoothing in [0, 0.5), beta above 0")
    logits = beta * preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    losses = -logsigmoid(logits) * (1 - label_smoothing) - logsigmoid(-logits) * label_smoothing
    return losses.mean()


def dpo_weights(margin, beta=0.1, label_smoothing=0.0):
    check(margin, beta=beta)
    if not 0 <= label_smoothing < 0.5:
        raise ValueError("smoothing in [0, 0.5)")
    h = margin.detach().clone().requires_grad_()
    zeros = torch.zeros_like(margin)
    (slope,) = torch.autograd.grad(dpo_loss(h, zeros, zeros, zeros, beta, label_smoothing), h)
    return -slope * len(margin)


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    if not tau > 0:
        raise ValueError("tau above 0")
    logits = preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    return torch.nn.functional.mse_loss(logits, torch.full_like(logits, 1 / (2 * tau)))


def mismatched(count):
    if count < 2:
        raise ValueError("a batch of one has no mismatched pair")
    return torch.arange(count).roll(-1)


def kto_reference_point(logp, ref_logp):
    check(logp, ref_logp)
    return (logp - ref_logp).mean().clamp(min=0).detach()


def kto_loss(logp, ref_logp, desirable, point, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    check(logp, ref_logp, desirable, beta=beta)
    ratios = logp - ref_logp.detach()
    if isinstance(point, torch.Tensor):
        point = point.detach()
    chosen_losses = 1 - torch.sigmoid(beta * (ratios[desirable] - point))
    rejected_losses = 1 - torch.sigmoid(beta * (point - ratios[~desirable]))
    return torch.cat([desirable_weight * chosen_losses, undesirable_weight * rejected_losses]).mean()


def simpo_loss(chosen, rejected, beta=2.0, gamma=0.5):
    check(chosen, rejected, beta=beta)
    if gamma < 0:
        raise ValueError("gamma is negative")
    return -logsigmoid(beta * (chosen - rejected - gamma / beta)).mean()


def log_odds(logp):
    if (logp > 0).any():
        raise ValueError("above 0")
    x = logp.clamp(max=-torch.finfo(logp.dtype).eps)
    near = x > -0.6931
    return x - torch.where(
        near, torch.log(-torch.expm1(torch.where(near, x, -1.0))), torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    )


def orpo_loss(chosen, rejected, weight=0.1):
    check(chosen, rejected)
    if weight < 0:
        raise ValueError("weight is negative")
    ratio = logsigmoid(log_odds(chosen) - log_odds(rejected))
    return -chosen.mean() - (weight * ratio).mean()


def rlhf_optimum(ref_logp, rewards, beta):
    if ref_logp.dim() == 0 or ref_logp.shape != rewards.shape or not beta > 0:
        raise ValueError("tables of one shape and a positive beta, please")
    weights = ref_logp.exp() * ((rewards - rewards.amax(-1, keepdim=True)) / beta).exp()
    return (weights / weights.sum(-1, keepdim=True)).log()


def rlhf_objective(logp, ref_logp, rewards, beta):
    if logp.dim() == 0 or len({logp.shape, ref_logp.shape, rewards.shape}) > 1 or not beta > 0:
        raise ValueError("tables of one shape and a positive beta, please")
    divergence = torch.nn.functional.kl_div(ref_logp, logp, reduction="none", log_target=True).sum(-1)
    return torch.einsum("...k,...k->...", logp.exp(), rewards) - beta * divergence


def fit_dpo_table(ref_logp, preferences, beta):
    check(ref_logp, beta=beta)
    K = ref_logp.shape[0]
    if K < 2 or tuple(preferences.shape) != (K, K):
        raise ValueError("a square table, please")
    i, j = torch.triu_indices(K, K, 1)
    p = preferences.double()[i, j]
    if ((p <= 0) | (p >= 1)).any():
        raise ValueError("a certain preference has no finite fit")
    logits = ref_logp.detach().double().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logits], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        ratio = beta * (logits - ref_logp.double())
        h = ratio[i] - ratio[j]
        loss = -(p * logsigmoid(h) + (1 - p) * logsigmoid(-h)).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return logits.detach().log_softmax(0)


def everything(model, batch, average, frozen):
    return reference_logprobs(model, batch, average) if frozen else pair_logprobs(model, batch, average)


def preference_update_(policy, reference, optimizer, pairs, cfg):
    average = {"dpo": False, "kto": False, "ipo": True, "simpo": True, "orpo": True}[cfg.loss]
    batch = collate_pairs(pairs)
    chosen, rejected = everything(policy, batch, average, False)
    if cfg.loss in {"simpo", "orpo"}:
        ref = [torch.zeros_like(chosen), torch.zeros_like(rejected)]
    else:
        ref = everything(reference, batch, average, True)
    if cfg.loss == "kto":
        order = mismatched(len(pairs.prompts)).tolist()
        kl = collate_pairs(Pairs(pairs.prompts, *([side[k] for k in order] for side in pairs[1:])))
        mode = policy.training
        with torch.no_grad():
            here = torch.cat(pair_logprobs(policy, kl))
        policy.train(mode)
        point = kto_reference_point(here, torch.cat(reference_logprobs(reference, kl)))
        n = chosen.shape[0]
        flags = torch.tensor([1, 0]).repeat_interleave(n).bool()
        loss = kto_loss(torch.cat((chosen, rejected)), torch.cat(tuple(ref)), flags, point, cfg.beta, cfg.desirable_weight, cfg.undesirable_weight)
    else:
        loss = {
            "dpo": lambda: dpo_loss(chosen, rejected, *ref, cfg.beta, cfg.label_smoothing),
            "ipo": lambda: ipo_loss(chosen, rejected, *ref, cfg.beta),
            "simpo": lambda: simpo_loss(chosen, rejected, cfg.beta, cfg.gamma),
            "orpo": lambda: orpo_loss(chosen, rejected, cfg.beta),
        }[cfg.loss]()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), max_norm=cfg.grad_norm)
    optimizer.step()
    rewards = [implicit_rewards(x.detach(), r, cfg.beta) for x, r in zip((chosen, rejected), ref, strict=True)]
    lead = rewards[0] - rewards[1]
    return {
        "loss": loss.item(), "accuracy": ((lead.sign() + 1) / 2).mean().item(), "margin": lead.mean().item(),
        "chosen_logp": chosen.mean().item(), "rejected_logp": rejected.mean().item(),
    }


def train_preferences(policy, pairs, cfg, seed):
    count = len(pairs.prompts)
    if cfg.steps < 1 or cfg.batch_size < 1 or cfg.batch_size > count:
        raise ValueError("no step can be made")
    model = copy.deepcopy(policy)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    loader = torch.utils.data.DataLoader(
        range(count), batch_size=cfg.batch_size, shuffle=True, drop_last=True,
        generator=torch.Generator().manual_seed(seed), collate_fn=list,
    )
    log = {}
    done = 0
    while done < cfg.steps:
        for rows in loader:
            part = Pairs(*([side[k] for k in rows] for side in pairs))
            for key, value in preference_update_(model, policy, optimizer, part, cfg).items():
                log.setdefault(key, []).append(value)
            done += 1
            if done == cfg.steps:
                break
    return Result(model, log)
