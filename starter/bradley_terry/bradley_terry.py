"""Bradley-Terry: from who beat whom to reward models, and to what goes wrong when a reward model is
believed.

Conventions, for every function of this file

* A score (reward, utility, log-ability) is a real number in nats: P(i beats j) = sigmoid(r_i -
  r_j). Only differences mean anything: adding one constant to all scores changes no probability.
* Tables of games and their log-abilities are NumPy: ``wins[i, j]`` counts how often i beat j, the
  diagonal is 0, log-abilities ``theta`` are (n,) float64 with mean 0. Scores of a network are
  tensors.
* A batch of B pairs has 2B rows. Layout "interleaved": chosen, rejected, chosen, rejected, ...;
  layout "stacked": all chosen rows, then all rejected rows, in the same order.
* ``attention_mask`` is (B, L), 1 = real token, 0 = padding, which stands on the left or on the
  right of a row.
* Arguments are never changed, except a model that is trained. Random numbers come from the
  generator that is passed.
* Impossible arguments raise ValueError with a sentence.

Sources: Bradley and Terry (1952), Biometrika 39; Hunter (2004), "MM algorithms for generalized
Bradley-Terry models", Annals of Statistics 32(1); Ouyang et al. (2022), "Training language models
to follow instructions with human feedback", arXiv:2203.02155.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


def _check_pairs(chosen: Tensor, rejected: Tensor) -> None:
    """Refuse scores that are not two tensors of one shape (B,), B at least 1."""
    if chosen.ndim != 1 or len(chosen) == 0:
        raise ValueError(
            f"scores of pairs must have shape (B,) with B >= 1, not {tuple(chosen.shape)}."
        )
    _check_same_shape(chosen, rejected)


def _check_same_shape(one: Tensor, other: Tensor) -> None:
    """Refuse two tensors of different shapes."""
    if one.shape != other.shape:
        raise ValueError(
            f"the shapes {tuple(one.shape)} and {tuple(other.shape)} must be the same."
        )


def _check_table(wins: NDArray[np.integer]) -> Array:
    """The table in float64, once it is known to be square, non-negative and empty on its
    diagonal."""
    table = np.asarray(wins, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise ValueError(f"a table of wins must have shape (n, n) with n >= 2, not {table.shape}.")
    if (table < 0).any() or np.diag(table).any():
        raise ValueError("a table of wins holds counts, and nobody plays against themselves.")
    return table


# -- Part 1: probability and loss ------------------------------------------------------------------


def bt_prob(r_i: Tensor, r_j: Tensor) -> Tensor:
    """Probability that i is preferred to j: sigmoid(r_i - r_j).

    Args:
        r_i, r_j: scores, floating tensors of one shape, of any size: 1000 and more must not
            overflow.

    Returns:
        Probabilities, the shape of ``r_i``. Differentiable.

    Raises:
        ValueError: the shapes differ.
    """
    _check_same_shape(r_i, r_j)
    # TODO(model): the logistic function of the difference.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(model): the logistic function of the difference.")


def bt_loss(
    r_chosen: Tensor, r_rejected: Tensor, margin: float | Tensor = 0.0, label_smoothing: float = 0.0
) -> Tensor:
    """Mean negative log-likelihood of the choices.

    With d = r_chosen - r_rejected - margin and smoothing s, one pair costs

        -(1 - s) * log sigmoid(d) - s * log sigmoid(-d)                (s = 0: Ouyang et al., eq. 1)

    s is the share of labels that are believed to be the wrong way round.

    Args:
        r_chosen, r_rejected: (B,) float, of any size: differences of +-1000 give finite losses and
            gradients.
        margin: a number, or (B,): how far the chosen answer must lie ahead, in the unit of the
            scores.
        label_smoothing: s, in [0, 1].

    Returns:
        The mean over pairs, a scalar tensor. Differentiable in both scores.

    Raises:
        ValueError: the scores are not of one shape (B,), the margin is neither a number nor (B,),
            or s is not in [0, 1].
    """
    _check_pairs(r_chosen, r_rejected)
    if isinstance(margin, Tensor) and margin.ndim > 0:
        _check_pairs(r_chosen, margin)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must lie in [0, 1], but it is {label_smoothing}.")
    # TODO(model): log sigmoid of the difference and of its negative, by a function that cannot overflow.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(model): log sigmoid of the difference and of its negative, by a function that cannot overflow.")


def accuracy(chosen: Tensor, rejected: Tensor) -> float:
    """Share of pairs in which the chosen answer scores higher; a tie counts one half.

    Args:
        chosen, rejected: (B,) scores.

    Returns:
        A float in [0, 1]; a model that says the same of everything gets 0.5.

    Raises:
        ValueError: the scores are not of one shape (B,).
    """
    _check_pairs(chosen, rejected)
    # TODO(model): count wins, and ties as half of one.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(model): count wins, and ties as half of one.")


# -- Part 2: fitting a table by MM -----------------------------------------------------------------


def log_likelihood(wins: NDArray[np.integer], theta: Array) -> float:
    """Log-likelihood of a table: sum over i, j of wins[i, j] * log sigmoid(theta_i - theta_j).

    Args:
        wins: (n, n) counts.
        theta: (n,) log-abilities.

    Returns:
        A float, at most 0, in nats. Binomial coefficients, which do not depend on theta, are left
        out.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(fitting): np.logaddexp(0, -x) is -log sigmoid(x), without overflow.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(fitting): np.logaddexp(0, -x) is -log sigmoid(x), without overflow.")


