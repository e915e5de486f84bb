"""Another style: tables as lists of matches, fits by iterated least squares, a DataLoader for the
passes, masks added to logits, exact binomials for best-of-n."""

from math import comb

import numpy as np
import torch.nn.functional as F


def demand(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def bt_prob(r_i, r_j):
    demand(r_i.shape == r_j.shape, "both scores must have one shape")
    return F.logsigmoid(r_i - r_j).exp()


def bt_loss(r_chosen, r_rejected, margin=0.0, label_smoothing=0.0):
    demand(r_chosen.dim() == 1 and r_chosen.shape[0] > 0, "scores come in one row")
    demand(r_chosen.shape == r_rejected.shape, "both rows must be equally long")
    if isinstance(margin, torch.Tensor) and margin.dim() > 0:
        demand(margin.shape == r_chosen.shape, "there is one margin for each pair")
    demand(0.0 <= label_smoothing <= 1.0, "smoothing must be from 0 to 1")
    logits = r_chosen - r_rejected - margin
    losses = -F.logsigmoid(logits) * (1 - label_smoothing)
    losses -= F.logsigmoid(-logits) * label_smoothing
    return losses.mean()


def accuracy(chosen, rejected):
    demand(chosen.dim() == 1 and chosen.shape[0] > 0, "scores come in one row")
    demand(chosen.shape == rejected.shape, "both rows must be equally long")
    points = sum(1.0 if c > r else 0.5 if c == r else 0.0 for c, r in zip(chosen.tolist(), rejected.tolist(), strict=True))
    return points / len(chosen)


def matches(wins):
    """The table, the pairs (i, j) that met, their games, and how often i won."""
    wins = np.asarray(wins, dtype=np.float64)
    demand(wins.ndim == 2 and wins.shape[0] == wins.shape[1] and len(wins) >= 2, "a table is square")
    demand(np.all(wins >= 0) and np.all(np.diagonal(wins) == 0), "a table has counts, beside an empty diagonal")
    first, second = np.nonzero(np.triu(wins + wins.T))
    design = np.zeros((len(first), len(wins)))
    design[np.arange(len(first)), first], design[np.arange(len(first)), second] = 1, -1
    return wins, design, (wins + wins.T)[first, second], wins[first, second]


def log_likelihood(wins, theta):
    _, design, games, won = matches(wins)
    gaps = design @ theta
    # log sigmoid(-x) = log sigmoid(x) - x
    return float(np.sum(games * -np.logaddexp(0, -gaps) - (games - won) * gaps))


def is_connected(wins):
    wins = matches(wins)[0]
    steps = (wins > 0).astype(float) + np.eye(len(wins))
    return bool(np.all(np.linalg.matrix_power(steps, len(wins)) > 0))


def mm_step(wins, theta):
    wins, design, games, _ = matches(wins)
    p = np.exp(theta)
    shares = games / (np.abs(design) @ p)
    new = np.log(wins.sum(1)) - np.log(np.abs(design).T @ shares)
    return new - np.mean(new)


def fit_bt(wins, tol=1e-8):
    demand(tol > 0, "tol must be above 0")
    demand(is_connected(wins), "no maximum: the players do not form one ring of wins")
    wins, theta = np.asarray(wins), np.zeros(len(wins))
    while np.max(np.abs(bt_gradient_hessian(wins, theta).gradient)) > tol:
        theta = mm_step(wins, theta)
    return theta


def bt_gradient_hessian(wins, theta):
    _, design, games, won = matches(wins)
    p = 1 / (1 + np.exp(-design @ theta))
    return Derivatives(design.T @ (won - games * p), -design.T @ np.diag(games * p * (1 - p)) @ design)


def fit_bt_newton(wins, tol=1e-8):
    """Each step is a weighted least-squares problem, solved with the shortest answer."""
    demand(tol > 0, "tol must be above 0")
    demand(is_connected(wins), "no maximum: the players do not form one ring of wins")
    theta = np.zeros(len(wins))
    _, design, games, won = matches(wins)
    while True:
        gaps = design @ theta
        p = 1 / (1 + np.exp(-gaps))
        surplus = won - games * p
        if np.max(np.abs(design.T @ surplus)) <= tol:
            return theta - theta.mean()
        root = np.sqrt(games * p * (1 - p))
        step = np.linalg.lstsq(root[:, None] * design, surplus / root, rcond=None)[0]
        share, start = 1.0, log_likelihood(wins, theta)
        while share > 1e-12 and log_likelihood(wins, theta + share * step) < start - 1e-9 * abs(start):
            share *= 0.5
        theta = theta + share * step


def standard_errors(wins, theta):
    n = len(wins)
    information = -bt_gradient_hessian(wins, theta).hessian
    # Lagrange: the sum is held at 0.
    bordered = np.block([[information, np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    return np.sqrt(np.diag(np.linalg.inv(bordered))[:n])


def gumbel_choices(utilities, n, rng):
    demand(np.ndim(utilities) == 1 and len(utilities) >= 2, "choosing needs two options")
    demand(n >= 1, "choosing needs a choice")
    uniform = rng.uniform(size=(n, len(utilities)))
    return (np.asarray(utilities) - np.log(-np.log(uniform))).argmax(axis=-1)


def tokens_of(attention_mask):
    demand(attention_mask.dim() == 2, "a mask has rows and places")
    demand(bool((attention_mask.sum(dim=1) > 0).all()), "a row has no token")
    return attention_mask > 0


def positions(attention_mask):
    real = tokens_of(attention_mask)
    ids = real.long().cumsum(-1) - 1
    return ids.masked_fill(~real, 0)


def pool_last(hidden, attention_mask):
    real = tokens_of(attention_mask)
    demand(hidden.dim() == 3 and hidden.shape[:2] == real.shape, "hidden states and mask do not fit")
    places = torch.arange(real.shape[1]).expand_as(real).masked_fill(~real, -1)
    index = places.max(dim=1).values.view(-1, 1, 1).expand(-1, 1, hidden.shape[2])
    return hidden.gather(1, index).squeeze(1)


def attention_pool(hidden, logits, attention_mask):
    real = tokens_of(attention_mask)
    demand(hidden.dim() == 3 and hidden.shape[:2] == real.shape == logits.shape, "hidden states, logits and mask do not fit")
    away = torch.zeros_like(logits).masked_fill(~real, -1e9)
    weights = F.softmax(torch.where(real, logits, 0) + away, dim=-1)
    return torch.matmul(weights.unsqueeze(1), torch.where(real.unsqueeze(-1), hidden, 0)).squeeze(1)


class RewardModel(nn.Module):
    def __init__(self, backbone, head="linear"):
        super().__init__()
        H = backbone.config.hidden_size
        self.backbone = backbone
        if head == "mlp":
            self.mlp = nn.Sequential(nn.Linear(H, H), nn.Tanh())
        elif head == "attn":
            self.query = nn.Linear(H, 1, bias=False)
        elif head != "linear":
            raise ValueError(f"a head called {head} is not known")
        self.kind = head
        self.score = nn.Linear(H, 1, bias=False)

    def forward(self, input_ids, attention_mask):
        out = self.backbone(
            input_ids,
            attention_mask=attention_mask,
            position_ids=positions(attention_mask),
            return_dict=True,
        ).last_hidden_state
        if self.kind == "attn":
            return self.score(attention_pool(out, self.query(out)[:, :, 0], attention_mask))[:, 0]
        last = pool_last(out, attention_mask)
        return self.score(self.mlp(last) if self.kind == "mlp" else last)[:, 0]


def collate(chosen, rejected, pad_id, layout="interleaved", side="right"):
    demand(len(chosen) > 0 and len(chosen) == len(rejected), "every pair has two answers")
    demand(all(len(x) > 0 for x in chosen) and all(len(x) > 0 for x in rejected), "an answer is empty")
    demand(layout in ["interleaved", "stacked"], f"no layout is called {layout}")
    demand(side in ["right", "left"], f"no side is called {side}")
    rows = list(chosen) + list(rejected)
    if layout == "interleaved":
        rows[0::2], rows[1::2] = list(chosen), list(rejected)
    L = max(len(row) for row in rows)
    ids, mask = np.full((len(rows), L), pad_id), np.zeros((len(rows), L), dtype=int)
    for i, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(L - len(row), L)
        ids[i, where], mask[i, where] = row, 1
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask), "layout": layout}


def loss_func(output, batch):
    demand(output.dim() == 1 and output.numel() > 0 and output.numel() % 2 == 0, "there must be two rows for each pair")
    if batch["layout"] == "stacked":
        return bt_loss(*output.chunk(2))
    demand(batch["layout"] == "interleaved", "a layout is stacked or interleaved")
    return bt_loss(*output.reshape(-1, 2).unbind(1))


class RewardWorker(ForwardOnlyWorker):
    def loss_func(self, output, batch=None):
        return super().loss_func(output) if batch is None else loss_func(output, batch)

    def update_(self, batch):
        self.model.train()
        self.model.zero_grad()
        self.optimizer.zero_grad()
        loss = self.loss_func(self.model(batch["input_ids"], batch["attention_mask"]), batch)
        if not loss.requires_grad:
            raise RuntimeError("a loss without a gradient teaches nothing")
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.grad is not None], 1.0)
        self.optimizer.step()
        return loss.item()


