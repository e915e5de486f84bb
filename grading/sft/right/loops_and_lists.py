"""A correct solution in another style: Python lists and loops, NumPy draws, one token at a time."""

import copy
import itertools
import math

import numpy as np


def spread(messages, template):
    for role, content in messages:
        for token in template.headers[role]:
            yield token, False
        for token in content:
            yield token, role == "assistant"
        yield template.end, role == "assistant"


def render_prompt(messages, template):
    _check_messages(messages, template)
    return [token for token, _ in spread(messages, template)] + list(template.headers["assistant"])


def encode_conversation(messages, template, max_length=None):
    _check_messages(messages, template)
    if max_length is not None and max_length <= 0:
        raise ValueError("max_length must be positive")
    tokens, labels = [], []
    for token, learn in spread(messages, template):
        if len(tokens) == max_length:
            break
        tokens.append(token)
        labels.append(token if learn else IGNORE)
    if sum(label != IGNORE for label in labels[1:]) == 0:
        raise ValueError("no trained token is left")
    return Example(tokens, labels)


def collate(examples, pad, side="right"):
    if not len(examples) or (side != "left" and side != "right"):
        raise ValueError("impossible batch")
    width = max(len(tokens) for tokens, _ in examples)
    rows = ([], [], [])
    for tokens, labels in examples:
        gap = [0] * (width - len(tokens))
        ones = [1] * len(tokens)
        triples = list(zip(tokens, labels, ones, strict=False))
        blank = [(pad, IGNORE, 0) for _ in gap]
        triples = blank + triples if side == "left" else triples + blank
        for column, values in zip(rows, zip(*triples, strict=False), strict=False):
            column.append(list(values))
    return Batch(torch.tensor(rows[0]), torch.tensor(rows[1]), torch.tensor(rows[2]) == 1)


def count_labels(labels):
    if labels.ndim != 2:
        raise ValueError("labels are not a table")
    return sum(label != IGNORE for row in labels.tolist() for label in row[1:])


def sft_loss(logits, labels, num_items=None):
    if logits.ndim != 3 or tuple(logits.shape[:2]) != tuple(labels.shape):
        raise ValueError("shapes differ")
    count = count_labels(labels)
    if (num_items is None and count == 0) or (num_items is not None and num_items < 1):
        raise ValueError("nothing is trained")
    total = 0.0 * torch.nan_to_num(logits, 0.0, 0.0, 0.0).sum()
    for row, line in enumerate(labels.tolist()):
        for place in range(1, len(line)):
            if line[place] != IGNORE:
                scores = logits[row, place - 1]
                total = total + torch.logsumexp(scores, 0) - scores[line[place]]
    return total / (num_items or count)


def padded_logits(model, batch):
    places = []
    for seen in batch.attention.tolist():
        count = itertools.accumulate(int(x) for x in seen)
        places.append([max(0, n - 1) for n in count])
    inputs = {"input_ids": batch.tokens, "attention_mask": batch.attention.to(torch.int64)}
    return model(**inputs, position_ids=torch.tensor(places)).logits


def accumulate_(model, batches):
    counts = [count_labels(batch.labels) for batch in batches]
    if sum(counts) == 0:
        raise ValueError("nothing is trained")
    loss = 0.0
    for count, batch in zip(counts, batches, strict=False):
        if count:
            part = sft_loss(padded_logits(model, batch), batch.labels) * (count / sum(counts))
            part.backward()
            loss += part.detach().item()
    return loss


def first_fit_decreasing(lengths, capacity):
    if len(lengths) and (min(lengths) < 1 or max(lengths) > capacity):
        raise ValueError("a length does not fit")
    rows = []
    for length, index in sorted((-n, i) for i, n in enumerate(lengths)):
        for row in rows:
            if sum(lengths[i] for i in row) - length <= capacity:
                row.append(index)
                break
        else:
            rows.append([index])
    return rows


