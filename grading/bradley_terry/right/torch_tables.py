"""Another style: tables are torch tensors, who reaches whom is Floyd and Warshall's algorithm, MM
takes over where Newton's step would go down, and batches are made from a queue.

The last token is found by sorting, pooling goes row by row, votes are counted in loops.
"""

import itertools
import random
from functools import partial

from torch.nn.functional import log_softmax, logsigmoid


class Refused(ValueError):
    """What the arguments are refused with."""


def ensure(truth, *words):
    if not truth:
        raise Refused(" ".join(words))


def bt_prob(r_i, r_j):
    ensure(r_i.shape == r_j.shape, "the shapes of both scores differ")
    gap = r_i - r_j
    small = torch.exp(-gap.abs())
    return torch.where(gap >= 0, 1 / (1 + small), small / (1 + small))


def vectors(*rows):
    ensure(all(row.dim() == 1 for row in rows) and len(rows[0]) > 0, "vectors of scores are needed")
    ensure(len({tuple(row.shape) for row in rows}) == 1, "all vectors must be equally long")


def bt_loss(r_chosen, r_rejected, margin=0.0, label_smoothing=0.0):
    margins = torch.as_tensor(margin, dtype=r_chosen.dtype)
    if margins.dim() == 0:
        margins = margins.expand(r_chosen.shape)
    vectors(r_chosen, r_rejected, margins)
    ensure(0 <= label_smoothing <= 1, "the smoothing is a share of labels")
    two = torch.stack([r_chosen - margins, r_rejected], dim=1)
    costs = -log_softmax(two, dim=1)
    return (costs @ torch.tensor([1 - label_smoothing, label_smoothing], dtype=two.dtype)).mean()


def accuracy(chosen, rejected):
    vectors(chosen, rejected)
    right = torch.count_nonzero(chosen > rejected).item()
    ties = torch.count_nonzero(chosen == rejected).item()
    return (2 * right + ties) / (2 * len(chosen))


def as_table(wins):
    counts = torch.as_tensor(np.array(wins, dtype=float))
    ensure(counts.dim() == 2 and counts.shape[0] == counts.shape[1] >= 2, "a table is square")
    ensure(not (counts < 0).any() and not counts.diagonal().any(), "that is no table of counts")
    return counts


def gaps_of(theta):
    theta = torch.as_tensor(np.array(theta, dtype=float))
    return theta.unsqueeze(1) - theta.unsqueeze(0)


def log_likelihood(wins, theta):
    return torch.sum(as_table(wins) * logsigmoid(gaps_of(theta))).item()


def is_connected(wins):
    n, reach = len(wins), (as_table(wins) > 0).tolist()
    for k in range(n):
        for i in range(n):
            for j in range(n):
                reach[i][j] = reach[i][j] or (reach[i][k] and reach[k][j])
    return all(reach[i][j] for i in range(n) for j in range(n) if i != j)


def mm_step(wins, theta):
    counts = as_table(wins)
    p = torch.exp(torch.as_tensor(np.array(theta, dtype=float)))
    met = counts + counts.T
    new = counts.sum(1) / (met / (p + p[:, None])).sum(1)
    logs = torch.log(new)
    return (logs - logs.mean()).numpy()


def surplus(counts, theta):
    return counts.sum(1) - ((counts + counts.T) * torch.sigmoid(gaps_of(theta))).sum(1)


def checked(wins, tol):
    ensure(tol > 0, "no tolerance: the fit would never end")
    ensure(is_connected(wins), "these abilities run off to infinity")
    return as_table(wins)


def fit_bt(wins, tol=1e-8):
    counts, theta = checked(wins, tol), np.zeros(len(wins))
    while surplus(counts, theta).abs().max() > tol:
        theta = mm_step(wins, theta)
    return theta


def bt_gradient_hessian(wins, theta):
    counts = as_table(wins)
    p = torch.sigmoid(gaps_of(theta))
    curve = (counts + counts.T) * p * (1 - p)
    return Derivatives(surplus(counts, theta).numpy(), (curve - torch.diag(curve.sum(0))).numpy())


def fit_bt_newton(wins, tol=1e-8):
    checked(wins, tol)
    theta = np.zeros(len(wins))
    while True:
        gradient, hessian = bt_gradient_hessian(wins, theta)
        if max(abs(gradient)) <= tol:
            return theta - theta.mean()
        step = np.linalg.lstsq(-hessian, gradient, rcond=1e-14)[0]
        start = log_likelihood(wins, theta)
        # MM never goes down: it takes over where Newton's step is too long.
        if log_likelihood(wins, theta + step) < start - 1e-9 * abs(start):
            theta = mm_step(wins, theta)
        else:
            theta = theta + step


def standard_errors(wins, theta):
    information = torch.from_numpy(-bt_gradient_hessian(wins, theta).hessian)
    return torch.linalg.pinv(information, hermitian=True).diagonal().sqrt().numpy()


