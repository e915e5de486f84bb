"""A correct solution in another style: rows and lists one by one, no padding inside the model, and
single precision where it is allowed."""

import contextlib
import copy
import math


def response_mask(tokens, start, eos):
    if tokens.ndim != 2 or start < 0 or start >= tokens.shape[1]:
        raise ValueError("tokens must be (B, L), start inside.")
    rows = []
    for row in tokens.tolist():
        inside, open_ = [], True
        for place, token in enumerate(row):
            inside.append(place >= start and open_)
            if place >= start and token == eos:
                open_ = False
        rows.append(inside)
    return torch.tensor(rows)


def sample_responses(model, prompts, cfg, generator):
    if cfg.temperature <= 0 or cfg.max_new <= 0 or not prompts or [] in [list(p) for p in prompts]:
        raise ValueError("something is missing.")
    groups = {}
    for row, prompt in enumerate(prompts):
        groups.setdefault(len(prompt), []).append(row)
    width = max(groups)
    tokens = torch.full((len(prompts), width + cfg.max_new), cfg.pad)
    attention = torch.zeros(tokens.shape, dtype=torch.bool)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    for length, rows in groups.items():
        said = torch.tensor([list(prompts[row]) for row in rows])
        for _ in range(cfg.max_new):
            with torch.no_grad():
                logits = model(input_ids=said).logits[:, -1]
            p = (logits / cfg.temperature).softmax(-1).cumsum(-1)
            u = torch.rand(len(rows), 1, generator=generator, dtype=p.dtype) * p[:, -1:]
            drawn = (p <= u).sum(dim=1, keepdim=True)
            said = torch.cat([said, drawn], dim=1)
        for row, line in zip(rows, said.tolist(), strict=True):
            response = line[length:]
            if cfg.eos in response:
                response = response[: response.index(cfg.eos) + 1]
            first, last = width - length, width + len(response)
            tokens[row, first:last] = torch.tensor(line[:length] + response)
            attention[row, first:last] = True
            mask[row, width:last] = True
    return Samples(tokens, attention, mask)


def positions(attention):
    if attention.ndim != 2:
        raise ValueError("attention must be (B, L).")
    found = torch.zeros(attention.shape, dtype=torch.long)
    for row, real in enumerate(attention.bool()):
        found[row, real] = torch.arange(int(real.sum()))
    return found


def _groups(tokens, attention):
    if tokens.ndim != 2 or tokens.shape != attention.shape:
        raise ValueError("tokens and attention must be (B, L).")
    sizes = {}
    for row, count in enumerate(attention.bool().sum(dim=1).tolist()):
        sizes.setdefault(count, []).append(row)
    for members in sizes.values():
        rows = torch.tensor(members)[:, None]
        places = torch.stack([attention[row].bool().nonzero().flatten() for row in members])
        yield rows, places, tokens[rows, places]


def score_tokens(model, tokens, attention, temperature=1.0):
    if temperature <= 0:
        raise ValueError("the temperature must be above 0.")
    logp = entropy = torch.zeros(tokens.shape, dtype=next(iter(model.parameters())).dtype)
    for rows, places, ids in _groups(tokens, attention):
        table = torch.log_softmax(model(input_ids=ids).logits[:, :-1] / temperature, dim=-1)
        picked = table.gather(2, ids[:, 1:, None]).squeeze(2)
        logp = logp.index_put((rows, places[:, 1:]), picked)
        entropy = entropy.index_put((rows, places[:, 1:]), -(table.exp() * table).sum(-1))
    return Scores(logp, entropy)


def _numbers(model, ids):
    whole = torch.ones_like(ids)
    return model(input_ids=ids, attention_mask=whole, position_ids=whole.cumsum(1) - 1)


def token_values(critic, tokens, attention):
    found = torch.zeros(tokens.shape, dtype=next(iter(critic.parameters())).dtype)
    for rows, places, ids in _groups(tokens, attention):
        found = found.index_put((rows, places[:, 1:]), _numbers(critic, ids)[:, :-1])
    return found


def penalise_missing_ends(scores, tokens, mask, eos, penalty):
    if tokens.shape != mask.shape or scores.shape != (len(tokens),) or penalty < 0:
        raise ValueError("something does not fit.")
    out = scores.detach().clone()
    for row in range(len(tokens)):
        response = tokens[row][mask[row].bool()].tolist()
        if eos is not None and response[-1:] != [eos]:
            out[row] -= penalty
    return out


