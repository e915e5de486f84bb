"""A right solution in another style: SciPy where it has the thing, matrices instead of loops,
cross-entropy with soft labels."""


import torch.nn.functional as F
from scipy import linalg, special, stats
from scipy.sparse.csgraph import connected_components
from torch import nn


class Complaint(ValueError):
    """A ValueError is a ValueError, whatever it is called."""


def insist(condition, sentence):
    if not bool(condition):
        raise Complaint(sentence)


# -- 1 --


def bt_prob(r_i, r_j):
    insist(r_i.shape == r_j.shape, "scores of one shape are needed")
    return 0.5 * (1 + torch.tanh((r_i - r_j) / 2))


def bt_loss(r_chosen, r_rejected, margin=0.0, label_smoothing=0.0):
    insist(r_chosen.dim() == 1 and len(r_chosen) and r_chosen.shape == r_rejected.shape, "two vectors of one length, please")
    margin = torch.as_tensor(margin, dtype=r_chosen.dtype)
    insist(margin.dim() == 0 or margin.shape == r_chosen.shape, "one margin, or one for each pair")
    insist(0 <= label_smoothing <= 1, "smoothing lies between 0 and 1")
    gap = r_chosen - r_rejected - margin
    return F.binary_cross_entropy_with_logits(gap, torch.full_like(gap, 1 - label_smoothing).detach())


def accuracy(chosen, rejected):
    insist(chosen.dim() == 1 and len(chosen) and chosen.shape == rejected.shape, "two vectors of one length, please")
    return torch.heaviside(chosen - rejected, torch.full((), 0.5, dtype=chosen.dtype)).mean().item()


# -- 2 --


def as_counts(wins):
    counts = np.asarray(wins, dtype=float)
    insist(counts.ndim == 2 and counts.shape[0] == counts.shape[1] >= 2, "a table has as many rows as columns")
    insist(counts.min() >= 0 and np.trace(counts) == 0, "counts are not negative and the diagonal "
                                                        "is empty")
    return counts


def log_likelihood(wins, theta):
    counts = as_counts(wins)
    return float(np.sum(counts * special.log_expit(np.subtract.outer(theta, theta))))


def is_connected(wins):
    return connected_components(as_counts(wins) > 0, directed=True, connection="strong")[0] == 1


def mm_step(wins, theta):
    counts = as_counts(wins)
    log_pairs = np.logaddexp.outer(theta, theta)
    with np.errstate(divide="ignore"):
        denominators = special.logsumexp(np.log(counts + counts.T) - log_pairs, axis=1)
    new = np.log(counts.sum(axis=1)) - denominators
    return new - new.mean()


def surplus(counts, theta):
    return counts.sum(axis=1) - np.sum((counts + counts.T) * special.expit(np.subtract.outer(theta, theta)), axis=1)


def fit_bt(wins, tol=1e-8):
    counts = as_counts(wins)
    insist(tol > 0, "tol is a number of games above 0")
    insist(is_connected(counts), "no finite abilities belong to this table")
    theta = np.zeros(len(counts))
    while np.linalg.norm(surplus(counts, theta), np.inf) > tol:
        theta = mm_step(counts, theta)
    return theta


# -- 3 --


def bt_gradient_hessian(wins, theta):
    counts = as_counts(wins)
    p = special.expit(np.subtract.outer(theta, theta))
    weights = (counts + counts.T) * p * p.T
    np.fill_diagonal(weights, 0)
    return Derivatives(surplus(counts, theta), weights - np.diag(weights.sum(axis=1)))


def fit_bt_newton(wins, tol=1e-8):
    """In the n - 1 differences to the last player, where the Hessian is definite; damped where a
    step goes down."""
    counts = as_counts(wins)
    insist(tol > 0, "tol is a number of games above 0")
    insist(is_connected(counts), "no finite abilities belong to this table")
    theta = np.zeros(len(counts))
    damping = 0.0
    for _ in range(2000):
        gradient, hessian = bt_gradient_hessian(counts, theta)
        if np.abs(gradient).max() <= tol:
            break
        curve = -hessian[:-1, :-1]
        step = np.append(linalg.solve(curve + damping * np.diag(np.diag(curve)), gradient[:-1], assume_a="sym"), 0.0)
        better = log_likelihood(counts, theta + step) >= log_likelihood(counts, theta) - 1e-9 * counts.sum()
        damping = damping / 10 if better else max(10 * damping, 1e-3)
        if better:
            theta = theta + step
    return theta - theta.mean()


def standard_errors(wins, theta):
    information = -bt_gradient_hessian(wins, theta).hessian
    values, vectors = linalg.eigh(information)
    return np.sqrt((vectors[:, 1:] ** 2 / values[1:]).sum(axis=1))  # all but the constant direction


