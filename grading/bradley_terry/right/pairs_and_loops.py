"""A right solution in another style: lists of games instead of matrices, softplus instead of
logsigmoid, loops over rows."""

import itertools
import math

from torch import nn


def need(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def softplus(x):
    """log(1 + e^x) for tensors, without overflow."""
    return torch.maximum(x, torch.zeros_like(x)) + torch.log1p(torch.exp(-x.abs()))


# 1 -------------------------------------------------------------------------------------------------


def bt_prob(r_i, r_j):
    need(r_i.shape == r_j.shape, "both scores need one shape")
    return torch.softmax(torch.stack([r_i, r_j]), dim=0)[0]


def bt_loss(r_chosen, r_rejected, margin=0.0, label_smoothing=0.0):
    need(r_chosen.dim() == 1 and r_chosen.numel() > 0, "scores are vectors")
    need(r_chosen.shape == r_rejected.shape, "as many chosen as rejected scores, please")
    if torch.is_tensor(margin) and margin.dim():
        need(margin.shape == r_chosen.shape, "one margin for each pair")
    need(0 <= label_smoothing <= 1, "smoothing is a share")
    d = r_chosen - r_rejected - margin
    # softplus(-d) = -log sigmoid(d);  softplus(d) = softplus(-d) + d
    return (softplus(-d) + label_smoothing * d).sum() / len(d)


def accuracy(chosen, rejected):
    need(chosen.dim() == 1 and len(chosen) > 0 and chosen.shape == rejected.shape, "two vectors of one length")
    return float((0.5 + 0.5 * torch.sign(chosen - rejected)).double().mean())


# 2 -------------------------------------------------------------------------------------------------


def table(wins):
    wins = np.array(wins, float)
    need(wins.ndim == 2 and wins.shape[0] == wins.shape[1] and len(wins) > 1, "a table is square")
    need((wins >= 0).all() and not wins.diagonal().any(), "counts, and an empty diagonal")
    return wins


def log_likelihood(wins, theta):
    wins = table(wins)
    total = 0.0
    for i, j in zip(*np.nonzero(wins), strict=True):
        x = theta[i] - theta[j]
        total -= wins[i, j] * (max(-x, 0) + math.log1p(math.exp(-abs(x))))
    return float(total)


def is_connected(wins):
    wins = table(wins)

    def everybody(edges):
        seen, waiting = {0}, [0]
        while waiting:
            for other in np.flatnonzero(edges[waiting.pop()]):
                if other not in seen:
                    seen.add(int(other))
                    waiting.append(int(other))
        return len(seen) == len(edges)

    return everybody(wins) and everybody(wins.T)


def mm_step(wins, theta):
    wins = table(wins)
    ability, new = np.exp(np.asarray(theta) - np.mean(theta)), []
    for i in range(len(wins)):
        weight = sum((wins[i, j] + wins[j, i]) / (ability[i] + ability[j]) for j in range(len(wins)) if j != i)
        new.append(math.log(wins[i].sum() / weight))
    return np.array(new) - np.mean(new)


def fit_bt(wins, tol=1e-8):
    wins = table(wins)
    need(tol > 0, "tol must be positive")
    need(is_connected(wins), "this table has no maximum of the likelihood")
    theta = np.zeros(len(wins))
    while np.abs(bt_gradient_hessian(wins, theta).gradient).max() > tol:
        theta = mm_step(wins, theta)
    return theta


# 3 -------------------------------------------------------------------------------------------------


def bt_gradient_hessian(wins, theta):
    wins = table(wins)
    n = len(wins)
    gradient, hessian = np.zeros(n), np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        games = wins[i, j] + wins[j, i]
        p = 0.5 + 0.5 * math.tanh((theta[i] - theta[j]) / 2)
        gradient[i] += wins[i, j] - games * p
        gradient[j] -= wins[i, j] - games * p
        curve = games * p * (1 - p)
        hessian[i, i] -= curve
        hessian[j, j] -= curve
        hessian[i, j] += curve
        hessian[j, i] += curve
    return Derivatives(gradient, hessian)


def fit_bt_newton(wins, tol=1e-8):
    """The gauge enters as a penalty -(sum theta)^2 / 2, which makes the Hessian invertible and the
    sum zero."""
    wins = table(wins)
    need(tol > 0, "tol must be positive")
    need(is_connected(wins), "this table has no maximum of the likelihood")
    theta = np.zeros(len(wins))
    for _ in range(500):
        g, h = bt_gradient_hessian(wins, theta)
        if np.abs(g).max() <= tol:
            break
        step = np.linalg.solve(np.ones_like(h) - h, g)
        length = 1.0
        while length > 1e-9 and log_likelihood(wins, theta + length * step) < log_likelihood(wins, theta) - 1e-9 * wins.sum():
            length /= 2
        theta = theta + length * step
    return theta - theta.mean()


def standard_errors(wins, theta):
    information = -bt_gradient_hessian(wins, theta).hessian
    n = len(information)
    # (I + J/n)^-1 - J/n is the pseudo-inverse: the constant direction gets eigenvalue 1 and loses
    # it again
    inverse = np.linalg.inv(information + np.full((n, n), 1 / n)) - np.full((n, n), 1 / n)
    return np.array([math.sqrt(inverse[i, i]) for i in range(n)])


def gumbel_choices(utilities, n, rng):
    need(np.ndim(utilities) == 1 and len(utilities) > 1 and n > 0, "at least two options and one "
                                                                   "choice")
    best = np.full(n, -np.inf)
    choice = np.zeros(n, int)
    for option, utility in enumerate(utilities):
        # minus the log of an exponential is a Gumbel
        total = utility - np.log(rng.exponential(size=n))
        choice[total > best] = option
        best = np.maximum(best, total)
    return choice


# 4 -------------------------------------------------------------------------------------------------


def mask_of(attention_mask):
    mask = attention_mask != 0
    need(mask.dim() == 2 and bool((mask.sum(1) > 0).all()), "a mask needs a real token in each row")
    return mask


def positions(attention_mask):
    mask = mask_of(attention_mask)
    places = torch.zeros(mask.shape, dtype=torch.long)
    for row, real in zip(places, mask, strict=True):
        row[real] = torch.arange(int(real.sum()))
    return places


def pool_last(hidden, attention_mask):
    mask = mask_of(attention_mask)
    need(hidden.dim() == 3 and hidden.shape[:2] == mask.shape, "hidden states must fit the mask")
    return torch.stack([states[real][-1] for states, real in zip(hidden, mask, strict=True)])


def attention_pool(hidden, logits, attention_mask):
    mask = mask_of(attention_mask)
    need(hidden.dim() == 3 and hidden.shape[:2] == mask.shape == logits.shape, "shapes must fit the mask")
    pooled = []
    for states, weights, real in zip(hidden, logits, mask, strict=True):
        pooled.append(torch.softmax(weights[real], 0) @ states[real])
    return torch.stack(pooled)


class RewardModel(nn.Module):
    def __init__(self, backbone, head="linear"):
        super().__init__()
        need(head in {"linear", "mlp", "attn"}, "an unknown head was asked for")
        width = backbone.config.hidden_size
        self.backbone = backbone
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.Tanh()) if head == "mlp" else nn.Identity()
        self.query = nn.Linear(width, 1, bias=False) if head == "attn" else None
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, input_ids, attention_mask):
        # real tokens to the left edge, so that the backbone needs no positions of its own
        mask = mask_of(attention_mask)
        width = int(mask.sum(1).max())
        ids, flags = torch.zeros(len(mask), width, dtype=torch.long), torch.zeros(len(mask), width, dtype=torch.long)
        for row, real in enumerate(mask):
            count = int(real.sum())
            ids[row, :count] = input_ids[row][real]
            flags[row, :count] = 1
        hidden = self.backbone(input_ids=ids, attention_mask=flags)[0]
        if self.query is None:
            pooled = pool_last(hidden, flags)
        else:
            pooled = attention_pool(hidden, self.query(hidden)[:, :, 0], flags)
        return self.score(self.mlp(pooled))[:, 0]


