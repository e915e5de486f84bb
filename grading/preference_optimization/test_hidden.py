"""Hidden tests of `preference_optimization`: laws of preference losses, on data drawn for each
submission.

Losses are compared with their definitions, pair by pair. Language models are tiny GPT-2s made on
the student's side with weights from here; what they should answer is worked out here by an own
forward pass in float64, row by row and without padding.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from autograder.judging.checks import (
    assert_close,
    assert_equal,
    assert_finite,
    assert_no_grad,
    assert_raises,
    assert_true,
)
from autograder.judging.plugin import points

EOS, PAD = 13, 14
TIGHT = {"rtol": 1e-5, "atol": 1e-6}  # results may have been stored in float32
SINGLE = {"rtol": 1e-4, "atol": 1e-5}  # float32 inside is a legitimate style


class Pairs(NamedTuple):
    """As the student's."""

    prompts: list
    chosen: list
    rejected: list


class Batch(NamedTuple):
    """As the student's."""

    tokens: torch.Tensor
    mask: torch.Tensor


def normal(rng, *shape, scale=1.0):
    return torch.tensor(rng.normal(scale=scale, size=shape))


def scalar(value):
    return torch.tensor(float(value), dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def apart(rng, low, high):
    """A number that is no round one."""
    return float(rng.uniform(low, high))


class Scores(NamedTuple):
    """Log-probabilities of B pairs under a policy and its reference."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    ref_chosen: torch.Tensor
    ref_rejected: torch.Tensor

    @property
    def margins(self):
        """The margin of each pair, one by one."""
        rows = zip(*(x.tolist() for x in self), strict=True)
        return [(c - rc) - (r - rr) for c, r, rc, rr in rows]


def some_scores(rng, B=5):
    """Log-probabilities between -20 and -4, the policy's a few nats from the reference's."""
    ref = [-torch.tensor(rng.uniform(6, 18, size=B)) for _ in range(2)]
    return Scores(*(x + normal(rng, B, scale=1.5) for x in ref), *ref)


# -- a language model ------------------------------------------------------------------------------

WIDTH, HEADS, PLACES = 8, 2, 24


def weights(rng, width=WIDTH, scale=0.5):
    """Weights of a GPT-2 with one layer."""
    shapes = {
        "wte.weight": (15, width), "wpe.weight": (PLACES, width), "h.0.ln_1.weight": (width,), "h.0.ln_1.bias": (width,),
        "h.0.attn.c_attn.weight": (width, 3 * width), "h.0.attn.c_attn.bias": (3 * width,),
        "h.0.attn.c_proj.weight": (width, width), "h.0.attn.c_proj.bias": (width,), "h.0.ln_2.weight": (width,), "h.0.ln_2.bias": (width,),
        "h.0.mlp.c_fc.weight": (width, 4 * width), "h.0.mlp.c_fc.bias": (4 * width,),
        "h.0.mlp.c_proj.weight": (4 * width, width), "h.0.mlp.c_proj.bias": (width,), "ln_f.weight": (width,), "ln_f.bias": (width,),
    }  # fmt: skip
    state = {f"transformer.{name}": normal(rng, *s, scale=scale) for name, s in shapes.items()}
    return state | {"lm_head.weight": state["transformer.wte.weight"]}


def network(lab, state, dropout=0.0):
    """A GPT-2 of transformers on the student's side with these weights."""
    config = lab.make(
        "transformers.GPT2Config", vocab_size=15, n_positions=PLACES, n_embd=state["transformer.wte.weight"].shape[1],
        n_layer=1, n_head=HEADS, resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
        bos_token_id=EOS, eos_token_id=EOS, pad_token_id=PAD, attn_implementation="eager",
    )  # fmt: skip
    model = lab.make("transformers.GPT2LMHeadModel", config)
    if state["transformer.wte.weight"].dtype == torch.float64:
        model.double()
    model.load_state_dict(state)
    return model.eval()


def forward(state, ids):
    """GPT-2 (Radford et al. 2019) with one layer over rows of equal length, (B, n) int64 -> logits
    (B, n, V): an own, independent forward pass."""
    get = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    rows, n = ids.shape
    x = get["wte.weight"][ids] + get["wpe.weight"][:n]

    def norm(x, name):
        x = x - x.mean(dim=-1, keepdim=True)
        deviation = (x.pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return x / deviation * get[f"{name}.weight"] + get[f"{name}.bias"]

    def linear(x, name):
        return x @ get[f"{name}.weight"] + get[f"{name}.bias"]

    q, k, v = (
        y.reshape(rows, n, HEADS, -1).transpose(1, 2)
        for y in linear(norm(x, "h.0.ln_1"), "h.0.attn.c_attn").chunk(3, dim=-1)
    )
    future = torch.ones(n, n).triu(1).bool()
    scores = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).masked_fill(future, -torch.inf)
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(rows, n, -1)
    x = x + linear(mixed, "h.0.attn.c_proj")
    hidden = linear(norm(x, "h.0.ln_2"), "h.0.mlp.c_fc")
    bent = torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3))
    x = x + linear(0.5 * hidden * (1 + bent), "h.0.mlp.c_proj")
    return norm(x, "ln_f") @ get["wte.weight"].T


def slow_logprobs(state, ids):
    """Log-probability of each token of one row after its first, (n - 1,)."""
    logp = forward(state, ids[None])[0].log_softmax(dim=-1)
    return torch.stack([logp[t - 1, ids[t]] for t in range(1, len(ids))])


def slow_response(state, prompt, response, average):
    """Log-probability of a response, alone and without padding: sum or mean over its tokens."""
    parts = slow_logprobs(state, torch.tensor([*prompt, *response]))[len(prompt) - 1 :]
    return parts.mean() if average else parts.sum()


def slow_scores(state, pairs, average):
    """Log-probabilities of the chosen and of the rejected responses."""
    return tuple(
        torch.stack([slow_response(state, x, y, average) for x, y in zip(pairs.prompts, column, strict=True)])
        for column in (pairs.chosen, pairs.rejected)
    )  # fmt: skip


def some_pairs(rng, lengths=((2, 4, 1), (4, 2, 5), (1, 3, 4))):
    """Pairs with these lengths of prompt, chosen and rejected response; no token is PAD."""
    columns = zip(*lengths, strict=True)
    return Pairs(*([rng.integers(0, PAD, size=n).tolist() for n in column] for column in columns))


# -- Part 1: DPO -----------------------------------------------------------------------------------


@points(
    2,
    part="dpo",
    catches=("sums-over-pairs", "reference-forgotten", "reference-of-the-chosen-alone"),
    hint="Before the first step policy and reference agree on everything: each pair is a coin flip.",
)
def test_a_policy_that_is_its_reference_costs_log_two(student, rng):
    """Where policy and reference agree, the loss is log 2, whatever beta and the smoothing are."""
    ref = some_scores(rng)
    same = Scores(ref.ref_chosen, ref.ref_rejected, ref.ref_chosen, ref.ref_rejected)
    for beta in (0.1, apart(rng, 0.3, 2.0)):
        assert_close(student.dpo_loss(*same, beta=beta), scalar(math.log(2)), **TIGHT)
    loss = student.dpo_loss(*same, beta=0.3, label_smoothing=0.15)
    assert_close(loss, scalar(math.log(2)), **TIGHT)