def is_connected(wins: NDArray[np.integer]) -> bool:
    """Whether the maximum of the likelihood exists: every player reaches every other through a
    chain of wins.

    i reaches j if i beat j, or beat somebody who reaches j. If a group never loses to the rest, its
    abilities run off to infinity; if it never even plays the rest, nothing compares the two. (Ford
    1957; Hunter 2004, assumption 1.)

    Args:
        wins: (n, n) counts.

    Returns:
        A bool.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(fitting): who reaches whom in one step, in two, in four, ...?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(fitting): who reaches whom in one step, in two, in four, ...?")


def mm_step(wins: NDArray[np.integer], theta: Array) -> Array:
    """One minorise-maximise update of all log-abilities at once.

    With abilities p = exp(theta), wins W_i = sum_j wins[i, j] and games N_ij = wins[i, j] + wins[j,
    i]:

        p_i <- W_i / sum over j != i of N_ij / (p_i + p_j)                           (Hunter, eq. 3)

    then theta = log p, shifted to mean 0. The old p stands on the right throughout. No step lowers
    the likelihood.

    Args:
        wins: (n, n) counts, each player with at least one win and one loss.
        theta: (n,) log-abilities.

    Returns:
        (n,) float64 with mean 0.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(fitting): the update above, in logarithms and with mean 0 in the end.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(fitting): the update above, in logarithms and with mean 0 in the end.")


def fit_bt(wins: NDArray[np.integer], tol: float = 1e-8) -> Array:
    """Maximum-likelihood log-abilities by MM, from theta = 0.

    Stops when nobody's expected number of wins, sum_j N_ij * sigmoid(theta_i - theta_j), differs
    from the number of actual wins by more than ``tol`` games.

    Args:
        wins: (n, n) counts.
        tol: in games, above 0.

    Returns:
        (n,) float64 with mean 0.

    Raises:
        ValueError: tol is not positive, the table is none, a player has no win or no loss, or
            players cannot be compared (see ``is_connected``).
    """
    wins = _check_table(wins)
    if not tol > 0:
        raise ValueError(f"tol must be positive, but it is {tol}.")
    # TODO(fitting): refuse what is_connected refuses; then repeat the MM step.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(fitting): refuse what is_connected refuses; then repeat the MM step.")


# -- Part 3: gradient, Hessian, Newton, standard errors --------------------------------------------


class Derivatives(NamedTuple):
    """Of the log-likelihood at theta."""

    gradient: Array  # (n,)
    hessian: Array  # (n, n), symmetric, rows sum to 0, no positive eigenvalue