# 5 -------------------------------------------------------------------------------------------------


def collate(chosen, rejected, pad_id, layout="interleaved", side="right"):
    need(len(chosen) == len(rejected) > 0, "every chosen list needs a rejected one")
    need(all(len(row) for row in chosen) and all(len(row) for row in rejected), "no list may be empty")
    need(layout in {"interleaved", "stacked"} and side in {"left", "right"}, "unknown layout or side")
    pairs = list(zip(chosen, rejected, strict=True))
    rows = [r for p in pairs for r in p] if layout == "interleaved" else [p[0] for p in pairs] + [p[1] for p in pairs]
    width = max(len(row) for row in rows)
    ids, mask = [], []
    for row in rows:
        pad = [pad_id] * (width - len(row))
        ids.append(pad + list(row) if side == "left" else list(row) + pad)
        flags = [0] * len(pad), [1] * len(row)
        mask.append(flags[0] + flags[1] if side == "left" else flags[1] + flags[0])
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "layout": layout}


def loss_func(output, batch):
    need(output.dim() == 1 and len(output) > 0 and len(output) % 2 == 0, "rows must come in pairs")
    half = len(output) // 2
    if batch["layout"] == "interleaved":
        return bt_loss(output[0::2], output[1::2])
    need(batch["layout"] == "stacked", "unknown layout")
    return bt_loss(output[:half], output[half:])


class RewardWorker(ForwardOnlyWorker):
    def update_(self, batch):
        self.model.train()
        for p in self.model.parameters():
            p.grad = None
        loss = loss_func(self.model(batch["input_ids"], batch["attention_mask"]), batch)
        if not loss.requires_grad:
            raise RuntimeError("this loss has no gradient")
        loss.backward()
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.sqrt(sum((g**2).sum() for g in grads))
        for g in grads:
            g.mul_(min(1.0, 1.0 / float(norm)) if norm > 0 else 1.0)
        self.optimizer.step()
        return float(loss.detach())