@points(
    2,
    part="dpo",
    catches=("reference-forgotten", "reference-added", "reference-of-the-chosen-alone", "swapped-pair"),
    hint="Two log-ratios, one difference. What belongs to the prompt alone, such as log Z, stands in "
    "both and must cancel.",
)  # fmt: skip
def test_what_belongs_to_the_prompt_cancels(student, rng):
    """The margin is a difference of log-ratios: a number added to both answers of a pair changes
    nothing, and swapping the answers turns its sign."""
    s = some_scores(rng)
    h = torch.tensor(s.margins).double()
    assert_close(student.preference_margin(*s), h, what="the margin", **TIGHT)
    f, g = normal(rng, 5, scale=3.0), normal(rng, 5, scale=3.0)
    shifted = Scores(s.chosen + f, s.rejected + f, s.ref_chosen + g, s.ref_rejected + g)
    assert_close(student.preference_margin(*shifted), h, what="the shifted margin", **TIGHT)
    swapped = Scores(s.rejected, s.chosen, s.ref_rejected, s.ref_chosen)
    assert_close(student.preference_margin(*swapped), -h, what="the swapped margin", **TIGHT)


DPO_BUGS = (
    "beta-forgotten",
    "beta-on-the-policy-alone",
    "beta-divides",
    "beta-multiplies-the-loss",
    "sums-over-pairs",
    "swapped-pair",
    "reference-added",
)


@points(
    3,
    part="dpo",
    catches=DPO_BUGS,
    hint="Per pair: beta * sigmoid(-beta h) is the pull, up on the chosen and down on the rejected. "
    "Then the mean.",
)
def test_surprising_pairs_pull_hardest(student, rng):
    """The loss is the mean of -log sigmoid(beta h), and its gradient -beta sigmoid(-beta h) / B on
    each chosen log-probability, the opposite on the rejected one."""
    s, beta = some_scores(rng), apart(rng, 0.15, 0.45)
    chosen, rejected = s.chosen.clone().requires_grad_(), s.rejected.clone().requires_grad_()
    loss = student.dpo_loss(chosen, rejected, s.ref_chosen, s.ref_rejected, beta=beta)
    expected = np.mean([-math.log(sigmoid(beta * h)) for h in s.margins])
    assert_close(loss.detach(), scalar(expected), what="the loss", **TIGHT)
    up, down = torch.autograd.grad(loss, (chosen, rejected), allow_unused=True)
    pull = torch.tensor([beta * sigmoid(-beta * h) / 5 for h in s.margins]).double()
    assert_close(up, -pull, what="the gradient of the chosen", **TIGHT)
    assert_close(down, pull, what="the gradient of the rejected", **TIGHT)


@points(
    2,
    part="dpo",
    catches="reference-with-a-gradient",
    hint="The reference is a constant, also if somebody hands in its log-probabilities with a graph.",
)
def test_no_gradient_reaches_the_reference(student, lab, rng):
    """Log-probabilities of the reference that carry a gradient are treated as constants."""
    s, beta = some_scores(rng), apart(rng, 0.2, 0.5)
    expected = np.mean([-math.log(sigmoid(beta * h)) for h in s.margins])
    refs = [x.clone().requires_grad_() for x in s[2:]]
    loss = lab.kept(student).dpo_loss(*s[:2], *refs, beta=beta)
    assert_close(lab.value(loss.item()), expected, what="the loss", **TIGHT)
    assert_equal(lab.value(loss.requires_grad), False, what="a gradient that reaches the reference")
    loss = lab.kept(student).dpo_loss(s.chosen.clone().requires_grad_(), *s[1:], beta=beta)
    assert_equal(lab.value(loss.requires_grad), True, what="a gradient that reaches the policy")


@points(
    2,
    part="dpo",
    catches="log-of-sigmoid",
    hint="sigmoid(-1000) is 0 in floating point, and log 0 is -inf: torch.nn.functional.logsigmoid.",
)
def test_extreme_margins_stay_finite(student):
    """Margins of plus and minus ten thousand nats give a finite loss and the right gradient."""
    chosen = torch.tensor([10_000.0, -10_000.0, -7.0], dtype=torch.float64, requires_grad=True)
    others = [torch.tensor([0.0, 0.0, -7.0], dtype=torch.float64)] + [torch.zeros(3).double()] * 2
    loss = student.dpo_loss(chosen, *others, beta=0.3)
    assert_close(loss.detach(), scalar((3000.0 + math.log(2)) / 3), what="the loss", **TIGHT)
    (push,) = torch.autograd.grad(loss, chosen)
    expected = torch.tensor([0.0, -0.3, -0.15], dtype=torch.float64) / 3
    assert_close(push, expected, what="the gradient", **TIGHT)


@points(
    2,
    part="dpo",
    catches=("rewards-without-beta", "rewards-carry-a-gradient", "beta-forgotten"),
    hint="DPO is the Bradley-Terry loss of beta * (logp - ref_logp). A report of it needs no graph.",
)
def test_dpo_is_bradley_terry_of_implicit_rewards(student, lab, rng):
    """The implicit rewards are beta times the log-ratios, without a gradient, and the loss is the
    Bradley-Terry loss of them."""
    s, beta = some_scores(rng), apart(rng, 0.2, 0.5)
    won = student.implicit_rewards(s.chosen, s.ref_chosen, beta)
    lost = student.implicit_rewards(s.rejected, s.ref_rejected, beta)
    assert_close(won, beta * (s.chosen - s.ref_chosen), what="the rewards", **TIGHT)
    loss = np.mean([math.log1p(math.exp(-d)) for d in (won - lost).tolist()])
    assert_close(student.dpo_loss(*s, beta=beta), scalar(loss), what="the loss", **TIGHT)
    rewards = student.implicit_rewards(s.chosen.clone().requires_grad_(), s.ref_chosen, beta)
    assert_no_grad(rewards, what="a reported reward")


@points(
    3,
    part="dpo",
    catches=("smoothing-halved", "smoothing-turned-round", "robust-smoothing"),
    hint="Two terms: 1 - s for the label as given, s for the label the other way round. Where is "
    "the sum smallest?",
)
def test_doubted_labels_have_a_finite_optimum(student, rng):
    """With smoothing s the loss is a mixture of both labels' losses, and flat where beta h =
    log((1 - s) / s)."""
    s, beta, doubt = some_scores(rng), apart(rng, 0.2, 0.5), apart(rng, 0.1, 0.3)
    right, wrong = (
        np.mean([-math.log(sigmoid(sign * beta * h)) for h in s.margins]) for sign in (1, -1)
    )
    assert_close(student.dpo_loss(*s, beta=beta), scalar(right), what="without doubt", **TIGHT)
    loss = student.dpo_loss(*s, beta=beta, label_smoothing=doubt)
    assert_close(loss, scalar((1 - doubt) * right + doubt * wrong), what="the loss", **TIGHT)
    best = s.rejected + s.ref_chosen - s.ref_rejected + math.log((1 - doubt) / doubt) / beta
    best.requires_grad_()
    flat = student.dpo_loss(best, *s[1:], beta=beta, label_smoothing=doubt)
    (push,) = torch.autograd.grad(flat, best)
    assert_close(push, torch.zeros(5).double(), what="the gradient at the optimum", **TIGHT)


@points(
    2,
    part="dpo",
    catches=("weight-of-the-right-ones", "weight-without-smoothing", "weight-without-beta"),
    hint="The pair's loss as a function of its margin alone: differentiate, and change the sign.",
)
def test_weights_are_the_slope_of_the_loss(student, rng):
    """The weight of a pair is minus the slope of its loss: the finite difference of two losses, and
    0 at the optimum of doubted labels."""
    beta, doubt = apart(rng, 0.2, 0.5), apart(rng, 0.1, 0.3)
    h = normal(rng, 6, scale=3.0)

    def cost(x, s):
        return -(1 - s) * math.log(sigmoid(beta * x)) - s * math.log(sigmoid(-beta * x))

    for s in (0.0, doubt):
        slopes = [(cost(x - 1e-5, s) - cost(x + 1e-5, s)) / 2e-5 for x in h.tolist()]
        found = student.dpo_weights(h, beta=beta, label_smoothing=s)
        assert_close(found, torch.tensor(slopes).double(), what="the weights", **TIGHT)
    best = torch.full((2,), math.log((1 - doubt) / doubt) / beta).double()
    found = student.dpo_weights(best.requires_grad_(), beta=beta, label_smoothing=doubt)
    assert_close(found, torch.zeros(2).double(), what="the weights at the optimum", **TIGHT)
    assert_no_grad(found, what="the weights")


