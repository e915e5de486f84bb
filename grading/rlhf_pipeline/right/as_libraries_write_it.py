"""A correct solution in another style: distributions, scatter and masked sums, no cache, and
another order of random draws."""

import copy

import torch.nn.functional as F
from torch.distributions import Categorical


def response_mask(tokens, start, eos):
    if tokens.ndim != 2 or not 0 <= start < tokens.shape[1]:
        raise ValueError("tokens must be (B, L), start inside.")
    places = torch.arange(tokens.shape[1])[None, :]
    if eos is None:
        return (places >= start).expand(tokens.shape).clone()
    ends = tokens[:, start:].eq(eos)
    last = torch.where(ends.any(dim=1), ends.long().argmax(dim=1) + start, tokens.shape[1] - 1)
    return (places >= start) & (places <= last[:, None])


@torch.no_grad()
def sample_responses(model, prompts, cfg, generator):
    if cfg.temperature <= 0 or cfg.max_new < 1:
        raise ValueError("temperature and max_new must be above 0.")
    if len(prompts) == 0 or min(len(prompt) for prompt in prompts) == 0:
        raise ValueError("a prompt is missing or empty.")
    width = max(len(prompt) for prompt in prompts)
    total = width + cfg.max_new
    tokens = torch.full((len(prompts), total), cfg.pad)
    attention = torch.zeros(len(prompts), total, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) : width] = torch.as_tensor(prompt)
        attention[row, width - len(prompt) : width] = True
    mask = torch.zeros_like(attention)
    running = torch.ones(len(prompts), dtype=torch.bool)
    for t in range(width, total):
        if not running.any():
            break
        out = model(
            input_ids=tokens[:, :t],
            attention_mask=attention[:, :t].long(),
            position_ids=positions(attention[:, :t]),
        )
        logits = out.logits[:, -1] / cfg.temperature
        # The largest of logits plus Gumbel noise is a draw from the softmax.
        noise = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
        drawn = (logits - (-noise.log()).log()).argmax(dim=-1)
        tokens[running, t] = drawn[running]
        attention[:, t] = mask[:, t] = running
        if cfg.eos is not None:
            running = running & (drawn != cfg.eos)
    return Samples(tokens, attention, mask)


def positions(attention):
    if attention.ndim != 2:
        raise ValueError("attention must be (B, L).")
    seen = attention.int()
    return ((seen.cumsum(1) - seen) * seen).long()


def _past(attention):
    past = torch.zeros_like(attention, dtype=torch.bool)
    past[:, 1:] = attention[:, 1:].bool() & attention[:, :-1].bool()
    return past


def score_tokens(model, tokens, attention, temperature=1.0):
    if tokens.shape != attention.shape or tokens.ndim != 2 or not temperature > 0:
        raise ValueError("shapes or temperature are wrong.")
    logits = model(
        input_ids=tokens, attention_mask=attention.long(), position_ids=positions(attention)
    ).logits
    before = Categorical(logits=logits.roll(1, dims=1) / temperature)
    past = _past(attention)
    zero = logits.new_zeros(())
    return Scores(
        torch.where(past, before.log_prob(tokens), zero), torch.where(past, before.entropy(), zero)
    )


def token_values(critic, tokens, attention):
    if tokens.shape != attention.shape or tokens.ndim != 2:
        raise ValueError("the shapes differ.")
    numbers = critic(
        input_ids=tokens, attention_mask=attention.long(), position_ids=positions(attention)
    )
    return torch.where(_past(attention), numbers.roll(1, dims=1), numbers.new_zeros(()))


def make_reference(policy):
    updates = [p for name, p in policy.named_parameters() if name.split(".")[-1] == "B"]
    if updates and not any(p.abs().sum() > 0 for p in updates):
        return None
    twin = copy.deepcopy(policy)
    for parameter in twin.parameters():
        parameter.requires_grad = False
    twin.train(False)
    return twin