def train_reward_model(model, chosen, rejected, pad_id, steps, batch_size, learning_rate, generator):
    need(steps > 0 and batch_size > 0 and learning_rate > 0, "steps, batch_size and learning_rate "
                                                             "must be positive")
    need(len(chosen) == len(rejected) > 0, "every chosen list needs a rejected one")
    worker = RewardWorker(model, torch.optim.Adam(model.parameters(), lr=learning_rate))

    def batches():
        while True:
            yield from torch.randperm(len(chosen), generator=generator).split(batch_size)

    losses = []
    for picks in itertools.islice(batches(), steps):
        batch = collate([chosen[i] for i in picks], [rejected[i] for i in picks], pad_id, "stacked", "left")
        losses.append(worker.update_(batch))
    model.eval()
    return losses


# 6 -------------------------------------------------------------------------------------------------


def kwise_loss(scores):
    need(len(scores) > 0 and all(s.dim() == 1 and len(s) > 1 for s in scores), "two answers or more for each prompt")
    total = 0.0
    for s in scores:
        k = len(s)
        upper = torch.ones(k, k, dtype=torch.bool).triu(1)
        total = total + softplus(s[None, :] - s[:, None])[upper].sum() * 2 / (k * (k - 1))
    return total / len(scores)


# 7 -------------------------------------------------------------------------------------------------


def bootstrap_indices(n, members, rng):
    need(n > 0 and members > 0, "n and members must be positive")
    return np.stack([rng.choice(n, size=n, replace=True) for _ in range(members)])


class RewardEnsemble:
    def __init__(self, members, reference=None):
        need(len(members) > 0, "an ensemble of nobody")
        self.members = members
        self.zero = [0.0] * len(members)
        if reference is not None:
            self.zero = [float(row.mean()) for row in self.scores(reference)]

    def scores(self, batch):
        rows = []
        for member, zero in zip(self.members, self.zero, strict=True):
            mode = member.training if isinstance(member, nn.Module) else None
            if mode is not None:
                member.train(False)
            with torch.no_grad():
                rows.append(member(batch["input_ids"], batch["attention_mask"]) - zero)
            if mode is not None:
                member.train(mode)
        return torch.stack(rows)

    def mean(self, batch):
        said = self.scores(batch)
        return said.sum(0) / len(said)

    def std(self, batch):
        said = self.scores(batch)
        return ((said - said.mean(0)) ** 2).mean(0).sqrt()

    def lcb(self, batch, k):
        need(k >= 0, "k must not be negative")
        return self.mean(batch) - k * self.std(batch)

    def disagreement(self, batch):
        said = self.scores(batch)
        half = said.shape[1] // 2
        first, second = (said[:, :half], said[:, half:]) if batch["layout"] == "stacked" else (said[:, ::2], said[:, 1::2])
        share = (0.5 + 0.5 * torch.sign(first - second)).mean(0)
        return 2 * share * (1 - share)


def shift_detector(ref, new, bins=10):
    need(np.ndim(ref) == 1 == np.ndim(new) and len(ref) > 0 and len(new) > 0 and bins > 1, "two samples and two bins")
    n, m = len(ref), len(new)
    ks = max(abs((ref <= x).sum() / n - (new <= x).sum() / m) for x in {*ref.tolist(), *new.tolist()})
    t = ks * math.sqrt(n * m / (n + m))
    p_value = 1.0
    if t >= 0.1:
        p_value = 2 * math.fsum((-1) ** (k + 1) * math.exp(-2 * (k * t) ** 2) for k in range(1, 200))
    edges = [np.quantile(ref, b / bins) for b in range(1, bins)]

    def share(sample, b):
        inside = np.ones(len(sample), bool)
        if b > 0:
            inside &= sample >= edges[b - 1]
        if b < bins - 1:
            inside &= sample < edges[b]
        return (inside.sum() + 0.5) / (len(sample) + bins / 2)

    psi = 0.0
    for b in range(bins):
        p, q = share(ref, b), share(new, b)
        psi += (q - p) * math.log(q / p)
    return Shift(float(ks), min(1.0, max(0.0, p_value)), float(psi))


# 8 -------------------------------------------------------------------------------------------------


def best_of_n(selector, value, n):
    need(np.ndim(selector) == 1 and np.shape(selector) == np.shape(value), "two vectors of one length")
    size = len(selector)
    need(1 <= n <= size, "n must lie between 1 and the number of answers")
    chance, total = n / size, 0.0  # the best answer is picked whenever it is drawn
    for place, index in enumerate(np.argsort(selector)[::-1]):
        total += chance * value[index]
        rank = size - place  # from rank to rank - 1: C(rank - 2, n - 1) / C(rank - 1, n - 1)
        if rank - 1 < n:
            break
        chance *= (rank - n) / (rank - 1)
    return float(total)


def best_of_n_kl(n):
    need(n >= 1, "n must be at least 1")
    return math.log(n) - 1 + 1 / n