def pack(examples):
    if not examples or min(len(tokens) for tokens, _ in examples) == 0:
        raise ValueError("an example is missing")
    tokens, labels, positions, ends = [], [], [], [0]
    for example in examples:
        for place, (token, label) in enumerate(zip(example.tokens, example.labels, strict=False)):
            tokens.append(token)
            labels.append(label if place else IGNORE)
            positions.append(place)
        ends.append(len(tokens))
    return Packed(*(torch.tensor([x]) for x in (tokens, labels, positions)), torch.tensor(ends))


def block_mask(cu_seqlens):
    ends = cu_seqlens.tolist()
    if not isinstance(ends, list) or len(ends) < 2 or ends[0] != 0:
        raise ValueError("bad boundaries")
    mask = torch.zeros(ends[-1], ends[-1], dtype=torch.bool)
    for start, end in itertools.pairwise(ends):
        if end <= start:
            raise ValueError("bad boundaries")
        for i in range(start, end):
            for j in range(start, i + 1):
                mask[i, j] = True
    return mask


def packed_logits(model, packed):
    # One call for each conversation: slow, and beyond doubt.
    ends = packed.cu_seqlens.tolist()
    pieces = [packed.tokens[:, start:end] for start, end in itertools.pairwise(ends)]
    return torch.cat([model(input_ids=piece).logits for piece in pieces], dim=1)


class LoRA(nn.Module):
    def __init__(self, base, rank, alpha, generator):
        super().__init__()
        self.conv = isinstance(base, Conv1D)
        weight = base.weight.T if self.conv else base.weight
        outputs, inputs = weight.shape
        if rank < 1 or rank > inputs or rank > outputs or alpha <= 0:
            raise ValueError("rank or alpha is impossible")
        base.requires_grad_(False)
        # Box and Muller: two uniform numbers make a normal one.
        u, v = torch.rand(2, rank, inputs, generator=generator, dtype=torch.float64)
        z = torch.sqrt(-2 * torch.log1p(-u)) * torch.cos(2 * math.pi * v)
        self.base, self.on, self.scale = base, True, float(alpha) / rank
        self.A = nn.Parameter((z / inputs**0.5).to(weight.dtype))
        self.B = nn.Parameter(weight.new_zeros(outputs, rank))

    def delta(self):
        full = sum(torch.outer(b, a) for b, a in zip(self.B.detach().T, self.A.detach(), strict=False))
        return (full.T if self.conv else full) * self.scale

    def forward(self, x):
        if not self.on:
            return self.base(x)
        update = torch.zeros((), dtype=x.dtype)
        for a, b in zip(self.A, self.B.T, strict=False):
            update = update + (x @ a)[..., None] * b
        return self.base(x) + self.scale * update


def add_lora_(model, names, rank, alpha, generator):
    found = []
    for name, parent in list(model.named_modules()):
        for child, _ in parent.named_children():
            if child in names:
                found.append((f"{name}.{child}" if name else child, parent, child))
    if len(names) == 0 or any(all(name != child for _, _, child in found) for name in names):
        raise ValueError("a name means no layer")
    order = [name for name, _ in model.named_modules()]
    found.sort(key=lambda entry: order.index(entry[0]))
    model.requires_grad_(False)
    for _, parent, child in found:
        setattr(parent, child, LoRA(getattr(parent, child), rank, alpha, generator))
    return [name for name, _, _ in found]


def adapters(model):
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, LoRA)
    ]


def switch_lora_(model, on):
    for _, _, child in adapters(model):
        child.on = bool(on)


def merge_lora_(model):
    for parent, name, child in adapters(model):
        child.base.weight.data = child.base.weight.data + child.delta()
        setattr(parent, name, child.base)


def evaluate(model, examples, batch_size, pad):
    if not examples or batch_size < 1:
        raise ValueError("no examples or no batch")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    costs, hits = [], []
    with torch.no_grad():
        for tokens, labels in examples:
            logp = model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
            for place in range(1, len(tokens)):
                if labels[place] != IGNORE:
                    costs.append(-logp[place - 1, labels[place]].item())
                    hits.append(int(logp[place - 1].argmax()) == labels[place])
    for module, mode in modes:
        module.training = mode
    if not costs:
        raise ValueError("no trained token")
    return Evaluation(sum(costs) / len(costs), sum(hits) / len(hits), len(costs))