def gumbel_choices(utilities, n, rng):
    insist(np.ndim(utilities) == 1 and len(utilities) >= 2 and n >= 1, "two options and one choice at least")
    looks = stats.gumbel_r.rvs(loc=np.asarray(utilities, float)[:, None], size=(len(utilities), n), random_state=rng)
    return looks.argmax(axis=0)


# -- 4 --


def checked(attention_mask):
    insist(attention_mask.dim() == 2 and bool((attention_mask != 0).any(dim=-1).all()), "each row of a mask has a real token")
    return attention_mask.to(torch.bool)


def positions(attention_mask):
    real = checked(attention_mask)
    first = real.int().argmax(dim=1, keepdim=True)
    return torch.relu(torch.arange(real.shape[1])[None] - first)


def pool_last(hidden, attention_mask):
    real = checked(attention_mask)
    insist(hidden.dim() == 3 and hidden.shape[:2] == real.shape, "states and mask do not fit")
    last = real.shape[1] - 1 - real.flip(1).int().argmax(dim=1)
    return torch.einsum("blh,bl->bh", hidden.masked_fill(~real[..., None], 0), F.one_hot(last, real.shape[1]).to(hidden.dtype))


def attention_pool(hidden, logits, attention_mask):
    real = checked(attention_mask)
    insist(hidden.dim() == 3 and hidden.shape[:2] == real.shape == logits.shape, "states, logits and mask do not fit")
    highest = logits.masked_fill(~real, -1e30).amax(dim=1, keepdim=True)
    weights = torch.exp((logits - highest).masked_fill(~real, 0)) * real
    return torch.einsum("bl,blh->bh", weights / weights.sum(dim=1, keepdim=True), torch.where(real[:, :, None], hidden, 0.0))


class RewardModel(nn.Module):
    def __init__(self, backbone, head="linear"):
        super().__init__()
        insist(head in ("linear", "mlp", "attn"), "there are three heads: linear, mlp and attn")
        self.backbone = backbone
        width = backbone.config.hidden_size
        self.score = nn.Linear(width, 1, bias=False)
        layers = {"mlp": ("mlp", nn.Sequential(nn.Linear(width, width), nn.Tanh())), "attn": ("query", nn.Linear(width, 1, bias=False))}
        if head in layers:
            self.add_module(*layers[head])

    def forward(self, input_ids, attention_mask):
        real = checked(attention_mask)
        output = self.backbone(input_ids=input_ids.masked_fill(~real, 0), attention_mask=real.to(torch.int64), position_ids=positions(real))
        states = output.last_hidden_state
        pooled = attention_pool(states, self.query(states)[..., 0], real) if hasattr(self, "query") else pool_last(states, real)
        return F.linear(self.mlp(pooled) if hasattr(self, "mlp") else pooled, self.score.weight).flatten()


# -- 5 --


def collate(chosen, rejected, pad_id, layout="interleaved", side="right"):
    insist(len(chosen) == len(rejected) >= 1 and min(map(len, [*chosen, *rejected])) > 0, "pairs of lists that are not empty")
    insist(layout in ("interleaved", "stacked") and side in ("left", "right"), "that layout or side is unknown")
    count = len(chosen)
    rows = [torch.tensor([*row]) for row in (*chosen, *rejected)]
    if layout == "interleaved":
        rows = [rows[i + half * count] for i in range(count) for half in (0, 1)]
    turn = (lambda x: x.flip(0)) if side == "left" else (lambda x: x)
    ids = nn.utils.rnn.pad_sequence([turn(row) for row in rows], batch_first=True, padding_value=pad_id)
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    if side == "left":
        ids, mask = ids.flip(1), mask.flip(1)
    return {"input_ids": ids, "attention_mask": mask, "layout": layout}


def loss_func(output, batch):
    insist(output.dim() == 1 and len(output) >= 2 and len(output) % 2 == 0, "rows come in pairs")
    insist(batch["layout"] in ("interleaved", "stacked"), "an unknown layout")
    pairs = output.unflatten(0, (-1, 2)) if batch["layout"] == "interleaved" else output.unflatten(0, (2, -1)).T
    return bt_loss(*pairs.unbind(dim=1))


class RewardWorker(ForwardOnlyWorker):
    def update_(self, batch):
        self.optimizer.zero_grad(set_to_none=False)
        loss = loss_func(self.model.train()(batch["input_ids"], batch["attention_mask"]), batch)
        if loss.grad_fn is None:
            raise RuntimeError("nothing can be learnt from this loss")
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=1.0)
        self.optimizer.step()
        return loss.item()