@torch.no_grad()
def reference_logprobs(policy, reference, tokens, attention, temperature=1.0):
    if reference is not None:
        return score_tokens(reference, tokens, attention, temperature).logp
    switches = {module: module.on for module in policy.modules() if hasattr(module, "on")}
    for module in switches:
        module.on = False
    try:
        return score_tokens(policy, tokens, attention, temperature).logp
    finally:
        for module, state in switches.items():
            module.on = state


def penalise_missing_ends(scores, tokens, mask, eos, penalty):
    if tokens.shape != mask.shape or scores.shape != tokens.shape[:1] or penalty < 0:
        raise ValueError("shapes or penalty are wrong.")
    scores = scores.detach()
    if eos is None:
        return scores
    last = (mask.long().cumsum(1)).argmax(1)
    stopped = tokens[torch.arange(len(tokens)), last] == eos
    return torch.where(stopped, scores, scores - penalty)


@torch.no_grad()
def token_rewards(scores, logp, ref_logp, mask, beta):
    mask = mask.bool()
    if not (logp.shape == ref_logp.shape == mask.shape) or scores.shape != logp.shape[:1]:
        raise ValueError("the shapes differ.")
    if beta < 0 or mask.sum(1).min() == 0:
        raise ValueError("beta is negative, or a response is empty.")
    rewards = torch.where(mask, beta * (ref_logp - logp), torch.zeros_like(logp))
    last = mask.long().cumsum(1).argmax(1, keepdim=True)
    return rewards.scatter_add(1, last, scores[:, None].to(rewards.dtype))


@torch.no_grad()
def masked_whiten(x, mask, shift_mean=True, eps=1e-8):
    if x.shape != mask.shape or x.ndim != 2 or mask.sum() == 0:
        raise ValueError("nothing to whiten.")
    mask = mask.bool()
    n = mask.sum()
    clean = torch.where(mask, x, torch.zeros_like(x))
    mean = clean.sum() / n
    variance = torch.where(mask, (clean - mean) ** 2, torch.zeros_like(x)).sum() / n
    out = (clean - mean) / (variance.sqrt() + eps)
    if not shift_mean:
        out = out + mean
    return torch.where(mask, out, torch.zeros_like(x))


@torch.no_grad()
def token_gae(rewards, values, mask, gamma, lam):
    if not (rewards.shape == values.shape == mask.shape) or rewards.ndim != 2:
        raise ValueError("the shapes differ.")
    if not 0 <= gamma <= 1 or not 0 <= lam <= 1:
        raise ValueError("gamma and lam must lie in [0, 1].")
    mask = mask.bool()
    zero = torch.zeros_like(rewards)
    r, v = torch.where(mask, rewards, zero), torch.where(mask, values, zero)
    delta = torch.where(mask, r + gamma * F.pad(v, (0, 1))[:, 1:] - v, zero)
    columns = [torch.zeros(len(r), dtype=r.dtype)]
    for column in delta.unbind(1)[::-1]:
        columns.append(column + gamma * lam * columns[-1])
    adv = torch.where(mask, torch.stack(columns[:0:-1], dim=1), zero)
    return Advantages(adv, adv + v)


def ppo_loss(scores, values, batch, cfg):
    mask = batch.mask.bool()
    if mask.sum() == 0 or any(x.shape != mask.shape for x in (*scores, values, *batch)):
        raise ValueError("nothing to learn from, or shapes that differ.")

    def clean(x):
        return torch.where(mask, x, torch.zeros_like(x))

    def mean(x):
        return (x * mask).sum() / mask.sum()

    move = clean(scores.logp) - clean(batch.old_logp.detach())
    ratio = torch.exp(move)
    adv = clean(batch.advantages.detach())
    policy_loss = mean(torch.max(-adv * ratio, -adv * torch.clamp(ratio, 1 - cfg.clip, 1 + cfg.clip)))
    v, old, target = clean(values), clean(batch.old_values.detach()), clean(batch.returns.detach())
    loss_v = (v - target) ** 2
    if cfg.value_clip is not None:
        near = torch.min(torch.max(v, old - cfg.value_clip), old + cfg.value_clip)
        loss_v = torch.max(loss_v, (near - target) ** 2)
    value_loss = mean(loss_v) / 2
    entropy = mean(clean(scores.entropy))
    total = policy_loss + cfg.value_coef * value_loss - cfg.entropy_coef * entropy
    far = (ratio > 1 + cfg.clip) | (ratio < 1 - cfg.clip)
    report = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "clip_fraction": mean(far.float()),
        "approx_kl": mean(ratio - 1 - move),
        "ratio_mean": mean(ratio),
    }
    return total, {name: x.item() for name, x in report.items()}