def token_rewards(scores, logp, ref_logp, mask, beta):
    if logp.ndim != 2 or logp.shape != ref_logp.shape or logp.shape != mask.shape:
        raise ValueError("the shapes differ.")
    if scores.shape != (len(logp),) or beta < 0:
        raise ValueError("scores must be (B,), beta at least 0.")
    out = torch.zeros_like(logp).detach()
    for row in range(len(out)):
        places = [t for t in range(out.shape[1]) if mask[row, t]]
        if not places:
            raise ValueError("a response is empty.")
        for t in places:
            out[row, t] = -beta * (float(logp[row, t].detach()) - float(ref_logp[row, t].detach()))
        out[row, places[-1]] += float(scores[row])
    return out


def masked_whiten(x, mask, shift_mean=True, eps=1e-8):
    if x.ndim != 2 or x.shape != mask.shape:
        raise ValueError("the shapes differ.")
    chosen = x[mask.bool()].tolist()
    if not chosen:
        raise ValueError("nothing is valid.")
    mean = sum(chosen) / len(chosen)
    deviation = math.sqrt(sum((y - mean) ** 2 for y in chosen) / len(chosen))
    back = 0.0 if shift_mean else mean
    out = torch.zeros(x.shape, dtype=torch.float32)
    out[mask.bool()] = torch.tensor([(y - mean) / (deviation + eps) + back for y in chosen])
    return out.to(x.dtype)


def token_gae(rewards, values, mask, gamma, lam):
    if rewards.ndim != 2 or rewards.shape != values.shape or rewards.shape != mask.shape:
        raise ValueError("the shapes differ.")
    if min(gamma, lam) < 0 or max(gamma, lam) > 1:
        raise ValueError("gamma and lam must lie in [0, 1].")
    adv, returns = torch.zeros_like(rewards).detach(), torch.zeros_like(rewards).detach()
    for row in range(len(rewards)):
        places = mask[row].nonzero().flatten().tolist()
        for i, t in enumerate(places):
            weight, total = 1.0, 0.0
            for j in range(i, len(places)):
                after = float(values[row, places[j + 1]]) if j + 1 < len(places) else 0.0
                here = places[j]
                total += weight * (float(rewards[row, here]) + gamma * after - float(values[row, here]))
                weight *= gamma * lam
            adv[row, t], returns[row, t] = total, total + float(values[row, t])
    return Advantages(adv, returns)


def all_responses(vocabulary, length):
    if vocabulary < 1 or length < 1:
        raise ValueError("both must be at least 1.")
    rows = [[]]
    for _ in range(length):
        rows = [[*row, token] for row in rows for token in range(vocabulary)]
    return torch.tensor(rows)


def response_logprobs(model, prompt, responses, temperature=1.0):
    sums = []
    for response in responses.tolist():
        ids = torch.tensor([[*prompt, *response]])
        table = (model(input_ids=ids).logits[0] / temperature).log_softmax(-1)
        start = len(prompt)
        sums.append(sum(table[start + k - 1, token] for k, token in enumerate(response)))
    return torch.stack(sums)


def rlhf_optimum(ref_logp, rewards, beta):
    if ref_logp.ndim != 1 or len(ref_logp) != len(rewards) or rewards.ndim != 1 or beta <= 0:
        raise ValueError("(N,) twice, and beta above 0.")
    tilted = [p + r / beta for p, r in zip(ref_logp.tolist(), rewards.tolist(), strict=True)]
    top = max(tilted)
    log_z = top + math.log(sum(math.exp(x - top) for x in tilted))
    return torch.tensor([x - log_z for x in tilted], dtype=ref_logp.dtype)


def combine_scores(scores, weights):
    if scores.ndim != 2 or list(weights.shape) != [scores.shape[1]]:
        raise ValueError("(B, K) and (K,).")
    total = torch.zeros(len(scores), dtype=scores.dtype)
    for column, weight in zip(scores.T, weights, strict=True):
        total = total + weight * column
    return total


def lagrangian_step(multiplier, costs, limit, lr):
    if multiplier < 0 or lr <= 0 or costs.ndim != 1 or not costs.tolist():
        raise ValueError("an argument is impossible.")
    excess = sum(costs.tolist()) / len(costs) - limit
    return float(multiplier + lr * excess) if multiplier + lr * excess > 0 else 0.0


def pareto_front(points):
    if points.ndim != 2:
        raise ValueError("points must be (n, K).")
    rows = points.tolist()

    def beats(a, b):
        return a != b and all(x >= y for x, y in zip(a, b, strict=True))

    return torch.tensor([not any(beats(other, row) for other in rows) for row in rows])