def train_reward_model(model, chosen, rejected, pad_id, steps, batch_size, learning_rate, generator):
    demand(steps >= 1 and batch_size >= 1, "a step and a pair at least")
    demand(learning_rate > 0, "the learning rate must be above 0")
    demand(len(chosen) > 0 and len(chosen) == len(rejected), "every pair has two answers")
    loader = torch.utils.data.DataLoader(
        list(zip(chosen, rejected, strict=True)), batch_size, shuffle=True, generator=generator, collate_fn=list
    )
    worker = RewardWorker(model, torch.optim.Adam(model.parameters(), learning_rate))
    losses = []
    while True:
        for pairs in loader:
            losses.append(worker.update_(collate(*zip(*pairs, strict=True), pad_id)))
            if len(losses) == steps:
                model.eval()
                return losses


def kwise_loss(scores):
    demand(len(scores) > 0, "there is no prompt")
    demand(all(s.dim() == 1 and s.numel() >= 2 for s in scores), "a prompt has fewer than two answers")
    prompts = []
    for s in scores:
        K = s.numel()
        pairs = [-F.logsigmoid(s[i] - s[j]) for i in range(K) for j in range(i + 1, K)]
        prompts.append(torch.stack(pairs).mean())
    return sum(prompts) / len(prompts)


