"""A correct solution in another style: what PyTorch and its neighbours offer, used wherever it
fits."""

import copy
import functools
import math
import operator

import torch.nn.functional as F
from torch.distributions import Categorical
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import BatchSampler, DataLoader, RandomSampler


def render_prompt(messages, template):
    _check_messages(messages, template)
    ids = functools.reduce(operator.iadd, ([*template.headers[role], *content, template.end] for role, content in messages), [])
    return ids + template.headers["assistant"]


def encode_conversation(messages, template, max_length=None):
    _check_messages(messages, template)
    if max_length is not None and max_length < 1:
        raise ValueError("max_length is too small")
    pieces = []
    for role, content in messages:
        pieces.append((template.headers[role], False))
        pieces.append((content, role == "assistant"))
        pieces.append(([template.end], role == "assistant"))
    ids = torch.tensor([token for piece, _ in pieces for token in piece])[:max_length]
    mask = torch.tensor([learn for piece, learn in pieces for _ in piece])[:max_length]
    if not mask[1:].any():
        raise ValueError("this example has nothing to learn from")
    return Example(ids.tolist(), ids.masked_fill(~mask, IGNORE).tolist())


def collate(examples, pad, side="right"):
    if len(examples) == 0 or side not in {"left", "right"}:
        raise ValueError("cannot collate this")
    columns = [
        ([torch.tensor(x.tokens) for x in examples], pad),
        ([torch.tensor(x.labels) for x in examples], IGNORE),
        ([torch.ones(len(x.tokens)).bool() for x in examples], False),
    ]
    return Batch(*(pad_sequence(rows, True, float(fill), side) for rows, fill in columns))


def count_labels(labels):
    if labels.dim() != 2:
        raise ValueError("labels must have two dimensions")
    return labels[:, 1:].ne(IGNORE).sum().item()


def sft_loss(logits, labels, num_items=None):
    if logits.dim() != 3 or logits.shape[:-1] != labels.shape:
        raise ValueError("shapes do not fit")
    targets = F.pad(labels, (0, 1), value=IGNORE)[:, 1:]
    if num_items is None:
        num_items = targets.ne(IGNORE).sum().item()
    if num_items < 1:
        raise ValueError("nothing to divide by")
    total = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    return total / num_items


def padded_logits(model, batch):
    positions = batch.attention.long().cumsum(-1) - 1
    positions.masked_fill_(~batch.attention.bool(), 1)
    return model(
        input_ids=batch.tokens, attention_mask=batch.attention.long(), position_ids=positions
    ).logits


def accumulate_(model, batches):
    items = sum(map(count_labels, (batch.labels for batch in batches)))
    if not items:
        raise ValueError("nothing to learn from")
    losses = []
    for batch in batches:
        loss = sft_loss(padded_logits(model, batch), batch.labels, num_items=items)
        loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum().item()


def first_fit_decreasing(lengths, capacity):
    lengths = torch.as_tensor(lengths)
    if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= capacity:
        raise ValueError("an example does not fit")
    rows, free = [], torch.full((len(lengths),), capacity)
    for i in lengths.argsort(descending=True, stable=True).tolist():
        row = int((free >= lengths[i]).nonzero()[0])  # rows that are not open yet have room
        if row == len(rows):
            rows.append([])
        rows[row].append(i)
        free[row] -= lengths[i]
    return rows


def pack(examples):
    if len(examples) == 0 or any(len(x.tokens) == 0 for x in examples):
        raise ValueError("nothing to pack")
    tokens = torch.cat([torch.tensor(x.tokens) for x in examples])
    labels = torch.cat([torch.tensor(x.labels) for x in examples])
    cu_seqlens = F.pad(torch.tensor([len(x.tokens) for x in examples]).cumsum(0), (1, 0))
    labels[cu_seqlens[:-1]] = IGNORE
    sizes = cu_seqlens.diff()
    positions = torch.arange(len(tokens)) - cu_seqlens[:-1].repeat_interleave(sizes)
    return Packed(tokens[None], labels[None], positions[None], cu_seqlens)