def make_reference(policy):
    layers = [x for x in policy.modules() if type(x).__name__ == "LoRA"]
    touched = any(number != 0 for layer in layers for number in layer.B.detach().flatten().tolist())
    if layers and not touched:
        return None
    frozen = copy.deepcopy(policy).eval()
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    return frozen


@contextlib.contextmanager
def adapters_off(policy):
    layers = [x for x in policy.modules() if isinstance(x, LoRA)]
    were = [layer.on for layer in layers]
    try:
        for layer in layers:
            layer.on = False
        yield policy
    finally:
        for layer, state in zip(layers, were, strict=True):
            layer.on = state


def reference_logprobs(policy, reference, tokens, attention, temperature=1.0):
    held = adapters_off(policy) if reference is None else contextlib.nullcontext(reference)
    with held as model:
        return score_tokens(model, tokens, attention, temperature).logp.detach()


def ppo_loss(scores, values, batch, cfg):
    if any(x.shape != batch.mask.shape for x in (*scores, values, *batch)) or batch.mask.ndim != 2:
        raise ValueError("shapes differ.")
    gains, errors, entropies, ratios, moves = [], [], [], [], []
    for row, place in batch.mask.nonzero().tolist():
        move = scores.logp[row, place] - batch.old_logp[row, place].detach()
        adv = float(batch.advantages[row, place])
        ratio = move.exp()
        inside = ratio.clamp(1 - cfg.clip, 1 + cfg.clip)
        gains.append(ratio * adv if float((ratio * adv).detach()) <= float((inside * adv).detach()) else inside * adv)
        value, goal = values[row, place], float(batch.returns[row, place])
        error = (value - goal) ** 2
        if cfg.value_clip is not None:
            old = float(batch.old_values[row, place])
            held = value.clamp(old - cfg.value_clip, old + cfg.value_clip)
            error = max(error, (held - goal) ** 2, key=lambda x: float(x.detach()))
        errors.append(error)
        entropies.append(scores.entropy[row, place])
        ratios.append(float(ratio.detach()))
        moves.append(float(move.detach()))
    n = len(gains)
    if n == 0:
        raise ValueError("no token.")
    policy_loss, value_loss, entropy = -sum(gains) / n, sum(errors) / n / 2, sum(entropies) / n
    metrics = {
        "policy_loss": float(policy_loss.detach()),
        "value_loss": float(value_loss.detach()),
        "entropy": float(entropy.detach()),
        "clip_fraction": sum(not 1 - cfg.clip <= r <= 1 + cfg.clip for r in ratios) / n,
        "approx_kl": sum(r - 1 - m for r, m in zip(ratios, moves, strict=True)) / n,
        "ratio_mean": sum(ratios) / n,
    }
    loss = policy_loss + cfg.value_coef * value_loss - cfg.entropy_coef * entropy
    return loss, metrics


def ppo_update_(policy, critic, optimizer, batch, cfg):
    policy.eval()
    critic.eval()
    scores = score_tokens(policy, batch.tokens, batch.attention, cfg.temperature)
    values = token_values(critic, batch.tokens, batch.attention)
    loss, metrics = ppo_loss(scores, values, batch, cfg)
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    learning = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(learning, max_norm=cfg.grad_norm)
    optimizer.step()
    return {"loss": float(loss.detach()), **metrics}


def collect(policy, critic, reference, score, prompts, cfg, generator):
    for model in filter(None.__ne__, (policy, critic, reference)):
        model.eval()
    samples = sample_responses(policy, prompts, cfg, generator)
    tokens, attention, mask = samples
    logp = score_tokens(policy, tokens, attention, cfg.temperature).logp.detach()
    values = token_values(critic, tokens, attention).detach()
    ref = reference_logprobs(policy, reference, tokens, attention, cfg.temperature)
    scores = score(tokens, attention).detach().to(logp.dtype)
    final = penalise_missing_ends(scores, tokens, mask, cfg.eos, cfg.missing_eos_penalty)
    rewards = token_rewards(final, logp, ref, mask, cfg.beta)
    whole = rewards
    if cfg.whiten_rewards:
        rewards = masked_whiten(rewards, mask, shift_mean=False)
    advantages, returns = token_gae(rewards, values, mask, cfg.gamma, cfg.lam)
    batch = Batch(tokens, attention, mask, logp, values, masked_whiten(advantages, mask), returns)
    rows = [(t[m].tolist(), (a - b)[m].tolist()) for t, m, a, b in zip(tokens, mask, logp, ref, strict=True)]
    n = len(rows)
    return batch, {
        "score": sum(scores.tolist()) / n,
        "kl": sum(sum(ratios) for _, ratios in rows) / n,
        "reward": sum(whole.sum(dim=1).tolist()) / n,
        "length": sum(len(said) for said, _ in rows) / n,
        "ended": sum(said[-1] == cfg.eos for said, _ in rows) / n,
    }