def learning_rate(step, steps, peak, warmup):
    if not (0 <= step < steps and 0 <= warmup < steps and peak >= 0):
        raise ValueError("impossible arguments")
    if step < warmup:
        return peak - peak * (warmup - step - 1) / warmup
    return peak * math.cos(math.pi / 2 * (step - warmup) / (steps - warmup)) ** 2


def sft_update_(model, optimizer, examples, micro_batch, grad_norm, pad):
    if not examples or micro_batch < 1:
        raise ValueError("no examples or no micro-batch")
    for parameter in model.parameters():
        parameter.grad = None
    parts = []
    for index, example in enumerate(examples):
        if index % micro_batch == 0:
            parts.append([])
        parts[-1].append(example)
    loss = accumulate_(model, [collate(part, pad, "left") for part in parts])
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    norm = math.sqrt(sum(float((g**2).sum()) for g in grads))
    if norm > grad_norm:
        for g in grads:
            g *= grad_norm / norm
    optimizer.step()
    return loss


def train_sft(model, train, valid, cfg, seed):
    if min(cfg.steps, cfg.eval_every, cfg.batch_size) < 1 or cfg.batch_size > len(train):
        raise ValueError("too few steps or examples")
    pupil = copy.deepcopy(model).train()
    optimizer = torch.optim.Adam([p for p in pupil.parameters() if p.requires_grad], lr=cfg.lr)
    rng = np.random.default_rng(seed)
    each = len(train) // cfg.batch_size
    losses, rates, checks = [], [], []
    for step in range(cfg.steps):
        if step % each == 0:
            order = rng.permutation(len(train))
        rows = order[step % each * cfg.batch_size :][: cfg.batch_size]
        rates.append(learning_rate(step, cfg.steps, cfg.lr, cfg.warmup))
        optimizer.param_groups[0]["lr"] = rates[-1]
        chosen = [train[int(i)] for i in rows]
        losses.append(sft_update_(pupil, optimizer, chosen, cfg.micro_batch, cfg.grad_norm, cfg.pad))
        if (step + 1) % cfg.eval_every == 0 or step == cfg.steps - 1:
            checks.append((evaluate(pupil, valid, 8, cfg.pad), step + 1, copy.deepcopy(pupil)))
    best = min(checks, key=lambda check: check[0].loss)[2]
    history = {
        "loss": losses,
        "lr": rates,
        "valid_step": [float(step) for _, step, _ in checks],
        "valid_loss": [report.loss for report, _, _ in checks],
        "valid_accuracy": [report.accuracy for report, _, _ in checks],
    }
    return Result(best.eval(), history)


def teacher_answers(right, confusion, generator):
    _check_confusion(confusion)
    if right.ndim != 2:
        raise ValueError("right is not a table")
    rng = np.random.default_rng(int(torch.randint(2**40, (1,), generator=generator)))
    table = confusion.double().numpy()
    table = table / table.sum(axis=1, keepdims=True)
    rows = [[int(rng.choice(len(table), p=table[i])) for i in row] for row in right.tolist()]
    return torch.tensor(rows)


def imitation_limits(confusion, length):
    _check_confusion(confusion)
    if length < 1:
        raise ValueError("length is below 1")
    table = confusion.tolist()
    K = len(table)
    entropy = -sum(p * math.log(p) for row in table for p in row if p > 0) / K
    sure = sum(all(row[i] > p for j, p in enumerate(row) if j != i) for i, row in enumerate(table))
    chance = sum(row[i] for i, row in enumerate(table)) / K
    return Limits(entropy * length / (length + 1), chance**length, (sure / K) ** length)


def verified_rate(confusion, length, tries):
    _check_confusion(confusion)
    if length < 1 or tries < 1:
        raise ValueError("length or tries is below 1")
    diagonal = confusion.diagonal().tolist()
    rates = [1 - (1 - math.prod(ps)) ** tries for ps in itertools.product(diagonal, repeat=length)]
    return sum(rates) / len(rates)