def bt_gradient_hessian(wins: NDArray[np.integer], theta: Array) -> Derivatives:
    """Gradient and Hessian of ``log_likelihood`` in theta.

    With p_ij = sigmoid(theta_i - theta_j) and games N_ij = wins[i, j] + wins[j, i]:

        gradient_i = W_i - sum_j N_ij p_ij                            wins minus expected wins
        hessian_ij = N_ij p_ij p_ji   for i != j,    hessian_ii = -sum over j != i of N_ij p_ij p_ji

    Args:
        wins: (n, n) counts.
        theta: (n,) log-abilities.

    Returns:
        Derivatives(gradient, hessian), float64. Both of the log-likelihood, which is to be
        maximised.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(newton): wins minus expected wins; then the curvature of every pair.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(newton): wins minus expected wins; then the curvature of every pair.")


def fit_bt_newton(wins: NDArray[np.integer], tol: float = 1e-8) -> Array:
    """Maximum-likelihood log-abilities by Newton's method, from theta = 0.

        theta <- theta - H^+ g        (H^+: pseudo-inverse, because H is singular along (1, ..., 1))

    The step is halved until the likelihood does not fall: far from the maximum a full step may
    overshoot.

    Arguments, result, stopping rule and errors: those of ``fit_bt``.
    """
    wins = _check_table(wins)
    if not tol > 0:
        raise ValueError(f"tol must be positive, but it is {tol}.")
    # TODO(newton): the step above, halved where it would lower the likelihood.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(newton): the step above, halved where it would lower the likelihood.")


def standard_errors(wins: NDArray[np.integer], theta: Array) -> Array:
    """Standard errors of maximum-likelihood log-abilities in the gauge of mean 0.

        sqrt of the diagonal of the pseudo-inverse of the Fisher information, I = -hessian

    Args:
        wins: (n, n) counts, connected.
        theta: (n,) the log-abilities of ``fit_bt``.

    Returns:
        (n,) float64, positive, in the unit of theta.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(newton): I is singular along (1, ..., 1): np.linalg.pinv inverts it everywhere else.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(newton): I is singular along (1, ..., 1): np.linalg.pinv inverts it everywhere else.")