def ppo_update_(policy, critic, optimizer, batch, cfg):
    for model in (policy, critic):
        model.train(False)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = None
    loss, metrics = ppo_loss(
        score_tokens(policy, batch.tokens, batch.attention, cfg.temperature),
        token_values(critic, batch.tokens, batch.attention),
        batch,
        cfg,
    )
    loss.backward()
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = torch.stack([g.norm() for g in grads]).norm()
    if norm > cfg.grad_norm:
        for g in grads:
            g.mul_(cfg.grad_norm / norm)
    optimizer.step()
    metrics["loss"] = loss.item()
    return metrics


@torch.no_grad()
def collect(policy, critic, reference, score, prompts, cfg, generator):
    for model in (policy, critic, reference):
        if model is not None:
            model.eval()
    samples = sample_responses(policy, prompts, cfg, generator)
    where = samples.tokens, samples.attention
    logp = score_tokens(policy, *where, cfg.temperature).logp
    ref = reference_logprobs(policy, reference, *where, cfg.temperature)
    values = token_values(critic, *where)
    raw = torch.as_tensor(score(*where)).to(logp)
    final = penalise_missing_ends(raw, samples.tokens, samples.mask, cfg.eos, cfg.missing_eos_penalty)
    plain = token_rewards(final, logp, ref, samples.mask, cfg.beta)
    rewards = masked_whiten(plain, samples.mask, False) if cfg.whiten_rewards else plain
    adv, returns = token_gae(rewards, values, samples.mask, cfg.gamma, cfg.lam)
    n = samples.mask.sum(1)
    last = samples.tokens.gather(1, samples.mask.long().cumsum(1).argmax(1, keepdim=True))
    report = {
        "score": raw.mean().item(),
        "kl": ((logp - ref) * samples.mask).sum().item() / len(raw),
        "reward": plain.sum().item() / len(raw),
        "length": n.float().mean().item(),
        "ended": 0.0 if cfg.eos is None else (last == cfg.eos).float().mean().item(),
    }
    return Batch(*samples, logp, values, masked_whiten(adv, samples.mask), returns), report


def train_ppo(policy, score, prompts, cfg, seed):
    if not prompts:
        raise ValueError("prompts are missing.")
    rng = torch.Generator()
    rng.manual_seed(seed + 1)
    actor, reference, critic = copy.deepcopy(policy), make_reference(policy), scalar_model(policy)
    parameters = [p for m in (actor, critic) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=cfg.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 - i / cfg.iterations)
    rows = []
    for _ in range(cfg.iterations):
        picks = torch.multinomial(torch.ones(len(prompts)), cfg.batch_size, True, generator=rng)
        batch, report = collect(actor, critic, reference, score, [prompts[i] for i in picks], cfg, rng)
        clipped = []
        for _ in range(cfg.epochs):
            mixed = torch.rand(cfg.batch_size, generator=rng).argsort()
            for part in torch.tensor_split(mixed, cfg.minibatches):
                piece = Batch._make(x[part] for x in batch)
                clipped.append(ppo_update_(actor, critic, optimizer, piece, cfg)["clip_fraction"])
        schedule.step()
        rows.append(report | {"clip_fraction": sum(clipped) / len(clipped)})
    return Result(actor.eval(), {name: [row[name] for row in rows] for name in rows[0]})


def last_scores(model, tokens, attention):
    if tokens.shape != attention.shape or tokens.ndim != 2 or attention.sum(1).min() == 0:
        raise ValueError("a row is empty, or the shapes differ.")
    numbers = model(
        input_ids=tokens, attention_mask=attention.long(), position_ids=positions(attention)
    )
    last = attention.long().cumsum(1).argmax(1)
    return numbers[torch.arange(len(numbers)), last]