# -- Part 2: IPO -----------------------------------------------------------------------------------


@points(
    4,
    part="ipo",
    catches=(
        "ipo-target-half-tau",
        "ipo-target-one-over-tau",
        "ipo-target-below-zero",
        "ipo-in-rewards",
        "ipo-one-sided",
        "ipo-halved",
        "ipo-of-the-mean",
        "swapped-pair",
        "reference-forgotten",
    ),
    hint="A parabola in the margin: where is its bottom, and how wide is it?",
)
def test_ipo_is_a_parabola_around_its_target(student, rng):
    """The loss is the mean squared distance of the margins from 1 / (2 tau), and flat exactly
    there."""
    s, tau = some_scores(rng), apart(rng, 0.15, 0.45)
    target = 1 / (2 * tau)
    expected = np.mean([(h - target) ** 2 for h in s.margins])
    assert_close(student.ipo_loss(*s, tau=tau), scalar(expected), what="the loss", **TIGHT)
    best = (s.rejected + s.ref_chosen - s.ref_rejected + target).requires_grad_()
    loss = student.ipo_loss(best, *s[1:], tau=tau)
    assert_close(loss.detach(), scalar(0.0), what="the loss at the target", **TIGHT)
    ahead = (best.detach() + 0.7).requires_grad_()
    (push,) = torch.autograd.grad(student.ipo_loss(ahead, *s[1:], tau=tau), ahead)
    assert_close(push, torch.full((5,), 1.4 / 5).double(), what="the gradient beyond", **TIGHT)


@points(
    3,
    part="ipo",
    catches=("ipo-one-sided", "ipo-target-below-zero", "ipo-target-one-over-tau"),
    hint="Go down the loss of one pair whose label is certain: DPO never has enough, IPO stops at "
    "1 / (2 tau).",
)
def test_ipo_comes_to_rest_where_dpo_runs_away(student, rng):
    """With labels that are certain, gradient descent on IPO ends at the margin 1 / (2 tau), from
    below and from above, while DPO pulls on at any margin."""
    tau = apart(rng, 0.15, 0.45)
    nothing = torch.zeros(1).double()
    for start in (0.0, 3 / tau):
        h = torch.tensor([start]).double()
        for _ in range(24):
            leaf = h.clone().requires_grad_()
            loss = student.ipo_loss(leaf, nothing, nothing, nothing, tau=tau)
            h = h - 0.25 * torch.autograd.grad(loss, leaf)[0]
        assert_close(h, torch.tensor([1 / (2 * tau)]).double(), what="where IPO ends", **SINGLE)
    for h in (1.0, 5.0, 12.0):
        leaf = torch.tensor([h / tau]).double().requires_grad_()
        loss = student.dpo_loss(leaf, nothing, nothing, nothing, beta=tau)
        (push,) = torch.autograd.grad(loss, leaf)
        assert_close(push / tau * math.exp(h), torch.tensor([-1 / (1 + math.exp(-h))]).double(), what="DPO's pull", **TIGHT)  # fmt: skip


# -- Part 3: KTO -----------------------------------------------------------------------------------


@points(
    2,
    part="kto",
    catches=("reversed-batch", "own-responses", "previous-responses", "one-row-is-mismatched"),
    hint="Turning the batch round leaves the middle one of an odd batch where it is. Shift by one.",
)
def test_no_prompt_meets_its_own_response(student, rng):
    """Each prompt gets the next one's response and the last the first's; a single prompt is
    refused."""
    for count in (2, 5, int(rng.integers(6, 12))):
        expected = torch.tensor([*range(1, count), 0])
        assert_equal(student.mismatched(count), expected, what="the order")
    with assert_raises(ValueError):
        student.mismatched(1)


@points(
    4,
    part="kto",
    catches=(
        "point-learns",
        "point-the-other-way",
        "point-below-zero",
        "point-clamped-by-row",
        "point-is-a-sum",
        "point-is-absolute",
    ),
    hint="An estimate of a divergence: a mean, at least 0, and a constant for the gradient.",
)
def test_the_reference_point_is_a_floored_mean(student, lab, rng):
    """z0 is the mean log-ratio of the mismatched answers, or 0 where that is negative, and carries
    no gradient."""
    ref = -torch.tensor(rng.uniform(6, 18, size=6))
    gaps = normal(rng, 6, scale=0.3) + torch.tensor([2.0, -0.9, 1.5, -0.6, 0.8, -0.4]).double()
    point = student.kto_reference_point(ref + gaps, ref)
    assert_close(point, gaps.mean().clamp(min=0), what="a positive point", **TIGHT)
    point = student.kto_reference_point(ref - gaps.abs(), ref)
    assert_close(point, scalar(0.0), what="the point of a negative estimate", **TIGHT)
    leaf = (ref + gaps).requires_grad_()
    assert_no_grad(student.kto_reference_point(leaf, ref), what="the reference point")


class Thumbs(NamedTuple):
    """Rows of KTO."""

    logp: torch.Tensor
    ref_logp: torch.Tensor
    desirable: torch.Tensor
    point: torch.Tensor


def some_thumbs(rng):
    """Seven rows, three of them desirable, and a reference point."""
    ref = -torch.tensor(rng.uniform(6, 18, size=7))
    desirable = torch.tensor([True, False, False, True, False, True, False])
    return Thumbs(ref + normal(rng, 7, scale=1.5), ref, desirable, scalar(apart(rng, 0.6, 1.4)))


def gain(row, ratio, point, beta):
    return beta * (ratio - point) * (1 if row else -1)


KTO_BUGS = (
    "thumbs-down-count-as-up",
    "point-forgotten",
    "point-without-beta",
    "beta-forgotten",
    "reference-forgotten",
    "weights-swapped",
    "kto-logarithm",
    "divides-by-the-weights",
    "mean-of-two-means",
)


@points(
    4,
    part="kto",
    catches=KTO_BUGS,
    hint="Row by row: how far is the log-ratio from the point, on which side should it be, what does "
    "its kind weigh? Then the mean of all rows.",
)
def test_answers_are_gains_or_losses_from_the_point(student, rng):
    """A row costs its weight times one minus the sigmoid of beta times its gain; the loss is the
    mean over all rows."""
    rows, beta = some_thumbs(rng), apart(rng, 0.2, 0.5)
    up, down = apart(rng, 0.6, 0.9), apart(rng, 1.2, 1.7)
    ratios = (rows.logp - rows.ref_logp).tolist()
    for weights_ in ((1.0, 1.0), (up, down)):
        costs = [
            weights_[0 if kind else 1] * (1 - sigmoid(gain(kind, ratio, float(rows.point), beta)))
            for kind, ratio in zip(rows.desirable.tolist(), ratios, strict=True)
        ]
        loss = student.kto_loss(*rows, beta, *weights_)
        assert_close(loss, scalar(np.mean(costs)), what="the loss", **TIGHT)


