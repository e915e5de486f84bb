"""A correct solution in another style: tables and products instead of loops and indices, and single
precision inside."""

import copy
import math

import numpy as np
from torch.nn.functional import one_hot

MASK_ROLE = {"assistant": 1}


def table_of(messages, template):
    rows = []
    for role, content in messages:
        header = template.headers[role]
        flags = [0] * len(header) + [MASK_ROLE.get(role, 0)] * (len(content) + 1)
        rows.append(np.stack([np.array([*header, *content, template.end]), np.array(flags)]))
    return np.concatenate(rows, axis=1)


def render_prompt(messages, template):
    _check_messages(messages, template)
    return table_of(messages, template)[0].tolist() + list(template.headers["assistant"])


def encode_conversation(messages, template, max_length=None):
    _check_messages(messages, template)
    if max_length is not None and max_length < 1:
        raise ValueError("max_length must be at least 1.")
    tokens, flags = table_of(messages, template)[:, :max_length]
    if flags[1:].sum() == 0:
        raise ValueError("nothing in this conversation is trained.")
    return Example(tokens.tolist(), np.where(flags == 1, tokens, IGNORE).tolist())


def collate(examples, pad, side="right"):
    if not examples or side not in ("right", "left"):
        raise ValueError("no examples, or an unknown side.")
    lengths = torch.tensor([len(x.tokens) for x in examples])
    width = int(lengths.max())
    places = torch.arange(width)[None, :]
    first = (width - lengths if side == "left" else torch.zeros_like(lengths))[:, None]
    seen = (places >= first) & (places < first + lengths[:, None])
    tokens = torch.full(seen.shape, pad)
    labels = torch.full(seen.shape, IGNORE)
    tokens[seen] = torch.tensor([token for x in examples for token in x.tokens])
    labels[seen] = torch.tensor([label for x in examples for label in x.labels])
    return Batch(tokens, labels, seen)


def count_labels(labels):
    if labels.ndim != 2:
        raise ValueError("labels must be (B, L).")
    return int(np.count_nonzero(labels.numpy()[:, 1:] != IGNORE))


def sft_loss(logits, labels, num_items=None):
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise ValueError("logits must be (B, L, V), labels (B, L).")
    n = count_labels(labels) if num_items is None else num_items
    if n < 1:
        raise ValueError("there is nothing to divide by.")
    row, place = (labels[:, 1:] != IGNORE).nonzero(as_tuple=True)
    z = logits[row, place].float()
    z = z - z.detach().amax(dim=-1, keepdim=True)
    hot = one_hot(labels[row, place + 1], logits.shape[-1]).to(z.dtype)
    loss = (z.exp().sum(dim=-1).log() - (hot * z).sum(dim=-1)).sum() / n
    return loss.to(logits.dtype)


def padded_logits(model, batch):
    # Every row is moved to the left edge, and its logits back to where it stood.
    seen = batch.attention.bool()
    order = (~seen).long().argsort(dim=1, stable=True)
    moved = batch.tokens.gather(1, order)
    logits = model(input_ids=moved, attention_mask=seen.gather(1, order).long()).logits
    back = order.argsort(dim=1)
    return logits.gather(1, back[..., None].expand_as(logits))


def accumulate_(model, batches):
    n = sum(count_labels(batch.labels) for batch in batches)
    if n == 0:
        raise ValueError("there is nothing to learn.")
    total = 0.0
    for batch in batches:
        share = sft_loss(padded_logits(model, batch), batch.labels, 1)
        torch.autograd.backward(share, torch.full_like(share, 1 / n))
        total += float(share.detach())
    return total / n


def first_fit_decreasing(lengths, capacity):
    lengths = np.asarray(lengths, dtype=int)
    if ((lengths < 1) | (lengths > capacity)).any():
        raise ValueError("a length is impossible.")
    load, rows = np.zeros(len(lengths), dtype=int), [[] for _ in lengths]
    for i in np.lexsort((np.arange(len(lengths)), -lengths)):
        row = int(np.argmax(load + lengths[i] <= capacity))
        rows[row].append(int(i))
        load[row] += lengths[i]
    return [row for row in rows if row]


def pack(examples):
    if not examples or any(not x.tokens for x in examples):
        raise ValueError("an example is missing or empty.")
    batch = collate(examples, 0)
    labels = batch.labels.clone()
    labels[:, 0] = IGNORE
    places = torch.arange(labels.shape[1]).expand_as(labels)
    seen = batch.attention
    ends = torch.nn.functional.pad(seen.long().sum(dim=1).cumsum(dim=0), (1, 0))
    return Packed(batch.tokens[seen][None], labels[seen][None], places[seen][None], ends)