def fit_reward_model_(model, chosen, rejected, cfg, generator):
    n = len(chosen.tokens)
    if n == 0 or n != len(rejected.tokens):
        raise ValueError("pairs are missing.")
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.stage_lr)
    history = []
    for _ in range(cfg.reward_steps):
        pick = torch.multinomial(torch.ones(n), cfg.stage_batch, True, generator=generator)
        tokens = torch.cat([chosen.tokens[pick], rejected.tokens[pick]])
        attention = torch.cat([chosen.attention[pick], rejected.attention[pick]])
        good, bad = last_scores(model, tokens, attention).chunk(2)
        loss = F.softplus(bad - good).mean()
        model.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


def train_rlhf(base, demonstrations, judge, prompts, cfg, seed):
    rng = torch.Generator().manual_seed(seed)
    imitator = copy.deepcopy(base)
    imitator.eval()
    fit_sft_(imitator, demonstrations, cfg, rng)
    asked = [prompts[int(torch.randint(len(prompts), (), generator=rng))] for _ in range(cfg.pairs)]
    samples = sample_responses(imitator, asked + asked, cfg, rng)
    utility = judge(samples)
    one, two = utility[: cfg.pairs], utility[cfg.pairs :]
    first = torch.bernoulli(torch.sigmoid((one - two).double()), generator=rng).bool()
    index = torch.arange(cfg.pairs)
    chosen = Samples._make(x[index + cfg.pairs * (~first)] for x in samples)
    rejected = Samples._make(x[index + cfg.pairs * first] for x in samples)
    model = scalar_model(imitator)
    fit_reward_model_(model, chosen, rejected, cfg, rng)
    score = torch.no_grad()(lambda tokens, attention: last_scores(model, tokens, attention))
    return Stages(imitator, model, train_ppo(imitator, score, prompts, cfg, seed))


def all_responses(vocabulary, length):
    if vocabulary < 1 or length < 1:
        raise ValueError("both must be at least 1.")
    numbers = torch.arange(vocabulary**length)
    return torch.stack([numbers // vocabulary ** (length - 1 - k) % vocabulary for k in range(length)], 1)


def response_logprobs(model, prompt, responses, temperature=1.0):
    tokens = F.pad(responses, (len(prompt), 0))
    tokens[:, : len(prompt)] = torch.as_tensor(prompt)
    scores = score_tokens(model, tokens, torch.ones_like(tokens).bool(), temperature)
    return scores.logp[:, -responses.shape[1] :].sum(-1)


def rlhf_optimum(ref_logp, rewards, beta):
    if ref_logp.ndim != 1 or ref_logp.shape != rewards.shape or not beta > 0:
        raise ValueError("(N,) twice, and beta above 0.")
    tilted = ref_logp + rewards / beta
    return tilted - torch.logsumexp(tilted, 0)


def rlhf_objective(logp, ref_logp, rewards, beta):
    if logp.ndim != 1 or logp.shape != ref_logp.shape or logp.shape != rewards.shape or beta < 0:
        raise ValueError("(N,) three times, and beta at least 0.")
    p = logp.exp()
    return p @ rewards - beta * (p @ logp - p @ ref_logp)


def combine_scores(scores, weights):
    if scores.ndim != 2 or weights.ndim != 1 or len(weights) != scores.shape[1]:
        raise ValueError("(B, K) and (K,).")
    return torch.einsum("bk,k->b", scores, weights)


def lagrangian_step(multiplier, costs, limit, lr):
    if multiplier < 0 or costs.ndim != 1 or costs.numel() == 0 or lr <= 0:
        raise ValueError("an argument is impossible.")
    return torch.relu(multiplier + lr * (costs - limit).mean()).item()


def pareto_front(points):
    if points.ndim != 2:
        raise ValueError("points must be (n, K).")
    beats = (points[:, None] >= points[None]).all(-1) & (points[:, None] != points[None]).any(-1)
    return ~beats.any(0)