@points(
    3,
    part="kto",
    catches=("thumbs-down-count-as-up", "beta-forgotten", "kto-logarithm", "reference-with-a-gradient"),
    hint="Desirable answers go up and the others down, hardest near the point; reference and point "
    "are constants.",
)  # fmt: skip
def test_kto_pulls_near_the_point(student, lab, rng):
    """The gradient of a row is -beta w sigmoid' / N, up or down by its kind; reference and point
    get none."""
    rows, beta = some_thumbs(rng), apart(rng, 0.2, 0.5)
    leaf = rows.logp.clone().requires_grad_()
    loss = student.kto_loss(leaf, *rows[1:], beta, 0.8, 1.3)
    (push,) = torch.autograd.grad(loss, leaf)
    expected = []
    ratios = (rows.logp - rows.ref_logp).tolist()
    for kind, ratio in zip(rows.desirable.tolist(), ratios, strict=True):
        p = sigmoid(gain(kind, ratio, float(rows.point), beta))
        expected.append((-0.8 if kind else 1.3) * beta * p * (1 - p) / 7)
    assert_close(push, torch.tensor(expected).double(), what="the gradient", **TIGHT)
    for name in ("ref_logp", "point"):
        learns = rows._replace(**{name: getattr(rows, name).clone().requires_grad_()})
        loss = lab.kept(student).kto_loss(*learns, beta, 0.8, 1.3)
        assert_equal(lab.value(loss.requires_grad), False, what=f"a gradient that reaches {name}")


# -- Part 4: without a reference -------------------------------------------------------------------


def some_means(rng, B=5):
    """Mean log-probabilities of chosen and rejected answers."""
    return [-torch.tensor(rng.uniform(0.3, 3.0, size=B)) for _ in range(2)]


@points(
    4,
    part="reference_free",
    catches=("gamma-beta-ratio", "gamma-added", "gamma-forgotten", "sums-over-pairs"),
    hint="gamma is a lead that is asked for, in the unit of beta times the difference.",
)
def test_simpo_asks_for_a_lead(student, rng):
    """SimPO costs log 2 where beta times the lead is gamma, and -log sigmoid(beta * lead - gamma)
    elsewhere."""
    chosen, rejected = some_means(rng)
    beta, gamma = apart(rng, 1.5, 2.5), apart(rng, 0.6, 1.4)
    ahead = rejected + gamma / beta
    assert_close(student.simpo_loss(ahead, rejected, beta, gamma), scalar(math.log(2)), **TIGHT)
    leaf = chosen.clone().requires_grad_()
    loss = student.simpo_loss(leaf, rejected, beta, gamma)
    gaps = [beta * d - gamma for d in (chosen - rejected).tolist()]
    assert_close(loss.detach(), scalar(np.mean([-math.log(sigmoid(g)) for g in gaps])), **TIGHT)
    (push,) = torch.autograd.grad(loss, leaf)
    pull = torch.tensor([-beta * sigmoid(-g) / 5 for g in gaps]).double()
    assert_close(push, pull, what="the gradient", **TIGHT)


@points(
    3,
    part="reference_free",
    catches=("odds-lose-digits", "odds-shifted", "ratio-for-odds", "odds-of-certainty"),
    hint="1 - p for p near 1: torch.expm1 keeps the digits that 1 - exp(log p) has lost.",
)
def test_odds_keep_their_digits(student, rng):
    """Log-odds are exact for unlikely, likely and nearly certain answers, and finite for certain
    ones."""
    exponents = np.array([-300.0, -20.0, -2.0, -0.3, -1e-3, -1e-6, -1e-10, -1e-14])
    logp = torch.tensor(exponents * rng.uniform(1.0, 2.0, size=8))
    leaf = logp.clone().requires_grad_()
    odds = student.log_odds(leaf)
    expected = [x - math.log(-math.expm1(x)) for x in logp.tolist()]
    assert_close(odds.detach(), torch.tensor(expected).double(), what="the log-odds", **SINGLE)
    (slope,) = torch.autograd.grad(odds.sum(), leaf)
    slopes = torch.tensor([-1 / math.expm1(x) for x in logp.tolist()]).double()
    assert_close(slope, slopes, what="the slope", **SINGLE)
    certain = student.log_odds(torch.zeros(2).double())
    assert_finite(certain, what="the log-odds of certainty")
    assert_true(bool((certain > 20).all()), "certainty has large odds")


@points(
    3,
    part="reference_free",
    catches=(
        "orpo-without-imitation",
        "orpo-imitates-both",
        "orpo-odds-turned-round",
        "orpo-weights-the-imitation",
        "ratio-for-odds",
        "sums-over-pairs",
    ),
    hint="Imitation of the chosen answer with weight 1, and lambda times a log-sigmoid of odds.",
)
def test_orpo_imitates_and_compares_odds(student, rng):
    """ORPO is the mean of -chosen minus weight times the log-sigmoid of the difference of
    log-odds."""
    (chosen, rejected), weight = some_means(rng), apart(rng, 0.2, 0.6)
    leaves = [x.clone().requires_grad_() for x in (chosen, rejected)]
    loss = student.orpo_loss(*leaves, weight=weight)
    costs, ups, downs = [], [], []
    for c, r in zip(chosen.tolist(), rejected.tolist(), strict=True):
        p, q = math.exp(c), math.exp(r)
        gap = math.log(p / (1 - p)) - math.log(q / (1 - q))
        costs.append(-c - weight * math.log(sigmoid(gap)))
        ups.append((-1 - weight * sigmoid(-gap) / (1 - p)) / 5)
        downs.append(weight * sigmoid(-gap) / (1 - q) / 5)
    assert_close(loss.detach(), scalar(np.mean(costs)), what="the loss", **TIGHT)
    up, down = torch.autograd.grad(loss, leaves)
    assert_close(up, torch.tensor(ups).double(), what="the gradient of the chosen", **TIGHT)
    assert_close(down, torch.tensor(downs).double(), what="the gradient of the rejected", **TIGHT)


@points(
    2,
    part="reference_free",
    catches=("odds-lose-digits", "odds-of-certainty"),
    hint="A short answer that the model is sure of has log-probability 0 after rounding: what are "
    "its odds, and their slope?",
)
def test_orpo_survives_certainty(student, rng):
    """An answer of probability 1 - 1e-15, or exactly 1, gives a finite loss and gradient."""
    weight = apart(rng, 0.2, 0.6)
    rejected = -torch.tensor(rng.uniform(0.3, 3.0, size=3))
    chosen = torch.tensor([-1.2e-15, 0.0, -0.4]).double().requires_grad_()
    loss = student.orpo_loss(chosen, rejected, weight=weight)
    assert_finite(loss.detach(), what="the loss")
    (push,) = torch.autograd.grad(loss, chosen)
    assert_finite(push, what="the gradient")
    costs = []
    for c, r in zip((-1.2e-15, -2.3e-16, -0.4), rejected.tolist(), strict=True):
        gap = c - math.log(-math.expm1(c)) - r + math.log(-math.expm1(r))
        costs.append(-c + weight * math.log1p(math.exp(-gap)))
    assert_close(loss.detach(), scalar(np.mean(costs)), what="the loss", **TIGHT)
    c, r = -0.7, -1.2e-15
    gap = c - math.log(-math.expm1(c)) - r + math.log(-math.expm1(r))
    sure = student.orpo_loss(torch.tensor([c]).double(), torch.tensor([r]).double(), weight=weight)
    expected = -c + weight * (math.log1p(math.exp(gap)) - gap)
    assert_close(sure, scalar(expected), what="the loss of a certain rejected answer", **TIGHT)


# -- Part 5: the optimum that all this is about ----------------------------------------------------


def answers(rng, rows=3, K=5):
    """Log-probabilities of a reference over K answers to each prompt, and rewards."""
    return normal(rng, rows, K).log_softmax(dim=-1), normal(rng, rows, K, scale=1.2)


@points(
    3,
    part="optimum",
    catches=(
        "optimum-without-the-reference",
        "reward-times-beta",
        "optimum-not-normalised",
        "optimum-of-the-batch",
    ),
    hint="Take the logarithm of ref * exp(r / beta) / Z: what is left of log pi* - log ref - r / "
    "beta is one number for each prompt.",
)
def test_the_optimum_tilts_the_reference(student, rng):
    """log pi* - log ref - r / beta is the same for all answers to a prompt, and each prompt's
    probabilities add up to 1."""
    (ref, rewards), beta = answers(rng), apart(rng, 0.3, 0.8)
    best = student.rlhf_optimum(ref, rewards, beta)
    assert_close(best.exp().sum(dim=-1), torch.ones(3).double(), what="the sums", **TIGHT)
    left = best - ref - rewards / beta
    assert_close(left, left[:, :1].expand(3, 5), what="minus log Z", **TIGHT)
    assert_close(student.rlhf_optimum(ref[1], rewards[1], beta), best[1], what="one row", **TIGHT)