def block_mask(cu_seqlens):
    if cu_seqlens.ndim != 1 or len(cu_seqlens) < 2 or int(cu_seqlens[0]) != 0:
        raise ValueError("cu_seqlens must begin with 0.")
    if int((cu_seqlens[1:] - cu_seqlens[:-1]).min()) < 1:
        raise ValueError("cu_seqlens must rise.")
    starts = torch.zeros(int(cu_seqlens[-1]))
    starts[cu_seqlens[:-1].long()] = 1
    owner = one_hot(starts.cumsum(dim=0).long()).float()
    return (owner @ owner.T).tril() > 0.5


def packed_logits(model, packed):
    mask = torch.zeros(block_mask(packed.cu_seqlens).shape)
    mask[~block_mask(packed.cu_seqlens)] = -1e9
    mask = mask.to(next(model.parameters()).dtype)
    out = model(
        packed.tokens, attention_mask=mask[None, None], position_ids=packed.positions
    )
    return out.logits


class LoRA(nn.Module):
    def __init__(self, base, rank, alpha, generator):
        super().__init__()
        sides = list(base.weight.shape)
        self.flip = isinstance(base, Conv1D)
        if self.flip:
            sides.reverse()
        if not 1 <= rank <= min(sides) or alpha <= 0:
            raise ValueError("rank or alpha is impossible.")
        self.base, self.on, self.scale = base, True, float(alpha / rank)
        for p in base.parameters():
            p.requires_grad_(False)
        self.register_parameter("A", nn.Parameter(base.weight.new_empty(rank, sides[1])))
        self.register_parameter("B", nn.Parameter(base.weight.new_zeros(sides[0], rank)))
        with torch.no_grad():
            self.A.normal_(std=math.sqrt(1 / sides[1]), generator=generator)

    def delta(self):
        product = torch.matmul(self.B.detach(), self.A.detach()).mul(self.scale)
        return product.mT.contiguous() if self.flip else product

    def forward(self, x):
        y = self.base(x)
        factor = self.scale if self.on else 0.0
        return torch.add(y, x.matmul(self.A.mT).matmul(self.B.mT), alpha=factor)


def add_lora_(model, names, rank, alpha, generator):
    layers = [n for n, _ in model.named_modules() if any(("." + n).endswith("." + w) for w in names)]
    if not names or not all(any(("." + n).endswith("." + w) for n in layers) for w in names):
        raise ValueError("a name means nothing here.")
    for p in model.parameters():
        p.requires_grad_(False)
    for n in layers:
        *path, last = n.split(".")
        owner = model
        for step in path:
            owner = getattr(owner, step)
        owner._modules[last] = LoRA(owner._modules[last], rank, alpha, generator)
    return layers


def switch_lora_(model, on):
    for module in filter(lambda m: isinstance(m, LoRA), model.modules()):
        module.on = on


def merge_lora_(model):
    for owner in list(model.modules()):
        for name, child in list(owner._modules.items()):
            if isinstance(child, LoRA):
                child.base.weight.data.copy_(child.base.weight.data + child.delta())
                owner._modules[name] = child.base


def evaluate(model, examples, batch_size, pad):
    if not examples or batch_size < 1:
        raise ValueError("no example, or an empty batch.")
    was, totals = model.training, np.zeros(3)
    model.train(False)
    for start in range(0, len(examples), batch_size):
        batch = collate(examples[start : start + batch_size], pad)
        with torch.no_grad():
            logp = padded_logits(model, batch).double().log_softmax(dim=-1)
        row, place = (batch.labels[:, 1:] != IGNORE).nonzero(as_tuple=True)
        answer = batch.labels[row, place + 1]
        chosen = logp[row, place]
        own = chosen.gather(1, answer[:, None]).squeeze(1)
        totals += [-float(own.sum()), int((own >= chosen.max(dim=1).values).sum()), len(answer)]
    model.train(was)
    if totals[2] == 0:
        raise ValueError("no token is trained.")
    return Evaluation(float(totals[0] / totals[2]), float(totals[1] / totals[2]), int(totals[2]))