def train_reward_model(model, chosen, rejected, pad_id, steps, batch_size, learning_rate, generator):
    insist(min(steps, batch_size) >= 1 and learning_rate > 0, "nothing to do, or a learning rate "
                                                              "that is none")
    insist(len(chosen) == len(rejected) >= 1, "pairs are needed")
    worker = RewardWorker(model, torch.optim.Adam(model.parameters(), lr=learning_rate))
    queue, losses = [], []
    while len(losses) < steps:
        if not queue:
            keys = torch.rand(len(chosen), generator=generator, dtype=torch.float64)
            queue = list(keys.argsort().split(batch_size))
        picks = queue.pop(0).tolist()
        losses.append(worker.update_(collate([chosen[i] for i in picks], [rejected[i] for i in picks], pad_id, layout="stacked")))
    model.eval()
    return losses


# -- 6 --


def kwise_loss(scores):
    insist(len(scores) > 0 and all(row.dim() == 1 and row.numel() >= 2 for row in scores), "each ranking has two answers at least")
    terms = []
    for row in scores:
        pairs = torch.combinations(row, 2)
        terms.append(bt_loss(pairs[:, 0], pairs[:, 1]))
    return torch.stack(terms).mean()


# -- 7 --


def bootstrap_indices(n, members, rng):
    insist(n >= 1 and members >= 1, "both counts must be at least one")
    return np.floor(rng.random((members, n)) * n).astype(np.int64)


class RewardEnsemble:
    def __init__(self, members, reference=None):
        insist(len(members) >= 1, "an ensemble needs somebody")
        self._members = tuple(members)
        self._zeros = torch.zeros(len(members), 1)
        if reference is not None:
            self._zeros = self._said(reference).mean(dim=1, keepdim=True)

    @torch.no_grad()
    def _said(self, batch):
        modes = [(m, m.training) for m in self._members if isinstance(m, nn.Module)]
        for member, _ in modes:
            member.eval()
        try:
            return torch.stack([m(batch["input_ids"], batch["attention_mask"]) for m in self._members])
        finally:
            for member, mode in modes:
                member.train(mode)

    def scores(self, batch):
        said = self._said(batch)
        return said - self._zeros.to(said.dtype)

    def mean(self, batch):
        return torch.var_mean(self.scores(batch), dim=0, correction=0)[1]

    def std(self, batch):
        return torch.var_mean(self.scores(batch), dim=0, correction=0)[0].sqrt()

    def lcb(self, batch, k):
        insist(k >= 0, "k counts deviations downwards")
        variance, mean = torch.var_mean(self.scores(batch), dim=0, correction=0)
        return torch.addcmul(mean, variance.sqrt(), torch.full_like(mean, -k))

    def disagreement(self, batch):
        said = self.scores(batch)
        shape = (-1, 2) if batch["layout"] == "interleaved" else (2, -1)
        pairs = said.unflatten(1, shape)
        first, second = pairs.unbind(dim=2 if batch["layout"] == "interleaved" else 1)
        votes = torch.heaviside(first - second, torch.full((), 0.5, dtype=said.dtype)).mean(dim=0)
        return 1 - votes**2 - (1 - votes) ** 2


def shift_detector(ref, new, bins=10):
    insist(np.ndim(ref) == np.ndim(new) == 1 and min(len(ref), len(new)) >= 1 and bins >= 2, "two samples and two bins at least")
    ks = float(stats.ks_2samp(ref, new).statistic)
    n, m = len(ref), len(new)
    t = ks * np.sqrt(n * m / (n + m))
    p_value = float(special.kolmogorov(t)) if t >= 0.1 else 1.0
    inner = np.quantile(ref, np.arange(1, bins) / bins)
    counts = [np.bincount(np.digitize(sample, inner), minlength=bins) for sample in (ref, new)]
    p, q = ((c + 0.5) / (c.sum() + bins / 2) for c in counts)
    return Shift(ks, p_value, float(special.rel_entr(q, p).sum() + special.rel_entr(p, q).sum()))


# -- 8 --


def best_of_n(selector, value, n):
    insist(np.ndim(selector) == 1 and np.shape(selector) == np.shape(value), "a score and a value for each answer")
    size = len(selector)
    insist(1 <= n <= size, "n cannot be less than 1 or more than there are")
    ranks = stats.rankdata(selector, method="ordinal")
    # the highest rank of n drawn is at most r with probability C(r, n) / C(size, n)
    log_ways = special.gammaln(np.arange(size + 1) + 1.0) - special.gammaln(np.maximum(np.arange(size + 1) - n, 0) + 1.0)
    at_most = np.where(np.arange(size + 1) >= n, np.exp(log_ways - log_ways[-1]), 0.0)
    return float(np.sum(np.diff(at_most)[ranks - 1] * np.asarray(value)))


def best_of_n_kl(n):
    insist(n >= 1, "best of nothing")
    return float(np.log(n) - (n - 1) / n)
