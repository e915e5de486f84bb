"""Another style: derivatives by autograd, the fit by L-BFGS and Newton in a reduced gauge, chains of
wins by a search, best-of-n by a product of ratios, batches by pad_sequence."""

import numpy as np
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence


def check(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def table_of(wins):
    wins = np.array(wins, dtype=float)
    square = wins.ndim == 2 and wins.shape[0] == wins.shape[1] >= 2
    check(square and wins.min() >= 0 and not wins.diagonal().any(), "that is no table of games.")
    return wins


def pairs_of(one, other):
    check(one.dim() == 1 and one.numel() > 0 and one.shape == other.shape, "scores of pairs are two vectors.")


def bt_prob(r_i, r_j):
    check(r_i.shape == r_j.shape, "two scores for each pair.")
    return torch.stack([r_i, r_j]).softmax(dim=0)[0]


def bt_loss(r_chosen, r_rejected, margin=0.0, label_smoothing=0.0):
    pairs_of(r_chosen, r_rejected)
    check(0 <= label_smoothing <= 1, "smoothing is a share.")
    check(not isinstance(margin, Tensor) or margin.dim() == 0 or margin.shape == r_chosen.shape, "a margin for each pair.")
    d = r_chosen - r_rejected - margin
    return F.binary_cross_entropy_with_logits(d, torch.full_like(d, 1 - label_smoothing))


def accuracy(chosen, rejected):
    pairs_of(chosen, rejected)
    return (torch.sign(chosen - rejected).double().mean().item() + 1) / 2


def surely(wins, theta):
    """The log-likelihood as a differentiable number."""
    gaps = theta[:, None] - theta[None, :]
    return (torch.as_tensor(wins) * F.logsigmoid(gaps)).sum()


def log_likelihood(wins, theta):
    return surely(table_of(wins), torch.tensor(theta, dtype=torch.float64)).item()


def is_connected(wins):
    wins = table_of(wins)

    def reached(edges):
        seen, waiting = {0}, [0]
        while waiting:
            new = set(np.flatnonzero(edges[waiting.pop()])) - seen
            seen |= new
            waiting += new
        return seen

    everybody = set(range(len(wins)))
    return reached(wins) == everybody and reached(wins.T) == everybody


def mm_step(wins, theta):
    wins = table_of(wins)
    new = np.empty(len(wins))
    for i in range(len(wins)):
        others = np.delete(np.arange(len(wins)), i)
        games = wins[i, others] + wins[others, i]
        # Divided by the player's own ability, so that nothing overflows.
        weight = (games / (1 + np.exp(theta[others] - theta[i]))).sum()
        new[i] = theta[i] + np.log(wins[i].sum()) - np.log(weight)
    return new - new.mean()


def bt_gradient_hessian(wins, theta):
    wins, at = table_of(wins), torch.tensor(theta, dtype=torch.float64)
    gradient = torch.func.grad(lambda x: surely(wins, x))(at)
    hessian = torch.autograd.functional.hessian(lambda x: surely(wins, x), at)
    return Derivatives(gradient.numpy(), hessian.numpy())


def climbed(wins, tol):
    wins = table_of(wins)
    check(tol > 0, "the tolerance must be above 0.")
    check(is_connected(wins), "somebody never wins, never loses, or never meets the rest.")
    theta = np.zeros(len(wins))
    for _ in range(300):
        gradient, hessian = bt_gradient_hessian(wins, theta)
        if np.abs(gradient).max() <= tol:
            break
        # Along (1, ..., 1) nothing curves: a rank-one term makes the matrix regular.
        step = np.linalg.solve(np.ones_like(hessian) - hessian, gradient)
        before = log_likelihood(wins, theta)
        while log_likelihood(wins, theta + step) < before - 1e-10 * abs(before):
            step = step / 2
        theta = theta + step
    return theta - theta.mean()


def fit_bt(wins, tol=1e-8):
    return climbed(wins, tol)


def fit_bt_newton(wins, tol=1e-8):
    return climbed(wins, tol)


def standard_errors(wins, theta):
    n = len(table_of(wins))
    information = -bt_gradient_hessian(wins, theta).hessian
    regular = np.linalg.inv(information + np.ones((n, n)) / n) - np.ones((n, n)) / n
    return regular.diagonal() ** 0.5


def gumbel_choices(utilities, n, rng):
    check(np.ndim(utilities) == 1 and np.size(utilities) >= 2 and n >= 1, "two options and one choice at least.")
    waiting = rng.exponential(size=(n, len(utilities)))
    return np.argmin(np.log(waiting) - np.asarray(utilities), axis=1)


def mask_of(attention_mask):
    mask = attention_mask.bool()
    check(mask.dim() == 2 and bool(mask.sum(1).min() > 0), "each row needs a token.")
    return mask


def positions(attention_mask):
    mask = mask_of(attention_mask)
    places = torch.zeros(mask.shape, dtype=torch.int64)
    for row, real in zip(places, mask, strict=True):
        row[real] = torch.arange(int(real.sum()))
    return places


def pool_last(hidden, attention_mask):
    mask = mask_of(attention_mask)
    check(hidden.dim() == 3 and hidden.shape[:2] == mask.shape, "states and mask do not fit.")
    return torch.stack([states[real][-1] for states, real in zip(hidden, mask, strict=True)])


def attention_pool(hidden, logits, attention_mask):
    mask = mask_of(attention_mask)
    check(hidden.dim() == 3 and hidden.shape[:2] == mask.shape == logits.shape, "states, logits and mask do not fit.")
    weights = torch.where(mask, logits, -torch.inf).log_softmax(dim=1).exp()
    return torch.bmm(weights[:, None], torch.where(mask[:, :, None], hidden, 0.0))[:, 0]


class RewardModel(nn.Module):
    def __init__(self, backbone, head="linear"):
        super().__init__()
        makers = {"linear": self._plain, "mlp": self._bent, "attn": self._weighed}
        check(head in makers, f"there is no head {head}.")
        width = backbone.config.hidden_size
        self.backbone, self._read = backbone, makers[head]
        self.score = nn.Linear(width, 1, bias=False)
        if head == "mlp":
            self.mlp = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        if head == "attn":
            self.query = nn.Linear(width, 1, bias=False)

    def _plain(self, hidden, mask):
        return pool_last(hidden, mask)

    def _bent(self, hidden, mask):
        return self.mlp(pool_last(hidden, mask))

    def _weighed(self, hidden, mask):
        return attention_pool(hidden, self.query(hidden)[:, :, 0], mask)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.to(torch.int64)
        hidden = self.backbone(input_ids=input_ids, attention_mask=mask, position_ids=positions(mask))
        return self.score(self._read(hidden.last_hidden_state, mask))[:, 0]


def collate(chosen, rejected, pad_id, layout="interleaved", side="right"):
    check(len(chosen) == len(rejected) > 0, "as many rejected as chosen, and one at least.")
    check(min(map(len, [*chosen, *rejected])) > 0, "a list is empty.")
    check(layout in {"interleaved", "stacked"} and side in {"left", "right"}, "layout or side is unknown.")
    rows = list(map(torch.tensor, [*chosen, *rejected]))
    if layout == "interleaved":
        rows = [rows[(i % 2) * len(chosen) + i // 2] for i in range(len(rows))]
    ids = pad_sequence(rows, batch_first=True, padding_value=pad_id, padding_side=side)
    ones = [torch.ones_like(row) for row in rows]
    return {"input_ids": ids, "attention_mask": pad_sequence(ones, batch_first=True, padding_side=side), "layout": layout}


def loss_func(output, batch):
    check(output.dim() == 1 and len(output) > 0 and len(output) % 2 == 0, "rows come in pairs.")
    check(batch["layout"] in {"interleaved", "stacked"}, "which layout is that?")
    half = len(output) // 2
    stacked = batch["layout"] == "stacked"
    chosen, rejected = output.split(half) if stacked else (output[0::2], output[1::2])
    return bt_loss(chosen, rejected)


class RewardWorker(ForwardOnlyWorker):
    def update_(self, batch):
        self.model.train(True)
        for parameter in self.model.parameters():
            parameter.grad = None
        loss = loss_func(self.model(batch["input_ids"], batch["attention_mask"]), batch)
        if loss.grad_fn is None:
            raise RuntimeError("a constant is no loss.")
        loss.backward()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        for gradient in gradients:
            gradient.mul_((1 / (norm + 1e-6)).clamp(max=1.0))
        self.optimizer.step()
        return float(loss)


def train_reward_model(model, chosen, rejected, pad_id, steps, batch_size, learning_rate, generator):
    check(steps >= 1 and batch_size >= 1 and learning_rate > 0, "numbers above 0, please.")
    check(len(chosen) == len(rejected) > 0, "complete pairs, please.")
    worker = RewardWorker(model, torch.optim.Adam(model.parameters(), lr=learning_rate))

    def batches():
        while True:
            order = torch.rand(len(chosen), generator=generator, dtype=torch.float64).argsort()
            yield from order.split(batch_size)

    losses = []
    for rows, _ in zip(batches(), range(steps), strict=False):
        batch = collate([chosen[i] for i in rows], [rejected[i] for i in rows], pad_id, "stacked", "left")
        losses.append(worker.update_(batch))
    model.eval()
    return losses


def kwise_loss(scores):
    check(len(scores) > 0 and all(s.dim() == 1 and len(s) >= 2 for s in scores), "two answers for each prompt.")
    total = 0.0
    for s in scores:
        costs = F.softplus(s[None, :] - s[:, None])
        total = total + costs.triu(1).sum() / (len(s) * (len(s) - 1) / 2)
    return total / len(scores)


def bootstrap_indices(n, members, rng):
    check(n >= 1 and members >= 1, "somebody must learn from something.")
    return np.stack([rng.choice(n, size=n, replace=True) for _ in range(members)])


class RewardEnsemble:
    def __init__(self, members, reference=None):
        check(len(members) > 0, "an ensemble of nobody.")
        self._members, self._zero = tuple(members), None
        if reference is not None:
            self._zero = self._said(reference).mean(dim=1)

    @torch.no_grad()
    def _said(self, batch):
        modes = [getattr(member, "training", None) for member in self._members]
        rows = []
        for member, mode in zip(self._members, modes, strict=True):
            if isinstance(member, nn.Module):
                member.eval()
            rows.append(member(batch["input_ids"], batch["attention_mask"]))
            if isinstance(member, nn.Module) and mode:
                member.train()
        return torch.stack(rows)

    def scores(self, batch):
        said = self._said(batch)
        return said if self._zero is None else said - self._zero[:, None]

    def mean(self, batch):
        return self.scores(batch).mean(dim=0)

    def std(self, batch):
        scores = self.scores(batch)
        return (scores - scores.mean(dim=0)).square().mean(dim=0).sqrt()

    def lcb(self, batch, k):
        check(k >= 0, "k is not negative.")
        return self.mean(batch) - k * self.std(batch)

    def disagreement(self, batch):
        scores = self.scores(batch)
        half = scores.shape[1] // 2
        stacked = batch["layout"] == "stacked"
        first, second = scores.split(half, dim=1) if stacked else (scores[:, 0::2], scores[:, 1::2])
        v = ((first - second).sign() / 2 + 0.5).mean(dim=0)
        return 2 * v * (1 - v)


def shift_detector(ref, new, bins=10):
    check(np.ndim(ref) == np.ndim(new) == 1 and np.size(ref) and np.size(new), "two samples, please.")
    check(bins >= 2, "one bin sees nothing.")
    n, m = len(ref), len(new)
    places = np.unique(np.concatenate([ref, new]))
    shares = [(np.asarray(x)[None, :] <= places[:, None]).mean(axis=1) for x in (ref, new)]
    ks = float(np.abs(shares[0] - shares[1]).max())
    t, p_value = ks * (n * m / (n + m)) ** 0.5, 1.0
    if t >= 0.1:
        k = np.arange(1, 200)
        p_value = float(np.clip(2 * ((-1.0) ** (k - 1) * np.exp(-2 * (k * t) ** 2)).sum(), 0, 1))
    inner = np.quantile(ref, np.arange(1, bins) / bins)
    counts = [np.bincount(np.digitize(x, inner), minlength=bins) + 0.5 for x in (ref, new)]
    p, q = (c / c.sum() for c in counts)
    return Shift(ks, p_value, float(((q - p) * (np.log(q) - np.log(p))).sum()))


def best_of_n(selector, value, n):
    check(np.ndim(selector) == 1 and np.shape(selector) == np.shape(value), "one value for each score.")
    check(1 <= n <= len(selector), "n lies between 1 and N.")
    # From the best answer downwards: the pick, unless something above it is in the set.
    size, left, total = len(selector), 1.0, 0.0
    for above, i in enumerate(np.argsort(selector)[::-1]):
        chance = left * n / (size - above) if size - above >= n else 0.0
        total += min(chance, left) * float(value[i])
        left -= min(chance, left)
    return total


def best_of_n_kl(n):
    check(n >= 1, "n counts from 1.")
    return float(np.log(n) + 1 / n - 1)