def block_mask(cu_seqlens):
    if cu_seqlens.dim() != 1 or len(cu_seqlens) < 2 or cu_seqlens[0] != 0:
        raise ValueError("these are no boundaries")
    sizes = cu_seqlens.diff()
    if sizes.min() < 1:
        raise ValueError("boundaries must rise")
    blocks = [torch.ones(size, size) for size in sizes.tolist()]
    return torch.block_diag(*blocks).tril().bool()


def packed_logits(model, packed):
    dtype = model.lm_head.weight.dtype
    low = torch.tensor(torch.finfo(dtype).min, dtype=dtype)
    mask = torch.where(block_mask(packed.cu_seqlens), torch.zeros_like(low), low)
    return model(
        input_ids=packed.tokens,
        attention_mask=mask.expand(1, 1, -1, -1),
        position_ids=packed.positions,
        use_cache=False,
    ).logits


class LoRA(nn.Module):
    def __init__(self, base, rank, alpha, generator):
        super().__init__()
        self.fan_in_fan_out = isinstance(base, Conv1D)
        n, m = base.weight.shape if self.fan_in_fan_out else base.weight.shape[::-1]
        if rank < 1 or rank > min(n, m) or alpha <= 0:
            raise ValueError("impossible rank or alpha")
        self.base = base
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.A = nn.Parameter(torch.empty(rank, n, dtype=base.weight.dtype))
        self.B = nn.Parameter(torch.empty(m, rank, dtype=base.weight.dtype))
        nn.init.normal_(self.A, 0.0, n**-0.5, generator=generator)
        nn.init.zeros_(self.B)
        self.register_buffer("scaling", torch.tensor(alpha / rank), persistent=False)
        self.scale = alpha / rank
        self.on = True

    def forward(self, x):
        y = self.base(x)
        if self.on:
            y = y + F.linear(F.linear(x, self.A), self.B) * self.scale
        return y

    @torch.no_grad()
    def delta(self):
        ab = torch.einsum("or,ri->io" if self.fan_in_fan_out else "or,ri->oi", self.B, self.A)
        return ab * self.scale


def add_lora_(model, names, rank, alpha, generator):
    hits = {name: module for name, module in model.named_modules() if name.split(".")[-1] in names}
    missing = [want for want in names if not any(hit.split(".")[-1] == want for hit in hits)]
    if missing or not hits:
        raise ValueError(f"target modules {missing} not found")
    for parameter in model.parameters():
        parameter.requires_grad = False
    for name, module in hits.items():
        model.set_submodule(name, LoRA(module, rank, alpha, generator))
    return list(hits)


def switch_lora_(model, on):
    model.apply(lambda module: setattr(module, "on", on) if isinstance(module, LoRA) else None)


def merge_lora_(model):
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoRA)}
    for name, module in layers.items():
        module.base.weight.data.add_(module.delta())
        model.set_submodule(name, module.base)


def evaluate(model, examples, batch_size, pad):
    if not examples or batch_size < 1:
        raise ValueError("nothing to evaluate")
    mode = model.training
    model.eval()
    sums = torch.zeros(3, dtype=torch.float64)
    # Without a generator of its own a DataLoader draws a seed from the global one.
    own = torch.Generator()
    loader = DataLoader(
        examples, batch_size, collate_fn=lambda rows: collate(rows, pad, "left"), generator=own
    )
    with torch.inference_mode():
        for batch in loader:
            logits, labels = padded_logits(model, batch)[:, :-1], batch.labels[:, 1:]
            nll = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
            valid = labels.ne(IGNORE)
            right = logits.argmax(-1).eq(labels) & valid
            sums += torch.stack([nll[valid].sum(), right.sum(), valid.sum()])
    model.train(mode)
    if not sums[2]:
        raise ValueError("nothing to evaluate")
    return Evaluation(float(sums[0] / sums[2]), float(sums[1] / sums[2]), int(sums[2]))