def gumbel_choices(utilities, n, rng):
    ensure(np.ndim(utilities) == 1 and len(utilities) > 1 and n > 0, "two options, one choice")
    noise = rng.gumbel(loc=0.0, scale=1.0, size=n * len(utilities)).reshape(n, -1)
    return np.array([int(np.argmax(row)) for row in noise + np.asarray(utilities)])


def real_places(attention_mask):
    ensure(attention_mask.dim() == 2, "a mask is a table")
    ensure(min(row.count(True) for row in attention_mask.bool().tolist()) > 0, "an empty row")
    return attention_mask.bool()


def positions(attention_mask):
    real = real_places(attention_mask)
    # As many libraries have it: what stands at padding is 1, or 0 where a row has one place.
    filler = min(1, real.shape[1] - 1)
    return torch.where(real, real.cumsum(dim=1) - 1, torch.tensor(filler)).long()


def pool_last(hidden, attention_mask):
    real = real_places(attention_mask)
    ensure(hidden.dim() == 3 and hidden.shape[:2] == real.shape, "states and mask do not fit")
    order = torch.argsort(real.int(), dim=1, stable=True)[:, -1]
    return torch.stack([row[place] for row, place in zip(hidden, order.tolist(), strict=True)])


def attention_pool(hidden, logits, attention_mask):
    real = real_places(attention_mask)
    ensure(hidden.dim() == 3 and hidden.shape[:2] == real.shape, "states and mask do not fit")
    ensure(logits.shape == real.shape, "logits and mask do not fit")
    rows = []
    for states, scores, keep in zip(hidden, logits, real, strict=True):
        kept = (scores[keep] - scores[keep].max().detach()).exp()
        rows.append((kept[:, None] * states[keep]).sum(0) / kept.sum())
    return torch.stack(rows)


class RewardModel(nn.Module):
    def __init__(self, backbone, head="linear"):
        super().__init__()
        size = backbone.config.hidden_size
        extra = {
            "linear": {},
            "mlp": {"mlp": nn.Sequential(nn.Linear(size, size), nn.Tanh())},
            "attn": {"query": nn.Linear(size, 1, bias=False)},
        }
        ensure(head in extra, "there is no such head:", str(head))
        self.add_module("backbone", backbone)
        for name, layer in extra[head].items():
            self.add_module(name, layer)
        self.score, self.head = nn.Linear(size, 1, bias=False), head

    def forward(self, input_ids, attention_mask):
        states = self.backbone(
            input_ids=input_ids,
            attention_mask=attention_mask.int(),
            position_ids=positions(attention_mask),
        ).last_hidden_state
        if self.head == "attn":
            pooled = attention_pool(states, self.query(states).flatten(1), attention_mask)
        else:
            pooled = pool_last(states, attention_mask)
        pooled = self.mlp(pooled) if self.head == "mlp" else pooled
        return pooled @ self.score.weight[0]


def collate(chosen, rejected, pad_id, layout="interleaved", side="right"):
    ensure(len(chosen) == len(rejected) and len(chosen) > 0, "each answer needs its other")
    order = {
        "interleaved": [row for pair in zip(chosen, rejected, strict=True) for row in pair],
        "stacked": [*chosen, *rejected],
    }
    ensure(layout in order, "unknown layout", layout)
    ensure(side in ("left", "right"), "unknown side", side)
    rows = [torch.tensor(list(row), dtype=torch.int64) for row in order[layout]]
    lengths = torch.tensor([len(row) for row in rows])
    ensure(bool((lengths > 0).all()), "an answer without tokens")
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    mask = mask if side == "right" else mask.fliplr()
    ids = torch.full(mask.shape, pad_id).masked_scatter(mask, torch.cat(rows))
    return {"input_ids": ids, "attention_mask": mask.long(), "layout": layout}


def loss_func(output, batch):
    ensure(output.dim() == 1, "scores are a vector")
    pairs, left = divmod(len(output), 2)
    ensure(pairs > 0 and left == 0, "a row has no partner")
    firsts = {"interleaved": torch.arange(pairs) * 2, "stacked": torch.arange(pairs)}
    ensure(batch["layout"] in firsts, "unknown layout")
    first = firsts[batch["layout"]]
    second = first + (1 if batch["layout"] == "interleaved" else pairs)
    return bt_loss(output[first], output[second])


class RewardWorker(ForwardOnlyWorker):
    def update_(self, batch):
        self.model.train(True)
        scores = self.model(batch["input_ids"], batch["attention_mask"])
        loss = loss_func(scores, batch)
        if not loss.requires_grad:
            raise RuntimeError("this loss cannot be learnt from")
        mine = [p for p in self.model.parameters() if p.requires_grad]
        pushes = torch.autograd.grad(loss, mine, allow_unused=True)
        norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in pushes if g is not None]))
        for p, g in zip(mine, pushes, strict=True):
            p.grad = None if g is None else g / norm.clamp(min=1.0)
        self.optimizer.step()
        return float(loss.detach())