def gumbel_choices(utilities: Array, n: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """Simulate n choices among k options by a chooser whose every look at an option is noisy.

    Each choice is the argmax over options of utility + noise, with independent standard Gumbel
    noise for each option and choice: P(noise <= x) = exp(-exp(-x)).

    Args:
        utilities: (k,) float, k >= 2.
        n: number of choices, at least 1.
        rng: the only source of randomness.

    Returns:
        (n,) int, each in 0 .. k - 1. With k = 2, option 0 is chosen with probability sigmoid(u_0 -
        u_1).

    Raises:
        ValueError: fewer than two options, or n < 1.
    """
    if np.ndim(utilities) != 1 or len(utilities) < 2 or n < 1:
        raise ValueError("choices need at least two options, given as (k,) utilities, and n >= 1.")
    # TODO(newton): noise for every option of every choice; the largest sum is chosen.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(newton): noise for every option of every choice; the largest sum is chosen.")


# -- Part 4: a reward model on a transformer -------------------------------------------------------


def positions(attention_mask: Tensor) -> Tensor:
    """Position of every real token among the real tokens of its row: 0, 1, 2, ...

    Args:
        attention_mask: (B, L) bool or 0/1.

    Returns:
        (B, L) int64. What stands at padded places must lie in 0 .. L - 1 and means nothing.

    Raises:
        ValueError: the mask is not (B, L), or a row has no real token.
    """
    _check_mask(attention_mask)
    # TODO(reward_model): count the ones up to here.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reward_model): count the ones up to here.")


def _check_mask(attention_mask: Tensor) -> None:
    """Refuse masks that are not (B, L), and rows without a real token."""
    if attention_mask.ndim != 2 or not attention_mask.bool().any(dim=1).all():
        raise ValueError(
            f"a mask must be (B, L) with a real token in each row; its shape is {tuple(attention_mask.shape)}."
        )


def pool_last(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Hidden state of the last real token of each row, wherever the padding stands.

    Args:
        hidden: (B, L, H) float.
        attention_mask: (B, L) bool or 0/1.

    Returns:
        (B, H). Differentiable in ``hidden``.

    Raises:
        ValueError: the shapes do not fit, or a row has no real token.
    """
    _check_mask(attention_mask)
    if hidden.shape[:2] != attention_mask.shape or hidden.ndim != 3:
        raise ValueError(
            f"hidden states {tuple(hidden.shape)} do not fit a mask {tuple(attention_mask.shape)}."
        )
    # TODO(reward_model): find the last 1 of each row; both paddings.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reward_model): find the last 1 of each row; both paddings.")


def attention_pool(hidden: Tensor, logits: Tensor, attention_mask: Tensor) -> Tensor:
    """Weighted mean of the hidden states of a row's real tokens, with weights softmax(logits) over
    those tokens.

    Args:
        hidden: (B, L, H) float.
        logits: (B, L) float.
        attention_mask: (B, L) bool or 0/1.

    Returns:
        (B, H). Differentiable in ``hidden`` and ``logits``; nothing under padding has any
        influence, not even nan, neither on the result nor on a gradient.

    Raises:
        ValueError: the shapes do not fit, or a row has no real token.
    """
    _check_mask(attention_mask)
    if (
        hidden.ndim != 3
        or hidden.shape[:2] != attention_mask.shape
        or logits.shape != attention_mask.shape
    ):
        raise ValueError(
            "hidden states (B, L, H), logits (B, L) and mask (B, L) must fit each other."
        )
    # TODO(reward_model): give padding no weight before the softmax.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(reward_model): give padding no weight before the softmax.")


class RewardModel(nn.Module):
    """A transformer that reads a sequence, and a head that turns it into one number.

    Attributes (the graders set the weights through them):
        backbone: a
            ``transformers`` model without a head (GPT2Model, LlamaModel, ...). It is called with ``input_ids``,
            ``attention_mask`` and ``position_ids`` and returns an object with ``last_hidden_state``
            (B, L, H); H is ``backbone.config.hidden_size``.
        score: nn.Linear(H, 1, bias=False): the last step of every head. (A bias would cancel in
            every difference.)
        mlp: only for head "mlp": nn.Sequential(nn.Linear(H, H), nn.Tanh()), between pooling and
            score.
        query: only for head "attn": nn.Linear(H, 1, bias=False), which gives the logits of the
            attention pooling.

    Heads: "linear" scores the last real token, "mlp" the same after ``mlp``, "attn" the attention
    pool of all real tokens.
    """

    def __init__(self, backbone: nn.Module, head: str = "linear") -> None:
        """Raises ValueError for a head that is none of the three."""
        super().__init__()
        # TODO(reward_model): the layers listed above; refuse an unknown head.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(reward_model): the layers listed above; refuse an unknown head.")

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Score of every row.

        Args:
            input_ids: (B, L) int64; what stands under padding has no influence.
            attention_mask: (B, L) bool or 0/1, padding on the left or on the right.

        Returns:
            (B,) float. A row gets the same score alone and in any batch, with any padding.
        """
        # TODO(reward_model): backbone with mask and positions, pooling, head.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(reward_model): backbone with mask and positions, pooling, head.")


# -- Part 5: repairing the worker ------------------------------------------------------------------


def collate(
    chosen: Sequence[Sequence[int]],
    rejected: Sequence[Sequence[int]],
    pad_id: int,
    layout: str = "interleaved",
    side: str = "right",
) -> dict[str, Tensor | str]:
    """Pairs of token lists as one padded batch.

    Args:
        chosen, rejected: B lists of token ids each, prompt included, none empty. They may contain
            ``pad_id``: many tokenizers pad with the end-of-sequence token, so only the lengths tell
            what is padding.
        pad_id: what is filled in.
        layout: "interleaved" or "stacked" (see the top of this file).
        side: "right" or "left": where the padding goes.

    Returns:
        {"input_ids": (2B, L) int64, "attention_mask": (2B, L) int64, "layout": layout}, L = the
        longest list.

    Raises:
        ValueError: no pairs, different numbers of lists, an empty list, an unknown layout or side.
    """
    if not chosen or len(chosen) != len(rejected) or not all(map(len, [*chosen, *rejected])):
        raise ValueError("chosen and rejected must be equally many lists of tokens, none empty.")
    if layout not in ("interleaved", "stacked") or side not in ("left", "right"):
        raise ValueError(f"unknown layout {layout!r} or side {side!r}.")
    # TODO(training): order the rows, pad them, and build the mask from the lengths.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): order the rows, pad them, and build the mask from the lengths.")


class ForwardOnlyWorker:
    """A reward-model worker as frameworks for RLHF have it: good at scoring, and never meant to
    learn.

    The trainer of such a framework calls ``loss_func`` of every worker that it trains. This worker
    only ever runs forward, so whoever wrote it put a constant there to satisfy the interface. Do
    not change this class.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model = model
        self.optimizer = optimizer

    def forward(self, batch: dict[str, Tensor | str]) -> Tensor:
        """Scores of the rows, (2B,), in evaluation mode and without a gradient."""
        self.model.eval()
        with torch.no_grad():
            return self.model(batch["input_ids"], batch["attention_mask"])

    def loss_func(self, output: Tensor) -> Tensor:
        """The placeholder."""
        return torch.tensor(1.0)


def loss_func(output: Tensor, batch: dict[str, Tensor | str]) -> Tensor:
    """The loss that the placeholder stands in for: ``bt_loss`` of the pairs in a batch.

    Args:
        output: (2B,) scores of the rows of ``batch``.
        batch: what ``collate`` returns; only ``batch["layout"]`` is needed here.

    Returns:
        A scalar tensor with a gradient to every row of ``output``.

    Raises:
        ValueError: output is not (2B,) with B >= 1, or the layout is none of the two.
    """
    # TODO(training): find the two halves of every pair in the layout of the batch, and compare them.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): find the two halves of every pair in the layout of the batch, and compare them.")


class RewardWorker(ForwardOnlyWorker):
    """The repaired worker: scores like the other, and learns."""

    def update_(self, batch: dict[str, Tensor | str]) -> float:
        """One step of the optimiser on one batch, in training mode.

        Both answers of every pair pass through the model in a single call, so that dropout treats
        them alike. The norm of the gradient over all parameters is clipped to 1. Gradients of
        earlier batches are forgotten first.

        Returns:
            The loss before the step, a float.

        Raises:
            RuntimeError: the loss carries no gradient (a placeholder that is still there).
        """
        # TODO(training): training mode, one forward pass, loss_func, backward, clip, step.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(training): training mode, one forward pass, loss_func, backward, clip, step.")


def train_reward_model(
    model: nn.Module,
    chosen: Sequence[Sequence[int]],
    rejected: Sequence[Sequence[int]],
    pad_id: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> list[float]:
    """Train a reward model on pairs, with Adam and a ``RewardWorker``.

    The pairs are visited in random order, ``batch_size`` at a time, each once before any comes
    again (the last batch of a pass may be smaller). The learning rate is constant. The model is
    changed, and left in evaluation mode.

    Args:
        model: (input_ids (2B, L), attention_mask (2B, L)) -> (2B,) scores.
        chosen, rejected: n lists of token ids each.
        pad_id: see ``collate``.
        steps, batch_size: at least 1.
        learning_rate: Adam's, above 0.
        generator: decides the order of the pairs, alone.

    Returns:
        The loss of each step, a list of ``steps`` floats.

    Raises:
        ValueError: steps, batch_size or learning_rate out of range, or lists that ``collate``
            refuses.
    """
    if (
        steps < 1
        or batch_size < 1
        or not learning_rate > 0
        or not chosen
        or len(chosen) != len(rejected)
    ):
        raise ValueError(
            "steps and batch_size must be at least 1, learning_rate positive, and every pair "
            "complete."
        )
    # TODO(training): shuffle, collate, update; evaluation mode in the end.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): shuffle, collate, update; evaluation mode in the end.")


# -- Part 6: more than two answers -----------------------------------------------------------------


def kwise_loss(scores: Sequence[Tensor]) -> Tensor:
    """Loss of rankings: the pairs of one prompt weigh 1 / C(K, 2) each, so that every prompt weighs
    the same.

        mean over prompts of  -1 / C(K, 2) * sum over i < j of log sigmoid(r_i - r_j)              (Ouyang et al., eq. 1)

    Args:
        scores: for each prompt the (K_i,) scores of its answers, best first; K_i >= 2 may differ.

    Returns:
        A scalar tensor. Differentiable.

    Raises:
        ValueError: no prompts, or a prompt with fewer than two answers.
    """
    if len(scores) == 0 or any(row.ndim != 1 or len(row) < 2 for row in scores):
        raise ValueError("a ranking needs at least one prompt, and two answers for each.")
    # TODO(kwise): all pairs of a prompt, averaged; then the prompts, averaged.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(kwise): all pairs of a prompt, averaged; then the prompts, averaged.")


# -- Part 7: how much to believe a score -----------------------------------------------------------

Scorer = Callable[
    [Tensor, Tensor], Tensor
]  # (input_ids (B, L), attention_mask (B, L)) -> (B,) scores
Batch = dict[str, Tensor]  # at least "input_ids" and "attention_mask", (B, L)


def bootstrap_indices(n: int, members: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """For each member of an ensemble the pairs it is trained on: n draws with replacement from 0 ..
    n - 1.

    Args:
        n, members: at least 1.
        rng: the only source of randomness.

    Returns:
        (members, n) int; rows are independent of each other.

    Raises:
        ValueError: n < 1 or members < 1.
    """
    if n < 1 or members < 1:
        raise ValueError(f"n and members must be at least 1, but they are {n} and {members}.")
    # TODO(uncertainty): with replacement, and anew for each member.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(uncertainty): with replacement, and anew for each member.")


class RewardEnsemble:
    """Several reward models that were trained apart, and what they think together.

    Bradley-Terry leaves the zero of each member's scale free. With a ``reference`` batch, each
    member's mean score over the rows of that batch is subtracted from all its scores, so that
    members can be compared; without, scores stay as they are. Statistics are population statistics
    over members: one member has a standard deviation of 0.

    Every method takes a batch with "input_ids" and "attention_mask" and works in evaluation mode,
    without a gradient; a member that is an nn.Module gets back the mode that it was in.
    """

    def __init__(self, members: Sequence[Scorer], reference: Batch | None = None) -> None:
        """Raises ValueError for an ensemble without members."""
        if len(members) == 0:
            raise ValueError("an ensemble needs at least one member.")
        # TODO(uncertainty): keep the members, and what each says of the reference batch on average.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(uncertainty): keep the members, and what each says of the reference batch on average.")

    def scores(self, batch: Batch) -> Tensor:
        """(M, B): what each member says of each row, in evaluation mode."""
        # TODO(uncertainty): every member on the batch; mind the mode that it is in, before and after.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(uncertainty): every member on the batch; mind the mode that it is in, before and after.")

    def mean(self, batch: Batch) -> Tensor:
        """(B,): mean over members."""
        # TODO(uncertainty): one line.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(uncertainty): one line.")

    def std(self, batch: Batch) -> Tensor:
        """(B,): population standard deviation over members; 0 where all agree."""
        # TODO(uncertainty): one line, and a look at the default of torch.std.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(uncertainty): one line, and a look at the default of torch.std.")

    def lcb(self, batch: Batch, k: float) -> Tensor:
        """(B,): lower confidence bound, mean - k * std. Raises ValueError for a negative k."""
        if k < 0:
            raise ValueError(f"k must not be negative, but it is {k}.")
        # TODO(uncertainty): what the ensemble is willing to promise.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(uncertainty): what the ensemble is willing to promise.")

    def disagreement(self, batch: Batch) -> Tensor:
        """(B / 2,): for each pair of a batch with a "layout", the chance that two members vote for
        different answers.

        2 v (1 - v), where v is the share of members that prefer the first answer of the pair (a tie
        is half a vote); the two members are drawn with replacement. From 0 (all agree) to 1/2. Free
        of offset and scale.
        """
        # TODO(uncertainty): votes of the members, pair by pair.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(uncertainty): votes of the members, pair by pair.")


class Shift(NamedTuple):
    """How far a new sample lies from a reference sample."""

    ks: float  # Kolmogorov-Smirnov statistic, in [0, 1]
    p_value: float  # of ks, asymptotic
    psi: float  # population stability index, at least 0


def shift_detector(ref: Array, new: Array, bins: int = 10) -> Shift:
    """Compare two samples of scores.

    ks = largest |F_ref(x) - F_new(x)| over all x, with F(x) = share of a sample that is <= x.
    p_value = 2 * sum over k >= 1 of (-1)^(k-1) exp(-2 k^2 t^2), t = ks * sqrt(n m / (n + m)); 1 for
    t < 0.1. psi = sum over bins of (q - p) * log(q / p). The bins lie between the 1/bins, 2/bins,
    ... quantiles of ``ref`` (np.quantile), a value on an edge belongs to the bin above it, and the
    outer bins reach to infinity. Equal quantiles have an empty bin between them. p is the share of
    ``ref`` in a bin, q that of ``new``, each as (count + 1/2) / (size + bins/2), so that no share is
    0.

    Args:
        ref, new: (n,) and (m,) float arrays, not empty.
        bins: at least 2.

    Returns:
        Shift(ks, p_value, psi), floats.

    Raises:
        ValueError: an empty sample, one that is not one-dimensional, or bins < 2.
    """
    if np.ndim(ref) != 1 or np.ndim(new) != 1 or len(ref) == 0 or len(new) == 0 or bins < 2:
        raise ValueError(
            "two samples of shape (n,) and (m,), none empty, and at least 2 bins are needed."
        )
    # TODO(uncertainty): two empirical distribution functions; then counts in the bins of ref.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(uncertainty): two empirical distribution functions; then counts in the bins of ref.")


# -- Part 8: reward hacking ------------------------------------------------------------------------


def best_of_n(selector: Array, value: Array, n: int) -> float:
    """Expected value of the answer that a selector picks among n answers drawn at random from N,
    without replacement.

    With the answers sorted by selector, the i-th smallest (i = 1 .. N) is the pick of a random set
    of n with probability C(i - 1, n - 1) / C(N, n): all the others in the set must lie below it.
    The sum over i of probability times value is exact: no sampling is needed.

    Args:
        selector: (N,) float, what is maximised: a proxy reward, say. No two equal (or any order
            among equals).
        value: (N,) float, what the pick is worth: the selector again, or a gold reward.
        n: 1 <= n <= N.

    Returns:
        A float. n = 1: the mean of value; n = N: the value of the best answer by selector.

    Raises:
        ValueError: the shapes differ or are not (N,), or n is out of range.
    """
    if (
        np.ndim(selector) != 1
        or np.shape(selector) != np.shape(value)
        or not 1 <= n <= len(selector)
    ):
        raise ValueError(
            f"selector and value must be of one shape (N,), and n = {n} must lie in 1 .. N."
        )
    # TODO(hacking): probabilities of the ranks, by logarithms or by the recursion from rank to rank.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(hacking): probabilities of the ranks, by logarithms or by the recursion from rank to rank.")


def best_of_n_kl(n: int) -> float:
    """How far best-of-n moves from the policy it draws from: log n - (n - 1) / n, in nats.

    This is KL(best-of-n || policy) where no two answers score alike and none has a probability
    worth mentioning; in general it is an upper bound.

    Raises:
        ValueError: n < 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, but it is {n}.")
    # TODO(hacking): one line.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(hacking): one line.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# model=  fitting=  newton=  reward_model=  training=  kwise=  uncertainty=  hacking=