def learning_rate(step, steps, peak, warmup):
    if not 0 <= step < steps or not 0 <= warmup < steps or peak < 0:
        raise ValueError("impossible step, warm-up or peak.")
    up = [peak * (t + 1) / warmup for t in range(warmup)]
    down = peak * (1 + np.cos(np.linspace(0, np.pi, steps - warmup, endpoint=False))) / 2
    return float([*up, *down][step])


def sft_update_(model, optimizer, examples, micro_batch, grad_norm, pad):
    if not examples or micro_batch < 1:
        raise ValueError("no example, or an empty micro-batch.")
    optimizer.zero_grad(set_to_none=False)
    cuts = range(0, len(examples), micro_batch)
    loss = accumulate_(model, [collate(examples[c : c + micro_batch], pad) for c in cuts])
    learning = [p for p in model.parameters() if p.grad is not None]
    norm = float(torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in learning])))
    for p in learning:
        p.grad.mul_(min(1.0, grad_norm / norm) if norm > 0 else 1.0)
    optimizer.step()
    return loss


def train_sft(model, train, valid, cfg, seed):
    if cfg.steps < 1 or cfg.eval_every < 1 or not 1 <= cfg.batch_size <= len(train):
        raise ValueError("impossible settings.")
    pupil = copy.deepcopy(model)
    optimizer = torch.optim.Adam([p for p in pupil.parameters() if p.requires_grad], lr=cfg.lr)
    rng = np.random.default_rng(seed)
    each = len(train) // cfg.batch_size
    passes = [rng.permutation(len(train)) for _ in range(-(-cfg.steps // each))]
    plan = [p[i * cfg.batch_size : (i + 1) * cfg.batch_size] for p in passes for i in range(each)]
    losses, rates, evaluations, kept = [], [], {}, {}
    for step, rows in enumerate(plan[: cfg.steps]):
        rate = learning_rate(step, cfg.steps, cfg.lr, cfg.warmup)
        optimizer.param_groups[0].update(lr=rate)
        pupil.train()
        chosen = [train[int(i)] for i in rows]
        losses.append(sft_update_(pupil, optimizer, chosen, cfg.micro_batch, cfg.grad_norm, cfg.pad))
        rates.append(rate)
        done = step + 1
        if done == cfg.steps or done % cfg.eval_every == 0:
            evaluations[done] = evaluate(pupil, valid, cfg.batch_size, cfg.pad)
            kept[done] = {k: v.detach().numpy().copy() for k, v in pupil.state_dict().items()}
    best = min(evaluations, key=lambda done: (evaluations[done].loss, done))
    pupil.load_state_dict({k: torch.from_numpy(v) for k, v in kept[best].items()})
    pupil.train(False)
    history = {
        "loss": losses,
        "lr": rates,
        "valid_step": [float(done) for done in evaluations],
        "valid_loss": [x.loss for x in evaluations.values()],
        "valid_accuracy": [x.accuracy for x in evaluations.values()],
    }
    return Result(pupil, history)


def teacher_answers(right, confusion, generator):
    _check_confusion(confusion)
    if right.ndim != 2:
        raise ValueError("right must be (B, n).")
    # Gumbel's trick: the largest of log-probabilities with noise is a draw.
    u = torch.rand(*right.shape, len(confusion), generator=generator, dtype=torch.float64)
    noise = -torch.log(-torch.log(u.clamp(1e-300, 1 - 1e-16)))
    return (confusion.double()[right].log() + noise).argmax(dim=-1)


def imitation_limits(confusion, length):
    _check_confusion(confusion)
    if length < 1:
        raise ValueError("length must be at least 1.")
    C = confusion.double().numpy()
    logs = np.log(C, out=np.zeros_like(C), where=C > 0)
    off = np.where(np.eye(len(C), dtype=bool), -1.0, C).max(axis=1)
    share = float(np.mean(np.diag(C) > off))
    loss = -float((C * logs).sum(axis=1).mean()) * length / (length + 1)
    return Limits(loss, float(np.mean(np.diag(C))) ** length, share**length)


def verified_rate(confusion, length, tries):
    _check_confusion(confusion)
    if length < 1 or tries < 1:
        raise ValueError("length and tries must be at least 1.")
    # The binomial theorem: the mean of p^j over all answers is the mean of d^j, to the power n.
    d = confusion.double().numpy().diagonal()
    signs = [math.comb(tries, j) * (-1) ** (j + 1) for j in range(1, tries + 1)]
    return float(sum(s * np.mean(d**j) ** length for j, s in enumerate(signs, 1)))