def learning_rate(step, steps, peak, warmup):
    if step < 0 or step >= steps or warmup < 0 or warmup >= steps or peak < 0:
        raise ValueError("impossible schedule")
    up = (step + 1) / warmup if step < warmup else 1.0
    share = max(0, step - warmup) / (steps - warmup)
    return peak * min(up, math.cos(math.pi * share / 2) ** 2)


def sft_update_(model, optimizer, examples, micro_batch, grad_norm, pad):
    if not examples or micro_batch < 1:
        raise ValueError("nothing to learn from")
    model.zero_grad(set_to_none=True)
    batches = [collate(examples[i : i + micro_batch], pad) for i in range(0, len(examples), micro_batch)]
    loss = accumulate_(model, batches)
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], grad_norm)
    optimizer.step()
    return loss


def train_sft(model, train, valid, cfg, seed):
    if cfg.steps < 1 or cfg.eval_every < 1 or cfg.batch_size < 1 or cfg.batch_size > len(train):
        raise ValueError("impossible settings")
    net = copy.deepcopy(model)
    net.train()
    optimizer = torch.optim.AdamW(
        filter(lambda p: p.requires_grad, net.parameters()), lr=1.0, weight_decay=0.0
    )
    factor = lambda t: learning_rate(min(t, cfg.steps - 1), cfg.steps, cfg.lr, cfg.warmup)  # noqa: E731
    scheduler = LambdaLR(optimizer, factor)
    history = {name: [] for name in ("loss", "lr", "valid_step", "valid_loss", "valid_accuracy")}
    sampler = RandomSampler(train, generator=torch.Generator().manual_seed(seed + 77))
    batches, best, step = BatchSampler(sampler, cfg.batch_size, drop_last=True), None, 0
    while step < cfg.steps:
        for rows in batches:
            history["lr"].append(scheduler.get_last_lr()[0])
            part = [train[i] for i in rows]
            loss = sft_update_(net, optimizer, part, cfg.micro_batch, cfg.grad_norm, cfg.pad)
            history["loss"].append(loss)
            scheduler.step()
            step += 1
            if step % cfg.eval_every == 0 or step == cfg.steps:
                result = evaluate(net, valid, 32, cfg.pad)
                if best is None or result.loss < best[0]:
                    best = result.loss, copy.deepcopy(net.state_dict())
                history["valid_step"].append(float(step))
                history["valid_loss"].append(result.loss)
                history["valid_accuracy"].append(result.accuracy)
            if step == cfg.steps:
                break
    net.load_state_dict(best[1])
    return Result(net.eval(), history)


def teacher_answers(right, confusion, generator):
    _check_confusion(confusion)
    if right.dim() != 2:
        raise ValueError("right must have two dimensions")
    u = torch.rand(*right.shape, 1, generator=generator, dtype=torch.float64)
    edges = confusion.double()[right].cumsum(-1)
    edges = edges / edges[..., -1:]
    return (u >= edges).sum(-1).clamp(max=len(confusion) - 1)


def imitation_limits(confusion, length):
    _check_confusion(confusion)
    if length < 1:
        raise ValueError("length must be positive")
    entropy = Categorical(probs=confusion.double()).entropy().mean().item()
    top = confusion.max(dim=1).values
    unique = (confusion == top[:, None]).sum(dim=1) == 1
    share = (unique & (confusion.diagonal() == top)).double().mean().item()
    return Limits(
        length * entropy / (length + 1), confusion.diagonal().double().mean().item() ** length, share**length
    )


def verified_rate(confusion, length, tries):
    _check_confusion(confusion)
    if length < 1 or tries < 1:
        raise ValueError("length and tries must be positive")
    p = confusion.double().diagonal()
    grid = torch.cartesian_prod(*[p] * length).reshape(-1, length).prod(dim=1)
    return -torch.expm1(tries * torch.log1p(-grid)).mean().item()