def train_ppo(policy, score, prompts, cfg, seed):
    if len(prompts) == 0:
        raise ValueError("no prompt.")
    draws = torch.Generator().manual_seed(seed)
    reference, critic, learner = make_reference(policy), scalar_model(policy), copy.deepcopy(policy)
    own = [p for p in learner.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam([{"params": own}, {"params": list(critic.parameters())}], lr=cfg.lr)
    history = {}
    for iteration in range(cfg.iterations):
        for group in optimizer.param_groups:
            group["lr"] = cfg.lr * (cfg.iterations - iteration) / cfg.iterations
        asked = []
        for _ in range(cfg.batch_size):
            asked.append(prompts[int(torch.randint(len(prompts), (1,), generator=draws))])
        batch, metrics = collect(learner, critic, reference, score, asked, cfg, draws)
        fractions = []
        for _ in range(cfg.epochs):
            order = torch.randperm(cfg.batch_size, generator=draws).tolist()
            for k in range(cfg.minibatches):
                rows = order[k :: cfg.minibatches]
                piece = Batch(*[x[rows] for x in batch])
                fractions.append(ppo_update_(learner, critic, optimizer, piece, cfg)["clip_fraction"])
        metrics["clip_fraction"] = sum(fractions) / len(fractions)
        for name, number in metrics.items():
            history[name] = [*history.get(name, []), number]
    return Result(learner.eval(), history)


def last_scores(model, tokens, attention):
    found = torch.zeros(len(tokens), dtype=next(iter(model.parameters())).dtype)
    for rows, places, ids in _groups(tokens, attention):
        if places.shape[1] == 0:
            raise ValueError("a row is empty.")
        found = found.index_put((rows[:, 0],), _numbers(model, ids)[:, -1])
    return found


def fit_reward_model_(model, chosen, rejected, cfg, generator):
    n = len(chosen.tokens)
    if not n or n != len(rejected.tokens):
        raise ValueError("no pairs.")
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.stage_lr)
    losses = []
    for _ in range(cfg.reward_steps):
        picks = [int(torch.randint(n, (1,), generator=generator)) for _ in range(cfg.stage_batch)]
        better = last_scores(model, chosen.tokens[picks], chosen.attention[picks])
        worse = last_scores(model, rejected.tokens[picks], rejected.attention[picks])
        loss = sum(-torch.nn.functional.logsigmoid(a - b) for a, b in zip(better, worse, strict=True)) / len(picks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def train_rlhf(base, demonstrations, judge, prompts, cfg, seed):
    draws = torch.Generator().manual_seed(seed)
    sft = copy.deepcopy(base).eval()
    fit_sft_(sft, demonstrations, cfg, draws)
    asked = [prompts[int(i)] for i in torch.randint(len(prompts), (cfg.pairs,), generator=draws)]
    samples = sample_responses(sft, [*asked, *asked], cfg, draws)
    utilities = judge(samples).tolist()
    better, worse = [], []
    for i in range(cfg.pairs):
        pair = [i, i + cfg.pairs]
        p = 1 / (1 + math.exp(utilities[pair[1]] - utilities[pair[0]]))
        if float(torch.rand(1, generator=draws)) >= p:
            pair.reverse()
        better.append(pair[0])
        worse.append(pair[1])
    reward_model = scalar_model(sft)
    fit_reward_model_(
        reward_model, Samples(*[x[better] for x in samples]), Samples(*[x[worse] for x in samples]), cfg, draws
    )

    def score(tokens, attention):
        return last_scores(reward_model, tokens, attention).detach()

    return Stages(sft, reward_model, train_ppo(sft, score, prompts, cfg, seed))


def rlhf_objective(logp, ref_logp, rewards, beta):
    if logp.ndim != 1 or not logp.shape == ref_logp.shape == rewards.shape or beta < 0:
        raise ValueError("(N,) three times, and beta at least 0.")
    total = torch.zeros((), dtype=logp.dtype)
    for a, b, r in zip(logp, ref_logp, rewards, strict=True):
        total = total + a.exp() * (r - beta * (a - b))
    return total