@points(
    3,
    part="optimum",
    catches=(
        "objective-under-the-reference",
        "penalty-added",
        "penalty-the-other-way",
        "penalty-without-beta",
        "objective-without-the-penalty",
    ),
    hint="Mean reward under the policy, minus beta times the mean log-ratio under the policy.",
)
def test_nothing_beats_the_optimum(student, rng):
    """The objective of ref * exp(r / beta) / Z is beta * log Z, and any other policy's is less by
    beta times its divergence from it."""
    (ref, rewards), beta = answers(rng), apart(rng, 0.3, 0.8)
    log_z = (ref + rewards / beta).logsumexp(dim=-1)
    best = ref + rewards / beta - log_z[:, None]
    at_best = student.rlhf_objective(best, ref, rewards, beta)
    assert_close(at_best, beta * log_z, what="the objective of the optimum", **TIGHT)
    other = normal(rng, 3, 5).log_softmax(dim=-1)
    lost = beta * (other.exp() * (other - best)).sum(dim=-1)
    found = student.rlhf_objective(other, ref, rewards, beta)
    assert_close(found, beta * log_z - lost, what="the objective of another policy", **TIGHT)
    alone = student.rlhf_objective(other[1], ref[1], rewards[1], beta)
    assert_close(alone, found[1], what="the objective for one prompt", **TIGHT)


@points(
    3,
    part="optimum",
    catches=(
        "fit-without-the-reference",
        "fit-forgets-beta",
        "fit-stops-after-one-step",
        "losses-for-wins",
    ),
    hint="With preferences sigmoid(r_i - r_j) the implicit rewards of the fit are r, up to a "
    "constant.",
)
def test_dpo_finds_the_optimum_of_rlhf(student, rng):
    """With the preferences of a reward, the minimiser of DPO is ref * exp(r / beta) / Z."""
    ref, rewards = (x[0] for x in answers(rng, rows=1))
    beta = apart(rng, 0.3, 0.8)
    preferences = torch.sigmoid(rewards[:, None] - rewards[None, :])
    found = student.fit_dpo_table(ref, preferences, beta)
    expected = (ref + rewards / beta).log_softmax(dim=0)
    assert_close(found, expected, rtol=1e-5, atol=1e-5, what="the fitted policy")


@points(
    2,
    part="optimum",
    catches=("losses-for-wins", "fit-stops-after-one-step", "fit-forgets-beta"),
    hint="At the minimum each answer is expected to win as often as it did.",
)
def test_preferences_without_a_reward_are_fitted_too(student, rng):
    """Preferences that no reward explains are fitted: the implied number of wins of each answer is
    the actual one."""
    ref, beta, K = answers(rng, rows=1)[0][0], apart(rng, 0.3, 0.8), 5
    upper = torch.tensor(rng.uniform(0.08, 0.92, size=(K, K))).triu(1)
    preferences = upper + (1 - upper.T).tril(-1) + 0.5 * torch.eye(K).double()
    found = student.fit_dpo_table(ref, preferences, beta)
    assert_close(found.exp().sum(), scalar(1.0), what="the sum of the probabilities", **TIGHT)
    u = beta * (found - ref)
    other = ~torch.eye(K).bool()
    implied = torch.sigmoid(u[:, None] - u[None, :])[other].reshape(K, K - 1).sum(dim=1)
    actual = preferences[other].reshape(K, K - 1).sum(dim=1)
    assert_close(implied, actual, rtol=1e-5, atol=1e-5, what="the implied wins")


@points(
    1,
    part="optimum",
    catches="fits-certainties",
    hint="An answer that always wins has no finite reward: say no, as in bradley_terry.",
)
def test_certain_preferences_have_no_minimum(student, rng):
    """Preferences of 0 and 1 are refused, whatever their diagonal, and an even match is fitted."""
    ref = answers(rng, rows=1, K=3)[0][0]
    even = torch.full((3, 3), 0.5).double()
    assert_close(student.fit_dpo_table(ref, even, 0.4), ref, rtol=1e-5, atol=1e-5)
    certain = even.clone()
    certain[0, 2], certain[2, 0] = 1.0, 0.0
    with assert_raises(ValueError):
        student.fit_dpo_table(ref, certain, 0.4)


# -- Part 6: log-probabilities of responses --------------------------------------------------------


@points(
    2,
    part="logprobs",
    catches=("pads-counted", "prompt-counted", "mask-one-place-early", "last-token-dropped", "mask-from-ids"),
    hint="Write down one row with its mask: prompt 0, response 1 to its last token, padding 0. "
    "Lengths decide, not ids.",
)  # fmt: skip
def test_rows_are_prompts_with_marked_responses(student, rng):
    """Rows are prompt, response and padding on the right, chosen rows first; the mask marks just
    the response."""
    pairs = some_pairs(rng)
    pairs.chosen[0][1] = PAD  # a response may hold any token
    pairs.rejected[1][-1] = PAD
    width = 9
    tokens, mask = torch.full((6, width), PAD), torch.zeros(6, width).bool()
    for row, y in enumerate([*pairs.chosen, *pairs.rejected]):
        x = pairs.prompts[row % 3]
        tokens[row, : len(x) + len(y)] = torch.tensor(x + y)
        mask[row, len(x) : len(x) + len(y)] = True
    batch = student.collate_pairs(pairs)
    assert_equal(batch.tokens, tokens, what="the tokens")
    assert_equal(batch.mask, mask, what="the mask")


@points(
    1,
    part="logprobs",
    catches=("halves-swapped", "reads-interleaved"),
    hint="The first B rows are chosen, the last B rejected.",
)
def test_the_first_half_is_chosen(student, rng):
    """The first half of the rows is chosen, the second rejected; an odd number is refused."""
    rows = normal(rng, 6)
    chosen, rejected = student.split_pairs(rows)
    assert_close(chosen, rows[:3], what="the chosen rows")
    assert_close(rejected, rows[3:], what="the rejected rows")
    with assert_raises(ValueError):
        student.split_pairs(rows[:5])