def bootstrap_indices(n, members, rng):
    demand(n >= 1 and members >= 1, "n and members count from 1")
    return rng.choice(n, size=(members, n))


class RewardEnsemble:
    def __init__(self, members, reference=None):
        demand(len(members) > 0, "nobody is in this ensemble")
        self.members = list(members)
        self.reference = reference

    def _raw(self, batch):
        said = []
        for member in self.members:
            training = isinstance(member, nn.Module) and member.training
            if training:
                member.eval()
            with torch.no_grad():
                said.append(member(batch["input_ids"], batch["attention_mask"]))
            if training:
                member.train()
        return torch.stack(said)

    def scores(self, batch):
        raw = self._raw(batch)
        if self.reference is None:
            return raw
        return raw - self._raw(self.reference).mean(dim=1).unsqueeze(1)

    def mean(self, batch):
        return self.scores(batch).mean(0)

    def std(self, batch):
        s = self.scores(batch)
        return (s.pow(2).mean(0) - s.mean(0).pow(2)).clamp(min=0).sqrt()

    def lcb(self, batch, k):
        demand(k >= 0, "k is not negative")
        return self.mean(batch) - k * self.std(batch)

    def disagreement(self, batch):
        s = self.scores(batch)
        a, b = s.chunk(2, dim=1) if batch["layout"] == "stacked" else (s[:, 0::2], s[:, 1::2])
        votes = torch.where(a > b, 1.0, torch.where(a < b, 0.0, 0.5)).to(s.dtype)
        v = votes.mean(dim=0)
        return v * (1 - v) + (1 - v) * v


def shift_detector(ref, new, bins=10):
    for sample in (ref, new):
        demand(np.ndim(sample) == 1 and len(sample) > 0, "a sample is a row of numbers")
    demand(bins >= 2, "at least two bins are needed")
    grid = np.sort(np.concatenate([ref, new]))
    F_ref = np.array([np.count_nonzero(ref <= x) for x in grid]) / len(ref)
    F_new = np.array([np.count_nonzero(new <= x) for x in grid]) / len(new)
    ks = float(np.max(np.abs(F_ref - F_new)))
    t = ks * np.sqrt(len(ref) * len(new) / (len(ref) + len(new)))
    p, k = 1.0, 1
    if t >= 0.1:
        p = 0.0
        while (term := np.exp(-2 * (k * t) ** 2)) > 1e-18:
            p += 2 * term if k % 2 else -2 * term
            k += 1
    edges = np.quantile(ref, np.linspace(0, 1, bins + 1)[1:-1])
    shares = []
    for sample in (ref, new):
        counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=bins)
        shares.append((counts + 0.5) / (len(sample) + 0.5 * bins))
    psi = np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0]))
    return Shift(ks, float(np.clip(p, 0, 1)), float(psi))


def best_of_n(selector, value, n):
    demand(np.ndim(selector) == 1 and np.shape(selector) == np.shape(value), "one score and one value for each answer")
    N = len(selector)
    demand(1 <= n <= N, f"n must be from 1 to {N}")
    total, mean = comb(N, n), 0.0
    for rank, index in enumerate(np.argsort(selector)):
        mean += comb(rank, n - 1) / total * value[index]
    return float(mean)


def best_of_n_kl(n):
    demand(n >= 1, "n counts from 1")
    return float(np.log(n)) - (n - 1) / n