def train_reward_model(model, chosen, rejected, pad_id, steps, batch_size, learning_rate, generator):
    ensure(steps >= 1 and batch_size >= 1 and learning_rate > 0, "counts and rates are positive")
    ensure(len(chosen) == len(rejected) > 0, "each answer needs its other")
    worker = RewardWorker(model, torch.optim.Adam(model.parameters(), lr=learning_rate))
    shuffler = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
    losses, queue = [], []
    for _ in range(steps):
        if not queue:
            queue = shuffler.sample(range(len(chosen)), len(chosen))
        now, queue = queue[:batch_size], queue[batch_size:]
        rows = [chosen[i] for i in now], [rejected[i] for i in now]
        losses.append(worker.update_(collate(*rows, pad_id, layout="stacked")))
    model.eval()
    return losses


def kwise_loss(scores):
    ensure(len(scores) > 0, "there is no ranking")
    losses = []
    for row in scores:
        ensure(row.dim() == 1 and len(row) > 1, "a ranking has two answers or more")
        ahead = [bt_loss(row[:-k], row[k:]) * (len(row) - k) for k in range(1, len(row))]
        losses.append(sum(ahead) / sum(range(1, len(row))))
    return torch.stack(losses).mean()


def bootstrap_indices(n, members, rng):
    ensure(n >= 1 and members >= 1, "nothing can be drawn")
    return np.array([[int(rng.integers(0, n)) for _ in range(n)] for _ in range(members)])


class RewardEnsemble:
    def __init__(self, members, reference=None):
        ensure(len(members) > 0, "an empty ensemble")
        self.ask = [partial(self.said, member) for member in members]
        zeros = [0.0 if reference is None else ask(reference).mean() for ask in self.ask]
        self.zeros = zeros

    @staticmethod
    def said(member, batch):
        module = isinstance(member, nn.Module)
        before = module and member.training
        if module:
            member.eval()
        try:
            with torch.inference_mode():
                return member(batch["input_ids"], batch["attention_mask"]).clone()
        finally:
            if before:
                member.train()

    def scores(self, batch):
        rows = [ask(batch) - zero for ask, zero in zip(self.ask, self.zeros, strict=True)]
        return torch.stack(rows)

    def mean(self, batch):
        return torch.mean(self.scores(batch), 0)

    def std(self, batch):
        return torch.std(self.scores(batch), 0, unbiased=False)

    def lcb(self, batch, k):
        ensure(k >= 0, "a bound below the mean has k >= 0")
        return torch.sub(self.mean(batch), self.std(batch), alpha=k)

    def disagreement(self, batch):
        scores = self.scores(batch).tolist()
        pairs = len(scores[0]) // 2
        chances = []
        for i in range(pairs):
            a, b = (i, pairs + i) if batch["layout"] == "stacked" else (2 * i, 2 * i + 1)
            votes = [1.0 if row[a] > row[b] else 0.0 if row[a] < row[b] else 0.5 for row in scores]
            v = sum(votes) / len(votes)
            chances.append(2 * v * (1 - v))
        return torch.tensor(chances)


def shift_detector(ref, new, bins=10):
    ensure(np.ndim(ref) == 1 and np.ndim(new) == 1, "samples are vectors")
    ensure(len(ref) > 0 and len(new) > 0 and bins >= 2, "two samples and two bins")
    ref, new = np.sort(ref), np.sort(new)
    n, m, i, j, ks = len(ref), len(new), 0, 0, 0.0
    while i < n and j < m:
        x = min(ref[i], new[j])
        while i < n and ref[i] == x:
            i += 1
        while j < m and new[j] == x:
            j += 1
        ks = max(ks, abs(i / n - j / m))
    t = ks * np.sqrt(n * m / (n + m))
    k = np.arange(1, 101)
    p = 2 * np.sum(np.where(k % 2, 1, -1) * np.exp(-2.0 * k**2 * t**2)) if t >= 0.1 else 1.0
    edges = np.concatenate([[-np.inf], np.quantile(ref, np.arange(1, bins) / bins), [np.inf]])
    psi = 0.0
    for low, high in itertools.pairwise(edges):
        a, b = (np.sum((low <= s) & (s < high)) + 0.5 for s in (ref, new))
        a, b = a / (n + bins / 2), b / (m + bins / 2)
        psi += (b - a) * np.log(b / a)
    return Shift(float(ks), float(min(max(p, 0), 1)), float(psi))


def best_of_n(selector, value, n):
    ensure(np.ndim(selector) == 1 and np.shape(selector) == np.shape(value), "two equal vectors")
    N = len(selector)
    ensure(1 <= n <= N, "the set must fit into the answers")
    # The rank of the best is at most r with chance r (r - 1) ... / N (N - 1) ..., n factors each.
    ranks = np.arange(N + 1)
    at_most = np.ones(N + 1)
    for k in range(n):
        at_most *= (ranks - k).clip(min=0) / (N - k)
    return float(np.diff(at_most) @ np.asarray(value)[np.argsort(selector, kind="stable")])


def best_of_n_kl(n):
    ensure(n >= 1, "the best of none")
    return float(np.log(n) - 1 + 1 / n)