def random_rows(rng, lengths, L):
    """Rows of these many tokens at different places of L, padding around them; tokens and
    attention."""
    tokens, real = torch.full((len(lengths), L), PAD), torch.zeros(len(lengths), L).bool()
    for i, n in enumerate(lengths):
        start = [L - n, (L - n) // 2, 0][i % 3]
        tokens[i, start : start + n] = torch.tensor(rng.integers(0, PAD, size=n))
        real[i, start : start + n] = True
    return tokens, real


@points(
    4,
    part="logprobs",
    catches=(
        "positions-count-padding",
        "attends-to-padding",
        "raw-logits",
        "logits-not-shifted",
        "one-place-early",
    ),
    hint="Score one row alone and without padding, by hand: the same numbers must come out of the "
    "padded batch, wherever the padding is.",
)
def test_token_scores_do_not_depend_on_padding(student, lab, rng):
    """Each token gets the log-probability that it has in its row alone, at its own place."""
    state = weights(rng)
    tokens, real = random_rows(rng, (5, 4, 9, 3), 9)
    expected = torch.zeros(4, 9).double()
    for i in range(4):
        places = real[i].nonzero().flatten()
        expected[i, places[1:]] = slow_logprobs(state, tokens[i, places])
    logp = student.token_logprobs(network(lab, state), tokens, real)
    assert_close(logp.detach(), expected, what="log-probabilities", **SINGLE)


@points(
    2,
    part="logprobs",
    catches="scores-without-gradient",
    hint="The policy learns through these numbers: no detach, no no_grad, no .item().",
)
def test_token_scores_carry_the_gradient(student, lab, rng):
    """The gradient of a row's log-probability reaches the model's parameters and is the right
    one."""
    state = {name: tensor.requires_grad_(True) for name, tensor in weights(rng).items()}
    tokens, real = random_rows(rng, (4,), 6)
    model = network(lab, {name: tensor.detach() for name, tensor in state.items()})
    logp = student.token_logprobs(model, tokens, real)
    assert_true(
        isinstance(logp, torch.Tensor) and logp.requires_grad,
        "the log-probabilities carry a gradient",
    )
    logp.sum().backward()
    names = ["transformer.ln_f.bias", "transformer.wpe.weight"]
    parameters = dict(model.named_parameters())
    total = slow_logprobs(state, tokens[0, real[0]]).sum()
    wanted = torch.autograd.grad(total, [state[name] for name in names])
    found = [parameters[name].grad for name in names]
    assert_close(found, list(wanted), what="the gradient", **SINGLE)


@points(
    3,
    part="logprobs",
    catches=("mean-over-the-width", "mean-over-all-tokens", "multiplies-by-the-mask"),
    hint="Only what is under the mask, and its own number of tokens: masked_fill before the sum. "
    "0 times nan is nan.",
)
def test_only_the_response_counts(student, rng):
    """Sum and mean are those of the tokens under the mask, whatever stands outside it."""
    logp = -torch.tensor(rng.uniform(0.2, 3.0, size=(3, 7)))
    mask = torch.zeros(3, 7).bool()
    for row, (start, n) in enumerate(((2, 1), (1, 5), (4, 3))):
        mask[row, start : start + n] = True
    sums = torch.stack([logp[i, mask[i]].sum() for i in range(3)])
    means = torch.stack([logp[i, mask[i]].mean() for i in range(3)])
    assert_close(student.sequence_logprobs(logp, mask), sums, what="the sums", **TIGHT)
    assert_close(
        student.sequence_logprobs(logp, mask.long(), average=True), means, what="the means", **TIGHT
    )
    strange = torch.where(mask, logp, torch.nan)
    strange[0, 0], strange[2, 1] = -torch.inf, 1e30
    assert_close(student.sequence_logprobs(strange, mask), sums, what="the sums", **TIGHT)


@points(
    1,
    part="logprobs",
    catches="empty-rows-pass",
    hint="0/0 is nan, and a sum over nothing is 0: log 2 forever. Say no instead.",
)
def test_rows_without_a_response_are_refused(student, rng):
    """A row whose response was cut away is refused, for the sum and for the mean."""
    logp = -torch.tensor(rng.uniform(0.2, 3.0, size=(2, 4)))
    mask = torch.tensor([[False, True, True, False], [False, False, False, True]])
    expected = torch.stack([logp[0, 1:3].sum(), logp[1, 3]])
    assert_close(student.sequence_logprobs(logp, mask), expected, **TIGHT)
    mask[1] = False
    for average in (False, True):
        with assert_raises(ValueError):
            student.sequence_logprobs(logp, mask, average)


@points(
    2,
    part="logprobs",
    catches=(
        "prompt-counted",
        "pads-counted",
        "halves-swapped",
        "raw-logits",
        "logits-not-shifted",
        "mask-one-place-early",
    ),
    hint="From lists of tokens to two numbers for each pair: score one response alone and compare.",
)
def test_a_pair_scores_as_its_answers_do_alone(student, lab, rng):
    """Sum and mean of each response are those of the response alone, for each pair of a batch."""
    state, pairs = weights(rng), some_pairs(rng)
    batch = student.collate_pairs(pairs)
    model = network(lab, state)
    for average in (False, True):
        found = student.pair_logprobs(model, Batch(batch.tokens, batch.mask), average)
        expected = slow_scores(state, pairs, average)
        assert_close([x.detach() for x in found], list(expected), what="chosen and rejected", **SINGLE)  # fmt: skip


@points(
    3,
    part="logprobs",
    catches=("reference-in-training-mode", "mode-not-restored"),
    hint="A reference is frozen: model.eval(), torch.no_grad(), and the old mode again afterwards.",
)
def test_the_reference_is_frozen(student, lab, rng):
    """The reference scores without dropout and without a gradient, and leaves in the mode in which
    it came."""
    state, pairs = weights(rng), some_pairs(rng)
    tokens, mask = torch.full((6, 9), PAD), torch.zeros(6, 9).bool()
    for row, y in enumerate([*pairs.chosen, *pairs.rejected]):
        x = pairs.prompts[row % 3]
        tokens[row, : len(x) + len(y)] = torch.tensor(x + y)
        mask[row, len(x) : len(x) + len(y)] = True
    model = network(lab, state, dropout=0.4)
    expected = slow_scores(state, pairs, False)
    for training in (True, False):
        model.train(training)
        lab.seed(5)  # dropout, where there is any, is the same for everybody
        found = student.reference_logprobs(model, Batch(tokens, mask))
        assert_close([x.detach() for x in found], list(expected), what="chosen and rejected", **SINGLE)  # fmt: skip
        for x in found:
            assert_no_grad(x, what="a log-probability of the reference")
        assert_equal(lab.value(model.training), training, what="training mode afterwards")


# -- Part 7: training ------------------------------------------------------------------------------

AVERAGED = ("ipo", "simpo", "orpo")


def slow_point(policy, reference, pairs):
    """KTO's reference point, row by row, from the next pair's responses."""
    order = [*range(1, len(pairs.prompts)), 0]
    moved = Pairs(pairs.prompts, *([column[j] for j in order] for column in pairs[1:]))
    with torch.no_grad():
        gaps = [
            a - b
            for a, b in zip(
                slow_scores(policy, moved, False), slow_scores(reference, moved, False), strict=True
            )
        ]
    return torch.cat(gaps).mean().clamp(min=0)


def slow_loss(policy, reference, pairs, cfg):
    """A loss by its definition, from own forward passes."""
    name, beta = cfg["loss"], cfg["beta"]
    won, lost = slow_scores(policy, pairs, name in AVERAGED)
    if name == "simpo":
        return -torch.nn.functional.logsigmoid(beta * (won - lost) - cfg["gamma"]).mean()
    if name == "orpo":
        odds = [x - torch.log1p(-x.exp()) for x in (won, lost)]
        return -won.mean() - beta * torch.nn.functional.logsigmoid(odds[0] - odds[1]).mean()
    with torch.no_grad():
        ref_won, ref_lost = slow_scores(reference, pairs, name in AVERAGED)
    up, down = won - ref_won, lost - ref_lost
    if name == "ipo":
        return (up - down - 1 / (2 * beta)).pow(2).mean()
    if name == "dpo":
        return -torch.nn.functional.logsigmoid(beta * (up - down)).mean()
    point = slow_point(policy, reference, pairs)
    gains = torch.cat([0.7 * torch.sigmoid(-beta * (up - point)), 1.4 * torch.sigmoid(-beta * (point - down))])  # fmt: skip
    return gains.mean()


def slow_step(policy, reference, pairs, cfg, rate):
    """The weights after one step of plain gradient descent, the loss, and the gradient's norm."""
    leaves = {
        name: tensor.clone().requires_grad_(True)
        for name, tensor in policy.items()
        if name != "lm_head.weight"
    }
    loss = slow_loss(leaves, reference, pairs, cfg)
    found = torch.autograd.grad(loss, list(leaves.values()))
    norm = float(torch.cat([g.flatten() for g in found]).norm())
    factor = min(1.0, cfg["grad_norm"] / (norm + 1e-6))
    new = {
        name: (leaf - rate * factor * g).detach()
        for (name, leaf), g in zip(leaves.items(), found, strict=True)
    }
    return new | {"lm_head.weight": new["transformer.wte.weight"]}, float(loss.detach()), norm


def config(loss, **changes):
    """Settings in which every number tells."""
    return {
        "loss": loss, "beta": 0.23, "gamma": 0.8, "desirable_weight": 0.7, "undesirable_weight": 1.4,
        "grad_norm": 1e9, **changes,
    }  # fmt: skip


def assert_same_weights(actual, expected, before):
    """All weights, compared as one vector of changes."""
    names = sorted(expected)
    assert_equal(sorted(actual), names, what="names of weights")
    changes = [
        torch.cat([(state[name] - before[name]).flatten() for name in names])
        for state in (actual, expected)
    ]
    size = float(changes[1].abs().max())
    assert_close(changes[0] / size, changes[1] / size, what="the change of the weights", rtol=1e-4, atol=1e-4)  # fmt: skip


def close_models(rng):
    """A policy and its reference, a few nats apart, with a clearly positive point for KTO."""
    pairs = some_pairs(rng)
    while True:
        policy = weights(rng)
        reference = {name: tensor + normal(rng, *tensor.shape, scale=0.1) for name, tensor in policy.items()}  # fmt: skip
        reference["lm_head.weight"] = reference["transformer.wte.weight"]
        point = float(slow_point(policy, reference, pairs))
        own = [
            a - b
            for a, b in zip(
                slow_scores(policy, pairs, False), slow_scores(reference, pairs, False), strict=True
            )
        ]
        if 0.1 < point < 4 and abs(point - float(torch.cat(own).mean())) > 0.1:
            return policy, reference, pairs


@points(
    4,
    part="training",
    catches=(
        "mean-for-dpo",
        "sum-for-ipo",
        "point-of-the-own-responses",
        "keeps-old-gradients",
        "reference-is-the-policy",
        "weights-swapped",
    ),
    hint="Recompute one small update by hand: sums for DPO and KTO, means for the others, gradients "
    "cleared, the reference's own numbers.",
)
def test_an_update_is_one_step_down_the_loss(student, lab, rng):
    """For each of the five losses, two updates move the weights down the gradient of that loss, and
    report it."""
    policy, reference, pairs = close_models(rng)
    student.mismatched(3)  # tells whose mistake a wrong point of KTO is
    for loss in ("dpo", "ipo", "kto", "simpo", "orpo"):
        cfg = config(loss)
        model, frozen = network(lab, policy), network(lab, reference)
        optimizer = lab.make("torch.optim.SGD", lab.kept(model).parameters(), lr=0.02)
        settings = student.PreferenceConfig(**cfg)
        expected = policy
        for _ in range(2):
            expected, value, _ = slow_step(expected, reference, pairs, cfg, 0.02)
            report = student.preference_update_(model, frozen, optimizer, pairs, settings)
            assert_close(report["loss"], value, what=f"the loss of {loss}", **SINGLE)
        assert_same_weights(model.state_dict(), expected, policy)


@points(
    2,
    part="training",
    catches="gradient-not-clipped",
    hint="One norm for the gradient of all parameters together, clipped before the step.",
)
def test_a_long_gradient_is_shortened(student, lab, rng):
    """A gradient longer than grad_norm is shortened to it, and a shorter one is left alone."""
    policy, reference, pairs = close_models(rng)
    _, _, norm = slow_step(policy, reference, pairs, config("dpo"), 0.02)
    for limit in (norm / 3, 3 * norm):
        cfg = config("dpo", grad_norm=limit)
        model = network(lab, policy)
        optimizer = lab.make("torch.optim.SGD", lab.kept(model).parameters(), lr=0.02)
        student.preference_update_(
            model, network(lab, reference), optimizer, pairs, student.PreferenceConfig(**cfg)
        )
        expected, _, _ = slow_step(policy, reference, pairs, cfg, 0.02)
        assert_same_weights(model.state_dict(), expected, policy)


@points(
    2,
    part="training",
    catches=(
        "accuracy-of-log-probabilities",
        "margin-without-beta",
        "ties-count-as-right",
        "ties-count-as-wrong",
    ),
    hint="Accuracy and margin compare implicit rewards, beta times log-ratios. What should a policy "
    "get that is still its reference?",
)
def test_the_report_compares_implicit_rewards(student, lab, rng):
    """Accuracy and margin are those of implicit rewards, a policy that is its reference gets 0.5
    and 0, the log-probabilities are means over pairs, and SimPO is reported without a reference."""
    policy, reference, pairs = close_models(rng)
    cfg = config("dpo")
    won, lost = slow_scores(policy, pairs, False)
    student.implicit_rewards(won, lost, cfg["beta"])  # tells whose mistake a wrong margin is
    for other in (reference, policy):
        model = network(lab, policy)
        optimizer = lab.make("torch.optim.SGD", lab.kept(model).parameters(), lr=0.02)
        report = student.preference_update_(
            model, network(lab, other), optimizer, pairs, student.PreferenceConfig(**cfg)
        )
        ref_won, ref_lost = slow_scores(other, pairs, False)
        lead = cfg["beta"] * (won - ref_won - lost + ref_lost)
        names = ["margin", "chosen_logp", "rejected_logp"]
        expected = [float(x.mean()) for x in (lead, won, lost)]
        assert_close([report[name] for name in names], expected, what="margin and log-probabilities", **SINGLE)  # fmt: skip
        share = 0.5 if other is policy else float((lead > 0).double().mean())
        assert_close(report["accuracy"], share, what="the accuracy", **SINGLE)
    cfg = config("simpo")
    model = network(lab, policy)
    optimizer = lab.make("torch.optim.SGD", lab.kept(model).parameters(), lr=0.02)
    report = student.preference_update_(
        model, network(lab, reference), optimizer, pairs, student.PreferenceConfig(**cfg)
    )
    won, lost = slow_scores(policy, pairs, True)
    lead = cfg["beta"] * (won - lost)
    expected = [float(x.mean()) for x in ((lead > 0).double(), lead, won, lost)]
    names = ["accuracy", "margin", "chosen_logp", "rejected_logp"]
    assert_close([report[name] for name in names], expected, what="the report of simpo", **SINGLE)


HISTORY = ("loss", "accuracy", "margin", "chosen_logp", "rejected_logp")


def trained(student, lab, state, pairs, seed=3, **changes):
    """A short run: the model handed in, and the result, whose model stays there."""
    cfg = {"loss": "dpo", "beta": 0.3, "steps": 5, "batch_size": 2, "lr": 5e-3} | changes
    model = network(lab, state)
    return model, student.train_preferences(model, pairs, student.PreferenceConfig(**cfg), seed)


def books(result, steps):
    """The history, as lists of floats of the right length."""
    for name in HISTORY:
        assert_equal(len(result.history[name]), steps, what=f"entries of {name}")
        assert_finite(np.array([float(x) for x in result.history[name]]), what=name)
    return {name: [float(x) for x in result.history[name]] for name in HISTORY}


def flat(state):
    """All weights as one vector."""
    return torch.cat([state[name].flatten() for name in sorted(state)])


@points(
    2,
    part="training",
    catches=("trains-its-argument", "reference-is-the-policy"),
    hint="A copy learns, the model handed in stays the reference: the loss begins at log 2 and "
    "leaves it.",
)
def test_the_policy_handed_in_is_the_reference(student, lab, rng):
    """The model handed in is not changed; the loss is log 2 at the first step and then falls."""
    state, pairs = weights(rng), some_pairs(rng)
    model, result = trained(student, lab, state, pairs, steps=12, batch_size=3)
    history = books(result, 12)
    assert_close(history["loss"][0], math.log(2), what="the loss before the first step", **SINGLE)
    assert_close(history["margin"][0], 0.0, what="the margin before the first step", **SINGLE)
    unchanged = flat(model.state_dict())
    assert_close(unchanged, flat(state), rtol=0.0, atol=0.0, what="the model handed in")
    assert_true(history["loss"][-1] < math.log(2) - 0.05, "the loss has fallen")
    moved = float((flat(result.policy.state_dict()) - flat(state)).abs().max())
    assert_true(moved > 1e-3, "the returned model has learnt something")


@points(
    2,
    part="training",
    catches=("draws-with-replacement", "never-shuffles"),
    hint="A pass is a permutation: each pair once, in a new order each time, cut into batches.",
)
def test_a_pass_sees_each_pair_once(student, lab, rng):
    """With step size 0 the reported log-probabilities tell which pairs a step saw: in each pass
    every pair once, in an order that changes."""
    lengths = [(1 + i % 3, 1 + i % 4, 1 + (i + 1) % 4) for i in range(9)]
    state, pairs = weights(rng), some_pairs(rng, lengths)
    _, result = trained(student, lab, state, pairs, steps=18, batch_size=1, lr=0.0)
    history = books(result, 18)
    won = sorted(slow_scores(state, pairs, False)[0].tolist())
    passes = history["chosen_logp"][:9], history["chosen_logp"][9:]
    for seen in passes:
        assert_close(sorted(seen), won, what="the log-probabilities of a pass", **SINGLE)
    assert_true(passes[0] != passes[1], "the order changes from pass to pass")
    _, result = trained(student, lab, state, pairs, steps=4, batch_size=4, lr=0.0)
    history = books(result, 4)
    for first in (0, 2):
        told = 4 * sum(history["chosen_logp"][first : first + 2])
        left_out = [sum(won) - told - x for x in won]
        nearest = min(left_out, key=abs)
        assert_close(nearest, 0.0, what="what a pass of two batches of four leaves out", rtol=0.0, atol=1e-3)  # fmt: skip


@points(
    1,
    part="training",
    catches="uses-the-global-generator",
    hint="torch.Generator().manual_seed(seed) decides the order; global generators are not touched.",
)
def test_the_seed_decides_the_run(student, lab, rng):
    """The same seed gives the same run, another seed another, and global generators are left
    alone."""
    lengths = [(1 + i % 3, 1 + i % 4, 1 + (i + 1) % 4) for i in range(9)]
    pairs, model = some_pairs(rng, lengths), network(lab, weights(rng))
    cfg = student.PreferenceConfig(loss="dpo", beta=0.3, steps=5, batch_size=2, lr=5e-3)
    lab.seed(1)
    before, runs = lab.global_rng_state(), []
    for seed in (5, 5, 6):
        result = student.train_preferences(model, pairs, cfg, seed)
        assert_close(books(result, 5)["loss"][0], math.log(2), **SINGLE)
        runs.append(flat(result.policy.state_dict()))
        if seed == 5:
            assert_equal(lab.global_rng_state(), before, what="the state of the global generators")
            lab.seed(len(runs) + 1)
            before = lab.global_rng_state()
    assert_close(runs[1], runs[0], rtol=0.0, atol=1e-7, what="the weights of a second run with the same seed")  # fmt: skip
    assert_true(float((runs[0] - runs[2]).abs().max()) > 1e-5, "another seed gives another run")


# -- learning --------------------------------------------------------------------------------------

# A world that can be enumerated: ten prompts, 225 answers of two tokens. A reward is the sum of two
# words' worth, and a bonus if the answer begins with the prompt's digit. Gain: how much of what
# could be won over the reference the trained policy has won, in the objective of RLHF, exactly.
# Measured in 30 worlds (`verify preference_optimization --bars` measures again): 0.78 at least, 0.864
# in the median, and right answers in six other styles reach the bar in the first world. A policy
# that stays where its reference is wins 0, one that learns the pairs the wrong way round less than
# 0. One of three worlds is enough. 2.6 CPU seconds a world.
LEARNING_SEEDS = (21, 22, 23)
THRESHOLD = 0.7
BETA = 0.5


class World(NamedTuple):
    """A reference policy, rewards, and pairs judged by them."""

    state: dict
    ref_logp: torch.Tensor  # (10, 225)
    rewards: torch.Tensor  # (10, 225)
    pairs: Pairs


GRID = torch.cartesian_prod(torch.arange(15), torch.arange(15))


def table(state):
    """Log-probabilities of all 225 answers to each of the ten prompts, (10, 225)."""
    prompts = torch.tensor([[11, digit, 10] for digit in range(10)])
    rows = torch.cat([prompts.repeat_interleave(225, dim=0), GRID.repeat(10, 1)], dim=1)
    with torch.no_grad():
        logp = forward(state, rows).double().log_softmax(dim=-1)
    first, second = (logp[:, t - 1].gather(1, rows[:, t : t + 1]).squeeze(1) for t in (3, 4))
    return (first + second).reshape(10, 225)


def a_world(seed, count=3000):
    """The world of one seed."""
    rng = np.random.default_rng(seed)
    state = {name: tensor.float() for name, tensor in weights(rng, 32, scale=0.1).items()}
    for name in state:
        if "ln_" in name and name.endswith("weight"):
            state[name] = torch.ones_like(state[name])
    state["lm_head.weight"] = state["transformer.wte.weight"]
    worth = torch.tensor(rng.permutation(np.linspace(-1.5, 1.5, 15)))
    bonus = (GRID[:, 0] == torch.arange(10)[:, None]).double()
    rewards = worth[GRID].sum(dim=1) + 1.5 * bonus
    ref_logp = table(state)
    chances = ref_logp.exp().numpy()
    pairs = Pairs([], [], [])
    for x in rng.integers(10, size=count):
        won, lost = rng.choice(225, size=2, p=chances[x] / chances[x].sum())
        if rng.uniform() > sigmoid(float(rewards[x, won] - rewards[x, lost])):
            won, lost = lost, won
        for column, entry in zip(pairs, ([11, int(x), 10], GRID[won].tolist(), GRID[lost].tolist()), strict=True):  # fmt: skip
            column.append(entry)
    return World(state, ref_logp, rewards, pairs)


def objective(logp, world):
    """What RLHF maximises, averaged over the prompts."""
    return float((logp.exp() * (world.rewards - BETA * (logp - world.ref_logp))).sum(dim=1).mean())


def gained(student, lab, seed):
    """The share of the possible gain that DPO wins in the world of a seed."""
    world = a_world(seed)
    cfg = student.PreferenceConfig(loss="dpo", beta=BETA, steps=200, batch_size=64, lr=3e-3)
    result = student.train_preferences(network(lab, world.state), world.pairs, cfg, seed)
    state = result.policy.state_dict()
    assert_equal(sorted(state), sorted(world.state), what="names of weights")
    for name, tensor in world.state.items():
        assert_equal(state[name].shape == tensor.shape, True, what="the shapes are those handed in")
    best = (world.ref_logp + world.rewards / BETA).log_softmax(dim=1)
    low, high = objective(world.ref_logp, world), objective(best, world)
    return (objective(table({name: x.float() for name, x in state.items()}), world) - low) / (high - low)  # fmt: skip


@points(
    7,
    part="training",
    learning=True,
    seconds=120,
    hint="Look at report.py: does the loss leave log 2, does the margin grow, does the policy come "
    "near the dashed optimum?",
)
def test_training_comes_near_the_optimum(student, lab):
    """From 3000 judged pairs DPO wins at least 70% of what the exact optimum wins over the
    reference, in one of three worlds."""
    gains = []
    for seed in LEARNING_SEEDS:
        gains.append(gained(student, lab, seed))
        if gains[-1] >= THRESHOLD:
            return
    assert_true(max(gains) >= THRESHOLD, f"gains {gains} reach {THRESHOLD}")
